"""Whether there is room on the disks that hold data."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.ops.alarms import MAKE_ROOM, disk_severity
from appliance.ops.doctor.box import Box
from appliance.ops.doctor.check import Check, Finding, Group, State, state_of
from appliance.settings import Settings

SPACE, INODES = "disk", "inodes"
FEW_FILES = (
    "Remove many small files there (`df -i` shows it), or make the file system anew with more."
)


@dataclass(frozen=True, slots=True)
class Disk:
    """One file system, and the folders of ours on it."""

    folders: tuple[str, ...]
    free_bytes: int
    """For us: without what is kept for root."""
    bytes: int
    free_inodes: int
    inodes: int
    """0: it has no fixed number of them."""


def disks(settings: Settings) -> tuple[Disk, ...]:
    """Every file system that holds data of ours. Blocks."""
    folders = [
        settings.data_dir,
        settings.recordings_dir,
        settings.models_dir,
        settings.database.embedded_dir,
        Path("/tmp"),
        Path("/"),
    ]
    found: dict[int, tuple[list[str], os.statvfs_result]] = {}
    for folder in folders:
        there = next((p for p in (folder, *folder.absolute().parents) if p.exists()), None)
        if there is None:
            continue
        names, _ = found.setdefault(there.stat().st_dev, ([], os.statvfs(there)))
        names.append(str(there))
    return tuple(
        Disk(
            tuple(dict.fromkeys(names)), stat.f_bavail * stat.f_frsize,
            stat.f_blocks * stat.f_frsize, stat.f_favail, stat.f_files,
        )
        for names, stat in found.values()
    )  # fmt: skip


async def look_at_space(box: Box) -> Sequence[Finding]:
    """Free bytes of each."""
    return [_space(disk) for disk in await asyncio.to_thread(disks, box.settings)]


async def look_at_inodes(box: Box) -> Sequence[Finding]:
    """Free files of each."""
    found = await asyncio.to_thread(disks, box.settings)
    return [_inodes(disk) for disk in found if disk.inodes] or [
        Finding(INODES, State.SKIPPED, "No file system here counts its files.")
    ]


def _space(disk: Disk) -> Finding:
    share = disk.free_bytes / disk.bytes if disk.bytes else 1.0
    return Finding(
        SPACE, state_of(disk_severity(share)), "{gb} GB are free ({share} %) where {folder} is.",
        MAKE_ROOM if disk_severity(share) else "",
        {"gb": f"{disk.free_bytes / 1e9:.1f}", "share": f"{100 * share:.0f}",
         "folder": ", ".join(disk.folders)},
        detail={"free_bytes": disk.free_bytes, "bytes": disk.bytes, "folders": disk.folders},
    )  # fmt: skip


def _inodes(disk: Disk) -> Finding:
    share = disk.free_inodes / disk.inodes
    return Finding(
        INODES, state_of(disk_severity(share)), "{count} more files fit ({share} %) where {folder} is.",
        FEW_FILES if disk_severity(share) else "",
        {"count": str(disk.free_inodes), "share": f"{100 * share:.0f}",
         "folder": ", ".join(disk.folders)},
        detail={"free": disk.free_inodes, "inodes": disk.inodes},
    )  # fmt: skip


CHECKS = (
    Check(SPACE, "Disk space", Group.MACHINE, look_at_space, how="statvfs of each data folder"),
    Check(
        INODES, "Room for files", Group.MACHINE, look_at_inodes, how="statvfs of each data folder"
    ),
)
