"""What goes wrong with a request, a token or the database is a problem document of the right status, never a 500."""

import asyncio
import contextlib

import pytest
from admin_client.web.database import PROBE_SECONDS
from app_harness import (
    APP_PATHS,
    APPROVALS,
    CHECK,
    KEY,
    as_person,
    as_reader,
    issued,
    new_id,
    order,
    problem,
    served,
    set_up,
    token,
)
from harness import (
    BOUND,
    backends,
    kill_pooler,
    kill_server,
    paused,
    sql,
    start_pooler,
    start_server,
    timed,
    trail_locked,
    until,
)
from joserfc.jwk import ECKey
from session import connect, one

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module", autouse=True)
def people():
    set_up()


EVERYWHERE = [
    ("GET", APPROVALS),
    ("GET", f"{APPROVALS}/APP-000001-a"),
    ("POST", APPROVALS),
    ("POST", f"{APPROVALS}/APP-000001-a/sign"),
    ("POST", f"{APPROVALS}/APP-000001-a/withdraw"),
    ("POST", CHECK),
    ("POST", f"{CHECK}/preview"),
    ("POST", "/api/audit/ingest"),
    ("GET", "/api/cutover-readiness"),
]
BODIES = {
    APPROVALS: order(),
    f"{APPROVALS}/APP-000001-a/sign": {"signer_role": "r"},
    f"{APPROVALS}/APP-000001-a/withdraw": {"reason": "x"},
    CHECK: {"approval_id": "APP-000001-a"},
    f"{CHECK}/preview": {"approval_id": "APP-000001-a"},
    "/api/audit/ingest": [],
}


async def call(client, method, where, headers):
    return await client.request(method, where, headers=headers, **({"json": BODIES[where]} if method == "POST" else {}))


@pytest.mark.parametrize("method, where", EVERYWHERE)
async def test_a_token_is_needed_and_has_to_be_good(path, method, where):
    stranger = ECKey.generate_key("P-256", {"kid": "web-1", "alg": "ES256"})
    async with served(path) as client:
        nothing = await call(client, method, where, {})
        problem(nothing, 401)
        assert "error" not in nothing.headers["www-authenticate"]
        for bad in (
            "x",
            token(expires=-10),
            token(key=stranger),
            token(aud="https://other"),
            token(iss="https://other"),
            token() + "x",
            "\u00e4",
        ):
            refused = await call(client, method, where, {"Authorization": f"Bearer {bad}".encode("latin-1")})
            problem(refused, 401, sqlstate="28000")
            assert 'error="invalid_token"' in refused.headers["www-authenticate"]
        problem(await call(client, method, where, {"Authorization": "Basic YTpi"}), 401)


@pytest.mark.parametrize("where", BODIES)
async def test_bodies_that_are_no_request_are_refused(where):
    headers = as_person("ann", "r")
    async with served(ingest_role="r", reader_role="r") as client:

        async def post(content, **more):
            return await client.post(where, content=content, headers={**headers, **JSON, **more})

        for kind in (
            "text/plain",
            "application/xml",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/jsonp",
            "application/json; charset=utf-16",
            "",
        ):
            problem(await post(b"{}", **{"Content-Type": kind}), 415)
        for content in (
            b"",
            b"{",
            b"nonsense",
            b"{'a': 1}",
            b'{"a": NaN}',
            b'{"a": Infinity}',
            b"\xff\xfe",
            b'{"a": "\xc3\x28"}',
            b'"\xed\xa0\x80"',
            b"[" * 50000,
            b'{"a":' * 5000,
            b'{"a": 1, "b": {"c": 1, "c": 1}}' if where != "/api/audit/ingest" else b"[] []",
        ):
            problem(await post(content), 400)
        problem(await post(b"[" + b" " * (1024 * 1024) + b"]"), 413)
        for content in (b"null", b"7", b'"x"', b"{}" if where == "/api/audit/ingest" else b"[]"):
            problem(await post(content), 422)
        if where != "/api/audit/ingest":
            problem(
                await client.post(where, json={**BODIES[where], "unknown": 1}, headers=headers), 422, "body.unknown"
            )


