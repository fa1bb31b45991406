"""Requests that are made to hold the app up, or to be understood in two ways; who may read, and who may ask the database."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
import uvicorn
from admin_client.app import create_app
from admin_client.web import bodies, json_text
from admin_client.web.database import SPENT
from admin_client.web.json_text import NoArray, TooMany, TooWide, parse, read_batch
from admin_client.web.settings import AppSettings
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
from harness import sql

JSON = {"Content-Type": "application/json"}
INGEST = "/api/audit/ingest"
MIB = 1024 * 1024


@pytest.fixture(scope="module", autouse=True)
def people():
    set_up()


@contextlib.asynccontextmanager
async def listening(**settings):
    """The app behind uvicorn, in this loop; gives its port."""
    app = create_app(AppSettings(dsn=APP_PATHS["direct"], ingest_role="service", reader_role="reader", **settings))
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None))
    serving = asyncio.create_task(server.serve())
    try:
        while not server.started:
            await asyncio.sleep(0.01)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await serving


def head(where, *lines, host="x"):
    return "\r\n".join(
        [f"POST {where} HTTP/1.1", f"Host: {host}", "Content-Type: application/json", *lines, "", ""]
    ).encode()


def authorized(*roles):
    return f"Authorization: {as_person('FF', *roles)['Authorization']}"


async def test_a_token_is_verified_before_the_body_is_read(monkeypatch):
    """Whoever has none cannot have anything parsed, or kept in memory."""

    async def read(request):
        raise AssertionError("the body was read")

    monkeypatch.setattr(bodies, "read", read)
    async with served(ingest_role="service") as client:
        for where in (INGEST, CHECK, APPROVALS):
            problem(
                await client.post(where, content=b"[" * 1000, headers={**JSON, "Authorization": "Bearer not-a-token"}),
                401,
                sqlstate="28000",
            )
            problem(await client.post(where, content=b"[" * 1000, headers=JSON), 401)
        problem(await client.post(INGEST, content=b"[" * 1000, headers={**JSON, **as_person("ann", "r")}), 403)


def elements(unit, most=9_999):
    """An array of so many of these as fit into a body."""
    return "[" + ",".join([unit] * min(most, (MIB - 2) // (len(unit) + 1))) + "]"


def full(unit, opening="[[", closing="1]]"):
    """One element that fills a body."""
    return opening + unit * ((MIB - len(opening) - len(closing)) // len(unit)) + closing


WORST = {
    "unreadable strings": elements('"\\u0000"'),
    "numbers": elements("1e999999"),
    "digits": elements("1" * 5000),
    "one number": full("1", "[", "]"),
    "lists": elements("[]"),
    "objects": elements('{"":0}'),
    "one list of lists": full("[],"),
    "one list of numbers": full("1,"),
    "one list of floats": full("1.5,"),
    "one wide object": full('"a":0,', "[{", '"a":0}]'),
    "deep": "[" + "[" * 500_000 + "]" * 500_000 + "]",
    "half as deep": elements("[" * 600 + "]" * 600),
    "escapes": full("\\n", '["', '"]'),
    "backslashes": full("\\\\", '["', '"]'),
    "halves of pairs": full("\\ud800", '["', '"]'),
    "open strings": full('\\"', '["', ""),
    "blanks": full(" ", "[", "]"),
    "events": elements('{"id":"1","source":"/web/x","type":"t","specversion":"1.0"}'),
}


@pytest.mark.parametrize("what", WORST)
async def test_a_body_of_the_worst_json_is_answered(what):
    """Everything is told by its index, or the body is no JSON; test/bench/hostile.py measures how long others wait."""
    async with served(ingest_role="service", budget=20) as client:
        response = await client.post(INGEST, content=WORST[what], headers={**JSON, **as_person("FF", "service")})
        assert response.status_code in (200, 400) and (response.status_code == 400) == (what == "open strings"), (
            response.text[:300]
        )
        if response.status_code == 200:
            told = response.json()
            assert told["accepted"] + told["duplicates"] + len(told["rejected"]) == len(
                json_text.read_batch(WORST[what], 10_000).sound
            ) + len(json_text.read_batch(WORST[what], 10_000).rejected)


@pytest.mark.parametrize("where", [CHECK, APPROVALS])
async def test_check_and_issue_refuse_a_body_of_the_worst_json(where):
    async with served(budget=20) as client:
        for content in WORST.values():
            response = await client.post(where, content=content, headers={**JSON, **as_person()})
            problem(response, response.status_code)
            assert response.status_code in (400, 422)
        wide = "{" + ",".join(f'"a{n}":0' for n in range(90_000)) + "}"
        problem(await client.post(where, content=wide, headers={**JSON, **as_person()}), 422)
        problem(
            await client.post(
                where, content="{" + ",".join(f'"a{n}":0' for n in range(65)) + "}", headers={**JSON, **as_person()}
            ),
            422,
            "64 members",
        )
        problem(await client.get(f"{APPROVALS}?{'a=1&' * 2000}", headers=as_reader()), 422, "longer than")


async def test_one_bad_event_never_refuses_the_batch():
    """What the database could not read, and what it would read otherwise, is told by its index."""
    name = new_id()
    good = [
        {"specversion": "1.0", "id": f"{name}-{n}", "source": "/web/batch", "type": "ptt.ff.test", "data": {"n": n}}
        for n in range(2)
    ]
    bad = [
        '{"id":"digits","data":' + "1" * 5000 + "}",
        '{"id":"exponent","data":[1e999999]}',
        '{"id":"fraction","data":1e-999999}',
        '{"id":"nul","data":"\\u0000"}',
        '{"id":"half","data":"\\ud800"}',
        '{"id":"twice","type":"a","type":"b"}',
        '{"id":"deep","data":{"x":[1,{"y":2,"y":2}]}}',
        '{"id":"id","id":"other"}',
        "[" * 2000 + "]" * 2000,
        "1e99999999999999999999",
        '"text"',
        "null",
    ]
    body = "[" + ",".join([json.dumps(good[0]), *bad, json.dumps(good[1])]) + "]"
    async with served(ingest_role="service") as client:
        response = await client.post(INGEST, content=body, headers={**JSON, **as_person("FF", "service")})
    assert response.status_code == 200, response.text
    told = response.json()
    assert told["accepted"] == 2 and [one["index"] for one in told["rejected"]] == list(range(1, len(bad) + 1)), told
    errors = {one["id"]: one["error"] for one in told["rejected"] if one["id"]}
    assert (
        "1000 digits" in errors["digits"]
        and "1000 digits" in errors["exponent"]
        and "1000 digits" in errors["fraction"]
        and "NUL" in errors["nul"]
        and "named twice" in errors["twice"]
    )
    assert sql("select count(*) from admin.audit where source_event_id like %s", f"{name}-%") == 2


def test_texts_are_taken_as_rfc_8259_has_them():
    for text, value in (
        ("7", 7),
        (' {"a" : [1, -2.5e3, "\\u00e9\\n", true, null, {}]} ', {"a": [1, -2500.0, "\u00e9\n", True, None, {}]}),
        ("1" * 300, int("1" * 300)),
        ("[]", []),
    ):
        assert parse(text) == value
    for text in (
        "",
        "[",
        "[1,]",
        "[1 2]",
        "nul",
        "[NaN]",
        '{"a":1,"a":1}',
        "1 1",
        "[" * 600 + "]" * 600,
        '["\t"]',
        "01",
        "[1.]",
    ):
        with pytest.raises(ValueError):
            parse(text)
    for text in ("[" + "1," * 6000 + "1]", "{" + ",".join(f'"{n}":1' for n in range(65)) + "}"):
        with pytest.raises(TooWide):
            parse(text)


def test_batches_are_taken_apart():
    batch = read_batch(' [ 1 , "a,]" ,{"a":[{}]},[] ] ', 4)
    assert (batch.count, batch.sound, batch.rejected, batch.document) == (
        4,
        [0, 1, 2, 3],
        [],
        '[1,"a,]",{"a":[{}]},[]]',
    )
    assert read_batch("[]", 0).document == read_batch(" [ ] ", 0).document == "[]"
    assert read_batch('["\\\\u0000","\\ud83d\\ude00"]', 9).sound == [0, 1], "neither NUL nor halves"
    assert [
        one["index"] for one in read_batch('["\\\\\\u0000","\\ude00\\ud83d","\\ud83d\\ud83d\\ude00"]', 9).rejected
    ] == [0, 1, 2]
    for text in ("", "[", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "[1]]", "[] x", "[1][2]", "[{]", '["]', "nul"):
        with pytest.raises(ValueError):
            read_batch(text, 9)
    for text in ("7", "{}", '"[]"'):
        with pytest.raises(NoArray):
            read_batch(text, 9)
    with pytest.raises(TooMany):
        read_batch("[1,2,3]", 2)
    many = (
        "["
        + ",".join(
            ['{"id":"1","data":[' + ",".join(["0"] * 1000) + "]}"] * 9
            + ['{"id":"2","a":1,"a":2}', "[" * 600 + "]" * 600]
        )
        + "]"
    )
    batch = read_batch(many, 99)
    assert (
        batch.sound == list(range(9))
        and [one["index"] for one in batch.rejected] == [9, 10]
        and batch.rejected[0]["id"] == "2"
    )
    assert json.loads(batch.document) == [{"id": "1", "data": [0] * 1000}] * 9


def large():
    return {"content": "[" + " " * 20_000 + "]", "headers": {**JSON, **as_person("FF", "service")}}


async def test_large_bodies_are_parsed_in_a_process():
    """It is started when it is needed, again if somebody ends it, and gone with the app."""
    async with served(ingest_role="service") as client:
        parsing = client.app.state.parsing
        assert (
            await client.post(INGEST, content="[]", headers={**JSON, **as_person("FF", "service")})
        ).status_code == 200 and parsing.pid is None
        assert (await client.post(INGEST, **large())).json() == {"accepted": 0, "duplicates": 0, "rejected": []}
        first = parsing.pid
        assert (
            first is not None
            and (await client.post(INGEST, **{**large(), "content": "[" + " " * 20_000})).status_code == 400
            and parsing.pid == first
        )
        os.kill(first, signal.SIGKILL)
        assert {(await client.post(INGEST, **large())).status_code for _ in range(3)} == {200} and parsing.pid not in (
            None,
            first,
        )
        second = parsing.pid
    with pytest.raises(ProcessLookupError):
        os.kill(second, 0)


async def test_parsing_has_a_time_limit():
    """Who waits for the process for too long is told so; and the answer that nobody took is not the next one's."""
    async with served(ingest_role="service", body_budget=3) as client:
        await client.app.state.parsing.run(parse, large()["content"])  # however long the process takes to start
        os.kill(client.app.state.parsing.pid, signal.SIGSTOP)
        try:
            waiting = asyncio.gather(*(client.post(INGEST, **large()) for _ in range(3)))
            problem(
                await client.post(INGEST, **{**large(), "content": '["' + "x" * 20_000 + '"]'}), 503, "large bodies"
            )
            for answer in await waiting:
                problem(answer, 503, "large bodies")
        finally:
            os.kill(client.app.state.parsing.pid, signal.SIGCONT)
        assert (await client.post(INGEST, **large())).json() == {"accepted": 0, "duplicates": 0, "rejected": []}


