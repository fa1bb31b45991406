#!/usr/bin/env python3
"""Makes the topic of the audit trail and its ACLs, or checks them; changes nothing that is there.

    create_topic.py --brokers broker:9092
    create_topic.py --brokers broker:9093 --client admin.properties --deliverer User:admin_ext \\
                    --consumer User:archiver archiver

The topic is that of topic.properties beside this file.  What is missing is made.  What is
there and differs is reported, a line for each deviation, and left as it is.

Exit status: 0 all is as it should be; 1 something differs; 2 it could not be found out.
Needs the Python package confluent-kafka, 2.3 or newer.
"""

import argparse
import pathlib
import sys

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ConfigResource,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

TIMEOUT = 30
TRANSACTIONAL_IDS = "admin_ext."


def properties(path):
    """name=value, one a line; # begins a comment."""
    found = {}
    for number, line in enumerate(pathlib.Path(path).read_text().splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals:
            raise SystemExit(f"{path}, line {number}: no equals sign")
        found[name.strip()] = value.strip()
    return found


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--brokers", required=True, help="host:port,...")
    parser.add_argument("--topic", default="ptt.audit.trail")
    parser.add_argument(
        "--file", default=pathlib.Path(__file__).with_name("topic.properties"), help="how the topic should be"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="instead of what the file says"
    )
    parser.add_argument("--client", metavar="FILE", help="properties of librdkafka for this tool: login, certificates")
    parser.add_argument(
        "--deliverer", metavar="PRINCIPAL", help="may deliver: the user of admin_ext.kafka_options, as User:name"
    )
    parser.add_argument(
        "--consumer",
        action="append",
        nargs=2,
        default=[],
        metavar=("PRINCIPAL", "GROUP"),
        help="may read, with this group",
    )
    return parser.parse_args()


def wanted_topic(options):
    """Partitions, replication factor, and the rest."""
    wanted = properties(options.file)
    for each in options.set:
        name, equals, value = each.partition("=")
        if not equals or name not in wanted:
            raise SystemExit(f"--set {each}: not a name of {options.file}, an equals sign and a value")
        wanted[name] = value
    partitions, copies = int(wanted.pop("partitions")), int(wanted.pop("replication.factor"))
    if int(wanted.get("min.insync.replicas", 1)) > copies:
        raise SystemExit(
            f"min.insync.replicas={wanted['min.insync.replicas']} with replication.factor={copies}: there are never so many copies"
        )
    return partitions, copies, wanted


def create(admin, name, partitions, copies, config):
    """False: it was there."""
    try:
        admin.create_topics([NewTopic(name, partitions, copies, config=config)])[name].result(TIMEOUT)
        return True
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise
        return False


def deviations(admin, name, partitions, copies, config):
    topic = admin.list_topics(name, TIMEOUT).topics[name]
    if topic.error is not None:
        raise KafkaException(topic.error)
    if len(topic.partitions) != partitions:
        yield "partitions", len(topic.partitions), partitions
    for number, partition in sorted(topic.partitions.items()):
        if len(partition.replicas) != copies:
            yield f"replication.factor of partition {number}", len(partition.replicas), copies
    resource = ConfigResource(ConfigResource.Type.TOPIC, name)
    found = admin.describe_configs([resource])[resource].result(TIMEOUT)
    for key, value in config.items():
        if key not in found or found[key].value != value:
            yield key, found[key].value if key in found else "unknown to the broker", value


def check_topic(admin, name, partitions, copies, config):
    """How much differs."""
    if create(admin, name, partitions, copies, config):
        print(f'topic "{name}": made, {partitions} partitions, replication.factor {copies}')
        return 0
    found = list(deviations(admin, name, partitions, copies, config))
    for key, value, wanted in found:
        print(f'topic "{name}": {key} is {value}, should be {wanted}')
    if not found:
        print(f'topic "{name}": is there, as it should be; nothing changed')
    return len(found)


def acls_of(options):
    """Who delivers writes transactions of admin_ext, and reads the topic to recover; nothing else."""
    literal, prefixed = ResourcePatternType.LITERAL, ResourcePatternType.PREFIXED
    if options.deliverer:
        yield options.deliverer, ResourceType.TRANSACTIONAL_ID, TRANSACTIONAL_IDS, prefixed, AclOperation.WRITE
        yield options.deliverer, ResourceType.TOPIC, options.topic, literal, AclOperation.WRITE
        yield options.deliverer, ResourceType.TOPIC, options.topic, literal, AclOperation.READ
    for principal, group in options.consumer:
        yield principal, ResourceType.TOPIC, options.topic, literal, AclOperation.READ
        yield principal, ResourceType.GROUP, group, literal, AclOperation.READ


def allow(admin, principal, kind, name, pattern, operation):
    what = f"{principal} {operation.name} on {kind.name} {name}{'*' if pattern == ResourcePatternType.PREFIXED else ''}"
    rule = (kind, name, pattern, principal, "*", operation, AclPermissionType.ALLOW)
    if admin.describe_acls(AclBindingFilter(*rule)).result(TIMEOUT):
        print(f"ACL {what}: is there; nothing changed")
        return
    binding = AclBinding(*rule)
    admin.create_acls([binding])[binding].result(TIMEOUT)
    print(f"ACL {what}: made")


def connect(client):
    """Waits for the brokers; what the connection died of says more than that nobody answers."""
    said = []
    admin = AdminClient({"log_level": 0, "error_cb": said.append, **client})
    failure = None
    for _ in range(TIMEOUT):
        try:
            admin.list_topics(timeout=1)
            return admin
        except KafkaException as error:
            failure = error.args[0]
        admin.poll(0)
        reasons = [each for each in said if each.code() != KafkaError._ALL_BROKERS_DOWN]
        failure = reasons[-1] if reasons else failure
        if failure.code() in (KafkaError._AUTHENTICATION, KafkaError._SSL):
            break
    raise KafkaException(failure)


def main():
    options = arguments()
    topic = wanted_topic(options)
    client = properties(options.client) if options.client else {}
    try:
        admin = connect({**client, "bootstrap.servers": options.brokers})
        differs = check_topic(admin, options.topic, *topic)
        for acl in acls_of(options):
            allow(admin, *acl)
    except KafkaException as error:
        reason = error.args[0]
        raise SystemExit(f"error: {reason.str() if isinstance(reason, KafkaError) else reason}") from None
    except TimeoutError:
        raise SystemExit("error: the brokers do not answer") from None
    return 1 if differs else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (SystemExit, OSError) as error:
        if isinstance(error, SystemExit) and not isinstance(error.code, str):
            raise
        print(error, file=sys.stderr)
        sys.exit(2)
