"""What is not where it should be: folders that are missing, and files that nobody will finish."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from appliance.ops.doctor.box import Box
from appliance.ops.doctor.check import Check, Finding, Group, State, Step
from appliance.ops.doctor.kernel import our_processes
from appliance.ops.doctor.sentences import worded
from appliance.settings import Settings

HALF_WRITTEN = re.compile(r"\..+\.[0-9a-f]{16}")
"""As ``files.write_whole`` and ``Settings.secret`` name what they are still writing."""
OLD_S = 3600.0
MOST_SHOWN = 50


async def look(box: Box) -> Sequence[Finding]:
    """The folders of data, and what lies in them."""
    settings = box.settings
    if not settings.data_dir.is_dir():
        do = "`ivr up` makes it, or `ivr doctor --fix`; data_dir in the settings names it."
        return [
            Finding(
                "data",
                State.WARNING,
                worded("There is no folder {folder} yet.", folder=settings.data_dir),
                do,
            )
        ]
    found = []
    old = await asyncio.to_thread(lambda: list(half_written(settings)))
    if old:
        what = worded(
            "{count} files were begun and never finished, {one} among them.",
            count=len(old),
            one=old[0],
        )
        do = "`ivr doctor --fix` removes them: whoever wrote them has ended."
        found.append(Finding("data", State.WARNING, what, do, code="half-written"))
    if await _stale_mark(box):
        what = worded(
            "{file} says that ivr jobs runs, and it does not.", file=settings.jobs_ready_file
        )
        do = "`ivr doctor --fix` removes it; start `ivr jobs`."
        found.append(Finding("data", State.WARNING, what, do, code="stale-mark"))
    return found or [
        Finding("data", State.GOOD, worded("{folder} is in order.", folder=settings.data_dir))
    ]


async def fix(box: Box) -> Sequence[Step]:
    """Make the folder; remove leftovers."""
    settings = box.settings
    if not settings.data_dir.is_dir():
        return [Step(f"Make the folder {settings.data_dir}", lambda: _make(settings.data_dir))]
    old = await asyncio.to_thread(lambda: list(half_written(settings)))
    steps = [Step(f"Remove {path}", lambda path=path: _remove(path)) for path in old]  # type: ignore[misc]
    if await _stale_mark(box):
        mark = settings.jobs_ready_file
        steps.append(Step(f"Remove {mark}", lambda: _remove(mark)))
    return steps


def half_written(settings: Settings) -> Iterator[Path]:
    """Files that a process which is gone left half written, an hour ago or more. Blocks."""
    folders = (settings.data_dir, settings.secrets_dir, settings.jobs_dir, settings.tls_dir)
    before_s = time.time() - OLD_S
    found = 0
    for folder in folders:
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if HALF_WRITTEN.fullmatch(path.name) and path.is_file():
                if path.stat().st_mtime < before_s and (found := found + 1) <= MOST_SHOWN:
                    yield path


async def _stale_mark(box: Box) -> bool:
    """The mark stands, and no process that would have set it runs."""
    if not box.settings.jobs_ready_file.exists():
        return False
    return not any(process.ours in ("jobs", "up") for process in await our_processes(box))


async def _make(folder: Path) -> None:
    await asyncio.to_thread(lambda: folder.mkdir(parents=True, mode=0o750))


async def _remove(path: Path) -> None:
    await asyncio.to_thread(path.unlink, missing_ok=True)


CHECKS = (Check("data", "Folders of data", Group.SETTINGS, look, fix, how="lists them"),)
