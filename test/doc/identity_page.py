"""Does doc/identity.md list every reason for refusing a token or a key, and no other?  Speaks TAP."""

import re

from pages import LITERAL, ROOT, end, ok

PAGE = (ROOT / "doc/identity.md").read_text()
RETURNED = re.compile(rf'(?:return|fault = |\?|:|refuse_input\("token",|refuse_stranger\()\s*({LITERAL})')


def reasons():
    for path in sorted((ROOT / "src/identity").glob("*.c")):
        for text in RETURNED.findall(path.read_text()):
            if " " in text:
                yield text[1:-1]
    step = (ROOT / "src/workflow/step.c").read_text()
    yield from re.findall(r'errmsg\("token is refused: ([^"]+)"', step)
    yield from re.findall(
        r"key cannot be used: ([^%']+)'", (ROOT / "sql/install/admin_ext/35_identity.sql").read_text()
    )


if __name__ == "__main__":
    wanted = set(reasons())
    listed = [
        reason
        for line in PAGE.splitlines()
        if line.startswith("| `")
        for reason in re.findall(r"`([^`]+)`", line.split(" | ")[0])
        if " " in reason and "(" not in reason
    ]
    for reason in sorted(wanted):
        ok(reason in listed, f"the page lists: {reason}")
    ok(len(wanted) > 45, f"{len(wanted)} reasons were found in the sources")
    ok(not set(listed) - wanted, "the page lists no other reason", set(listed) - wanted)
    ok(
        "16384" in PAGE and "#define JWS_MAX_BYTES\t16384" in (ROOT / "src/identity/jws.h").read_text(),
        "the page's limit of a token is the one of jws.h",
    )
    end()
