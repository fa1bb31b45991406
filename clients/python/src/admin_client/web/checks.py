"""The check and its preview: the database's answer byte for byte."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from . import models
from .access import Access, reading
from .approvals import answer
from .bodies import route_for
from .database import database_of
from .problems import may_answer

CHECK = "select admin.sensitive_check($1, $2, $3, $4, $5, $6, $7)"
PREVIEW = "select admin.sensitive_check_preview($1, $2, $3, $4::text::timestamptz)"


def router(requires_token: bool) -> APIRouter:
    """Makes the router.

    The caller is the subject of the token. Without a token, the request may name the caller. A preview leaves no row in
    the trail and is for readers.
    """
    routes = APIRouter(
        prefix="/api/policy/sensitive-check", tags=["check"], route_class=route_for(Access(requires_token))
    )
    looks = APIRouter(
        prefix="/api/policy/sensitive-check", tags=["check"], route_class=route_for(reading(requires_token))
    )
    Token = Annotated[str | None, Depends(models.required_token if requires_token else models.optional_token)]
    Body: Any = models.CheckRequest if requires_token else models.PlainCheckRequest
    errors = may_answer(400, 401, 403, 408, 413, 415, 422, 500, 503, 504)

    async def check(request: Request, body: models.CheckRequest, token: str | None) -> Response:
        return answer(
            await database_of(request).value(
                CHECK,
                body.approval_id,
                body.action,
                body.resource,
                getattr(body, "actor", None),
                body.request_id,
                body.traceparent,
                token,
            )
        )

    async def preview(request: Request, body: models.PreviewRequest, token: str | None) -> Response:
        return answer(
            await database_of(request).value(
                PREVIEW, body.approval_id, body.action, body.resource, models.written(body.at)
            )
        )

    check.__annotations__ |= {"request": Request, "body": Body, "token": Token, "return": Response}
    preview.__annotations__ |= {"request": Request, "body": models.PreviewRequest, "token": Token, "return": Response}
    routes.add_api_route(
        "",
        check,
        methods=["POST"],
        summary="Does an approval cover what is about to be done?",
        response_model=None,
        description="Valid, or deny with a reason: both are 200. There is no answer without its row in the trail.",
        responses={200: {"model": models.Answer}, **errors},
    )
    looks.add_api_route(
        "/preview",
        preview,
        methods=["POST"],
        summary="The same without a row in the trail, for any instant; for readers",
        response_model=None,
        responses={200: {"model": models.Answer}, **errors},
    )
    both = APIRouter()
    both.include_router(routes)
    both.include_router(looks)
    return both
