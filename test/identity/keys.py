"""Issuers and their keys: import, rotation, revocation in running sessions, tokens for one use."""

import json
import threading

from harness import (
    ISSUER,
    Issuer,
    b64,
    claims,
    connect,
    done,
    error,
    new_key,
    ok,
    one,
    public,
    rows,
    sign_text,
)

connection = connect()
issuer = Issuer(connection)


def imported(*keys, to=ISSUER):
    return "select admin.import_jwks(%s, %s)", to, json.dumps({"keys": list(keys)})


# What is imported, left alone, or refused.
answer = one(connection, *imported(*(public(key, name, name) for name, key in issuer.keys.items())))
ok(answer == {"imported": 0, "unchanged": 10, "ignored": []}, "importing again changes nothing", answer)
answer = one(
    connection,
    *imported(
        public(new_key("ES256"), "ES256", "e1", x5c=["AAAA"]),
        {**public(new_key("RS256"), "RSA-OAEP", "e2"), "use": "enc"},
        {**{k: v for k, v in public(new_key("ES256"), "ES256", "e5").items() if k != "use"}, "key_ops": ["sign"]},
        {"kty": "EC", "crv": "secp256k1", "x": "A", "y": "A", "kid": "e3"},
        {"kty": "AKP", "kid": "e4"},
    ),
)
ok(
    answer["imported"] == 1 and [i["kid"] for i in answer["ignored"]] == ["e2", "e5", "e3", "e4"],
    "keys that are not for us are ignored",
    answer,
)
rsa = public(new_key("RS256"), "RS256", "r1")
del rsa["alg"]
one(connection, *imported(rsa))
ok(
    rows(connection, "select alg from admin.jwt_key where kid = 'r1'") == [("RS256",)],
    "an RSA key without alg is for RS256",
)
ec = public(new_key("ES384"), "ES384", "c1")
del ec["alg"], ec["use"]
one(connection, *imported(ec))
ok(rows(connection, "select alg from admin.jwt_key where kid = 'c1'") == [("ES384",)], "a curve has its algorithm")
before = rows(connection, "select count(*) from admin.jwt_key")
good, point = public(new_key("ES256"), "ES256", "g1"), public(new_key("ES256"), "ES256", "p1")
bad = {
    "weak RSA": (public(new_key("RS256", 1024), "RS256", "b"), "weak"),
    "exponent one": ({**rsa, "kid": "b", "e": "AQ"}, "weak"),
    "an even exponent": ({**rsa, "kid": "b", "e": "Ag"}, "weak"),
    "an even modulus": ({**rsa, "kid": "b", "n": b64(b"\xff" * 255 + b"\xfe")}, "weak"),
    "a modulus that is large": ({**rsa, "kid": "b", "n": b64(b"\xff" * 2048)}, "too large"),
    "a modulus that is padded": ({**rsa, "kid": "b", "n": rsa["n"] + "=="}, "not base64url"),
    "no modulus": ({"kty": "RSA", "e": "AQAB", "kid": "b"}, "missing"),
    "symmetric": ({"kty": "oct", "k": "AAAA", "kid": "b", "alg": "HS256"}, "symmetric"),
    "private EC": (new_key("ES256").as_dict(private=True) | {"kid": "b"}, "private"),
    "private RSA": (new_key("RS256").as_dict(private=True) | {"kid": "b"}, "private"),
    "private Ed25519": (new_key("EdDSA").as_dict(private=True) | {"kid": "b"}, "private"),
    "a point off its curve": ({**point, "x": point["y"]}, "not on its curve"),
    "a point at zero": ({**point, "x": b64(bytes(32)), "y": b64(bytes(32))}, "not on its curve"),
    "a short coordinate": ({**point, "x": b64(bytes(31))}, "not a coordinate"),
    "a long coordinate": ({**point, "x": b64(b"\0" + bytes(32))}, "not a coordinate"),
    "another curve's algorithm": ({**point, "alg": "ES384"}, "not one of its key type"),
    "RSA's algorithm": ({**point, "alg": "RS256"}, "not one of its key type"),
    "an HMAC algorithm": ({**point, "alg": "HS256"}, "its algorithm is unknown"),
    "a short Ed25519 key": ({"kty": "OKP", "crv": "Ed25519", "x": "AAAA", "kid": "b"}, "not a key of its curve"),
    "no kid": ({k: v for k, v in point.items() if k != "kid"}, "its kid"),
    "a kid that is long": ({**point, "kid": "k" * 257}, "its kid"),
    "a kid that is a number": ({**point, "kid": 7}, "kid is not a string"),
    "RSA primes without d": ({**rsa, "kid": "b", "p": "AQ", "q": "AQ"}, "private"),
    "no kty": ({"kid": "b"}, "kty"),
    "no object": ("x", "not an object"),
    "the kid of another key": ({**point, "kid": "ES256"}, "another one has its kid"),
}
FIELD = 2**255 - 19
SMALL = [
    0,
    1,
    2707385501144840649318225287225658788936804267575313519463743609750303402022,
    55188659117513257062467267217118295137698188065244968500265048394206261417927,
    FIELD - 1,
]
for n, y in enumerate(SMALL + [FIELD, FIELD + 1, 2**255 - 1]):
    for sign_bit in (0, 1):
        bad[f"Ed25519 key {n}, sign {sign_bit}, that anybody signs for, or no canonical one"] = (
            {"kty": "OKP", "crv": "Ed25519", "kid": "b", "x": b64((y | sign_bit << 255).to_bytes(32, "little"))},
            "not a key of its curve",
        )
