"""What the tests of a Redis failover share: two Redis servers and a proxy in front of them.

The TCP proxy sends new connections to the server that is the primary.  Connections that exist stay where they are,
as with a virtual address.  A subscriber at the replica hears what the primary publishes, by replication: what it
never hears was lost by the failover.
"""

import json
import socket
import subprocess
import tempfile
import threading

import redis as client
import redis_harness
from common import SCRATCH, expect, ok, poll, setting, wait
from redis_harness import DELIVERED, REDIS, Subscriber, create_extension, issue, sign


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Node:
    """A Redis server without a configuration file."""

    def __init__(self, *options):
        self.port, self.directory, self.options = free_port(), tempfile.mkdtemp(dir=SCRATCH), options
        self.start()

    def start(self, *more):
        self.process = subprocess.Popen(
            [
                "redis-server",
                "--port",
                str(self.port),
                "--bind",
                "127.0.0.1",
                "--dir",
                self.directory,
                "--save",
                "",
                "--repl-diskless-sync-delay",
                "0",
                *self.options,
                *more,
            ],
            stdout=subprocess.DEVNULL,
        )
        expect(lambda: self.role() is not None, "a Redis server answers")

    def connect(self):
        return client.Redis(port=self.port, socket_timeout=1)

    def role(self):
        try:
            return self.connect().role()[0].decode()
        except (client.RedisError, OSError):
            return None

    def offset(self):
        """How far its replication stream is."""
        return self.connect().info("replication")["master_repl_offset"]

    def follow(self, primary):
        """Becomes its replica; returns when it has caught up."""
        self.connect().replicaof("127.0.0.1", primary.port)
        expect(lambda: self.connect().info("replication").get("master_link_status") == "up", "the replica follows")

    def kill(self):
        self.process.kill()
        self.process.wait()


class Proxy:
    """Sends each new connection to the first server that is a primary."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.prefers = None
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            connection = self.listener.accept()[0]
            threading.Thread(target=self.forward, args=(connection,), daemon=True).start()

    def forward(self, connection):
        nodes = [self.prefers] if self.prefers else NODES
        primary = next((node for node in nodes if node.role() == "master"), None)
        try:
            server = socket.create_connection(("127.0.0.1", primary.port)) if primary else None
        except OSError:
            server = None
        if server is None:
            connection.close()
            return
        for source, target in ((connection, server), (server, connection)):
            threading.Thread(target=self.copy, args=(source, target), daemon=True).start()

    @staticmethod
    def copy(source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass
        for each in (source, target):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


NODES, PROXY = [], Proxy()
numbers = iter(range(1, 99999))


def listen_at(node):
    return Subscriber(connection=client.Redis(port=node.port, socket_timeout=None))


def connections_of_ours(node):
    return sum(each["name"] == "admin_ext" for each in node.connect().client_list())


def reset(*options):
    """Starts a primary and its replica, and returns them when the worker is connected to the primary."""
    for node in NODES:
        node.kill()
    NODES[:] = [Node(*options), Node(*options)]
    NODES[1].follow(NODES[0])
    PROXY.prefers = None
    setting("redis_url", f"redis://127.0.0.1:{PROXY.port}")
    wait(f"select state = 'idle' {REDIS}", "the worker is connected", 30)
    expect(lambda: connections_of_ours(NODES[0]) == 1, "the worker is at the primary")
    wait(DELIVERED, "what was pending is delivered to a new primary")
    return NODES


def fail_over(old, new):
    """FAILOVER closes no connection."""
    old.connect().execute_command("FAILOVER")
    expect(lambda: new.role() == "master" and old.role() == "slave", "roles are swapped")


def change():
    """Issues an approval and signs it once."""
    number = next(numbers)
    sign(issue(number, tag="f"), 1)


def events(listener):
    return [json.loads(message) for message in listener.messages]


def hears(listener, approval, event_type, name, seconds=30):
    return ok(
        poll(
            lambda: any(
                (event["approval_id"], event["event_type"]) == (approval, event_type) for event in events(listener)
            ),
            seconds,
        ),
        name,
        events(listener)[-3:],
    )


def heard_again(listener, approval):
    return sum(event["approval_id"] == approval for event in events(listener))


def kill_nodes():
    for node in NODES:
        node.kill()


def main(*tests):
    """The extension is created first; the Redis servers end last."""
    redis_harness.main(create_extension, *tests, kill_nodes)
