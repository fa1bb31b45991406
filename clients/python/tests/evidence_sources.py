"""Makes what the verifier reads: archives, directories of the NDJSON sink, dumps of a topic, by the reference alone."""

import hashlib
import json
import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from admin_client.evidence import chain, merkle, seal
from admin_client.parity import engine
from admin_client.verify import dump
from admin_client.verify.optional import module
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

STORE = "0a6f4d52-9a3e-4c1c-8f5e-1f2d3c4b5a69"
OTHER_STORE = "5d1f0c77-3b5a-4e0e-9d0c-7c1f2e3d4b5a"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
FORGER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass
class History:
    """Everything that one store gave to one sink."""

    documents: list[bytes]
    batches: list[int]
    store: str = STORE
    sink: str = "kafka"
    continues: dict | None = None

    def chains(self) -> list[str]:
        """Before the first batch, and after each."""
        value, number, found = chain.start(self.store, self.sink), 1, []
        found.append(value.hex())
        for size in self.batches:
            documents = self.documents[number - 1 : number - 1 + size]
            value = chain.extend(value, number, size, chain.content_hash(documents))
            found.append(value.hex())
            number += size
        return found

    def to(self, sink):
        return replace(self, sink=sink)


# -- documents --------------------------------------------------------------------------------------------------------


class Writer:
    """Documents as the extension writes them."""

    def __init__(self, store: str = STORE, begin: datetime = BEGIN, first: int = 1) -> None:
        self.store, self.clock, self.audit_id = store, begin, first
        self.rows: dict[str, dict] = {}
        self.signatures: dict[str, list[dict]] = {}

    def event(self, kind: str, subject: str | None, data: object, actor: str | None = None) -> bytes:
        now, number = engine.rfc3339(self.clock), str(self.audit_id)
        self.clock += SECOND
        self.audit_id += 1
        event = {
            "specversion": "1.0",
            "id": number,
            "source": f"/admin_ext/{self.store}",
            "type": f"ptt.admin.{kind}",
            "subject": subject,
            "time": now,
            "datacontenttype": "application/json",
            "sequence": number.rjust(19, "0"),
            "recordedtime": now,
            "partitionkey": subject,
            "actor": actor,
            "auditid": number,
            "data": data,
        }
        return compact({name: value for name, value in event.items() if value is not None}).encode()

    def foreign(self, source: str, event_id: str, data: object) -> bytes:
        """An event that audit_ingest has taken."""
        now, number = engine.rfc3339(self.clock), str(self.audit_id)
        self.clock += SECOND
        self.audit_id += 1
        return compact(
            {
                "specversion": "1.0",
                "id": event_id,
                "source": source,
                "type": "ptt.ff.approval.consumed",
                "time": now,
                "datacontenttype": "application/json",
                "recordedtime": now,
                "auditid": number,
                "data": data,
            }
        ).encode()

    def approval(self, approval_id: str) -> engine.Approval:
        row, signatures = self.rows[approval_id], self.signatures[approval_id]
        closed = row["closed_at"]
        return engine.Approval(
            approval_id,
            row["action"],
            row["resource"],
            tuple(row["required_roles"]),
            row["required_signer_count"],
            row["requested_by"],
            row["state"],
            datetime.fromisoformat(row["sla_deadline"]),
            closed and datetime.fromisoformat(closed),
            tuple(engine.Signature(s["signer_role"], s["signer"]) for s in signatures),
        )

    def issue(
        self, approval_id: str, roles: tuple[str, ...] = ("finance", "legal"), resource: str | None = "account 7"
    ) -> bytes:
        now = engine.rfc3339(self.clock)
        self.rows[approval_id] = {
            "approval_id": approval_id,
            "action": "payout",
            "resource": resource,
            "required_roles": list(roles),
            "required_signer_count": len(roles),
            "requested_by": "boss",
            "state": "pending",
            "sla_deadline": engine.rfc3339(self.clock + timedelta(days=30)),
            "created_at": now,
            "updated_at": now,
            "closed_at": None,
            "closed_by": None,
            "close_reason": None,
        }
        self.signatures[approval_id] = []
        return self.event(
            "approval.issued", approval_id, {"op": "INSERT", "changed": {}, "row": dict(self.rows[approval_id])}, "boss"
        )

    def sign(self, approval_id: str, role: str, signer: str) -> list[bytes]:
        row = {
            "signature_id": str(self.audit_id),
            "approval_id": approval_id,
            "signer_role": role,
            "signer": signer,
            "signed_at": engine.rfc3339(self.clock),
            "approval_digest": "\\x" + engine.digest(self.approval(approval_id)).hex(),
            "token_issuer": None,
            "token_key_id": None,
            "token_id": None,
            "token_sha256": None,
            "comment": None,
        }
        self.signatures[approval_id].append(row)
        state = engine.state_reached(self.rows[approval_id]["required_signer_count"], len(self.signatures[approval_id]))
        return [
            self.event("signature.added", approval_id, {"op": "INSERT", "changed": {}, "row": row}, signer),
            self.change(approval_id, f"approval.{state}", state=state),
        ]

    def change(self, approval_id: str, kind: str, **values: object) -> bytes:
        before, values = self.rows[approval_id], {**values, "updated_at": engine.rfc3339(self.clock)}
        self.rows[approval_id] = after = {**before, **values}
        changed = {name: [before[name], after[name]] for name in after if before[name] != after[name]}
        return self.event(kind, approval_id, {"op": "UPDATE", "changed": changed, "row": dict(after)}, "boss")

    def withdraw(self, approval_id: str) -> bytes:
        return self.change(
            approval_id, "approval.withdrawn", state="withdrawn", closed_at=engine.rfc3339(self.clock), closed_by="boss"
        )

    def check(
        self,
        approval_id: str | None,
        action: str | None = "payout",
        resource: str | None = "account 7",
        **forged: object,
    ) -> bytes:
        store = {approval_id: self.approval(approval_id)} if approval_id in self.rows else {}
        response = json.loads(engine.decide(store, engine.Request(approval_id, action, resource), self.clock))
        response["audit"].update(audit_id=str(self.audit_id), sink_status="pending")
        return self.event(
            "sensitive.check.2b",
            approval_id,
            {**response, **forged, "request": {"action": action, "resource": resource, "token": None}},
            "FF",
        )


