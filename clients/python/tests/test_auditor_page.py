"""The auditor's page: its commands are run, and print what the page shows.

python test_auditor_page.py writes the page's outputs and its table of attacks anew.
"""

import contextlib
import io
import os
import pathlib
import re
import shlex
import tempfile

import pytest
from admin_client.verify import cli
from evidence_sources import KEY
from test_verify_attacks import MARKS, PAGE, rendered
from verify_attacks import World, edit

BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
PROGRAM = "python3 admin_verify.pyz "
FENCE = "```"


def place(directory: pathlib.Path) -> None:
    """What the page's commands find."""
    world = World(directory / "made")
    for name, kind in (("archive", "archive"), ("topic", "topic"), ("files", "ndjson")):
        os.rename(world.places[kind], directory / name)
    world.write("archive", world.honest)
    edit(world, "archive")
    os.rename(world.places["archive"], directory / "tampered")
    (directory / "archive-key.hex").write_text(KEY.public_key().public_bytes_raw().hex())


def output_of(block: str) -> str:
    """A block with its commands run."""
    out = io.StringIO()
    for command in re.findall(r"^\$ (.*)$", block, re.MULTILINE):
        assert command.startswith(PROGRAM), command
        out.write(f"$ {command}\n")
        with contextlib.redirect_stdout(out):
            cli.main(shlex.split(command.removeprefix(PROGRAM)))
    return out.getvalue()


@pytest.fixture
def here(tmp_path, monkeypatch):
    place(tmp_path)
    monkeypatch.chdir(tmp_path)


def test_commands_print_what_the_page_shows(here):
    blocks = BLOCK.findall(PAGE.read_text())
    assert len(blocks) >= 6
    for block in blocks:
        assert output_of(block) == block


def test_the_page_names_every_package():
    sources = "".join(path.read_text() for path in pathlib.Path(cli.__file__).parent.glob("*.py"))
    packages = {
        package or name for name, package in re.findall(r'(?:module|needed)\("(\w+)"(?:, "([\w-]+)")?', sources)
    }
    table = PAGE.read_text().split("| what you read | package |")[1].split("\n\n")[0]
    assert {"boto3", "confluent-kafka", "psycopg", "zstandard"} <= packages
    assert packages <= set(re.findall(r"`([\w-]+)`", table))


def write() -> None:
    with tempfile.TemporaryDirectory() as directory:
        place(pathlib.Path(directory))
        os.chdir(directory)
        text = BLOCK.sub(lambda found: f"{FENCE}console\n{output_of(found.group(1))}{FENCE}", PAGE.read_text())
        start, end = text.index(MARKS[0]) + len(MARKS[0]), text.index(MARKS[1])
        PAGE.write_text(text[:start] + rendered() + text[end:])
        os.chdir("/")


if __name__ == "__main__":
    write()
