"""Committed offsets that carry the archiver's signature.

A broker's administrator can write any offset, and so could make the archiver skip records. So an offset counts only
with a signature by a key that is published in the archive. A replayed older offset only makes the archiver read more.
"""

import json

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from admin_client.archive.reader import Hint
from admin_client.evidence import seal


def _signed_bytes(place: str, topic: str, partition: int, offset: int) -> bytes:
    return f"admin_ext archive offset 1\n{place}\n{topic}\n{partition}\n{offset}\n".encode()


def sign(key: Ed25519PrivateKey, place: str, topic: str, offsets: dict[int, int]) -> dict[int, Hint]:
    """Hints for these offsets; place is the bucket and the prefix."""
    key_id = seal.key_id(key.public_key().public_bytes_raw())
    hints = {}
    for partition, offset in offsets.items():
        signature = key.sign(_signed_bytes(place, topic, partition, offset)).hex()
        hints[partition] = Hint(offset, json.dumps({"v": 1, "key_id": key_id, "signature": signature}))
    return hints


def key_id_of(hint: Hint) -> str | None:
    """Returns the id of the key that a hint says it is signed with."""
    try:
        metadata = json.loads(hint.metadata)
        return str(metadata["key_id"])
    except (KeyError, TypeError, ValueError):
        return None


def is_signed_by(public_key: bytes, hint: Hint, place: str, topic: str, partition: int) -> bool:
    """Returns whether the key signed this offset of this partition."""
    try:
        signature = bytes.fromhex(json.loads(hint.metadata)["signature"])
        Ed25519PublicKey.from_public_bytes(public_key).verify(
            signature, _signed_bytes(place, topic, partition, hint.offset)
        )
    except (InvalidSignature, KeyError, TypeError, ValueError):
        return False
    return True
