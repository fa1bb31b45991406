"""People issue, sign and withdraw: answers, refusals, evidence, retries; every argument at its limits."""

import hashlib

from harness import ISSUER, done, error, ok, one, rows
from steps import ISSUE, SIGN, WITHDRAW, connection, issue, issuer, refused

# The whole way, and what the trail has of it.
token = issuer.token("req", jti="t1", algorithm="RS256")
answer = one(connection, ISSUE, token)
approval = answer["approval_id"]
ok(
    {**answer, "approval_id": "", "sla_deadline": ""}
    == {
        "approval_id": "",
        "requested_by": "req",
        "sla_deadline": "",
        "state": "pending",
        "signature_count": 0,
        "required_signer_count": 2,
        "ttl_state": "not-applicable",
        "valid_until": None,
        "verified": True,
        "already": False,
    },
    "issue_approval answers with the pending approval",
    answer,
)
ok(
    rows(connection, "select %s ~ '^APP-[0-9]{6}-[a-z0-9]+$'", approval) == [(True,)],
    "the generated id follows the grammar",
)
answer = one(connection, SIGN, approval, "finance", issuer.token("ann", algorithm="PS256"))
ok(
    (answer["state"], answer["signer"], answer["already"]) == ("signed_partial", "ann", False),
    "the first of two signatures makes the approval signed_partial",
    answer,
)
again = one(connection, SIGN, approval, "finance", issuer.token("ann", algorithm="EdDSA"))
ok(again == {**answer, "already": True}, "the same signature again, with another token, gets the same answer", again)
ok(
    one(connection, "select admin.sensitive_check(%s)", approval)["reason"] == "dual_signers_required",
    "a check of an approval with one of two signatures says dual_signers_required",
)
answer = one(connection, SIGN, approval, "legal", issuer.token("bob", ["legal"]))
ok(
    (answer["state"], answer["ttl_state"], answer["signature_count"]) == ("signed_full", "valid", 2)
    and answer["valid_until"],
    "the second of two signatures makes the approval signed_full",
    answer,
)
ok(
    one(connection, "select admin.sensitive_check(%s, token => %s)", approval, issuer.token("ff"))["decision"]
    == "valid",
    "a check of a fully signed approval says valid",
)
ok(
    rows(
        connection,
        "select actor from admin.audit where event_type = 'sensitive.check.2b' order by audit_id desc limit 1",
    )
    == [("ff",)],
    "the check's actor is the token's subject",
)
ff_token = issuer.token("ff", jti="asked-by-ff")
answer = one(connection, "select admin.sensitive_check(%s, 'pay', token => %s)", approval, ff_token)
recorded = rows(
    connection,
    "select payload -> 'request', payload::text like '%%' || %s || '%%' from admin.audit where audit_id = %s",
    ff_token,
    int(answer["audit"]["audit_id"]),
)
ok(
    recorded
    == [
        (
            {
                "action": "pay",
                "resource": None,
                "token": {
                    "issuer": ISSUER,
                    "key_id": "ES256",
                    "token_id": "asked-by-ff",
                    "sha256": hashlib.sha256(ff_token.encode()).hexdigest(),
                },
            },
            False,
        )
    ],
    "the row of a check has what was asked and what identifies the token, and not the token",
    recorded,
)
ok("request" not in answer, "the caller's answer is the contract's alone", answer)
answer = one(connection, WITHDRAW, approval, "changed my mind", issuer.token("bob", ["legal"]))
ok(
    (answer["state"], answer["closed_by"], answer["already"]) == ("withdrawn", "bob", False),
    "a signer withdraws the approval",
    answer,
)
ok(
    one(connection, WITHDRAW, approval, "changed my mind", issuer.token("bob", [])) == {**answer, "already": True},
    "a signer who withdraws again gets the same answer",
)
trail = rows(
    connection,
    "select event_type, actor, payload -> 'verified', payload -> 'token' from admin.audit where approval_id = %s and event_type <> 'sensitive.check.2b' order by audit_id",
    approval,
)
ok(
    [row[:3] for row in trail]
    == [
        ("approval.issued", "req", True),
        ("signature.added", "ann", True),
        ("approval.signed_partial", "ann", True),
        ("signature.added", "bob", True),
        ("approval.signed_full", "bob", True),
        ("approval.withdrawn", "bob", True),
    ],
    "each step is in the trail, with who took it",
    trail,
)
ok(
    trail[0][3]
    == {"issuer": ISSUER, "key_id": "RS256", "token_id": "t1", "sha256": hashlib.sha256(token.encode()).hexdigest()},
    "the trail has the token's issuer, key, jti and SHA-256",
    trail[0],
)
everything = rows(connection, "select string_agg(payload::text, '') from admin.audit")[0][0] + str(
    rows(connection, "select * from admin.signature")
)
ok(
    token.split(".")[2] not in everything and token.split(".")[1] not in everything,
    "neither the trail nor the signatures contain the token",
)

