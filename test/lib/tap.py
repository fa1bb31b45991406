"""TAP for tests in Python: ok() says whether a promise holds, end() prints the plan; and how to wait.

An exception that ends a thread is a failed test: Python itself only prints it.
"""

import threading
import time
import traceback

count = failed = 0
lock = threading.Lock()


def ok(condition, name, detail=""):
    """Says it, and gives it back; the detail where it does not hold."""
    global count, failed
    with lock:
        count += 1
        failed += not condition
        print(f"{'ok' if condition else 'not ok'} {count} - {name}", flush=True)
        if not condition and detail != "":
            print("# " + str(detail).replace("\n", "\n# "), flush=True)
    return condition


def end_thread(arguments):
    """The hook for an exception that ends a thread."""
    ok(
        False,
        f"thread {arguments.thread.name if arguments.thread else '?'} ends without an exception",
        "".join(traceback.format_exception(arguments.exc_type, arguments.exc_value, arguments.exc_traceback)),
    )


threading.excepthook = end_thread


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
