"""The key that signs seals: an Ed25519 key in a PEM file (PKCS #8) that only its owner can read."""

import os
import pathlib
import stat

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from admin_client.archive.errors import Refused

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def generate(path: pathlib.Path) -> Ed25519PrivateKey:
    """Writes a new key to a file that does not exist yet.  Raises Refused."""
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise Refused(f'could not write the key file "{path}": {error.strerror}') from None
    return key


def load(path: pathlib.Path) -> Ed25519PrivateKey:
    """The key in a file.  Raises Refused, also where others may read the file."""
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_mode & _OTHERS:
                raise Refused(f'group or others have access to the key file "{path}"; chmod 600 takes it away')
            pem = file.read()
    except OSError as error:
        raise Refused(f'could not read the key file "{path}": {error.strerror}') from None
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (TypeError, ValueError):
        raise Refused(f'the key file "{path}" is not a PEM file of an unencrypted private key') from None
    if not isinstance(key, Ed25519PrivateKey):
        raise Refused(f'the key in "{path}" is not an Ed25519 key')
    return key


def public_pem(key: Ed25519PublicKey) -> bytes:
    """The public key as it is published in the archive."""
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def public_bytes(pem: bytes) -> bytes:
    """The 32 bytes of a published key.  Raises ValueError."""
    key = serialization.load_pem_public_key(pem)
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("not an Ed25519 key")
    return key.public_bytes_raw()
