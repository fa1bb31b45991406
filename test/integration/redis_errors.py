"""Whatever is wrong with Redis, or with its URL, is a state with a sentence a DBA can act on; speaks TAP.

What Redis says in states that are hard to bring about is said by a stand-in.
"""

import socket
import threading
import time

import redis as client
from common import SCRATCH, ok, poll, setting, settings, sql, wait
from redis_harness import (
    DELIVERED,
    PORT,
    REDIS,
    SERVER,
    SOCKET,
    URL,
    Subscriber,
    connect,
    create_extension,
    expected,
    issue,
    main,
)

SECRET = "s3cret-Lw9"
MALFORMED = "is not of the form redis://"
ENCODED = "has to be percent-encoded"
URLS = {
    "redis://": MALFORMED,
    "redis:///3": MALFORMED,
    "redis://h:0": MALFORMED,
    "redis://h:70000": MALFORMED,
    "redis://h:x": MALFORMED,
    f"redis://:{SECRET}@": MALFORMED,
    f"redis://:{SECRET}@h h": MALFORMED,
    f"redis://:{SECRET}%00@h": MALFORMED,
    f"redis://app%0a:{SECRET}@h": MALFORMED,
    f"redis://:{SECRET}/more@h": "(is not of the form|percent-encoded)",
    f"redis://{SECRET}/more@h": ENCODED,
    f"redis://{SECRET}?more@h": ENCODED,
    f"redis://{SECRET}?more=x@h": ENCODED,
    f"redis://{SECRET}#more@h": ENCODED,
    f"redis://{SECRET}@h": "has a user without a password",
    "redis://h/x": "the database is not a number",
    "redis://h/1/2": "the database is not a number",
    "redis://h?db=x": "the database is not a number",
    "redis://h/-1": "the database is not a number",
    "redis://h?db=": "the database is not a number",
    "redis://h?timeout=3": 'option "timeout" is none of db, ssl_ca_certs',
    f"redis://h?db=1&%{SECRET}=3": 'option "..." is none of db',
    "redis://h?ssl_ca_certs=/x": 'option "ssl_ca_certs" is for rediss:// alone',
    "unix:///x?ssl_keyfile=/x": 'option "ssl_keyfile" is for rediss:// alone',
    "rediss://h?ssl_ca_certs=": 'option "ssl_ca_certs" names no file',
    "rediss://h?ssl_keyfile=/x": 'option "ssl_keyfile" needs ssl_certfile',
    "unix://": MALFORMED,
    "unix:///": MALFORMED,
    "unix://host/path": MALFORMED,
    f"unix://:{SECRET}@": MALFORMED,
    f"unix://{SECRET}@/path": "has a user without",
}


def begin():
    SERVER.start()
    create_extension()
    wait(f"select state = 'idle' {REDIS}", "Redis is reached")


def error():
    return sql(f"select coalesce(last_error, '') {REDIS}")


def fails(name, pattern, state="backing_off", seconds=30):
    holds = wait(
        f"select state = '{state}' and last_error ~ $p${pattern}$p$ {REDIS}", f"{name}: last_error says so", seconds
    )
    said = error()
    print(f"# {said}", flush=True)
    ok(SECRET not in said and "\n" not in said, f"{name}: last_error is one sentence without a secret", said)
    return holds


def goes_on(name, number):
    setting("redis_url", URL)
    issue(number)
    wait(DELIVERED, f"{name}: a row is delivered when the URL is corrected")


def malformed():
    sql("alter system reset admin_ext.redis_url")
    sql("select pg_reload_conf()")
    fails("no URL", "no Redis is configured; set admin_ext.redis_url", "stopped")
    for url, says in URLS.items():
        setting("redis_url", URL)
        wait(f"select state = 'idle' {REDIS}", f"Redis is reached by a good URL before {url}")
        setting("redis_url", url)
        fails(url, says, "stopped")
    goes_on("malformed", 1)


