"""Benchmarks of admin_ext, as ratios of two sides that alternate in one run.

Run by test/bench/run, which starts the scratch server.  Each benchmark prints a line and
writes a Markdown table and an SVG plot of every round to test/bench/results.
"""
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

RESULTS = pathlib.Path(__file__).parent / "results"
SCRATCH = pathlib.Path(os.environ["SCRATCH"])
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
SECONDS = int(os.environ.get("BENCH_SECONDS", "5"))
APPROVALS = int(os.environ.get("BENCH_APPROVALS", "1000000"))
ROWS = int(os.environ.get("BENCH_ROWS", "1000000"))
# The id of approval :n, the same expression on both sides of every comparison.
ID = "('APP-' || lpad((:n % 1000000)::text, 6, '0') || '-x' || (:n / 1000000))"
PAYLOAD = "('{\"n\": ' || i || ', \"text\": \"' || repeat('abcdefghij', 38) || '\"}')::json"


def sql(command, *more):
    """Runs SQL as superuser; returns the output, unaligned."""
    arguments = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1"]
    for each in (command, *more):
        arguments += ["-c", each]
    return subprocess.run(arguments, check=True, capture_output=True, text=True).stdout.strip()


def wait(condition, seconds=600):
    """Polls SQL until it says t."""
    deadline = time.monotonic() + seconds
    while sql(condition) != "t":
        if time.monotonic() > deadline:
            raise TimeoutError(condition)
        time.sleep(0.02)


def pgbench(script, clients=2, variables=()):
    """Transactions per second of a pgbench script, prepared."""
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        command = ["pgbench", "-n", "-M", "prepared", "-c", str(clients), "-j", "2", "-T", str(SECONDS), "-f", file.name]
        for name, value in variables:
            command += ["-D", f"{name}={value}"]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(next(line for line in output.splitlines() if line.startswith("tps")).split()[2])


def alternate(one, other, rounds=ROUNDS):
    """Rounds of both sides, in turn, the first one thrown away."""
    one(), other()
    results = ([], [])
    for _ in range(rounds):
        results[0].append(one())
        results[1].append(other())
    return results


def plot(name, labels, rounds, unit):
    """A bar for every round, side by side."""
    width, height, top = 60 + 26 * sum(map(len, rounds)) + 40, 220, max(map(max, rounds)) or 1
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height + 50}" font-family="sans-serif" font-size="12">']
    x = 50
    for label, values, colour in zip(labels, rounds, ("#3465a4", "#888a85")):
        parts.append(f'<text x="{x}" y="{height + 30}" fill="{colour}">{label}</text>')
        for value in values:
            bar = value / top * (height - 40)
            parts.append(f'<rect x="{x}" y="{height - bar:.1f}" width="20" height="{bar:.1f}" fill="{colour}"/>')
            x += 26
        x += 20
    parts.append(f'<text x="4" y="16">{name}: up to {top:,.0f} {unit}</text></svg>')
    (RESULTS / f"{name}.svg").write_text("\n".join(parts) + "\n")


def report(name, what, labels, rounds, bar, unit="per second", at_most=False, besides=True):
    """One line, one table, one plot; besides: what else has to hold."""
    medians = [statistics.median(values) for values in rounds]
    ratio = medians[0] / medians[1] if medians[1] else float("inf")
    met = besides and (ratio <= bar if at_most else ratio >= bar)
    verdict = "met" if met else "missed"
    line = f"{name}: {what}: ratio {ratio:.2f}, bar {'at most' if at_most else 'at least'} {bar}: {verdict}"
    print(line, flush=True)
    text = [f"# {name}", "", what, "", f"{sql('select version()')}; {os.cpu_count()} cores, {platform.system()} {platform.release()}",
            "", f"| {unit} | " + " | ".join(f"round {i + 1}" for i in range(len(rounds[0]))) + " | median |",
            "|---|" + "---|" * (len(rounds[0]) + 1)]
    for label, values, median in zip(labels, rounds, medians):
        text.append(f"| {label} | " + " | ".join(f"{value:,.1f}" for value in values) + f" | {median:,.1f} |")
    text += ["", line[len(name) + 2:]]
    (RESULTS / f"{name}.md").write_text("\n".join(text) + "\n")
    plot(name, labels, rounds, unit)


