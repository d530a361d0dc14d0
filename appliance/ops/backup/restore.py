"""``ivr backup restore``: a backup becomes this box.

Nothing is touched before all of it is proven to be ours and whole. The files are put beside their
places; the database is loaded in one transaction, which compares every table before it commits; then
the folders are renamed. Killed anywhere, the same command begins anew and ends the same: what was here
before is aside, once, from the first try.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyrage
from pydantic import BaseModel, ConfigDict, ValidationError

from appliance.access import audit
from appliance.errors import UserError
from appliance.files import write_whole
from appliance.ops.backup import boxfiles, opening
from appliance.ops.backup.boxfiles import SETTINGS_NAME
from appliance.ops.backup.ciphering import Pace, decrypt
from appliance.ops.backup.create import GB
from appliance.ops.backup.dumping import Loading, dump, programs
from appliance.ops.backup.keys import Identity, opened
from appliance.ops.backup.manifest import DATABASE, FILES, Contents, Manifest
from appliance.ops.backup.owner import as_before, as_owner_of
from appliance.ops.backup.placing import Stage, trees
from appliance.ops.backup.running import database_runs
from appliance.ops.backup.settingsfile import merged
from appliance.ops.backup.target import Backup
from appliance.settings import Settings
from appliance.store import backing, schema
from appliance.store.backing import TableSum
from appliance.store.database import answer, database_url, migrate

JOURNAL = "restoring.json"
"""In data_dir, while a restore is not over."""
ASIDE = "before-"
AUDIT_TIMEOUT_S = 3600.0
ALONE_TIMEOUT_S = 3.0
"""For sessions of processes that have just ended, and for exporters that come and go."""
POLL_S = 0.2
RESTORED_SETTINGS = "ivr.toml.restored"

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for."""

    where: str
    identity: Identity
    replace: bool = False
    """Take aside what is here first."""
    unsealed: bool = False
    """Take one whose origin nothing proves."""
    keep_settings: bool = False
    """Leave the settings file as it is."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What came of it."""

    name: str
    made_at: datetime
    tables: int
    rows: int
    files: int
    revision_before: str
    revision: str
    audit_rows: int
    aside: tuple[str, ...]
    settings_file: str
    """Where the settings stand."""
    to_do: tuple[str, ...]
    """What a person must do yet."""