def refused_values():
    """By the check hook, and without the value."""
    for url in (f"http://:{SECRET}@h", f"{SECRET}@localhost:6379", f"redis:{SECRET}"):
        with open(SCRATCH / "data/postgresql.auto.conf", "a") as file:
            file.write(f"admin_ext.redis_url = '{url}'\n")
        before = log().count('invalid value for parameter "admin_ext.redis_url"')
        sql("select pg_reload_conf()")
        ok(
            poll(lambda: log().count('invalid value for parameter "admin_ext.redis_url"') > before, 60),
            f"{url} is refused",
        )
        setting("redis_url", URL)
    for name, value in (
        ("redis_channel", ""),
        ("redis_channel", "x" * 513),
        ("redis_stream", "x" * 513),
        ("redis_stream_length", "0"),
    ):
        ok(not accepts(name, value), f"{name} is not {value[:9]}...")
    ok(SECRET not in log(), "no secret in the log")


def accepts(name, value):
    try:
        sql(f"alter system set admin_ext.{name} = '{value}'")
    except RuntimeError:
        return False
    return True


def log():
    return (SCRATCH / "server.log").read_text(errors="replace")


def unreachable():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        setting("redis_url", f"redis://:{SECRET}@127.0.0.1:{port}")
        fails(
            "nobody listens",
            f"could not connect to Redis at 127.0.0.1:{port}: Connection refused; start it, or correct admin_ext.redis_url",
        )
    setting("redis_url", f"redis://:{SECRET}@no-such-host.invalid")
    fails("an unknown host", "no-such-host.invalid", seconds=60)
    setting("redis_url", f"unix://:{SECRET}@/nowhere/redis.sock")
    fails("no such socket", "could not connect to Redis at /nowhere/redis.sock: No such file or directory; start it")
    setting("redis_url", f"unix://:{SECRET}@/{'x' * 200}")
    fails("too long a path", "File name too long")
    goes_on("unreachable", 2)


def wrong_type():
    connect().set("a key", "text")
    setting("redis_stream", "a key")
    issue(3)
    fails(
        "a stream that is none",
        'could not add to stream "a key" as user "default" \\(Redis at 127.0.0.1:\\d+\\): WRONGTYPE .*; remove that key, or set another admin_ext.redis_stream',
    )
    connect().delete("a key")
    wait(DELIVERED, "the key that is no stream is gone: delivered")
    setting("redis_stream", "")


def replica():
    settings(redis_stream="approvals")
    connect().replicaof("127.0.0.1", 1)
    issue(4)
    fails(
        "a replica",
        "Redis at 127.0.0.1:\\d+ is a replica; name the primary in admin_ext.redis_url, by a name that follows a failover",
    )
    connect().replicaof("NO", "ONE")
    wait(DELIVERED, "the replica is a primary again: delivered")


def out_of_memory():
    connect().config_set("maxmemory", 1)
    issue(5)
    fails("no memory", "OOM .*; raise its maxmemory, or make room there")
    connect().config_set("maxmemory", 0)
    wait(DELIVERED, "Redis has memory again: delivered")
    setting("redis_stream", "")


def wrong_database():
    setting("redis_url", f"{URL}/1000")
    fails(
        "a database that is not there",
        "could not select database 1000 .*ERR DB index is out of range; correct the database in admin_ext.redis_url",
    )
    goes_on("a database that is not there", 6)


def needless_password():
    setting("redis_url", f"redis://:{SECRET}@127.0.0.1:{PORT}")
    fails(
        "a password that nobody asked for",
        'could not log in as user "default" .*ERR AUTH .*; set a password there, or take it out',
    )
    goes_on("a needless password", 7)


def most_clients():
    sql("alter system reset admin_ext.redis_url")
    sql("select pg_reload_conf()")
    wait(f"select state = 'stopped' {REDIS}", "the sink stops when no URL is set")
    control = connect()
    control.config_set("maxclients", 4)
    others = []
    try:
        while len(others) < 9:
            others.append(connect())
            others[-1].ping()
    except client.RedisError as refusal:
        ok("max number of clients" in str(refusal), "Redis takes no more clients", refusal)
    setting("redis_url", f"unix://{SOCKET}")
    fails("too many clients", "ERR max number of clients.*; raise its maxclients")
    control.config_set("maxclients", 1000)
    wait(f"select state = 'idle' {REDIS}", "the sink is let in when Redis takes more clients")
    for other in others:
        other.close()
    goes_on("Redis with more clients", 8)


