"""The Kafka sink with a schema registry; speaks TAP.

Nothing is delivered until the registry has answered, and what is delivered then is what a
stock client reads.  What is in the way is named by worker_status.last_error, without a secret.
"""
import json
import os
import pathlib
import signal
import subprocess
import urllib.error
import urllib.parse
import urllib.request

from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.json_schema import JSONDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext, SerializationError

from harness import CHECK, DELIVERED, KAFKA, SCRATCH, TOPIC, compare_ledger, create_extension, expect, main, ok, pg_ctl, read_topic, settings, sql, wait
from kafka_doc import Reader

SUBJECT = f"{TOPIC}-value"
HTTP, HTTPS = os.environ["REGISTRY_HTTP"], os.environ["REGISTRY_HTTPS"]
SCHEMA = (pathlib.Path(__file__).parents[2] / "schema/admin_ext_event.schema.json").read_text()
OTHER_SCHEMA = json.dumps({"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"], "additionalProperties": False})
PASSWORD, WRONG_PASSWORD = "right-Hj5tr", "wrong-Bn3ds"
BASIC_AUTH = ["-Dquarkus.http.auth.basic=true", "-Dquarkus.security.users.embedded.enabled=true",
              "-Dquarkus.security.users.embedded.plain-text=true", f"-Dquarkus.security.users.embedded.users.app={PASSWORD}",
              "-Dquarkus.security.users.embedded.roles.app=user", "-Dquarkus.http.auth.permission.all.paths=/*",
              "-Dquarkus.http.auth.permission.all.policy=authenticated"]


class Registry:
    """test/integration/run has made its directory, and ends it where this has not."""

    directory = pathlib.Path(os.environ["REGISTRY_DIR"])
    process = None

    def start(self, *properties):
        with open(self.directory / "log", "a") as log:
            self.process = subprocess.Popen([str(self.directory / "start"), *properties], stdout=log, stderr=log)
        expect(lambda: self.ask("GET", "/subjects") is not None or self.process.poll() is not None, "the registry starts")
        if self.process.poll() is not None:
            raise RuntimeError("the registry has ended")

    def stop(self):
        self.process.kill()
        self.process.wait()
        (self.directory / "pid").unlink()

    def ask(self, method, path, body=None):
        """The status, and the answer; None when nobody answers."""
        request = urllib.request.Request(HTTP + path, json.dumps(body).encode() if body else None, method=method,
                                         headers={"Content-Type": "application/vnd.schemaregistry.v1+json"})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, None
        except OSError:
            return None


REGISTRY = Registry()


def fails(name, pattern, **values):
    """Says why; the caller corrects it, and a row waits for that."""
    settings(**values)
    wait(f"select state = 'backing_off' and last_error ~ '{pattern}' {KAFKA}", f"{name}: last_error says so")
    error = sql(f"select last_error {KAFKA}")
    print(f"# {error}", flush=True)
    sql(CHECK)
    ok(not has_secret(error) and "\n" not in error, f"{name}: in one sentence without a secret", error)


def has_secret(text):
    return PASSWORD in text or WRONG_PASSWORD in text


def is_asked():
    """Is the worker connected to the registry?"""
    port = f":{urllib.parse.urlsplit(HTTP).port:04X}"
    worker = pathlib.Path("/proc", sql(f"select pid {KAFKA}"), "fd")
    lines = [line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()]
    sockets = {f"socket:[{line[9]}]" for line in lines if line[2].endswith(port) and line[3] == "01"}
    try:
        return any(os.readlink(descriptor) in sockets for descriptor in worker.iterdir())
    except FileNotFoundError:
        return False


def wait_for_question():
    expect(is_asked, "the worker asks the registry", 30)


def readiness(column="status"):
    """Of the topic and the schema."""
    return sql(f"select {column} from admin.cutover_readiness where item in ('D2', 'D3') order by item").splitlines()


def without_prefix(value):
    if value[0] != 0 or value[5:6] != b"{":
        raise ValueError(f"no wire format: {value[:20]}")
    return json.loads(value[5:])


def no_registry():
    create_extension()
    sql("alter system set log_min_messages = 'debug5'")
    fails("nobody there", "could not reach the schema registry: Couldn.t connect.*; start it, or correct admin_ext.schema_registry_url",
          schema_registry_url="http://127.0.0.1:1")
    # Each differs from the one before, so that it is known to be new.
    for address, reason in (("http://app:{}@127.0.0.1:port", ".*illegal format"), ("app:{}@127.0.0.1:1", "Couldn.t connect"),
                            ("http://app:{}@no.such.host.invalid", "Couldn.t resolve"), ("http://app:{}@127.0.0.1:1", "Couldn.t connect")):
        fails(f"a password in {address}", f"could not reach the schema registry: {reason}", schema_registry_url=address.format(PASSWORD))
    ok(read_topic() == [], "nothing is delivered")
    ok(readiness() == ["fail", "fail"], "and readiness says so", readiness())