# Who may not.
approval = issue()
refused(
    "42501", "requested approval", "nobody signs a request of their own", SIGN, approval, "finance", issuer.token("req")
)
refused(
    "42501",
    "does not hold role",
    "nobody signs in a role that the token does not have",
    SIGN,
    approval,
    "legal",
    issuer.token("ann"),
)
refused(
    "42501",
    "does not hold role",
    "nobody signs with a token without roles",
    SIGN,
    approval,
    "legal",
    issuer.token("ann", roles=[]),
)
refused(
    "22023",
    "is not required",
    "nobody signs in a role that is not required",
    SIGN,
    approval,
    "security",
    issuer.token("ann", ["security"]),
)
refused(
    "42501",
    "cannot withdraw",
    "a stranger cannot withdraw",
    WITHDRAW,
    approval,
    "no",
    issuer.token("ann", ["finance", "Operator"]),
)
one(connection, SIGN, approval, "finance", issuer.token("ann"))
text = refused("23505", "cannot be signed by", "a role signs once", SIGN, approval, "finance", issuer.token("bob"))
ok("HINT" in text and "DETAIL" in text, "the error about a role that has signed has a detail and a hint", text)
text = refused(
    "23505",
    "in role",
    "one person does not sign in two roles",
    SIGN,
    approval,
    "legal",
    issuer.token("ann", ["finance", "legal"]),
)
ok("another role" in text and "HINT" in text, "the error about a person in two roles has a detail and a hint", text)
refused(
    "23505",
    "cannot be signed by",
    "the same signature with another comment is refused",
    "select admin.sign_approval(%s, 'finance', comment => 'hm', token => %s)",
    approval,
    issuer.token("ann"),
)
refused(
    "22023",
    "is not the subject",
    "a signer who is not the token's subject is refused",
    "select admin.sign_approval(%s, 'legal', 'eve', token => %s)",
    approval,
    issuer.token("bob", ["legal"]),
)
refused(
    "22023",
    "is not the subject",
    "an actor of a withdrawal who is not the token's subject is refused",
    "select admin.withdraw_approval(%s, 'x', 'eve', %s)",
    approval,
    issuer.token("ann"),
)
refused(
    "22023",
    "is not the subject",
    "an actor of a check who is not the token's subject is refused",
    "select admin.sensitive_check(%s, actor => 'eve', token => %s)",
    approval,
    issuer.token("ann"),
)
refused(
    "28000",
    "its signature",
    "a check with a bad token is an error",
    "select admin.sensitive_check(%s, token => %s)",
    approval,
    issuer.token()[:-8] + "AAAAAAAA",
)
ok(
    one(
        connection,
        "select admin.sign_approval(%s, 'legal', 'bob', token => %s)",
        approval,
        issuer.token("bob", ["legal"]),
    )["state"]
    == "signed_full",
    "a signer who is the token's subject may be named",
)
for call in (
    "admin.issue_approval('a', array['b'], now() + interval '1 h', requested_by => 'x')",
    f"admin.sign_approval('{approval}', 'legal', 'x')",
    f"admin.withdraw_approval('{approval}', 'x', 'x')",
):
    text = refused("28000", "token is missing", f"{call[:24]} without token is refused", f"select {call}")
    ok("HINT" in text, f"the error of {call[:24]} without token has a hint")
one(connection, WITHDRAW, approval, "over", issuer.token("op", ["operator"]))
for name, query, arguments in (
    ("sign", SIGN, (approval, "finance", issuer.token("eve"))),
    ("withdraw", WITHDRAW, (approval, "over", issuer.token("req"))),
    ("withdraw for another reason", WITHDRAW, (approval, "never mind", issuer.token("op", ["operator"]))),
):
    refused("55000", "is withdrawn", f"a withdrawn approval is final: {name}", query, *arguments)
refused(
    "P0002",
    "does not exist",
    "an unknown approval cannot be signed",
    SIGN,
    "APP-000000-none",
    "finance",
    issuer.token(),
)
refused(
    "P0002",
    "does not exist",
    "an unknown approval cannot be withdrawn",
    WITHDRAW,
    "APP-000000-none",
    "x",
    issuer.token(),
)
one(
    connection,
    "insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline) values ('APP-000001-late', 'pay', '{finance}', 1, 'req', now())",
)
text = refused(
    "55000",
    "after its deadline",
    "an approval cannot be signed at its deadline",
    SIGN,
    "APP-000001-late",
    "finance",
    issuer.token(),
)
ok("HINT" in text, "the error about a signature at the deadline has a hint")
ok(
    one(connection, WITHDRAW, "APP-000001-late", "late", issuer.token("req"))["state"] == "withdrawn",
    "an approval can be withdrawn after its deadline",
)

