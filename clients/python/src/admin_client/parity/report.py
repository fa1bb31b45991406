"""Reports the outcome of a run for people: a summary for a terminal, and a self-contained HTML page.

All text from a store or a server is escaped, and its invisible characters are spelled out.
"""

from __future__ import annotations

import html
from collections.abc import Iterable

from . import engine
from .engine import Request
from .run import EDGES, Finding, Outcome

EXAMPLES = 3
NAMED = 20  # most ignored members that are listed


def visible(text: object) -> str:
    """Spells out what a terminal or a browser would act upon: controls, overrides of direction, half surrogates."""
    return "".join(
        c if c.isprintable() else f"\\u{ord(c):04x}" if ord(c) < 0x10000 else f"\\U{ord(c):08x}" for c in str(text)
    )


def asked(request: Request | None) -> str | None:
    if request is None:
        return None
    given = [None if a is None else repr(a) for a in (request.approval_id, request.action, request.resource)]
    given.append(None if request.at is None else engine.rfc3339(request.at))
    return f"sensitive_check_preview({', '.join(a or 'null' for a in given)})"


def verdict(outcome: Outcome) -> str:
    if outcome.equal:
        return f"{outcome.cases} answers compared: no difference"
    differing = sum(outcome.differing.values())
    return f"{outcome.cases} answers compared, {differing} differ; {sum(outcome.groups.values())} findings"


def facts(outcome: Outcome) -> list[tuple[str, str]]:
    rate = outcome.cases / outcome.seconds if outcome.seconds else 0
    random = outcome.stores["random"]
    files = [f"{name}" for name in outcome.stores if name != "random"]
    passed_by = [f'"{name}" ({count})' for name, count in outcome.passed_by.most_common(NAMED)]
    return [
        ("stores", ", ".join(files + ([f"{random} random, seed {outcome.seed}"] if random else []))),
        ("approvals", f"{outcome.approvals} held by both, {outcome.rejected} elements left out"),
        *([("passed by", f"members that neither side reads: {', '.join(passed_by)}")] if passed_by else []),
        ("server", outcome.server),
        ("run", f"{outcome.started:%Y-%m-%d %H:%M:%S} UTC, {outcome.seconds:.1f} s, {rate:.0f} answers/s"),
    ]


def rules(outcome: Outcome) -> list[tuple[int, str, str, int, int]]:
    return [
        (rule.precedence, rule.title, rule.decision, outcome.rules[rule.precedence], outcome.differing[rule.precedence])
        for rule in engine.RULES
    ]