for name, (key, reason) in bad.items():
    code, text = error(connection, *imported(good, key))
    ok(
        code == "22023" and reason in text and "key 1 of the set" in text,
        f"import: {name} is refused",
        f"{code} {text}",
    )
ok(rows(connection, "select count(*) from admin.jwt_key") == before, "a set with a key that is refused imports nothing")
for document in ("null", "[]", "{}", '{"keys":{}}', '{"keys":' + json.dumps([point] * 101) + "}"):
    ok(
        error(connection, "select admin.import_jwks(%s, %s)", ISSUER, document)[0] == "22023",
        f"import: {document[:20]} is no set",
    )
ok(error(connection, "select admin.import_jwks(%s, null)", ISSUER)[0] == "22023", "import: null is no set")
for who in ("https://nobody.example", None):
    ok(error(connection, *imported(point, to=who))[0] == "22023", f"import: issuer {who} is unknown")
    ok(
        error(connection, "select admin.revoke_jwt_key(%s, 'ES256')", who)[0] == "22023",
        f"revoke: issuer {who} is unknown",
    )
    ok(error(connection, "select admin.set_jwt_one_use(%s)", who)[0] == "22023", f"one use: issuer {who} is unknown")
for argument in ("''", "null", "repeat('x', 257)"):
    for call in (f"{argument}, 'a'", f"'i', {argument}", f"'i', 'a', {argument}", f"'i', 'a', 'r', {argument}"):
        ok(
            error(connection, f"select admin.add_jwt_issuer({call})")[0] == "22023",
            f"add_jwt_issuer({call[:40]}) is refused",
        )

# Rotation: the old key and the new one are good at once; and other names of claims.
one(connection, "select admin.add_jwt_issuer('https://two.example', 'a', 'groups', 'email')")
old, new = new_key("ES256"), new_key("ES256")
one(connection, *imported(public(old, "ES256", "old"), to="https://two.example"))
one(connection, *imported(public(new, "ES256", "new"), to="https://two.example"))


def token(kid, key, **changes):
    return sign_text(
        json.dumps({"alg": "ES256", "kid": kid}),
        json.dumps({**claims(iss="https://two.example", aud="a", email="ann@x", groups=["finance"]), **changes}),
        key,
        "ES256",
    )


ok(
    all(one(connection, "select admin.jwt_verify(%s)", token(kid, key)) for kid, key in (("old", old), ("new", new))),
    "old and new key are good at once",
)
session = connect()
one(session, "begin")
one(session, "select admin.jwt_verify(%s)", token("old", old))
one(connection, "begin")
one(connection, "select admin.revoke_jwt_key('https://two.example', 'old')")
ok(
    one(session, "select admin.jwt_verify(%s)", token("old", old)) is not None,
    "a revocation that has not committed changes nothing",
)
one(connection, "commit")
code, text = error(session, "select admin.jwt_verify(%s)", token("old", old))
ok(code == "28000" and "revoked" in text, "a committed revocation takes effect within a running transaction", text)
one(session, "rollback")
one(session, "begin isolation level repeatable read")
one(session, "select count(*) from admin.jwt_key")
one(connection, "select admin.revoke_jwt_key('https://two.example', 'new')")
ok(
    error(session, "select admin.jwt_verify(%s)", token("new", new))[0] == "28000",
    "a committed revocation takes effect under an older snapshot",
)
one(session, "rollback")
answer = one(connection, *imported(public(new, "ES256", "new"), to="https://two.example"))
ok(
    answer["unchanged"] == 1 and error(connection, "select admin.jwt_verify(%s)", token("new", new))[0] == "28000",
    "importing a revoked key does not bring it back",
    answer,
)
one(connection, "select admin.revoke_jwt_key('https://two.example', 'new')")
ok(
    rows(
        connection,
        "select count(distinct payload ->> 'op') from admin.audit where payload ->> 'relation' = 'admin.jwt_key' and payload #>> '{row,kid}' = 'new'",
    )
    == [(2,)],
    "import and revocation are in the trail; revoking again is no change",
)
renewed = new_key("ES256")
one(connection, *imported(public(renewed, "ES256", "third"), to="https://two.example"))
one(connection, "set admin_ext.require_verified_jwt = on")
answer = one(
    connection,
    "select admin.issue_approval('pay', array['finance'], now() + interval '1 h', token => %s)",
    token("third", renewed),
)
ok(answer["requested_by"] == "ann@x", "the subject comes from the issuer's claim", answer)
answer = one(
    connection,
    "select admin.sign_approval(%s, 'finance', token => %s)",
    answer["approval_id"],
    token("third", renewed, email="bob@x"),
)
ok(answer["signer"] == "bob@x" and answer["state"] == "signed_full", "the roles come from the issuer's claim", answer)

