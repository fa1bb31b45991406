"""What the Redis sink tells its subscribers, and what not; speaks TAP."""

import json
import subprocess

from common import CHECK, ok, poll, setting, settings, sql, wait
from redis_harness import (
    CHANNEL,
    DELIVERED,
    PORT,
    REDIS,
    SERVER,
    SOCKET,
    URL,
    Subscriber,
    connect,
    create_extension,
    expected,
    issue,
    main,
    sign,
)

LISTENER = None


def by_hand(insert):
    """Rows that the extension itself would not write, as a superuser who lifts the guard of the trail does."""
    sql(
        f"begin; alter table admin.audit disable trigger audit_append_only; {insert}; "
        "alter table admin.audit enable always trigger audit_append_only; commit"
    )


def begin():
    global LISTENER
    SERVER.start()
    LISTENER = Subscriber()
    create_extension()
    wait(f"select state = 'idle' {REDIS}", "Redis is reached, and nothing is there to deliver")


def hears_all(name, where="true"):
    wanted = list(expected(where))
    heard = LISTENER.hears(len(wanted))
    ok(
        heard == wanted,
        f"{name}: {len(wanted)} messages, byte for byte",
        "\n".join(map(str, [*heard[-8:], "wanted", *wanted[-8:]])),
    )
    return wanted


def one_life():
    """Of an approval that is issued, altered, signed twice and withdrawn."""
    first = issue(1)
    sql(f"update admin.approval set resource = 'another' where approval_id = '{first}'")
    sign(first, 1, 2)
    sql(
        f"update admin.approval set state = 'withdrawn', closed_at = now(), closed_by = 'boss', close_reason = 'no more' where approval_id = '{first}'"
    )
    wanted = hears_all("issued, altered, signed, withdrawn")
    told = [(event["event_type"], event["state"], event["ttl_state"]) for event in map(json.loads, LISTENER.messages)]
    ok(
        told
        == [
            ("approval.issued", "pending", "not-applicable"),
            ("approval.altered", "pending", "not-applicable"),
            ("approval.signed_partial", "signed_partial", "not-applicable"),
            ("approval.signed_full", "signed_full", "valid"),
            ("approval.withdrawn", "withdrawn", "not-applicable"),
        ],
        "messages tell the states of an approval at the time of each event",
        told,
    )
    event = json.loads(wanted[3])
    ok(
        event["valid_until"]
        == sql(
            f"select to_char(sla_deadline at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') from admin.approval where approval_id = '{first}'"
        ),
        "valid_until of a fully signed approval is its deadline",
        event,
    )


def deadlines():
    """ttl_state is the one at the time of the event."""
    for number, deadline in (
        (11, "now() - interval '1 hour'"),
        (12, "now() - interval '24 hours'"),
        (13, "now() - interval '25 hours'"),
        (14, "'2999-12-31 23:59:59.999999Z'"),
        (15, "'0001-01-01 00:00:00Z'"),
        (16, "'2000-02-29 12:00:00Z'"),
    ):
        sign(issue(number, 1, deadline), 1)
    hears_all("past and far deadlines")
    told = [json.loads(message)["ttl_state"] for message in LISTENER.messages if b"signed_full" in message]
    ok(set(told) == {"valid", "expired", "stale"}, "signed approvals are told as valid, expired and stale", told)
    sign(issue(17, 1, "'10000-01-01 00:00:00Z'"), 1)
    sign(issue(18, 1, "'0044-03-15 00:00:00Z BC'"), 1)
    heard = [json.loads(message) for message in LISTENER.hears(len(LISTENER.messages) + 4, 5)[-4:]]
    ok(
        [(event["ttl_state"], event["valid_until"]) for event in heard]
        == [("not-applicable", None), ("valid", "+10000-01-01T00:00:00.000000Z"), ("stale", None), ("stale", None)],
        "deadlines beyond four digits",
        heard,
    )


