"""The Kafka sink with a schema registry; speaks TAP.

Nothing is delivered until the registry has answered, and what is delivered then is what a
stock client reads.  What is in the way is named by worker_status.last_error, without a secret.
"""

import http.server
import json
import os
import pathlib
import re
import signal
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request

from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.json_schema import JSONDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext, SerializationError
from harness import (
    CHECK,
    DELIVERED,
    KAFKA,
    SCRATCH,
    TOPIC,
    compare_chain,
    compare_ledger,
    create_extension,
    expect,
    main,
    ok,
    pg_ctl,
    read_topic,
    settings,
    sql,
    wait,
)
from kafka_doc import Reader

SUBJECT = f"{TOPIC}-value"
HTTP, HTTPS = os.environ["REGISTRY_HTTP"], os.environ["REGISTRY_HTTPS"]
ROOT = pathlib.Path(__file__).parents[2]
SCHEMA = (ROOT / "schema/admin_ext_event.schema.json").read_text()
PAGE = (ROOT / "doc/kafka.md").read_text()
OTHER_SCHEMA = json.dumps(
    {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"], "additionalProperties": False}
)
PASSWORD, WRONG_PASSWORD = "right-Hj5tr", "wrong-Bn3ds"
BASIC_AUTH = [
    "-Dquarkus.http.auth.basic=true",
    "-Dquarkus.security.users.embedded.enabled=true",
    "-Dquarkus.security.users.embedded.plain-text=true",
    f"-Dquarkus.security.users.embedded.users.app={PASSWORD}",
    "-Dquarkus.security.users.embedded.roles.app=user",
    "-Dquarkus.http.auth.permission.all.paths=/*",
    "-Dquarkus.http.auth.permission.all.policy=authenticated",
]


class Registry:
    """test/integration/run has made its directory, and ends it where this has not."""

    directory = pathlib.Path(os.environ["REGISTRY_DIR"])
    process = None

    def start(self, *properties):
        with open(self.directory / "log", "a") as log:
            self.process = subprocess.Popen([str(self.directory / "start"), *properties], stdout=log, stderr=log)
        expect(
            lambda: self.ask("GET", "/subjects") is not None or self.process.poll() is not None, "the registry starts"
        )
        if self.process.poll() is not None:
            raise RuntimeError("the registry has ended")

    def stop(self):
        self.process.kill()
        self.process.wait()
        (self.directory / "pid").unlink()

    def ask(self, method, path, body=None):
        """The status, and the answer; None when nobody answers."""
        request = urllib.request.Request(
            HTTP + path,
            json.dumps(body).encode() if body else None,
            method=method,
            headers={"Content-Type": "application/vnd.schemaregistry.v1+json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, None
        except OSError:
            return None


REGISTRY = Registry()


class Gate(http.server.ThreadingHTTPServer):
    """In front of the registry: answers by itself where it is told to, and passes on the rest."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), GateHandler)
        self.address, self.answers, self.asked = f"http://127.0.0.1:{self.server_port}", {}, []
        threading.Thread(target=self.serve_forever, daemon=True).start()


class GateHandler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        question = "register" if self.path.endswith("/versions") else "look up"
        self.server.asked.append(question)
        code, text = self.server.answers.get(question) or self.pass_on(body)
        self.send_response(code)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def pass_on(self, body):
        request = urllib.request.Request(
            HTTP + self.path, body, method="POST", headers={"Content-Type": "application/vnd.schemaregistry.v1+json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def log_message(self, *arguments):
        pass


def fails(name, pattern, **values):
    """Says why; the caller corrects it, and a row waits for that."""
    settings(**values)
    wait(f"select state = 'backing_off' and last_error ~ '{pattern}' {KAFKA}", f"{name}: last_error says so")
    error = sql(f"select last_error {KAFKA}")
    print(f"# {error}", flush=True)
    sql(CHECK)
    ok(not has_secret(error) and "\n" not in error, f"{name}: last_error is one sentence without a secret", error)


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
    sql("create extension admin_ext_cutover")
    sql("alter system set log_min_messages = 'debug5'")
    fails(
        "nobody there",
        "could not reach the schema registry: Couldn.t connect.*; start it, or correct admin_ext.schema_registry_url",
        schema_registry_url="http://127.0.0.1:1",
    )
    # Each differs from the one before, so that it is known to be new.
    for address, reason in (
        ("http://app:{}@127.0.0.1:port", ".*illegal format"),
        ("app:{}@127.0.0.1:1", "Couldn.t connect"),
        ("http://app:{}@no.such.host.invalid", "Couldn.t resolve"),
        ("http://app:{}@127.0.0.1:1", "Couldn.t connect"),
    ):
        fails(
            f"a password in {address}",
            f"could not reach the schema registry: {reason}",
            schema_registry_url=address.format(PASSWORD),
        )
    ok(read_topic() == [], "nothing is delivered without a registry")
    ok(readiness() == ["fail", "fail"], "items D2 and D3 of readiness fail without a registry", readiness())


def incompatible():
    REGISTRY.start()
    REGISTRY.ask("PUT", "/config", {"compatibility": "BACKWARD"})
    ok(
        REGISTRY.ask("POST", f"/subjects/{SUBJECT}/versions", {"schemaType": "JSON", "schema": OTHER_SCHEMA})
        == (200, {"id": 1}),
        "the registry takes a schema that is none of ours",
    )
    fails(
        "incompatible",
        f'answered 409 for subject "{SUBJECT}"; its compatibility rule does not allow this schema; settle it there',
        schema_registry_url=HTTP,
    )
    ok(read_topic() == [], "nothing is delivered with an incompatible schema")
    REGISTRY.ask("PUT", "/config", {"compatibility": "NONE"})
    wait(DELIVERED, "rows are delivered when the compatibility rule is settled")
    ok(REGISTRY.ask("GET", f"/subjects/{SUBJECT}/versions") == (200, [1, 2]), "our schema is the second version")
    ok(
        json.loads(REGISTRY.ask("GET", f"/subjects/{SUBJECT}/versions/latest")[1]["schema"]) == json.loads(SCHEMA),
        "the registered schema is the one of the repository",
    )


def register(subject, schema):
    """By whoever deploys; the status."""
    return REGISTRY.ask("POST", f"/subjects/{subject}/versions", {"schemaType": "JSON", "schema": schema})[0]


def no_right_to_register():
    """A producer that may only read, as in production; the schema is registered by whoever deploys."""
    ok(REGISTRY.ask("DELETE", f"/subjects/{SUBJECT}/versions/2")[0] == 200, "our schema is taken out of the registry")
    gate = Gate()
    gate.answers["register"] = (403, b'{"error_code":40301,"message":"User is denied operation Write on Subject"}')
    fails(
        "no right to register",
        f'answered 403 for subject "{SUBJECT}"; the user of admin_ext.schema_registry_auth may not register a schema; '
        "register admin_ext_event.schema.json as another user, or allow it to this one: .*denied operation Write",
        schema_registry_url=gate.address,
    )
    gate.answers["register"] = (422, b'{"error_code":42205,"message":"Subject is in read-only mode"}')
    fails(
        "a registry that is read only",
        "answered 422 .*; it takes no schema here, as in its mode READONLY; "
        "register admin_ext_event.schema.json where it does, or change the mode: .*read-only mode",
    )
    gate.answers["look up"] = (403, b'{"error_code":40301,"message":"User is denied operation Read on Subject"}')
    gate.answers["register"] = (403, b'{"error_code":40301,"message":"User is denied operation Write on Subject"}')
    fails(
        "no right to look, nor to register",
        "answered 403 .*; allow the user of admin_ext.schema_registry_auth to read the subject: .*denied operation",
    )
    del gate.answers["look up"]
    # Deployment tools reformat what they register.
    ok(
        register(SUBJECT, json.dumps(json.loads(SCHEMA), separators=(",", ":"))) == 200,
        "somebody else registers our schema in another layout",
    )
    wait(DELIVERED, "a schema that is registered is found, and delivery goes on without the right to register")
    REGISTRY.ask(
        "DELETE", f"/subjects/{SUBJECT}/versions/{REGISTRY.ask('GET', f'/subjects/{SUBJECT}/versions')[1][-1]}"
    )
    fails(
        "no right to register any more",
        "answered 403 .* may not register a schema",
        schema_registry_url=gate.address + "/",
    )
    command = re.search(r"^    (jq -Rs .*\n.*)$", PAGE, re.M).group(1).replace("https://registry:8081", HTTP)
    run = subprocess.run(["bash", "-euc", command], cwd=ROOT, capture_output=True, text=True)
    ok("id" in json.loads(run.stdout), "the page's command registers the schema", (run.stdout, run.stderr))
    wait(DELIVERED, "rows are delivered with the schema that the page's command has registered")
    settings(schema_registry_url=HTTP)
    sql(CHECK)
    wait(DELIVERED, "rows are delivered when the registry itself is asked for the schema")
    gate.answers = {"look up": (403, b'{"error_code":40301,"message":"User is denied operation Read on Subject"}')}
    settings(schema_registry_url=gate.address)
    sql(CHECK)
    wait(DELIVERED, "who may register and not look registers")
    ok(gate.asked[-1] == "register", "the last question of a worker that may not look is to register", gate.asked)
    settings(schema_registry_url=HTTP)
    gate.shutdown()


def later_version():
    """A version of our schema with one more member, under each rule that a registry may have."""
    present = json.loads(SCHEMA)
    described, typed = (
        {"description": "What a later version adds."},
        {"type": "object", "properties": {"seal": {"type": "string"}}},
    )
    closed = {name: value for name, value in present.items() if name != "additionalProperties"}

    def after(rule, first, later):
        subject = f"{rule}-{len(REGISTRY.ask('GET', '/subjects')[1])}-value".lower()
        ok(
            REGISTRY.ask("PUT", f"/config/{subject}", {"compatibility": rule})[0] in (200, 404)
            and register(subject, json.dumps(first)) == 200,
            f"{rule}: the registry takes a first version of {subject}",
        )
        # Apicurio takes a rule for a subject that it has.
        REGISTRY.ask("PUT", f"/config/{subject}", {"compatibility": rule})
        return register(subject, json.dumps(later))

    for rule in ("BACKWARD", "FORWARD", "FULL", "BACKWARD_TRANSITIVE", "FORWARD_TRANSITIVE", "FULL_TRANSITIVE"):
        for member in (described, typed):
            later = present | {"properties": present["properties"] | {"evidence": member}}
            ok(after(rule, present, later) == 200, f"{rule}: a later version may add a member {member}")
    ok(
        after("BACKWARD", closed, closed | {"properties": closed["properties"] | {"evidence": described}}) == 409,
        "BACKWARD: a version without additionalProperties may not get a new member",
    )
    for rule, required in (("BACKWARD", 409), ("FULL", 409)):
        ok(
            after(rule, present, present | {"required": [*present["required"], "evidence"]}) == required,
            f"{rule}: no later version may require a new member",
        )


def stock_client():
    """Every value is read, and found valid, by the client that everybody uses."""
    sql(
        "select admin.sensitive_check('APP-00000' || n || '-k', E'ü\\u0001\"\\\\', null, 'boss') from generate_series(1, 9) as n"
    )
    sql("update admin.approval set resource = 'x' where approval_id = 'APP-000001-k'")
    fails(
        "another path of the registry",
        "answered 404 .*; correct admin_ext.schema_registry_url",
        schema_registry_url=HTTP + "/x",
    )
    settings(schema_registry_url=HTTP + "//")
    wait(DELIVERED, "an address may end in slashes")
    client = SchemaRegistryClient({"url": HTTP})
    stock = JSONDeserializer(SCHEMA, schema_registry_client=client)
    context = SerializationContext(TOPIC, MessageField.VALUE)
    values = [value for _, _, value in read_topic(read=bytes)]
    version = client.get_latest_version(SUBJECT)
    ok(
        {value[:5] for value in values} == {b"\0" + version.schema_id.to_bytes(4, "big")},
        "values carry 0 and the id of the schema",
    )
    ok(
        readiness("detail") == [f'topic "{TOPIC}", schema id {version.schema_id}'] * 2
        and readiness() == ["pass", "pass"],
        "readiness tells topic and id",
        readiness("detail"),
    )
    documents = {event["auditid"]: event["data"] for event in (stock(value, context) for value in values)}
    table = dict(line.split("|", 1) for line in sql("select audit_id, payload::text from admin.audit").splitlines())
    ok(
        documents == {audit_id: json.loads(payload) for audit_id, payload in table.items()},
        f"a stock client reads all {len(table)} documents, as the table has them",
    )
    archive = Reader()
    archive.wait_for(len(table), "the reader of doc/kafka.md reads all documents without a registry")
    archive.stop()
    try:
        stock(values[0][:5] + b'{"specversion": "1.0"}', context)
        ok(False, "a stock client refuses a document that is not valid")
    except SerializationError:
        ok(True, "a stock client refuses a document that is not valid")


def paused():
    os.kill(REGISTRY.process.pid, signal.SIGSTOP)
    fails("the registry does not answer", "could not reach the schema registry: Timeout", schema_registry_url=HTTP)
    wait_for_question()
    fails(
        "a reload is not kept waiting by a registry that is paused",
        "Couldn.t connect",
        schema_registry_url="http://127.0.0.1:1",
    )
    settings(schema_registry_url=HTTP)
    wait_for_question()
    # pg_ctl raises where the server does not stop within a minute; the registry stays paused.
    pg_ctl("stop", "-m", "fast")
    pg_ctl("start")
    ok(sql("select 1") == "1", "the server stops and starts while the registry is paused")
    os.kill(REGISTRY.process.pid, signal.SIGCONT)
    wait(DELIVERED, "rows are delivered when a paused registry answers again")


def stopped_and_guarded():
    REGISTRY.stop()
    sql(CHECK)
    wait(DELIVERED, "a worker that knows the id of the schema delivers without the registry")
    sql("select pg_reload_conf()")
    fails("the registry is stopped", "could not reach the schema registry: Couldn.t connect")
    REGISTRY.start(*BASIC_AUTH)
    fails("no password", "answered 401 .*; correct admin_ext.schema_registry_auth")
    fails(
        "the wrong password",
        "answered 401 .*; correct admin_ext.schema_registry_auth",
        schema_registry_auth=f"app:{WRONG_PASSWORD}",
    )
    settings(schema_registry_auth=f"app:{PASSWORD}")
    wait(DELIVERED, "the right password: delivered")


def private_ca():
    certificates = REGISTRY.directory / "certificates"
    wanted = "could not reach the schema registry: .*certificate.*; name the CA of its certificate as ssl.ca.location"
    fails("a CA that nobody knows", wanted, schema_registry_url=HTTPS)
    fails("a foreign CA", wanted, kafka_options=f"ssl.ca.location={certificates}/foreign.crt")
    settings(kafka_options=f"ssl.ca.location={certificates}/ca.crt")
    wait(DELIVERED, "the right CA: delivered")
    compare_ledger("whatever was wrong with the registry", read=without_prefix)
    compare_chain("documents behind a prefix", prefix=5)


def secrets():
    log = (SCRATCH / "server.log").read_text(errors="replace")
    leaks = [line for line in log.splitlines() if has_secret(line)]
    ok("DEBUG" in log and not leaks, "no secret in the log", "\n".join(leaks[:5]))
    REGISTRY.stop()


if __name__ == "__main__":
    main(
        no_registry,
        incompatible,
        stock_client,
        no_right_to_register,
        later_version,
        paused,
        stopped_and_guarded,
        private_ca,
        secrets,
    )
