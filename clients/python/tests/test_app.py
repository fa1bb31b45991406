"""The Admin web app: what each operation does, with tokens of people, directly and through the pooler."""

import asyncio
import json
import os
import socket
import subprocess
import sys

import httpx
import pytest
from admin_client import readiness
from app_harness import (
    APP_PATHS,
    APPROVALS,
    CHECK,
    as_person,
    as_reader,
    issued,
    new_id,
    order,
    problem,
    served,
    set_up,
)
from harness import sql, until


@pytest.fixture(scope="module", autouse=True)
def people():
    set_up()


async def test_an_approval_from_its_issue_to_its_withdrawal(path):
    async with served(path) as client:
        approval_id = new_id()
        made = await client.post(
            APPROVALS, json=order(approval_id=approval_id, required_roles=["r", "s"]), headers=as_person("boss")
        )
        assert made.status_code == 201 and made.headers["location"] == f"{APPROVALS}/{approval_id}"
        assert made.json()["state"] == "pending" and made.json()["requested_by"] == "boss" and made.json()["verified"]
        again = await client.post(
            APPROVALS, json=order(approval_id=approval_id, required_roles=["r", "s"]), headers=as_person("boss")
        )
        assert again.status_code == 200 and again.json()["already"]
        problem(
            await client.post(APPROVALS, json=order(approval_id=approval_id), headers=as_person("boss")),
            409,
            sqlstate="23505",
        )

        sign = f"{APPROVALS}/{approval_id}/sign"
        first = await client.post(
            sign, json={"signer_role": "r", "comment": "looks right"}, headers=as_person("ann", "r")
        )
        assert first.status_code == 200 and first.json()["state"] == "signed_partial"
        problem(
            await client.post(sign, json={"signer_role": "s"}, headers=as_person("boss", "s")), 403, sqlstate="42501"
        )
        problem(
            await client.post(sign, json={"signer_role": "s"}, headers=as_person("bob", "r")), 403, sqlstate="42501"
        )
        problem(
            await client.post(sign, json={"signer_role": "s"}, headers=as_person("ann", "s")), 409, sqlstate="23505"
        )
        problem(
            await client.post(sign, json={"signer_role": "t"}, headers=as_person("bob", "t")), 409, sqlstate="22023"
        )
        assert (await client.post(sign, json={"signer_role": "s"}, headers=as_person("bob", "s"))).json()[
            "state"
        ] == "signed_full"

        told = (await client.get(f"{APPROVALS}/{approval_id}", headers=as_reader())).json()
        assert (
            told["ttl_state"] == "valid"
            and told["valid_until"] == told["sla_deadline"] == "2100-01-01T00:00:00.000000Z"
        )
        assert [(s["signer_role"], s["signer"], s["comment"]) for s in told["signatures"]] == [
            ("r", "ann", "looks right"),
            ("s", "bob", None),
        ]
        answer = await client.post(
            CHECK, json={"approval_id": approval_id, "action": "pay", "resource": "account 7"}, headers=as_person("FF")
        )
        assert answer.json()["decision"] == "valid"

        withdraw = f"{APPROVALS}/{approval_id}/withdraw"
        problem(
            await client.post(withdraw, json={"reason": "no more"}, headers=as_person("eve")), 403, sqlstate="42501"
        )
        assert (await client.post(withdraw, json={"reason": "no more"}, headers=as_person("boss"))).json()[
            "state"
        ] == "withdrawn"
        problem(
            await client.post(withdraw, json={"reason": "another"}, headers=as_person("boss")), 409, sqlstate="55000"
        )
        answer = await client.post(CHECK, json={"approval_id": approval_id}, headers=as_person("FF"))
        assert answer.status_code == 200 and answer.json()["reason"] == "approval_withdrawn"
    assert (
        sql("select string_agg(event_type, ' ' order by audit_id) from admin.audit where approval_id = %s", approval_id)
        == "approval.issued signature.added approval.signed_partial signature.added approval.signed_full sensitive.check.2b approval.withdrawn sensitive.check.2b"
    )
    assert (
        sql(
            "select actor from admin.audit where approval_id = %s and event_type = 'sensitive.check.2b' limit 1",
            approval_id,
        )
        == "FF"
    )