def nothing_else():
    """Checks, signatures and what came from elsewhere are delivered, and told to nobody."""
    before = len(LISTENER.messages)
    sql(CHECK)
    by_hand(
        "insert into admin.audit (event_type, approval_id, source, source_event_id, payload) "
        "select 'approval.signed_full', approval_id, '/ff/one', 'e1', payload from admin.audit where event_type = 'approval.issued' limit 1"
    )
    by_hand(
        "insert into admin.audit (event_type, approval_id, source, source_event_id, payload) "
        "select 'approval.signed_full', approval_id, '/admin_ext/' || gen_random_uuid(), '7', payload from admin.audit where event_type = 'approval.issued' limit 1"
    )
    by_hand(
        "insert into admin.audit (event_type, approval_id, source, source_event_id, payload) "
        "select 'approval.signed_full', approval_id, '/admin_ext/' || (select store_id from admin.store), '1', payload from admin.audit where event_type = 'approval.issued' limit 1"
    )
    by_hand(
        "insert into admin.audit (event_type, approval_id, payload) values ('approvals.signed_full', 'APP-000001-k', '{}'), ('row.updated', null, '{\"type\":\"ptt.admin.approval.issued\"}')"
    )
    wait(DELIVERED, "rows that are told to nobody count as delivered")
    ok(
        sql("select count(*) > 0 from admin.audit where event_type = 'signature.added'") == "t",
        "the trail has events of signatures",
    )
    ok(
        len(LISTENER.messages) == before,
        "checks, signatures and what came from elsewhere are not published",
        LISTENER.messages[before:],
    )
    sql(f"set role {role()}; select admin.sensitive_check('APP-000001-k')")
    wait(DELIVERED, "the row of a checker's decision counts as delivered")
    ok(len(LISTENER.messages) == before, "a checker's decision is not published", LISTENER.messages[before:])


def role():
    sql("create role checker; select admin.grant_access('checker', 'checker')")
    return "checker"


def odd_texts():
    """JSON's special characters, and others' letters."""
    by_hand("""insert into admin.audit (event_type, approval_id, payload)
           select 'approval.' || t, E'APP-"\\\\\\n\\t\\x01äß€😀', json_build_object('row', payload -> 'row', 'big', repeat('x', 100000), 'n', 1e400::numeric)
           from admin.audit, unnest(array['x"y', 'ü']) as t where event_type = 'approval.issued' and approval_id = 'APP-000001-k'""")
    wait(DELIVERED, "odd rows are delivered")
    heard = [json.loads(message) for message in LISTENER.messages[-2:]]
    ok(
        [(event["approval_id"], event["event_type"]) for event in heard]
        == [('APP-"\\\n\t\x01äß€😀', 'approval.x"y'), ('APP-"\\\n\t\x01äß€😀', "approval.ü")],
        "odd rows are published as they are",
        heard,
    )


def impossible():
    """A row that somebody has made by hand, and that no message can be made of, holds nobody up."""
    by_hand(
        "insert into admin.audit (event_type, approval_id, payload) values ('approval.issued', 'APP-000001-k', '{\"row\":null}')"
    )
    by_hand(
        "insert into admin.audit (event_type, approval_id, payload) values ('approval.issued', 'APP-000001-k', '{\"row\":\"\\u0000\"}')"
    )
    by_hand(
        "insert into admin.audit (event_type, approval_id, payload) values ('approval.issued', 'APP-000001-k', "
        '\'{"row":{"state":"pending","closed_at":null,"sla_deadline":"tomorrow"}}\')'
    )
    before = len(LISTENER.messages)
    issue(20)
    heard = LISTENER.hears(before + 1)
    ok(
        b"APP-000020-k" in heard[-1] and len(heard) == before + 1,
        "a row behind rows that no message can be made of is published, and nothing else",
        heard[before:],
    )
    wait(
        "select count(*) = 3 from admin.dead_letter where sink = 'redis'",
        "rows that no message can be made of are dead letters",
    )
    errors = sql("select error from admin.dead_letter order by audit_id")
    ok(
        errors.count(
            "the event carries no row of admin.approval: state, sla_deadline or closed_at is missing or malformed"
        )
        == 2
        and "the document cannot be read: unsupported Unicode escape sequence" in errors,
        "the error of a dead letter says why no message can be made of the row",
        errors,
    )


def many():
    """A transaction of thousands: more than a socket takes at once."""
    before = len(LISTENER.messages)
    sql(
        "insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline) "
        "select 'APP-' || lpad(n::text, 6, '0') || '-m', 'pay', '{x}', 1, 'boss', '2040-01-01' from generate_series(1, 25000) as n"
    )
    wanted = list(expected("approval_id like '%-m'"))
    heard = LISTENER.hears(before + len(wanted), 60)[before:]
    ok(heard == wanted, f"{len(wanted)} approvals of one transaction, in order")