def grouped(findings: Iterable[Finding]) -> dict[str, list[Finding]]:
    groups: dict[str, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(finding.group, []).append(finding)
    return groups


# -- terminal ---------------------------------------------------------------------------------------------------------


def terminal(outcome: Outcome) -> str:
    lines = [f"parity: {verdict(outcome)}"]
    lines += [f"  {name:<10}{visible(value)}" for name, value in facts(outcome)]
    lines += ["", f"  {'rule':<38}{'answers':>9}{'differ':>8}"]
    for precedence, title, decision, answers, differing in rules(outcome):
        lines.append(
            f"  {precedence:>2} {title:<29} {decision:<5}{answers:>9}{differing:>8}{'' if answers else '  not met'}"
        )
    lines += ["", f"  {'reason':<38}{'answers':>9}"]
    lines += [f"  {visible(reason):<38}{answers:>9}" for reason, answers in outcome.reasons.most_common()]
    lines += ["", f"  {'boundary':<38}{'answers':>9}"]
    lines += [f"  {edge:<38}{outcome.edges[edge]:>9}" for edge in EDGES.values()]
    for group, findings in grouped(outcome.findings).items():
        lines += ["", f"{visible(group)}: {outcome.groups[group]}"]
        for finding in findings[:EXAMPLES]:
            lines += summary(finding)
        if outcome.groups[group] > EXAMPLES:
            lines.append(f"  ... and {outcome.groups[group] - min(EXAMPLES, len(findings))} more")
    return "\n".join(lines) + "\n"


def summary(finding: Finding) -> list[str]:
    lines = [f"  {finding.origin}: {finding.subject}", f"    {finding.why}"]
    if finding.request is not None:
        lines.append(f"    {asked(finding.request)}")
    if finding.differences:
        lines += [f"    {d.key or 'text'}: file {d.left}, database {d.right}" for d in finding.differences]
    elif finding.request is None and finding.file is not None:
        lines += [f"    file {finding.file}, database {finding.database}"]
    return [shorten(visible(line)) for line in lines]


def shorten(line: str, most: int = 400) -> str:
    return line if len(line) <= most else line[:most] + "..."


# -- HTML -------------------------------------------------------------------------------------------------------------

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #1c2430; background: #fff }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem }
.verdict { padding: .7rem 1rem; border-radius: .4rem; font-weight: 600 }
.equal { background: #e2f4e5; color: #14532d } .differs { background: #fde4e1; color: #7f1d1d }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid #dde2e8; vertical-align: top }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums } tr.bad td { background: #fde4e1 } tr.unmet td { background: #fdf3d8 }
.bar { background: #7aa5d6; height: .6rem; min-width: 1px } td.graph { width: 30% }
code, pre { font: 13px/1.4 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere } pre { background: #f4f6f8; padding: .5rem; margin: .2rem 0 }
details { border: 1px solid #dde2e8; border-radius: .4rem; padding: .4rem .8rem; margin: .5rem 0 } summary { cursor: pointer }
del { background: #fde4e1; text-decoration: none } ins { background: #e2f4e5; text-decoration: none }
@media (prefers-color-scheme: dark) { body { background: #14181d; color: #d8dee6 } pre { background: #1e242b } th, td, details { border-color: #36404b }
.equal, ins { background: #14391f; color: #b6e6c1 } .differs, del, tr.bad td { background: #4a1a17; color: #f6c6c1 } tr.unmet td { background: #453711 } }
"""


UNMET = ' class="unmet"'


def esc(text: object) -> str:
    return html.escape(visible(text))


def cells(*values: tuple[object, str]) -> str:
    return "".join(
        f'<td class="{kind}">{esc(value)}</td>' if kind else f"<td>{esc(value)}</td>" for value, kind in values
    )


def bar(share: float) -> str:
    return (
        f'<td class="graph"><div class="bar" style="width: {100 * share:.1f}%"></div></td>'
        if share
        else '<td class="graph"></td>'
    )


def counts(heading: str, rows: list[tuple[str, int]]) -> str:
    most = max((n for _, n in rows), default=0) or 1
    return (
        f'<table><tr><th>{esc(heading)}</th><th class="n">answers</th><th></th></tr>'
        + "".join(f"<tr{UNMET if not n else ''}>{cells((name, ''), (n, 'n'))}{bar(n / most)}</tr>" for name, n in rows)
        + "</table>"
    )


def rule_table(outcome: Outcome) -> str:
    rows, most = [], max(outcome.rules.values(), default=0) or 1
    for precedence, title, decision, answers, differing in rules(outcome):
        kind = ' class="bad"' if differing else "" if answers else UNMET
        rows.append(
            f"<tr{kind}>{cells((precedence, 'n'), (title, ''), (decision, ''), (answers, 'n'), (differing, 'n'))}{bar(answers / most)}</tr>"
        )
    return (
        '<table><tr><th class="n">rule</th><th>condition</th><th>decision</th><th class="n">answers</th><th class="n">differ</th><th></th></tr>'
        + "".join(rows)
        + "</table>"
    )


def finding_html(finding: Finding) -> str:
    parts = [
        f"<details><summary>{esc(finding.origin)}: <code>{esc(finding.subject)}</code></summary>",
        f"<p>{esc(finding.why)}</p>",
    ]
    if finding.differences:
        parts.append("<table><tr><th>key</th><th>file</th><th>database</th></tr>")
        parts += [
            f"<tr><td>{esc(d.key or 'text')}</td><td><code><del>{esc(d.left)}</del></code></td><td><code><ins>{esc(d.right)}</ins></code></td></tr>"
            for d in finding.differences
        ]
        parts.append("</table>")
    shown = (
        ("asked", asked(finding.request)),
        ("file", finding.file),
        ("database", finding.database),
        ("store element", finding.element),
    )
    parts += [f"<p>{name}</p><pre>{esc(text)}</pre>" for name, text in shown if text is not None]
    return "".join(parts) + "</details>"


def page(outcome: Outcome) -> str:
    parts = [
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>Parity: {esc(verdict(outcome))}</title><style>{STYLE}</style></head><body><h1>Parity of the file-backed engine and the database</h1>",
        f'<p class="verdict {"equal" if outcome.equal else "differs"}">{esc(verdict(outcome))}</p>',
        "<table>",
        *(f"<tr><th>{esc(name)}</th><td>{esc(value)}</td></tr>" for name, value in facts(outcome)),
        "</table>",
        "<p>Answers are compared byte for byte save <code>evaluated_at</code> and <code>audit</code>.</p>",
    ]
    if outcome.findings:
        parts.append("<h2>What differs</h2>")
        for group, findings in grouped(outcome.findings).items():
            more = outcome.groups[group] - len(findings)
            parts.append(f"<h3>{esc(group)}: {outcome.groups[group]}</h3>" + "".join(map(finding_html, findings)))
            if more:
                parts.append(f"<p>... and {more} more</p>")
    parts += [
        "<h2>The ten rules</h2>",
        rule_table(outcome),
        "<h2>Reasons</h2>",
        counts("reason", outcome.reasons.most_common()),
        "<h2>Boundaries</h2>",
        counts("instant", [(edge, outcome.edges[edge]) for edge in EDGES.values()]),
        "</body></html>\n",
    ]
    return "".join(parts)