def life(writer: Writer, approval_id: str, chance: random.Random) -> Iterator[bytes]:
    """One approval from issue to its last check."""
    roles = ("finance", "legal")[: chance.randint(1, 2)]
    yield writer.issue(approval_id, roles)
    yield writer.check(approval_id)
    for role in roles:
        yield from writer.sign(approval_id, role, f"{role}.{chance.randint(1, 9)}")
    for _ in range(chance.randint(1, 4)):
        yield writer.check(
            approval_id,
            chance.choice(["payout", "payout", None, "other"]),
            chance.choice(["account 7", None, "account 8"]),
        )
    if chance.random() < 0.3:
        yield writer.withdraw(approval_id)
        yield writer.check(approval_id)
    if chance.random() < 0.3:
        yield writer.foreign("/ff/eu-1", f"e-{writer.audit_id}", {"approval": approval_id, "amount": 100})


def sizes(count: int, chance: random.Random, most: int = 5) -> list[int]:
    """Batches of so many documents altogether."""
    found = []
    while count:
        found.append(min(count, chance.randint(1, most)))
        count -= found[-1]
    return found


def history(approvals: int = 6, seed: int = 1, store: str = STORE, sink: str = "kafka") -> History:
    chance, writer = random.Random(seed), Writer(store)
    documents = [
        document for number in range(approvals) for document in life(writer, f"APP-{100001 + number}-x{seed}", chance)
    ]
    documents.append(writer.check("APP-999999-none"))
    return History(documents, sizes(len(documents), chance), store, sink)


# -- an archive -------------------------------------------------------------------------------------------------------


def compress(data: bytes, frame: int | None = None) -> bytes:
    """Zstandard, in frames of so many bytes."""
    parts = [data[at : at + frame] for at in range(0, len(data), frame)] if frame else [data]
    zstandard = module("zstandard")
    if zstandard is not None:
        return b"".join(zstandard.ZstdCompressor(level=1).compress(part) for part in parts)
    return b"".join(
        subprocess.run(["zstd", "-q", "-1", "-c"], input=part, capture_output=True, check=True).stdout for part in parts
    )


def decompress(data: bytes) -> bytes:
    return subprocess.run(["zstd", "-q", "-d", "-c"], input=data, capture_output=True, check=True).stdout


@dataclass
class Archive:
    """Writes sealed objects as the archiver does."""

    directory: Path
    key: Ed25519PrivateKey = field(default_factory=lambda: KEY)
    prefix: str = "audit"
    frame: int | None = None

    def write(
        self, of: History, batches_per_object: int = 4, sealed_at=lambda newest: newest + timedelta(seconds=30)
    ) -> list[Path]:
        """Returns the seals' files."""
        chains, number, previous, written = of.chains(), 1, None, []
        for start in range(0, len(of.batches), batches_per_object):
            batches = of.batches[start : start + batches_per_object]
            documents = of.documents[number - 1 : number - 1 + sum(batches)]
            more = {"continues": of.continues} if of.continues and start == 0 else {}
            before, after = chains[start], chains[start + len(batches)]
            path = self.put(
                of.store,
                of.sink,
                number,
                documents,
                batches,
                before,
                after,
                previous,
                sealed_at(newest_of(documents)),
                more,
            )
            previous = hashlib.sha256(path.read_bytes()).hexdigest()
            number += len(documents)
            written.append(path)
        return written

    def put(self, store, sink, first, documents, batches, before, after, previous, sealed_at, more) -> Path:
        name = f"{self.prefix}/{store}/{first:020}-{first + len(documents) - 1}"
        data = compress(b"".join(document + b"\n" for document in documents), self.frame)
        path = self.directory / f"{name}.ndjson.zst"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        unsigned = {
            "v": 1,
            "store": store,
            "sink": sink,
            "first": first,
            "last": first + len(documents) - 1,
            "batches": batches,
            "chain_before": before,
            "chain_after": after,
            **more,
            "merkle_root": merkle.root([merkle.leaf_hash(document) for document in documents]).hex(),
            "object": f"{name}.ndjson.zst",
            "sha256": hashlib.sha256(data).hexdigest(),
            "bytes": len(data),
            "kafka": [],
            "schema_id": None,
            "sealed_at": engine.rfc3339(sealed_at),
            "previous_seal_sha256": previous,
        }
        path = self.directory / f"{name}.seal.json"
        path.write_bytes(seal.to_bytes(seal.sign(unsigned, self.key)))
        return path


