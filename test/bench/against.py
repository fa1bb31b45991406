"""CPU of an audited check in this tree, compared with an older commit.  Run by test/bench/against."""
import os
import pathlib
import subprocess
import tempfile

import core

CHECKS = int(os.environ.get("BENCH_CHECKS", "60000"))
APPROVALS = int(os.environ.get("BENCH_APPROVALS", "100000"))
SCRIPT = f"\\set n random(0, {APPROVALS - 1})\nselect admin.sensitive_check({core.ID});\n"


def cpu_of_ended_backends(scratch):
    """Seconds of CPU that the ended children of a server have used."""
    pid = int(pathlib.Path(scratch, "data", "postmaster.pid").read_text().split()[0])
    ticks = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[13:15]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def microseconds_a_check(scratch):
    """CPU of one client's backend, each check in a transaction of its own."""
    os.environ["PGHOST"] = scratch
    core.sql("select admin.sensitive_check('APP-000001-x0') is not null")
    before = cpu_of_ended_backends(scratch)
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(SCRIPT)
        file.flush()
        subprocess.run(["pgbench", "-n", "-M", "prepared", "-t", str(CHECKS), "-f", file.name], check=True, capture_output=True)
    core.wait("select count(*) = 1 from pg_stat_activity where backend_type = 'client backend'")
    return (cpu_of_ended_backends(scratch) - before) * 1e6 / CHECKS


def main():
    here, there = os.environ["SCRATCH_HERE"], os.environ["SCRATCH_THERE"]
    for scratch in (here, there):
        os.environ["PGHOST"] = scratch
        core.load_approvals(APPROVALS)
    rounds = core.alternate(lambda: microseconds_a_check(here), lambda: microseconds_a_check(there))
    core.report("P2_cpu", f"CPU of an audited check, {CHECKS:,} checks a round, {APPROVALS:,} approvals, this tree against {os.environ['COMMIT_THERE']}",
                (os.environ["COMMIT_HERE"], os.environ["COMMIT_THERE"]), rounds, 0.85, unit="microseconds of CPU", at_most=True)


if __name__ == "__main__":
    main()
