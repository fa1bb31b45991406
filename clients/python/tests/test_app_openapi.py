"""The OpenAPI document held against the app by schemathesis: all checks, several seeds, tokens of people."""

import os

import pytest
import schemathesis
from admin_client.app import create_app
from admin_client.web.settings import AppSettings
from app_harness import APP_PATHS, as_person, set_up
from hypothesis import HealthCheck, Phase, given, seed, settings, strategies as st

EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "15"))
SEEDS = [int(one) for one in os.environ.get("SCHEMATHESIS_SEEDS", "1,2,3").split(",")]
app = create_app(AppSettings(dsn=APP_PATHS["direct"], budget=10, connections=2, ingest_role="r", reader_role="r"))
# What is wrong may also be too long: 413 is as good an answer as any other of these.
REFUSALS = ["400", "401", "403", "404", "405", "406", "409", "413", "415", "422", "428", "429", "5xx"]
CONFIG = schemathesis.config.SchemathesisConfig.from_dict(
    {"checks": {"negative_data_rejection": {"expected-statuses": REFUSALS}}}
)
schema = schemathesis.openapi.from_asgi("/openapi.json", app, config=CONFIG)
OPERATIONS = [found.ok() for found in schema.get_all_operations()]


@pytest.fixture(scope="module", autouse=True)
def people():
    set_up()


def test_every_operation_is_there():
    assert sorted(operation.label for operation in OPERATIONS) == [
        "GET /api/cutover-readiness",
        "GET /api/policy/approvals",
        "GET /api/policy/approvals/{approval_id}",
        "GET /healthz",
        "GET /readyz",
        "POST /api/audit/ingest",
        "POST /api/policy/approvals",
        "POST /api/policy/approvals/{approval_id}/sign",
        "POST /api/policy/approvals/{approval_id}/withdraw",
        "POST /api/policy/sensitive-check",
        "POST /api/policy/sensitive-check/preview",
    ]


def test_every_operation_tells_what_can_go_wrong():
    document = app.openapi()
    assert (
        "Problem" in document["components"]["schemas"]
        and "HTTPValidationError" not in document["components"]["schemas"]
    )
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            statuses = set(operation["responses"])
            if path.startswith("/api"):
                assert operation["security"] == [{"HTTPBearer": []}] and {"401", "403", "503", "504"} <= statuses, (
                    path,
                    method,
                )
            if method == "post":
                assert {"400", "413", "415", "422"} <= statuses, path
            for status, response in operation["responses"].items():
                assert status < "400" or list(response["content"]) == ["application/problem+json"], (path, status)


@pytest.mark.parametrize("chosen", SEEDS)
@pytest.mark.parametrize(
    "mode",
    [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE],
    ids=lambda mode: mode.name.lower(),
)
@pytest.mark.parametrize(
    "operation",
    [operation for operation in OPERATIONS if operation.path.startswith("/api")],
    ids=lambda operation: operation.label,
)
def test_an_operation_keeps_what_the_document_promises(operation, mode, chosen):
    cases = operation.as_strategy(generation_mode=mode)

    @seed(chosen)
    @settings(
        max_examples=EXAMPLES if "readiness" not in operation.path else 3,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases, who=st.sampled_from(["ann", "bob", "boss"]))
    def run(case, who):
        case.call_and_validate(headers=as_person(who, "r", "s"))

    run()