def newest_of(documents: list[bytes]) -> datetime:
    return max(
        datetime.fromisoformat(re.findall(rb'"recordedtime":"([^"]*)"', document)[-1].decode())
        for document in documents
    )


# -- NDJSON files -----------------------------------------------------------------------------------------------------


def write_ndjson(
    directory: Path, of: History, batches_per_file: int = 4, unfinished: int = 0, database: str = "db"
) -> list[Path]:
    """Files and their seals; the last so many batches are in a file that is not finished."""
    directory.mkdir(parents=True, exist_ok=True)
    chains, number, written, lines = of.chains(), 1, [], []
    finished = len(of.batches) - unfinished
    starts = [*range(0, finished, batches_per_file), *([finished] if unfinished else [])]
    for start in starts:
        end = min(start + batches_per_file, finished) if start < finished else len(of.batches)
        batches = of.batches[start:end]
        documents = of.documents[number - 1 : number - 1 + sum(batches)]
        data = b"".join(document + b"\n" for document in documents)
        path = directory / f"{database}-{json.loads(documents[0])['auditid']}.ndjson"
        path.write_bytes(data)
        written.append(path)
        if start < finished:
            more = {"continues": of.continues} if of.continues and start == 0 else {}
            lines.append(
                {
                    "v": 1,
                    "store": of.store,
                    "sink": of.sink,
                    "file": path.name,
                    "bytes": len(data),
                    "sha256": hashlib.sha256(data).hexdigest(),
                    "first": number,
                    "last": number + len(documents) - 1,
                    "chain_before": chains[start],
                    "chain_after": chains[end],
                    **more,
                    "batches": batches,
                }
            )
        number += len(documents)
    with (directory / f"{database}.seals.ndjson").open("ab") as file:
        file.writelines(compact(line).encode() + b"\n" for line in lines)
    return written


# -- a topic ----------------------------------------------------------------------------------------------------------


@dataclass
class Message:
    """A record before it is written."""

    partition: int
    timestamp: int
    key: bytes
    headers: list[tuple[str, bytes | None]]
    value: bytes | None


def messages(of: History, partitions: int = 3, begin: int = 1_760_000_000_000) -> list[Message]:
    """The records of all transactions, in the order in which they were sent."""
    chains, number, found = of.chains(), 1, []
    for batch, size in enumerate(of.batches):
        for document in of.documents[number - 1 : number - 1 + size]:
            event = json.loads(document)
            key = (event.get("subject") or event["source"]).encode()
            headers = [
                ("content-type", b"application/cloudevents+json; charset=UTF-8"),
                ("admin-ext-number", str(number).encode()),
            ]
            found.append(
                Message(hashlib.sha256(key).digest()[0] % partitions, begin + batch * 1000, key, headers, document)
            )
            number += 1
        more = {"continues": of.continues} if of.continues and batch == 0 else {}
        found[-1].headers.append(
            (
                "admin-ext-seal",
                compact(
                    {
                        "v": 1,
                        "store": of.store,
                        "sink": of.sink,
                        "first": number - size,
                        "last": number - 1,
                        "chain": chains[batch + 1],
                        "previous": chains[batch],
                        **more,
                    }
                ).encode(),
            )
        )
    return found


def write_dump(directory: Path, records: list[Message], topic: str = "ptt.audit.trail") -> None:
    """Offsets with gaps, as transactions leave them."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    offsets: dict[int, int] = {}
    for record in records:
        offset = offsets.get(record.partition, 0)
        offsets[record.partition] = offset + (2 if any(name == "admin-ext-seal" for name, _ in record.headers) else 1)
        with (directory / f"{topic}.{record.partition}.ndjson").open("ab") as file:
            file.write(
                dump.line_of(
                    topic, record.partition, offset, record.timestamp, record.key, record.headers, record.value
                )
            )