def load_approvals(count):
    """Approvals 0 to count - 1, signed in full by two people each."""
    print(f"loading {count:,} approvals ...", flush=True)
    sql("set client_min_messages = error; drop extension if exists admin_ext; create extension admin_ext; select admin.create_audit_partitions()")
    sql("set admin_ext.restoring = on",
        f"""insert into admin.approval (approval_id, action, resource, required_roles, required_signer_count, requested_by, state, sla_deadline)
            select {ID.replace(':n', 'n')}, 'payout', 'account', '{{finance,legal}}', 2, 'ann', 'signed_full', '2040-01-01'
            from generate_series(0, {count - 1}) as n""",
        """insert into admin.signature (approval_id, signer_role, signer, approval_digest)
           select approval_id, role, 'signer of ' || role, admin.approval_digest(approval_id)
           from admin.approval, unnest(array['finance', 'legal']) as role""",
        "vacuum (analyze, freeze) admin.approval", "vacuum (analyze, freeze) admin.signature", "checkpoint")


def preview_script(count):
    return f"\\set n random(0, {count - 1})\nselect admin.sensitive_check_preview({ID});\n"


def select_script(count):
    return f"\\set n random(0, {count - 1})\nselect * from admin.approval where approval_id = {ID};\n"


def p1():
    load_approvals(APPROVALS)
    rounds = alternate(lambda: pgbench(preview_script(APPROVALS)), lambda: pgbench(select_script(APPROVALS)))
    report("P1", f"sensitive_check_preview against a bare prepared select, {APPROVALS:,} approvals", ("preview", "select"), rounds, 1.0)


def bare_audit():
    sql("drop table if exists public.bare_audit",
        "create table public.bare_audit (like admin.audit including defaults)",
        "alter table public.bare_audit alter audit_id add generated always as identity, add primary key (audit_id)",
        "create index on public.bare_audit (xid, audit_id)",
        "create index on public.bare_audit (approval_id, audit_id) where approval_id is not null")


def ensure_approvals():
    """What an earlier benchmark of this run has loaded will do."""
    if sql("select count(*) from pg_extension where extname = 'admin_ext'") == "0":
        load_approvals(APPROVALS)


def p2():
    ensure_approvals()
    bare_audit()
    # pgbench takes a colon for a variable.
    payload = sql(f"select admin.sensitive_check_preview({ID.replace(':n', '5')})").replace(':', '\\003A')
    script = f"\\set n random(0, {APPROVALS - 1})\nselect admin.sensitive_check({ID});\n"
    bare = f"\\set n random(0, {APPROVALS - 1})\ninsert into public.bare_audit (event_type, approval_id, payload) values ('sensitive.check.2b', {ID}, U&'{payload}');\n"
    for commit, bar in (("on", 0.9), ("off", 0.7)):
        os.environ["PGOPTIONS"] = f"-c synchronous_commit={commit}"
        rounds = alternate(lambda: pgbench(script), lambda: pgbench(bare))
        del os.environ["PGOPTIONS"]
        report(f"P2_{commit}", f"sensitive_check against a bare prepared INSERT, synchronous_commit {commit}", ("check", "insert"), rounds, bar)


def p3():
    ensure_approvals()
    sql("drop table if exists public.bare_approval", "create table public.bare_approval (like admin.approval including all)",
        "insert into public.bare_approval select * from admin.approval", "vacuum (analyze, freeze) public.bare_approval")
    sql("set admin_ext.restoring = on", "delete from admin.signature", "update admin.approval set state = 'pending'", "vacuum full admin.approval", "checkpoint")
    update = "\\set n random(0, {0})\n\\set v random(1, 1000000)\nupdate {1} set resource = (:v)::text where approval_id = {2};\n"
    for commit, bar in (("on", 0.95), ("off", 0.8)):
        os.environ["PGOPTIONS"] = f"-c synchronous_commit={commit}"
        rounds = alternate(lambda: pgbench(update.format(APPROVALS - 1, "admin.approval", ID)),
                           lambda: pgbench(update.format(APPROVALS - 1, "public.bare_approval", ID)))
        del os.environ["PGOPTIONS"]
        report(f"P3_{commit}", f"UPDATE with guard and row-change trigger against one without, synchronous_commit {commit}",
               ("triggers", "bare"), rounds, bar)
    sql("drop extension admin_ext cascade", "drop table public.bare_approval")