async def test_an_answer_is_the_databases_byte_for_byte(path):
    async with served(path) as client:
        approval_id = await issued(client)
        response = await client.post(
            CHECK,
            json={"approval_id": approval_id, "request_id": "r-1", "traceparent": f"00-{'a' * 32}-{'b' * 16}-01"},
            headers=as_person("FF"),
        )
        audit_id = response.json()["audit"]["audit_id"]
        assert response.headers["content-type"] == "application/json"
        recorded = sql("select payload::text from admin.audit where audit_id = %s", audit_id)
        assert recorded.startswith(response.text[:-1] + ',"request":{"action":null,"resource":null,"token":'), (
            "the row is the answer, and what was asked"
        )
        assert sql("select array[request_id, traceparent] from admin.audit where audit_id = %s", audit_id) == [
            "r-1",
            f"00-{'a' * 32}-{'b' * 16}-01",
        ]
        preview = await client.post(
            f"{CHECK}/preview",
            json={"approval_id": approval_id, "at": "2099-12-31T23:59:59.999999+00:00"},
            headers=as_reader(),
        )
        assert preview.text == sql(
            "select admin.sensitive_check_preview(%s, null, null, '2099-12-31 23:59:59.999999+00')::text", approval_id
        )
        for at in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"):
            told = await client.post(
                f"{CHECK}/preview", json={"approval_id": approval_id, "at": at}, headers=as_reader()
            )
            assert told.json()["evaluated_at"].rstrip("0Z.") == at.rstrip("0Z."), (
                "no instant is taken for an infinite one"
            )
        last = await client.post(
            APPROVALS, json=order(sla_deadline="9999-12-31T23:59:59.999999Z"), headers=as_person("boss")
        )
        assert last.status_code == 201 and last.json()["sla_deadline"] == "9999-12-31T23:59:59.999999Z"


@pytest.mark.parametrize("approval_id", [None, "", "no id", "APP-1-a", "APP-000001-A", "APP-000001-ä", "x" * 60000])
async def test_an_id_against_the_grammar_is_denied(approval_id):
    async with served() as client:
        for where in (CHECK, f"{CHECK}/preview"):
            response = await client.post(where, json={"approval_id": approval_id}, headers=as_reader())
            assert response.status_code == 200 and response.json()["reason"] == "approval_id_invalid"


async def test_pages_follow_each_other(path):
    async with served(path) as client:
        prefix = f"APP-999999-{os.getpid()}{path}"
        ids = [f"{prefix}{letter}" for letter in "abcde"]
        for approval_id in ids:
            assert (
                await client.post(APPROVALS, json=order(approval_id=approval_id), headers=as_person("boss"))
            ).status_code == 201
        await client.post(f"{APPROVALS}/{ids[2]}/sign", json={"signer_role": "r"}, headers=as_person("ann", "r"))
        seen, after, pages = [], prefix, 0
        while after:
            page = (await client.get(APPROVALS, params={"limit": 2, "after": after}, headers=as_reader())).json()
            seen += [one["approval_id"] for one in page["approvals"] if one["approval_id"].startswith(prefix)]
            after, pages = page["next"], pages + 1
            assert len(page["approvals"]) <= 2 and pages < 200
        assert seen == ids
        signed = (
            await client.get(
                APPROVALS, params={"state": "signed_full", "after": prefix, "limit": 1}, headers=as_reader()
            )
        ).json()["approvals"]
        assert [one["approval_id"] for one in signed] == [ids[2]] and signed[0]["signatures"][0]["signer"] == "ann"


