"""Numbers lead to agents that can answer, and rows do not pile up on the disk."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from appliance.ops.doctor.box import Box
from appliance.ops.doctor.check import Check, Finding, Group, State
from appliance.ops.doctor.sentences import worded
from appliance.settings import Settings
from appliance.store.health import read_numbers

MOST_NAMED = 5
STUCK_S = 300.0
"""Rows that lie there so long are shipped by nobody."""


async def look_at_numbers(box: Box) -> Sequence[Finding]:
    """Rows of numbers, agents and their versions."""
    async with box.engine.connect() as connection:
        numbers = await read_numbers(connection)
    found = []
    if numbers.nowhere:
        named = ", ".join(f"{did} ({agent})" for did, agent in numbers.nowhere[:MOST_NAMED])
        what = worded(
            "{count} numbers lead to an agent that was never published: {named}.",
            count=len(numbers.nowhere),
            named=named,
        )
        do = "Publish it (console, Agents), or give the number to another: ivr numbers."
        found.append(Finding("numbers", State.BAD, what, do, code="number-nowhere"))
    if not numbers.numbers:
        do = "`ivr seed` publishes a sample; else the console, Agents, then Numbers."
        what = "No number is answered by an agent: every call is refused."
        found.append(Finding("numbers", State.BAD, what, do, code="no-number"))
    good = worded(
        "{numbers} numbers lead to {agents} published agents.",
        numbers=numbers.numbers,
        agents=numbers.agents,
    )
    return found or [Finding("numbers", State.GOOD, good)]


async def look_at_spool(box: Box) -> Sequence[Finding]:
    """Files of rows that nobody has written to Postgres for minutes."""
    stuck, size = await asyncio.to_thread(stuck_spool, box.settings)
    if not stuck:
        return [Finding("spool", State.GOOD, "No row waits on the disk for long.")]
    what = worded(
        "{files} files with {kb} kB of call rows lie on the disk for minutes.",
        files=stuck,
        kb=f"{size / 1e3:.0f}",
    )
    do = "If Postgres answers, start a worker: it writes what others left; else see its log."
    return [Finding("spool", State.WARNING, what, do, detail={"files": stuck, "bytes": size})]


def stuck_spool(settings: Settings) -> tuple[int, int]:
    """Files of the spool that were not touched for ``STUCK_S`` and hold rows; their bytes. Blocks."""
    before_s = time.time() - STUCK_S
    count = size = 0
    for file in settings.spool_dir.iterdir() if settings.spool_dir.is_dir() else ():
        try:
            stat = file.stat()
        except OSError:
            continue  # shipped meanwhile
        if stat.st_size and stat.st_mtime < before_s and not file.name.startswith("."):
            count, size = count + 1, size + stat.st_size
    return count, size


CHECKS = (
    Check("numbers", "Numbers and agents", Group.CALLS, look_at_numbers, how="rows in Postgres"),
    Check("spool", "Spool", Group.CALLS, look_at_spool, how="age of the files in data_dir/spool"),
)
