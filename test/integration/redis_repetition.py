"""What the Redis sink publishes again after a failover, or on a new connection, and what it does not; speaks TAP."""

import session
from common import expect, ok, poll, setting, sql, wait
from redis_delivery import by_hand
from redis_harness import DELIVERED, REDIS, issue
from redis_nodes import PROXY, change, events, fail_over, free_port, heard_again, hears, listen_at, main, numbers, reset


def age(seconds):
    """What was published seems to have been so long ago; the next worker reads it."""
    pid = sql(f"select pid {REDIS}")
    sql(f"""begin; lock table admin.sink_position;
            select pg_terminate_backend({pid});
            update admin.sink_position as p set sink_detail = concat_ws('/', split_part(split_part(sink_detail, ' ', 1), '/', 1), split_part(split_part(sink_detail, ' ', 1), '/', 2),
                greatest(split_part(split_part(sink_detail, ' ', 1), '/', 3)::bigint - {seconds}, 0), greatest(split_part(split_part(sink_detail, ' ', 1), '/', 4)::bigint - {seconds}, 0),
                split_part(split_part(sink_detail, ' ', 1), '/', 5)) || (
                select coalesce(string_agg(' ' || split_part(s, ':', 1)::bigint - {seconds} || ':' || split_part(s, ':', 2) || ':' || split_part(s, ':', 3), '' order by n), '')
                from regexp_split_to_table(sink_detail, ' ') with ordinality as t(s, n) where n > 1)
            where sink = 'redis' and position_id = (select max(position_id) from admin.sink_position where sink = 'redis');
            commit""")
    wait(f"select state = 'idle' and pid <> {pid} {REDIS}", "another worker is connected", 30)


def long_ago():
    """Two primaries for more than a minute: what the new one has is told from what it has not."""
    old, new = reset()
    before = issue(next(numbers), tag="f")
    wait(DELIVERED, "an approval is delivered before two primaries part")
    published = old.offset()
    expect(lambda: new.offset() >= published, "the replica has it, too")
    age(130)
    listener = listen_at(new)
    PROXY.prefers = old
    new.connect().replicaof("NO", "ONE")
    lost = issue(next(numbers), tag="f")
    wait(DELIVERED, "an approval is delivered to the old primary alone")
    age(130)
    ok(not listener.messages, "the new primary has heard nothing", listener.messages)
    PROXY.prefers = None
    old.connect().replicaof("127.0.0.1", new.port)
    hears(
        listener,
        lost,
        "approval.issued",
        "a primary that was cut off for long: what the new one lacks is published again",
    )
    wait(DELIVERED, "all is delivered after a primary was cut off for long")
    ok(
        not any(event["approval_id"] == before for event in events(listener)),
        "what the new primary has is not published again",
        events(listener)[:3],
    )
    listener.close()


def let_in(user, *nodes):
    """The worker connects as a user without +info."""
    for node in nodes:
        node.connect().execute_command(
            "ACL", "SETUSER", user, "on", f">{user}", "+auth", "+ping", "+publish", "+role", "&approval_ttl_refresh"
        )
    setting("redis_url", f"redis://{user}:{user}@127.0.0.1:{PROXY.port}")
    expect(lambda: any(each["user"] == user for each in nodes[0].connect().client_list()), "the user is let in")


def asked_for_role(node):
    """How often, by now; the worker asks once a second."""
    return node.connect().info("commandstats").get("cmdstat_role", {}).get("calls", 0)


def role_alone():
    """A user without +info: each connection may be to another history."""
    old, new = reset()
    let_in("app", old, new)
    approval = issue(next(numbers), tag="f")
    wait(DELIVERED, "an approval is delivered by a user with +role and without +info")
    fail_over(old, new)
    listener = listen_at(new)
    hears(listener, approval, "approval.issued", "a failover publishes again what a user without +info has published")
    wait(DELIVERED, "all is delivered by a user without +info after a failover")
    listener.close()