def p4():
    small, large = 10_000, int(os.environ.get("BENCH_LARGE", "10000000"))
    rates = {}
    for count in (large, small):
        load_approvals(count)
        pgbench(preview_script(count))
        rates[count] = [pgbench(preview_script(count)) / pgbench(select_script(count)) for _ in range(ROUNDS)]
    # Both are measured against a bare select of the same table in the same minute.
    report("P4", f"preview at {large:,} approvals against {small:,}, each relative to a bare select", (f"{large:,}", f"{small:,}"),
           [rates[large], rates[small]], 0.8, "x of a bare select")


def deliver(on):
    sql(f"alter system set admin_ext.databases = {'postgres' if on else chr(39) * 2}", "select pg_reload_conf()")
    wait(f"select count(*) = {int(on)} from admin.worker_status")
    if not on:
        wait("select count(*) = 0 from pg_stat_activity where backend_type = 'admin_ext worker'")


def load_trail(rows, transactions=1):
    sql("set client_min_messages = error; drop extension if exists admin_ext; create extension admin_ext; select admin.create_audit_partitions()")
    for _ in range(transactions):
        sql(f"insert into admin.audit (event_type, approval_id, payload) select 'load', 'APP-000001-x', {PAYLOAD} from generate_series(1, {rows // transactions}) as i")
    sql("vacuum (analyze) admin.audit", "checkpoint")


def redeliver():
    """Begins to deliver everything again, in windows, to new files; as an operator's row would say it."""
    deliver(False)
    sql("""insert into admin.sink_position (sink, position_id, store_id, tick_id)
           select sink, max(position_id) + 1, (select store_id from admin.store), 0 from admin.sink_position group by sink""")
    subprocess.run(["rm", "-rf", str(SCRATCH / "data/admin_ext")], check=True)
    deliver(True)


def deliver_all(rows):
    """Rows per second from the worker's first look to the last position."""
    redeliver()
    wait(f"select delivered_rows >= {rows} and state = 'idle' from admin.worker_status")
    return rows / float(sql("select extract(epoch from last_delivery_at - started_at) from admin.worker_status"))


def copy_all(rows):
    with tempfile.TemporaryDirectory() as directory:
        started = time.monotonic()
        subprocess.run(["psql", "-Xq", "-c", f"\\copy (select payload from admin.audit) to '{directory}/copy'"], check=True)
        return rows / (time.monotonic() - started)


def p7():
    load_trail(ROWS)
    rounds = alternate(lambda: deliver_all(ROWS), lambda: copy_all(ROWS), 3)
    report("P7", f"NDJSON delivery of {ROWS:,} rows, fsync per batch, against \\copy of the payloads", ("deliver", "copy"), rounds, 0.7, "rows per second")


