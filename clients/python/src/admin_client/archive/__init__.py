"""The archiver: takes the trail from its Kafka topic to object-locked S3 storage, exactly once.

`python -m admin_client.archive --help` says how it is started, doc/archive.md how it is run,
doc/evidence.md what it writes.
"""
