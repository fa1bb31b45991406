"""TAP for tests in Python: ok() says whether a promise holds, end() prints the plan; and how to wait."""
import time

count = failed = 0


def ok(condition, name, detail=""):
    """Says it, and gives it back; the detail where it does not hold."""
    global count, failed
    count += 1
    failed += not condition
    print(f"{'ok' if condition else 'not ok'} {count} - {name}", flush=True)
    if not condition and detail != "":
        print("# " + str(detail).replace("\n", "\n# "), flush=True)
    return condition


def end():
    """The plan, and the exit status."""
    print(f"1..{count}", flush=True)
    raise SystemExit(failed != 0)


def poll(condition, seconds):
    """Until it holds, or the time is over; says whether it does."""
    deadline = time.monotonic() + seconds
    while not (holds := condition()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return bool(holds)
