"""Tokens that must not be believed, each with the reason that has to be given."""

import base64
import hashlib
import hmac
import json
import time

from cryptography.hazmat.primitives import serialization
from harness import (
    ALGORITHMS,
    AUDIENCE,
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
    sign_text,
)

connection = connect()
issuer = Issuer(connection)
other = new_key("ES256")
now = int(time.time())
one(connection, "select admin.add_jwt_issuer('https://revoked.example', %s)", AUDIENCE)
revoked = new_key("ES256")
one(
    connection,
    "select admin.import_jwks('https://revoked.example', %s)",
    json.dumps({"keys": [public(revoked, "ES256", "gone")]}),
)
one(connection, "select admin.revoke_jwt_key('https://revoked.example', 'gone')")


def made(payload=None, header=None, key=None, algorithm="ES256"):
    """Signed by a good key unless another is given; header and payload to the letter."""
    header = header if header is not None else json.dumps({"alg": algorithm, "kid": algorithm})
    payload = payload if payload is not None else json.dumps(claims())
    return sign_text(header, payload, key or issuer.keys[algorithm], algorithm)


def headed(algorithm="ES256", **members):
    return made(header=json.dumps({"alg": algorithm, "kid": algorithm, **members}), algorithm=algorithm)


def said(**changes):
    return made(json.dumps(claims(**changes)))


def with_parts(change):
    return ".".join(change(*made().split(".")))


def unsigned(header, payload="e30", signature="AAAA"):
    return f"{b64(header)}.{payload}.{signature}"


def hmac_with(secret, algorithm="HS256", digest=hashlib.sha256):
    signing_input = f"{b64(json.dumps({'alg': algorithm, 'kid': 'RS256'}))}.{b64(json.dumps(claims()))}"
    return f"{signing_input}.{b64(hmac.new(secret, signing_input.encode(), digest).digest())}"


def raw_signature(token):
    return base64.urlsafe_b64decode(token.split(".")[2] + "==")


def resigned(change, algorithm="ES256"):
    token = made(algorithm=algorithm)
    return ".".join(token.split(".")[:2] + [b64(change(raw_signature(token)))])


def der(signature):
    def integer(data):
        data = data.lstrip(b"\0") or b"\0"
        data = (b"\0" if data[0] & 0x80 else b"") + data
        return b"\x02" + bytes([len(data)]) + data

    half = len(signature) // 2
    body = integer(signature[:half]) + integer(signature[half:])
    return b"\x30" + bytes([len(body)]) + body


pem = issuer.keys["RS256"].public_key.public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
NOT_PARTS, NOT_BASE64 = "it is not three parts", "not canonical base64url"
ALGORITHM, SIGNATURE = "its algorithm is unknown", "its signature is not that of its key"

