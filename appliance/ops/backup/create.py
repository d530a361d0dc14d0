"""``ivr backup create``: one consistent backup, while calls go on.

In this order: the database's moment is held still, its checksums, its rows (through ``pg_dump``, and
at a drill into a scratch server at the same time), then the files, so that every recording that a
row of that moment names is there; the small files, the manifest, and last the name.
"""

from __future__ import annotations

import shutil
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from socket import gethostname
from zoneinfo import ZoneInfo

from appliance import __version__
from appliance.errors import UserError
from appliance.ops.backup import boxfiles, scratch
from appliance.ops.backup.ciphering import Measured, Pace, Written, checksum, encrypt
from appliance.ops.backup.clients import programs
from appliance.ops.backup.drilling import Drill, is_due
from appliance.ops.backup.dumping import dump
from appliance.ops.backup.gathering import Tell, Work, keep_files, known_objects, models_of
from appliance.ops.backup.keys import parsed, recipients_of, seal_of
from appliance.ops.backup.manifest import (
    DATABASE,
    FILES,
    FORMAT,
    OBJECTS,
    Contents,
    Manifest,
    Part,
    Table,
)
from appliance.ops.backup.pool import Object, Pool, find, write_list
from appliance.ops.backup.pruning import prune
from appliance.ops.backup.state import State, read_state, write_state
from appliance.ops.backup.target import GB, NAME_FORM, Backup, Target
from appliance.settings import BACKUP_SEAL_SECRET, Settings, settings_file
from appliance.store import backing
from appliance.store.backing import Moment, TableSum
from appliance.store.database import database_url

DUMP_SHARE = 0.8
"""Of the database's size on disk that a dump takes at most: it holds no indexes and is compressed."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for."""

    scheduled: bool = False
    """Do nothing where today has one already."""
    drill: bool | None = None
    """None: as ``backup.drill`` says."""
    models: bool | None = None
    """None: as ``backup.models`` says."""


@dataclass(frozen=True, slots=True)
class Made:
    """What came of it."""

    backup: Backup | None
    """None: it was scheduled, and today has one."""
    seconds: float = 0.0
    read_bytes: int = 0
    written_bytes: int = 0
    new_objects: int = 0
    removed: tuple[str, ...] = ()
    """Older backups that rotation took away."""
    drill_error: str = ""
    warnings: tuple[str, ...] = ()


def create(settings: Settings, wanted: Wanted, tell: Tell = lambda _: None) -> Made:
    """Make one. Raises UserError; nothing that looks complete is left then, and the state says why."""
    began = datetime.now(UTC)
    state = read_state(settings)
    try:
        made = _create(settings, wanted, began, state, tell)
    except UserError as e:
        _remember(settings, state.model_copy(update={"tried_at": began, "error": str(e)}))
        raise
    if made.backup is not None:
        _remember(settings, _after(state, made, began))
    return made


def _remember(settings: Settings, state: State) -> None:
    with suppress(OSError):  # a full disk is told of by itself
        write_state(settings, state)


def _after(state: State, made: Made, began: datetime) -> State:
    assert made.backup is not None
    drilled = made.backup.manifest.drilled
    return State(
        tried_at=began, good_at=began, name=made.backup.manifest.name, seconds=made.seconds,
        bytes=made.written_bytes, read_bytes=made.read_bytes,
        drilled_at=began if drilled else state.drilled_at,
        drill_error=made.drill_error or ("" if drilled else state.drill_error),
    )  # fmt: skip


def _create(settings: Settings, wanted: Wanted, began: datetime, state: State, tell: Tell) -> Made:
    recipients = recipients_of(settings)
    keys = parsed(recipients)
    settings.secret(BACKUP_SEAL_SECRET)
    seal = seal_of(settings)
    target = Target.of(settings)
    target.open()
    started = time.monotonic()
    with target.alone():
        if left := target.clear():
            tell(f"Removed {left} that was not finished.")
        scratch.clear(scratch.folder_of(settings), settings)
        if wanted.scheduled and _is_done_today(settings, target, began):
            return Made(None)
        name = began.strftime(NAME_FORM)
        if (target.folder / name).exists():
            raise UserError("There is a backup of this second already; try again.")
        partial = target.begin(name)
        work = Work(
            settings, target, partial, seal, recipients, keys,
            Pace(settings.backup.mb_per_s * 1e6), tell,
        )  # fmt: skip
        try:
            backup = _fill(work, wanted, began, state)
        except OSError as e:
            raise UserError(f"The backup failed: {e}. Nothing of it is kept.") from e
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        removed = _rotate(work, began)
    return Made(
        backup, time.monotonic() - started, work.read_bytes, work.written_bytes, work.new_objects,
        removed, work.drill_error, tuple(work.warnings),
    )  # fmt: skip


