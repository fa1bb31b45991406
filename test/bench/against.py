"""CPU of an audited check in this tree, compared with an older commit.  Run by test/bench/against."""

import os
import pathlib
import subprocess
import tempfile
import time

import core

CHECKS = int(os.environ.get("BENCH_CHECKS", "60000"))
APPROVALS = int(os.environ.get("BENCH_APPROVALS", "100000"))
SCRIPT = f"\\set n random(0, {APPROVALS - 1})\nselect admin.sensitive_check({core.ID});\n"


LASTING = {}  # per server: the children that it has from start to end


def postmaster(scratch):
    return int(pathlib.Path(scratch, "data", "postmaster.pid").read_text().split()[0])


def children(pid):
    return set(pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


def cpu_of_ended_children(pid):
    """Seconds of CPU that the children of a process have used, as soon as it has waited for them."""
    ticks = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[13:15]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def microseconds_a_check(scratch):
    """CPU of one client's backend, each check in a transaction of its own."""
    os.environ["PGHOST"] = scratch
    server = postmaster(scratch)
    core.sql("checkpoint")
    others = LASTING[scratch]
    wait_for_end(server, others)
    before = cpu_of_ended_children(server)
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(SCRIPT)
        file.flush()
        subprocess.run(
            ["pgbench", "-n", "-M", "prepared", "-t", str(CHECKS), "-f", file.name], check=True, capture_output=True
        )
    wait_for_end(server, others)
    return (cpu_of_ended_children(server) - before) * 1e6 / CHECKS


def wait_for_end(server, others):
    """Until the server's only children are those that last."""
    deadline = time.monotonic() + 60
    while children(server) - others:
        if time.monotonic() > deadline:
            raise TimeoutError(children(server) - others)
        time.sleep(0.01)


def main():
    here, there = os.environ["SCRATCH_HERE"], os.environ["SCRATCH_THERE"]
    for scratch in (here, there):
        os.environ["PGHOST"] = scratch
        LASTING[scratch] = children(postmaster(scratch))
        core.load_approvals(APPROVALS)
    rounds = core.alternate(lambda: microseconds_a_check(here), lambda: microseconds_a_check(there))
    core.report(
        "P2_cpu",
        f"CPU of an audited check, {CHECKS:,} checks a round, {APPROVALS:,} approvals, this tree against {os.environ['COMMIT_THERE']}",
        (os.environ["COMMIT_HERE"], os.environ["COMMIT_THERE"]),
        rounds,
        0.85,
        unit="microseconds of CPU",
        at_most=True,
    )


if __name__ == "__main__":
    main()
