"""Test calls over HTTP: begin one with a browser's (or program's) offer of sound, or to type only;
type, press keys, look, hang up."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from appliance.access.actor import Actor
from appliance.access.roles import Permission
from appliance.admin.api.access import ConsoleOf, needs
from appliance.admin.services import tryit as service
from appliance.admin.services.tryit import Begun, Trying
from appliance.admin.tryit.webrtc import LONGEST_SDP
from appliance.media.protocol import LONGEST_TYPED_LETTERS

router = APIRouter(tags=["Try it"])

Tester = Annotated[Actor, needs(Permission.AGENTS_TRY)]
AgentId = Annotated[str, Path(max_length=64)]
CallId = Annotated[str, Path(pattern=r"^[0-9a-f-]{36}$")]


class Beginning(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    draft: bool = False
    """The draft answers, not the version in force."""
    sdp: str | None = Field(None, max_length=LONGEST_SDP)
    """An offer of one audio stream, with its candidates; left out: typing only."""
    wideband: bool = False
    """16 kHz, as a G.722 telephone; else 8 kHz, as most."""


class Said(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    text: str = Field(min_length=1, max_length=LONGEST_TYPED_LETTERS)


class Key(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    digit: str = Field(pattern=r"^[0-9*#]$")


@router.post("/agents/{agent_id}/try", status_code=201)
async def begin(console: ConsoleOf, actor: Tester, agent_id: AgentId, body: Beginning) -> Begun:
    """Call an agent. It answers once the sound's way is found, or at once where there is none."""
    return await service.begin(
        console, actor, agent_id, draft=body.draft, sdp=body.sdp, wideband=body.wideband
    )


@router.get("/try/{call_id}")
async def look(console: ConsoleOf, actor: Tester, call_id: CallId) -> Trying:
    """The call as it stands. One without sound that nobody looks at for 30 s ends."""
    return await service.look(console, actor, call_id)


@router.post("/try/{call_id}/typed", status_code=204, response_class=Response)
async def say(console: ConsoleOf, actor: Tester, call_id: CallId, body: Said) -> None:
    """A whole turn in writing, as if it had been said."""
    await service.say(console, actor, call_id, body.text)


@router.post("/try/{call_id}/key", status_code=204, response_class=Response)
async def press(console: ConsoleOf, actor: Tester, call_id: CallId, body: Key) -> None:
    """A key of the telephone."""
    await service.press(console, actor, call_id, body.digit)


@router.post("/try/{call_id}/hangup")
async def hang_up(console: ConsoleOf, actor: Tester, call_id: CallId) -> Trying:
    """End the call."""
    return await service.hang_up(console, actor, call_id)