def read_command(lines):
    """Its first word."""
    count = lines.readline()
    if not count:
        raise ConnectionResetError
    return [lines.read(int(lines.readline()[1:]) + 2)[:-2] for _ in range(int(count[1:]))][0]


PRIMARY = (
    b"# Replication\r\nrole:master\r\nmaster_replid:"
    + b"a" * 40
    + b"\r\nmaster_replid2:"
    + b"0" * 40
    + b"\r\nmaster_repl_offset:1\r\nsecond_repl_offset:-1\r\n"
)


def bulk(text):
    return b"$%d\r\n%s\r\n" % (len(text), text)


class StandIn:
    """Answers a command by what it is told for it, and what belongs to logging in as Redis does."""

    def __init__(self, answers=(), greeting=b""):
        self.answers = {
            b"AUTH": b"+OK\r\n",
            b"CLIENT": b"+OK\r\n",
            b"SELECT": b"+OK\r\n",
            b"PING": b"+PONG\r\n",
            b"INFO": bulk(PRIMARY),
            **dict(answers),
        }
        self.greeting = greeting
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.converse, args=(connection,), daemon=True).start()

    def converse(self, connection):
        with connection, connection.makefile("rb") as lines:
            try:
                connection.sendall(self.greeting)
                while (answer := self.answers[read_command(lines)]) is not None:
                    if callable(answer):
                        answer(connection)
                    else:
                        connection.sendall(answer)
            except OSError:
                return

    def close(self):
        self.listener.close()


def says(name, pattern, number, user="", **behaviour):
    standin = StandIn(**behaviour)
    setting("redis_url", f"redis://{user}127.0.0.1:{standin.port}")
    issue(number)
    fails(name, pattern)
    goes_on(name, number + 500)
    standin.close()


def replies():
    """Redis's words, cut where they repeat what it was sent, and what to do."""
    publish = {
        "MISCONF": "see to its disk",
        "LOADING": "wait until it has read its data",
        "NOREPLICAS": "bring its replicas back",
        "MOVED 1 h:1": "name the node that has the stream",
        "CLUSTERDOWN": "bring the cluster back",
        "BUSY": "wait for the script that it runs",
        "MASTERDOWN": "name the primary",
        "WHATEVER": "see its log",
        "ERR unknown command": "use Redis 5 or newer",
        "NOPERM": "allow it by ACL SETUSER ... \\+publish &approval_ttl_refresh",
    }
    for number, (reply, remedy) in enumerate(publish.items(), 20):
        says(
            reply,
            f'could not publish to channel "approval_ttl_refresh" as user "default" \\(Redis at 127.0.0.1:\\d+\\): {reply}.*; {remedy}',
            number,
            answers={b"PUBLISH": f"-{reply} and more\r\n".encode()},
        )
    login = f"app:{SECRET}@"
    says(
        "AUTH is unknown",
        'could not log in as user "app" .*ERR unknown command `AUTH`; use Redis 5',
        40,
        login,
        answers={b"AUTH": f"-ERR unknown command `AUTH`, with args beginning with: `app`, `{SECRET}`, \r\n".encode()},
    )
    says(
        "a password repeated",
        'could not log in as user "app" .*ERR; see its log',
        41,
        login,
        answers={b"AUTH": f"-ERR no {SECRET}\r\n".encode()},
    )
    says(
        "no users",
        "a user needs Redis 6 or newer",
        42,
        login,
        answers={b"AUTH": b"-ERR wrong number of arguments for 'auth' command\r\n"},
    )
    says(
        "no role",
        'does not say that it is a primary \\(role "sentinel"\\); name the primary in admin_ext.redis_url',
        46,
        answers={b"INFO": bulk(b"role:sentinel\r\n")},
    )
    says(
        "nothing about replication", 'does not say that it is a primary \\(role ""\\)', 47, answers={b"INFO": bulk(b"")}
    )
    denied = {b"INFO": b"-NOPERM no\r\n"}
    says(
        "neither INFO nor ROLE",
        "could not ask for the role .*NOPERM .*; allow it by ACL SETUSER ... \\+info",
        48,
        answers={**denied, b"ROLE": b"-NOPERM no\r\n"},
    )
    says(
        "a replica by ROLE",
        "is a replica; name the primary",
        49,
        answers={**denied, b"ROLE": b"*5\r\n$5\r\nslave\r\n$1\r\nh\r\n:1\r\n$9\r\nconnected\r\n:0\r\n"},
    )
    says(
        "no login",
        "NOAUTH .*; put user and password into admin_ext.redis_url",
        43,
        answers={b"CLIENT": b"-NOAUTH Authentication required.\r\n"},
    )
    says("bytes that are no text", "\\?\\?\\?", 44, answers={b"PUBLISH": b"-ERR \xff\xfe\x01 no\r\n"})
    says(
        "protected mode",
        "DENIED .*; let it ask for a password",
        45,
        greeting=b"-DENIED Redis is running in protected mode because\r\n",
        answers={b"AUTH": None, b"CLIENT": None},
    )


