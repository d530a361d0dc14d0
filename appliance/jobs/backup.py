"""The backup of the night, where no timer makes it: a process of its own, so that nothing of it is in
this one's memory or keeps its loop."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from subprocess import DEVNULL, PIPE

from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.settings import Settings

SYSTEMD_SAYS = "INVOCATION_ID"
"""Set by systemd in everything that it runs; there ivr-backup.timer makes the backups."""
LONGEST_S = 6 * 3600.0
TERMINATE_S = 30.0

_log = logging.getLogger(__name__)


async def make_backup(engine: AsyncEngine, settings: Settings) -> None:
    """`ivr backup create --scheduled`, unless systemd does it, or nobody has made a key yet."""
    has_key = settings.backup.recipients or settings.backup_recipient_file.exists()
    if not settings.backup.by_jobs or not has_key or SYSTEMD_SAYS in os.environ:
        return
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "appliance", "backup", "create", "--scheduled",
        stdin=DEVNULL, stdout=PIPE, stderr=PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(LONGEST_S):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:  # it clears away what it began
            process.terminate()
            await asyncio.wait_for(process.wait(), TERMINATE_S)
    if process.returncode:
        _log.error("! no backup: %s", err.decode(errors="replace").strip()[-500:])
    else:
        _log.info("= %s", out.decode(errors="replace").strip()[-500:])