class _Journal(BaseModel):
    """The file :data:`JOURNAL`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    stamp: str
    """Of what was taken aside."""
    dumped: bool = False
    """The database that was here is aside, as a dump."""


def restore(settings: Settings, wanted: Wanted, tell: Tell = lambda _: None) -> Restored:
    """Raises UserError; what was here is then as it was, or aside."""
    backup = opening.locate(settings, wanted.where)
    tell(f"Looking at {backup.folder}.")
    identity = opened(wanted.identity)
    contents, settings_text = _proven(settings, backup, wanted, identity)
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o750)
    try:
        with as_owner_of(settings.data_dir), database_runs(settings):
            return _Restore(settings, wanted, tell, backup, identity, contents, settings_text).run()
    except OSError as e:
        raise UserError(
            f"The restore stopped: {e}. Make room or mend the disk, and run the same command again."
        ) from e


def _proven(
    settings: Settings, backup: Backup, wanted: Wanted, identity: pyrage.x25519.Identity
) -> tuple[Contents, str]:
    """The contents and the settings file of a backup that is ours and whole. Raises UserError."""
    opening.check_seal(settings, backup, wanted.identity, unsealed=wanted.unsealed)
    check_release(backup.manifest)
    bad = [*opening.damaged_parts(backup, Pace(0)), *opening.missing_objects(backup)]
    if bad:
        raise UserError(
            f"The backup {backup.manifest.name} is damaged: {bad[0]}"
            + (f", and {len(bad) - 1} more" if len(bad) > 1 else "")
            + ". Use another one; nothing has been changed here."
        )
    found: dict[str, str] = {}

    def take(name: str, data: bytes, mode: int) -> None:
        if name == SETTINGS_NAME:
            found[name] = data.decode("utf-8", "replace")

    contents = boxfiles.unpack(backup.folder / FILES, identity, take)
    return contents, found.get(SETTINGS_NAME, "")


def check_release(manifest: Manifest) -> None:
    """Raises UserError when only a newer release can read it."""
    known = [revision.id for revision in schema.revisions()]
    if manifest.revision and manifest.revision not in known:
        raise UserError(
            f"The backup {manifest.name} was made by release {manifest.release}, whose database"
            f" (revision {manifest.revision}) is newer than what this release knows ({known[-1]})."
            f" Install release {manifest.release} first (`ivr upgrade`), then restore."
        )


class _Restore:
    """One restore, step by step."""

    def __init__(
        self,
        settings: Settings,
        wanted: Wanted,
        tell: Tell,
        backup: Backup,
        identity: pyrage.x25519.Identity,
        contents: Contents,
        settings_text: str,
    ) -> None:
        self._settings = settings
        self._wanted = wanted
        self._tell = tell
        self._backup = backup
        self._identity = identity
        self._contents = contents
        self._settings_text = settings_text
        with_models = any(kept.tree == "models" for kept in contents.kept)
        self._stage = Stage(trees(settings, with_models))
        self._url = database_url(settings)
        self._journal_file = settings.data_dir / JOURNAL
        self._to_do: list[str] = []

    def run(self) -> Restored:
        """Raises UserError, OSError."""
        if not self._is_alone():
            raise UserError(
                "The appliance is running: something else is connected to its database. Stop it first"
                " (`systemctl stop ivr.target`, or end `ivr up`); Postgres may stay."
            )
        before = schema.current(self._url)
        journal = self._begin()
        self._stage.clear()
        self._check_room()
        self._stage.open()
        files = self._stage.fill(self._backup, self._contents, self._identity, self._tell)
        boxfiles.unpack(self._backup.folder / FILES, self._identity, self._put)
        journal = self._take_aside(journal, before)
        self._load()
        audit_rows = self._check()
        with as_before():
            file = self._write_settings(journal.stamp)
        aside = self._stage.exchange(journal.stamp)
        self._journal_file.unlink()
        folder = self._aside_folder(journal)
        named = [str(path) for path in aside] + ([str(folder)] if folder.exists() else [])
        sums = self._contents.tables
        return Restored(
            self._backup.manifest.name, self._backup.made_at, len(sums),
            sum(one.rows for one in sums), files, self._backup.manifest.revision,
            schema.revisions()[-1].id, audit_rows, tuple(named), file, tuple(self._to_do),
        )  # fmt: skip

    def _is_alone(self) -> bool:
        """Whether nobody else works with the database; who only looks in is waited for."""
        deadline = time.monotonic() + ALONE_TIMEOUT_S
        while backing.others_connected(self._url):
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_S)
        return True

    def _begin(self) -> _Journal:
        """Whether this box may be overwritten. Raises UserError."""
        name = self._backup.manifest.name
        with suppress(OSError, ValidationError):
            journal = _Journal.model_validate_json(self._journal_file.read_bytes())
            if journal.name == name:
                self._tell("An earlier restore of this backup did not end: beginning anew.")
                return journal
        if not self._wanted.replace:
            self._refuse_filled()
        journal = _Journal(name=name, stamp=f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
        self._write(journal)
        return journal

    def _refuse_filled(self) -> None:
        folder = self._settings.recordings_dir
        has_files = folder.is_dir() and any(path.is_file() for path in folder.rglob("*"))
        if has_files or backing.is_filled(self._url):
            raise UserError(
                "This box is not empty: there is something in its database or its recordings. With"
                " --replace that is taken aside first, and nothing of it is lost."
            )

    def _write(self, journal: _Journal) -> None:
        write_whole(self._journal_file, journal.model_dump_json().encode(), mode=0o600, sync=True)

    def _check_room(self) -> None:
        needed = self._backup.manifest.plain_bytes + GB / 10
        free = shutil.disk_usage(self._settings.data_dir).free
        if free < needed:
            raise UserError(
                f"The files of this backup need {needed / GB:.1f} GB in {self._settings.data_dir}, and"
                f" {free / GB:.1f} GB are free. Make room, then run the same command again."
            )

    def _put(self, name: str, data: bytes, mode: int) -> None:
        """A small file, but the settings: those are the last."""
        folder, _, relative = name.partition("/")
        if folder == "certificates":
            relative = f"site-{relative}"
            self._stage.put("tls", relative, data, mode)
            self._to_do.append(
                f"{self._settings.tls_dir / relative} is what admin.certificate or admin.key named: put"
                " it where the settings say."
            )
        elif folder != "settings":
            self._stage.put(folder, relative, data, mode)

    # --- the database ---

    def _aside_folder(self, journal: _Journal) -> Path:
        return self._settings.data_dir / f"{ASIDE}{journal.stamp}"

    def _take_aside(self, journal: _Journal, revision: str) -> _Journal:
        """The database that is here, as a dump; after a kill, the one from the first try stays."""
        if journal.dumped or not revision or not backing.is_filled(self._url):
            return journal
        self._tell("The database that is here is taken aside.")
        folder = self._aside_folder(journal)
        folder.mkdir(mode=0o700, exist_ok=True)
        with backing.held(self._url) as moment:
            tools = programs(moment.server_version)
            with (
                dump(tools, self._url, moment.snapshot) as rows,
                open(folder / "database.dump", "wb") as file,
            ):
                shutil.copyfileobj(rows, file, 1 << 20)
        journal = journal.model_copy(update={"dumped": True})
        self._write(journal)
        return journal

    def _load(self) -> None:
        self._tell("The database; its indexes are made anew, which takes its time.")
        sums = [TableSum(one.name, one.rows, one.sum) for one in self._contents.tables]
        with backing.held(self._url) as moment:
            version = moment.server_version
        tools = programs(version, least=self._backup.manifest.tool_version)
        with Loading(tools, self._url, version, sums) as loading:
            decrypt(self._backup.folder / DATABASE, loading, self._identity)
            loading.finish()

    def _check(self) -> int:
        """The tables as this release has them, and the audit log as it was. Raises UserError."""
        migrate(self._url)
        expect = self._contents.audit_head
        found = answer(self._settings, lambda engine: audit.verify(engine, expect), AUDIT_TIMEOUT_S)
        if found.why:
            self._to_do.append(f"The audit log was broken before this backup was made: {found.why}")
        return found.rows

    # --- the settings ---

    def _write_settings(self, stamp: str) -> str:
        """The settings file, or beside it what a person must put in place; where it is."""
        file = boxfiles.settings_file()
        if self._wanted.keep_settings or not self._settings_text:
            return str(file)
        text, place = self._settings_text, file
        try:
            if file.exists():
                ours = file.read_text(encoding="utf-8")
                text = merged(text, ours)
                if text == ours:
                    return str(file)
                _write_like(file.with_name(f"{file.name}.{ASIDE}{stamp}"), ours, file)
            _write_like(file, text, file)
        except (UserError, OSError) as e:
            place = self._settings.data_dir / RESTORED_SETTINGS
            write_whole(place, text.encode(), mode=0o600, sync=True)
            self._to_do.append(
                f"The settings were not written to {file} ({e}). They are in {place}: put them there."
            )
        return str(place)


def _write_like(path: Path, text: str, like: Path) -> None:
    """``text`` into ``path``, with the owner of ``like`` where root writes it."""
    owner = like.stat() if like.exists() else None
    write_whole(path, text.encode(), mode=0o640, sync=True)
    if owner is not None and os.geteuid() == 0:
        os.chown(path, owner.st_uid, owner.st_gid)
