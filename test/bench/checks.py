"""What a check and a guarded change cost, against the same without us."""

import os

from core import APPROVALS, ID, ROUNDS, alternate, load_approvals, pgbench, report, sql


def preview_script(count):
    return f"\\set n random(0, {count - 1})\nselect admin.sensitive_check_preview({ID});\n"


def select_script(count):
    return f"\\set n random(0, {count - 1})\nselect * from admin.approval where approval_id = {ID};\n"


def p1():
    load_approvals(APPROVALS)
    rounds = alternate(lambda: pgbench(preview_script(APPROVALS)), lambda: pgbench(select_script(APPROVALS)))
    report(
        "P1",
        f"sensitive_check_preview against a bare prepared select, {APPROVALS:,} approvals",
        ("preview", "select"),
        rounds,
        0.85,
    )


def bare_audit():
    sql(
        "drop table if exists public.bare_audit",
        "create table public.bare_audit (like admin.audit including defaults)",
        "alter table public.bare_audit alter audit_id add generated always as identity, add primary key (audit_id)",
        "create index on public.bare_audit (xid, audit_id)",
        "create index on public.bare_audit (approval_id, audit_id) where approval_id is not null",
        'create unique index on public.bare_audit (source collate "C", source_event_id collate "C") where source_event_id is not null',
    )


def ensure_approvals():
    """What an earlier benchmark of this run has loaded will do."""
    if sql("select count(*) from pg_extension where extname = 'admin_ext'") == "0":
        load_approvals(APPROVALS)


def p2():
    ensure_approvals()
    bare_audit()
    # pgbench takes a colon for a variable.
    payload = sql(f"select admin.sensitive_check_preview({ID.replace(':n', '5')})").replace(":", "\\003A")
    script = f"\\set n random(0, {APPROVALS - 1})\nselect admin.sensitive_check({ID});\n"
    bare = f"\\set n random(0, {APPROVALS - 1})\ninsert into public.bare_audit (event_type, approval_id, payload) values ('sensitive.check.2b', {ID}, U&'{payload}');\n"
    for commit, bar in (("on", 0.9), ("off", 0.8)):
        os.environ["PGOPTIONS"] = f"-c synchronous_commit={commit}"
        rounds = alternate(lambda: pgbench(script), lambda: pgbench(bare))
        del os.environ["PGOPTIONS"]
        report(
            f"P2_{commit}",
            f"sensitive_check against a bare prepared INSERT, synchronous_commit {commit}",
            ("check", "insert"),
            rounds,
            bar,
        )


def p3():
    load_approvals(APPROVALS, signed=False)
    sql(
        "drop table if exists public.bare_approval",
        "create table public.bare_approval (like admin.approval including all)",
        "insert into public.bare_approval select * from admin.approval",
        "vacuum (analyze, freeze) public.bare_approval",
    )
    update = "\\set n random(0, {0})\n\\set v random(1, 1000000)\nupdate {1} set resource = (:v)::text where approval_id = {2};\n"
    for commit, bar in (("on", 0.9), ("off", 0.8)):
        os.environ["PGOPTIONS"] = f"-c synchronous_commit={commit}"
        rounds = alternate(
            lambda: pgbench(update.format(APPROVALS - 1, "admin.approval", ID)),
            lambda: pgbench(update.format(APPROVALS - 1, "public.bare_approval", ID)),
        )
        del os.environ["PGOPTIONS"]
        report(
            f"P3_{commit}",
            f"UPDATE with guard and row-change trigger against one without, synchronous_commit {commit}",
            ("triggers", "bare"),
            rounds,
            bar,
        )
    sql("drop extension admin_ext cascade", "drop table public.bare_approval")


def read_into_buffers():
    sql(
        "create extension if not exists pg_prewarm",
        *(f"select pg_prewarm('admin.{name}')" for name in ("approval", "approval_pkey", "signature_one_per_role")),
    )


def p4():
    small, large = 10_000, int(os.environ.get("BENCH_LARGE", "10000000"))
    rates = {}
    for count in (large, small):
        load_approvals(count)
        read_into_buffers()
        pgbench(preview_script(count))
        rates[count] = [pgbench(preview_script(count)) / pgbench(select_script(count)) for _ in range(ROUNDS)]
    # Both are measured against a bare select of the same table in the same minute.
    report(
        "P4",
        f"preview at {large:,} approvals against {small:,}, each relative to a bare select",
        (f"{large:,}", f"{small:,}"),
        [rates[large], rates[small]],
        0.8,
        "x of a bare select",
    )
