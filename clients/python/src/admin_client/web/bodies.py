"""Checks a request before its content is used: the caller, and the type, size, encoding and form of the body.

The checks run in order of cost: the token is verified before the body is read, and the body is read before it is
parsed. Large bodies are parsed one at a time in another process, so that the event loop goes on.
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
    """Raises 400 for two lengths of one body, which a proxy may have understood differently (RFC 9112, section 6.1).

    Raises 422 for a long query.
    """
    if "transfer-encoding" in request.headers and "content-length" in request.headers:
        raise ProblemError(400, "The request has both Content-Length and Transfer-Encoding.", headers=CLOSE)
    if len(request.scope["query_string"]) > MOST_QUERY_BYTES:
        raise ProblemError(422, f"The query is longer than {MOST_QUERY_BYTES} bytes.")


async def read(request: Request) -> bytes:
    """Returns the body. Raises 413 as soon as it exceeds its limit, whether or not its length was announced."""
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
    """Returns the body as text.

    Raises 408 if it does not arrive in time, 413 if it is too large, and 400 if it is not UTF-8.
    """
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
    """Returns the result of the work on the text.

    Raises 400 if the text is not JSON, 422 if it is too large for any request, and 503 if other texts are being parsed
    for too long.
    """
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
    """A route whose body is JSON. Raises the errors of its parts. A client that disconnects is no error."""

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
                return Response(status_code=400)  # no client receives it

        return checked

    async def prepare(self, request: Request) -> None:
        """Runs all checks that come before the operation itself."""
        SPENT.set(0.0)
        check_head(request)
        if self.access is not None:
            await admit(request, self.access)
        if request.method == "POST":
            check_type(request)
            if self.is_parsed:
                request._json = await parsed(
                    request, parse, await read_text(request)
                )  # so that FastAPI does not parse it once more


def route_for(access: Access, *, is_parsed: bool = True) -> type[JsonRoute]:
    """Makes a class of routes that admits callers with this access."""
    return type("AccessRoute", (JsonRoute,), {"access": access, "is_parsed": is_parsed})
