"""The Kafka sink and a broker that wants to know who comes: TLS, SASL, ACLs, secrets; speaks TAP.

What is wrong has to be named by worker_status.last_error with what to do about it, and
without a secret.  Before each case the sink has no broker at all, so that what is delivered
afterwards came the way the case is about.
"""

import os
import shutil
import signal

from common import hides
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from harness import (
    ADMIN,
    BOOTSTRAP,
    BROKER,
    CHECK,
    DELIVERED,
    KAFKA,
    SCRATCH,
    TOPIC,
    compare_ledger,
    create_extension,
    main,
    ok,
    settings,
    sql,
    wait,
)

SASL, MUTUAL = os.environ["KAFKA_SASL"], os.environ["KAFKA_MUTUAL"]
CERTIFICATES = BROKER.directory / "certificates"
SECRETS = {
    "PLAIN": (BROKER.directory / "password").read_text().strip(),
    "SCRAM-SHA-256": "scram256-Gh7wq",
    "SCRAM-SHA-512": "scram512-Kp2zt",
    "wrong": "wrong-Xc4vb",
}
ACLS = [
    (ResourceType.TRANSACTIONAL_ID, "admin_ext.", ResourcePatternType.PREFIXED, AclOperation.WRITE),
    (ResourceType.TOPIC, TOPIC, ResourcePatternType.LITERAL, AclOperation.WRITE),
    (ResourceType.TOPIC, TOPIC, ResourcePatternType.LITERAL, AclOperation.READ),
]


def sasl(mechanism, password=None, ca="ca.crt"):
    return (
        f"security.protocol=sasl_ssl; ssl.ca.location={CERTIFICATES}/{ca}; sasl.mechanism={mechanism}; sasl.username=app; "
        f"sasl.password={password or SECRETS[mechanism]}; debug=conf,security"
    )


def mutual(name="client", ca="ca.crt"):
    return (
        f"security.protocol=ssl; ssl.ca.location={CERTIFICATES}/{ca}; ssl.certificate.location={CERTIFICATES}/{name}.crt; "
        f"ssl.key.location={CERTIFICATES}/{name}.key"
    )


def binding(kind, name, pattern, operation):
    return AclBinding(kind, name, pattern, "User:app", "*", operation, AclPermissionType.ALLOW)


def allow(acls):
    for future in ADMIN.create_acls([binding(*acl) for acl in acls]).values():
        future.result()


def forbid_all():
    everything = AclBindingFilter(
        ResourceType.ANY, None, ResourcePatternType.ANY, None, None, AclOperation.ANY, AclPermissionType.ANY
    )
    for future in ADMIN.delete_acls([everything]).values():
        future.result()


def cut_off():
    settings(kafka_brokers="")
    wait(f"select state = 'stopped' and last_error ~ 'no broker' {KAFKA}", "no broker, nothing is delivered")
    sql(CHECK)


def has_secret(text):
    return any(secret in text for secret in SECRETS.values())


def fails(name, pattern, brokers, options, state="backing_off"):
    """Says why; the caller corrects it."""
    cut_off()
    settings(kafka_brokers=brokers, kafka_options=options)
    wait(f"select state = '{state}' and last_error ~* '{pattern}' {KAFKA}", f"{name}: last_error says so")
    error = sql(f"select last_error {KAFKA}")
    print(f"# {error}", flush=True)
    ok(not has_secret(error) and "\n" not in error, f"{name}: last_error is one sentence without a secret", error)


def goes_on(name, brokers, options):
    settings(kafka_brokers=brokers, kafka_options=options)
    wait(DELIVERED, f"{name}: a row is delivered")


def make_users():
    for name in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
        mechanism = ScramCredentialInfo(ScramMechanism[name.replace("-", "_")], 4096)
        ADMIN.alter_user_scram_credentials([UserScramCredentialUpsertion("app", mechanism, SECRETS[name].encode())])[
            "app"
        ].result()


def prepare():
    create_extension()
    sql("alter system set log_min_messages = 'debug5'")
    make_users()
    allow(ACLS)


def logins():
    for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"):
        cut_off()
        goes_on(mechanism, SASL, sasl(mechanism))
    cut_off()
    goes_on("mutual TLS", MUTUAL, mutual())


def wrong_logins():
    for mechanism in ("SCRAM-SHA-512", "PLAIN"):
        fails(
            f"wrong password by {mechanism}",
            "authentication failed.*; correct .*sasl properties in admin_ext.kafka_options",
            SASL,
            sasl(mechanism, SECRETS["wrong"]),
        )
        goes_on(f"the right password by {mechanism}", SASL, sasl(mechanism))


def wrong_certificates():
    fails(
        "a CA that did not sign the broker",
        "certificate.*; correct security.protocol and the ssl properties in admin_ext.kafka_options",
        MUTUAL,
        mutual(ca="foreign.crt"),
    )
    goes_on("the right CA", MUTUAL, mutual())
    fails("a CA that is no file", "ssl.ca.location.*; correct admin_ext.kafka_options", MUTUAL, mutual(ca="none.crt"))
    shutil.copy(f"{CERTIFICATES}/ca.crt", f"{CERTIFICATES}/none.crt")
    wait(DELIVERED, "a CA that was no file is one, without a reload: delivered")
    wanted = "certificate.*; the broker wants a certificate that it trusts: correct ssl.certificate.location"
    fails("no certificate of ours", wanted, MUTUAL, f"security.protocol=ssl; ssl.ca.location={CERTIFICATES}/ca.crt")
    fails("a stranger's certificate", wanted, MUTUAL, mutual("stranger"))
    goes_on("the right certificate", MUTUAL, mutual())


def wrong_protocol():
    fails("no TLS where it is spoken", "security.protocol.*; correct security.protocol", SASL, "")
    fails("TLS where it is not spoken", "ssl.*; correct security.protocol", BOOTSTRAP, mutual())
    goes_on("the right protocol", SASL, sasl("SCRAM-SHA-256"))


def acls():
    says = {
        (
            ResourceType.TRANSACTIONAL_ID,
            AclOperation.WRITE,
        ): "; allow the user WRITE on transactional ids with the prefix admin_ext.",
        (ResourceType.TOPIC, AclOperation.WRITE): "could not send.*; allow the user WRITE and READ on the topic",
        (ResourceType.TOPIC, AclOperation.READ): "could not read.*; allow the user WRITE and READ on the topic",
    }
    for missing in ACLS:
        name = f"without {missing[3].name} on {missing[0].name}"
        forbid_all()
        allow(acl for acl in ACLS if acl != missing)
        fails(name, says[missing[0], missing[3]], SASL, sasl("SCRAM-SHA-256"))
        allow([missing])
        wait(DELIVERED, f"{name}: a row is delivered once the operation is allowed")
    sql(CHECK)
    wait(DELIVERED, "the three ACLs are enough to deliver")
    pid = sql(f"select pid {KAFKA}")
    os.kill(int(pid), signal.SIGKILL)
    wait(f"select pid <> {pid} {KAFKA}", "a killed worker comes back")
    sql(CHECK)
    wait(DELIVERED, "the three ACLs are enough to recover")
    compare_ledger("whatever was wrong with logins and ACLs")


def secrets():
    log = (SCRATCH / "server.log").read_text(errors="replace")
    ok("librdkafka CONF" in log and "librdkafka SASL" in log, "the log has all that the client says")
    hides(has_secret)


if __name__ == "__main__":
    main(prepare, logins, wrong_logins, wrong_certificates, wrong_protocol, acls, secrets)
