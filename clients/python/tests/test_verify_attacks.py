"""Attacks on what is kept of the trail: which command of the verifier sees them, and what it says."""

import pathlib

import pytest
from evidence_sources import STORE
from verify_attacks import ALONE, CASES as CHANGED, COMPARED, REMEMBERED, World, back_date, cut_tail, rewrite
from verify_command import verify
from verify_database_attacks import CASES as IN_DATABASE
from verify_forgeries import CASES as FORGED, NAMED

PAGE = pathlib.Path(__file__).resolve().parents[3] / "doc" / "auditor.md"
OTHER = {"ndjson": "archive", "topic": "archive", "archive": "topic"}
OPTIONS = {"ndjson": "--ndjson DIR", "topic": "--topic-dump DIR", "archive": "--archive DIR --key FILE"}
CASES = [*CHANGED, *FORGED]
MARKS = ("<!-- attacks -->\n", "<!-- end of attacks -->\n")


def arguments(world: World, case) -> list[str]:
    given = world.arguments(case.kind)
    if case.command == COMPARED:
        given += world.arguments(OTHER[case.kind])
    if case.command == REMEMBERED:
        given += ["--remember", str(world.directory / "memory")]
    if case.command == NAMED:
        given += ["--store", STORE]
    return [*given, "--max-lag", "0.01"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_attack_is_seen(case, tmp_path):
    world = World(tmp_path)
    status, before = verify(*arguments(world, case))
    assert status == 0, before
    case.attack(world, case.kind)
    status, after = verify(*arguments(world, case))
    assert any(line.split()[0] == case.level and case.says in line for line in after.splitlines()), after
    assert status == (1 if case.level == "wrong" else 0), after
    assert after.splitlines()[-1].startswith(
        "NOT PROVED: "
        if case.level == "wrong"
        else "PROVED: "
        if case.kind == "archive"
        else "CONSISTENT, BUT NOT SIGNED: "
    ), after


@pytest.mark.parametrize("kind", ["ndjson", "topic"])
@pytest.mark.parametrize("attack", [cut_tail, rewrite, back_date])
def test_a_source_alone_claims_no_more_than_it_proves(attack, kind, tmp_path):
    world = World(tmp_path)
    attack(world, kind)
    status, said = verify(*world.arguments(kind))
    assert status == 0 and "CONSISTENT, BUT NOT SIGNED" in said and "could have written another one" in said


def test_an_archive_that_was_cut_claims_no_more_than_it_proves(tmp_path):
    world = World(tmp_path)
    cut_tail(world, "archive")
    status, said = verify(*world.arguments("archive"))
    assert status == 0 and "What came later than the last one here, this cannot know" in said


def rendered() -> str:
    """The table of the page."""
    lines = ["| attack | on | command | what it says |", "|---|---|---|---|"]
    for case in [*CASES, *IN_DATABASE]:
        command = case.command.format(source=OPTIONS[case.kind], other=OPTIONS[OTHER[case.kind]])
        lines.append(
            f"| {case.title} | {case.kind} | `{command}` | `… {case.says} …`{' (a point to look at; exit status 0)' if case.level == 'attention' else ''} |"
        )
    return "\n".join(lines) + "\n"


def test_the_page_has_this_table():
    text = PAGE.read_text()
    assert text[text.index(MARKS[0]) + len(MARKS[0]) : text.index(MARKS[1])] == rendered()


def test_commands_of_the_table_are_those_that_are_run():
    assert {case.command for case in CASES} == {ALONE, COMPARED, REMEMBERED, NAMED}
