"""What a token costs: against OpenSSL's own speed, and against a signature without one."""

import os
import re
import subprocess
import sys
import time

from core import SECONDS, alternate, report, sql

VERIFICATIONS, SIGNATURES = 20000, 2000


def trusted():
    """An issuer with keys of another implementation, and how to have tokens of it."""
    os.environ["PGDATABASE"] = os.environ.get("PGDATABASE", "postgres")
    sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "identity"))
    import harness

    sql(
        "set client_min_messages = error; drop extension if exists admin_ext cascade; create extension admin_ext; select admin.create_audit_partitions()"
    )
    connection = harness.connect()
    return connection, harness.Issuer(connection)


def verifications(connection, token):
    """jwt_verify() in one statement: the round trip to a client is not what is measured."""
    with connection.cursor() as cursor:
        begun = time.monotonic()
        cursor.execute("select count(admin.jwt_verify(%s)) from generate_series(1, %s)", (token, VERIFICATIONS))
        return VERIFICATIONS / (time.monotonic() - begun)


def openssl_speed(name):
    """Verifications a second, by openssl on the core that the backend has."""
    output = subprocess.run(
        ["taskset", "-c", "0", "openssl", "speed", "-seconds", str(min(SECONDS, 3)), name],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return float(re.split(r"\s+", output.strip().splitlines()[-1])[-1])


def p12_verify(connection, issuer):
    pid = connection.get_backend_pid()
    subprocess.run(["taskset", "-cp", "0", str(pid)], check=True, capture_output=True)
    version = subprocess.run(["openssl", "version"], check=True, capture_output=True, text=True).stdout.strip()
    for algorithm, name in (("ES256", "ecdsap256"), ("RS256", "rsa2048")):
        token = issuer.token(algorithm=algorithm, jti="0123456789abcdef", email="ann@example.org")
        rounds = alternate(lambda: verifications(connection, token), lambda: openssl_speed(name))
        report(
            f"P12_{algorithm}",
            f"jwt_verify of {len(token)} bytes, {algorithm}, against openssl speed {name} (verify) on the same core",
            ("jwt_verify", "openssl"),
            rounds,
            0.6,
            notes=(version,),
        )


def microseconds(connection, query):
    """Of one signature; no commit is in it, which would hide the token's cost behind the disk."""
    with connection.cursor() as cursor:
        cursor.execute("begin")
        begun = time.monotonic()
        cursor.execute(query)
        spent = time.monotonic() - begun
        cursor.execute("rollback")
    return spent / SIGNATURES * 1e6


def p12_sign(connection, issuer):
    with connection.cursor() as cursor:
        cursor.execute("set admin_ext.require_verified_jwt = off")
        cursor.execute(
            """select count(admin.issue_approval('pay', array['finance', 'legal'], '2100-01-01', approval_id => 'APP-000000-n' || n, requested_by => 'req'))
                          from generate_series(1, %s) as n""",
            (SIGNATURES,),
        )
    for algorithm in ("ES256", "RS256"):
        of = f"from generate_series(1, {SIGNATURES}) as n"
        with_token = f"select count(admin.sign_approval('APP-000000-n' || n, 'finance', token => '{issuer.token(algorithm=algorithm)}')) {of}"
        without = f"select count(admin.sign_approval('APP-000000-n' || n, 'finance', 'ann')) {of}"
        rounds = alternate(lambda: microseconds(connection, with_token), lambda: microseconds(connection, without))
        report(
            f"P12_sign_{algorithm}",
            f"a signature with a token, {algorithm}, against one without",
            ("with", "without"),
            rounds,
            3.0,
            "microseconds",
            at_most=True,
        )


def p12():
    connection, issuer = trusted()
    p12_verify(connection, issuer)
    p12_sign(connection, issuer)
    connection.close()
    sql("drop extension admin_ext cascade")