def _fill(work: Work, wanted: Wanted, began: datetime, state: State) -> Backup:
    settings = work.settings
    drills = is_due(settings, began, state) if wanted.drill is None else wanted.drill
    known = known_objects(work)
    with backing.held(database_url(settings)) as moment:
        _check_room(work, moment, drills, known)
        work.tell("Checksums of the tables.")
        sums = backing.table_sums(moment.connection)
        major, written = _database(work, moment, sums, drills)
        calls = set(backing.call_ids(moment.connection))
    with_models = settings.backup.models if wanted.models is None else wanted.models
    kept_files, objects = keep_files(work, calls, known, began, with_models)
    contents = Contents(
        tables=tuple(Table(name=one.name, rows=one.rows, sum=one.sum) for one in sums),
        audit_head=moment.audit_head, kept=tuple(kept_files), models=tuple(models_of(settings)),
        host=gethostname(), data_dir=str(settings.data_dir.absolute()),
    )  # fmt: skip
    work.tell("Settings and secrets.")
    small = boxfiles.small_files(settings, settings_file().absolute())
    files = boxfiles.pack(contents, small, work.partial / FILES, work.keys, work.pace)
    work.wrote(files.bytes, files.bytes)
    count, total = write_list(work.partial / OBJECTS, objects)
    listed = checksum(work.partial / OBJECTS, Pace(0))
    manifest = Manifest(
        format=FORMAT, name=began.strftime(NAME_FORM), made_at=began, release=__version__,
        revision=moment.revision, server_version=moment.server_version, tool_version=major,
        scheduled=wanted.scheduled, drilled=drills and not work.drill_error,
        parts={DATABASE: _part(written), FILES: _part(files), OBJECTS: _part(listed)},
        object_count=count, object_bytes=total, database_bytes=moment.bytes,
        plain_bytes=sum(one.bytes for one in kept_files),
    )  # fmt: skip
    return work.target.complete(work.partial, manifest.with_seal(work.seal))


def _part(written: Written) -> Part:
    return Part(bytes=written.bytes, sha256=written.sha256)


# --- the database ---------------------------------------------------------------------------------


def _database(
    work: Work, moment: Moment, sums: tuple[TableSum, ...], drills: bool
) -> tuple[int, Written]:
    """The dump, encrypted; the major version of what wrote it."""
    url = database_url(work.settings)
    tools = programs(moment.server_version)
    work.tell(
        "The database." if not drills else "The database, and into a scratch database as well."
    )
    with ExitStack() as stack:
        drill = Drill(work.settings, sums, stack) if drills else None
        with dump(tools, url, moment.snapshot) as rows:
            source = Measured(drill.through(rows) if drill else rows, work.pace)
            written = encrypt(source, work.partial / DATABASE, work.keys)
        work.wrote(source.bytes, written.bytes)
        if drill is not None:
            work.drill_error = drill.finish()
    return tools.major, written


# --- around it ------------------------------------------------------------------------------------


def _check_room(work: Work, moment: Moment, drills: bool, known: dict[str, Object]) -> None:
    """Raises UserError before anything is written that will not fit."""
    settings = work.settings
    pool = Pool(work.target, work.seal, work.recipients)
    files = find("recordings", settings.recordings_dir)
    new = sum(one.bytes for one in files if pool.id_of(one) not in known)
    needed = new + DUMP_SHARE * moment.bytes + settings.backup.keep_free_gb * GB
    free = work.target.free_bytes()
    if free < needed:
        raise UserError(
            f"The backup needs up to {needed / GB:.1f} GB in {work.target.folder}, and"
            f" {free / GB:.1f} GB are free. Make room, keep fewer backups ([backup]), or"
            " set backup.target to another disk."
        )
    if drills:
        here = shutil.disk_usage(settings.data_dir).free
        if here < 1.5 * moment.bytes + settings.backup.keep_free_gb * GB:
            work.drill_error = "There is no room for a scratch database in data_dir."


def _is_done_today(settings: Settings, target: Target, now: datetime) -> bool:
    zone = ZoneInfo(settings.switch.timezone)
    return any(
        backup.made_at.astimezone(zone).date() == now.astimezone(zone).date()
        for backup in target.backups()
    )


def _rotate(work: Work, now: datetime) -> tuple[str, ...]:
    """Remove what need not stay. Its failure is told; the backup stands."""
    removed = []
    try:
        removed = prune(work.settings, work.target, now)
    except (UserError, OSError) as e:
        work.warnings.append(f"Older backups were not removed: {e}")
    return tuple(removed)
