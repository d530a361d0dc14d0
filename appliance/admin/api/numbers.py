"""Numbers over HTTP: which agent answers, when, who does otherwise, and the way of a call."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from appliance.access.actor import Actor
from appliance.access.roles import Permission
from appliance.admin.api.access import ConsoleOf, needs
from appliance.admin.services import callpath, destinations
from appliance.admin.services import numbers as service
from appliance.admin.services.callpath import CallPath
from appliance.admin.services.destinations import Reached
from appliance.admin.services.numbers import Numbers, Saved, ShownNumber
from appliance.store.trunks import NumberEntry

router = APIRouter(prefix="/numbers", tags=["Numbers"])

Reader = Annotated[Actor, needs(Permission.NUMBERS_READ)]
Editor = Annotated[Actor, needs(Permission.NUMBERS_EDIT)]
Did = Annotated[str, Path(min_length=1, max_length=service.LONGEST_DID_LETTERS)]


class RouteBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    agent_id: str = Field(min_length=1, max_length=64)
    hours: str = Field("", max_length=2000)
    """Such as `mon-fri 09:00-18:00, sat 10:00-14:00; except 2026-01-26`; empty: always."""
    closed_text: str = Field("", max_length=service.LONGEST_TEXT_LETTERS)
    """Said outside those hours."""
    closed_to: str = Field("", max_length=256)
    """Who takes the call then: `queue:NAME`, an extension, a number or `sip:user@host`."""
    overflow_to: str = Field("", max_length=256)
    """Who takes it when no worker can."""

    def entry(self, did: str) -> NumberEntry:
        return NumberEntry(did, **self.model_dump())


class NewNumber(RouteBody):
    did: str = Field(min_length=1, max_length=service.LONGEST_DID_LETTERS)
    """`+918022223333`, a short number as it is dialled, or `*` for every other one."""


class Force(BaseModel):
    in_force: str


@router.get("")
async def list_numbers(
    console: ConsoleOf,
    actor: Reader,
    text: Annotated[str, Query(max_length=service.LONGEST_SEARCH_LETTERS)] = "",
    limit: Annotated[int, Query(ge=1, le=service.MOST_LISTED)] = 50,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> Numbers:
    """The numbers that you may see; `text`: in number or agent."""
    return await service.numbers(console, actor, text=text, limit=limit, offset=offset)


@router.post("", status_code=201)
async def add_number(console: ConsoleOf, actor: Editor, body: NewNumber) -> Saved:
    """Let an agent answer a number. Where the box has several tenants this is the operator's."""
    entry = NumberEntry(**body.model_dump())
    return await service.save(console, actor, entry, new=True)


@router.get("/destination")
async def check_destination(
    console: ConsoleOf, actor: Reader, to: Annotated[str, Query(min_length=1, max_length=256)]
) -> Reached:
    """Whom `queue:NAME`, an extension, a number or a SIP address would reach."""
    return await destinations.check(console, actor, to)


@router.get("/trace")
async def trace_call(
    console: ConsoleOf,
    actor: Reader,
    did: Annotated[str, Query(min_length=1, max_length=callpath.LONGEST_LETTERS)],
    at: AwareDatetime | None = None,
    full: bool = False,
) -> CallPath:
    """What happens when somebody rings `did` now, or `at` a moment; `full`: with every line busy."""
    return await callpath.trace(console, actor, did, at=at, full=full)


@router.get("/{did}")
async def get_number(console: ConsoleOf, actor: Reader, did: Did) -> ShownNumber:
    """One number, and whether it is open now."""
    return await service.number(console, actor, did)


@router.put("/{did}")
async def change_number(console: ConsoleOf, actor: Editor, did: Did, body: RouteBody) -> Saved:
    """Change who answers a number, and when; in force for the next call."""
    return await service.save(console, actor, body.entry(did), new=False)


@router.delete("/{did}")
async def remove_number(console: ConsoleOf, actor: Editor, did: Did) -> Force:
    """Let no agent of its own answer it."""
    return Force(in_force=await service.remove(console, actor, did))
