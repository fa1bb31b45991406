"""Timestamps of an outside authority (RFC 3161), which OpenSSL plays."""

import contextlib
import io
import json
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from admin_client.verify import cli
from evidence_sources import KEY, Archive, history

CONFIGURATION = """
[req]
distinguished_name = name
prompt = no
[name]
CN = tests
[ca]
basicConstraints = critical,CA:true
keyUsage = critical,keyCertSign
[tsa]
extendedKeyUsage = critical,timeStamping
[tsa_config]
serial = serial
signer_cert = tsa.crt
signer_key = tsa.key
certs = ca.crt
signer_digest = sha256
default_policy = 1.2.3.4
digests = sha256
ess_cert_id_alg = sha256
"""


def openssl(here, *arguments):
    subprocess.run(["openssl", *map(str, arguments)], cwd=here, check=True, capture_output=True)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """A certificate authority with a certificate for timestamps."""
    here = tmp_path_factory.mktemp("authority")
    (here / "conf").write_text(CONFIGURATION)
    (here / "serial").write_text("01\n")
    openssl(
        here,
        "req",
        "-x509",
        "-config",
        "conf",
        "-extensions",
        "ca",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        "ca.key",
        "-out",
        "ca.crt",
        "-days",
        "2",
    )
    openssl(here, "req", "-config", "conf", "-newkey", "rsa:2048", "-nodes", "-keyout", "tsa.key", "-out", "tsa.csr")
    openssl(
        here,
        "x509",
        "-req",
        "-in",
        "tsa.csr",
        "-CA",
        "ca.crt",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-extfile",
        "conf",
        "-extensions",
        "tsa",
        "-out",
        "tsa.crt",
        "-days",
        "2",
    )
    return here


def stamp(authority, seal):
    """The authority's response over a file, beside it."""
    openssl(authority, "ts", "-query", "-data", seal, "-sha256", "-cert", "-out", "query")
    openssl(
        authority,
        "ts",
        "-reply",
        "-config",
        "conf",
        "-section",
        "tsa_config",
        "-queryfile",
        "query",
        "-out",
        seal.with_name(seal.name.replace(".seal.json", ".tsr")),
    )


@pytest.fixture
def archive(authority, tmp_path):
    """Sealed just now, and stamped."""
    seals = Archive(tmp_path / "archive").write(history(), sealed_at=lambda newest: datetime.now(UTC))
    for seal in seals:
        stamp(authority, seal)
    (tmp_path / "key").write_bytes(KEY.public_key().public_bytes_raw())
    return tmp_path, seals


def verify(here, *more):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        status = cli.main(["--archive", str(here / "archive"), "--key", str(here / "key"), *map(str, more)])
    return status, out.getvalue()


def test_timestamps_of_a_trusted_authority_are_checked(authority, archive):
    here, seals = archive
    status, said = verify(here, "--tsa-ca", authority / "ca.crt")
    assert status == 0 and f"{len(seals)} timestamps checked" in said, said


def test_without_a_certificate_the_report_says_that_timestamps_were_not_checked(archive):
    status, said = verify(archive[0])
    assert (
        status == 0
        and "0 timestamps checked" in said
        and "was not checked: no certificate of the authority was given" in said
    )


def test_a_timestamp_of_another_seal_is_seen(authority, archive):
    here, seals = archive
    stamps = [seal.with_name(seal.name.replace(".seal.json", ".tsr")) for seal in seals]
    stamps[1].write_bytes(stamps[0].read_bytes())
    status, said = verify(here, "--tsa-ca", authority / "ca.crt")
    assert status == 1 and "is not of this seal" in said, said


def test_a_timestamp_of_another_authority_is_seen(archive):
    here, _ = archive
    openssl(
        here,
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        "k",
        "-out",
        "other.crt",
        "-subj",
        "/CN=other",
        "-days",
        "2",
    )
    status, said = verify(here, "--tsa-ca", here / "other.crt")
    assert status == 1 and "not by the authority that you trust" in said, said


def test_a_seal_that_was_dated_back_contradicts_its_timestamp(authority, tmp_path):
    seals = Archive(tmp_path / "archive").write(history())
    stamp(authority, seals[-1])
    (tmp_path / "key").write_bytes(KEY.public_key().public_bytes_raw())
    status, said = verify(tmp_path, "--tsa-ca", authority / "ca.crt")
    assert datetime.fromisoformat(json.loads(seals[-1].read_bytes())["sealed_at"]) < datetime.now(UTC) - timedelta(
        hours=2
    )
    assert status == 1 and "its timestamp says" in said, said


def test_a_proof_brings_its_timestamps_along(authority, archive):
    here, _ = archive
    assert (
        verify_proof(
            here,
            "prove",
            "APP-100001-x1",
            "--archive",
            here / "archive",
            "--key",
            here / "key",
            "--output",
            here / "proof.json",
        )[0]
        == 0
    )
    status, said = verify_proof(
        here, "--proof", here / "proof.json", "--key", here / "key", "--tsa-ca", authority / "ca.crt"
    )
    assert status == 0 and ("1 timestamp checked" in said or "2 timestamps checked" in said), said


def verify_proof(here, *arguments):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        status = cli.main([*map(str, arguments)])
    return status, out.getvalue()
