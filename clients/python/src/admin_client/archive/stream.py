"""One store's stream: its records from all partitions, in order of their numbers, batch by batch."""

import itertools
from collections import defaultdict
from collections.abc import Iterator

from admin_client.archive.draft import extended
from admin_client.archive.errors import Place, SecondRecord, StreamBroken
from admin_client.archive.records import BatchSeal, Document, Numbered
from admin_client.evidence import chain

_MOST_ARRANGEMENTS = 1024


class Pool:
    """Numbered records whose store only a batch's chain can tell: events that came from elsewhere."""

    def __init__(self) -> None:
        self.documents: dict[int, list[Document]] = defaultdict(list)
        self.added = self.taken = 0

    def add(self, number: int, document: Document) -> None:
        """Keeps a record until a batch takes it."""
        self.added += 1
        self.documents[number].append(document)

    def take(self, number: int, document: Document) -> None:
        """Removes a record that a batch has taken."""
        self.taken += 1
        rest = self.documents[number]
        rest.remove(document)
        if not rest:
            del self.documents[number]


class Batch:
    """A batch whose chain fits."""

    def __init__(self, seal: BatchSeal, documents: list[Document], chain_after: bytes) -> None:
        self.seal, self.documents, self.chain_after = seal, documents, chain_after


class Stream:
    """The records of one store that have arrived and are in no object yet.

    last and chain_after are those of the archived part; None at the beginning of a store.
    """

    def __init__(self, store: str, last: int = 0, chain_after: bytes | None = None, sink: str | None = None) -> None:
        self.store, self.sink = store, sink
        self.next, self._chain = last + 1, chain_after
        self.archived = last  # before the archiver started
        self.waiting: dict[int, Document] = {}
        self.seals: dict[int, BatchSeal] = {}  # by first number
        self.highest: dict[int, int] = {}  # number of the newest record in each partition
        self._front, self._front_at = last + 1, 0  # all lower numbers had arrived when Pool.taken had this value
        self._added = 0
        self._tried: tuple[int, int] | None = None  # Pool.added and _added when no arrangement of the next batch fitted

    @property
    def chain(self) -> bytes | None:
        """The delivery chain behind the newest batch."""
        return self._chain

    def add(self, record: Numbered) -> None:
        """Adds a record of this store. Raises StreamBroken for a second record of a number."""
        number, document = record.number, record.document
        if number < self.next or number in self.waiting:
            raise SecondRecord(Place(number, document.partition, document.offset))
        seal = record.seal
        if seal is not None:
            other = self.seals.setdefault(seal.first, seal)
            if other is not seal:
                raise StreamBroken(
                    f"two batches begin with number {seal.first}: they end with {other.last} and {seal.last}"
                )
        self.waiting[number] = document
        self._added += 1
        self.highest[document.partition] = number

    def batches(self, pool: Pool) -> Iterator[Batch]:
        """The batches that are whole, in order.  Raises StreamBroken."""
        while (seal := self.seals.get(self.next)) is not None:
            if self.first_missing(pool) <= seal.last or self._tried == (pool.added, self._added):
                return
            batch = self._whole(seal, pool)
            if batch is None:
                return
            del self.seals[self.next]
            self.next, self._chain, self._tried = seal.last + 1, batch.chain_after, None
            yield batch

    def _whole(self, seal: BatchSeal, pool: Pool) -> Batch | None:
        """Returns the batch, all of whose numbers have arrived.

        Returns None as long as no arrangement of pooled documents fits.
        """
        self._check_link(seal)
        numbers = range(seal.first, seal.last + 1)
        try:
            documents = [self.waiting[number] for number in numbers]
            taken: list[int] = []
        except KeyError:
            found = self._with_pool(seal, pool)
            if found is None:
                return None
            documents, taken = found
        chain_after = extended(seal.previous, seal, documents)
        if chain_after != seal.chain:
            raise StreamBroken(f"the chain of the batch {seal.first} to {seal.last} does not fit its documents")
        for number in taken:
            pool.take(number, documents[number - seal.first])
        for number in numbers:
            self.waiting.pop(number, None)
        return Batch(seal, documents, chain_after)

    def _check_link(self, seal: BatchSeal) -> None:
        """Raises StreamBroken unless the batch continues the stream."""
        if self.sink is None:
            self.sink = seal.sink
        if seal.sink != self.sink:
            raise StreamBroken(
                f'the batch {seal.first} to {seal.last} is of sink "{seal.sink}", those before are of "{self.sink}"'
            )
        before = chain.start(self.store, seal.sink) if self._chain is None else self._chain
        if seal.previous != before:
            raise StreamBroken(
                f"the chain before the batch {seal.first} to {seal.last} is not the one after number {seal.first - 1}"
            )
        if self._chain is not None and seal.continues is not None:
            raise StreamBroken(
                f"the batch {seal.first} to {seal.last} continues another store, and is not the first one"
            )

    def _with_pool(self, seal: BatchSeal, pool: Pool) -> tuple[list[Document], list[int]] | None:
        """Finds the documents of a batch, some of which may be in the pool: the arrangement that fits the chain."""
        choices: list[list[Document]] = []
        taken: list[int] = []
        for number in range(seal.first, seal.last + 1):
            own = self.waiting.get(number)
            if own is None:
                taken.append(number)
            choices.append([own] if own is not None else pool.documents[number])
        for arrangement in itertools.islice(itertools.product(*choices), _MOST_ARRANGEMENTS):
            if extended(seal.previous, seal, list(arrangement)) == seal.chain:
                return list(arrangement), taken
        self._tried = pool.added, self._added
        return None

    def is_waiting(self) -> bool:
        """Returns whether a record or seal waits for a batch."""
        return bool(self.waiting or self.seals)

    def check_seals(self) -> None:
        """Raises StreamBroken if all records of a batch have arrived without a seal."""
        if self.next in self.seals or not self.seals:
            return
        following = min(self.seals)
        if following < self.next:
            raise StreamBroken(
                f"the batch {following} to {self.seals[following].last} begins before number {self.next}"
            )
        if all(number in self.waiting for number in range(self.next, following)):
            raise StreamBroken(f"the batch before number {following} has no seal")

    def first_missing(self, pool: Pool) -> int:
        """Returns the lowest number that has not arrived."""
        # A record that another store's batch has taken is no longer in the pool.
        number = max(self._front, self.next) if self._front_at == pool.taken else self.next
        while number in self.waiting or number in pool.documents:
            number += 1
        self._front, self._front_at = number, pool.taken
        return number

    def is_proved_missing(self, number: int, reached: dict[int, int], ends: dict[int, int]) -> bool:
        """Returns whether a number cannot arrive any more.

        Within a partition a store's numbers ascend. So the number is missing if each partition has shown a higher one,
        or was read up to its end after a higher number had been seen.
        """
        return all(
            self.highest.get(partition, 0) > number or reached.get(partition, 0) >= end
            for partition, end in ends.items()
        )

    def explain(self, pool: Pool) -> str:
        """Describes what is wrong, once no further record can help."""
        number = self.first_missing(pool)
        higher = [each for each in self.waiting if each > number]
        if not higher:
            if self.next in self.seals:
                return f"the chain of the batch {self.next} to {self.seals[self.next].last} does not fit its documents"
            return f"the numbers {self.next} to {number - 1} are there, and no seal is"
        nearest = min(higher)
        missing = f"number {number} is" if nearest == number + 1 else f"the numbers {number} to {nearest - 1} are"
        where = self.waiting[nearest]
        return f"{missing} missing: number {nearest} is in partition {where.partition} at offset {where.offset}"
