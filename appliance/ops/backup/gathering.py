"""The files of a backup: recordings, announcements, models, into the pool."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pyrage

from appliance.checkpoints.manifest import MANIFEST as MODEL_MANIFEST
from appliance.errors import UserError
from appliance.ops.backup.ciphering import Pace, checksum
from appliance.ops.backup.manifest import OBJECTS, Kept, Model
from appliance.ops.backup.pool import Found, Object, Pool, Tree, find, read_list
from appliance.ops.backup.target import Target
from appliance.privacy.recordings import call_id_of
from appliance.settings import Settings

SETTLED = timedelta(hours=1)
"""A recording without a row that is so old belongs to rows which still wait; a younger one, to a
call that began after the database's moment."""
TELL_EVERY = 500
"""Files, from one line to the next."""
Tell = Callable[[str], None]
"""Takes a line of progress."""


@dataclass(slots=True)
class Work:
    """What the steps of one backup share."""

    settings: Settings
    target: Target
    partial: Path
    seal: str
    recipients: tuple[str, ...]
    keys: list[pyrage.x25519.Recipient]
    pace: Pace
    tell: Tell
    read_bytes: int = 0
    written_bytes: int = 0
    new_objects: int = 0
    drill_error: str = ""
    warnings: list[str] = field(default_factory=list)

    def wrote(self, read: int, written: int) -> None:
        """Count what went through."""
        self.read_bytes += read
        self.written_bytes += written


def keep_files(
    work: Work, calls: set[str], known: dict[str, Object], began: datetime, with_models: bool
) -> tuple[list[Kept], list[Object]]:
    pool = Pool(work.target, work.seal, work.recipients)
    kept_files: list[Kept] = []
    objects: dict[str, Object] = {}
    for found in _found(work.settings, calls, began, with_models):
        done = pool.keep(found, known, work.keys, work.pace)
        if done is None:
            work.warnings.append(f"{found.tree}/{found.path} changed while it was read: left out.")
            continue
        one, item = done
        if known.get(item.id) != item:
            work.wrote(found.bytes, item.bytes)
            work.new_objects += 1
        kept_files.append(one)
        objects[item.id] = item
        if len(kept_files) % TELL_EVERY == 0:
            work.tell(f"{len(kept_files)} files, {work.new_objects} of them new.")
    pool.sync()
    return kept_files, [objects[id_] for id_ in sorted(objects)]


def _found(
    settings: Settings, calls: set[str], began: datetime, with_models: bool
) -> Iterator[Found]:
    settled_ns = int((began - SETTLED).timestamp() * 1e9)
    for one in find("recordings", settings.recordings_dir):
        call = call_id_of(one.path)
        if call is not None and (call in calls or one.mtime_ns < settled_ns):
            yield one
    trees: list[tuple[Tree, Path]] = [("announcements", settings.announcements_dir)]
    if with_models:
        trees.append(("models", settings.models_dir))
    for tree, root in trees:
        yield from find(tree, root)


def models_of(settings: Settings) -> Iterator[Model]:
    """Each folder of models with what its manifest says: enough to fetch and prove it again."""
    root = settings.models_dir
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        if not folder.is_dir() or folder.name.startswith("."):
            continue
        files = list(find("models", folder))
        said = ""
        with suppress(OSError, UnicodeDecodeError):
            said = (folder / MODEL_MANIFEST).read_text(encoding="utf-8")
        yield Model(
            name=folder.name, bytes=sum(one.bytes for one in files), files=len(files),
            checkpoint=said,
        )  # fmt: skip


def known_objects(work: Work) -> dict[str, Object]:
    """What earlier backups say of the pool: those that are ours and as they were written."""
    found: dict[str, Object] = {}
    for backup in work.target.backups():
        path = backup.folder / OBJECTS
        part = backup.manifest.parts["objects"]
        with suppress(OSError, UserError):
            if not backup.manifest.is_sealed_by(work.seal):
                continue
            if checksum(path, Pace(0)).sha256 == part.sha256:
                found.update((one.id, one) for one in read_list(backup))
    return found
