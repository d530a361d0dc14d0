"""The do-not-call list over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, File, Form, Query, UploadFile
from pydantic import BaseModel, ConfigDict, Field

from appliance.access.actor import Actor
from appliance.access.roles import Permission
from appliance.admin.api.access import ConsoleOf, needs
from appliance.admin.api.campaigns import read_upload
from appliance.admin.services import donotcall as service
from appliance.admin.services.donotcall import Entries, Looked

router = APIRouter(prefix="/do-not-call", tags=["Do not call"])

Reader = Annotated[Actor, needs(Permission.CAMPAIGNS_READ)]
Editor = Annotated[Actor, needs(Permission.CAMPAIGNS_EDIT)]
Number = Annotated[str, Query(min_length=1, max_length=64)]
Why = Annotated[str, Query(min_length=1, max_length=service.LONGEST_REASON_LETTERS)]


class NumbersBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    numbers: list[Annotated[str, Field(max_length=64)]] = Field(min_length=1, max_length=1000)
    reason: str = Field("", max_length=service.LONGEST_REASON_LETTERS)


class AddedOut(BaseModel):
    added: int
    given: int


@router.get("")
async def list_numbers(
    console: ConsoleOf,
    actor: Reader,
    text: Annotated[str, Query(max_length=service.LONGEST_SEARCH_LETTERS)] = "",
    limit: Annotated[int, Query(ge=1, le=service.MOST_LISTED)] = 50,
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
) -> Entries:
    """What your people put on the list, the latest first."""
    return await service.entries(console, actor, text=text, limit=limit, offset=offset)


@router.get("/look-up")
async def look_up(console: ConsoleOf, actor: Reader, number: Number) -> Looked:
    """Whether a number is on the list, whoever put it there."""
    return await service.look_up(console, actor, number)


@router.post("", status_code=201)
async def add_numbers(console: ConsoleOf, actor: Editor, body: NumbersBody) -> AddedOut:
    """Never call these numbers again, all or none; in force for the next call."""
    added = await service.add(console, actor, body.numbers, body.reason)
    return AddedOut(added=added, given=len(body.numbers))


@router.post("/upload", status_code=201)
async def upload_numbers(
    console: ConsoleOf,
    actor: Editor,
    file: Annotated[UploadFile, File()],
    reason: Annotated[str, Form(max_length=service.LONGEST_REASON_LETTERS)] = "",
) -> AddedOut:
    """Add the first column of a CSV or text file, all or none."""
    data = await read_upload(console, file)
    added, given = await service.upload(console, actor, data, reason)
    return AddedOut(added=added, given=given)


@router.delete("", status_code=204)
async def remove_number(console: ConsoleOf, actor: Editor, number: Number, reason: Why) -> None:
    """Take a number off that your people put there."""
    await service.remove(console, actor, number, reason)
