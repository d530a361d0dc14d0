"""Erases what has been kept long enough, and looks again whether it is gone.

Each agent says for how many days recordings, words and whole rows of its calls are kept, and where it
says nothing the settings do. Nothing outlives the row of its call: where rows are kept for 30 days,
so are recordings and words.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.privacy import recordings, spools
from appliance.settings import Retention, Settings
from appliance.store import erasing
from appliance.store.erasing import Days, Erased, OldCall, What

log = logging.getLogger(__name__)

CALLS_AT_ONCE = 500
FILES_AT_ONCE = 1000
KINDS: tuple[What, ...] = ("recordings", "transcripts", "log")


@dataclass(frozen=True, slots=True)
class Kept:
    """For how many days an agent's calls keep what; 0: for ever."""

    agent_id: str
    recordings: int
    transcripts: int
    log: int

    def days(self, what: What) -> int:
        """For one of :data:`KINDS`."""
        return {"recordings": self.recordings, "transcripts": self.transcripts, "log": self.log}[
            what
        ]


def kept(days: Days, default: Retention) -> Kept:
    """An agent's own figures, the settings' where it has none; nothing longer than the log."""
    log_days = days.log or default.log_days
    return Kept(
        days.agent_id,
        _shorter(days.recordings or default.recordings_days, log_days),
        _shorter(days.transcripts or default.transcripts_days, log_days),
        log_days,
    )


def _shorter(one: int, other: int) -> int:
    return min(one or other, other or one)


async def read_kept(engine: AsyncEngine, settings: Settings) -> list[Kept]:
    """What is kept how long, for every agent that has calls or could have."""
    days = await erasing.read_days(engine)
    return [kept(one, settings.retention) for one in sorted(days, key=lambda d: d.agent_id)]


async def erase_old(
    engine: AsyncEngine, settings: Settings, *, dry_run: bool = False
) -> list[Erased]:
    """Erase what is too old, then look again; writes what it did to ``erasures``.

    One line for each agent and kind of which something was erased or is left, and one for each kind
    over all, whose ``left`` is the proof. ``dry_run``: only count.
    """
    run = _Run(engine, settings, datetime.now(UTC), dry_run)
    lines: list[Erased] = []
    policies = await read_kept(engine, settings)
    for policy in policies:
        for what in KINDS:
            if policy.days(what):
                lines.append(await run.erase(policy.agent_id, what, policy.days(what)))
    lines = await run.sweep_disk(policies, lines)
    lines.append(await run.strays())
    if not dry_run:
        lines = await run.look_again(policies, lines)
        told = [line for line in lines if line.calls or line.files or line.rows or line.left]
        lines = [*told, *_totals(lines)]
        await erasing.write_erasures(engine, lines)
    return lines


def _totals(lines: list[Erased]) -> list[Erased]:
    found = []
    for what in KINDS:
        mine = [line for line in lines if line.what == what]
        found.append(
            Erased(
                "retention",
                "",
                what,
                None,
                sum(line.calls for line in mine),
                sum(line.files for line in mine),
                sum(line.rows for line in mine),
                sum(line.left for line in mine),
                note="all agents",
            )
        )
    return found


