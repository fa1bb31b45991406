"""Databases that are not UTF8: names they have characters for, and those they have not."""

import json

from harness import Issuer, claims, connect, done, error, ok, one, sign_text

connection = connect()
for encoding, held, unheld in (
    ("LATIN1", "J\u00f6rg", "Zo\u0113"),
    ("SQL_ASCII", "Ann", "J\u00f6rg"),
    ("WIN1252", "Zo\u00eb \u20ac", "\u0416"),
):
    name = f"encoded_{encoding.lower()}"
    one(connection, f"create database {name} template template0 encoding '{encoding}' lc_collate 'C' lc_ctype 'C'")
    session = connect(dbname=name, client_encoding="SQL_ASCII" if encoding == "SQL_ASCII" else "UTF8")
    one(session, "set client_min_messages = error; create extension admin_ext")
    one(session, "select admin.create_audit_partitions()")
    issuer = Issuer(session)

    def token(subject, **options):
        return sign_text(
            '{"alg":"ES256","kid":"ES256"}', json.dumps(claims(sub=subject), **options), issuer.keys["ES256"], "ES256"
        )

    for escaped in (True, False):
        ok(
            one(session, "select admin.jwt_verify(%s) ->> 'sub'", token(held, ensure_ascii=escaped)) == held,
            f"{encoding}: a name that it has characters for is accepted (escaped: {escaped})",
        )
    code, text = error(session, "select admin.jwt_verify(%s)", token(unheld))
    ok(
        code == "28000" and "characters that the database's encoding has not" in text,
        f"{encoding}: a name that it has no characters for is refused",
        f"{code} {text}",
    )
    approval = one(
        session,
        "select admin.issue_approval('pay', array['finance'], now() + interval '1 h', token => %s)",
        token(held),
    )["approval_id"]
    answer = one(session, "select admin.sign_approval(%s, 'finance', token => %s)", approval, token("bob"))
    ok(
        answer["state"] == "signed_full"
        and one(session, "select count(*) from admin.verify_approval(%s) where not fits", approval) == 0,
        f"{encoding}: people issue and sign",
        answer,
    )
    if encoding != "SQL_ASCII":
        hidden = b"re\xa0q".decode("latin-1")
        code, text = error(session, "select admin.jwt_verify(%s)", token(hidden))
        ok(
            code == "28000" and "its subject is missing" in text,
            f"{encoding}: a blank that looks like another is refused",
            f"{code} {text}",
        )
    session.close()
    one(connection, f"drop database {name}")

one(connection, "create database mule template template0 encoding 'MULE_INTERNAL' lc_collate 'C' lc_ctype 'C'")
session = connect(dbname="mule", client_encoding="SQL_ASCII")
code, text = error(session, "create extension admin_ext")
ok(code == "0A000" and "MULE_INTERNAL" in text, "an encoding without a conversion to UTF8 is refused", f"{code} {text}")
session.close()
one(connection, "drop database mule")
done()
