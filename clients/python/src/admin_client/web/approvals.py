"""Approvals: read, issued, signed, withdrawn."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any

import asyncpg
from fastapi import APIRouter, Depends, Query, Request, Response

from . import models
from .access import Access, reading
from .bodies import route_for
from .database import database_of
from .problems import ProblemError, may_answer


def instant(column: str) -> str:
    """RFC 3339, UTC, as the database's own answers have it."""
    return f"to_char({column} at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"


APPROVAL = f"""json_build_object('approval_id', a.approval_id, 'action', a.action, 'resource', a.resource, 'required_roles', a.required_roles,
    'required_signer_count', a.required_signer_count, 'requested_by', a.requested_by, 'state', a.state, 'ttl_state', t.ttl_state,
    'valid_until', {instant("t.valid_until")}, 'sla_deadline', {instant("a.sla_deadline")}, 'created_at', {instant("a.created_at")},
    'updated_at', {instant("a.updated_at")}, 'closed_at', {instant("a.closed_at")}, 'closed_by', a.closed_by, 'close_reason', a.close_reason,
    'signatures', coalesce((select json_agg(json_build_object('signature_id', s.signature_id::text, 'signer_role', s.signer_role, 'signer', s.signer,
        'signed_at', {instant("s.signed_at")}, 'approval_digest', encode(s.approval_digest, 'hex'), 'token_issuer', s.token_issuer,
        'token_key_id', s.token_key_id, 'comment', s.comment) order by s.signature_id) from admin.signature as s where s.approval_id = a.approval_id), '[]'))"""
ONE = f"select {APPROVAL}::text from admin.approval as a join admin.approval_ttl_state as t using (approval_id) where a.approval_id = $1"
MANY = f"""select a.approval_id, {APPROVAL}::text from admin.approval as a join admin.approval_ttl_state as t using (approval_id)
    where a.approval_id > $1 and ($2::text is null or a.state = $2) order by a.approval_id limit $3"""
ISSUE = "select admin.issue_approval($1, $2, $3::text::timestamptz, $4, $5, $6, $7)::text"
SIGN = "select admin.sign_approval($1, $2, $3, $4, $5)::text"
WITHDRAW = "select admin.withdraw_approval($1, $2, $3, $4)::text"


def answer(text: str, status: int = 200) -> Response:
    """The database's JSON, as it is."""
    return Response(text, status, media_type="application/json")


async def step(request: Request, statement: str, *arguments: Any) -> str:
    """Runs a step of the workflow and returns its answer.

    An invalid value that the request's form did not show is a conflict with the approval, or with the token: 409.
    """
    try:
        text: str = await database_of(request).value(statement, *arguments)
    except asyncpg.InvalidParameterValueError as error:
        raise ProblemError(
            409, ". ".join(filter(None, (error.message, error.detail))), sqlstate=error.sqlstate, hint=error.hint
        ) from error
    return text


def router(requires_token: bool) -> APIRouter:
    """Makes the router, for requests with a token or for requests that name people themselves."""
    routes = APIRouter(
        prefix="/api/policy/approvals", tags=["approvals"], route_class=route_for(Access(requires_token))
    )
    for_readers: Any = {"response_model": None, "route_class_override": route_for(reading(requires_token))}
    Token = Annotated[str | None, Depends(models.required_token if requires_token else models.optional_token)]
    IssueBody: Any = models.IssueRequest if requires_token else models.PlainIssueRequest
    SignBody: Any = models.SignRequest if requires_token else models.PlainSignRequest
    WithdrawBody: Any = models.WithdrawRequest if requires_token else models.PlainWithdrawRequest
    reads, writes = (401, 403, 422, 500, 503, 504), (400, 401, 403, 408, 409, 413, 415, 422, 500, 503, 504)

    async def list_approvals(request: Request, query: models.ListQuery, token: str | None) -> Response:
        async with database_of(request).connection() as connection:
            rows = await connection.fetch(MANY, query.after or "", query.state, query.limit)
        following = rows[-1][0] if len(rows) == query.limit else None
        return answer(f'{{"approvals":[{",".join(row[1] for row in rows)}],"next":{json.dumps(following)}}}')

    async def get_approval(request: Request, approval_id: str, token: str | None) -> Response:
        text = await database_of(request).value(ONE, approval_id)
        if text is None:
            raise ProblemError(404, f"approval {approval_id} does not exist")
        return answer(text)

    async def issue(request: Request, body: models.IssueRequest, token: str | None) -> Response:
        if body.sla_deadline <= datetime.now(UTC):
            raise ProblemError(409, "sla_deadline is not ahead")
        text = await step(
            request,
            ISSUE,
            body.action,
            body.required_roles,
            models.written(body.sla_deadline),
            body.resource,
            body.approval_id,
            getattr(body, "requested_by", None),
            token,
        )
        told = json.loads(text)
        response = answer(text, 200 if told["already"] else 201)
        response.headers["Location"] = f"{routes.prefix}/{told['approval_id']}"
        return response

    async def sign(request: Request, approval_id: str, body: models.SignRequest, token: str | None) -> Response:
        return answer(
            await step(request, SIGN, approval_id, body.signer_role, getattr(body, "signer", None), body.comment, token)
        )

    async def withdraw(request: Request, approval_id: str, body: models.WithdrawRequest, token: str | None) -> Response:
        return answer(await step(request, WITHDRAW, approval_id, body.reason, getattr(body, "actor", None), token))

    list_approvals.__annotations__ |= {
        "request": Request,
        "query": Annotated[models.ListQuery, Query()],
        "token": Token,
    }
    get_approval.__annotations__ |= {"request": Request, "approval_id": models.PathId, "token": Token}
    issue.__annotations__ |= {"request": Request, "body": IssueBody, "token": Token}
    sign.__annotations__ |= {"request": Request, "approval_id": models.PathId, "body": SignBody, "token": Token}
    withdraw.__annotations__ |= {"request": Request, "approval_id": models.PathId, "body": WithdrawBody, "token": Token}
    for function in (list_approvals, get_approval, issue, sign, withdraw):
        function.__annotations__["return"] = Response
    common: dict[str, Any] = {"response_model": None}
    routes.add_api_route(
        "",
        list_approvals,
        methods=["GET"],
        summary="A page of approvals",
        responses={200: {"model": models.Page}, **may_answer(*reads)},
        **for_readers,
    )
    routes.add_api_route(
        "",
        issue,
        methods=["POST"],
        summary="Issues an approval",
        status_code=201,
        responses={
            201: {"model": models.Step},
            200: {"model": models.Step, "description": "It was issued before, by the same person"},
            **may_answer(*writes),
        },
        **common,
    )
    routes.add_api_route(
        "/{approval_id}",
        get_approval,
        methods=["GET"],
        summary="One approval and its signatures",
        responses={200: {"model": models.Approval}, **may_answer(404, *reads)},
        **for_readers,
    )
    routes.add_api_route(
        "/{approval_id}/sign",
        sign,
        methods=["POST"],
        summary="Signs an approval in a role",
        responses={200: {"model": models.Step}, **may_answer(404, *writes)},
        **common,
    )
    routes.add_api_route(
        "/{approval_id}/withdraw",
        withdraw,
        methods=["POST"],
        summary="Withdraws an approval for good",
        responses={200: {"model": models.Step}, **may_answer(404, *writes)},
        **common,
    )
    return routes