async def test_a_body_of_the_limit_is_read():
    async with served(ingest_role="service") as client:
        body = b"[" + b" " * (1024 * 1024 - 2) + b"]"
        assert (
            await client.post("/api/audit/ingest", content=body, headers={**as_person("FF", "service"), **JSON})
        ).status_code == 200

        async def chunks():
            for start in range(0, len(body) + 1, 65536):
                yield body[start : start + 65536] + b" "

        problem(
            await client.post("/api/audit/ingest", content=chunks(), headers={**as_person("FF", "service"), **JSON}),
            413,
        )


BAD = [
    ("action", ""),
    ("action", "x" * 257),
    ("action", "ä" * 129),
    ("action", 7),
    ("action", None),
    ("action", "a\u0000b"),
    ("action", "a\nb"),
    ("resource", ""),
    ("resource", "x" * 2049),
    ("resource", []),
    ("resource", "a\u0085b"),
    ("required_roles", []),
    ("required_roles", ["r"] * 2),
    ("required_roles", ["a", "b", "c", "d", "e", "f", "g", "h", "i"]),
    ("required_roles", "r"),
    ("required_roles", [""]),
    ("required_roles", ["x" * 129]),
    ("required_roles", [None]),
    ("required_roles", ["r\u2028"]),
    ("sla_deadline", "tomorrow"),
    ("sla_deadline", 4102444800),
    ("sla_deadline", "2100-01-01T00:00:00"),
    ("sla_deadline", "2100-13-01T00:00:00Z"),
    ("sla_deadline", "infinity"),
    ("sla_deadline", None),
    ("sla_deadline", "9999-12-31T23:59:59-01:00"),
    ("sla_deadline", "0000-01-01T00:00:00Z"),
    ("approval_id", "x"),
    ("approval_id", "APP-000001-A"),
    ("approval_id", "APP-000001-a\n"),
    ("approval_id", "APP-000001-" + "a" * 60),
    ("approval_id", 7),
]


@pytest.mark.parametrize("member, value", BAD, ids=lambda value: str(value)[:20])
async def test_members_that_cannot_be(member, value):
    async with served() as client:
        problem(await client.post(APPROVALS, json=order(**{member: value}), headers=as_person()), 422, f"body.{member}")


async def test_half_of_a_surrogate_pair():
    async with served() as client:
        for where, body in (
            (APPROVALS, '{"action":"\\ud800","required_roles":["r"],"sla_deadline":"2100-01-01T00:00:00Z"}'),
            (CHECK, '{"approval_id":"\\udfff"}'),
            (CHECK, '{"approval_id":null,"\\ud800":1}'),
        ):
            problem(await client.post(where, content=body, headers={**as_person(), **JSON}), 422)


async def test_what_only_time_or_the_approval_forbids_is_a_conflict():
    async with served() as client:
        problem(
            await client.post(APPROVALS, json=order(sla_deadline="2020-01-01T00:00:00Z"), headers=as_person()),
            409,
            "not ahead",
        )
        approval_id = await issued(client)
        problem(
            await client.post(
                f"{APPROVALS}/{approval_id}/sign", json={"signer_role": "other"}, headers=as_person("ann", "other")
            ),
            409,
            sqlstate="22023",
        )


async def test_an_unknown_approval_path_or_parameter_is_a_problem():
    async with served() as client:
        problem(await client.get(f"{APPROVALS}/{new_id()}", headers=as_reader()), 404)
        problem(
            await client.post(f"{APPROVALS}/{new_id()}/sign", json={"signer_role": "r"}, headers=as_person("ann", "r")),
            404,
            sqlstate="P0002",
        )
        problem(
            await client.post(f"{APPROVALS}/{new_id()}/withdraw", json={"reason": "x"}, headers=as_person()),
            404,
            sqlstate="P0002",
        )
        for where in ("/", "/api", "/api/policy/approvals/", "/api/policy/approvals/APP-000001-a/more", "/docs"):
            problem(await client.get(where, headers=as_reader()), 404)
        for approval_id in ("x", "APP-000001-A", "APP-000001-%00", "%ff", "APP-000001-" + "a" * 60):
            problem(await client.get(f"{APPROVALS}/{approval_id}", headers=as_reader()), 422)
        for query in ("state=other", "limit=0", "limit=1001", "limit=x", "after=x", "unknown=1", "limit=1e3"):
            problem(await client.get(f"{APPROVALS}?{query}", headers=as_reader()), 422)