def role_alone_and_replicas():
    """What all replicas have is not published again with each connection."""
    old, new = reset()
    let_in("app", old, new)
    held = issue(next(numbers), tag="f")
    wait(DELIVERED, "an approval is delivered by a user without +info")
    published = old.offset()
    expect(lambda: old.connect().info("replication")["slave0"]["offset"] >= published, "the replica has it")
    asked = asked_for_role(old)
    expect(lambda: asked_for_role(old) >= asked + 3, "the worker has heard that the replica has it")
    change()
    wait(DELIVERED, "the next position is recorded")
    listener = listen_at(old)
    age(130)
    last = issue(next(numbers), tag="f")
    hears(listener, last, "approval.issued", "on a new connection delivery goes on")
    wait(DELIVERED, "all is delivered on a new connection")
    ok(not heard_again(listener, held), "what all replicas have is not published again", events(listener)[:2])
    listener.close()


def role_alone_without_replicas():
    """Nobody says what a failover would lose: ten minutes after the first publication it ends all the same."""
    old, new = reset()
    let_in("app", old, new)
    new.kill()
    expect(lambda: not old.connect().info("replication")["connected_slaves"], "the replica is gone")
    approval = issue(next(numbers), tag="f")
    wait(DELIVERED, "a user without +info delivers an approval to a primary without replicas")
    listener = listen_at(old)
    age(400)
    hears(
        listener,
        approval,
        "approval.issued",
        "a new connection to a primary without replicas publishes an approval again",
    )
    wait(DELIVERED, "all is delivered on the second connection to a primary without replicas")
    heard = heard_again(listener, approval)
    age(400)
    last = issue(next(numbers), tag="f")
    hears(
        listener, last, "approval.issued", "the third connection to a primary without replicas publishes a new approval"
    )
    wait(DELIVERED, "all is delivered on the third connection to a primary without replicas")
    ok(
        heard_again(listener, approval) == heard,
        "what was published first more than ten minutes ago is not published again",
        heard_again(listener, approval),
    )
    listener.close()


def issue_late():
    """An approval in a transaction that is open still, and that transaction."""
    late = session.connect()
    late.autocommit = False
    name = f"APP-{next(numbers):06}-f"
    with late.cursor() as cursor:
        cursor.execute(
            "insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline) "
            f"values ('{name}', 'pay', '{{r1}}', 1, 'boss', now() + interval '1 day')"
        )
    return late, name


def commit_late():
    """Both servers, an approval that was committed late, and those published long before, with higher numbers."""
    old, new = reset()
    late, name = issue_late()
    held = [issue(next(numbers), tag="f") for _ in range(5)]
    wait(DELIVERED, "approvals are delivered before one with a lower number is committed")
    published = old.offset()
    expect(lambda: new.offset() >= published, "the replica has it, too")
    age(130)
    late.commit()
    late.close()
    return old, new, name, held


def late_row():
    """It has a low number, and was published in the last minute; what lies between was not."""
    old, new, name, held = commit_late()
    last = issue(next(numbers), tag="f")
    wait(DELIVERED, "a row that was committed late is delivered")
    fail_over(old, new)
    listener = listen_at(new)
    for approval, which in ((name, "a late row"), (last, "a row behind a late row")):
        hears(
            listener,
            approval,
            "approval.issued",
            f"a failover publishes {which} again that was published in the last minute",
        )
    wait(DELIVERED, "all is delivered after a late row and a failover")
    ok(
        not any(heard_again(listener, approval) for approval in held),
        "what was published long before a late row is not published again",
        events(listener),
    )
    after = issue(next(numbers), tag="f")
    hears(listener, after, "approval.issued", "delivery goes on after a late row and a failover")
    listener.close()


def repeated_after_crash():
    """A worker that is ended while it repeats goes on with what is left of that, and with nothing else."""
    old, new, name, held = commit_late()
    setting("batch_rows", 1)
    several = [issue(next(numbers), tag="f") for _ in range(40)]
    wait(DELIVERED, "approvals are delivered in batches of one row")
    listener = listen_at(new)
    fail_over(old, new)
    hears(listener, name, "approval.issued", "the late row is published again")
    sql(f"select pg_terminate_backend(pid) {REDIS}")
    wait(DELIVERED, "all is delivered by another worker")
    setting("batch_rows", 10000)
    hears(listener, several[-1], "approval.issued", "another worker publishes what was left of a repetition")
    ok(
        not any(heard_again(listener, approval) for approval in held),
        "another worker does not repeat what was published long before a late row",
        events(listener),
    )
    listener.close()


