"""Beeps what the end of a call left: recordings that FreeSWITCH writes, and those of killed workers.

A worker beeps its own recordings as it closes them. Here each span is beeped (again, which changes
nothing) and then marked, so that ``beeped_at`` always means: nobody can hear it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.errors import reason_of
from appliance.media.beeps import Beep, NoWavError, beep
from appliance.privacy.recordings import path_of
from appliance.settings import Settings
from appliance.store.redactions import Pending, mark_beeped, pending

log = logging.getLogger(__name__)

SETTLE_S = 10
"""After the end of a call, until whoever recorded it has closed the file."""
FILES_AT_ONCE = 100
_CHANNELS = {"caller": 0, "agent": 1}


async def beep_pending(engine: AsyncEngine, settings: Settings) -> int:
    """Beep every span that is not beeped yet, of calls that are over; returns how many were.

    What cannot be beeped (the file is not on this machine, or is read-only) is logged and tried again
    by the next run.
    """
    done = 0
    after = ("", "")
    while True:
        before = datetime.now(UTC) - timedelta(seconds=SETTLE_S)
        spans = await pending(engine, before, after, FILES_AT_ONCE)
        if not spans:
            return done
        for (recording, call_id), found in groupby(spans, key=lambda s: (s.recording, s.call_id)):
            of_file = list(found)
            if await asyncio.to_thread(_beep, settings.recordings_dir, recording, of_file):
                await mark_beeped(engine, of_file)
                done += len(of_file)
            after = (recording, call_id)


def _beep(folder: Path, recording: str, spans: Sequence[Pending]) -> bool:
    """Whether nobody can hear ``spans`` any more."""
    if not recording or all(span.erased for span in spans):
        return True
    path = path_of(folder, recording)
    if path is None:
        log.error("! call %s: its recording lies outside of the folder", spans[0].call_id)
        return False
    try:
        beep(path, [Beep(_CHANNELS.get(s.side, 0), s.begin_ms, s.end_ms) for s in spans])
    except (OSError, NoWavError) as e:
        log.warning("! call %s: its recording is not beeped: %s", spans[0].call_id, reason_of(e))
        return False
    return True