async def test_methods_that_are_not_there_and_those_that_are():
    async with served() as client:
        for method, where, allowed in (
            ("PUT", APPROVALS, "GET, POST"),
            ("DELETE", f"{APPROVALS}/APP-000001-a", "GET"),
            ("GET", CHECK, "POST"),
            ("PATCH", "/healthz", "GET"),
        ):
            refused = await client.request(method, where, headers=as_person())
            problem(refused, 405)
            assert refused.headers["allow"] == allowed


async def test_a_statement_that_is_held_up_is_given_up(path):
    async with served(path, budget=0.5) as client:
        approval_id = await issued(client)
        with trail_locked():
            response, seconds = await timed(
                client.post(CHECK, json={"approval_id": approval_id}, headers=as_person("FF"))
            )
            problem(response, 504)
            assert seconds > 0.4
            response, seconds = await timed(
                client.post(f"{APPROVALS}/{approval_id}/sign", json={"signer_role": "r"}, headers=as_person("ann", "r"))
            )
            problem(response, 504)
        await until(
            lambda: sql("select count(*) from pg_stat_activity where usename = 'web' and state = 'active'") == 0
        )
        assert (await client.post(CHECK, json={"approval_id": approval_id}, headers=as_person("FF"))).status_code == 200


async def test_all_connections_in_use(path):
    async with served(path, budget=0.5, connections=2) as client:
        approval_id = await issued(client)
        with trail_locked():
            answers = await asyncio.gather(
                *(client.post(CHECK, json={"approval_id": approval_id}, headers=as_person("FF")) for _ in range(10))
            )
        # Two are held up in the database; who comes by a connection when they give up is held up, too.
        statuses = [answer.status_code for answer in answers]
        assert set(statuses) == {503, 504} and statuses.count(504) >= 2, statuses
        for answer in answers:
            problem(answer, answer.status_code)
        async with asyncio.timeout(10):
            while (
                await client.post(CHECK, json={"approval_id": approval_id}, headers=as_person("FF"))
            ).status_code != 200:
                await asyncio.sleep(0.02)


async def test_a_row_that_is_locked_and_a_deadlock(path):
    async with served(path, budget=0.5) as client:
        approval_id = await issued(client)
        with contextlib.closing(connect()) as holder:
            holder.autocommit = False
            one(holder, "select 1 from admin.approval where approval_id = %s for update", approval_id)
            problem(
                await client.post(
                    f"{APPROVALS}/{approval_id}/withdraw", json={"reason": "x"}, headers=as_person("boss")
                ),
                504,
            )
    sql("alter role web set lock_timeout = '50ms'")
    try:
        async with served(budget=2) as client:
            with trail_locked():
                problem(
                    await client.post(CHECK, json={"approval_id": approval_id}, headers=as_person("FF")),
                    503,
                    sqlstate="55P03",
                )
        sql("alter role web set statement_timeout = '50ms'")
        sql("alter role web reset lock_timeout")
        async with served(budget=2) as client:
            with trail_locked():
                problem(
                    await client.post(CHECK, json={"approval_id": approval_id}, headers=as_person("FF")),
                    504,
                    sqlstate="57014",
                )
    finally:
        sql("alter role web reset all")


async def test_a_read_only_database():
    sql("alter role web set default_transaction_read_only = on")
    try:
        async with served() as client:
            problem(
                await client.post(CHECK, json={"approval_id": "APP-000001-a"}, headers=as_person("FF")),
                503,
                sqlstate="25006",
            )
            assert (
                await client.post(f"{CHECK}/preview", json={"approval_id": "APP-000001-a"}, headers=as_reader())
            ).status_code == 200
    finally:
        sql("alter role web reset all")


async def test_an_access_that_the_role_lacks():
    sql("revoke execute on function admin.withdraw_approval from web")
    try:
        async with served() as client:
            problem(
                await client.post(f"{APPROVALS}/APP-000001-a/withdraw", json={"reason": "x"}, headers=as_person()),
                403,
                sqlstate="42501",
            )
    finally:
        sql("select admin.grant_access('web', 'signer')")


