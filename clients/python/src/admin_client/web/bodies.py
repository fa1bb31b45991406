"""Requests before anything of them is used: who asks, and the type, size, encoding and form of a body.

The order is that of cost: a token is verified before its request's body is read, and a body is read before it is parsed.  A large one is
parsed in another process, one after the other, so that the loop goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, TypeVar

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect

from .access import Access, admit
from .database import SPENT, database_of
from .json_text import TooWide, parse
from .parsing import Parsing, ParsingEnded
from .problems import ProblemError

T = TypeVar("T")
log = logging.getLogger(__name__)

MOST_BYTES = 1024 * 1024
MOST_QUERY_BYTES = 4096

CLOSE = {"Connection": "close"}


def parsing_of(request: Request) -> Parsing:
    """The app's."""
    parsing: Parsing = request.app.state.parsing
    return parsing


def check_type(request: Request) -> None:
    """Raises 415 unless the content is JSON, in UTF-8."""
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    charset = (
        dict(part.strip().lower().partition("=")[::2] for part in parameters.split(";") if part.strip())
        .get("charset", "utf-8")
        .strip('"')
    )
    name = kind.strip().lower()
    if not (
        name == "application/json" or (name.startswith("application/") and name.endswith("+json"))
    ) or charset not in ("utf-8", "utf8", "us-ascii"):
        raise ProblemError(
            415,
            f"The content type is {request.headers.get('content-type', 'missing')[:128]!r}; application/json in UTF-8 is taken.",
            headers={"Accept": "application/json"},
        )


def check_head(request: Request) -> None:
    """Raises 400 for two lengths of one body, which a proxy in between may have understood otherwise (RFC 9112, section 6.1), and 422 for a long query."""
    if "transfer-encoding" in request.headers and "content-length" in request.headers:
        raise ProblemError(400, "The request has both Content-Length and Transfer-Encoding.", headers=CLOSE)
    if len(request.scope["query_string"]) > MOST_QUERY_BYTES:
        raise ProblemError(422, f"The query is longer than {MOST_QUERY_BYTES} bytes.")


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
    raise ProblemError(413, f"The body is larger than {MOST_BYTES} bytes.", headers=CLOSE)


async def read_text(request: Request) -> str:
    """The body as text, within its time.  Raises 408, 413, and 400 for what is no UTF-8."""
    seconds = database_of(request).settings.body_budget
    try:
        async with asyncio.timeout(seconds):
            request._body = await read(request)
    except TimeoutError:
        raise ProblemError(408, f"The body has not come within {seconds:g} s.", headers=CLOSE) from None
    try:
        return request._body.decode()
    except UnicodeDecodeError as error:
        raise no_json(error) from None


async def parsed(request: Request, work: Callable[[str], T], text: str) -> T:
    """What the work makes of the text.  Raises 400 for what is no JSON, 422 for what is too large for any request, 503 where others are parsed for too long."""
    try:
        async with asyncio.timeout(database_of(request).settings.body_budget):
            return await parsing_of(request).run(work, text)
    except TimeoutError:
        raise ProblemError(503, "Other large bodies are being read; this one had to wait for too long.") from None
    except ParsingEnded:
        raise ProblemError(503, "The process that reads large bodies has ended.") from None
    except TooWide as error:
        raise ProblemError(422, f"The body is not what this operation takes: {error}.") from None
    except ValueError as error:
        raise no_json(error) from None


def no_json(error: Exception) -> ProblemError:
    return ProblemError(400, f"The body is no JSON text in UTF-8: {str(error)[:256]}")


class JsonRoute(APIRoute):
    """A route whose body is JSON.  Raises what its parts do; a client that goes away is no error."""

    access: ClassVar[Access | None] = None
    """Who is let in; None: everybody."""

    is_parsed = True
    """The body is parsed for FastAPI; otherwise it is left to the operation, by read_text()."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def checked(request: Request) -> Response:
            try:
                await self.prepare(request)
                return await handle(request)
            except ClientDisconnect:
                log.debug("the client of %s %s went away", request.method, request.url.path)
                return Response(status_code=400)  # heard by nobody

        return checked

    async def prepare(self, request: Request) -> None:
        """All that comes before the operation itself."""
        SPENT.set(0.0)
        check_head(request)
        if self.access is not None:
            await admit(request, self.access)
        if request.method == "POST":
            check_type(request)
            if self.is_parsed:
                request._json = await parsed(
                    request, parse, await read_text(request)
                )  # for FastAPI, which would parse it once more


def route_for(access: Access, *, is_parsed: bool = True) -> type[JsonRoute]:
    """A class of routes that lets in whom the access lets in."""
    return type("AccessRoute", (JsonRoute,), {"access": access, "is_parsed": is_parsed})
