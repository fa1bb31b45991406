"""The verifier as one file, where nothing but Python and cryptography is installed."""

import os
import pathlib
import subprocess
import sys
import venv

import cryptography
import pytest
from evidence_sources import FORGER, KEY, Archive, history, write_ndjson

BUILD = pathlib.Path(__file__).parents[1] / "build_verifier.py"
ALLOWED = ("cryptography", "cffi", "_cffi_backend", "pycparser", "typing_extensions")


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """Python with cryptography alone, and the file."""
    directory = tmp_path_factory.mktemp("bare")
    venv.create(directory / "venv", with_pip=False)
    python = directory / "venv" / "bin" / "python"
    packages = next((directory / "venv").glob("lib/python*/site-packages"))
    installed = pathlib.Path(cryptography.__file__).parents[1]
    for path in installed.iterdir():
        if path.name.split(".")[0].split("-")[0] in ALLOWED:
            (packages / path.name).symlink_to(path)
    subprocess.run([sys.executable, BUILD, directory / "admin_verify.pyz"], check=True)
    return python, directory / "admin_verify.pyz"


def run(bare, *arguments, path=None):
    environment = {**os.environ, "PATH": os.environ["PATH"] if path is None else path}
    environment.pop("PYTHONPATH", None)
    return subprocess.run([*bare, *arguments], capture_output=True, text=True, env=environment)


@pytest.fixture
def archive(tmp_path):
    Archive(tmp_path / "archive").write(history())
    (tmp_path / "key").write_bytes(KEY.public_key().public_bytes_raw())
    return ["--archive", tmp_path / "archive", "--key", tmp_path / "key"]


def test_the_one_file_verifies_an_archive_without_any_package(bare, archive):
    assert subprocess.run([bare[0], "-c", "import asyncpg"], capture_output=True).returncode
    done = run(bare, *archive)
    assert done.returncode == 0 and done.stdout.splitlines()[-1].startswith("PROVED: "), done.stdout + done.stderr


def test_the_one_file_makes_and_checks_a_proof(bare, archive, tmp_path):
    made = run(bare, "prove", "APP-100001-x1", *archive, "--output", tmp_path / "proof.json")
    assert made.returncode == 0, made.stderr
    done = run(bare, "--proof", tmp_path / "proof.json", *archive[2:])
    assert done.returncode == 0 and "APP-100001-x1 are genuine" in done.stdout, done.stdout + done.stderr


def test_without_means_to_decompress_the_one_file_says_so(bare, archive):
    done = run(bare, *archive, path="/nonexistent")
    assert (
        done.returncode == 2
        and 'neither the Python module "zstandard" nor the program "zstd" is installed' in done.stdout
    ), done.stdout + done.stderr


def test_without_means_to_decompress_ndjson_files_are_verified(bare, tmp_path):
    write_ndjson(tmp_path / "files", history(sink="ndjson"))
    done = run(bare, "--ndjson", tmp_path / "files", path="/nonexistent")
    assert done.returncode == 0 and "CONSISTENT, BUT NOT SIGNED" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(
    "arguments, module",
    [
        (["--archive", "s3://bucket/audit"], "boto3"),
        (["--topic", "t", "--bootstrap", "127.0.0.1:1"], "confluent-kafka"),
        (["--dsn", "postgresql:///nowhere"], "asyncpg"),
    ],
)
def test_what_needs_a_module_names_it(bare, arguments, module, tmp_path):
    if module == "asyncpg":
        write_ndjson(tmp_path / "files", history(sink="ndjson"))
        arguments = ["--ndjson", tmp_path / "files", *arguments]
    done = run(bare, *arguments)
    assert done.returncode == 2 and f'needs the Python module "{module}"' in done.stdout, done.stdout + done.stderr


def test_a_key_that_is_not_trusted_proves_nothing(bare, archive, tmp_path):
    (tmp_path / "other").write_bytes(FORGER.public_key().public_bytes_raw())
    assert run(bare, *archive[:3], tmp_path / "other").returncode == 1
    done = run(bare, *archive[:2])
    assert done.returncode == 2 and "no trusted key was given" in done.stdout
