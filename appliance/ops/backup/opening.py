"""A backup is looked at before anything of it is believed: whose it is, whether all of it is there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyrage

from appliance.errors import UserError
from appliance.ops.backup import pool
from appliance.ops.backup.ciphering import Pace, Sunk, Writer, checksum, decrypt
from appliance.ops.backup.keys import Identity, seal_of
from appliance.ops.backup.manifest import Kept, Manifest
from appliance.ops.backup.target import POOL, Backup, Target, read_backup
from appliance.settings import Settings
from appliance.store import schema


@dataclass(frozen=True, slots=True)
class Bad:
    """One thing that is not as it was written."""

    what: str
    why: str

    def __str__(self) -> str:
        return f"{self.what}: {self.why}"


def locate(settings: Settings, where: str) -> Backup:
    """The backup that is meant: a name on the target, a folder anywhere, or empty for the newest.

    Raises UserError.
    """
    folder = Path(where) if where else None
    if folder is not None and ("/" in where or folder.is_dir()):
        folder = folder.absolute()
        return read_backup(folder.parent if folder.is_file() else folder)
    target = Target.of(settings)
    target.check_mount()
    return target.find(where)


def check_seal(
    settings: Settings, backup: Backup, identity: Identity | None, *, unsealed: bool = False
) -> None:
    """Raises UserError for a backup that this box, or the one the identity is of, did not make."""
    if unsealed:
        return
    if not backup.manifest.is_sealed_by(seal_of(settings, identity)):
        raise UserError(
            f"The backup {backup.manifest.name} does not carry the seal of this key: another box made"
            " it, or somebody changed it. Use the identity file that belongs to it; if you are certain"
            " where it comes from, --unsealed takes it."
        )


def check_release(manifest: Manifest) -> None:
    """Raises UserError when only a newer release can read it."""
    known = [revision.id for revision in schema.revisions()]
    if manifest.revision and manifest.revision not in known:
        raise UserError(
            f"The backup {manifest.name} was made by release {manifest.release}, whose database"
            f" (revision {manifest.revision}) is newer than what this release knows ({known[-1]})."
            f" Install release {manifest.release} first (`ivr upgrade`), then restore."
        )


def damaged_parts(backup: Backup, pace: Pace) -> Iterator[Bad]:
    """Which of its own files are not as they were written."""
    for name, part in backup.manifest.parts.items():
        try:
            found = checksum(backup.folder / name, pace)
        except OSError as e:
            yield Bad(name, f"cannot be read: {e.strerror}")
            continue
        if found.bytes != part.bytes:
            yield Bad(name, f"has {found.bytes} bytes, not {part.bytes}")
        elif found.sha256 != part.sha256:
            yield Bad(name, "is not what was written")


def pool_of(backup: Backup) -> Path:
    """Where the objects lie that it lists: beside it."""
    return backup.folder.parent / POOL


def missing_objects(backup: Backup) -> Iterator[Bad]:
    """Objects that are not there, or not as large as they were. Raises UserError: no list."""
    folder = pool_of(backup)
    for one in pool.read_list(backup):
        try:
            size = pool.object_path(folder, one.id).stat().st_size
        except OSError:
            yield Bad(f"object {one.id}", "is not there")
            continue
        if size != one.bytes:
            yield Bad(f"object {one.id}", f"has {size} bytes, not {one.bytes}")


def read_object(backup: Backup, kept: Kept, identity: pyrage.x25519.Identity, sink: Writer) -> str:
    """One file out of the pool, into ``sink``; why it is not what was kept, or empty."""
    counted = Sunk(sink, most=kept.bytes)
    try:
        decrypt(pool.object_path(pool_of(backup), kept.id), counted, identity)
    except UserError as e:
        return str(e)
    if counted.bytes != kept.bytes or counted.sha256 != kept.sha256:
        return "is not what was kept"
    return ""
