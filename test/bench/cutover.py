"""How long admin.cutover_readiness takes with a million approvals, each signed by two people."""

import time

from core import APPROVALS, alternate, load_approvals, report, sql

SECOND = 1000.0


def milliseconds():
    started = time.monotonic()
    rows = sql("select count(*) from admin.cutover_readiness")
    assert rows == "28", rows
    return 1000 * (time.monotonic() - started)


def looked_at():
    """That all of them were."""
    found = sql(
        "select (f ->> 'approvals') || ' ' || (f ->> 'signatures') from admin_internal.find_in_approvals() as f"
    )
    return found == f"{APPROVALS} {2 * APPROVALS}"


def shuffle():
    """The tables in an order that has nothing to do with ids."""
    print("shuffling ...", flush=True)
    sql(
        "create table public.a as select * from admin.approval",
        "create table public.s as select * from admin.signature",
    )
    sql(
        "set client_min_messages = error; drop extension admin_ext_cutover, admin_ext; create extension admin_ext; create extension admin_ext_cutover; "
        "select admin.create_audit_partitions()"
    )
    sql(
        "set admin_ext.restoring = on",
        "insert into admin.approval select * from public.a order by random()",
        "insert into admin.signature overriding system value select * from public.s order by random()",
        "drop table public.a, public.s",
        "vacuum (analyze, freeze) admin.approval",
        "vacuum (analyze, freeze) admin.signature",
        "checkpoint",
    )


def p18():
    load_approvals(APPROVALS)
    sql("create extension admin_ext_cutover")
    for name, order in (("P18", "in the order of their ids"), ("P18_shuffled", "in a shuffled order")):
        if name != "P18":
            shuffle()
        besides = looked_at()
        (took,) = alternate(milliseconds)
        report(
            name,
            f"cutover_readiness with {APPROVALS:,} approvals of two signatures each, {order}, against a second",
            ("cutover_readiness", "a second"),
            (took, [SECOND] * len(took)),
            1,
            "milliseconds",
            at_most=True,
            besides=besides,
        )
    sql("drop extension admin_ext_cutover")
