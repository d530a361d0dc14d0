"""``/calls``: the log, one call, its recording and waveform, erasing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Path, Query
from fastapi.responses import FileResponse, StreamingResponse

from appliance.access.actor import Actor
from appliance.access.roles import Permission
from appliance.admin.api.access import ConsoleOf, needs
from appliance.admin.services import callerasure, calls, recordings
from appliance.admin.services.callerasure import ErasureDone, ErasurePreview
from appliance.admin.services.calls import CallCount, CallPage, CallView
from appliance.events import Turn
from appliance.media.peaks import MOST_BUCKETS, Peaks
from appliance.store.call_log import CallsWanted
from appliance.store.outcomes import Outcome

router = APIRouter(tags=["calls"])

NO_NUL = r"^[^\x00]*$"
LONGEST_MS = 24 * 3600 * 1000
CallId = Annotated[str, Path(min_length=1, max_length=200, pattern=NO_NUL)]
Part = Annotated[int, Query(ge=0, le=100, description="Of a call in several parts; 0: the last.")]
_Text = Annotated[str, Query(max_length=64, pattern=NO_NUL)]
_PRIVATE = {"Cache-Control": "private, no-store", "X-Content-Type-Options": "nosniff"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was slow or wrong in a call."""

    sentence: str
    severity: str
    turn: int | None


@dataclass(frozen=True, slots=True)
class OneCall:
    """A call with all that is kept of it."""

    call: CallView
    findings: tuple[Finding, ...]
    """What was slow or wrong, in English; the gravest first."""


def _wanted(
    console: ConsoleOf,
    since: Annotated[datetime | None, Query(description="Began then or later.")] = None,
    until: Annotated[datetime | None, Query(description="Began before that.")] = None,
    number: Annotated[
        str, Query(max_length=64, pattern=NO_NUL, description="Part of caller or number.")
    ] = "",
    agent: _Text = "",
    language: _Text = "",
    direction: Annotated[
        Literal["", "in", "out", "test"], Query(description="Empty: in, out.")
    ] = "",
    outcome: Outcome | None = None,
    flagged: Literal["", "open", "any"] = "",
    slower_than_ms: Annotated[int | None, Query(ge=0, le=600_000, description="Gap p95.")] = None,
    recorded: bool | None = None,
) -> CallsWanted:
    """Times without an offset are those of ``switch.timezone``."""
    zone = ZoneInfo(console.settings.switch.timezone)
    since, until = (
        at.replace(tzinfo=zone) if at is not None and at.tzinfo is None else at
        for at in (since, until)
    )
    return CallsWanted(
        since, until, number, agent, language, direction, outcome, flagged, slower_than_ms, recorded
    )  # fmt: skip


WantedOf = Annotated[CallsWanted, Depends(_wanted)]


@router.get("/calls")
async def list_calls(
    console: ConsoleOf,
    actor: Annotated[Actor, needs(Permission.CALLS_READ)],
    wanted: WantedOf,
    cursor: Annotated[str, Query(max_length=500, description="`next` of the page before.")] = "",
    limit: Annotated[int, Query(ge=1, le=calls.MOST_ROWS)] = calls.PAGE_ROWS,
) -> CallPage:
    """The log, the newest first."""
    return await calls.list_calls(console, actor, wanted, cursor, limit)


@router.get("/calls.csv", response_class=StreamingResponse)
async def export_calls(
    console: ConsoleOf,
    actor: Annotated[Actor, needs(Permission.CALLS_READ)],
    wanted: WantedOf,
) -> StreamingResponse:
    """The same as CSV, 50 000 rows at most."""
    pieces = await calls.export_calls(console, actor, wanted)
    headers = {**_PRIVATE, "Content-Disposition": 'attachment; filename="calls.csv"'}
    return StreamingResponse(pieces, media_type="text/csv; charset=utf-8", headers=headers)


@router.get("/calls/count")
async def count_calls(
    console: ConsoleOf,
    actor: Annotated[Actor, needs(Permission.CALLS_READ)],
    wanted: WantedOf,
) -> CallCount:
    """How many calls a search finds, counted up to 1 000."""
    return await calls.count_calls(console, actor, wanted)


