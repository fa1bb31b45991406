"""Bodies of requests: their type, size, encoding and form, before anything of them is used."""
from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from .problems import ProblemError

MOST_BYTES = 1024 * 1024


def refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def parse(text: str) -> Any:
    """JSON as RFC 8259 has it: no NaN.  Raises ValueError, also for what is nested too deep."""
    try:
        return json.loads(text, parse_constant=refuse_constant)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def check_type(request: Request) -> None:
    """Raises 415 unless the content is JSON, in UTF-8."""
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    charset = dict(part.strip().lower().partition("=")[::2] for part in parameters.split(";") if part.strip()).get("charset", "utf-8").strip('"')
    name = kind.strip().lower()
    if not (name == "application/json" or (name.startswith("application/") and name.endswith("+json"))) or charset not in ("utf-8", "utf8", "us-ascii"):
        raise ProblemError(415, f"The content type is {request.headers.get('content-type', 'missing')[:128]!r}; application/json in UTF-8 is taken.",
                           headers={"Accept": "application/json"})


async def read(request: Request) -> bytes:
    """The body, which is not kept beyond its limit, whether its length was announced or not.  Raises 413."""
    announced = request.headers.get("content-length", "")
    body = bytearray()
    if not (announced.isdigit() and int(announced) > MOST_BYTES):
        async for chunk in request.stream():
            body += chunk
            if len(body) > MOST_BYTES:
                break
        else:
            return bytes(body)
    raise ProblemError(413, f"The body is larger than {MOST_BYTES} bytes.", headers={"Connection": "close"})


class JsonRoute(APIRoute):
    """A route whose body is JSON.  Raises 415, 413, and 400 for what is no UTF-8 or no JSON."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def checked(request: Request) -> Response:
            if request.method == "POST":
                check_type(request)
                body = await read(request)
                try:
                    request._json = parse(body.decode())    # for FastAPI, which would parse it once more
                except ValueError as error:     # UnicodeDecodeError is one
                    raise ProblemError(400, f"The body is no JSON text in UTF-8: {str(error)[:256]}") from None
                request._body = body
            return await handle(request)

        return checked
