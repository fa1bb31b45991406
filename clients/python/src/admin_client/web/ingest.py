"""Events that happened elsewhere, into the trail."""
from __future__ import annotations

import json
import re
from typing import Annotated, Any

import asyncpg
from fastapi import APIRouter, Body, Depends, Request, Response

from . import models
from .approvals import answer
from .bodies import JsonRoute
from .database import database_of
from .problems import ProblemError, may_answer, unauthorized

INGEST = "select admin.audit_ingest($1::text::jsonb)::text"
# Is a role among those that a token tells?  Where and how it tells them is its issuer's.
HOLDS = """
select case jsonb_typeof(told) when 'array' then told ? $2 when 'string' then told #>> '{}' = $2 else false end
from admin.jwt_verify($1) as claims join admin.jwt_issuer as i on i.issuer = claims ->> 'iss', lateral (select claims -> i.roles_claim) as t(told)"""
# What JSON can say and PostgreSQL's text cannot: NUL, and halves of surrogate pairs.
SUSPECT = re.compile(r"\\u(0000|[dD][89a-fA-F])")
BLANKS = " \t\n\r"
DECODER = json.JSONDecoder()


def skip_blanks(text: str, place: int) -> int:
    while text[place] in BLANKS:
        place += 1
    return place


def elements(text: str) -> list[str]:
    """The texts of an array's elements.  The text has been parsed already."""
    found: list[str] = []
    place = text.index("[") + 1
    while True:
        start = skip_blanks(text, place)
        if text[start] == "]":
            return found
        _, end = DECODER.raw_decode(text, start)
        found.append(text[start:end])
        place = skip_blanks(text, end)
        place += text[place] == ","


def storable(element: str) -> bool:
    if not SUSPECT.search(element):
        return True
    told = json.dumps(json.loads(element), ensure_ascii=False)
    # json.dumps() writes NUL as an escape.
    return not re.search(r"(?<!\\)(\\\\)*\\u0000", told) and not any("\ud800" <= character <= "\udfff" for character in told)


def kept(count: int, unreadable: list[int]) -> list[int]:
    """The indices of the others."""
    left_out = frozenset(unreadable)
    return [index for index in range(count) if index not in left_out]


def set_aside(text: str) -> tuple[str, list[int]]:
    """The document without the events that the database could not even read, and the indices of those: one of them is no reason to refuse all."""
    if not SUSPECT.search(text):
        return text, []
    all_of_them = elements(text)
    unreadable = [index for index, element in enumerate(all_of_them) if not storable(element)]
    return "[" + ",".join(all_of_them[index] for index in kept(len(all_of_them), unreadable)) + "]", unreadable


def merged(told: dict[str, Any], events: list[Any], unreadable: list[int]) -> dict[str, Any]:
    """The answer for the document as it came."""
    name: Any
    places = kept(len(events), unreadable)
    rejected = [{**one, "index": places[one["index"]]} for one in told["rejected"]]
    for index in unreadable:
        name = events[index].get("id") if isinstance(events[index], dict) else None
        sound = isinstance(name, str) and "\x00" not in name and not any("\ud800" <= character <= "\udfff" for character in name)
        rejected.append({"index": index, "id": name[:256] if sound else None, "error": "it holds NUL, or half of a surrogate pair, which text cannot"})
    return {**told, "rejected": sorted(rejected, key=lambda one: one["index"])}


async def check_role(connection: asyncpg.Connection, token: str | None, role: str) -> None:
    """Raises 401 or 403 unless the token holds the role that may bring events."""
    if not role:
        raise ProblemError(403, "This app takes no events: the setting ADMIN_INGEST_ROLE does not name the role that a token must hold to bring them.")
    if token is None:
        raise unauthorized(None, "A bearer token is needed.")
    if not await connection.fetchval(HOLDS, token, role):
        raise ProblemError(403, "Events are taken from services alone, and the token's roles are not those of one.")


def router(requires_token: bool) -> APIRouter:
    routes = APIRouter(prefix="/api/audit", tags=["audit"], route_class=JsonRoute)
    Token = Annotated[str | None, Depends(models.required_token if requires_token else models.optional_token)]
    Events = Annotated[list[Any], Body(description="CloudEvents 1.0, structured; up to 10000. Each is taken once per source and id; what is wrong with one is told by its index.")]

    async def ingest(request: Request, events: list[Any], token: str | None) -> Response:
        database = database_of(request)
        async with database.connection(token) as connection:
            # The token is verified before the events are looked at.
            await check_role(connection, token, database.settings.ingest_role)
            document, unreadable = set_aside((await request.body()).decode())
            text = await connection.fetchval(INGEST, document)
        return answer(json.dumps(merged(json.loads(text), events, unreadable)) if unreadable else text)

    ingest.__annotations__ |= {"request": Request, "events": Events, "token": Token, "return": Response}
    routes.add_api_route("/ingest", ingest, methods=["POST"], summary="Events that happened elsewhere, into the trail", response_model=None,
                         responses={200: {"model": models.Ingested}, **may_answer(400, 401, 403, 413, 415, 422, 500, 503, 504)})
    return routes
