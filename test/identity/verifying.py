"""verify_approval: an approval against its trail, sound and bent."""

from harness import ISSUER, done, ok, one, rows
from steps import SIGN, connection, issue, issuer, refused

one(connection, "set admin_ext.require_verified_jwt = off")
one(
    connection,
    "select admin.issue_approval('pay', '[5:6]={finance,legal}'::text[], '2100-01-01', approval_id => 'APP-000004-bounds', requested_by => 'req')",
)
ok(
    rows(connection, "select * from admin.verify_approval('APP-000004-bounds') where not fits") == [],
    "roles are numbered from one, whatever the array was",
)
refused(
    "22023",
    '"sla_deadline"',
    "a deadline that RFC 3339 cannot write is refused",
    "select admin.issue_approval('a', array['r'], '10000-01-01', requested_by => 'x')",
)
approval = issue()
one(connection, SIGN, approval, "finance", issuer.token("ann"))
one(connection, SIGN, approval, "legal", issuer.token("bob", ["legal"]))
verify = "select item from admin.verify_approval(%s) where not fits order by item"
ok(
    rows(connection, verify, approval) == []
    and len(rows(connection, "select * from admin.verify_approval(%s)", approval)) == 12,
    "a sound approval fits in all twelve items",
    rows(connection, "select * from admin.verify_approval(%s)", approval),
)
ok(
    [
        row[0]
        for row in rows(
            connection, "select detail from admin.verify_approval(%s) where item like 'signature of%%'", approval
        )
    ]
    == [f"ann was verified by a token of {ISSUER}, key ES256", f"bob was verified by a token of {ISSUER}, key ES256"],
    "verify_approval says who was verified, by a token of which issuer and key",
)
refused("P0002", "does not exist", "verify_approval of an unknown approval is an error", verify, "APP-000000-none")
bends = [
    (
        "another resource",
        "update admin.approval set resource = 'mine' where approval_id = %s",
        {"digest", "trail: row"},
    ),
    (
        "fewer roles",
        "update admin.approval set required_roles = '{finance}', required_signer_count = 1 where approval_id = %s",
        {"state", "roles", "digest", "trail: row"},
    ),
    (
        "the requester as signer",
        "update admin.signature set signer = 'req' where signer = 'ann' and approval_id = %s",
        {"people", "trail: signatures"},
    ),
    (
        "a signature taken away",
        "delete from admin.signature where signer = 'ann' and approval_id = %s",
        {"state", "trail: signatures"},
    ),
    (
        "another token",
        "update admin.signature set token_sha256 = sha256('x') where signer = 'ann' and approval_id = %s",
        {"trail: signatures"},
    ),
    (
        "a state set back",
        "update admin.approval set state = 'signed_partial' where approval_id = %s",
        {"state", "trail: row"},
    ),
    (
        "a key that is gone",
        "delete from admin.jwt_key where kid = 'ES256' and %s <> ''",
        {"signature of finance", "signature of legal"},
    ),
    (
        "a key revoked before the signature",
        "update admin.jwt_key set revoked_at = '2000-01-01' where kid = 'ES256' and %s <> ''",
        {"signature of finance", "signature of legal"},
    ),
]
for name, bend, found in bends:
    one(connection, "begin")
    one(connection, "alter table admin.approval disable trigger all; alter table admin.signature disable trigger all")
    one(connection, bend, approval)
    ok(
        {row[0] for row in rows(connection, verify, approval)} == found,
        f"verify_approval finds: {name}",
        rows(connection, verify, approval),
    )
    one(connection, "rollback")
one(connection, "set admin_ext.restoring = on")
one(
    connection,
    "insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, state, sla_deadline) values ('APP-000003-forged', 'pay', '{finance}', 1, 'req', 'signed_full', now() + interval '1 h')",
)
one(
    connection,
    "insert into admin.signature (approval_id, signer_role, signer, approval_digest) values ('APP-000003-forged', 'finance', 'ann', admin.approval_digest('APP-000003-forged'))",
)
one(connection, "set admin_ext.restoring = off")
ok(
    [row[0] for row in rows(connection, verify, "APP-000003-forged")]
    == ["trail: issued", "trail: row", "trail: signatures"],
    "verify_approval finds: what was put in past the trail",
    rows(connection, verify, "APP-000003-forged"),
)
one(
    connection,
    "insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, state, sla_deadline) values ('APP-000007-born', 'pay', '{finance}', 1, 'req', 'signed_full', now() + interval '1 h')",
)
one(
    connection,
    "insert into admin.signature (approval_id, signer_role, signer) values ('APP-000007-born', 'finance', 'ann')",
)
ok(
    [row[0] for row in rows(connection, verify, "APP-000007-born")] == ["trail: steps"],
    "verify_approval finds: an approval that was born signed",
    rows(connection, verify, "APP-000007-born"),
)
altered = issue("ann")
one(connection, "update admin.approval set requested_by = 'bob' where approval_id = %s", altered)
found = rows(connection, "select item, detail from admin.verify_approval(%s) where not fits", altered)
ok(
    len(found) == 1 and found[0][0] == "requester" and "altered to bob" in found[0][1],
    "verify_approval finds: a requester that no token proved",
    found,
)
one(
    connection,
    "insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline) values ('APP-000008-claim', 'pay', '{finance}', 1, 'req', now() + interval '1 h')",
)
one(
    connection,
    "insert into admin.signature (approval_id, signer_role, signer, token_issuer, token_key_id, token_sha256) values ('APP-000008-claim', 'finance', 'ann', 'x', 'y', sha256('z'))",
)
found = rows(connection, "select item, detail from admin.verify_approval('APP-000008-claim') where not fits")
ok(
    len(found) == 1 and "the trail does not" in found[0][1],
    "verify_approval finds: a token that only the row knows of",
    found,
)
one(connection, "select admin.revoke_jwt_key(%s, 'ES256')", ISSUER)
found = rows(
    connection, "select fits, detail from admin.verify_approval(%s) where item = 'signature of finance'", approval
)
ok(found[0][0] and "revoked since" in found[0][1], "a key revoked later does not unsign, and is reported", found)
done()