def p9():
    """A transaction that holds a snapshot and a row of its own, for three minutes of writing."""
    load_trail(ROWS)
    held = subprocess.Popen(["psql", "-XAtq"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    held.stdin.write("begin isolation level repeatable read; insert into admin.audit (event_type, payload) values ('held', '{}'); select count(*) from admin.audit;\n")
    held.stdin.flush()
    wait("select count(*) = 1 from pg_stat_activity where state = 'idle in transaction'")
    deliver(True)
    writers = subprocess.Popen(["pgbench", "-n", "-c", "2", "-T", os.environ.get("BENCH_HELD", "180"), "-R", "1000", "-f", "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    writers.communicate(b"select admin.sensitive_check('APP-000001-x');\n")
    wait("select lag_rows = 0 from admin.worker_status")
    total = int(sql("select count(*) from admin.audit"))
    # The first run sets hint bits and fills the page cache: it counts for neither side.
    deliver_all(total)
    with_held = [deliver_all(total) for _ in range(5)]
    held.stdin.write("commit;\n")
    held.communicate()
    without = [deliver_all(total + 1) for _ in range(5)]
    report("P9", "NDJSON delivery with a transaction held open for three minutes of writing, against none", ("held", "none"),
           [with_held, without], 0.95, "rows per second")


def peak_memory(rows):
    """Peak of the worker's own memory in MiB, sampled, while it delivers everything."""
    redeliver()
    wait("select pid is not null from admin.worker_status")
    pid, peak = sql("select pid from admin.worker_status"), 0
    done = False
    while not done:
        # Looked at once more at the end, however short it was.
        done = sql(f"select delivered_rows >= {rows} from admin.worker_status") == "t"
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon"):
                peak = max(peak, int(line.split()[1]) / 1024)
        time.sleep(0.01)
    deliver(False)
    return peak


def p10():
    peaks = {}
    for label, rows, transactions in (("10 k", 10_000, 1), ("one of 2 M", 2_000_000, 1), ("5 M", 5_000_000, 50)):
        load_trail(rows, transactions)
        peaks[label] = peak_memory(rows)
        print(f"P10: {label} rows: {peaks[label]:.1f} MiB", flush=True)
    worst = max(peaks.values()) - peaks["10 k"]
    report("P10", "worker's peak memory: 10 k rows + 64 MiB against " + ", ".join(f"{k}: {v:.0f} MiB" for k, v in peaks.items()) + f" (+ {worst:.0f} MiB)",
           ("allowed", "used"), [[peaks["10 k"] + 64], [max(peaks.values())]], 1.0, "MiB")


def cpu_seconds():
    pids = sql("select pid from pg_stat_activity where backend_type like 'admin_ext%'").split()
    ticks = [pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13] for pid in pids]
    return len(pids), sum(int(a) + int(b) for a, b in ticks) / os.sysconf("SC_CLK_TCK")


def p11():
    load_trail(1000)
    deliver(True)
    wait("select delivered_rows >= 1000 and state = 'idle' from admin.worker_status")
    sql("checkpoint")
    time.sleep(20)
    workers, before = cpu_seconds()
    wal = sql("select pg_current_wal_insert_lsn()")
    time.sleep(60)
    used = cpu_seconds()[1] - before
    written = int(sql(f"select pg_current_wal_insert_lsn() - '{wal}'"))
    print(f"P11: idle: {workers} processes used {used:.3f} s of CPU in 60 s ({used / 0.6:.3f} % of a core), {written} bytes of WAL")
    report("P11", f"idle for 60 s: {workers} processes, {written} bytes of WAL written; seconds of CPU against 0.1 % of a core", ("used", "allowed"),
           [[used], [0.06]], 1.0, "seconds", at_most=True, besides=written == 0)


def p13():
    load_approvals(100_000)
    script = f"\\set n random(0, 99999)\nselect admin.sensitive_check({ID});\n"

    def run(on):
        deliver(on)
        if on:
            wait("select state = 'idle' from admin.worker_status")
        rate = pgbench(script, 8)
        if on:
            lag = float(sql("select lag_seconds from admin.worker_status"))
            print(f"P13: lag at the end {lag:.3f} s", flush=True)
        return rate
    rounds = alternate(lambda: run(True), lambda: run(False))
    report("P13", "8 writers' checks while delivery keeps up, against delivery off", ("on", "off"), rounds, 0.9)


ALL = {"P1": p1, "P2": p2, "P3": p3, "P4": p4, "P7": p7, "P9": p9, "P10": p10, "P11": p11, "P13": p13}

if __name__ == "__main__":
    RESULTS.mkdir(exist_ok=True)
    for wanted in sys.argv[1:] or ALL:
        ALL[wanted]()
