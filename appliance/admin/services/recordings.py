"""Hearing a call: where its recording lies, whether it may be heard yet, its waveform.

A path is never taken from a request: the row names the file, and a row is believed only as far as the
recordings folder reaches and its own call's name goes (``privacy.recordings``). Links are not followed.
"""

from __future__ import annotations

import asyncio
import functools
import os
import stat
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from appliance.access import audit
from appliance.access.actor import Actor, NotFoundError
from appliance.access.roles import Permission
from appliance.admin.console import Console
from appliance.admin.services.onecall import found_call
from appliance.errors import UserError
from appliance.media.beeps import NoWavError
from appliance.media.peaks import Peaks, read_peaks
from appliance.privacy.beeping import SETTLE_S
from appliance.privacy.recordings import files_of
from appliance.store import call_log
from appliance.store.call_log import LoggedCall, Span
from appliance.store.calls import LONGEST_CALL
from appliance.store.tenancy import tenant_of_agent

ONE_LISTENING_S = 600
"""Requests of one person for one recording within this time are one listening: a player asks for
piece after piece."""
MOST_LISTENINGS = 10_000
"""Remembered; the oldest go first, and would be written down once more."""
KEPT_PEAKS = 64
"""Waveforms in memory, by file, its time and its size; nothing of them is on the disk. What is gone
from the disk is not found here either."""
DEFAULT_BUCKETS = 1200
NO_FILE = "The file of this recording is not on this machine."


@dataclass(frozen=True, slots=True)
class Recording:
    """One file of a call's; a call that another worker took over may have several."""

    part: int
    name: str
    """Relative to the recordings folder."""
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Sound:
    """A recording to be sent."""

    path: Path
    filename: str
    size_bytes: int
    changed_ns: int


@dataclass(frozen=True, slots=True)
class _File:
    recording: Recording
    sound: Sound


class Listenings:
    """Who is listening to what just now, so that each listening is one row of the audit log."""

    def __init__(self) -> None:
        self._last: OrderedDict[tuple[str, ...], float] = OrderedDict()

    def is_new(self, key: tuple[str, ...], now_s: float) -> bool:
        """Whether this is none that goes on."""
        last = self._last.get(key)
        return last is None or now_s - last > ONE_LISTENING_S

    def note(self, key: tuple[str, ...], now_s: float) -> None:
        """It has been written down, or goes on."""
        self._last[key] = now_s
        self._last.move_to_end(key)
        while len(self._last) > MOST_LISTENINGS:
            self._last.popitem(last=False)


_LISTENINGS = Listenings()


async def recordings_of(console: Console, logged: LoggedCall) -> tuple[Recording, ...]:
    """The files that a call has on this machine, in order."""
    files = await asyncio.to_thread(_locate, console.settings.recordings_dir, logged)
    return tuple(one.recording for one in files)


def why_not_heard(
    logged: LoggedCall, spans: Sequence[Span], recordings: Sequence[Recording], now: datetime
) -> str:
    """One sentence on why nobody may hear the recording now; empty: they may."""
    call = logged.call
    if not call.recording:
        erased = logged.recording_erased_at
        if erased is not None:
            return f"The recording was erased on {erased:%Y-%m-%d}."
        return "This call was not recorded."
    if call.ended_at is None and call.started_at > now - LONGEST_CALL:
        return "The call is still going on. Its recording can be heard when it is over."
    if call.ended_at is not None and call.ended_at > now - timedelta(seconds=SETTLE_S):
        return f"The recording is being finished. Try again in {SETTLE_S} seconds."
    if any(span.beeped_at is None and span.recording for span in spans):
        return (
            "There is personal data in this recording that is not beeped yet. `ivr jobs` does so"
            " within minutes while it runs; try again then."
        )
    return "" if recordings else NO_FILE


async def open_recording(
    console: Console, actor: Actor, call_id: str, part: int = 0, *, download: bool = False
) -> Sound:
    """The file to be played, or to be saved; each listening and each download is written to the audit
    log. ``part`` 0: the last. Raises NotFoundError; UserError while it may not be heard."""
    actor.require(Permission.RECORDINGS_DOWNLOAD if download else Permission.RECORDINGS_LISTEN)
    sound, logged = await _sound(console, actor, call_id, part)
    action = "recording.download" if download else "recording.listen"
    key = (actor.name, actor.session_id, call_id, sound.filename, action)
    now_s = time.monotonic()
    if _LISTENINGS.is_new(key, now_s):
        async with console.engine.begin() as connection:
            tenant = await tenant_of_agent(connection, logged.call.agent_id)
            detail = {"file": sound.filename}
            await audit.append(connection, actor, action, call_id, detail, tenant)
    _LISTENINGS.note(key, now_s)
    return sound


async def waveform(
    console: Console,
    actor: Actor,
    call_id: str,
    part: int = 0,
    buckets: int = DEFAULT_BUCKETS,
    from_ms: int = 0,
    to_ms: int | None = None,
) -> Peaks:
    """What the waveform of a recording, or of a part of it, shows. Raises as :func:`open_recording`."""
    actor.require(Permission.RECORDINGS_LISTEN)
    sound, _ = await _sound(console, actor, call_id, part)
    file = (str(sound.path), sound.changed_ns, sound.size_bytes)
    try:
        return await asyncio.to_thread(_peaks, file, buckets, from_ms, to_ms)
    except FileNotFoundError as e:
        raise NotFoundError(NO_FILE) from e
    except (NoWavError, OSError) as e:
        raise UserError("The recording cannot be read: its file is damaged.") from e


@functools.lru_cache(maxsize=KEPT_PEAKS)
def _peaks(file: tuple[str, int, int], buckets: int, from_ms: int, to_ms: int | None) -> Peaks:
    return read_peaks(Path(file[0]), buckets, from_ms, to_ms)


async def _sound(
    console: Console, actor: Actor, call_id: str, part: int
) -> tuple[Sound, LoggedCall]:
    async with console.engine.connect() as connection:
        logged = await found_call(connection, actor, call_id)
        spans = await call_log.spans_of(connection, call_id)
    files = await asyncio.to_thread(_locate, console.settings.recordings_dir, logged)
    trouble = why_not_heard(logged, spans, [one.recording for one in files], datetime.now(UTC))
    if not logged.call.recording or trouble == NO_FILE:
        raise NotFoundError(trouble)
    if trouble:
        raise UserError(trouble)
    wanted = [one for one in files if part in (0, one.recording.part)]
    if not wanted:
        raise NotFoundError(NO_FILE)
    return wanted[-1].sound, logged


def _locate(folder: Path, logged: LoggedCall) -> list[_File]:
    """Every file of the call, its parts in order. Blocks on the disk."""
    call_id, root = logged.call.call_id, Path(os.path.realpath(folder))
    found = []
    for path in files_of(folder, call_id, logged.call.recording):
        try:
            state = os.lstat(path)
        except OSError:
            continue
        if stat.S_ISREG(state.st_mode):  # no link, pipe or folder
            recording = Recording(
                _part_of(path.name, call_id), str(path.relative_to(root)), state.st_size
            )
            sound = Sound(path, path.name, state.st_size, state.st_mtime_ns)
            found.append(_File(recording, sound))
    return sorted(found, key=lambda one: one.recording.part)


def _part_of(name: str, call_id: str) -> int:
    number = name.removeprefix(call_id).removesuffix(".wav").removeprefix(".")
    return int(number) if number.isdigit() else 1
