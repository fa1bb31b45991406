"""The database is told what is archived, and a time-stamping authority is asked."""

import http.server
import json
import os
import subprocess
import threading

import pytest
from harness import sql

DSN = f"postgresql://postgres@/told?host={os.environ['SCRATCH']}"


def stub(command):
    return sql(command, database="told")


@pytest.fixture
def database():
    """A database with a function of the receipts' name and arguments that keeps what it is told."""
    if sql("select count(*) from pg_database where datname = 'told'") == "0":
        sql("create database told")
    stub("""set client_min_messages = error; drop schema if exists admin cascade; create schema admin; create table admin.told (
        store_id uuid, sink text, last_number bigint, chain bytea, seal_sha256 bytea, retain_until timestamptz, location text);
        create function admin.record_receipt(store_id uuid, sink text, last_number bigint, chain bytea, seal_sha256 bytea,
            retain_until timestamptz, location text) returns void language sql
        as 'insert into admin.told values ($1, $2, $3, $4, $5, $6, $7)'""")


def told(store):
    rows = stub(f"select json_agg(t order by last_number) from admin.told as t where store_id = '{store}'")
    return json.loads(rows) if rows else []


def test_each_seal_has_a_receipt_and_a_broken_stream_says_why(database, archiver, worker):
    worker.batches(2)
    archiver.run("--dsn", DSN)
    worker.batches(1, skip=[50])
    archiver.run("--dsn", DSN, status=3)
    ((key, _),) = archiver.seals(worker.store)
    first, *again, last = told(worker.store)
    assert (
        first["sink"] == "kafka" and first["last_number"] == 40 and first["location"] == f"s3://{archiver.bucket}/{key}"
    )
    seal = json.loads(archiver.get(key))
    assert first["chain"] == "\\x" + seal["chain_after"] and first["retain_until"] > "2033"
    assert (
        last["last_number"] == 40
        and last["chain"] is None
        and last["seal_sha256"] is None
        and "number 50 is missing" in last["location"]
    )
    assert all(each == first for each in again)


def test_a_receipt_waits_for_the_database_and_one_that_comes_too_early_is_sent_again(database, archiver, worker):
    stub("alter function admin.record_receipt rename to recorded")
    worker.batches(1)
    archiver.start("--roll-age", "1s", "--dsn", DSN)
    archiver.expect("was not recorded")
    stub("""create function admin.record_receipt(uuid, text, bigint, bytea, bytea, timestamptz, text) returns void language plpgsql
           as $$ begin raise exception 'the number is not known' using errcode = '55000'; end $$""")
    archiver.expect("the number is not known")
    stub("""create or replace function admin.record_receipt(uuid, text, bigint, bytea, bytea, timestamptz, text) returns void language plpgsql
           as $$ begin raise exception 'another transaction is in the way' using errcode = '55P03'; end $$""")
    archiver.expect("another transaction is in the way")
    stub("drop function admin.record_receipt; alter function admin.recorded rename to record_receipt")
    archiver.expect("the database has the receipt up to number 20")
    archiver.stop().check(worker)
    assert [each["last_number"] for each in told(worker.store)] == [20]


@pytest.fixture
def authority(tmp_path):
    """OpenSSL's time-stamping authority behind HTTP; its URL and the certificate that verifies it."""

    def openssl(*arguments, **more):
        return subprocess.run(
            ["openssl", *arguments], cwd=tmp_path, check=True, capture_output=True, timeout=60, **more
        ).stdout

    (tmp_path / "ts.cnf").write_text("""[req]
distinguished_name = dn
x509_extensions = v3
prompt = no
[dn]
CN = authority of a test
[v3]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
[tsa]
default_tsa = tsa1
[tsa1]
serial = serial
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
ess_cert_id_alg = sha256
""")
    (tmp_path / "serial").write_text("01")
    openssl(
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "30",
        "-config",
        "ts.cnf",
        "-keyout",
        "tsa.key",
        "-out",
        "tsa.crt",
    )

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

        def do_POST(self):
            (tmp_path / "query").write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
            openssl(
                "ts",
                "-reply",
                "-queryfile",
                "query",
                "-config",
                "ts.cnf",
                "-signer",
                "tsa.crt",
                "-inkey",
                "tsa.key",
                "-out",
                "reply",
            )
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.end_headers()
            self.wfile.write((tmp_path / "reply").read_bytes())

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/", tmp_path / "tsa.crt", openssl
    server.shutdown()
    server.server_close()


def test_a_seal_has_a_timestamp_that_openssl_verifies_and_one_that_is_missing_is_asked_for_later(
    authority, archiver, worker, tmp_path
):
    url, certificate, openssl = authority
    worker.batches(1)
    archiver.run("--tsa", "http://127.0.0.1:9/", timeout=60)
    assert not archiver.keys(r".*\.tsr")
    archiver.run("--tsa", url)
    [key] = archiver.keys(r".*\.tsr")
    (tmp_path / "seal").write_bytes(archiver.get(key.replace(".tsr", ".seal.json")))
    (tmp_path / "response").write_bytes(archiver.get(key))
    assert b"OK" in openssl("ts", "-verify", "-in", "response", "-data", "seal", "-CAfile", str(certificate))
    archiver.check(worker).check_locks()