async def test_a_database_that_is_away_comes_back(path):
    async with served(path) as client:
        approval_id = await issued(client)
        kill_server()
        try:
            for _ in range(3):
                response, seconds = await timed(
                    client.post(CHECK, json={"approval_id": approval_id}, headers=as_person("FF"))
                )
                assert response.status_code in (503, 504) and seconds < BOUND
                problem(response, response.status_code)
            assert (await when_asked_again(client)).status_code in (503, 504)
            assert (await client.get("/healthz")).json() == {"status": "ok"}
        finally:
            start_server()
        async with asyncio.timeout(30):
            while (await client.get("/readyz")).status_code != 200:
                await asyncio.sleep(0.05)
        assert (await client.post(CHECK, json={"approval_id": approval_id}, headers=as_person("FF"))).status_code == 200


async def when_asked_again(client):
    """What /readyz says once it has asked the database again."""
    await until(lambda: asyncio.get_running_loop().time() - client.app.state.database.probe._asked_at >= PROBE_SECONDS)
    return await client.get("/readyz")


async def test_a_pooler_that_is_away_comes_back():
    async with served("pooled") as client:
        assert (await client.get("/readyz")).status_code == 200
        kill_pooler()
        try:
            problem(await when_asked_again(client), 503)
        finally:
            start_pooler()
        async with asyncio.timeout(30):
            while (await client.get("/readyz")).status_code != 200:
                await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://web@127.0.0.1:1/postgres",
        "postgresql://web@no.such.host.invalid/postgres",
        "postgresql://nobody-of-that-name@/postgres?host=",
    ],
)
async def test_a_database_that_was_never_there(dsn):
    async with served(dsn if dsn[-1] != "=" else dsn + APP_PATHS["direct"].rsplit("=", 1)[1]) as client:
        response, seconds = await timed(client.get(APPROVALS, headers=as_person()))
        assert response.status_code in (503, 504) and seconds < BOUND
        problem(response, response.status_code)


async def test_sessions_that_stand_still_are_left_behind():
    """Connections whose server does not answer, even to be cancelled, are ended after a while."""
    async with served(budget=0.5, connections=2) as client:
        assert (await client.get("/readyz")).status_code == 200
        with paused(backends("usename = 'web'")):
            problem(await when_asked_again(client), 504)
        async with asyncio.timeout(20):
            while (await client.get("/readyz")).status_code != 200:
                await asyncio.sleep(0.05)


async def test_what_should_not_occur_says_nothing_of_the_inside():
    sql("alter function admin.sensitive_check rename to away")
    try:
        async with served() as client:
            told = problem(
                await client.post(CHECK, json={"approval_id": "APP-000001-a"}, headers=as_person("FF")),
                503,
                sqlstate="42883",
            )
            assert (
                "sensitive_check" not in str(told) and "admin_ext is not there, or of another version" in told["detail"]
            )
            sql("""create function admin.sensitive_check(text, text, text, text, text, text, text) returns json language plpgsql as
                   $$begin raise exception 'the inside' using errcode = 'XX001'; end$$""")
            sql("grant execute on function admin.sensitive_check(text, text, text, text, text, text, text) to web")
            told = problem(
                await client.post(CHECK, json={"approval_id": "APP-000001-a"}, headers=as_person("FF")),
                500,
                sqlstate="XX001",
            )
            assert "inside" not in str(told)
    finally:
        sql("drop function if exists admin.sensitive_check(text, text, text, text, text, text, text)")
        sql("alter function admin.away rename to sensitive_check")


async def test_a_database_without_the_extension_is_not_ready():
    sql("create database bare")
    try:
        async with served(APP_PATHS["direct"].replace("/postgres?", "/bare?")) as client:
            assert "admin_ext is not there" in problem(await client.get("/readyz"), 503, sqlstate="3F000")["detail"]
            assert (await client.get("/healthz")).status_code == 200
    finally:
        sql("drop database bare with (force)")


def test_the_key_is_not_given_away():
    assert KEY.is_private and "d" not in KEY.as_dict(private=False)
