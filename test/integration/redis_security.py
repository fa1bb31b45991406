"""The Redis sink and a Redis that wants to know who comes: passwords, users, ACLs, TLS, secrets; speaks TAP.

What is wrong has to be named by worker_status.last_error with what to do about it, and
without a secret.
"""

import os
import shutil
import urllib.parse

from common import SCRATCH, hides, ok, poll, setting, sql, wait
from redis_harness import (
    CERTIFICATES,
    CHANNEL,
    DELIVERED,
    PORT,
    REDIS,
    SERVER,
    SOCKET,
    TLS_PORT,
    URL,
    Subscriber,
    connect,
    create_extension,
    expected,
    issue,
    main,
)

SECRETS = {"app": "p@s:s/w?o#r%d &;=+ü", "default": "default-Gh7wq", "wrong": "wrong-Xc4vb"}
RULES = [
    "reset",
    "on",
    f">{SECRETS['app']}",
    "+auth",
    "+client|setname",
    "+select",
    "+ping",
    "+info",
    "+publish",
    "+xadd",
    f"&{CHANNEL}",
    "~approvals",
]
CONTROL = None
numbers = iter(range(1, 999))


def url(scheme="redis", user="app", password=None, host=f"127.0.0.1:{PORT}", rest=""):
    return f"{scheme}://{user}:{urllib.parse.quote(password or SECRETS[user or 'default'], safe='')}@{host}{rest}"


def tls(host="127.0.0.1", ca="ca.crt", more=""):
    return url("rediss", host=f"{host}:{TLS_PORT}", rest=f"?ssl_ca_certs={CERTIFICATES}/{ca}{more}")


def of_client(name):
    return f"&ssl_certfile={CERTIFICATES}/{name}.crt&ssl_keyfile={CERTIFICATES}/{name}.key"


def set_user(*rules, user="app"):
    CONTROL.execute_command("ACL", "SETUSER", user, *rules)
    # Whoever is logged in already comes again.
    CONTROL.client_kill_filter(_type="normal", skipme=True)


def begin():
    global CONTROL
    SERVER.start()
    CONTROL = connect()
    create_extension()
    sql("alter system set log_min_messages = 'debug5'")
    set_user(*RULES)
    wait(f"select state = 'idle' {REDIS}", "Redis is reached")


def has_secret(text):
    return any(
        each in text
        for secret in SECRETS.values()
        for each in (secret, urllib.parse.quote(secret, safe=""), secret[:12])
    )


def fails(name, pattern, to=None):
    """Says why; the caller corrects it."""
    if to:
        setting("redis_url", to)
    issue(next(numbers))
    wait(f"select state = 'backing_off' and last_error ~ $p${pattern}$p$ {REDIS}", f"{name}: last_error says so", 30)
    error = sql(f"select coalesce(last_error, '') {REDIS}")
    print(f"# {error}", flush=True)
    ok(not has_secret(error) and "\n" not in error, f"{name}: last_error is one sentence without a secret", error)


def goes_on(name, to=None, who="app"):
    """Delivered, and by the user who was meant."""
    if to:
        setting("redis_url", to)
    issue(next(numbers))
    wait(DELIVERED, f"{name}: a row is delivered")
    ok(poll(lambda: ours() == [who], 60), f"{name}: the sink is logged in as user {who}", ours())


def ours():
    """Who the connections of the sink are logged in as."""
    return [each["user"] for each in CONTROL.client_list() if each["name"] == "admin_ext"]


def passwords():
    goes_on("user and password", url())
    goes_on("a unix socket", url("unix", host=SOCKET, rest="?db=3"))
    fails(
        "a wrong password",
        'could not log in as user "app" .*WRONGPASS .*; correct user and password in admin_ext.redis_url',
        url(password=SECRETS["wrong"]),
    )
    goes_on("the right password", url())
    set_user("resetpass", f">{SECRETS['default']}", user="default")
    fails("no password where one is asked for", "NOAUTH .*; put user and password into admin_ext.redis_url", URL)
    goes_on("a password alone", url(user=""), "default")
    set_user("nopass", user="default")


