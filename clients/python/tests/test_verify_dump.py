"""A line of a dump says the same whether it is taken apart by its form or parsed as JSON."""

import pytest
from admin_client.verify import dump
from evidence_sources import history, messages
from hypothesis import given, settings, strategies as st

NAMES = st.sampled_from(["admin-ext-number", "admin-ext-seal", "content-type", "x_Y.z", "é", 'a"b', ""])
BYTES = st.none() | st.binary(max_size=40)


def same(line: bytes) -> dump.Record:
    one, two = dump.parse(line), dump._parse_any(line)
    assert one[:5] == two[:5]
    return one


@settings(max_examples=200, deadline=None)
@given(
    partition=st.integers(0, 10**6),
    offset=st.integers(0, 10**18 - 1),
    stamp=st.integers(-1, 10**15),
    key=BYTES,
    headers=st.lists(st.tuples(NAMES, BYTES), max_size=4, unique_by=lambda header: header[0]),
    value=BYTES,
)
def test_both_ways_of_reading_a_line_agree(partition, offset, stamp, key, headers, value):
    line = dump.line_of("ptt.audit.trail", partition, offset, stamp, key, headers, value)
    record = same(line)
    if record.size:
        assert dump.without_prefix(dump.decoded(line[record.at : record.at + record.size])) == record.value


def test_records_of_the_extension_are_read_by_their_form():
    for record in messages(history(2)):
        assert same(
            dump.line_of(
                "ptt.audit.trail", record.partition, 5, record.timestamp, record.key, record.headers, record.value
            )
        ).size


@pytest.mark.parametrize(
    "change",
    [
        lambda line: line.replace(b'"],["', b'"]["'),
        lambda line: line.replace(b'"]],"value"', b'"],],"value"'),
        lambda line: line.replace(b'"offset":5', b'"offset":05'),
        lambda line: line[:-2],
        lambda line: line.replace(b'"}\n', b'="}\n'),
        lambda line: line.replace(b'"value":"', b'"value":"*'),
    ],
)
def test_a_line_that_is_no_json_is_no_record_either_way(change):
    record = messages(history(2))[0]
    line = dump.line_of("t", 0, 5, 1, b"k", [("a", b"x"), ("b", b"y")], record.value)
    assert change(line) != line and same(line)
    for parse in (dump.parse, dump._parse_any):
        with pytest.raises(ValueError):
            parse(change(line))


def test_lines_that_are_long_are_read_as_they_come(tmp_path):
    line = dump.line_of("t", 0, 5, 1, None, [], b"x" * 3_000_000)
    assert same(line).value == b"x" * 3_000_000
    (tmp_path / "t.ndjson").write_bytes(line * 2)
    assert [(at, size) for at, size, _ in dump.records(tmp_path / "t.ndjson")] == [
        (0, len(line)),
        (len(line), len(line)),
    ]
