"""The folder where backups lie: really there, ours alone, one writer at a time.

20261121T023000Z/   one backup: manifest.json, database.age, files.age, objects
.partial-NAME/      one that is being made, or was when its process was killed
objects/ab/ID.age   large files, each kept once however many backups list it
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from appliance.errors import UserError
from appliance.files import sync_folder
from appliance.ops.backup.manifest import (
    LARGEST_MANIFEST_BYTES,
    MANIFEST,
    Manifest,
    read_manifest,
)
from appliance.settings import Settings

POOL = "objects"
PARTIAL = ".partial-"
GOING = ".going-"
"""A backup that is being removed: no longer complete, whatever is still in it."""
LOCK = ".lock"
FOLDER_MODE = 0o700
GB = 1e9
NAME_FORM = "%Y%m%dT%H%M%SZ"
_NAME = re.compile(r"\d{8}T\d{6}Z")


@dataclass(frozen=True, slots=True)
class Backup:
    """A complete one, as it lies there."""

    folder: Path
    manifest: Manifest

    @property
    def made_at(self) -> datetime:
        return datetime.strptime(self.folder.name, NAME_FORM).replace(tzinfo=UTC)


class Target:
    """Backups of one box in one folder."""

    def __init__(self, folder: Path, mount: str = "") -> None:
        self.folder = folder
        self.pool = folder / POOL
        self._mount = Path(mount) if mount else None

    @classmethod
    def of(cls, settings: Settings) -> Target:
        """The one that the settings name."""
        return cls(settings.backups_dir.absolute(), settings.backup.mount)

    def check_mount(self) -> None:
        """Raises UserError when the disk that should be there is not."""
        if self._mount is None:
            return
        if not os.path.ismount(self._mount):
            raise UserError(
                f"Nothing is mounted at {self._mount} (backup.mount), so nothing is written: it would"
                " fill this disk. Mount it, and try again."
            )
        if not self.folder.is_relative_to(self._mount.absolute()):
            raise UserError(
                f"backup.target {self.folder} does not lie below backup.mount {self._mount}."
            )

    def open(self) -> None:
        """Make it fit to be written to. Raises UserError."""
        self.check_mount()
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
            self.folder.chmod(FOLDER_MODE)
            self.pool.mkdir(exist_ok=True, mode=FOLDER_MODE)
        except OSError as e:
            raise UserError(
                f"Backups cannot be written to {self.folder}: {e.strerror}. Give that folder to the"
                " user that the appliance runs as, or set backup.target."
            ) from e

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else makes, checks or removes backups here meanwhile. Raises UserError."""
        try:
            lock = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as e:
            raise UserError(f"{self.folder} cannot be written: {e.strerror}.") from e
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as e:
                raise UserError(
                    f"Another `ivr backup` is at work in {self.folder}. Wait until it has ended."
                ) from e
            yield
        finally:
            os.close(lock)

    def backups(self) -> list[Backup]:
        """All that are complete, the oldest first. What is damaged is left out: see :meth:`find`."""
        found = []
        for folder in self._folders():
            with suppress(UserError):
                found.append(read_backup(folder))
        return found

    def names(self) -> list[str]:
        """Of all folders that are called like a backup."""
        return [folder.name for folder in self._folders()]

    def _folders(self) -> list[Path]:
        try:
            inside = list(self.folder.iterdir())
        except OSError:
            return []
        return sorted(path for path in inside if _NAME.fullmatch(path.name) and path.is_dir())

    def find(self, name: str) -> Backup:
        """The backup of that name; empty: the newest. Raises UserError."""
        if name:
            if not _NAME.fullmatch(name):
                raise UserError(f"{name} is no name of a backup; `ivr backup list` shows them.")
            return read_backup(self.folder / name)
        names = self.names()
        if not names:
            raise UserError(f"There is no backup in {self.folder}. Make one: `ivr backup create`.")
        return read_backup(self.folder / names[-1])

    def begin(self, name: str) -> Path:
        """The folder of a new one, not complete yet."""
        folder = self.folder / f"{PARTIAL}{name}"
        folder.mkdir(mode=FOLDER_MODE)
        return folder

    def complete(self, partial: Path, manifest: Manifest) -> Backup:
        """Its manifest, then its name: from here on it counts. Raises OSError."""
        path = partial / MANIFEST
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            file.write(manifest.to_bytes())
            file.flush()
            os.fsync(descriptor)
        sync_folder(partial, if_it_can=True)
        final = self.folder / manifest.name
        partial.rename(final)
        sync_folder(self.folder, if_it_can=True)
        return Backup(final, manifest)

    def remove(self, backup: Backup) -> None:
        """Take one away: first its name, so that a kill leaves nothing that looks complete."""
        going = self.folder / f"{GOING}{backup.folder.name}"
        backup.folder.rename(going)
        shutil.rmtree(going, ignore_errors=True)

    def clear(self) -> int:
        """Remove what killed runs left; how many. Only while :meth:`alone`."""
        left = [
            path
            for path in self.folder.iterdir()
            if path.name.startswith((PARTIAL, GOING)) and path.is_dir()
        ]
        for path in left:
            shutil.rmtree(path, ignore_errors=True)
        return len(left)

    def free_bytes(self) -> int:
        """For us."""
        return shutil.disk_usage(self.folder).free


def read_backup(folder: Path) -> Backup:
    """The complete backup in ``folder``. Raises UserError: there is none, or it is damaged."""
    path = folder / MANIFEST
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_MANIFEST_BYTES + 1)
    except OSError as e:
        raise UserError(f"There is no complete backup in {folder} ({e.strerror}).") from e
    if len(data) > LARGEST_MANIFEST_BYTES:
        raise UserError(f"{path} is no manifest of a backup: it is too large.")
    manifest = read_manifest(data, str(folder))
    if manifest.name != folder.name:
        raise UserError(
            f"The backup in {folder} is called {manifest.name}: give its folder that name again."
        )
    return Backup(folder, manifest)
