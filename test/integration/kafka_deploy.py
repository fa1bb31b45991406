"""The topic and the ACLs of deploy/kafka on a real broker, and delivery by them; speaks TAP."""

import os
import pathlib
import subprocess
import sys

from confluent_kafka.admin import (
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ConfigResource,
    ResourcePatternType,
    ResourceType,
)
from harness import (
    ADMIN,
    BOOTSTRAP,
    CHECK,
    DELIVERED,
    KAFKA,
    SCRATCH,
    TOPIC,
    alter_topic,
    compare_ledger,
    main,
    ok,
    settings,
    sql,
    wait,
)
from kafka_security import SASL, SECRETS, forbid_all, make_users, sasl

DEPLOY = pathlib.Path(__file__).parents[2] / "deploy/kafka"
ONE_BROKER = ["--set", "replication.factor=1", "--set", "min.insync.replicas=1"]
CONSUMER = ("User:archiver", "archive")


def create(*arguments, brokers=BOOTSTRAP, copies=ONE_BROKER):
    """Exit status, and what was said."""
    run = subprocess.run(
        [sys.executable, DEPLOY / "create_topic.py", "--brokers", brokers, *copies, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
    )
    return run.returncode, run.stdout + run.stderr


def answers(name, status, wanted, *arguments, **more):
    result, said = create(*arguments, **more)
    if status != 0:
        print("# " + said.rstrip().replace("\n", "\n# "), flush=True)
    ok(result == status and wanted in said, name, f"exit status {result}: {said}")
    return said


def acls():
    everything = AclBindingFilter(
        ResourceType.ANY, None, ResourcePatternType.ANY, None, None, AclOperation.ANY, AclPermissionType.ANY
    )
    return {
        (acl.principal, acl.restype, acl.name, acl.resource_pattern_type, acl.host, acl.operation, acl.permission_type)
        for acl in ADMIN.describe_acls(everything).result()
    }


def config_of(topic):
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    return {name: entry.value for name, entry in ADMIN.describe_configs([resource])[resource].result().items()}


def mistakes():
    answers(
        "more copies to be in sync than there are: refused",
        2,
        "never so many copies",
        copies=["--set", "replication.factor=1"],
    )
    answers("more copies than there are brokers: the broker's words", 2, "eplication", copies=[])
    answers("an unknown name: refused", 2, "--set retention=1", "--set", "retention=1")
    answers("no broker: said", 2, "error: 127.0.0.1:1", brokers="127.0.0.1:1")
    wrong = SCRATCH / "client.properties"
    wrong.write_text("no.such.property=secret")
    answers("an unknown property: named", 2, "no.such.property", "--client", str(wrong))
    ok(TOPIC not in ADMIN.list_topics(timeout=30).topics, "create_topic.py makes no topic when it is called wrongly")


def login(password=None):
    """A file of properties, as --client wants it."""
    client = SCRATCH / "client.properties"
    client.write_text(
        "# of the user app\n" + sasl("SCRAM-SHA-512", password).replace("; debug=conf,security", "").replace("; ", "\n")
    )
    return ["--client", str(client)]


def topic():
    answers("the topic is made", 0, "made, 6 partitions, replication.factor 1")
    config = config_of(TOPIC)
    wanted = {
        "cleanup.policy": "delete",
        "retention.ms": str(30 * 24 * 3600 * 1000),
        "min.insync.replicas": "1",
        "compression.type": "producer",
        "unclean.leader.election.enable": "false",
        "message.timestamp.type": "CreateTime",
        "max.message.bytes": "4194304",
    }
    ok(
        {name: config[name] for name in wanted} == wanted,
        "the topic has the configuration that the file of deploy/kafka names",
        config,
    )
    answers(
        "a second run of create_topic.py changes nothing, and says so", 0, "is there, as it should be; nothing changed"
    )
    ok(config_of(TOPIC) == config, "a second run of create_topic.py leaves the configuration as it is")


def differs():
    alter_topic(TOPIC, retention_ms=3600000, cleanup_policy="compact")
    said = answers("what differs is reported", 1, "retention.ms is 3600000, should be 2592000000")
    ok(
        "cleanup.policy is compact, should be delete" in said and len(said.splitlines()) == 2,
        "each difference is reported in a line of its own",
        said,
    )
    ok(config_of(TOPIC)["cleanup.policy"] == "compact", "a setting that differs is left as it is")
    alter_topic(TOPIC, retention_ms=2592000000, cleanup_policy="delete")
    answers("partitions are counted", 1, "partitions is 6, should be 3", "--set", "partitions=3")
    answers("copies are counted", 1, "replication.factor of partition 0 is 1, should be 3", copies=[])
    answers("a topic that was put right is as it should be", 0, "nothing changed")


def delivery():
    sql("set client_min_messages = error; create extension admin_ext; select admin.create_audit_partitions()")
    settings(kafka_options="message.max.bytes=4000000")
    sql(
        "select admin_internal.append_event('size', to_json((select string_agg(md5(random()::text || n || i), '')"
        " from generate_series(1, mb * 32000) as i))) from unnest(array[3.5, 4.5]) with ordinality as m(mb, n)"
    )
    sql(CHECK)
    wait(DELIVERED, "rows are delivered into the topic of create_topic.py", 90)
    compare_ledger("records near the limit of the topic")
    ok(
        sql("select string_agg(error, ',') from admin.dead_letter where sink = 'kafka'")
        == "larger than message.max.bytes of admin_ext.kafka_options allows",
        "what the producer takes the topic takes",
        sql("select * from admin.dead_letter"),
    )


def fenced_off():
    """The users of the broker with ACLs may nothing yet."""
    make_users()
    forbid_all()
    settings(kafka_brokers=SASL, kafka_options=sasl("SCRAM-SHA-512"))
    sql(CHECK)
    wait(f"select state = 'backing_off' and last_error ~ 'allow the user' {KAFKA}", "without ACLs nothing is delivered")


def acls_by_the_tool():
    fenced_off()
    said = answers(
        "the ACLs are made",
        0,
        "ACL User:app WRITE on TRANSACTIONAL_ID admin_ext.*: made",
        "--deliverer",
        "User:app",
        "--consumer",
        *CONSUMER,
    )
    ok(said.count(": made") == 5, "the tool makes three ACLs for who delivers and two for who reads", said)
    wait(DELIVERED, "the ACLs of the tool are enough to deliver")
    said = answers(
        "a second run with the same ACLs changes nothing",
        0,
        "nothing changed",
        "--deliverer",
        "User:app",
        "--consumer",
        *CONSUMER,
    )
    ok(said.count("nothing changed") == 6, "a second run reports the topic and each of five ACLs as unchanged", said)
    answers("who delivers may not make topics", 2, "error: ", *login(), "--topic", "another", brokers=SASL)
    said = answers("a wrong password: said", 2, "uthentication failed", *login(SECRETS["wrong"]), brokers=SASL)
    ok(SECRETS["wrong"] not in said, "a wrong password is not shown")


def acls_by_kafkas_own():
    """acls.sh gives the same, with the tool that comes with a broker."""
    by_the_tool = acls()
    fenced_off()
    command = f"java -cp {os.environ['KAFKA_LIBS']}/* kafka.admin.AclCommand"
    run = subprocess.run(
        ["sh", "-f", DEPLOY / "acls.sh", BOOTSTRAP, TOPIC, "User:app", *CONSUMER],
        capture_output=True,
        text=True,
        env={**os.environ, "KAFKA_ACLS": command},
    )
    ok(
        run.returncode == 0 and acls() == by_the_tool and len(by_the_tool) == 5,
        "acls.sh makes the same ACLs as the tool",
        (run.stdout, run.stderr, acls()),
    )
    wait(DELIVERED, "the ACLs of acls.sh are enough to deliver")


def ledger():
    compare_ledger("whatever was tried with topics and ACLs")


if __name__ == "__main__":
    main(mistakes, topic, differs, delivery, acls_by_the_tool, acls_by_kafkas_own, ledger)
