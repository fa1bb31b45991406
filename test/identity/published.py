"""The published examples: RFC 7515, 7520 and 8037, and each of them with one bit changed."""

import base64
import json
import pathlib

from harness import b64, connect, done, error, ok, one

connection = connect()
for example in json.loads(pathlib.Path(__file__).with_name("published.json").read_text()):
    name, signed, key = example["name"], example["jws"], json.dumps(example["jwk"])
    header, payload, signature = signed.split(".")
    plain = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    ok(bytes(one(connection, "select admin.jws_verify(%s, %s)", signed, key)) == plain, f"{name}: the payload is given")
    raw = bytearray(base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4)))
    raw[len(raw) // 2] ^= 1
    changed = f"{header}.{payload}.{b64(bytes(raw))}"
    code, text = error(connection, "select admin.jws_verify(%s, %s)", changed, key)
    ok(code == "28000" and "it is not that of the key" in text, f"{name}: a changed signature is refused", text)
    changed = f"{header}.{b64(plain + b' ')}.{signature}"
    code, text = error(connection, "select admin.jws_verify(%s, %s)", changed, key)
    ok(code == "28000" and "it is not that of the key" in text, f"{name}: a changed payload is refused", text)
ok(one(connection, "select admin.jws_verify(null, '{}')") is None, "jws_verify answers null for null")
for key, reason in (
    ("{}", "member kty is missing"),
    ("[]", "not a JSON object"),
    ('"x"', "not a JSON object"),
    ('{"kty":"oct","k":"AAAA"}', "symmetric"),
):
    code, text = error(connection, "select admin.jws_verify(%s, %s)", signed, key)
    ok(code == "28000" and reason in text, f"key {key} is refused", text)
done()
