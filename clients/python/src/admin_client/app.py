"""The Admin web app: approvals, the check, ingest and readiness over HTTP.

    uvicorn admin_client.app:app

Settings come from the environment; see admin_client.web.settings.  The database's functions are the model: a caller's bearer token is
handed down to them, and what they raise becomes a problem document (RFC 9457).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from .web import approvals, checks, ingest, probes, problems, readiness
from .web.database import Database
from .web.parsing import Parsing
from .web.settings import AppSettings


def create_app(settings: AppSettings | None = None) -> FastAPI:
    """Creates the app with these settings. Without settings, it reads them from the environment."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        database = Database(settings or AppSettings.from_environment())
        await database.open()
        app.state.database, app.state.parsing = database, Parsing()
        app.openapi()  # takes a while; the app keeps the result
        try:
            yield
        finally:
            await app.state.parsing.close()
            await database.close()

    requires_token = (settings or AppSettings.from_environment()).require_token
    app = FastAPI(
        title="Admin",
        version="1.0.0",
        summary="Approvals of sensitive actions, and the decisions on them.",
        lifespan=lifespan,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
    )
    problems.install(app)
    app.include_router(probes.router)
    for room in (approvals, checks, ingest, readiness):
        app.include_router(room.router(requires_token))
    return app


def __getattr__(name: str) -> FastAPI:
    """Creates `app` when a server asks for it, so that importing this module needs no environment."""
    if name != "app":
        raise AttributeError(name)
    globals()["app"] = made = create_app()
    return made
