"""The public keys that whoever runs the verifier trusts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key

from ..evidence import seal
from .report import CannotLook

FINGERPRINT = re.compile(r"[0-9a-f]{64}")


class Keys:
    """By key_id.  A fingerprint alone is enough where the key comes along, as in a proof."""

    def __init__(self, given: Iterable[str] = ()) -> None:
        self.known: dict[str, bytes] = {}
        self.fingerprints: set[str] = set()
        for each in given:
            if FINGERPRINT.fullmatch(each):
                self.fingerprints.add(each)
            else:
                key = read_key(Path(each))
                self.known[seal.key_id(key)] = key
        self.fingerprints |= self.known.keys()

    def offer(self, key: bytes) -> None:
        """A key that came with what is verified: of use only where its fingerprint is trusted."""
        if seal.key_id(key) in self.fingerprints:
            self.known[seal.key_id(key)] = key

    def __bool__(self) -> bool:
        return bool(self.fingerprints)


def read_key(file: Path) -> bytes:
    """The 32 bytes of a public key in a file: PEM, DER, 64 hex digits, or as they are."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise CannotLook(f'key file "{file}" cannot be read: {error.strerror}') from error
    return key_of(data, str(file))


def key_of(data: bytes, name: str) -> bytes:
    """The 32 bytes of a public key in what a file has."""
    if len(data) == 32:
        return data
    text = data.strip()
    if re.fullmatch(rb"[0-9a-fA-F]{64}", text):
        return bytes.fromhex(text.decode())
    for load in (load_pem_public_key, load_der_public_key):
        try:
            key = load(data)
        except ValueError:
            continue
        if isinstance(key, Ed25519PublicKey):
            return key.public_bytes_raw()
    raise CannotLook(f'key file "{name}" has no Ed25519 public key')