def drips(connection):
    """An answer that never comes to its end, a byte at a time."""
    connection.sendall(b"$100\r\n")
    for _ in range(60):
        connection.sendall(b"x")
        time.sleep(0.5)


def once(answer):
    """The first question of a connection gets this answer; the next closes it, with nothing left unread."""
    asked = set()

    def reply(connection):
        if connection in asked:
            raise ConnectionResetError
        asked.add(connection)
        connection.sendall(answer)

    return reply


def no_redis():
    not_redis = "what answers at 127.0.0.1:\\d+ does not speak Redis's protocol"
    says("an array without end", not_redis, 60, answers={b"PUBLISH": b"*2000000000\r\n"})
    says("a role without end", not_redis, 63, answers={b"INFO": b"-NOPERM no\r\n", b"ROLE": b"*2000000000\r\n"})
    says(
        "a role of nothing",
        'does not say that it is a primary \\(role ""\\)',
        64,
        answers={b"INFO": b"-NOPERM no\r\n", b"ROLE": b"*0\r\n"},
    )
    says("an array before anything was asked", not_redis, 61, greeting=b"*2000000000\r\n" + b":1\r\n" * 1000)
    says("an answer that drips", "Redis at .* does not answer", 62, answers={b"PUBLISH": drips})
    says(
        "not Redis",
        "what answers at 127.0.0.1:\\d+ does not speak Redis's protocol; correct admin_ext.redis_url",
        50,
        greeting=b"220 mail.example ESMTP\r\n",
    )
    says("too much said", "has answered what it was not asked", 51, answers={b"INFO": bulk(PRIMARY) + b"+OK\r\n" * 9})
    says(
        "too much said before anything was asked",
        'does not say that it is a primary \\(role ""\\)',
        65,
        greeting=b"+OK\r\n" * 9,
    )
    says(
        "closed at once",
        "has closed the connection before it answered; if it speaks TLS, write rediss://",
        52,
        answers={b"CLIENT": None},
    )
    says("closed later", "has closed the connection$", 53, answers={b"PUBLISH": b"", b"INFO": once(bulk(PRIMARY))})
    says(
        "silent",
        "does not answer; see whether it runs, and whether its machine can be reached",
        54,
        answers={b"PUBLISH": b""},
    )
    says("silent from the start", "does not answer; see whether", 55, answers={b"PING": b""})


def at_last():
    ok(all(connect().ping() for _ in range(3)), "Redis is well")
    listener = Subscriber()
    approval = issue(99)
    ok(listener.hears(1) == list(expected(f"approval_id = '{approval}'")), "a change is published after all errors")
    ok(sql("select count(*) from admin.dead_letter") == "0", "no row is a dead letter after all errors")
    ok(SECRET not in log(), "no secret in the log after all errors")


if __name__ == "__main__":
    main(
        begin,
        malformed,
        refused_values,
        unreachable,
        wrong_type,
        replica,
        out_of_memory,
        wrong_database,
        needless_password,
        most_clients,
        replies,
        no_redis,
        at_last,
    )
