"""Trunks over HTTP. A password goes in and never comes out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from appliance.access.actor import Actor
from appliance.access.roles import Permission
from appliance.admin.api.access import ConsoleOf, needs
from appliance.admin.services import trunks as service
from appliance.admin.services.trunks import Heard, SavedTrunk, ShownTrunk, Trunks
from appliance.numbers import NumberFormat
from appliance.store.number_views import Failure
from appliance.store.phonebook import CallerIdRule, Srtp, Transport, Trunk
from appliance.telephony.diagnose import Check

router = APIRouter(prefix="/trunks", tags=["Trunks"])

Reader = Annotated[Actor, needs(Permission.TRUNKS_READ)]
Editor = Annotated[Actor, needs(Permission.TRUNKS_EDIT)]
Name = Annotated[str, Path(max_length=64)]
Text = Annotated[str, Field(max_length=256)]
WIDEST = (1 << 31) - 1


class TrunkBody(BaseModel):
    """What is left out stays as it is, or, of a new trunk, gets its default."""

    model_config = ConfigDict(extra="forbid")

    proxy: Text | None = None
    carrier: Text | None = None
    priority: Annotated[int, Field(ge=0, le=WIDEST)] | None = None
    transport: Transport | None = None
    register_: Annotated[bool | None, Field(alias="register")] = None
    username: Text | None = None
    password: Text | None = None
    """Write-only; empty: as it was."""
    realm: Text | None = None
    addresses: Annotated[list[Text], Field(max_length=100)] | None = None
    codecs: Annotated[list[Text], Field(max_length=10)] | None = None
    srtp: Srtp | None = None
    number_format: NumberFormat | None = None
    caller_id: Text | None = None
    caller_id_rule: CallerIdRule | None = None
    max_calls: Annotated[int, Field(ge=0, le=WIDEST)] | None = None
    ping_s: Annotated[int, Field(ge=0, le=3600)] | None = None

    def given(self) -> dict[str, object]:
        """What is named, lists as tuples."""
        named = self.model_dump(exclude_none=True, exclude={"name"}, by_alias=True)
        return {n: tuple(v) if isinstance(v, list) else v for n, v in named.items()}


class NewTrunk(TrunkBody):
    name: str = Field(max_length=64)
    proxy: str = Field(max_length=256)
    """host or host:port."""


class Force(BaseModel):
    in_force: str


class Diagnosis(BaseModel):
    ok: bool
    """Nothing is wrong as far as can be told from here."""
    checks: list[Check]


class AudioOut(BaseModel):
    calls: list[Heard] | None
    """RTP packets of the last calls, the latest last; null: nobody knows."""


@router.get("")
async def list_trunks(console: ConsoleOf, actor: Reader) -> Trunks:
    """Every trunk with its state, in the order in which calls that we make try them."""
    return await service.trunks(console, actor)


@router.post("", status_code=201)
async def add_trunk(console: ConsoleOf, actor: Editor, body: NewTrunk) -> SavedTrunk:
    """Add a trunk."""
    trunk = Trunk(name=body.name, **body.given())  # type: ignore[arg-type]
    return await service.add(console, actor, trunk)


@router.get("/{name}")
async def get_trunk(console: ConsoleOf, actor: Reader, name: Name) -> ShownTrunk:
    """One trunk with its state."""
    return await service.trunk(console, actor, name)


@router.put("/{name}")
async def change_trunk(
    console: ConsoleOf, actor: Editor, name: Name, body: TrunkBody
) -> SavedTrunk:
    """Change the fields that are named."""
    return await service.change(console, actor, name, body.given())


@router.post("/{name}/enable")
async def enable_trunk(console: ConsoleOf, actor: Editor, name: Name) -> SavedTrunk:
    """Take it into use."""
    return await service.set_enabled(console, actor, name, True)


@router.post("/{name}/disable")
async def disable_trunk(console: ConsoleOf, actor: Editor, name: Name) -> SavedTrunk:
    """Take it out of use; its live calls go on."""
    return await service.set_enabled(console, actor, name, False)


@router.delete("/{name}")
async def remove_trunk(console: ConsoleOf, actor: Editor, name: Name) -> Force:
    """Remove it; its live calls go on."""
    return Force(in_force=await service.remove(console, actor, name))


@router.get("/{name}/failures")
async def list_failures(console: ConsoleOf, actor: Reader, name: Name) -> list[Failure]:
    """The calls through it that failed in the last day, the latest first."""
    return await service.failures(console, actor, name)


@router.get("/{name}/audio")
async def get_audio(console: ConsoleOf, actor: Reader, name: Name) -> AudioOut:
    """What was heard each way in its last calls: what one-way audio is told from."""
    return AudioOut(calls=await service.audio(console, actor, name))


@router.post("/{name}/diagnosis")
async def diagnose_trunk(console: ConsoleOf, actor: Reader, name: Name) -> Diagnosis:
    """What is wrong with it, in plain language. Takes seconds."""
    checks = [check async for check in await service.diagnose(console, actor, name)]
    return Diagnosis(ok=all(check.ok is not False for check in checks), checks=checks)