class _Run:
    """One run of the retention job."""

    def __init__(
        self, engine: AsyncEngine, settings: Settings, now: datetime, dry_run: bool
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._now = now
        self._dry_run = dry_run

    def before(self, days: int) -> datetime:
        return self._now - timedelta(days=days)

    async def erase(self, agent_id: str, what: What, days: int) -> Erased:
        """Everything of one kind of one agent that is older."""
        before = self.before(days)
        line = Erased("retention", agent_id, what, before)
        after: tuple[datetime, str] | None = None
        while True:
            calls = await erasing.old_calls(
                self._engine, what, agent_id, before, after, CALLS_AT_ONCE
            )
            if not calls:
                return line
            after = calls[-1].started_at, calls[-1].call_id
            if self._dry_run:
                line = replace(line, calls=line.calls + len(calls))
            else:
                line = await self._erase_batch(what, calls, line)

    async def _erase_batch(self, what: What, calls: list[OldCall], line: Erased) -> Erased:
        if what == "transcripts":
            ids = [call.call_id for call in calls]
            rows = await erasing.erase_words(self._engine, ids)
            return replace(line, calls=line.calls + len(ids), rows=line.rows + rows)
        gone, files = await asyncio.to_thread(remove_files, self._settings.recordings_dir, calls)
        if what == "recordings":
            rows = await erasing.erase_recordings(self._engine, gone)
        else:  # the row of a file that cannot be erased stays: it is what leads to the file
            rows = await erasing.erase_calls(self._engine, gone)
        return replace(
            line, calls=line.calls + len(gone), files=line.files + files, rows=line.rows + rows
        )

    async def sweep_disk(self, policies: list[Kept], lines: list[Erased]) -> list[Erased]:
        """Files that no row leads to any more, and further parts of calls whose file is gone."""
        found = await self._old_files(policies)
        by_agent: dict[str, int] = {}
        for agent_id, path in found:
            if self._dry_run or await asyncio.to_thread(recordings.remove, path):
                by_agent[agent_id] = by_agent.get(agent_id, 0) + 1
        if not self._dry_run and self._settings.recordings_dir.is_dir():
            await asyncio.to_thread(recordings.prune, self._settings.recordings_dir)
        for agent_id, files in by_agent.items():
            at = self._line(lines, agent_id, "recordings")
            lines[at] = replace(lines[at], files=lines[at].files + files)
        return lines

    async def strays(self) -> Erased:
        """Rows without a call, and what spools have left."""
        days = self._settings.retention.log_days
        if not days:
            return Erased("retention", "", "log", None)
        before = self.before(days)
        rows = await erasing.erase_strays(self._engine, before, dry_run=self._dry_run)
        folder = self._settings.spool_dir
        files = await asyncio.to_thread(spools.erase_old, folder, before, dry_run=self._dry_run)
        return Erased("retention", "", "log", before, files=files, rows=rows)

    async def look_again(self, policies: list[Kept], lines: list[Erased]) -> list[Erased]:
        """Count what should be gone and is not."""
        for policy in policies:
            for what in KINDS:
                if days := policy.days(what):
                    before = self.before(days)
                    left = await erasing.count_old(self._engine, what, policy.agent_id, before)
                    at = self._line(lines, policy.agent_id, what)
                    lines[at] = replace(lines[at], left=lines[at].left + left)
        for agent_id, _ in await self._old_files(policies):
            at = self._line(lines, agent_id, "recordings")
            lines[at] = replace(lines[at], left=lines[at].left + 1)
        if days := self._settings.retention.log_days:
            left = await erasing.erase_strays(self._engine, self.before(days), dry_run=True)
            left += await asyncio.to_thread(
                spools.erase_old, self._settings.spool_dir, self.before(days), dry_run=True
            )
            at = self._line(lines, "", "log")
            lines[at] = replace(lines[at], left=lines[at].left + left)
        for line in lines:
            if line.left:
                log.error(
                    "! retention: %d %s of agent %r are left", line.left, line.what, line.agent_id
                )
        return lines

    def _line(self, lines: list[Erased], agent_id: str, what: What) -> int:
        """Where the line of an agent and a kind stands; a new one, if it has none."""
        for at, line in enumerate(lines):
            if (line.agent_id, line.what) == (agent_id, what):
                return at
        lines.append(Erased("retention", agent_id, what, None))
        return len(lines) - 1

    async def _old_files(self, policies: list[Kept]) -> list[tuple[str, Path]]:
        """Recordings on the disk that should not be there: (agent, file)."""
        folder = self._settings.recordings_dir
        if not folder.is_dir():
            return []
        files = await asyncio.to_thread(lambda: list(recordings.recordings(folder)))
        days = {policy.agent_id: policy.recordings for policy in policies}
        found: list[tuple[str, Path]] = []
        for start in range(0, len(files), FILES_AT_ONCE):
            batch = files[start : start + FILES_AT_ONCE]
            calls = await erasing.calls_by_id(self._engine, [file.call_id for file in batch])
            found += [
                (agent_id, file.path)
                for file in batch
                if (agent_id := self._too_old(file, calls, days)) is not None
            ]
        return found

    def _too_old(
        self, file: recordings.File, calls: Mapping[str, OldCall], days: Mapping[str, int]
    ) -> str | None:
        """The agent whose days are over for a file; None: it may stay. "" for one without a call."""
        call = calls.get(file.call_id)
        if call is None:
            default = kept(Days("", 0, 0, 0), self._settings.retention).recordings
            return "" if default and file.at < self.before(default) else None
        allowed = days.get(call.agent_id, 0)
        return call.agent_id if allowed and call.started_at < self.before(allowed) else None


def remove_files(folder: Path, calls: list[OldCall]) -> tuple[list[str], int]:
    """Erase the recordings of ``calls``: (ids of those that have none now, files erased).

    Without the folder (its disk is not mounted) no recording can be said to be gone.
    """
    gone, files = [], 0
    mounted = folder.is_dir()
    for call in calls:
        if not call.recording:
            gone.append(call.call_id)
            continue
        if not mounted:
            continue
        if recordings.path_of(folder, call.recording) is None:
            log.error(
                "! call %s: its row names no recording of ours; nothing is erased", call.call_id
            )
        paths = recordings.files_of(folder, call.call_id, call.recording)
        there = sum(path.exists() for path in paths)
        if all([recordings.remove(path) for path in paths]):
            gone.append(call.call_id)
            files += there
    return gone, files
