"""Probes for the system that starts and stops the app."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel

from .bodies import JsonRoute
from .database import database_of
from .problems import may_answer

router = APIRouter(tags=["probes"], route_class=JsonRoute)


class Alive(BaseModel):
    status: Literal["ok"]


@router.get("/healthz", summary="The process is alive", responses=may_answer(422))
async def healthz() -> Alive:
    return Alive(status="ok")


@router.get("/readyz", summary="The database answers", responses=may_answer(422, 500, 503, 504))
async def readyz(request: Request) -> Alive:
    await database_of(request).probe.ask()
    return Alive(status="ok")
