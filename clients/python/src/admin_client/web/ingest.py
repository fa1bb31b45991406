"""Events that happened elsewhere, into the trail."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from . import models
from .access import ingesting
from .approvals import answer
from .bodies import parsed, parsing_of, read_text, route_for
from .database import database_of
from .json_text import Batch, NoArray, TooMany, read_batch
from .problems import ProblemError, may_answer

INGEST = "select admin.audit_ingest($1::text::jsonb)::text"
MOST_EVENTS = 10_000  # as audit_ingest takes
BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "array",
                "items": {},
                "maxItems": MOST_EVENTS,
                "title": "Events",
                "description": "CloudEvents 1.0, structured; up to 10000. Each is taken once per source and id; what is wrong with one is told by its index.",
            }
        }
    },
}


READ_EVENTS = partial(read_batch, most=MOST_EVENTS)


async def read_events(request: Request) -> Batch:
    """Reads the events of the body.

    Raises the errors of parsed(), and 422 unless it is an array of at most MOST_EVENTS elements.
    """
    try:
        return await parsed(request, READ_EVENTS, await read_text(request))
    except NoArray:
        raise refused("It is no array.") from None
    except TooMany:
        raise refused(f"It has more than {MOST_EVENTS} elements.") from None


def refused(message: str) -> ProblemError:
    return ProblemError(
        422, "The request is not what this operation takes.", errors=[{"field": "body", "message": message}]
    )


def router(requires_token: bool) -> APIRouter:
    routes = APIRouter(prefix="/api/audit", tags=["audit"])
    Token = Annotated[str | None, Depends(models.required_token if requires_token else models.optional_token)]

    async def ingest(request: Request, token: str | None) -> Response:
        batch = await read_events(request)
        told = await database_of(request).value(INGEST, batch.document)
        return answer(await parsing_of(request).run(batch.merged, told))

    ingest.__annotations__ |= {"request": Request, "token": Token, "return": Response}
    routes.add_api_route(
        "/ingest",
        ingest,
        methods=["POST"],
        summary="Events that happened elsewhere, into the trail",
        response_model=None,
        route_class_override=route_for(ingesting(requires_token), is_parsed=False),
        openapi_extra={"requestBody": BODY},
        responses={200: {"model": models.Ingested}, **may_answer(400, 401, 403, 408, 413, 415, 422, 500, 503, 504)},
    )
    return routes