# Issuing again.
given = (
    "select admin.issue_approval('pay', array['finance'], '2100-01-01', 'account 7', 'APP-000002-mine', token => %s)"
)
answer = one(connection, given, issuer.token("req"))
ok(
    one(connection, given, issuer.token("req")) == {**answer, "already": True},
    "an approval that is issued again with the same arguments is answered",
)
for name, query in (
    ("another requester", given),
    ("another action", given.replace("pay", "buy")),
    ("another resource", given.replace("7", "8")),
    ("other roles", given.replace("finance", "legal")),
    ("another deadline", given.replace("2100", "2101")),
    ("no resource", given.replace("'account 7'", "null")),
):
    refused(
        "23505",
        "exists already",
        f"an approval that is issued again with {name} is refused",
        query,
        issuer.token("eve" if name == "another requester" else "req"),
    )

# Without tokens, where that is allowed.
one(connection, "set admin_ext.require_verified_jwt = off")
answer = one(
    connection, "select admin.issue_approval('pay', array['finance'], now() + interval '1 h', requested_by => 'req')"
)
ok(answer["verified"] is False, "the answer to issuing without a token says that nobody was verified")
approval = answer["approval_id"]
ok(
    one(connection, "select admin.sign_approval(%s, 'finance', 'ann', 'fine')", approval)["verified"] is False,
    "the answer to signing without a token says that nobody was verified",
)
refused(
    "42501",
    "cannot withdraw",
    "a stranger cannot withdraw without a token",
    "select admin.withdraw_approval(%s, 'x', 'operator')",
    approval,
)
ok(
    one(connection, "select admin.withdraw_approval(%s, 'x', 'ann')", approval)["state"] == "withdrawn",
    "a signer can withdraw without a token",
)
ok(
    rows(
        connection,
        "select distinct payload ->> 'verified', payload ->> 'token' from admin.audit where approval_id = %s",
        approval,
    )
    == [("false", None)],
    "the trail says that nobody was verified",
)
ok(
    one(
        connection,
        "select admin.issue_approval('pay', array['finance'], now() + interval '1 h', token => %s)",
        issuer.token("req"),
    )["verified"]
    is True,
    "a token is verified where none is required",
)
refused(
    "28000",
    "its signature",
    "a bad token is refused where none is required",
    "select admin.issue_approval('pay', array['finance'], now() + interval '1 h', token => %s)",
    issuer.token()[:-8] + "AAAAAAAA",
)

# A retry describes the step that was taken, not itself.
approval = one(
    connection,
    "select admin.issue_approval('pay', array['finance', 'legal'], '2100-01-01', approval_id => 'APP-000005-plain', requested_by => 'req')",
)["approval_id"]
one(connection, "select admin.sign_approval(%s, 'finance', 'ann')", approval)
answer = one(connection, SIGN, approval, "finance", issuer.token("ann"))
ok((answer["already"], answer["verified"]) == (True, False), "a plain signature is not made a verified one", answer)
again = one(
    connection,
    "select admin.issue_approval('pay', array['finance', 'legal'], '2100-01-01', approval_id => 'APP-000005-plain', token => %s)",
    issuer.token("req"),
)
ok(
    (again["already"], again["verified"]) == (True, False),
    "an approval issued without a token is not made a verified one",
    again,
)
one(connection, SIGN, approval, "legal", issuer.token("bob", ["legal"]))
ok(
    one(connection, "select admin.sign_approval(%s, 'legal', 'bob')", approval)["verified"] is True,
    "a verified signature stays verified",
)
ok(
    one(connection, SIGN, approval, "legal", issuer.token("bob", []))["already"] is True,
    "a retry is answered though the role is not held any more",
)
one(
    connection,
    "insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline) values ('APP-000006-past', 'pay', '{finance}', 1, 'req', '2020-01-01')",
)
ok(
    one(
        connection,
        "select admin.issue_approval('pay', array['finance'], '2020-01-01', approval_id => 'APP-000006-past', requested_by => 'req')",
    )["already"]
    is True,
    "a retry of issuing is answered though the deadline has passed",
)
one(connection, "begin read only")
code, text = error(connection, "select admin.sign_approval('APP-000006-past', 'finance', 'ann')")
one(connection, "rollback")
ok(code == "25006" and "sign_approval()" in text, "no step in a read-only transaction", f"{code} {text}")

