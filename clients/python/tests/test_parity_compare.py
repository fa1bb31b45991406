"""Two answers compared, and what a person is shown of it."""

import json
from datetime import UTC, datetime

import pytest
from admin_client.parity import report
from admin_client.parity.compare import Difference, compare, members
from admin_client.parity.engine import Request
from admin_client.parity.run import ANSWER, KEPT, Finding, Outcome

ANSWERED = (
    '{"contract":"sensitive.check.2b","approval_id":"x","decision":"deny","reason":null,"evaluated_at":"2026-11-23T20:00:00.000000Z",'
    '"meta":{"operator_alert":false,"precedence":9},"audit":{"audit_id":null}}'
)
AT = datetime(2026, 11, 23, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    "other, differences",
    [
        (ANSWERED, ()),
        (ANSWERED.replace("2026", "2027"), ()),
        (ANSWERED.replace('{"audit_id":null}', '{ "audit_id" : "4711" }'), ()),
        (ANSWERED.replace('"deny"', '"valid"'), (Difference("decision", '"deny"', '"valid"'),)),
        (ANSWERED.replace('"x"', '"\\u0078"'), (Difference("approval_id", '"x"', '"\\u0078"'),)),
        (
            ANSWERED.replace("9}", "9.0}"),
            (
                Difference(
                    "meta", '{"operator_alert":false,"precedence":9}', '{"operator_alert":false,"precedence":9.0}'
                ),
            ),
        ),
        (
            ANSWERED.replace('"operator_alert":false,"precedence":9', '"precedence":9,"operator_alert":false'),
            (Difference("meta", '{"operator_alert":false,"precedence":9}', '{"precedence":9,"operator_alert":false}'),),
        ),
        (ANSWERED.replace('"reason":null,', ""), (Difference("reason", "null", None),)),
        (ANSWERED.replace('"reason":null,', '"reason":null,"more":1,'), (Difference("more", None, "1"),)),
        (
            ANSWERED.replace('"decision":"deny","reason":null', '"reason":null,"decision":"deny"'),
            (
                Difference(
                    "order of keys",
                    "contract approval_id decision reason evaluated_at meta audit",
                    "contract approval_id reason decision evaluated_at meta audit",
                ),
            ),
        ),
        ("error 22023", (Difference(None, ANSWERED, "error 22023"),)),
    ],
)
def test_byte_for_byte_save_evaluated_at_and_audit(other, differences):
    assert compare(ANSWERED, other) == differences
    assert bool(compare(other, ANSWERED)) == bool(differences)


@pytest.mark.parametrize(
    "other",
    [ANSWERED.replace(":", ": "), ANSWERED + " ", ANSWERED.replace(",", " ,", 1), ANSWERED + "x", ANSWERED[:-1], ""],
)
def test_blanks_and_torn_texts_differ(other):
    assert compare(ANSWERED, other) and compare(other, ANSWERED)


def test_a_key_that_comes_twice_differs():
    assert compare(ANSWERED, ANSWERED.replace('"decision":"deny"', '"decision":"valid","decision":"deny"'))


@pytest.mark.parametrize("text", ["", "[]", "{", "{1:2}", '{"a"}', '{"a":}', '{"a":1,}', '{"a":1}x', '{"a":1 "b":2}'])
def test_members_of_what_is_no_object(text):
    with pytest.raises(ValueError):
        members(text)


# -- the report -------------------------------------------------------------------------------------------------------

HOSTILE = '<script>alert(1)</script>\x1b[31m\u202e&"'


def outcome_with(*findings):
    outcome = Outcome(seed=7, cases=100, approvals=10, rejected=2, seconds=2.0, server="PostgreSQL 15")
    outcome.stores["random"] = 1
    outcome.rules.update({10: 60, 8: 40})
    outcome.reasons.update({"valid": 60, "approval_expired": 40})
    outcome.differing[8] = len(findings)
    for finding in findings:
        outcome.add(finding)
    return outcome


ANSWERED_OTHERWISE = ANSWERED.replace('"deny"', '"valid"').replace("9}", "10}")


def finding(file=ANSWERED, database=ANSWERED_OTHERWISE):
    return Finding(
        ANSWER,
        "store.json",
        HOSTILE,
        f"because of {HOSTILE}",
        file,
        database,
        compare(file, database),
        Request(HOSTILE, None, "r", AT),
        json.dumps({"action": HOSTILE}),
    )


def test_a_page_shows_all_and_nothing_of_it_acts():
    page = report.page(outcome_with(finding()))
    assert (
        "<script" not in page
        and "\x1b" not in page
        and "\u202e" not in page
        and "http" not in page
        and "src=" not in page
    )
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\u001b[31m\\u202e&amp;&quot;" in page
    for text in (
        "100 answers compared, 1 differ",
        "seed 7",
        "PostgreSQL 15",
        "answer: file rule 9, database rule 10: 1",
        "store element",
        "exactly at the deadline",
        "50 answers/s",
        "<del>&quot;deny&quot;</del>",
        "<ins>&quot;valid&quot;</ins>",
        *(f"<td>{rule}</td>" for rule in ("stale", "expired", "otherwise")),
    ):
        assert text in page
    assert page.count('<tr class="unmet">') == 8 + 4  # rules and boundaries not met are marked


def test_a_page_of_no_difference_says_so():
    page = report.page(outcome_with())
    assert "no difference" in page and "What differs" not in page and 'class="verdict equal"' in page


def test_the_terminal_shows_examples_of_each_group():
    text = report.terminal(outcome_with(*[finding()] * 5))
    assert "answer: file rule 9, database rule 10: 5" in text and "... and 2 more" in text and "\x1b" not in text
    assert 'decision: file "deny", database "valid"' in text and "because of <script>" in text
    assert "rule 8" not in text and "not met" in text


def test_findings_beyond_what_is_kept_are_counted():
    outcome = outcome_with(*[finding()] * (KEPT + 5))
    assert len(outcome.findings) == KEPT and "... and 5 more" in report.page(outcome)
