"""``/live``: calls in progress, as they change, and stepping into them."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Path, Query, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import SQLAlchemyError

from appliance.access import sessions
from appliance.access.actor import Actor
from appliance.access.roles import Permission
from appliance.admin.api.access import ConsoleOf, needs
from appliance.admin.console import Console
from appliance.admin.live.view import Change, LiveCallView
from appliance.admin.services import live as service
from appliance.admin.services.live import Board, Controls
from appliance.errors import UserError
from appliance.media.protocol import LONGEST_WHISPER_LETTERS

router = APIRouter(prefix="/live", tags=["live"])

CallId = Annotated[str, Path(min_length=4, max_length=64, pattern=r"^[0-9A-Za-z-]+$")]
Reader = Annotated[Actor, needs(Permission.LIVE_READ)]
Supervisor = Annotated[Actor, needs(Permission.LIVE_ACT)]
Listening = Annotated[Actor, needs(Permission.LIVE_LISTEN)]
LEAST_BETWEEN_S = 0.2
"""Between two messages to one client: what changes meanwhile comes as one."""
LOOK_S = 5.0
"""So often a stream's session is looked at, and where nothing changes a comment is sent."""
LONGEST_BY_KEY_S = 300.0
"""A stream opened with an API key ends after that; who comes again shows that the key still counts."""
CLOSE_REFUSED, CLOSE_OVER = 1008, 1000


@dataclass(frozen=True, slots=True)
class LiveCalls:
    """Calls in progress."""

    calls: tuple[LiveCallView, ...]
    board: Board


@dataclass(frozen=True, slots=True)
class OneLiveCall:
    """A call in progress, and what may be done with it."""

    call: LiveCallView
    controls: Controls
    """For each action an empty string, or why it cannot be done now."""


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Said(_Body):
    text: str = Field(min_length=1, max_length=LONGEST_WHISPER_LETTERS)


class To(_Body):
    to: str = Field(min_length=1, max_length=256)
    """queue:NAME, an extension, a number, sip:user@host."""
    mode: Literal["attended", "blind"] = "attended"


class Supervising(_Body):
    extension: str = Field(pattern=r"^[0-9]{2,6}$")
    """Whose telephone rings."""
    mode: Literal["listen", "whisper", "take-over"] = "listen"


@router.get("/calls")
async def list_live_calls(console: ConsoleOf, actor: Reader) -> LiveCalls:
    """Calls in progress, the longest first."""
    return LiveCalls(await service.list_calls(console, actor), await service.board(console, actor))


@router.get("/calls/{call_id}")
async def read_live_call(console: ConsoleOf, actor: Reader, call_id: CallId) -> OneLiveCall:
    """One call in progress, with its transcript so far."""
    view = await service.read_call(console, actor, call_id)
    return OneLiveCall(view, service.controls(console, actor, view))


@router.get(
    "/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}}},
)
async def follow(
    console: ConsoleOf,
    actor: Reader,
    call: Annotated[str, Query(max_length=64, description="Only this call.")] = "",
) -> StreamingResponse:
    """Server-sent events: first all that is in progress, then each change, `{"calls": […], "gone":
    […]}`, five a second at most. With `call` also the words that are still being said."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    events = _events(console, actor, call or None)
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)


async def _events(console: Console, actor: Actor, call_id: str | None) -> AsyncIterator[bytes]:
    async with service.following(console, actor, call_id) as changes:
        ended = asyncio.create_task(_until_ended(console, actor))
        try:
            while not ended.done():
                try:
                    async with asyncio.timeout(LOOK_S):
                        change = await anext(changes)
                except TimeoutError:
                    yield b": alive\n\n"
                    continue
                except StopAsyncIteration:
                    return
                yield b"data: " + orjson.dumps(_plain(change)) + b"\n\n"
                await asyncio.sleep(LEAST_BETWEEN_S)
        finally:
            ended.cancel()


async def _until_ended(console: Console, actor: Actor) -> None:
    """Until who asked may not any more: the session has ended, or a key has to be shown again."""
    if actor.via != "session":
        await asyncio.sleep(LONGEST_BY_KEY_S)
        return
    while True:
        try:
            if not await sessions.living(console.engine, {actor.session_id}):
                return
        except (SQLAlchemyError, OSError):
            pass  # as pages do: with Postgres away nobody's session ends
        await asyncio.sleep(LOOK_S)


def _plain(change: Change) -> dict[str, Any]:
    return {
        "calls": [dataclasses.asdict(view) for view in change.calls],
        "gone": list(change.gone),
    }


@router.post("/calls/{call_id}/say", status_code=202, response_class=Response)
async def say(console: ConsoleOf, actor: Supervisor, call_id: CallId, body: Said) -> None:
    """Tell the agent something; the caller does not hear it."""
    await service.say(console, actor, call_id, body.text)


@router.post("/calls/{call_id}/transfer", status_code=202, response_class=Response)
async def transfer(console: ConsoleOf, actor: Supervisor, call_id: CallId, body: To) -> None:
    """Send the caller to a person."""
    await service.transfer(console, actor, call_id, body.to, body.mode)


@router.post("/calls/{call_id}/hangup", status_code=202, response_class=Response)
async def hang_up(console: ConsoleOf, actor: Supervisor, call_id: CallId) -> None:
    """End the call."""
    await service.hang_up(console, actor, call_id)


@router.post("/calls/{call_id}/supervise", status_code=202, response_class=Response)
async def supervise(
    console: ConsoleOf, actor: Listening, call_id: CallId, body: Supervising
) -> None:
    """Ring a telephone of yours and connect it: to listen, to be heard by the person who has the
    call (`whisper`), or to get the caller (`take-over`). The last two need `live:act`."""
    await service.supervise(console, actor, call_id, body.extension, body.mode)


@router.websocket("/calls/{call_id}/sound")
async def listen(socket: WebSocket, call_id: CallId) -> None:
    """Both sides of a call: binary messages of 100 ms, one byte for the rate in kHz, then stereo L16
    (left the caller). Closed with 1008 where that is refused, with 1000 at the end of the call."""
    console: Console = socket.state.console
    actor: Actor | None = socket.state.actor
    if actor is None:
        await socket.close(CLOSE_REFUSED)
        return
    await socket.accept()
    try:
        async with service.listening(console, actor, call_id) as sound:
            await _play(socket, sound, _until_ended(console, actor))
        await socket.close(CLOSE_OVER)
    except UserError as e:
        await socket.close(CLOSE_REFUSED, str(e)[:120])
    except (WebSocketDisconnect, RuntimeError):
        pass  # they have gone


async def _play(
    socket: WebSocket, sound: AsyncIterator[bytes], ended: Coroutine[Any, Any, None]
) -> None:
    """Until the call is over, the browser has gone, or the session has ended."""

    async def send() -> None:
        async for piece in sound:
            await socket.send_bytes(piece)

    async def wait() -> None:
        while (await socket.receive())["type"] != "websocket.disconnect":
            pass

    tasks = {asyncio.create_task(work) for work in (send(), wait(), ended)}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError):
                await task
