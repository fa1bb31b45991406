"""An HTTP proxy in front of the object store that makes faults."""

import http.client
import http.server
import threading
import time
import urllib.parse

from harness import ENDPOINT, client

_TARGET = urllib.parse.urlsplit(ENDPOINT).netloc
_HOP_BY_HOP = {"connection", "transfer-encoding", "keep-alive", "content-length", "expect"}


def refuse(status, code):
    """Answers with an error of S3."""

    def act(handler, body):
        del body
        handler.answer(
            status,
            {"Content-Type": "application/xml"},
            f"<Error><Code>{code}</Code><Message>by the proxy</Message></Error>".encode(),
        )

    return act


def lose_answer(handler, body):
    """The storage does what it is asked, and nobody hears of it."""
    handler.forward(body)
    handler.close_connection = True
    handler.connection.close()


def with_headers(**changes):
    """The storage's answer with other headers."""

    def act(handler, body):
        status, headers, content = handler.forward(body)
        others = {name.replace("_", "-"): value for name, value in changes.items()}
        kept = {
            name: value for name, value in headers.items() if name.lower() not in {other.lower() for other in others}
        }
        handler.answer(status, {**kept, **others}, content)

    return act


def without_lock(handler, body):
    """The object is written, and not locked."""
    _, bucket, key = urllib.parse.unquote(handler.path).split("?")[0].split("/", 2)
    client().put_object(Bucket=bucket, Key=key, Body=body)
    handler.answer(200, {}, b"")


def say_yes(handler, body):
    """An answer of success, and nothing is done."""
    del body
    handler.answer(200, {}, b"")


def slow(seconds):
    """The storage takes its time."""

    def act(handler, body):
        time.sleep(seconds)
        handler.answer(*handler.forward(body))

    return act


class Proxy:
    """fault(method, path) gives what happens to a request, None for nothing; count is how many faults there were."""

    def __init__(self):
        self.fault, self.count, self.seen = lambda method, path: None, 0, []
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments):
                pass

            def handle_one_request(self):
                try:
                    super().handle_one_request()
                except OSError:  # the client was killed
                    self.close_connection = True

            def forward(self, body):
                upstream = http.client.HTTPConnection(_TARGET, timeout=30)
                upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    if name.lower() not in _HOP_BY_HOP:
                        upstream.putheader(name, value)
                upstream.putheader("Content-Length", str(len(body)))
                upstream.endheaders(body)
                answer = upstream.getresponse()
                content = answer.read()
                headers = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP_BY_HOP}
                if self.command == "HEAD" and answer.getheader("Content-Length"):
                    headers["Content-Length"] = answer.getheader("Content-Length")
                upstream.close()
                return answer.status, headers, content

            def answer(self, status, headers, content):
                self.send_response_only(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if "Content-Length" not in headers:
                    self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            def work(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                proxy.seen.append((self.command, self.path))
                act = proxy.fault(self.command, self.path)
                if act is None:
                    self.answer(*self.forward(body))
                    return
                proxy.count += 1
                act(self, body)

            do_GET = do_HEAD = do_PUT = do_DELETE = do_POST = work

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def on(self, method, part, act, times=1):
        """The next so many requests of this method with this in their path get the fault."""
        left = [times]

        def fault(this_method, path):
            if this_method == method and part in path and left[0] > 0:
                left[0] -= 1
                return act
            return None

        self.fault = fault

    def close(self):
        self.server.shutdown()
        self.server.server_close()