def event(name, **more):
    return {"specversion": "1.0", "id": name, "source": f"/web/{os.getpid()}", "type": "ptt.ff.test", **more}


async def test_events_are_taken_once_and_what_is_wrong_is_named(path):
    async with served(path, ingest_role="service") as client:
        name = new_id()
        batch = [
            event(name, data={"amount": 1.10}),
            event(name, data={"amount": 1.1}),
            {"id": "x"},
            7,
            event(f"{name}-2", data={"note": "a\u0000b"}),
            event(f"{name}-3"),
        ]
        response = await client.post("/api/audit/ingest", json=batch, headers=as_person("FF", "service"))
        told = response.json()
        assert (told["accepted"], told["duplicates"]) == (2, 1) and [one["index"] for one in told["rejected"]] == [
            2,
            3,
            4,
        ]
        assert told["rejected"][2]["id"] == f"{name}-2" and "NUL" in told["rejected"][2]["error"]
        raw = (
            '[%s, {"specversion":"1.0","id":"%s-4","source":"/web/s","type":"t","data":{"half":"\\ud800"}}, {"specversion":"1.0","id":"%s-5","source":"/web/s","type":"t","data":{"fine":"\\\\u0000"}}]'
            % (json.dumps(event(f"{name}-6", data={"n": 1})), name, name)
        )
        response = await client.post(
            "/api/audit/ingest",
            content=raw,
            headers={**as_person("FF", "service"), "Content-Type": "application/cloudevents-batch+json"},
        )
        assert response.json()["accepted"] == 2 and [one["index"] for one in response.json()["rejected"]] == [1]
        assert (await client.post("/api/audit/ingest", json=[], headers=as_person("FF", "service"))).json() == {
            "accepted": 0,
            "duplicates": 0,
            "rejected": [],
        }
        other = [event(name, data={"amount": 1000}), {**event(f"{name}-7"), "source": "/elsewhere"}]
        told = (await client.post("/api/audit/ingest", json=other, headers=as_person("FF", "service"))).json()
        assert [told["accepted"], told["duplicates"], [one["index"] for one in told["rejected"]]] == [0, 0, [0, 1]]
        assert (
            "other content" in told["rejected"][0]["error"]
            and "does not begin with a prefix granted to role" in told["rejected"][1]["error"]
        )
    assert sql("select payload::text from admin.audit where source_event_id = %s", name) == '{"amount":1.1}'


async def test_readiness_is_the_views(path):
    async with served(path) as client:
        told = (await client.get("/api/cutover-readiness", headers=as_reader())).json()
    assert [item["item"] for item in told["items"]] == list(readiness.ITEMS) and sum(told["counts"].values()) == 28
    assert told["ready"] == (told["counts"]["fail"] == 0)


async def test_without_tokens_people_are_named():
    sql("alter role web set admin_ext.require_verified_jwt = off")
    try:
        async with served(require_token=False) as client:
            approval_id = new_id()
            problem(await client.post(APPROVALS, json=order(approval_id=approval_id)), 422, "requested_by")
            made = await client.post(APPROVALS, json=order(approval_id=approval_id, requested_by="boss"))
            assert made.status_code == 201 and not made.json()["verified"]
            signed = await client.post(f"{APPROVALS}/{approval_id}/sign", json={"signer_role": "r", "signer": "ann"})
            assert signed.json()["state"] == "signed_full"
            assert (await client.post(CHECK, json={"approval_id": approval_id, "actor": "FF"})).json()[
                "decision"
            ] == "valid"
            assert (
                await client.post(f"{APPROVALS}/{approval_id}/withdraw", json={"reason": "over", "actor": "boss"})
            ).json()["state"] == "withdrawn"
            assert (await client.get(f"{APPROVALS}/{approval_id}")).json()["closed_by"] == "boss"
    finally:
        sql("alter role web reset admin_ext.require_verified_jwt")


