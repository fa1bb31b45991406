"""The 28 items of the cutover."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from ..readiness import QUERY, readiness
from . import models
from .access import reading
from .approvals import answer
from .bodies import route_for
from .database import database_of
from .problems import may_answer


def router(requires_token: bool) -> APIRouter:
    routes = APIRouter(prefix="/api", tags=["cutover"], route_class=route_for(reading(requires_token)))
    Token = Annotated[str | None, Depends(models.required_token if requires_token else models.optional_token)]

    one_at_a_time = asyncio.Lock()

    async def cutover_readiness(request: Request, token: str | None) -> Response:
        database = database_of(request)
        # It looks at every approval, in parallel, so one at a time.
        async with (
            asyncio.timeout(database.settings.readiness_budget),
            one_at_a_time,
            database.connection(database.settings.readiness_budget) as connection,
        ):
            found = readiness(await connection.fetch(QUERY))
        return answer(
            json.dumps({"ready": found.ready, "counts": found.counts, "items": [asdict(row) for row in found.rows]})
        )

    cutover_readiness.__annotations__ |= {"request": Request, "token": Token, "return": Response}
    routes.add_api_route(
        "/cutover-readiness",
        cutover_readiness,
        methods=["GET"],
        summary="Is the database ready to take over?",
        response_model=None,
        responses={200: {"model": models.ReadinessReport}, **may_answer(401, 403, 500, 503, 504)},
    )
    return routes
