"""Does the README show what its lines print, and do all links of the pages lead somewhere?  Speaks TAP."""

import re

from pages import ROOT, end, ok

README = (ROOT / "README.md").read_text()


def lines():
    """regress runs sql/readme_test.sql; the README shows the part that is for readers."""
    printed = (ROOT / "expected/readme_test.out").read_text()
    shown = re.search(r"^```sql\ncreate extension admin_ext;\n(.*?)```", README, re.S | re.M).group(1)
    begin = printed.index(shown.splitlines()[0])
    ok(printed[begin:] == shown + "drop extension admin_ext;\n", "the README shows what its lines of SQL print", shown)
    ok(README.count("\n") <= 120, "the README has at most 120 lines", README.count("\n"))


def anchors(page):
    """The names of a page's headings, as GitHub and the usual generators make them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.S | re.M)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in re.findall(r"^#+ (.*)$", text, re.M)
    }


def links():
    count = 0
    for page in [ROOT / "README.md", *sorted((ROOT / "doc").glob("*.md")), ROOT / "clients/python/README.md"]:
        broken = []
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            if "://" in link:
                continue
            count += 1
            path, _, anchor = link.partition("#")
            target = (page.parent / path) if path else page
            if not target.exists() or (anchor and anchor not in anchors(target)):
                broken.append(link)
        ok(not broken, f"the links of {page.relative_to(ROOT)} lead somewhere", broken)
    ok(count > 50, f"{count} links were followed")


if __name__ == "__main__":
    lines()
    links()
    end()
