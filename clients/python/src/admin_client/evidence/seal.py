"""A seal: what the archiver says of one object, signed with Ed25519 (RFC 8032)."""

import hashlib
import json
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

Seal = dict[str, Any]


def signed_bytes(seal: Seal) -> bytes:
    """What is signed: the seal without its signature, by RFC 8785 (members sorted, no white space).

    Members are strings, integers, null, arrays and objects of these, with ASCII names: for
    them Python's sorted JSON is that of the RFC.
    """
    unsigned = {name: value for name, value in seal.items() if name != "signature"}
    return json.dumps(unsigned, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def key_id(public_key: bytes) -> str:
    """The name of a key: SHA-256 of its 32 bytes, as hex digits."""
    return hashlib.sha256(public_key).hexdigest()


def sign(seal: Seal, key: Ed25519PrivateKey) -> Seal:
    """The seal with key_id and signature."""
    signed = {**seal, "key_id": key_id(key.public_key().public_bytes_raw())}
    return {**signed, "signature": key.sign(signed_bytes(signed)).hex()}


def is_signed_by(seal: Seal, public_key: bytes) -> bool:
    """Was the seal signed with this key (its 32 bytes)?"""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(bytes.fromhex(seal["signature"]), signed_bytes(seal))
    except (InvalidSignature, KeyError, TypeError, ValueError):
        return False
    return True


def to_bytes(seal: Seal) -> bytes:
    """A signed seal as it is stored: the same JSON, signature included."""
    return json.dumps(seal, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def hash_of(stored: bytes) -> str:
    """What the next seal has as previous_seal_sha256."""
    return hashlib.sha256(stored).hexdigest()
