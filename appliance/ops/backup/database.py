"""The database of a backup, put into a server: loaded and compared, brought to this release, its audit
log followed from end to end. So it is proven in a scratch server, and so it is restored.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pyrage

from appliance.access import audit
from appliance.files import sync_folder
from appliance.ops.backup.ciphering import decrypt
from appliance.ops.backup.clients import programs
from appliance.ops.backup.dumping import dump
from appliance.ops.backup.loading import Loading
from appliance.ops.backup.manifest import DATABASE, Contents
from appliance.ops.backup.target import Backup
from appliance.settings import Settings
from appliance.store import backing
from appliance.store.backing import TableSum
from appliance.store.database import answer, migrate

AUDIT_TIMEOUT_S = 3600.0
ALONE_TIMEOUT_S = 3.0
"""For sessions of processes that have just ended, and for exporters that come and go."""
POLL_S = 0.2
ASIDE_FILE = "database.dump"
COPY_BYTES = 1 << 20


def is_alone(url: str) -> bool:
    """Whether nobody else works with the database at ``url``; who only looks in is waited for."""
    deadline = time.monotonic() + ALONE_TIMEOUT_S
    while backing.others_connected(url):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def take_aside(url: str, folder: Path) -> None:
    """What is in the database now, as a dump in ``folder``, on the disk when this returns: the only
    copy, once another is loaded in its place. Raises UserError, OSError."""
    folder.mkdir(mode=0o700, exist_ok=True)
    with backing.held(url) as moment:
        tools = programs(moment.server_version)
        with dump(tools, url, moment.snapshot) as rows, open(folder / ASIDE_FILE, "wb") as file:
            shutil.copyfileobj(rows, file, COPY_BYTES)
            file.flush()
            os.fsync(file.fileno())
    for place in (folder, folder.parent):
        sync_folder(place, if_it_can=True)


def load(
    url: str,
    server_version: int,
    backup: Backup,
    contents: Contents,
    identity: pyrage.x25519.Identity,
) -> None:
    """The backup's rows instead of what is at ``url``. Raises UserError; then nothing has changed."""
    sums = [TableSum(one.name, one.rows, one.sum) for one in contents.tables]
    tools = programs(server_version, least=backup.manifest.tool_version)
    with Loading(tools, url, server_version, sums) as loading:
        decrypt(backup.folder / DATABASE, loading, identity)
        loading.finish()


def bring_up(settings: Settings, url: str, contents: Contents) -> audit.Verified:
    """The tables as this release has them, and what its audit log is found to be. ``settings`` name
    the database at ``url``. Raises UserError."""
    migrate(url)
    expect = contents.audit_head
    return answer(settings, lambda engine: audit.verify(engine, expect), AUDIT_TIMEOUT_S)
