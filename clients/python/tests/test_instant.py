"""Instants as the extension and PostgreSQL write them, in each year that PostgreSQL has."""

from datetime import UTC, datetime, timedelta

import pytest
from admin_client.parity import engine, instant
from hypothesis import given, settings, strategies as st

DAY = timedelta(days=1)
WRITTEN = [
    "2026-11-01T00:00:00.000000Z",
    "0001-01-01T00:00:00.000000Z",
    "0000-12-31T23:59:59.999999Z",
    "0000-02-29T00:00:00.000000Z",
    "-0001-12-31T00:00:00.000000Z",
    "-4712-02-29T00:00:00.000001Z",
    "-4713-11-24T00:00:00.000000Z",
    "9999-12-31T23:59:59.999999Z",
    "+10000-01-01T00:00:00.000000Z",
    "+12000-02-29T12:00:00.000000Z",
    "+294276-12-31T23:59:59.999999Z",
    "infinity",
    "-infinity",
]


@pytest.mark.parametrize("text", WRITTEN)
def test_an_instant_is_written_as_it_was_read(text):
    assert instant.written(instant.parse(text)) == text


def test_instants_follow_each_other_as_in_the_calendar():
    order = [
        "-infinity",
        "-4712-01-01T00:00:00.000000Z",
        "-0001-12-31T00:00:00.000000Z",
        "0000-01-01T00:00:00.000000Z",
        "0001-01-01T00:00:00.000000Z",
        "9999-12-31T00:00:00.000000Z",
        "+10000-01-01T00:00:00.000000Z",
        "+294276-12-31T23:59:59.999999Z",
        "infinity",
    ]
    parsed = [instant.parse(text) for text in order]
    assert parsed == sorted(parsed)
    assert parsed[3] - parsed[2] == DAY and parsed[6] - parsed[5] == DAY and parsed[4] - parsed[3] == 366 * DAY
    assert instant.parse("infinity") - instant.parse("-infinity") > engine.STALE_AFTER


@pytest.mark.parametrize(
    "text, same",
    [
        ("10000-01-01T00:00:00+00:00", "+10000-01-01T00:00:00.000000Z"),
        ("0001-12-31T00:00:00+00:00 BC", "0000-12-31T00:00:00.000000Z"),
        ("4713-01-01T00:00:00.5+00:00 BC", "-4712-01-01T00:00:00.500000Z"),
        ("2026-11-01T02:00:00+02:00", "2026-11-01T00:00:00.000000Z"),
    ],
)
def test_the_json_of_postgresql_says_the_same(text, same):
    assert instant.parse(text) == instant.parse(same)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "never",
        "2026-02-30T00:00:00.000000Z",
        "2026-13-01T00:00:00.000000Z",
        "+10001-02-29T00:00:00.000000Z",
        "2026-11-01",
        "2026-11-01T00:00:00.000000",
        "Infinity",
        "2026-W01-1T00:00:00.000000Z",
        "+9999999-01-01T00:00:00.000000Z",
        "2026-11-01T00:00:60.000000Z",
        "-0000-01-01T00:00:00.000000Z",
        "+02026-11-01T00:00:00.000000Z",
        "+2026-11-01T00:00:00.000000Z",
        "0000-01-01T00:00:00+00:00 BC",
        "-0001-01-01T00:00:00+00:00 BC",
        "-4713-11-23T23:59:59.999999Z",
        "+294277-01-01T00:00:00.000000Z",
        "\u0662026-11-01T00:00:00.000000Z",
    ],
)
def test_what_no_calendar_has_is_no_instant(text):
    with pytest.raises(ValueError):
        instant.parse(text)


@pytest.mark.parametrize(
    "text", ["2026-11-01T24:00:00.000000Z", "2026-11-01T24:00:00+00:00", "+10000-01-01T24:00:00.000000Z"]
)
def test_no_version_of_python_takes_hour_24(text):
    with pytest.raises(ValueError, match="is no instant"):
        instant.parse(text)


@settings(deadline=None)
@given(at=st.datetimes(timezones=st.just(UTC)))
def test_within_the_years_of_datetime_both_agree(at):
    text = engine.rfc3339(at)
    assert instant.written(instant.parse(text)) == text and instant.parse(text) - instant.parse(
        "2000-01-01T00:00:00.000000Z"
    ) == at - datetime(2000, 1, 1, tzinfo=UTC)


@settings(deadline=None)
@given(days=st.integers(-4712 * 365, 290_000 * 365), microseconds=st.integers(0, 86_400 * 10**6 - 1))
def test_any_instant_is_read_as_it_was_written(days, microseconds):
    at = timedelta(days=days, microseconds=microseconds)
    assert instant.parse(instant.written(at)) == at
