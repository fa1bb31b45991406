"""A store's document: what is sound is taken, the rest is named by its index."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from admin_client.parity import instants, store

LOADED = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)
SOUND = {
    "approval_id": "APP-000001-a",
    "action": "pay",
    "required_roles": ["a", "b"],
    "requested_by": "ann",
    "state": "signed_partial",
    "sla_deadline": "2026-11-24T20:00:00Z",
    "signatures": [{"signer_role": "a", "signer": "bob"}],
}
SIGNED = SOUND["signatures"][0]
# The change of a sound element, and what is said of it; None: it is sound still.
ELEMENTS = [
    ({}, None),
    ({"state": "approved"}, 'state "approved" is unknown'),
    ({"state": ""}, 'state "" is unknown'),
    ({"state": "signed_full"}, 'state is "signed_full", but its signatures amount to "signed_partial"'),
    ({"state": "signed_full", "signatures": None}, 'state is "signed_full", but its signatures amount to "pending"'),
    ({"state": None}, 'state is "pending"'),
    ({"state": None, "signatures": None}, None),
    ({"state": "pending", "signatures": []}, None),
    ({"state": "withdrawn"}, '"closed_at" is set if and only if'),
    ({"state": "withdrawn", "closed_at": "2026-11-23T20:00:00Z"}, None),
    ({"state": "withdrawn", "closed_at": "2026-11-23T20:00:00Z", "closed_by": "ann", "close_reason": ""}, None),
    ({"state": "withdrawn", "closed_at": "2026-11-23T20:00:00Z", "closed_by": ""}, '"closed_by" has 0 bytes'),
    ({"closed_at": "2026-11-23T20:00:00Z"}, '"closed_at" is set if and only if'),
    ({"closed_by": "ann"}, '"closed_by" and "close_reason" are for withdrawn'),
    ({"approval_id": None}, '"approval_id" is missing'),
    ({"approval_id": "APP-1-a"}, "is not of the form"),
    ({"approval_id": "APP-000001-" + "a" * 54}, '"approval_id" has 65 bytes'),
    ({"action": None}, '"action" is missing'),
    ({"action": 7}, '"action" is not a string'),
    ({"action": ""}, '"action" has 0 bytes'),
    ({"action": "é" * 129}, '"action" has 258 bytes'),
    ({"resource": "x" * 2048}, None),
    ({"resource": "x" * 2049}, '"resource" has 2049 bytes'),
    ({"resource": ""}, '"resource" has 0 bytes'),
    ({"action": "pay\nall"}, '"action" has a control character'),
    ({"resource": "account\x857"}, '"resource" has a control character'),
    ({"requested_by": "an\u2028n"}, '"requested_by" has a control character'),
    ({"required_roles": ["a", "b\x7f"]}, 'a role of "required_roles" has a control character'),
    ({"signatures": [{"signer_role": "a", "signer": "bob\t"}]}, '"signer" has a control character'),
    ({"signatures": [{**SIGNED, "comment": "read\nand signed"}]}, None),
    (
        {"state": "withdrawn", "closed_at": "2026-11-23T20:00:00Z", "closed_by": "ann\r"},
        '"closed_by" has a control character',
    ),
    ({"requested_by": None}, '"requested_by" is missing'),
    ({"requested_by": "bob"}, '"bob" signed, who is the requester'),
    ({"required_roles": None}, '"required_roles" is not an array'),
    ({"required_roles": "a"}, '"required_roles" is not an array'),
    ({"required_roles": ["a", 1]}, '"required_roles" is not an array of strings'),
    ({"required_roles": []}, '"required_roles" names 0'),
    ({"required_roles": list("abcdefghi")}, '"required_roles" names 9'),
    ({"required_roles": list("abcdefgh")}, None),
    ({"required_roles": ["a", "a"]}, "names a role twice"),
    ({"required_roles": ["a", ""]}, "has no bytes"),
    ({"required_signer_count": 2}, None),
    ({"required_signer_count": 2.0}, None),
    ({"required_signer_count": 1}, '"required_signer_count" is 1'),
    ({"required_signer_count": "2"}, '"required_signer_count" is 2'),
    (
        {"required_signer_count": True, "required_roles": ["a"], "state": "signed_full"},
        '"required_signer_count" is True',
    ),
    ({"required_signer_count": 10**2000}, '"required_signer_count" is'),
    ({"signatures": {}}, '"signatures" is not an array'),
    ({"signatures": [None]}, "a signature is not an object"),
    ({"signatures": [{"signer": "bob"}]}, '"signer_role" is missing'),
    ({"signatures": [{"signer_role": "a"}]}, '"signer" is missing'),
    ({"signatures": [SIGNED, {"signer_role": "a", "signer": "eve"}], "state": "signed_full"}, 'role "a" signed twice'),
    ({"signatures": [SIGNED, {"signer_role": "b", "signer": "bob"}], "state": "signed_full"}, '"bob" signed twice'),
    ({"signatures": [{"signer_role": "c", "signer": "bob"}]}, 'role "c" signed, but is not required'),
    ({"signatures": [{**SIGNED, "signed_at": "never"}]}, '"signed_at": not a timestamp'),
    ({"signatures": [{**SIGNED, "comment": "x" * 4097}]}, '"comment" has 4097 bytes'),
    ({"sla_deadline": None}, '"sla_deadline" is missing'),
    ({"sla_deadline": "infinity"}, '"sla_deadline": not a timestamp'),
    ({"sla_deadline": "2026-02-30"}, '"sla_deadline": day is out of range'),
    ({"sla_deadline": 1}, '"sla_deadline" is not a string'),
    ({"sla_deadline_offset": "1 day"}, '"sla_deadline" is given twice'),
    ({"sla_deadline": None, "sla_deadline_offset": "1 fortnight"}, '"sla_deadline": no interval'),
    ({"sla_deadline": None, "sla_deadline_offset": "9000 years"}, '"sla_deadline"'),
    ({"sla_deadline": None, "sla_deadline_offset": "1 day"}, None),
    ({"created_at": "x"}, '"created_at": not a timestamp'),
    ({"unheard of": [{}]}, None),
]


def read(*elements):
    return store.read(store.parse(json.dumps(elements)), LOADED)


@pytest.mark.parametrize("change, error", ELEMENTS)
def test_an_element_is_read_or_named(change, error):
    other = {**SOUND, "approval_id": "APP-000002-b"}
    result = read({**SOUND, **change}, other)
    assert "APP-000002-b" in result.approvals
    if error is None:
        assert result.rejected == [] and result.imported == 2
    else:
        assert [r.index for r in result.rejected] == [0] and error in result.rejected[0].error


@pytest.mark.parametrize("element", [None, 7, "text", [], True])
def test_what_is_no_object_is_named(element):
    result = read(SOUND, element, SOUND)
    assert [(r.index, r.error) for r in result.rejected] == [(1, "not an object")] and result.unchanged == 1


@pytest.mark.parametrize(
    "second, agrees",
    [
        ({}, True),
        ({"comment": "not looked at"}, True),
        ({"sla_deadline": "2026-11-24T21:00:00+01:00"}, True),
        ({"resource": None}, True),
        ({"sla_deadline": None, "sla_deadline_offset": "3 days"}, True),
        ({"created_at": "2026-11-23T20:00:00Z"}, True),
        ({"action": "steal"}, False),
        ({"resource": "x"}, False),
        ({"sla_deadline": "2026-11-24T20:00:00.000001Z"}, False),
        ({"required_roles": ["b", "a"]}, False),
        ({"created_at": "2026-11-23T20:00:01Z"}, False),
        ({"signatures": [{**SIGNED, "signed_at": "2026-11-23T19:00:00Z"}]}, False),
        ({"signatures": [{**SIGNED, "comment": "yes"}]}, False),
        ({"state": "pending", "signatures": []}, False),
    ],
)
def test_a_second_element_of_an_id_agrees_or_is_named(second, agrees):
    result = read(SOUND, {**SOUND, **second})
    assert (result.imported, result.unchanged, [r.index for r in result.rejected]) == (
        (1, 1, []) if agrees else (1, 0, [1])
    )
    assert agrees or "is element 0 already, and differs" in result.rejected[0].error


def test_an_element_that_was_refused_does_not_stand_in_the_way():
    result = read({**SOUND, "state": "approved"}, SOUND)
    assert [r.index for r in result.rejected] == [0] and result.index == {"APP-000001-a": 1}


def test_an_element_is_taken_at_its_word_for_what_the_file_alone_would_answer():
    result = read(
        {**SOUND, "state": "approved"}, {**SOUND, "required_signer_count": 10**400}, {"approval_id": "APP-000003-a"}, 7
    )
    assert result.rejected[0].as_told.state == "approved"
    assert [r.as_told for r in result.rejected[1:]] == [None, None, None]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "null",
        "[",
        "[NaN]",
        '["\\u0000"]',
        '[{"a":["\\ud800"]}]',
        '[{"\\u0000":1}]',
        "[" * 100000,
        "[1e99999999999999999999]",
    ],
)
def test_what_is_no_document_is_refused(text):
    with pytest.raises(store.Unreadable):
        store.parse(text)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("2026-11-23T20:00:00Z", LOADED),
        ("2026-11-23 20:00:00", LOADED),
        ("2026-11-23T21:00:00+01:00", LOADED),
        ("2026-11-23T14:30:00-05:30", LOADED),
        ("2026-11-23T20:00Z", LOADED),
        ("2026-11-23T19:59:60Z", LOADED),
        ("2026-11-23T20:00:00.0000004Z", LOADED),
        ("2026-11-23T20:00:00.0000006Z", LOADED + timedelta(microseconds=1)),
        ("2026-11-23T19:59:59.9999999Z", LOADED),
        ("2026-11-23", LOADED.replace(hour=0)),
    ],
)
def test_instants(text, expected):
    assert instants.instant(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-11-23T24:00:01Z",
        "2026-13-01",
        "2026-11-23t20:00:00Z",
        "23.11.2026",
        "2026-11-23T20:00:00+16:00",
        "٢٠٢٦-11-23",
    ],
)
def test_a_text_that_is_no_instant_is_refused(text):
    with pytest.raises(ValueError):
        instants.instant(text)


@pytest.mark.parametrize(
    "offset, expected",
    [
        ("1 day", timedelta(days=1)),
        ("-25 hours", timedelta(hours=-25)),
        ("30 days", timedelta(days=30)),
        ("1 day -02:30", timedelta(hours=21, minutes=30)),
        ("1 day 02:30:00.000005", timedelta(days=1, hours=2, minutes=30, microseconds=5)),
        ("1 month", timedelta(days=30)),
        ("-1 year", timedelta(days=-365)),
        ("1.5 hours", timedelta(minutes=90)),
        ("1 hour 1", timedelta(hours=1, seconds=1)),
        ("10 ms", timedelta(milliseconds=10)),
        ("1d 2h 3m", timedelta(days=1, hours=2, minutes=3)),
    ],
)
def test_offsets(offset, expected):
    assert instants.after(LOADED, offset) == LOADED + expected


@pytest.mark.parametrize("offset", ["", " ", "x", "1 fortnight", "day", "--1 day", "1 day x", "1:99"])
def test_a_text_that_is_no_offset_is_refused(offset):
    with pytest.raises(ValueError):
        instants.after(LOADED, offset)
