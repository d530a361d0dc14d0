"""Erases everything that is kept of one caller, because they ask for it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.errors import UserError
from appliance.numbers import candidates, e164, is_public
from appliance.privacy import recordings, spools
from appliance.privacy.retention import CALLS_AT_ONCE, remove_files
from appliance.settings import Settings
from appliance.store import erasing
from appliance.store.cached_answers import forget_questions_of
from appliance.store.erasing import Erased, OldCall

ERASURE_SECRET = "erasure"
"""Key of the hash that stands for an erased number in ``erasures``."""
LIMITS = (
    "do-not-call entries stay, so that the number is not called again",
    "log files outside the appliance name the numbers of callers, until they are rotated",
    "audio of phrases that voice servers have cached on their disks holds no number of a caller's,"
    " but may hold a name that the agent said: empty their cache folders",
    "database backups and the write-ahead log keep what they had until they are replaced",
)
OTHERS = "calls of this number with agents of others stay"
WAITING = (
    "{} rows of theirs lie in spools of this machine, on their way to the database or stored a moment"
    " ago: erase again in two minutes, while the database and a worker run"
)


@dataclass(frozen=True, slots=True)
class Report:
    """What was erased of a caller; ``left`` 0 is the proof."""

    key: str
    """Keyed hash of the number: the same number has the same one, and nobody can read it back."""
    calls: int
    files: int
    rows: int
    left: int
    limits: tuple[str, ...] = LIMITS

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self)


def forms_of(number: str, country: str) -> tuple[str, ...]:
    """The digits of every way that trunks and telephones write a number."""
    whole = e164(number, country)
    ways = [*candidates(number, country), whole, f"00{whole.removeprefix('+')}"]
    digits = (re.sub(r"[^0-9]", "", way) for way in ways)
    return tuple(dict.fromkeys(d for d in digits if d))


def key_of(number: str, settings: Settings) -> str:
    """The keyed hash of a number (HMAC-SHA-256, the first 16 bytes)."""
    secret = settings.secret(ERASURE_SECRET).encode()
    whole = e164(number, settings.switch.country).encode()
    return hmac.new(secret, whole, hashlib.sha256).hexdigest()[:32]


async def erase_caller(
    engine: AsyncEngine,
    settings: Settings,
    number: str,
    asked_by: str,
    tenant: str | None = None,
) -> Report:
    """Erase every call from or to ``number``: recordings, words, rows, common questions
    of theirs, calls still to be made. With a ``tenant``, those of its agents alone.

    Raises UserError for what is no telephone number, and while a call with it lives.
    """
    country = settings.switch.country
    if not is_public(number, country):
        raise UserError(f"{number!r} is no telephone number. Write it as +919876543210.")
    forms = forms_of(number, country)
    if live := await erasing.live_calls_of(engine, forms, tenant):
        raise UserError(
            f"A call with this number is live ({live[0]}). Erase again when it is over."
        )
    ids: set[str] = set()
    done = await _erase_calls(engine, settings, forms, ids, tenant)
    rows = done.rows + await erasing.erase_rest_of(engine, forms, tenant)
    # what waits is known by its numbers, too; another tenant's is not ours to take
    waiting_forms = forms if tenant is None else ()
    rows += await asyncio.to_thread(spools.erase_of, settings.spool_dir, waiting_forms, ids)
    done = replace(done, rows=rows)
    waiting = await asyncio.to_thread(spools.waiting_of, settings.spool_dir, waiting_forms, ids)
    left = done.left + await erasing.count_of(engine, forms, tenant) + waiting
    key = key_of(number, settings)
    line = replace(done, left=left, asked_by=asked_by, note=f"caller {key}")
    await erasing.write_erasures(engine, [line])
    limits = LIMITS if tenant is None else (*LIMITS, OTHERS)
    limits = (*limits, WAITING.format(waiting)) if waiting else limits
    return Report(key, line.calls, line.files, line.rows, line.left, limits)


async def erase_call(
    engine: AsyncEngine, settings: Settings, call: OldCall, asked_by: str
) -> Erased:
    """Erase one call that is over: recordings, words, rows, common questions of its caller's. What is
    left is counted, and written to ``erasures``."""
    line = await _erase_batch(
        engine, settings, [call], Erased("request", call.agent_id, "call", None)
    )
    ids = {call.call_id}
    rows = line.rows + await asyncio.to_thread(spools.erase_of, settings.spool_dir, (), ids)
    left = line.left + await asyncio.to_thread(spools.waiting_of, settings.spool_dir, (), ids)
    if not line.calls:
        left += 1  # its recording could not be erased, so its row stays
    line = replace(line, rows=rows, left=left, asked_by=asked_by)
    await erasing.write_erasures(engine, [line])
    return line


async def _erase_calls(
    engine: AsyncEngine,
    settings: Settings,
    forms: tuple[str, ...],
    ids: set[str],
    tenant: str | None,
) -> Erased:
    """Their files and rows; of a file that cannot be erased the rows stay, and count as left. ``ids``
    get those of the calls."""
    line = Erased("request", "", "caller", None)
    stuck: set[str] = set()
    while True:
        calls = await erasing.calls_of(engine, forms, CALLS_AT_ONCE + len(stuck), tenant)
        calls = [call for call in calls if call.call_id not in stuck]
        if not calls:
            return line
        ids |= {call.call_id for call in calls}
        gone: set[str] = set()
        line = await _erase_batch(engine, settings, calls, line, gone)
        stuck |= {call.call_id for call in calls} - gone


async def _erase_batch(
    engine: AsyncEngine,
    settings: Settings,
    calls: list[OldCall],
    line: Erased,
    done: set[str] | None = None,
) -> Erased:
    """``line`` with what became of ``calls``; ``done`` gets the ids of those that are gone."""
    folder = settings.recordings_dir
    gone, files = await asyncio.to_thread(remove_files, folder, calls)
    rows = await forget_questions_of(engine, gone)  # which stand there in the caller's words
    rows += await erasing.erase_calls(engine, gone)
    left = await erasing.count_calls(engine, gone)
    left += await asyncio.to_thread(_files_left, folder, set(gone))
    if done is not None:
        done |= set(gone)
    return replace(
        line,
        calls=line.calls + len(gone),
        files=line.files + files,
        rows=line.rows + rows,
        left=line.left + left,
    )


def _files_left(folder: Path, call_ids: set[str]) -> int:
    if not folder.is_dir():
        return 0
    return sum(file.call_id in call_ids for file in recordings.recordings(folder))
