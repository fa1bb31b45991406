"""The report as one page for a browser, without anything from elsewhere."""

from __future__ import annotations

import html

from .meaning import meaning
from .report import Findings, Report, Stream, plural, printable, sentence

COLOURS = {0: "#1b6e3c", 1: "#a40000", 2: "#8f5902"}
STYLE = """body { font: 16px/1.5 sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: 1em 0; width: 100% } td, th { border: 1px solid #ccc; padding: .3em .6em; text-align: left; vertical-align: top; overflow-wrap: anywhere }
.verdict { color: white; padding: 1em; border-radius: .3em } .wrong { color: #a40000; font-weight: bold } .attention { color: #8f5902; font-weight: bold }"""


def escape(text: str) -> str:
    return html.escape(printable(text))


def _row(name: str, value: object) -> str:
    return f"<tr><th>{escape(name)}</th><td>{escape(str(value))}</td></tr>"


def _findings(findings: Findings) -> str:
    if not findings.kept:
        return "<p>Nothing to report.</p>"
    rows = "".join(
        f'<tr><td class="{finding.level}">{finding.level}</td><td>{escape(finding.code)}</td><td>{escape(finding.text)}</td><td>{escape(meaning(finding.level, finding.code))}</td></tr>'
        for finding in findings.kept
    )
    more = "".join(f"<p>{escape(line)}</p>" for line in findings.left_out())
    return f"<table><tr><th>level</th><th>kind</th><th>what</th><th>what it means</th></tr>{rows}</table>{more}"


def _stream(stream: Stream) -> str:
    numbers = f"{stream.first:,} to {stream.last:,}" if stream.first is not None and stream.last is not None else "none"
    rows = [
        _row("source", f"{stream.kind}: {stream.source}"),
        _row("store", stream.store),
        _row("sink", stream.sink),
        _row("numbers", numbers),
        _row("documents", f"{stream.documents:,}"),
        _row("chain at its end", stream.chain or ""),
    ]
    if stream.seals:
        rows += [
            _row("seals", f"{stream.seals:,}"),
            _row("signed to", f"{stream.signed_to or 0:,}, at {stream.sealed_at or '-'}"),
            _row("keys", ", ".join(stream.keys) or "none"),
        ]
    rows.append(_row("without a seal", plural(stream.behind, "document")))
    if stream.read_approvals:
        rows.append(
            _row("content", f"{plural(stream.approvals, 'approval')}, {plural(stream.decisions, 'decision')} replayed")
        )
    return f"<h2>{escape(stream.kind)}, store {escape(stream.store)}</h2><table>{''.join(rows)}</table>{_findings(stream.findings)}"


def page(report: Report) -> str:
    problems = "".join(f'<p class="wrong">{escape(problem)}</p>' for problem in report.problems)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Verification of the trail</title><style>{STYLE}</style></head><body>'
        f'<h1>Verification of the trail</h1><p class="verdict" style="background: {COLOURS[report.status]}">{escape(sentence(report))}</p>{problems}'
        f"{''.join(map(_stream, report.streams))}<h2>All sources</h2>{_findings(report.findings)}</body></html>\n"
    )