tokens = [
    # form
    ("empty", "", NOT_PARTS),
    ("one dot", "a.b", NOT_PARTS),
    ("two dots alone", "..", "it is not signed"),
    ("four parts", made() + ".AAAA", NOT_PARTS),
    ("five parts, as JWE has", "a.b.c.d.e", NOT_PARTS),
    ("JSON serialization", json.dumps({"payload": "e30", "signatures": []}), NOT_PARTS),
    ("a blank behind the token", made() + " ", NOT_BASE64),
    ("a line break behind the token", made() + "\n", NOT_BASE64),
    ("Bearer before the token", "Bearer " + made(), NOT_BASE64),
    ("longer than the limit", made(json.dumps(claims(x="x" * 16384))), "longer than 16384 bytes"),
    ("a megabyte", "x" * 1048576, "longer than 16384 bytes"),
    ("padding", with_parts(lambda h, p, s: (h + "=", p, s)), NOT_BASE64),
    ("base64 that is not url safe", with_parts(lambda h, p, s: (h, p, "+/" + s[2:])), NOT_BASE64),
    ("a character that is none", with_parts(lambda h, p, s: (h, p[:4] + "\u00e9" + p[5:], s)), NOT_BASE64),
    ("bits behind the last byte", ".".join([*made().split(".")[:2], "AB"]), NOT_BASE64),
    ("one character left over", with_parts(lambda h, p, s: (h, p, "A")), NOT_BASE64),
    ("no signature", with_parts(lambda h, p, s: (h, p, "")), "it is not signed"),
    ("no header", with_parts(lambda h, p, s: ("", p, s)), "not a JSON object"),
    ("no payload", made(b""), "not a JSON object"),
    # header
    ("header that is no JSON", made(header="alg=ES256"), "not a JSON object"),
    ("header that is an array", made(header='["ES256"]'), "not a JSON object"),
    ("header cut off", made(header='{"alg":"ES256"'), "it is not JSON"),
    ("header with something behind it", made(header='{"alg":"ES256","kid":"ES256"} x'), "it is not JSON"),
    ("header that is not UTF-8", unsigned(b'{"alg":"ES256","kid":"\xff"}'), "it is not UTF-8"),
    ("header with a zero byte", unsigned(b'{"alg":"ES256"\0}'), "it is not UTF-8"),
    ("header with an escaped zero", made(header='{"alg":"ES256","kid":"ES256\\u0000"}'), "it is not JSON"),
    ("half of a surrogate pair", made(header='{"alg":"ES256","kid":"\\ud800"}'), "it is not JSON"),
    (
        "nested deeply",
        made(header='{"alg":"ES256","kid":"ES256","x":' + "[" * 2000 + "]" * 2000 + "}"),
        "nested too deeply",
    ),
    ("alg twice", made(header='{"alg":"ES256","kid":"ES256","alg":"ES256"}'), "named twice"),
    ("kid twice, once escaped", made(header='{"alg":"ES256","kid":"ES256","\\u006bid":"ES256"}'), "named twice"),
    ("a member twice further down", made(header='{"alg":"ES256","kid":"ES256","x":{"a":1,"a":2}}'), "named twice"),
    (
        "many members",
        made(header=json.dumps({"alg": "ES256", "kid": "ES256", **{f"m{n}": 0 for n in range(300)}})),
        "too many JSON members",
    ),
    ("no alg", made(header='{"kid":"ES256"}'), ALGORITHM),
    ("alg that is null", made(header='{"alg":null,"kid":"ES256"}'), ALGORITHM),
    ("alg that is an array", made(header='{"alg":["ES256"],"kid":"ES256"}'), ALGORITHM),
    ("alg none", unsigned('{"alg":"none","kid":"ES256"}', b64(json.dumps(claims())), ""), "it is not signed"),
    ("alg none with a signature", made(header='{"alg":"none","kid":"ES256"}'), ALGORITHM),
    ("alg nOnE", made(header='{"alg":"nOnE","kid":"ES256"}'), ALGORITHM),
    ("alg in lower case", made(header='{"alg":"es256","kid":"ES256"}'), ALGORITHM),
    ("HMAC with the public key's PEM", hmac_with(pem), ALGORITHM),
    ("HMAC with the modulus", hmac_with(issuer.keys["RS256"].as_dict(private=False)["n"].encode()), ALGORITHM),
    ("HMAC with nothing", hmac_with(b"", "HS512", hashlib.sha512), ALGORITHM),
    ("ES256K", made(header='{"alg":"ES256K","kid":"ES256"}'), ALGORITHM),
    ("an algorithm of encryption", made(header='{"alg":"RSA-OAEP","enc":"A256GCM","kid":"RS256"}'), ALGORITHM),
    ("crit", headed(crit=["exp"], exp=1), "critical extensions"),
    ("crit that is empty", headed(crit=[]), "critical extensions"),
    ("crit with b64", headed(crit=["b64"], b64=False), "critical extensions"),
    ("b64 alone", headed(b64=False), "b64"),
    ("no kid", made(header='{"alg":"ES256"}'), "names no key"),
    ("kid that is a number", made(header='{"alg":"ES256","kid":1}'), "is not a string"),
    ("typ that is a number", headed(typ=1), "is not a string"),
    ("typ of a DPoP proof", headed(typ="dpop+jwt"), "neither JWT nor at+jwt"),
    ("typ of a logout token", headed(typ="logout+jwt"), "neither JWT nor at+jwt"),
    ("another token inside the token", headed(cty="JWT"), "another token inside"),
    # key
    ("unknown kid", headed(kid="ES257"), "its key is unknown"),
    ("kid in other case", headed(kid="es256"), "its key is unknown"),
    ("kid with a blank behind it", headed(kid="ES256 "), "its key is unknown"),
    ("kid that is a path", headed(kid="../../dev/null"), "its key is unknown"),
    ("kid that is SQL", headed(kid="' or '1'='1"), "its key is unknown"),
    ("kid that is long", headed(kid="k" * 4000), "its key is unknown"),
    (
        "kid of another issuer",
        made(json.dumps(claims()), json.dumps({"alg": "ES256", "kid": "gone"}), revoked),
        "its key is unknown",
    ),
    (
        "revoked key",
        made(json.dumps(claims(iss="https://revoked.example")), json.dumps({"alg": "ES256", "kid": "gone"}), revoked),
        "revoked",
    ),
    (
        "key of its own in jwk",
        made(header=json.dumps({"alg": "ES256", "kid": "ES256", "jwk": other.as_dict(private=False)}), key=other),
        SIGNATURE,
    ),
    (
        "key of its own behind jku",
        made(header=json.dumps({"alg": "ES256", "kid": "ES256", "jku": "https://evil.example/jwks"}), key=other),
        SIGNATURE,
    ),
    (
        "key of its own in x5c",
        made(
            header=json.dumps({"alg": "ES256", "kid": "ES256", "x5c": ["AAAA"], "x5u": "https://evil.example/"}),
            key=other,
        ),
        SIGNATURE,
    ),
    (
        "algorithm of another key",
        made(header='{"alg":"RS256","kid":"ES256"}', key=issuer.keys["RS256"], algorithm="RS256"),
        "its algorithm is not that of its key",
    ),
    (
        "PS256 by a key for RS256",
        made(header='{"alg":"PS256","kid":"RS256"}', key=issuer.keys["RS256"], algorithm="PS256"),
        "its algorithm is not that of its key",
    ),
    (
        "RS512 by a key for RS256",
        made(header='{"alg":"RS512","kid":"RS256"}', key=issuer.keys["RS256"], algorithm="RS512"),
        "its algorithm is not that of its key",
    ),
    (
        "ES384 by a key for ES256",
        made(header='{"alg":"ES384","kid":"ES256"}', key=issuer.keys["ES384"], algorithm="ES384"),
        "its algorithm is not that of its key",
    ),
    # signature
    ("signed by another key", made(key=other), SIGNATURE),
    ("another payload", with_parts(lambda h, p, s: (h, b64(json.dumps(claims(sub="root"))), s)), SIGNATURE),
    ("another header", with_parts(lambda h, p, s: (b64('{"alg":"ES256","kid":"ES256","a":1}'), p, s)), SIGNATURE),
    ("a zero signature", resigned(lambda s: bytes(64)), SIGNATURE),
    ("r is zero", resigned(lambda s: bytes(32) + s[32:]), SIGNATURE),
    ("s is the order", resigned(lambda s: s[:32] + P256_ORDER.to_bytes(32, "big")), SIGNATURE),
    ("r larger than the order", resigned(lambda s: b"\xff" * 32 + s[32:]), SIGNATURE),
    ("ECDSA as DER", resigned(der), SIGNATURE),
    ("ECDSA cut short", resigned(lambda s: s[:63]), SIGNATURE),
    ("ECDSA made longer", resigned(lambda s: b"\0" + s[:32] + b"\0" + s[32:]), SIGNATURE),
    ("RSA cut short", resigned(lambda s: s[:-1], "RS256"), SIGNATURE),
    ("RSA made longer", resigned(lambda s: b"\0" + s, "RS256"), SIGNATURE),
    ("RSA of ones", resigned(lambda s: b"\xff" * len(s), "RS256"), SIGNATURE),
    ("RSA signature that is one", resigned(lambda s: bytes(len(s) - 1) + b"\1", "RS256"), SIGNATURE),
    ("PSS cut short", resigned(lambda s: s[:-1], "PS384"), SIGNATURE),
    ("EdDSA with bytes behind it", resigned(lambda s: s + b"\0", "EdDSA"), SIGNATURE),
    ("EdDSA of zeros", resigned(lambda s: bytes(64), "EdDSA"), SIGNATURE),
    (
        "EdDSA, s plus the order",
        resigned(
            lambda s: (
                s[:32]
                + (
                    (int.from_bytes(s[32:], "little") + 2**252 + 27742317777372353535851937790883648493) % 2**256
                ).to_bytes(32, "little")
            ),
            "EdDSA",
        ),
        SIGNATURE,
    ),
    # claims
    ("payload that is no JSON", made("hello"), "not a JSON object"),
    ("payload that is an array", made("[]"), "not a JSON object"),
    ("payload nested deeply", made('{"a":' * 1000 + "1" + "}" * 1000), "nested too deeply"),
    ("sub twice", made(json.dumps(claims())[:-1] + ',"sub":"root"}'), "named twice"),
    ("iss twice", made(json.dumps(claims())[:-1] + f',"iss":"{ISSUER}"}}'), "named twice"),
    ("no iss", said(iss=None), "claim iss is missing"),
    ("iss that is a number", said(iss=7), "claim iss is missing"),
    ("iss that is an array", said(iss=[ISSUER]), "claim iss is missing"),
    ("another issuer", said(iss="https://evil.example"), "its issuer is not trusted"),
    ("issuer with a slash more", said(iss=ISSUER + "/"), "its issuer is not trusted"),
    ("issuer in other case", said(iss=ISSUER.upper()), "its issuer is not trusted"),
    ("issuer that is long", said(iss="i" * 300), "claim iss is missing"),
    ("no aud", said(aud=None), "claim aud is missing"),
    ("another aud", said(aud="https://evil.example"), "another audience"),
    ("aud that begins the same", said(aud=AUDIENCE + ".evil.example"), "another audience"),
    ("only other audiences in aud", said(aud=["a", "b"]), "another audience"),
    ("aud that is empty", said(aud=[]), "another audience"),
    ("aud with an object in it", said(aud=[AUDIENCE, {}]), "claim aud is missing, or is not text"),
    ("aud that is a number", said(aud=1), "claim aud is missing, or is not text"),
    ("no exp", said(exp=None), "claim exp is missing"),
    ("exp that is text", said(exp=str(now + 600)), "not a number of seconds"),
    ("exp that is null", made(json.dumps({**claims(), "exp": None})), "not a number of seconds"),
    (
        "exp out of all range",
        made(json.dumps(claims())[:-1].replace('"exp"', '"was"') + ',"exp":1e400}'),
        "out of range",
    ),
    ("exp that is negative", said(exp=-1), "not a number of seconds"),
    ("expired a second ago", said(exp=now - 1), "it has expired"),
    ("expired within the leeway", said(exp=now - 20), "it has expired"),
    ("expires now", said(exp=now), "it has expired"),
    ("not yet valid", said(nbf=now + 300), "not valid yet"),
    ("nbf that is text", said(nbf="soon"), "not a number of seconds"),
    ("issued in the future", said(iat=now + 300), "issued in the future"),
    ("iat that is text", said(iat="now"), "not a number of seconds"),
    ("no sub", said(sub=None), "its subject is missing"),
    ("sub that is empty", said(sub=""), "its subject is missing"),
    ("sub that is an object", said(sub={"name": "ann"}), "its subject is missing"),
    ("sub that is long", said(sub="s" * 257), "its subject is missing"),
    ("roles that are an object", said(roles={"finance": True}), "roles is neither"),
    ("roles with a number among them", said(roles=["finance", 1]), "roles is neither"),
    ("sub with a blank behind it", said(sub="req "), "its subject is missing"),
    ("sub with a line break", said(sub="req\n"), "its subject is missing"),
    ("sub with a control character", said(sub="re\x7fq"), "its subject is missing"),
    *(
        (f"sub with U+{ord(character):04X}", said(sub=f"re{character}q"), "its subject is missing")
        for character in "\u0085\u00a0\u00ad\u200b\u200e\u202e\u2066\u3000\ufeff\ufe0f\uff41\U000e0061"
    ),
    *(
        (f"sub that is not its own form NFKC: {name!a}", said(sub=name), "its subject is missing")
        for name in ("Jo\u0308rg", "\ufb01nn", "\U0001d41ann", "ann\u00b2", "\uff71", "\u2168", "\u212bke", "\u017fam")
    ),
    ("bound to a key of its holder", said(cnf={"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}), "claim cnf"),
    (
        "bound to a certificate of its holder",
        said(cnf={"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}),
        "claim cnf",
    ),
    ("bound to something that is no object", said(cnf=False), "claim cnf"),
    ("good to the end of the year 9999", said(exp=253402300799), "its life is longer"),
    ("good to the end of the year 9999, without iat", said(exp=253402300799, iat=None), "its life is longer"),
    (
        "iss with a character that cannot be seen",
        made(json.dumps({**claims(), "iss": claims()["iss"] + "\u200b"}, ensure_ascii=False)),
        "claim iss is missing",
    ),
    (
        "an exponent below all exponents",
        made(json.dumps(claims())[:-1] + ',"x":1e-99999999999999999999}'),
        "out of range",
    ),
    (
        "an exponent above all exponents",
        made(json.dumps(claims())[:-1] + ',"x":[0e99999999999999999999]}'),
        "out of range",
    ),
    (
        "a number of more digits than a thousand",
        made(json.dumps(claims())[:-1] + ',"x":0.' + "1" * 1000 + "}"),
        "out of range",
    ),
    ("a number beyond all numbers", made(json.dumps(claims())[:-1] + ',"x":[1e400000]}'), "out of range"),
    ("a number with a long way behind the point", made(json.dumps(claims())[:-1] + ',"x":1e-20000}'), "out of range"),
    ("jti that is a number", said(jti=5), "claim jti is not a string"),
    ("jti that is empty", said(jti=""), "claim jti is not a string"),
    ("jti that is long", said(jti="j" * 257), "claim jti is not a string"),
]

for name, token, reason in tokens:
    code, text = error(connection, "select admin.jwt_verify(%s)", token)
    ok(code == "28000" and reason in text, f"a hostile token is refused: {name}", f"{code} {text[:300]}")
ok(len(tokens) >= 60, f"at least 60 hostile tokens are tried: {len(tokens)}")

# What must be believed, or the reasons above would prove nothing.
for algorithm in ALGORITHMS:
    ok(
        one(connection, "select admin.jwt_verify(%s)", issuer.token(algorithm=algorithm))["sub"] == "ann",
        f"a good token is accepted: {algorithm}",
    )
good = [
    (
        "EdDSA by its new name",
        made(header='{"alg":"Ed25519","kid":"EdDSA"}', key=issuer.keys["EdDSA"], algorithm="EdDSA"),
    ),
    ("typ at+jwt", headed(typ="at+jwt")),
    ("typ in other case", headed(typ="jwt")),
    ("no typ", made()),
    ("audience among others", said(aud=["x", AUDIENCE])),
    ("roles that are one string", said(roles="finance")),
    ("no roles", said(roles=None)),
    ("a clock that is ahead", said(iat=now + 20, nbf=now + 20)),
    ("fractions of a second", said(exp=now + 60.5)),
    ("cnf that is null", made(json.dumps({**claims(), "cnf": None}))),
    ("a subject of composed letters", said(sub="J\u00f6rg \u5b89 \u0410\u043d\u043d\u0430")),
    ("a subject with other letters", said(sub="J\u00f6rg \u2713")),
    ("members that are not ours", headed(x5t="AAAA", jku="https://evil.example")),
    ("a length of exactly the limit", None),
]
for name, token in good:
    if token is None:
        token = next(
            t
            for t in (made(json.dumps(claims(x="x" * n))) for n in range(11600, 12400))
            if len(t) in (16382, 16383, 16384)
        )
    ok(one(connection, "select admin.jwt_verify(%s)", token) is not None, f"a good token is accepted: {name}")
code, text = error(connection, "select admin.jwt_verify(null)")
ok(code == "28000" and "token is missing" in text, "no token is refused like a bad one", text)
one(connection, "set admin_ext.jwt_leeway = 0")
code, text = error(connection, "select admin.jwt_verify(%s)", said(iat=int(time.time()) + 20))
ok(code == "28000" and "issued in the future" in text, "without leeway a clock that is ahead is refused", text)
done()

# How long a token may live, from iat, or from now on without it.
one(connection, "select admin.set_jwt_issuer_max_life(%s, '1 hour')", ISSUER)
for name, changes, is_good in (
    ("an hour from iat", {"iat": now, "exp": now + 3600}, True),
    ("an hour and a second from iat", {"iat": now, "exp": now + 3601}, False),
    ("more than an hour, most of it behind us", {"iat": now - 3500, "exp": now + 600}, False),
    ("without iat, less than an hour from now", {"iat": None, "exp": now + 3500}, True),
    ("without iat, more than an hour from now", {"iat": None, "exp": now + 3800}, False),
):
    code, text = error(connection, "select admin.jwt_verify(%s)", said(**changes))
    ok(
        code == "none" if is_good else code == "28000" and "its life is longer" in text,
        f"the issuer limits a token's life to an hour: {name}",
        f"{code} {text[:300]}",
    )
one(connection, "select admin.set_jwt_issuer_max_life(%s, '100 years')", ISSUER)
