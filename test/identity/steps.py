"""What the tests of steps share: a session, an issuer, and the queries."""

from harness import Issuer, connect, error, ok, one, rows

connection = connect()
issuer = Issuer(connection)
ISSUE = "select admin.issue_approval('pay', array['finance','legal'], now() + interval '1 h', token => %s)"
SIGN = "select admin.sign_approval(%s, %s, token => %s)"
WITHDRAW = "select admin.withdraw_approval(%s, %s, token => %s)"
counted = """select (select count(*) from admin.approval), (select count(*) from admin.signature), (select count(*) from admin.audit),
                    (select coalesce(max(updated_at), '-infinity') from admin.approval)"""


def refused(code, part, name, query, *arguments):
    before = rows(connection, counted)
    got, text = error(connection, query, *arguments)
    ok(got == code and part in text, name, f"{got} {text}")
    ok(rows(connection, counted) == before, f"{name}: everything is as it was")
    return text


def issue(requester="req"):
    return one(connection, ISSUE, issuer.token(requester))["approval_id"]
