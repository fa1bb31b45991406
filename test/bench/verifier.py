"""The verifier: documents a second on one core with flat memory, and a proof of one approval out of many."""

import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

from core import ROUNDS, report

ROOT = pathlib.Path(__file__).resolve().parents[2]
SMALL = int(os.environ.get("BENCH_ROWS", "1000000")) // 10
LARGE = int(os.environ.get("BENCH_LARGE", "5000000"))
OF_PROOF = 2 * LARGE
APPROVALS = 1000
CYCLES_PER_OBJECT = 8  # about 64 MB before compression, in one frame, as the archiver makes objects
BATCH = 1000
RATE = 200_000
PROVED_WITHIN_MS = 1000
FLAT_MIB = 32
MARK = b"-t1"
APPROVAL = f"APP-{APPROVALS // 2:06d}{MARK.decode()}"


def sources():
    """The tests' generator of archives."""
    for directory in ("src", "tests"):
        sys.path.insert(0, str(ROOT / "clients" / "python" / directory))
    import evidence_sources

    return evidence_sources


def make_archive(directory, count):
    """An archive of at least so many documents: cycles of the same lives of approvals under other ids, but for the middle one."""
    made = sources()
    chance, writer = random.Random(1), made.Writer()
    lives = [
        document
        for number in range(APPROVALS)
        for document in made.life(writer, f"APP-{number:06d}{MARK.decode()}", chance)
    ]
    text = b"\n".join(lives)
    cycles = -(-count // len(lives))
    archive, before, previous, first = made.Archive(directory), made.chain.start(made.STORE, "kafka"), None, 1
    for start in range(0, cycles, CYCLES_PER_OBJECT):
        documents = []
        for cycle in range(start, min(start + CYCLES_PER_OBJECT, cycles)):
            documents += (text if cycle == cycles // 2 else text.replace(MARK, b"-c%d" % cycle)).split(b"\n")
        after, batches = before, []
        for at in range(0, len(documents), BATCH):
            batch = documents[at : at + BATCH]
            after = made.chain.extend(after, first + at, len(batch), made.chain.content_hash(batch))
            batches.append(len(batch))
        seal = archive.put(
            made.STORE, "kafka", first, documents, batches, before.hex(), after.hex(), previous, writer.clock, {}
        )
        previous, before, first = made.hashlib.sha256(seal.read_bytes()).hexdigest(), after, first + len(documents)
    (directory / "key").write_bytes(made.KEY.public_key().public_bytes_raw())
    print(first - 1)


def archive_of(directory, count):
    """An archive, made by another process: what this one had in memory would count as the verifier's.  Gives how many documents it has."""
    return int(
        subprocess.run(
            [sys.executable, __file__, directory, str(count)], stdout=subprocess.PIPE, text=True, check=True
        ).stdout
    )


def run(program, *arguments):
    """On one core: seconds, the peak of memory in MiB, and seconds of CPU."""
    core = str(min(os.sched_getaffinity(0)))
    started = time.perf_counter()
    process = subprocess.Popen(
        ["taskset", "-c", core, sys.executable, program, *map(str, arguments)], stdout=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"the verifier ended with status {process.returncode}")
    return time.perf_counter() - started, used.ru_maxrss / 1024, used.ru_utime + used.ru_stime


def program_in(directory):
    """The one file of the verifier."""
    path = directory / "admin_verify.pyz"
    subprocess.run([sys.executable, ROOT / "clients" / "python" / "build_verifier.py", path], check=True)
    return path


def p20():
    directory = pathlib.Path(tempfile.mkdtemp(prefix="admin_verify."))
    try:
        program, peaks, rates = program_in(directory), {}, []
        for label, count in (("small", SMALL), ("large", LARGE)):
            made = archive_of(directory / label, count)
            for _ in range(1 if label == "small" else ROUNDS):
                _, peaks[label], cpu = run(
                    program, "--archive", directory / label, "--key", directory / label / "key", "--seals-only"
                )
                if label == "large":
                    rates.append(made / cpu)
        flat = peaks["large"] - peaks["small"] <= FLAT_MIB
        report(
            "P20",
            f"documents a second of one core's time, chain and seals of {made:,}, against what is asked for; peak memory {peaks['small']:.0f} MiB at {SMALL:,}, {peaks['large']:.0f} MiB at {made:,} (flat: {'yes' if flat else 'no'})",
            ("verified", "asked for"),
            (rates, [RATE] * len(rates)),
            1.0,
            besides=flat,
        )
    finally:
        shutil.rmtree(directory)


def p22():
    directory = pathlib.Path(tempfile.mkdtemp(prefix="admin_verify."))
    try:
        program = program_in(directory)
        made = archive_of(directory / "archive", OF_PROOF)
        archive, key, proof = directory / "archive", directory / "archive" / "key", directory / "proof.json"
        _, _, indexed = run(program, "index", "--archive", archive)
        times = []
        for _ in range(ROUNDS):
            _, _, cpu = run(program, "prove", APPROVAL, "--archive", archive, "--key", key, "--output", proof)
            times.append(cpu * 1000)
        _, _, checked = run(program, "--proof", proof, "--key", key)
        size = sum(path.stat().st_size for path in (archive / ".index").iterdir()) / (1 << 20)
        report(
            "P22",
            f"milliseconds of one core for a proof of one approval out of {made:,} documents, the start of Python in them, against what is allowed; the index ({size:.0f} MiB) took {indexed:.0f} s, checking the proof {checked * 1000:.0f} ms",
            ("proof", "allowed"),
            (times, [PROVED_WITHIN_MS] * len(times)),
            1.0,
            "milliseconds",
            at_most=True,
        )
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    make_archive(pathlib.Path(sys.argv[1]), int(sys.argv[2]))
