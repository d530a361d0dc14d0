"""Whether there are backups, where they lie, and who can read that folder."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from appliance.errors import UserError
from appliance.ops import alarms
from appliance.ops.backup.target import FOLDER_MODE, Target
from appliance.ops.doctor.box import Box
from appliance.ops.doctor.check import Check, Finding, Group, State, Step
from appliance.ops.doctor.errors import said
from appliance.ops.doctor.parts import of_alarm
from appliance.ops.doctor.sentences import words

LAST, PLACE = "backup", "backup-place"
OTHERS = 0o077


async def look_at_last(box: Box) -> Sequence[Finding]:
    """The alarms of backups; without one, how old the last is and when one was restored."""
    site = await box.site()
    found = [of_alarm(LAST, alarm) for alarm in alarms.of_backups(site)]
    if found or site.backup is None:
        return found or [Finding(LAST, State.SKIPPED, "Nobody looked at the backups.")]
    state = site.backup.state
    drilled = f"{state.drilled_at:%Y-%m-%d}" if state.drilled_at else words("never")
    age = site.backup.age_hours(site.at_s) or 0.0
    return [
        Finding(
            LAST,
            State.GOOD,
            "The last backup is {hours} hours old; one was last restored: {drilled}.",
            values={"hours": f"{age:.0f}", "drilled": drilled},
            detail={"name": state.name, "bytes": state.bytes, "seconds": state.seconds},
        )
    ]


async def look_at_place(box: Box) -> Sequence[Finding]:
    """The folder of backups: mounted, ours alone, and not on the disk that it is to save."""
    return await asyncio.to_thread(_place, box)


def _place(box: Box) -> list[Finding]:
    target = Target.of(box.settings)
    try:
        target.check_mount()
    except UserError as e:
        return [Finding(PLACE, State.BAD, said(str(e)), code="backup-not-mounted")]
    try:
        status = target.folder.stat()
    except FileNotFoundError:
        return [Finding(PLACE, State.SKIPPED, "There is no folder of backups yet.")]
    found = []
    if status.st_mode & OTHERS:
        found.append(
            Finding(
                PLACE,
                State.BAD,
                "Others on this box can look into {folder}.",
                "`ivr doctor --fix` takes their rights away (chmod 0700).",
                {"folder": str(target.folder)},
                code="backup-open",
            )
        )
    data = next((p for p in (box.settings.data_dir, Path("/")) if p.exists()), Path("/"))
    if data.stat().st_dev == status.st_dev:
        found.append(
            Finding(
                PLACE,
                State.WARNING,
                "Backups lie on the disk that holds the data: {folder}.",
                "Set backup.target (and backup.mount) to another disk or a share, or copy them off"
                " this box every day.",
                {"folder": str(target.folder)},
                code="backup-same-disk",
            )
        )
    return found or [
        Finding(
            PLACE,
            State.GOOD,
            "Backups lie in {folder}, on another disk than the data.",
            values={"folder": str(target.folder)},
        )
    ]


async def close_place(box: Box) -> Sequence[Step]:
    """Take others' rights to the folder away."""
    folder = Target.of(box.settings).folder
    if not folder.exists() or not folder.stat().st_mode & OTHERS:
        return []

    async def close() -> None:
        await asyncio.to_thread(os.chmod, folder, FOLDER_MODE)

    return [Step(f"Make {folder} readable by its owner alone", close)]


CHECKS = (
    Check(LAST, "Last backup", Group.BACKUP, look_at_last, how="backup/last.json in data_dir"),
    Check(
        PLACE,
        "Place of backups",
        Group.BACKUP,
        look_at_place,
        close_place,
        how="mounts, modes and devices of backup.target and data_dir",
    ),
)
