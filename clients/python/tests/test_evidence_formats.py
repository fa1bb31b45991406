"""The hashes of the evidence are those of their standards."""

import hashlib

import pytest
from admin_client.evidence import chain, merkle, seal
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def tree_hash(documents: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, as it is written there."""
    if len(documents) < 2:
        return hashlib.sha256(b"\x00" + documents[0] if documents else b"").digest()
    split = 1
    while split * 2 < len(documents):
        split *= 2
    return hashlib.sha256(b"\x01" + tree_hash(documents[:split]) + tree_hash(documents[split:])).digest()


@pytest.mark.parametrize("size", range(1, 70))
def test_every_leaf_of_a_tree_has_a_path_to_its_root(size: int) -> None:
    documents = [f"document {number}".encode() for number in range(size)]
    leaves = [merkle.leaf_hash(document) for document in documents]
    root = merkle.root(leaves)
    assert root == tree_hash(documents)
    for index, leaf in enumerate(leaves):
        path = merkle.path(leaves, index)
        assert merkle.root_of_path(leaf, index, size, path) == root
        with pytest.raises(ValueError, match="too long"):
            merkle.root_of_path(leaf, index, size, [*path, leaf])
        assert size == 1 or merkle.root_of_path(leaves[index - 1], index, size, path) != root


def test_the_root_of_no_leaves_is_the_hash_of_nothing() -> None:
    assert merkle.root([]) == hashlib.sha256(b"").digest()


def test_a_path_that_is_too_short_is_refused() -> None:
    with pytest.raises(ValueError, match="too short"):
        merkle.root_of_path(merkle.leaf_hash(b"a"), 0, 2, [])


def test_the_chain_is_what_the_page_of_the_formats_says() -> None:
    store = "0a6f4d52-9a3e-4c1c-8f5e-1f2d3c4b5a69"
    before = hashlib.sha256(b"admin_ext delivery chain 1" + store.encode() + b"kafka").digest()
    assert chain.start(store, "kafka") == before
    content = hashlib.sha256(b'{"id":"1"}\n{"id":"2"}\n').digest()
    assert chain.content_hash([b'{"id":"1"}', b'{"id":"2"}']) == content
    after = hashlib.sha256(before + bytes(7) + b"\x05" + bytes(7) + b"\x02" + content).digest()
    assert chain.extend(before, 5, 2, content) == after


def test_a_seal_that_was_changed_is_not_signed() -> None:
    key = Ed25519PrivateKey.generate()
    public_key = key.public_key().public_bytes_raw()
    signed = seal.sign({"v": 1, "store": "é", "first": 1}, key)
    assert signed["key_id"] == hashlib.sha256(public_key).hexdigest()
    assert seal.is_signed_by(signed, public_key)
    for changed in ({**signed, "first": 2}, {**signed, "new": 1}, {**signed, "signature": "00"}, {"v": 1}):
        assert not seal.is_signed_by(changed, public_key)
    assert not seal.is_signed_by(signed, Ed25519PrivateKey.generate().public_key().public_bytes_raw())
