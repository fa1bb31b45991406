"""Prometheus metrics on loopback."""

import prometheus_client as prometheus

_ADDRESS = "127.0.0.1"


class Metrics:
    """What is counted.  No label grows without bound: stores of a topic are few."""

    def __init__(self) -> None:
        registry = self._registry = prometheus.CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> prometheus.Counter:
            return prometheus.Counter(f"admin_ext_archive_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> prometheus.Gauge:
            return prometheus.Gauge(f"admin_ext_archive_{name}", text, labels, registry=registry)

        self.documents = counter("documents", "Documents in sealed objects.", "store")
        self.bytes = counter(
            "documents_bytes", "Bytes of the documents in sealed objects, before compression.", "store"
        )
        self.objects = counter("objects", "Sealed objects.", "store")
        self.foreign = counter("foreign_records", "Foreign records that were read.")
        self.requests = counter("storage_requests", "Requests to the storage, by outcome.", "outcome")
        self.last_number = gauge("last_number", "Delivery number of the newest sealed document.", "store")
        self.broken = gauge("stream_broken", "1 where a stream has stopped because it does not fit.", "store")
        self.lag = gauge("lag_offsets", "Offsets of the topic that were not read yet, or are in no sealed object.")
        self.oldest = gauge(
            "unsealed_seconds",
            "How long ago the oldest document was read that is in no sealed object, while it is no receipt.",
        )
        self.sealed_at = gauge("last_seal_timestamp_seconds", "When the newest seal was written.")
        self.receipts = gauge("receipts_waiting", "Receipts that the database does not have yet.")

    def serve(self, port: int) -> None:
        """Answers on 127.0.0.1 from now on, in a thread."""
        prometheus.start_http_server(port, _ADDRESS, self._registry)
