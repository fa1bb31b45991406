"""Does doc/receipts.md say what the sources say: columns, arguments, SQLSTATEs, statuses?  Speaks TAP."""

import re

from pages import ROOT, end, ok

PAGE = (ROOT / "doc/receipts.md").read_text()
SCRIPT = (ROOT / "sql/install/admin_ext/48_receipts.sql").read_text()
TABLE = (ROOT / "sql/install/admin_ext/44_receipt.sql").read_text()


def first_cells(head):
    """The names in the first cells of a table, in order."""
    rows = PAGE[PAGE.index(f"| {head} |") :].split("\n\n")[0].splitlines()[2:]
    return [
        name
        for row in rows
        for name in re.findall(r"`(\w+)`", row.split(" | ")[0]) or [row.split(" | ")[0].strip("| ")]
    ]


def compare(name, listed, wanted, least):
    ok(len(wanted) >= least and listed == wanted, name, (listed, wanted))


if __name__ == "__main__":
    columns = re.findall(r"^comment on column admin\.archive_status\.(\w+) is", SCRIPT, re.M)
    compare(
        "the page lists every column of admin.archive_status",
        sorted(first_cells("column of `archive_status` | meaning")),
        sorted(columns),
        12,
    )
    arguments = re.search(r"create function admin\.record_receipt\(([^)]*)\)", SCRIPT).group(1)
    compare(
        "the page lists the arguments of admin.record_receipt(), in their order",
        first_cells("argument | meaning"),
        re.findall(r"(\w+) \w+(?:,|$| default)", arguments),
        7,
    )
    states = set(re.findall(r"'(55P03|55000|P0002|22023)'", SCRIPT))
    compare(
        "the page lists every SQLSTATE of admin.record_receipt()",
        {cell for cell in first_cells("result | meaning | then") if re.fullmatch("[0-9A-Z]{5}", cell)},
        states,
        4,
    )
    statuses = set(re.findall(r"'(\w+)'", re.search(r"check \(status in \(([^)]*)\)", TABLE).group(1)))
    ok(
        len(statuses) == 3 and all(f"`{status}`" in PAGE for status in statuses),
        "the page names every status of a receipt",
        statuses,
    )
    end()
