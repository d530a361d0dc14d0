"""``ivr backup restore``: a backup becomes this box.

Nothing is touched before all of it is proven to be ours and whole. The files are put beside their
places; the database is loaded in one transaction, which compares every table before it commits; then
the folders are renamed. Killed anywhere, the same command begins anew and ends the same: what was here
before is aside, once, from the first try.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyrage

from appliance.errors import UserError
from appliance.ops.backup import boxfiles, database, opening, settingsfile
from appliance.ops.backup.boxfiles import SETTINGS_NAME
from appliance.ops.backup.ciphering import Pace
from appliance.ops.backup.gathering import Tell
from appliance.ops.backup.journal import JOURNAL_FILE, Journal
from appliance.ops.backup.keys import Identity, opened
from appliance.ops.backup.manifest import FILES, Contents
from appliance.ops.backup.owner import as_before, as_owner_of
from appliance.ops.backup.placing import Stage, trees
from appliance.ops.backup.running import database_runs
from appliance.ops.backup.target import GB, Backup
from appliance.settings import Settings, settings_file
from appliance.store import backing, schema
from appliance.store.database import database_url

ASIDE = "before-"
RESTORED_SETTINGS = "ivr.toml.restored"


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
    opening.check_release(backup.manifest)
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
        self._journal_file = settings.data_dir / JOURNAL_FILE
        self._to_do: list[str] = []

    def run(self) -> Restored:
        """Raises UserError, OSError."""
        if not database.is_alone(self._url):
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
        audit_rows = self._load()
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
            schema.head_of(), audit_rows, tuple(named), file, tuple(self._to_do),
        )  # fmt: skip

    def _begin(self) -> Journal:
        """Whether this box may be overwritten. Raises UserError."""
        name = self._backup.manifest.name
        begun = Journal.read(self._journal_file)
        if begun is not None and begun.name == name:
            self._tell("An earlier restore of this backup did not end: beginning anew.")
            return begun
        if not self._wanted.replace:
            self._refuse_filled()
        journal = Journal(name=name, stamp=f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
        journal.write(self._journal_file)
        return journal

    def _refuse_filled(self) -> None:
        folder = self._settings.recordings_dir
        has_files = folder.is_dir() and any(path.is_file() for path in folder.rglob("*"))
        if has_files or backing.is_filled(self._url):
            raise UserError(
                "This box is not empty: there is something in its database or its recordings. With"
                " --replace that is taken aside first, and nothing of it is lost."
            )

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

    def _aside_folder(self, journal: Journal) -> Path:
        return self._settings.data_dir / f"{ASIDE}{journal.stamp}"

    def _take_aside(self, journal: Journal, revision: str) -> Journal:
        """The database that is here, as a dump; after a kill, the one from the first try stays."""
        if journal.dumped or not revision or not backing.is_filled(self._url):
            return journal
        self._tell("The database that is here is taken aside.")
        database.take_aside(self._url, self._aside_folder(journal))
        journal = journal.model_copy(update={"dumped": True})
        journal.write(self._journal_file)
        return journal

    def _load(self) -> int:
        """Rows of the audit log, once the database is what the backup says. Raises UserError."""
        self._tell("The database; its indexes are made anew, which takes its time.")
        with backing.held(self._url) as moment:
            version = moment.server_version
        database.load(self._url, version, self._backup, self._contents, self._identity)
        found = database.bring_up(self._settings, self._url, self._contents)
        if found.why:
            self._to_do.append(f"The audit log was broken before this backup was made: {found.why}")
        return found.rows

    def _write_settings(self, stamp: str) -> str:
        """The settings file, or beside it what a person must put in place; where it is."""
        file = settings_file().absolute()
        if self._wanted.keep_settings or not self._settings_text:
            return str(file)
        otherwise = self._settings.data_dir / RESTORED_SETTINGS
        place, to_do = settingsfile.put(self._settings_text, file, f"{ASIDE}{stamp}", otherwise)
        if to_do:
            self._to_do.append(to_do)
        return str(place)
