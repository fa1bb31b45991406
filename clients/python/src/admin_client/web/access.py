"""Decides who is admitted: by a bearer token that the database has verified, and by a role among the token's roles."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from fastapi import Request

from . import models
from .database import SPENT, database_of
from .problems import ProblemError, unauthorized

VERIFIED = "select true from admin.jwt_verify($1)"
# Whether a role is among those of a token. The token's issuer defines the claim that names them.
HOLDS = """
select case jsonb_typeof(told) when 'array' then told ? $2 when 'string' then told #>> '{}' = $2 else false end
from admin.jwt_verify($1) as claims join admin.jwt_issuer as i on i.issuer = claims ->> 'iss', lateral (select claims -> i.roles_claim) as t(told)"""


@dataclass(frozen=True, slots=True)
class Access:
    """What a request needs."""

    needs_token: bool = True
    variable: str | None = None
    """Of the environment: it names the role that a token must hold.  Not set: nobody is let in."""
    setting: str = ""
    """The member of AppSettings of that variable."""
    doing: str = ""
    """What the role is for, in the words of a refusal."""
    is_strict: bool = False
    """A token is needed, whatever the app's settings say."""


def reading(needs_token: bool) -> Access:
    """Access for reading approvals, previews and the state of the cutover."""
    return Access(needs_token, "ADMIN_READER_ROLE", "reader_role", "read")


def ingesting(needs_token: bool) -> Access:
    """Access for bringing events. It always takes a token with the role of ADMIN_INGEST_ROLE, whatever the settings say."""
    return Access(needs_token, "ADMIN_INGEST_ROLE", "ingest_role", "bring events", is_strict=True)


async def admit(request: Request, access: Access) -> None:
    """Admits the request, or raises 401 or 403. Raises the database's errors, too: 28000 for an invalid token."""
    database, began = database_of(request), asyncio.get_running_loop().time()
    credentials = await models.bearer(request)
    token = models.required_token(credentials) if access.needs_token else models.optional_token(credentials)
    role = getattr(database.settings, access.setting) if access.variable else None
    if token is not None:
        holds = await database.value(*((HOLDS, token, role) if role else (VERIFIED, token)))
        SPENT.set(asyncio.get_running_loop().time() - began)
    if access.variable is None or (token is None and not access.is_strict):
        return
    if not role:
        raise ProblemError(
            403,
            f"This app lets nobody {access.doing}: the setting {access.variable} does not name the role that a token must hold for that.",
        )
    if token is None:
        raise unauthorized(None, "A bearer token is needed.")
    if not holds:
        raise ProblemError(
            403, f"The roles of the token do not let it {access.doing}: {access.variable} names another one."
        )
