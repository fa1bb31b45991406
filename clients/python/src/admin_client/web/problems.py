"""Turns every error into a problem document (RFC 9457). The SQLSTATE decides the status of a database error."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import asyncpg
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from .database import Unavailable

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
CHALLENGE = 'Bearer realm="admin"'  # RFC 6750, section 3
RETRY_AFTER = {"Retry-After": "1"}

# The HTTP status of a SQLSTATE. The longest matching prefix counts.
STATUSES: Mapping[str, int] = {
    "08": 503,  # the connection is lost
    "22": 422,  # an invalid value
    "23": 409,  # a constraint: a duplicate, or a row that must not change
    "23502": 422,
    "23514": 422,
    "25006": 503,  # a standby, or read-only for now
    "28": 401,  # no token, or an invalid one
    "3F000": 503,  # no extension
    "42883": 503,
    "42P01": 503,
    "40": 503,  # rolled back because of other transactions: retry
    "42501": 403,  # not permitted
    "53": 503,  # out of a resource
    "54": 422,  # too large, too complex
    "55": 409,  # not in the required state
    "55P03": 503,  # locked by another session
    "57": 503,  # shut down, starting
    "57014": 504,  # cancelled: it took too long
    "P0002": 404,  # no such approval
}


WITHOUT_EXTENSION = {"3F000", "42883", "42P01"}


class FieldError(BaseModel):
    """What is wrong with one member of a request."""

    field: str = Field(description="Where it is: body.action, query.limit.")
    message: str


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    model_config = ConfigDict(extra="forbid")
    type: str = Field(description="about:blank: the status says what kind of problem it is.")
    title: str
    status: int
    detail: str | None = Field(default=None, description="What was wrong this time.")
    hint: str | None = Field(default=None, description="What can be done.")
    sqlstate: str | None = Field(default=None, description="Where the database has raised it.")
    errors: list[FieldError] | None = Field(
        default=None, description="Of a request that is malformed: what, and where."
    )


class ProblemError(Exception):
    """A problem that a route has found."""

    def __init__(self, status: int, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers, self.members = status, detail, dict(headers or {}), members


def respond(
    status: int, detail: str | None = None, headers: Mapping[str, str] | None = None, **members: Any
) -> Response:
    document = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        **members,
    }
    more = {
        **(RETRY_AFTER if status == 503 else {}),
        **({"WWW-Authenticate": CHALLENGE} if status == 401 else {}),
        **(headers or {}),
    }
    # The document may repeat text from the caller that is not valid UTF-8.
    content = json.dumps({key: value for key, value in document.items() if value is not None}, ensure_ascii=True)
    return Response(content, status, more, MEDIA_TYPE)


def status_of(sqlstate: str) -> int:
    """Returns the HTTP status of a SQLSTATE; 500 for an error that should not occur."""
    return next((STATUSES[sqlstate[:length]] for length in (5, 3, 2) if sqlstate[:length] in STATUSES), 500)


def unauthorized(error: str | None, detail: str) -> ProblemError:
    """Makes a 401. A caller that sends no token gets no error code (RFC 6750, section 3.1)."""
    return ProblemError(401, detail, headers={"WWW-Authenticate": CHALLENGE + (f', error="{error}"' if error else "")})


async def on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return respond(error.status, error.detail, error.headers, **error.members)


async def on_postgres(request: Request, error: Exception) -> Response:
    assert isinstance(error, asyncpg.PostgresError)
    sqlstate = error.sqlstate or "XX000"
    status = status_of(sqlstate)
    if status == 500:
        log.error("the database has raised %s", sqlstate, exc_info=error)
        return respond(
            500,
            "The database has raised an error that is not the request's fault; it is in the log.",
            sqlstate=sqlstate,
        )
    if sqlstate in WITHOUT_EXTENSION:
        log.error("the database lacks what the app asks: %s", error)
        return respond(
            503,
            "The database lacks what is asked of it: admin_ext is not there, or of another version. Readiness needs admin_ext_cutover, too.",
            sqlstate=sqlstate,
        )
    told = ". ".join(text for text in (error.message, error.detail) if text)
    headers = {"WWW-Authenticate": f'{CHALLENGE}, error="invalid_token"'} if status == 401 else None
    return respond(status, told, headers, sqlstate=sqlstate, hint=error.hint)


async def on_unavailable(request: Request, error: Exception) -> Response:
    log.warning("the database is not available: %s", error)
    return respond(503, "The database cannot be reached, or all connections to it are in use.")


async def on_timeout(request: Request, error: Exception) -> Response:
    return respond(504, "The database has not answered in time; whether it has done what was asked is not known.")


async def on_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [
        {"field": ".".join(str(part) for part in one["loc"])[:256], "message": str(one["msg"])[:512]}
        for one in error.errors()[:20]
    ]
    return respond(422, "The request is not what this operation takes.", errors=errors)


async def on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(sorted(methods_of(request)))
    return respond(
        error.status_code, error.detail if error.detail != HTTPStatus(error.status_code).phrase else None, headers
    )


async def on_anything(request: Request, error: Exception) -> Response:
    return respond(500, "Something went wrong that is not the request's fault; it is in the log.")


def methods_of(request: Request) -> set[str]:
    """Returns all methods of the path (RFC 9110, section 10.2.1).

    The routes' own error names the methods of one route only.
    """
    return {
        method.upper()
        for path, operations in request.app.openapi()["paths"].items()
        if compile_path(path)[0].match(request.url.path)
        for method in operations
    }


def describe(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """The OpenAPI document, with what problem documents look like."""
    make = app.openapi

    def openapi() -> dict[str, Any]:
        document = make()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        if "Problem" not in schemas:
            described = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas |= described.pop("$defs", {}) | {"Problem": described}
            for unused in ("HTTPValidationError", "ValidationError"):
                schemas.pop(unused, None)
        return document

    return openapi


def install(app: FastAPI) -> None:
    for kind, handler in (
        (ProblemError, on_problem),
        (asyncpg.PostgresError, on_postgres),
        (Unavailable, on_unavailable),
        (TimeoutError, on_timeout),
        (OSError, on_unavailable),
        (asyncpg.InterfaceError, on_unavailable),
        (RequestValidationError, on_validation),
        (HTTPException, on_http),
        (Exception, on_anything),
    ):
        app.add_exception_handler(kind, handler)
    app.openapi = describe(app)  # type: ignore[method-assign]


def may_answer(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describes for the OpenAPI document the error statuses of an operation."""
    return {
        status: {
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            "description": HTTPStatus(status).phrase,
        }
        for status in statuses
    }