def test_the_process_ends_with_the_app():
    """Also when the app cannot end it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "admin_client.web.parsing"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    process.stdin.close()
    assert process.wait(30) == 0 and process.stdout.read() == b""


async def test_a_body_that_does_not_come_has_a_time_limit():
    async with listening(body_budget=0.3) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head(CHECK, authorized(), "Content-Length: 1000") + b'{"approval_id":')
        answer = await asyncio.wait_for(reader.read(), 10)
        assert answer.startswith(b"HTTP/1.1 408 ") and b"connection: close" in answer.lower()
        writer.close()


async def test_a_client_that_goes_away_is_a_debug_line(caplog):
    caplog.set_level(logging.DEBUG, "admin_client")
    async with listening() as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head(CHECK, authorized(), "Content-Length: 1000") + b'{"approval_id":')
        await writer.drain()
        deadline = time.monotonic() + 10
        while not sql(
            "select exists (select from pg_stat_activity where usename = 'web' and query ~ 'jwt_verify' and state = 'idle')"
        ):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        writer.close()
        while not any("went away" in record.message for record in caplog.records):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
    assert not [record for record in caplog.records if record.levelno > logging.INFO], caplog.text
    assert next(record for record in caplog.records if "went away" in record.message).levelno == logging.DEBUG


async def test_two_lengths_of_a_body_are_refused():
    """A proxy in front may believe the other one, and take the rest for the next request."""
    async with listening() as port:
        with contextlib.closing(socket.create_connection(("127.0.0.1", port), 10)) as connection:
            body = b"0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
            connection.sendall(
                head(CHECK, authorized(), f"Content-Length: {len(body)}", "Transfer-Encoding: chunked") + body
            )
            answer = b""
            while data := await asyncio.to_thread(connection.recv, 65536):
                answer += data
        assert answer.startswith(b"HTTP/1.1 400 ") and answer.count(b"HTTP/1.1") == 1, answer


async def test_reading_needs_the_role_that_the_app_names():
    async with served(reader_role="") as client:
        for where in (APPROVALS, f"{APPROVALS}/{new_id()}", "/api/cutover-readiness"):
            problem(await client.get(where, headers=as_person("eve", "reader")), 403, "ADMIN_READER_ROLE")
    async with served() as client:
        approval_id = await issued(client)
        for where in (APPROVALS, f"{APPROVALS}/{approval_id}", "/api/cutover-readiness"):
            problem(await client.get(where, headers=as_person("eve", "readers")), 403)
            problem(await client.get(where, headers=as_person("eve", "reader", expires=-10)), 401)
            assert (await client.get(where, headers=as_reader())).status_code == 200
        answer = await client.post(CHECK, json={"approval_id": approval_id}, headers=as_person("FF"))
        assert answer.status_code == 200, "a check needs no role"
        problem(await client.post(f"{CHECK}/preview", json={"approval_id": approval_id}, headers=as_person("FF")), 403)
        answer = await client.post(f"{CHECK}/preview", json={"approval_id": approval_id}, headers=as_reader())
        assert answer.status_code == 200, "a preview, which leaves no row, is for readers"


async def test_readyz_asks_the_database_once_for_many():
    """Anybody may ask: what it costs the database does not follow from how many do."""
    async with served() as client:
        asked = 0
        value = client.app.state.database.value

        async def counted(statement, *arguments):
            nonlocal asked
            asked += "sensitive_check_preview" in statement
            return await value(statement, *arguments)

        client.app.state.database.value = counted
        answers = await asyncio.gather(*(client.get("/readyz") for _ in range(200)))
        assert {answer.status_code for answer in answers} == {200} and asked == 1
        client.app.state.database.probe._asked_at -= 10
        await asyncio.gather(*(client.get("/readyz") for _ in range(200)))
        assert asked == 2


async def test_what_the_token_has_taken_is_taken_off_the_budget():
    async with served() as client:
        approval_id = await issued(client)
        value, spent = client.app.state.database.value, {}

        async def slowly(statement, *arguments):
            spent["token" if "jwt_verify" in statement else "check"] = SPENT.get()
            if "jwt_verify" in statement:
                await asyncio.sleep(0.2)
            return await value(statement, *arguments)

        client.app.state.database.value = slowly
        for _ in range(2):
            assert (
                await client.post(CHECK, json={"approval_id": approval_id}, headers=as_person("FF"))
            ).status_code == 200
            assert spent["token"] == 0 and spent["check"] >= 0.2


async def test_look_alikes_are_nobody():
    """Two names that a reader takes for one must not count as two people: by token, and where people are named in the request."""
    async with served() as client:
        for name in ("ann\u00a0", "ann\u200b", "\ufeffann", "ann\u202e", "a\u0085nn", "\uff41nn", "\ufb01nn"):
            problem(await client.post(APPROVALS, json=order(), headers=as_person(name)), 401, sqlstate="28000")
    async with served(require_token=False) as client:
        for name in ("ann\u00a0", "ann\u200b", "\ufeffann", "ann\u202e", "a\u0085nn", "\uff41nn", "\ufb01nn"):
            problem(await client.post(APPROVALS, json=order(requested_by=name)), 422, "requested_by")


async def test_tokens_that_are_bound_or_live_too_long_are_refused():
    sql("select admin.set_jwt_issuer_max_life('https://idp.test', '2 hours')")
    try:
        async with served() as client:
            told = problem(
                await client.post(APPROVALS, json=order(), headers=as_person("ann", expires=3 * 3600)),
                401,
                sqlstate="28000",
            )
            assert "its life is longer" in told["detail"]
            told = problem(
                await client.post(APPROVALS, json=order(), headers=as_person("ann", cnf={"jkt": "x"})),
                401,
                sqlstate="28000",
            )
            assert "cnf" in told["detail"]
            assert (await client.post(APPROVALS, json=order(), headers=as_person("ann"))).status_code == 201
    finally:
        sql("select admin.set_jwt_issuer_max_life('https://idp.test', '100 years')")
