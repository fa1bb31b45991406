"""Benchmarks of admin_ext, as ratios of two sides that alternate in one run.

Run by test/bench/run, which starts the scratch server.  Each benchmark prints a line and
writes a Markdown table and an SVG plot of every round to test/bench/results.
"""
import contextlib
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


@contextlib.contextmanager
def connected_to(database):
    """Within it, clients connect to this database."""
    before, os.environ["PGDATABASE"] = os.environ["PGDATABASE"], database
    try:
        yield
    finally:
        os.environ["PGDATABASE"] = before


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


def machine():
    """What the figures depend on besides the code."""
    pages = next(int(line.split()[1]) for line in pathlib.Path("/proc/meminfo").read_text().splitlines() if line.startswith("HugePages_Total"))
    return (f"{sql('select version()')}; shared_buffers {sql('show shared_buffers')}, huge pages {'set aside' if pages else 'none'}; "
            f"{os.cpu_count()} cores, {platform.system()} {platform.release()}")


def report(name, what, labels, rounds, bar, unit="per second", at_most=False, besides=True):
    """One line, one table, one plot; besides: what else has to hold."""
    medians = [statistics.median(values) for values in rounds]
    ratio = medians[0] / medians[1] if medians[1] else float("inf")
    met = besides and (ratio <= bar if at_most else ratio >= bar)
    verdict = "met" if met else "missed"
    line = f"{name}: {what}: ratio {ratio:.2f}, bar {'at most' if at_most else 'at least'} {bar}: {verdict}"
    print(line, flush=True)
    text = [f"# {name}", "", what, "", machine(), "", f"| {unit} | " + " | ".join(f"round {i + 1}" for i in range(len(rounds[0]))) + " | median |",
            "|---|" + "---|" * (len(rounds[0]) + 1)]
    for label, values, median in zip(labels, rounds, medians):
        text.append(f"| {label} | " + " | ".join(f"{value:,.1f}" for value in values) + f" | {median:,.1f} |")
    text += ["", line[len(name) + 2:]]
    (RESULTS / f"{name}.md").write_text("\n".join(text) + "\n")
    plot(name, labels, rounds, unit)