def skipped_rows():
    """Rows between a late one and the others were skipped."""
    old, new = reset()
    late, name = issue_late()
    setting("redis_url", f"redis://127.0.0.1:{free_port()}")
    wait(f"select state = 'backing_off' {REDIS}", "Redis is away")
    skipped = issue(next(numbers), tag="f")
    sql("select admin.resync_sink('redis', (select max(audit_id) + 1 from admin.audit))")
    setting("redis_url", f"redis://127.0.0.1:{PROXY.port}")
    listener = listen_at(new)
    late.commit()
    late.close()
    hears(listener, name, "approval.issued", "a row that was committed after the resync is published")
    wait(DELIVERED, "all is delivered after a resync")
    before = heard_again(listener, name)
    listener.close()
    fail_over(old, new)
    listener = listen_at(new)
    hears(listener, name, "approval.issued", "a failover publishes a row again that was committed after a resync")
    wait(DELIVERED, "all is delivered after a resync and a failover")
    ok(
        before == 1 and not heard_again(listener, skipped),
        "a row that was skipped is not published by a failover",
        events(listener),
    )
    listener.close()


def dead_letter(approval):
    """An event that no message can be made of, written by hand; its number."""
    by_hand(
        f"insert into admin.audit (event_type, approval_id, payload) values ('approval.issued', '{approval}', '{{\"row\": null}}')"
    )
    wait(
        "select count(*) = 1 from admin.dead_letter where sink = 'redis'",
        "an event that no message can be made of is a dead letter",
    )
    return int(sql("select audit_id from admin.dead_letter where sink = 'redis'"))


def mend(letter):
    """A superuser gives the event what a message is made of."""
    by_hand(
        "alter table admin.audit disable trigger audit_append_only_statement; "
        'update admin.audit set payload = \'{"row": {"state": "pending", "closed_at": null, "sla_deadline": "2040-01-01T00:00:00.000000Z"}}\' '
        f"where audit_id = {letter}; alter table admin.audit enable always trigger audit_append_only_statement"
    )


def retried_dead_letter():
    """It is late: its number is below those of changes that were published long before."""
    old, new = reset()
    name = f"APP-{next(numbers):06}-f"
    letter = dead_letter(name)
    held = [issue(next(numbers), tag="f") for _ in range(5)]
    wait(DELIVERED, "approvals with numbers above a dead letter's are delivered")
    published = old.offset()
    expect(lambda: new.offset() >= published, "the replica has it, too")
    age(130)
    mend(letter)
    listener = listen_at(new)
    sql(f"select admin.retry_dead_letter('redis', {letter})")
    hears(listener, name, "approval.issued", "a dead letter that is retried is published to the primary")
    wait(
        "select count(*) = 0 from admin.dead_letter where sink = 'redis'", "a dead letter that is published is removed"
    )
    last = issue(next(numbers), tag="f")
    hears(listener, last, "approval.issued", "delivery goes on after a retried dead letter")
    ok(heard_again(listener, name) == 1, "a retried dead letter is published once", events(listener))
    fail_over(old, new)
    for approval, which in ((name, "a retried dead letter"), (last, "a row behind a dead letter")):
        ok(
            poll(lambda: heard_again(listener, approval) == 2, 30),
            f"a failover publishes {which} again that was published in the last minute",
            events(listener),
        )
    wait(DELIVERED, "all is delivered after a retried dead letter and a failover")
    after = issue(next(numbers), tag="f")
    hears(listener, after, "approval.issued", "delivery goes on after the failover")
    ok(
        [heard_again(listener, approval) for approval in (name, last, after)] == [2, 2, 1],
        "a failover repeats a retried dead letter once",
        events(listener),
    )
    ok(
        not any(heard_again(listener, approval) for approval in held),
        "a failover does not publish what lies between a retried dead letter and the last minute",
        events(listener),
    )
    listener.close()


if __name__ == "__main__":
    main(
        long_ago,
        role_alone,
        role_alone_and_replicas,
        role_alone_without_replicas,
        late_row,
        repeated_after_crash,
        skipped_rows,
        retried_dead_letter,
    )
