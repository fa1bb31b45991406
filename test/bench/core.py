"""What all benchmarks share: SQL, pgbench, rounds in turn, reports."""

import contextlib
import os
import pathlib
import platform
import statistics
import subprocess
import tempfile
import threading
import time

RESULTS = pathlib.Path(os.environ.get("BENCH_RESULTS") or pathlib.Path(__file__).parent / "results")
SCRATCH = pathlib.Path(os.environ["SCRATCH"])
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
SECONDS = int(os.environ.get("BENCH_SECONDS", "5"))
APPROVALS = int(os.environ.get("BENCH_APPROVALS", "1000000"))
ROWS = int(os.environ.get("BENCH_ROWS", "1000000"))
# The id of approval :n, the same expression on both sides of every comparison.
ID = "('APP-' || lpad((:n % 1000000)::text, 6, '0') || '-x' || (:n / 1000000))"
told = set()
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


def wait(condition, seconds=600, every=0.02):
    """Polls SQL until it says t."""
    deadline = time.monotonic() + seconds
    while sql(condition) != "t":
        if time.monotonic() > deadline:
            raise TimeoutError(condition)
        time.sleep(every)


def pgbench(script, clients=2, variables=()):
    """Transactions per second of a pgbench script, prepared."""
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        command = [
            "pgbench",
            "-n",
            "-M",
            "prepared",
            "-c",
            str(clients),
            "-j",
            "2",
            "-T",
            str(SECONDS),
            "-f",
            file.name,
        ]
        for name, value in variables:
            command += ["-D", f"{name}={value}"]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(next(line for line in output.splitlines() if line.startswith("tps")).split()[2])


def alternate(*sides, rounds=ROUNDS):
    """Rounds of all sides, in turn, the first one thrown away."""
    for side in sides:
        side()
    results = tuple([] for _ in sides)
    for _ in range(rounds):
        for side, values in zip(sides, results):
            values.append(side())
    return results


def plot(name, labels, rounds, unit):
    """A bar for every round, side by side."""
    width, height, top = 60 + 26 * sum(map(len, rounds)) + 40, 220, max(map(max, rounds)) or 1
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height + 50}" font-family="sans-serif" font-size="12">'
    ]
    x = 50
    for label, values, colour in zip(labels, rounds, ("#3465a4", "#888a85", "#c4a000")):
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
    pages = next(
        int(line.split()[1])
        for line in pathlib.Path("/proc/meminfo").read_text().splitlines()
        if line.startswith("HugePages_Total")
    )
    return (
        f"{sql('select version()')}; shared_buffers {sql('show shared_buffers')}, huge pages {'set aside' if pages else 'none'}; "
        f"{os.cpu_count()} cores, {platform.system()} {platform.release()}"
    )


def report(name, what, labels, rounds, bar, unit="per second", at_most=False, besides=True, notes=()):
    """One line, one table, one plot; besides: what else has to hold; notes: versions and settings."""
    medians = [statistics.median(values) for values in rounds]
    ratio = medians[0] / medians[1] if medians[1] else float("inf")
    met = besides and (ratio <= bar if at_most else ratio >= bar)
    verdict = "met" if met else "missed"
    line = f"{name}: {what}: ratio {ratio:.2f}, bar {'at most' if at_most else 'at least'} {bar}: {verdict}"
    print("\n".join([line, *(f"    {note}" for note in notes if note not in told)]), flush=True)
    told.update(notes)
    text = [
        f"# {name}",
        "",
        what,
        "",
        machine(),
        "",
        *(line for note in notes for line in (note, "")),
        f"| {unit} | " + " | ".join(f"round {i + 1}" for i in range(len(rounds[0]))) + " | median |",
        "|---|" + "---|" * (len(rounds[0]) + 1),
    ]
    for label, values, median in zip(labels, rounds, medians):
        text.append(f"| {label} | " + " | ".join(f"{value:,.1f}" for value in values) + f" | {median:,.1f} |")
    text += ["", line[len(name) + 2 :]]
    (RESULTS / f"{name}.md").write_text("\n".join(text) + "\n")
    plot(name, labels, rounds, unit)


def load_approvals(count, signed=True):
    """Approvals 0 to count - 1, signed in full by two people each, or by nobody yet."""
    print(f"loading {count:,} approvals ...", flush=True)
    sql(
        "set client_min_messages = error; drop extension if exists admin_ext; create extension admin_ext; select admin.create_audit_partitions()"
    )
    sql(
        "set admin_ext.restoring = on",
        f"""insert into admin.approval (approval_id, action, resource, required_roles, required_signer_count, requested_by, state, sla_deadline)
            select {ID.replace(":n", "n")}, 'payout', 'account', '{{finance,legal}}', 2, 'ann', '{"signed_full" if signed else "pending"}', '2040-01-01'
            from generate_series(0, {count - 1}) as n""",
        """insert into admin.signature (approval_id, signer_role, signer, approval_digest)
           select approval_id, role, 'signer of ' || role, admin.approval_digest(approval_id)
           from admin.approval, unnest(array['finance', 'legal']) as role"""
        if signed
        else "",
        # A load stops delivery until an operator has said where it goes on.
        "update admin.store set adopted_at = now()",
        "vacuum (analyze, freeze) admin.approval",
        "vacuum (analyze, freeze) admin.signature",
        "checkpoint",
    )


def cpu_seconds(kind="admin_ext%"):
    """How many of our processes there are, and the CPU they have used."""
    pids = sql(f"select pid from pg_stat_activity where backend_type like '{kind}'").split()
    return len(pids), sum(map(cpu_of, pids))


class PeakMemory:
    """Peak of a process's own memory in MiB, sampled within the context, and once more at its end.

    Not VmHWM: that counts each page of shared_buffers that a backend has touched.
    """

    def __init__(self, pid):
        self.status, self.peak = pathlib.Path(f"/proc/{pid}/status"), 0.0
        self.ended = threading.Event()
        self.sampler = threading.Thread(target=self.sample, daemon=True)

    def look(self):
        for line in self.status.read_text().splitlines():
            if line.startswith("RssAnon"):
                self.peak = max(self.peak, int(line.split()[1]) / 1024)

    def sample(self):
        while not self.ended.wait(0.02):
            self.look()

    def __enter__(self):
        self.sampler.start()
        return self

    def __exit__(self, *failure):
        self.ended.set()
        self.sampler.join()
        if failure[0] is None:
            self.look()


def cpu_of(pid):
    """Seconds of CPU that a process has used, all its threads."""
    ticks = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