def acls():
    setting("redis_stream", "approvals")
    goes_on("no rule but those of the user app", url(rest="/3"))
    cases = {
        "-publish": ('could not publish to channel "approval_ttl_refresh" as user "app" .*NOPERM', "+publish"),
        "resetchannels": (
            "could not publish to channel .*NOPERM .*; allow it by ACL SETUSER ... \\+publish &approval_ttl_refresh",
            f"&{CHANNEL}",
        ),
        "-xadd": (
            'could not add to stream "approvals" as user "app" .*NOPERM .*; allow it by ACL SETUSER ... \\+xadd ~approvals',
            "+xadd",
        ),
        "resetkeys": ('could not add to stream "approvals" .*NOPERM', "~approvals"),
        "-select": ("could not select database 3 .*NOPERM .*; allow it by ACL SETUSER ... \\+select", "+select"),
    }
    for taken, (says, given) in cases.items():
        set_user(taken)
        fails(f"the user has {taken}", says)
        set_user(given)
        goes_on(f"{given} is given back")
    set_user("-client|setname", "-ping")
    setting("redis_url", url(rest="/3"))
    issue(next(numbers))
    wait(DELIVERED, "a row is delivered without a name for the connection, and without PING")
    set_user("+client|setname", "+ping")
    setting("redis_stream", "")


def certificates():
    goes_on("TLS with a password", tls())
    goes_on("TLS with a host by name", tls("localhost"))
    distrusted = (
        "could not speak TLS with Redis at .*; name the CA of its certificate as ssl_ca_certs in admin_ext.redis_url"
    )
    fails("a CA that did not sign the certificate", distrusted, tls(ca="foreign.crt"))
    goes_on("the right CA", tls())
    fails("no CA, which is the system's", distrusted, url("rediss", host=f"127.0.0.1:{TLS_PORT}"))
    fails(
        "a certificate of another host",
        "IP address mismatch; write the host as its certificate names it in admin_ext.redis_url",
        tls("127.0.0.2"),
    )
    fails(
        "a CA that is not there",
        'could not use file ".*none.crt", which admin_ext.redis_url names: No such file',
        tls(ca="none.crt"),
    )
    shutil.copy(f"{CERTIFICATES}/ca.crt", f"{CERTIFICATES}/none.crt")
    goes_on("a CA file that was missing is there, without a reload")
    fails("a CA that is none", 'could not use file ".*names.cnf"', tls(ca="names.cnf"))
    goes_on("the right CA after a file that is none", tls())


def client_certificates():
    CONTROL.config_set("tls-auth-clients", "yes")
    goes_on("a certificate of ours", tls(more=of_client("client")))
    wanted = "it wants a certificate that it trusts: correct ssl_certfile and ssl_keyfile in admin_ext.redis_url"
    fails("no client certificate where one is wanted", wanted, tls())
    fails("a stranger's client certificate", wanted, tls(more=of_client("stranger")))
    fails(
        "a key that does not fit",
        'could not use file ".*stranger.key"',
        tls(more=f"&ssl_certfile={CERTIFICATES}/client.crt&ssl_keyfile={CERTIFICATES}/stranger.key"),
    )
    if os.getuid() == 0:
        fails(
            "a key that may not be read",
            'could not use file ".*server.key", which admin_ext.redis_url names: Permission denied',
            tls(more=f"&ssl_certfile={CERTIFICATES}/client.crt&ssl_keyfile={CERTIFICATES}/server.key"),
        )
    CONTROL.config_set("tls-auth-clients", "optional")
    goes_on("no client certificate where none is wanted", tls())


def wrong_protocol():
    fails(
        "no TLS where it is spoken",
        "has closed the connection before it answered; if it speaks TLS, write rediss:// in admin_ext.redis_url",
        url(host=f"127.0.0.1:{TLS_PORT}"),
    )
    fails(
        "TLS where it is not spoken",
        "could not speak TLS with Redis at .*; if it speaks no TLS, write redis://",
        url("rediss", rest=f"?ssl_ca_certs={CERTIFICATES}/ca.crt"),
    )
    goes_on("the right protocol", tls())


def restarted_by_tls():
    CONTROL.execute_command("ACL", "SAVE")
    SERVER.restart()
    goes_on("TLS, after Redis was started again")
    listener = Subscriber()
    approval = issue(next(numbers))
    ok(
        listener.hears(1) == list(expected(f"approval_id = '{approval}'")),
        "subscribers are told after Redis was started again",
    )
    listener.close()


def secrets():
    log = (SCRATCH / "server.log").read_text(errors="replace")
    ok("DEBUG" in log and "could not log in" in log, "the log has much to say")
    hides(has_secret)
    ok(
        sql(
            "set role reader; select count(*) from pg_settings where name in ('admin_ext.redis_url', 'admin_ext.redis_channel', 'admin_ext.redis_stream')"
        )
        == "0",
        "pg_settings lists no URL, channel or stream of Redis for an auditor",
    )
    ok(has_secret(sql("show admin_ext.redis_url")), "a superuser sees the secret in admin_ext.redis_url")


if __name__ == "__main__":
    main(begin, passwords, acls, certificates, client_certificates, wrong_protocol, restarted_by_tls, secrets)
