"""Reads all partitions of the topic, read_committed, with one consumer that takes no part in a group's assignment."""

import logging
from collections.abc import Mapping
from typing import Any

from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, KafkaException, TopicPartition

from admin_client.archive.backoff import Away
from admin_client.archive.errors import Untrustworthy

_log = logging.getLogger(__name__)
_TIMEOUT = 10.0
MOST_MESSAGES = 2000
# What librdkafka keeps beside what the archiver keeps.  A fetch is compressed: it becomes several times as much.
_FETCH_BYTES = 1 << 20
_PARTITION_BYTES = 256 << 10
_QUEUE_KILOBYTES = 8 << 10
_LARGEST_ANSWER = 512 << 20
_DAY_MS = 86400000
_GONE = {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}


class Hint:
    """A committed offset and the text beside it."""

    def __init__(self, offset: int, metadata: str) -> None:
        self.offset, self.metadata = offset, metadata


def settings(brokers: str, group: str, options: Mapping[str, str]) -> dict[str, Any]:
    """librdkafka's settings; options are the operator's, for TLS and passwords."""
    return {
        "fetch.max.bytes": _FETCH_BYTES,
        "max.partition.fetch.bytes": _PARTITION_BYTES,
        "queued.max.messages.kbytes": _QUEUE_KILOBYTES,
        "receive.message.max.bytes": _LARGEST_ANSWER,
        "reconnect.backoff.max.ms": 1000,
        "fetch.wait.max.ms": 100,
        **options,
        "bootstrap.servers": brokers,
        "group.id": group,
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "error",
        "max.poll.interval.ms": _DAY_MS,
        "error_cb": _on_error,
        "on_commit": _on_commit,
    }


def _on_error(error: KafkaError) -> None:
    _log.warning("Kafka: %s", error.str())


def _on_commit(error: KafkaError | None, partitions: list[TopicPartition]) -> None:
    del partitions
    if error is not None:
        _log.warning("could not commit offsets; they are only a hint: %s", error.str())


class Reader:
    """Reads one topic. Its methods raise Away if Kafka does not answer."""

    def __init__(self, topic: str, configuration: dict[str, Any]) -> None:
        self.topic = topic
        self._consumer = Consumer(configuration)
        # A read_committed handle reports the end of the committed records, which is not the end of a partition.
        self._watcher = Consumer({**configuration, "isolation.level": "read_uncommitted"})
        self.position: dict[int, int] = {}  # the offset after the newest record or end that was read
        self._paused: set[int] = set()

    def partitions(self) -> list[int]:
        """The topic's partitions."""
        try:
            topic = self._watcher.list_topics(self.topic, timeout=_TIMEOUT).topics[self.topic]
        except KafkaException as error:
            raise Away(f"could not list the partitions: {error.args[0].str()}") from None
        if topic.error is not None or not topic.partitions:
            raise Away(
                f'the topic "{self.topic}" cannot be read: {topic.error.str() if topic.error else "no partitions"}'
            )
        return sorted(topic.partitions)

    def watermarks(self, partition: int) -> tuple[int, int]:
        """The first offset of a partition, and the one after its last."""
        try:
            low, high = self._watcher.get_watermark_offsets(TopicPartition(self.topic, partition), timeout=_TIMEOUT)
        except (KafkaException, TypeError) as error:  # None after a timeout
            raise Away(f"could not ask for the end of partition {partition}: {error}") from None
        return low, high

    def ends(self) -> dict[int, int]:
        """Returns where each partition ends now. Begins to read new partitions at their beginning."""
        partitions = self.partitions()
        fresh = {each: self.watermarks(each)[0] for each in partitions if each not in self.position}
        if fresh:
            _log.info("topic %s has %d more partitions", self.topic, len(fresh))
            self._consumer.incremental_assign(
                [TopicPartition(self.topic, each, offset) for each, offset in fresh.items()]
            )
            self.position.update(fresh)
        return {each: self.watermarks(each)[1] for each in partitions}

    def lag(self) -> int:
        """Returns how many offsets were not read yet, according to the broker's newest answers."""
        lag = 0
        for partition, position in self.position.items():
            cached = self._consumer.get_watermark_offsets(TopicPartition(self.topic, partition), cached=True)
            if cached is not None and cached[1] > position:
                lag += cached[1] - position
        return lag

    def start(self, offsets: dict[int, int]) -> None:
        """Begins to read at these offsets."""
        self.position = dict(offsets)
        self._consumer.assign([TopicPartition(self.topic, partition, offset) for partition, offset in offsets.items()])

    def read(self, timeout: float) -> list[Any]:
        """The next records, whole messages of confluent_kafka, each offset once."""
        records = []
        messages: list[Any] = self._consumer.consume(MOST_MESSAGES, timeout)
        for message in messages:
            error = message.error()
            if error is None:
                partition, offset = message.partition(), message.offset()
                if offset >= self.position.get(partition, 0):
                    self.position[partition] = offset + 1
                    records.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                self.position[message.partition()] = max(self.position.get(message.partition(), 0), message.offset())
            elif error.code() in _GONE:
                raise Untrustworthy(
                    f'partition {message.partition()} of topic "{self.topic}" no longer has the next offset: the topic was '
                    f"truncated or recreated, or its retention is shorter than the archiver was away"
                )
            else:
                _log.warning("Kafka: %s", error.str())
        return records

    def hold(self, partitions: set[int]) -> None:
        """Pauses these partitions, and resumes all others."""
        for act, which in (
            (self._consumer.pause, partitions - self._paused),
            (self._consumer.resume, self._paused - partitions),
        ):
            if which:
                act([TopicPartition(self.topic, each) for each in sorted(which)])
        self._paused = set(partitions)

    def hints(self, partitions: list[int]) -> dict[int, Hint]:
        """The committed offsets."""
        try:
            committed = self._consumer.committed(
                [TopicPartition(self.topic, each) for each in partitions], timeout=_TIMEOUT
            )
        except KafkaException as error:
            raise Away(f"could not ask for the committed offsets: {error.args[0].str()}") from None
        return {
            each.partition: Hint(each.offset, each.metadata or "")
            for each in committed
            if each.offset != OFFSET_INVALID and each.offset >= 0
        }

    def commit(self, hints: dict[int, Hint]) -> None:
        """Commits offsets in the background; a failure is logged."""
        try:
            self._consumer.commit(offsets=self._committable(hints), asynchronous=True)
        except KafkaException as error:
            _log.warning("could not commit offsets; they are only a hint: %s", error.args[0].str())

    def commit_surely(self, hints: dict[int, Hint]) -> None:
        """Commits offsets, and waits until the broker has them."""
        try:
            self._consumer.commit(offsets=self._committable(hints), asynchronous=False)
        except KafkaException as error:
            raise Away(f"could not commit offsets: {error.args[0].str()}") from None

    def _committable(self, hints: dict[int, Hint]) -> list[TopicPartition]:
        return [TopicPartition(self.topic, partition, hint.offset, hint.metadata) for partition, hint in hints.items()]

    def close(self) -> None:
        """Ends both handles."""
        self._consumer.close()
        self._watcher.close()