def stream():
    """With a stream, whoever has heard a message finds it there."""
    redis = connect()
    settings(redis_stream="approvals", redis_stream_length="100")
    sign(issue(30), 1, 2)
    wanted = list(expected("approval_id = 'APP-000030-k'"))
    wait(DELIVERED, "rows are delivered with a stream")
    found = [entry[b"message"] for _, entry in redis.xrange("approvals")]
    ok(found == wanted, "the stream has the messages", (found, wanted))
    ok(LISTENER.hears(0)[-3:] == wanted, "the channel has the messages that the stream has")
    sql(
        "insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline) "
        "select 'APP-' || lpad(n::text, 6, '0') || '-s', 'pay', '{x}', 1, 'boss', '2040-01-01' from generate_series(1, 1000) as n"
    )
    wait(DELIVERED, "a thousand approvals are delivered with a stream")
    length = redis.xlen("approvals")
    ok(100 <= length <= 300, "the stream is kept about as short as it is told", length)


def renamed():
    """A reload is enough."""
    redis = connect()
    other = Subscriber("100% postgres")
    settings(redis_channel="100%% %d", redis_stream="%d of %s")
    approval = issue(40)
    wanted = list(expected(f"approval_id = '{approval}'"))
    before = len(LISTENER.messages)
    ok(other.hears(1) == wanted, "a reload changes the channel of messages", other.messages)
    wait(DELIVERED, "all is delivered to another channel")
    ok(
        [entry[b"message"] for _, entry in redis.xrange("postgres of " + sql("select store_id from admin.store"))]
        == wanted,
        "a reload changes the stream of messages",
    )
    ok(
        sql("select place from admin.sink_places() where sink = 'redis'") == 'channel "100% postgres"',
        "admin.sink_places() shows the channel with the name of the database",
    )
    ok(len(LISTENER.messages) == before, "the old channel gets no message after the change")
    other.close()
    settings(redis_channel=CHANNEL, redis_stream="")


def databases():
    """A unix socket, and a database where the stream goes."""
    settings(redis_url=f"unix://{SOCKET}?db=3", redis_stream="approvals")
    approval = issue(50)
    wait(DELIVERED, "rows are delivered by a unix socket")
    ok(
        [entry[b"message"] for _, entry in connect(db=3).xrange("approvals")]
        == list(expected(f"approval_id = '{approval}'")),
        "the stream of a URL with db=3 is in database 3",
    )
    setting("redis_url", f"redis://localhost:{PORT}/5")
    approval = issue(51)
    wait(DELIVERED, "rows are delivered to a Redis that is named by its host")
    ok(
        [entry[b"message"] for _, entry in connect(db=5).xrange("approvals")]
        == list(expected(f"approval_id = '{approval}'")),
        "the stream of a URL with /5 is in database 5",
    )
    ok(any(each["name"] == "admin_ext" for each in connect().client_list()), "the connection has a name")
    ok(
        all(message in LISTENER.messages for message in expected("approval_id in ('APP-000050-k', 'APP-000051-k')")),
        "a subscriber hears a channel whichever database the URL names",
    )


def two_databases():
    """They share a channel: numbers and approvals of one are not those of the other."""
    sql("create database payments")
    sql("alter system set admin_ext.databases = 'postgres, payments'")
    other = ["psql", "-XAtq", "-d", "payments", "-v", "ON_ERROR_STOP=1", "-c"]
    subprocess.run(
        [*other, "set client_min_messages = error; create extension admin_ext; select admin.create_audit_partitions()"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    settings(redis_url=URL)
    subprocess.run(
        [
            *other,
            "insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline) "
            "values ('APP-000001-k', 'pay', '{x}', 1, 'boss', '2040-01-01')",
        ],
        check=True,
    )
    store = subprocess.run(
        [*other, "select store_id from admin.store"], check=True, capture_output=True, text=True
    ).stdout.strip()
    ok(
        poll(lambda: json.loads(LISTENER.messages[-1])["database"] == "payments", 60),
        "another database publishes to the same channel",
        LISTENER.messages[-1],
    )
    event = json.loads(LISTENER.messages[-1])
    ok(
        list(event)[:3] == ["store", "database", "approval_id"]
        and event["store"] == store != sql("select store_id from admin.store")
        and event["approval_id"] == "APP-000001-k",
        "a message says first which store and database it is from",
        event,
    )


if __name__ == "__main__":
    main(
        begin, one_life, deadlines, nothing_else, odd_texts, impossible, many, stream, renamed, databases, two_databases
    )