async def test_a_request_without_a_token_is_refused_while_the_database_wants_one():
    async with served(require_token=False) as client:
        problem(await client.post(APPROVALS, json=order(requested_by="boss")), 401, sqlstate="28000")


async def test_the_app_runs_as_a_process_of_its_own():
    """uvicorn, by the environment, on a port of its own; it ends when it is told to."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "uvicorn",
            "admin_client.app:app",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--log-level",
            "warning",
        ],
        env={
            **os.environ,
            "ADMIN_DSN": APP_PATHS["pooled"],
            "ADMIN_POOLER": "on",
            "ADMIN_POOL_SIZE": "2",
            "ADMIN_INGEST_ROLE": "service",
        },
    )

    def answers():
        try:
            return httpx.get(f"http://127.0.0.1:{port}/readyz").json() == {"status": "ok"}
        except httpx.TransportError:
            return False

    try:
        await until(answers, 30)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            approval_id = await issued(client)
            answers_ = await asyncio.gather(
                *(client.post(CHECK, json={"approval_id": approval_id}, headers=as_person("FF")) for _ in range(30))
            )
            assert all(answer.json()["reason"] == "signature_required" for answer in answers_)

            async def chunks():
                for _ in range(20):
                    yield b"[" + b" " * 100_000

            problem(
                await client.post(
                    "/api/audit/ingest",
                    content=chunks(),
                    headers={**as_person("FF", "service"), "Content-Type": "application/json"},
                ),
                413,
            )
            assert (await client.get("/openapi.json")).json()["openapi"].startswith("3.1")
    finally:
        process.terminate()
        assert process.wait(20) is not None


async def test_an_app_without_an_ingest_role_takes_no_events():
    async with served() as client:
        for headers in (as_person("ann"), as_person("FF", "service")):
            assert (
                "ADMIN_INGEST_ROLE"
                in problem(await client.post("/api/audit/ingest", json=[], headers=headers), 403)["detail"]
            )
    async with served(require_token=False) as client:
        assert "ADMIN_INGEST_ROLE" in problem(await client.post("/api/audit/ingest", json=[]), 403)["detail"]


async def test_events_come_from_services_alone():
    async with served(ingest_role="service") as client:
        for headers, status in (
            (as_person("ann"), 403),
            (as_person("ann", "r", "services"), 403),
            (as_person("FF", "r", "service"), 200),
            (as_person("FF", "service", expires=-3600), 401),
            ({}, 401),
        ):
            response = await client.post("/api/audit/ingest", json=[], headers=headers)
            assert response.status_code == status, response.text
        assert (
            await client.post("/api/audit/ingest", json=[], headers=as_person("FF", roles="service"))
        ).status_code == 200, "one role, as a string"
        assert (await client.post("/api/audit/ingest", json=[], headers=as_person("FF"))).status_code == 403
    async with served(ingest_role="service", require_token=False) as client:
        assert problem(await client.post("/api/audit/ingest", json=[]), 401)["detail"] == "A bearer token is needed."
        assert (await client.post("/api/audit/ingest", json=[], headers=as_person("FF", "service"))).status_code == 200


async def test_a_setting_that_makes_no_sense_is_named():
    from admin_client.web.settings import AppSettings

    for environment, words in (
        ({}, "ADMIN_DSN"),
        ({"ADMIN_DSN": "x", "ADMIN_BUDGET": "soon"}, "ADMIN_BUDGET"),
        ({"ADMIN_DSN": "x", "ADMIN_POOLER": "maybe"}, "ADMIN_POOLER"),
        ({"ADMIN_DSN": "x", "ADMIN_POOL_SIZE": "0"}, "connections"),
        *(
            ({"ADMIN_DSN": "x", "ADMIN_POOL_SIZE": size}, "ADMIN_POOL_SIZE is no whole number")
            for size in ("1.5", "inf", "nan")
        ),
    ):
        with pytest.raises(ValueError, match=words):
            AppSettings.from_environment(environment)