def incompatible():
    REGISTRY.start()
    REGISTRY.ask("PUT", "/config", {"compatibility": "BACKWARD"})
    ok(REGISTRY.ask("POST", f"/subjects/{SUBJECT}/versions", {"schemaType": "JSON", "schema": OTHER_SCHEMA}) == (200, {"id": 1}),
       "a schema that is none of ours")
    fails("incompatible", f'answered 409 for subject "{SUBJECT}"; its compatibility rule does not allow this schema; settle it there',
          schema_registry_url=HTTP)
    ok(read_topic() == [], "nothing is delivered")
    REGISTRY.ask("PUT", "/config", {"compatibility": "NONE"})
    wait(DELIVERED, "delivered when the rule is settled")
    ok(REGISTRY.ask("GET", f"/subjects/{SUBJECT}/versions") == (200, [1, 2]), "our schema is the second version")
    ok(json.loads(REGISTRY.ask("GET", f"/subjects/{SUBJECT}/versions/latest")[1]["schema"]) == json.loads(SCHEMA), "as it is in the repository")


def stock_client():
    """Every value is read, and found valid, by the client that everybody uses."""
    sql("select admin.sensitive_check('APP-00000' || n || '-k', E'ü\\u0001\"\\\\', null, 'boss') from generate_series(1, 9) as n")
    sql("update admin.approval set resource = 'x' where approval_id = 'APP-000001-k'")
    fails("another address of its", "answered 404 .*; correct admin_ext.schema_registry_url", schema_registry_url=HTTP + "/x")
    settings(schema_registry_url=HTTP + "//")
    wait(DELIVERED, "an address may end in slashes")
    client = SchemaRegistryClient({"url": HTTP})
    stock = JSONDeserializer(SCHEMA, schema_registry_client=client)
    context = SerializationContext(TOPIC, MessageField.VALUE)
    values = [value for _, _, value in read_topic(read=bytes)]
    version = client.get_latest_version(SUBJECT)
    ok({value[:5] for value in values} == {b"\0" + version.schema_id.to_bytes(4, "big")}, "values carry 0 and the id of the schema")
    ok(readiness("detail") == [f'topic "{TOPIC}", schema id {version.schema_id}'] * 2 and readiness() == ["pass", "pass"], "readiness tells topic and id", readiness("detail"))
    documents = {event["auditid"]: event["data"] for event in (stock(value, context) for value in values)}
    table = dict(line.split("|", 1) for line in sql("select audit_id, payload::text from admin.audit").splitlines())
    ok(documents == {audit_id: json.loads(payload) for audit_id, payload in table.items()}, f"a stock client reads all {len(table)}, as the table has them")
    archive = Reader()
    archive.wait_for(len(table), "so does the reader of doc/kafka.md, without a registry")
    archive.stop()
    try:
        stock(values[0][:5] + b'{"specversion": "1.0"}', context)
        ok(False, "and it would say if one were not valid")
    except SerializationError:
        ok(True, "and it would say if one were not valid")


def paused():
    os.kill(REGISTRY.process.pid, signal.SIGSTOP)
    fails("it does not answer", "could not reach the schema registry: Timeout", schema_registry_url=HTTP)
    wait_for_question()
    fails("a reload is not kept waiting by a registry that is paused", "Couldn.t connect", schema_registry_url="http://127.0.0.1:1")
    settings(schema_registry_url=HTTP)
    wait_for_question()
    # pg_ctl raises where the server does not stop within a minute; the registry stays paused.
    pg_ctl("stop", "-m", "fast")
    pg_ctl("start")
    ok(sql("select 1") == "1", "the server stops and starts while the registry is paused")
    os.kill(REGISTRY.process.pid, signal.SIGCONT)
    wait(DELIVERED, "delivered when it answers again")


def stopped_and_guarded():
    REGISTRY.stop()
    sql(CHECK)
    wait(DELIVERED, "the id once known, nobody needs it")
    sql("select pg_reload_conf()")
    fails("it is stopped", "could not reach the schema registry: Couldn.t connect")
    REGISTRY.start(*BASIC_AUTH)
    fails("no password", "answered 401 .*; correct admin_ext.schema_registry_auth")
    fails("the wrong password", "answered 401 .*; correct admin_ext.schema_registry_auth", schema_registry_auth=f"app:{WRONG_PASSWORD}")
    settings(schema_registry_auth=f"app:{PASSWORD}")
    wait(DELIVERED, "the right password: delivered")


def private_ca():
    certificates = REGISTRY.directory / "certificates"
    wanted = "could not reach the schema registry: .*certificate.*; name the CA of its certificate as ssl.ca.location"
    fails("a CA that nobody knows", wanted, schema_registry_url=HTTPS)
    fails("a foreign CA", wanted, kafka_options=f"ssl.ca.location={certificates}/foreign.crt")
    settings(kafka_options=f"ssl.ca.location={certificates}/ca.crt")
    wait(DELIVERED, "the right CA: delivered")
    compare_ledger("whatever was wrong, each row once", read=without_prefix)


def secrets():
    log = (SCRATCH / "server.log").read_text(errors="replace")
    leaks = [line for line in log.splitlines() if has_secret(line)]
    ok("DEBUG" in log and not leaks, "no secret in the log", "\n".join(leaks[:5]))
    REGISTRY.stop()


if __name__ == "__main__":
    main(no_registry, incompatible, stock_client, paused, stopped_and_guarded, private_ca, secrets)
