"""``ivr backup verify``: that a backup is as it was written; and with the identity, that it restores.

Without the identity nothing can be decrypted here, so only the seal and the checksums of what lies on
the target are looked at. An object that is damaged there is put out of the way: the next backup
writes it anew, as long as its recording is still on the box.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import datetime

import pyrage

from appliance.errors import UserError
from appliance.ops.backup import boxfiles, database, opening, pool, scratch
from appliance.ops.backup.ciphering import Pace, checksum
from appliance.ops.backup.gathering import TELL_EVERY, Tell
from appliance.ops.backup.keys import Identity, opened, seal_of
from appliance.ops.backup.manifest import FILES, Contents
from appliance.ops.backup.opening import Bad
from appliance.ops.backup.target import Backup, Target
from appliance.settings import Database, Settings

DAMAGED = ".damaged"


@dataclass(frozen=True, slots=True)
class Report:
    """What a look found."""

    name: str
    made_at: datetime
    release: str
    revision: str
    with_identity: bool
    seconds: float
    objects: int
    tables: int = 0
    rows: int = 0
    files: int = 0
    small_files: int = 0
    audit_rows: int = 0
    audit_why: str = ""
    bad: tuple[Bad, ...] = ()

    @property
    def is_good(self) -> bool:
        return not self.bad


def verify(
    settings: Settings,
    where: str,
    identity: Identity | None,
    tell: Tell = lambda _: None,
    *,
    unsealed: bool = False,
) -> Report:
    """Look at one. Raises UserError when it cannot be looked at at all."""
    began = time.monotonic()
    backup = opening.locate(settings, where)
    opening.check_seal(settings, backup, identity, unsealed=unsealed)
    target = Target(backup.folder.parent)
    with target.alone():
        tell("Checksums of what lies there.")
        pace = Pace(settings.backup.mb_per_s * 1e6)
        bad = list(opening.damaged_parts(backup, pace))
        if identity is None:
            count, damaged = _objects(settings, target, backup, pace)
            return _report(backup, began, objects=count, bad=(*bad, *damaged))
        if bad:
            return _report(backup, began, with_identity=True, bad=tuple(bad))
        return _whole(settings, backup, opened(identity), tell, began)


def _report(
    backup: Backup, began: float, *, objects: int = 0, with_identity: bool = False,
    bad: tuple[Bad, ...] = (),
) -> Report:  # fmt: skip
    manifest = backup.manifest
    return Report(
        manifest.name, manifest.made_at, manifest.release, manifest.revision, with_identity,
        time.monotonic() - began, objects, bad=bad,
    )  # fmt: skip


def _objects(
    settings: Settings, target: Target, backup: Backup, pace: Pace
) -> tuple[int, tuple[Bad, ...]]:
    """Checksums of the objects that ``backup`` lists. One may have been written anew since."""
    right = _listed(settings, target, backup)
    bad, count = [], 0
    for one in pool.read_list(backup):
        path = pool.object_path(target.pool, one.id)
        count += 1
        try:
            found = checksum(path, pace)
        except OSError as e:
            bad.append(Bad(f"object {one.id}", f"cannot be read: {e.strerror}"))
            continue
        if found.sha256 not in right[one.id]:
            path.rename(path.with_name(path.name + DAMAGED))
            bad.append(Bad(f"object {one.id}", "is not what was written; it is put aside"))
    return count, tuple(bad)


def _listed(settings: Settings, target: Target, backup: Backup) -> dict[str, set[str]]:
    """Every checksum that a backup of ours has for an object."""
    seal = seal_of(settings)
    found: dict[str, set[str]] = {}
    for one in (*target.backups(), backup):
        if one.manifest.is_sealed_by(seal) or one.folder == backup.folder:
            for item in pool.read_list(one):
                found.setdefault(item.id, set()).add(item.sha256)
    return found


# --- with the identity ----------------------------------------------------------------------------


def _whole(
    settings: Settings, backup: Backup, identity: pyrage.x25519.Identity, tell: Tell, began: float
) -> Report:
    opening.check_release(backup.manifest)
    names: list[str] = []

    def take(name: str, data: bytes, mode: int) -> None:
        names.append(name)

    contents = boxfiles.unpack(backup.folder / FILES, identity, take)
    bad = _recordings(backup, contents, identity, tell)
    tell("The database, into a scratch database.")
    rows, why, broken = _database(settings, backup, contents, identity)
    count, found = backup.manifest.object_count, (*bad, *broken)
    return replace(
        _report(backup, began, objects=count, with_identity=True, bad=found),
        tables=len(contents.tables),
        rows=sum(one.rows for one in contents.tables),
        files=len(contents.kept),
        small_files=len(names),
        audit_rows=rows,
        audit_why=why,
    )


class _Nowhere:
    """Takes everything and keeps nothing."""

    def write(self, data: bytes, /) -> int:
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""


def _recordings(
    backup: Backup, contents: Contents, identity: pyrage.x25519.Identity, tell: Tell
) -> list[Bad]:
    bad = []
    for number, kept in enumerate(contents.kept):
        if number % TELL_EVERY == 0:
            tell(f"{number} of {len(contents.kept)} files.")
        if why := opening.read_object(backup, kept, identity, _Nowhere()):
            bad.append(Bad(f"{kept.tree}/{kept.path}", why))
    return bad


def _database(
    settings: Settings, backup: Backup, contents: Contents, identity: pyrage.x25519.Identity
) -> tuple[int, str, tuple[Bad, ...]]:
    """Rows of the audit log, what is wrong with its chain, and what with the dump."""
    folder = scratch.folder_of(settings)
    scratch.clear(folder, settings)
    with scratch.scratch_server(folder, settings) as server:
        try:
            database.load(server.url, scratch.SERVER_VERSION, backup, contents, identity)
        except UserError as e:
            return 0, "", (Bad("database", str(e)),)
        if not backup.manifest.revision:
            return 0, "", ()
        there = settings.model_copy(update={"database": Database(url=server.url)})
        found = database.bring_up(there, server.url, contents)
    return found.rows, found.why, ()