@router.get("/calls/{call_id}")
async def read_call(
    console: ConsoleOf, actor: Annotated[Actor, needs(Permission.CALLS_READ)], call_id: CallId
) -> OneCall:
    """One call: record, turns with stages and passages, flags, legs, versions, what was wrong."""
    view = await calls.read_call(console, actor, call_id)
    found = calls.troubles_of(view)
    return OneCall(view, tuple(Finding(one.in_english(), one.severity, one.turn) for one in found))


@router.get("/calls/{call_id}/turns")
async def list_turns(
    console: ConsoleOf, actor: Annotated[Actor, needs(Permission.CALLS_READ)], call_id: CallId
) -> tuple[Turn, ...]:
    """What was said, heard and written, turn by turn, with every stage's time."""
    return await calls.list_turns(console, actor, call_id)


@router.get("/calls/{call_id}/recording", response_class=FileResponse)
async def play_recording(
    console: ConsoleOf,
    actor: Annotated[Actor, needs(Permission.RECORDINGS_LISTEN)],
    call_id: CallId,
    part: Part = 0,
) -> FileResponse:
    """The stereo WAV, to be played (caller left, agent right); answers Range requests."""
    sound = await recordings.open_recording(console, actor, call_id, part)
    return _sent(sound, "inline")


@router.get("/calls/{call_id}/recording/download", response_class=FileResponse)
async def download_recording(
    console: ConsoleOf,
    actor: Annotated[Actor, needs(Permission.RECORDINGS_DOWNLOAD)],
    call_id: CallId,
    part: Part = 0,
) -> FileResponse:
    """The same, to be saved."""
    sound = await recordings.open_recording(console, actor, call_id, part, download=True)
    return _sent(sound, "attachment")


def _sent(sound: recordings.Sound, disposition: str) -> FileResponse:
    return FileResponse(
        sound.path,
        media_type="audio/wav",
        filename=sound.filename,
        content_disposition_type=disposition,
        headers=_PRIVATE,
    )


@router.get("/calls/{call_id}/waveform")
async def waveform(
    console: ConsoleOf,
    actor: Annotated[Actor, needs(Permission.RECORDINGS_LISTEN)],
    call_id: CallId,
    part: Part = 0,
    buckets: Annotated[int, Query(ge=1, le=MOST_BUCKETS)] = recordings.DEFAULT_BUCKETS,
    from_ms: Annotated[int, Query(ge=0, le=LONGEST_MS)] = 0,
    to_ms: Annotated[int | None, Query(ge=0, le=LONGEST_MS)] = None,
) -> Peaks:
    """Low and high of each bucket, for both sides."""
    return await recordings.waveform(console, actor, call_id, part, buckets, from_ms, to_ms)


@router.get("/calls/{call_id}/erasure")
async def preview_erasure(
    console: ConsoleOf, actor: Annotated[Actor, needs(Permission.CALLS_ERASE)], call_id: CallId
) -> ErasurePreview:
    """What erasing this call, or its caller, would take away."""
    return await callerasure.preview_erasure(console, actor, call_id)


@router.delete("/calls/{call_id}")
async def erase_call(
    console: ConsoleOf,
    actor: Annotated[Actor, needs(Permission.CALLS_ERASE)],
    call_id: CallId,
    confirm: Annotated[str, Query(max_length=200, description="The call's id once more.")],
) -> ErasureDone:
    """Erase a call: recording, words and rows. Nothing brings it back."""
    return await callerasure.erase_call(console, actor, call_id, confirm)


@router.delete("/calls/{call_id}/caller")
async def erase_caller(
    console: ConsoleOf,
    actor: Annotated[Actor, needs(Permission.CALLS_ERASE)],
    call_id: CallId,
    confirm: Annotated[str, Query(max_length=200, description="The caller's number once more.")],
) -> ErasureDone:
    """Erase all that is kept of this call's caller. Nothing brings it back."""
    return await callerasure.erase_caller(console, actor, call_id, confirm)
