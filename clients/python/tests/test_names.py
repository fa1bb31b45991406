"""Names of people that a reader takes for others are refused, by the rules that the database has for tokens."""

import pathlib
import re

import pytest
from admin_client.names import INVISIBLE, check_name

SOURCE = pathlib.Path(__file__).parents[3] / "src/identity/invisible.c"


@pytest.mark.parametrize(
    "name",
    [
        "ann",
        "Ann Lee",
        "ann@example.com",
        "auth0|5f7c8ec7",
        "\u00c4nne",
        "\u5b89",
        "\u0430nn",
        "\u05d0\u05e0",
        "\U0001f600",
        "J\u00f6rg \u2713",
    ],
)
def test_names_that_are_taken(name):
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "ann\u00a0lee",
        "ann\u200b",
        "\ufeffann",
        "ann\u202e",
        "ann\u0085",
        "\uff41nn",
        "ann\u00ad",
        "ann\ufe0f",
        "ann\U000e0061",
        "ann\U0001ffff",
        "a\tn",
        " ann",
        "ann ",
        "Jo\u0308rg",
        "\ufb01nn",
        "\U0001d41ann",
        "ann\u00b2",
        "\uff71",
        "\u2168",
        "\u212bke",
        "\ud800",
    ],
)
def test_look_alikes_are_refused(name):
    with pytest.raises(ValueError):
        check_name(name)


def test_the_database_has_the_same_characters():
    found = re.findall(r"\{(0x[0-9A-F]+), (0x[0-9A-F]+)\}", SOURCE.read_text())
    assert tuple((int(first, 16), int(last, 16)) for first, last in found) == INVISIBLE