def load_approvals(count, signed=True):
    """Approvals 0 to count - 1, signed in full by two people each, or by nobody yet."""
    print(f"loading {count:,} approvals ...", flush=True)
    sql("set client_min_messages = error; drop extension if exists admin_ext; create extension admin_ext; select admin.create_audit_partitions()")
    sql("set admin_ext.restoring = on",
        f"""insert into admin.approval (approval_id, action, resource, required_roles, required_signer_count, requested_by, state, sla_deadline)
            select {ID.replace(':n', 'n')}, 'payout', 'account', '{{finance,legal}}', 2, 'ann', '{'signed_full' if signed else 'pending'}', '2040-01-01'
            from generate_series(0, {count - 1}) as n""",
        """insert into admin.signature (approval_id, signer_role, signer, approval_digest)
           select approval_id, role, 'signer of ' || role, admin.approval_digest(approval_id)
           from admin.approval, unnest(array['finance', 'legal']) as role""" if signed else "",
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
    load_approvals(APPROVALS, signed=False)
    sql("drop table if exists public.bare_approval", "create table public.bare_approval (like admin.approval including all)",
        "insert into public.bare_approval select * from admin.approval", "vacuum (analyze, freeze) public.bare_approval")
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


def deliver(database):
    """Delivers this database and no other; None: nothing is delivered."""
    sql(f"alter system set admin_ext.databases = '{database or ''}'", "select pg_reload_conf()")
    # A worker that has been told to end may still be there.
    wait(f"select count(*) = 0 from pg_stat_activity where backend_type = 'admin_ext worker' and datname is distinct from '{database or ''}'")
    wait(f"select coalesce(string_agg(database, ','), '') = '{database or ''}' from admin.worker_status_rows()")


def load_trail(rows, transactions=1, database="postgres"):
    with connected_to(database):
        sql("set client_min_messages = error; drop extension if exists admin_ext; create extension admin_ext; select admin.create_audit_partitions()")
        for _ in range(transactions):
            sql(f"insert into admin.audit (event_type, approval_id, payload) select 'load', 'APP-000001-x', {PAYLOAD} from generate_series(1, {rows // transactions}) as i")
        sql("vacuum (analyze) admin.audit", "checkpoint")


def redeliver(database="postgres"):
    """Begins to deliver everything again, in windows, to new files; as an operator's row would say it."""
    deliver(None)
    with connected_to(database):
        sql("""insert into admin.sink_position (sink, position_id, store_id, tick_id)
               select sink, max(position_id) + 1, (select store_id from admin.store), 0 from admin.sink_position group by sink""")
    subprocess.run(["rm", "-rf", str(SCRATCH / "data/admin_ext")], check=True)
    deliver(database)


def deliver_all(rows, database="postgres"):
    """Rows per second from the worker's first look to the last position."""
    redeliver(database)
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
    """Two databases of equal contents; in one a transaction holds a snapshot and a row of its own."""
    deliver(None)
    sql("drop database if exists held", "create database held")
    for database in ("postgres", "held"):
        load_trail(ROWS, database=database)
    # The worker's sink has a position before anything is held.
    for database in ("held", "postgres"):
        deliver(database)
        wait("select last_audit_id is not null and state = 'idle' from admin.worker_status")
    holder = subprocess.Popen(["psql", "-XAtq", "held"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    holder.stdin.write("begin isolation level repeatable read; insert into admin.audit (event_type, payload) values ('held', '{}'); select count(*) from admin.audit;\n")
    holder.stdin.flush()
    wait("select count(*) = 1 from pg_stat_activity where state = 'idle in transaction'")
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write("select admin.sensitive_check('APP-000001-x');\n")
        script.flush()
        seconds = os.environ.get("BENCH_HELD", "180")
        writers = [subprocess.Popen(["pgbench", "-n", "-T", seconds, "-R", "500", "-f", script.name, database], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                   for database in ("postgres", "held")]
        for writer in writers:
            writer.wait()
    totals = {}
    for database in ("held", "postgres"):
        with connected_to(database):
            totals[database] = int(sql("select count(*) from admin.audit"))
    rounds = alternate(lambda: deliver_all(totals["held"], "held"), lambda: deliver_all(totals["postgres"]), 7)
    holder.communicate("commit;\n")
    deliver(None)
    sql("drop database held")
    report("P9", f"NDJSON delivery of {ROWS:,} rows and {seconds} s of writing, with a transaction held open all the while against none",
           ("held", "none"), rounds, 0.95, "rows per second")


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
    deliver(None)
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


def cpu_seconds(kind="admin_ext%"):
    """How many of our processes there are, and the CPU they have used."""
    pids = sql(f"select pid from pg_stat_activity where backend_type like '{kind}'").split()
    ticks = [pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13] for pid in pids]
    return len(pids), sum(int(a) + int(b) for a, b in ticks) / os.sysconf("SC_CLK_TCK")


def wal_position():
    return sql("select pg_current_wal_insert_lsn()")


def wait_for_quiet_wal(seconds=40):
    """Until the server itself has nothing to write any more: its last is a record of running transactions, up to 25 s after a checkpoint."""
    deadline, since, seen = time.monotonic() + 180, time.monotonic(), wal_position()
    while time.monotonic() < since + seconds:
        if time.monotonic() > deadline:
            raise TimeoutError("the server goes on writing WAL")
        time.sleep(0.5)
        now = wal_position()
        if now != seen:
            since, seen = time.monotonic(), now


def p11():
    load_trail(1000)
    deliver("postgres")
    wait("select last_audit_id is not null and state = 'idle' from admin.worker_status")
    sql("checkpoint")
    wait_for_quiet_wal()
    workers, before = cpu_seconds()
    wal = wal_position()
    time.sleep(60)
    used = cpu_seconds()[1] - before
    written = int(sql(f"select pg_current_wal_insert_lsn() - '{wal}'"))
    report("P11", f"idle for 60 s: {workers} processes, {written} bytes of WAL written; seconds of CPU against 0.1 % of a core", ("used", "allowed"),
           [[used], [0.06]], 1.0, "seconds", at_most=True, besides=written == 0)


def p13():
    """What the cores allow is what they give without delivery, less the share that the worker itself uses."""
    load_approvals(100_000)
    script = f"\\set n random(0, 99999)\nselect admin.sensitive_check({ID});\n"
    shares, lags = [], []

    def on():
        deliver("postgres")
        wait("select state = 'idle' from admin.worker_status")
        before = cpu_seconds("admin_ext worker")[1]
        rate = pgbench(script, 8)
        shares.append((cpu_seconds("admin_ext worker")[1] - before) / SECONDS / os.cpu_count())
        lags.append(float(sql("select lag_seconds from admin.worker_status")))
        return rate

    def off():
        deliver(None)
        return pgbench(script, 8)
    rates = alternate(on, off)
    allowed = [rate * (1 - share) for rate, share in zip(rates[1], shares[1:])]
    plain = statistics.median(rates[0]) / statistics.median(rates[1])
    report("P13", f"8 writers' checks while delivery keeps up (lag at most {max(lags):.2f} s at the end), against what the cores allow: delivery off "
           f"({statistics.median(rates[1]):,.0f}) less the worker's share of the CPU ({statistics.median(shares) * 100:.0f} %); without that allowance the ratio is {plain:.2f}",
           ("on", "allowed"), [rates[0], allowed], 0.9)


ALL = {"P1": p1, "P2": p2, "P3": p3, "P4": p4, "P7": p7, "P9": p9, "P10": p10, "P11": p11, "P13": p13}

if __name__ == "__main__":
    RESULTS.mkdir(exist_ok=True)
    for wanted in sys.argv[1:] or ALL:
        ALL[wanted]()