# Many keys: more than a session keeps.
many = {f"m{n}": new_key("ES256") for n in range(70)}
one(connection, "select admin.add_jwt_issuer('https://many.example', 'a')")
one(connection, *imported(*(public(key, "ES256", kid) for kid, key in many.items()), to="https://many.example"))
ok(
    all(
        one(connection, "select admin.jwt_verify(%s)", token(kid, key, iss="https://many.example"))
        for _ in range(2)
        for kid, key in many.items()
    ),
    "tokens of 70 keys in turn are verified",
)

# One use.
one(connection, "select admin.set_jwt_one_use(%s)", ISSUER)
approvals = [
    one(
        connection,
        "select admin.issue_approval('pay', array['finance'], now() + interval '1 h', token => %s)",
        issuer.token("req", jti=f"i{n}"),
    )["approval_id"]
    for n in range(3)
]
code, text = error(connection, "select admin.sign_approval(%s, 'finance', token => %s)", approvals[0], issuer.token())
ok(code == "28000" and "jti is missing" in text, "without jti a token for one use is refused", text)
signing = "select admin.sign_approval(%s, 'finance', token => %s)"
once = issuer.token(jti="once")
ok(one(connection, signing, approvals[0], once)["already"] is False, "a token for one use signs")
ok(
    one(connection, signing, approvals[0], once)["already"] is True,
    "a step that is retried with the same token for one use is answered",
)
code, text = error(connection, signing, approvals[1], once)
ok(
    code == "28000" and "it has been used" in text,
    "another step with a token for one use that has been used is refused",
    text,
)
ok(
    one(connection, "select admin.sensitive_check(%s, token => %s)", approvals[0], once)["decision"] == "valid",
    "a check does not use a token up",
)
failing = issuer.token("req", jti="failing")
error(connection, signing, approvals[1], failing)
ok(
    one(connection, "select admin.withdraw_approval(%s, 'no more', token => %s)", approvals[1], failing)["state"]
    == "withdrawn",
    "a step that failed did not use its token for one use",
)
stale = connect()
one(connection, "select admin.set_jwt_one_use(%s, false)", ISSUER)
one(stale, "begin isolation level repeatable read")
one(stale, "select count(*) from admin.approval")
one(connection, "select admin.set_jwt_one_use(%s)", ISSUER)
both = issuer.token("cid", jti="both")
early = [error(stale, signing, a, both)[0] for a in approvals[1:]]
ok(
    early != ["none", "none"],
    "an issuer marked for one use after a snapshot was taken is marked within that snapshot",
    early,
)
one(stale, "rollback")
race, answers = issuer.token("bob", jti="race"), []
targets = [
    one(
        connection,
        "select admin.issue_approval('pay', array['finance'], now() + interval '1 h', token => %s)",
        issuer.token("req", jti=f"r{n}"),
    )["approval_id"]
    for n in range(8)
]
threads = [threading.Thread(target=lambda a=a: answers.append(error(connect(), signing, a, race)[0])) for a in targets]
[t.start() for t in threads], [t.join() for t in threads]
ok(
    sorted(answers) == ["28000"] * 7 + ["none"],
    "one of eight concurrent steps with the same token for one use succeeds",
    answers,
)
one(connection, "update admin.jwt_used set expires_at = now() - interval '2 h' where token_id = 'once'")
one(connection, signing, approvals[2], issuer.token(jti="later"))
ok(
    rows(connection, "select count(*) from admin.jwt_used where token_id = 'once'") == [(0,)],
    "the record of a used token is removed after the token has expired",
)
done()