# Limits.
deadline = "now() + interval '1 h'"
limits = [
    ("null, array['r'], {d}, requested_by => 'x'", "action"),
    ("'', array['r'], {d}, requested_by => 'x'", "action"),
    ("repeat('a', 257), array['r'], {d}, requested_by => 'x'", "action"),
    ("'a', null, {d}, requested_by => 'x'", "required_roles"),
    ("'a', '{{}}', {d}, requested_by => 'x'", "required_roles"),
    ("'a', array['r', 'r'], {d}, requested_by => 'x'", "required_roles"),
    ("'a', array['r', null], {d}, requested_by => 'x'", "required_roles"),
    ("'a', array['r', ''], {d}, requested_by => 'x'", "required_roles"),
    ("'a', array[repeat('r', 129)], {d}, requested_by => 'x'", "required_roles"),
    ("'a', array[['r', 's']], {d}, requested_by => 'x'", "required_roles"),
    ("'a', array(select n::text from generate_series(1, 9) as n), {d}, requested_by => 'x'", "required_roles"),
    ("'a', array['r'], null, requested_by => 'x'", "sla_deadline"),
    ("'a', array['r'], 'infinity', requested_by => 'x'", "sla_deadline"),
    ("'a', array['r'], '-infinity', requested_by => 'x'", "sla_deadline"),
    ("'a', array['r'], now(), requested_by => 'x'", "sla_deadline"),
    ("'a', array['r'], now() - interval '1 d', requested_by => 'x'", "sla_deadline"),
    ("'a', array['r'], {d}, '', requested_by => 'x'", "resource"),
    ("'a', array['r'], {d}, repeat('r', 2049), requested_by => 'x'", "resource"),
    ("'a', array['r'], {d}, approval_id => 'APP-1-x', requested_by => 'x'", "approval_id"),
    ("'a', array['r'], {d}, approval_id => '', requested_by => 'x'", "approval_id"),
    ("'a', array['r'], {d}, approval_id => 'APP-000001-' || repeat('x', 54), requested_by => 'x'", "approval_id"),
    ("'a', array['r'], {d}, approval_id => 'APP-000001-X', requested_by => 'x'", "approval_id"),
    ("'a', array['r'], {d}", "requested_by"),
    ("'a', array['r'], {d}, requested_by => ''", "requested_by"),
    ("'a', array['r'], {d}, requested_by => repeat('x', 257)", "requested_by"),
]
for arguments, argument in limits:
    refused(
        "22023",
        f'"{argument}"',
        f"issue_approval({arguments[:60]})",
        f"select admin.issue_approval({arguments.format(d=deadline)})",
    )
for arguments, argument in [
    ("null, 'r', 'x'", "approval_id"),
    ("'', 'r', 'x'", "approval_id"),
    ("repeat('x', 65), 'r', 'x'", "approval_id"),
    ("'APP-000002-mine', null, 'x'", "signer_role"),
    ("'APP-000002-mine', '', 'x'", "signer_role"),
    ("'APP-000002-mine', repeat('r', 129), 'x'", "signer_role"),
    ("'APP-000002-mine', 'r'", "signer"),
    ("'APP-000002-mine', 'r', ''", "signer"),
    ("'APP-000002-mine', 'r', repeat('x', 257)", "signer"),
    ("'APP-000002-mine', 'r', 'x', ''", "comment"),
    ("'APP-000002-mine', 'r', 'x', repeat('x', 4097)", "comment"),
]:
    refused("22023", f'"{argument}"', f"sign_approval({arguments})", f"select admin.sign_approval({arguments})")
for arguments, argument in [
    ("null, 'r', 'x'", "approval_id"),
    ("'', 'r', 'x'", "approval_id"),
    ("'APP-000002-mine', null, 'x'", "reason"),
    ("'APP-000002-mine', '', 'x'", "reason"),
    ("'APP-000002-mine', repeat('x', 4097), 'x'", "reason"),
    ("'APP-000002-mine', 'r'", "actor"),
    ("'APP-000002-mine', 'r', ''", "actor"),
    ("'APP-000002-mine', 'r', repeat('x', 257)", "actor"),
]:
    refused("22023", f'"{argument}"', f"withdraw_approval({arguments})", f"select admin.withdraw_approval({arguments})")
longest = "APP-000001-" + "x" * 53
answer = one(
    connection,
    "select admin.issue_approval(repeat('a', 256), array(select repeat('r', 127) || n from generate_series(1, 8) as n), '9999-12-31', repeat('s', 2048), %s, repeat('q', 256))",
    longest,
)
ok(answer["required_signer_count"] == 8, "issue_approval takes each argument as long as it may be", answer)
ok(
    one(
        connection,
        "select admin.sign_approval(%s, repeat('r', 127) || 8, repeat('p', 256), repeat('c', 4096))",
        longest,
    )["state"]
    == "signed_partial",
    "sign_approval takes each argument as long as it may be",
)
ok(
    one(connection, "select admin.withdraw_approval(%s, repeat('c', 4096), repeat('p', 256))", longest)["state"]
    == "withdrawn",
    "withdraw_approval takes each argument as long as it may be",
)
done()
