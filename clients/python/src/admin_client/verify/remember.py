"""Remembers number and chain of each stream between runs.

That reveals an old copy, a cut end, or a rewritten history.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from .report import PROVED, CannotLook, Report
from .safe import Unreadable, load_json, why
from .seals import HASH, MOST, UUID
from .source import Task


def load(file: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """By kind of source, and by store and sink.  A file that does not exist yet: nothing."""
    if not file.exists():
        return {}
    try:
        known = load_json(file.read_bytes())
        if known["v"] != 1:
            raise Unreadable("another version")
        if not isinstance(known["heads"], dict):
            raise Unreadable("it has no heads")
        for heads in known["heads"].values():
            for name, head in heads.items():
                _check_head(name, head)
        return dict(known["heads"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CannotLook(f'file "{file}" is no memory of an earlier run: {why(error)}') from error


def _check_head(name: str, head: dict[str, Any]) -> None:
    store, _, sink = name.partition(" ")
    if (
        not sink
        or not UUID.fullmatch(store)
        or type(head["number"]) is not int
        or not 0 <= head["number"] <= MOST
        or not HASH.fullmatch(head["chain"])
    ):
        raise Unreadable(f'it has no number and chain for "{name}"')


def expect(known: dict[str, dict[str, dict[str, Any]]], kind: str, task: Task) -> None:
    """Lets a source of this kind be compared with it."""
    for name, head in known.get(kind, {}).items():
        store, _, sink = name.partition(" ")
        task.heads.setdefault((store, sink), {})[int(head["number"])] = str(head["chain"])


def compare_stores(known: dict[str, dict[str, dict[str, Any]]], kind: str, report: Report) -> None:
    """Reports stores that an earlier run has seen and that are now missing."""
    here = {f"{stream.store} {stream.sink}" for stream in report.streams if stream.kind == kind}
    for name in sorted(known.get(kind, {}).keys() - here):
        report.findings.wrong(
            "cut", f"the {kind} had documents of store {name.partition(' ')[0]} before, and has none of them now"
        )


def save(file: Path, known: dict[str, dict[str, dict[str, Any]]], report: Report) -> None:
    """Only what was proved is remembered."""
    if report.status != PROVED:
        return
    for stream in report.streams:
        if stream.chain is not None:
            known.setdefault(stream.kind, {})[f"{stream.store} {stream.sink}"] = {
                "number": stream.chain_at,
                "chain": stream.chain,
            }
    written = file.with_name(file.name + ".new")
    written.write_text(json.dumps({"v": 1, "heads": known}, indent=1) + "\n")
    os.replace(written, file)
