"""The files of a restored box: first all of them beside their places, proven; then one rename each.

What was in a place is renamed too, never removed: ``NAME.before-STAMP`` beside it.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

import pyrage

from appliance.errors import UserError
from appliance.files import sync_folder
from appliance.ops.backup.gathering import TELL_EVERY, Tell
from appliance.ops.backup.manifest import Contents, Kept
from appliance.ops.backup.opening import read_object
from appliance.ops.backup.target import Backup
from appliance.settings import Settings

STAGE = ".restoring"
"""Ends the name of a folder that is being filled, beside its place."""


@dataclass(frozen=True, slots=True)
class Tree:
    """A folder of data_dir that is restored as a whole."""

    name: str
    place: Path

    @property
    def stage(self) -> Path:
        return self.place.with_name(f".{self.place.name}{STAGE}")

    def aside(self, stamp: str) -> Path:
        """Where what was there goes."""
        return self.place.with_name(f"{self.place.name}.before-{stamp}")


def trees(settings: Settings, with_models: bool) -> tuple[Tree, ...]:
    """Links are followed: recordings may lie on another disk. Raises UserError for a mount point,
    which cannot be renamed."""
    named = {
        "recordings": settings.recordings_dir,
        "announcements": settings.announcements_dir,
        "secrets": settings.secrets_dir,
        "tls": settings.tls_dir,
        "spool": settings.spool_dir,
        "backup": settings.backup_state_dir,
    }
    if with_models:
        named["models"] = settings.models_dir
    found = tuple(Tree(name, Path(os.path.realpath(path))) for name, path in named.items())
    for tree in found:
        if os.path.ismount(tree.place):
            raise UserError(
                f"{tree.place} is a mount point, whose folder cannot be exchanged. Mount that disk one"
                f" folder higher and make {tree.name} a link to a folder on it."
            )
    return found


class Stage:
    """Folders that are filled beside their places."""

    def __init__(self, found: tuple[Tree, ...]) -> None:
        self._trees = {tree.name: tree for tree in found}

    def clear(self) -> None:
        """Remove what an earlier try left. Raises OSError."""
        for tree in self._trees.values():
            if tree.stage.exists():
                shutil.rmtree(tree.stage)

    def open(self) -> None:
        """Raises OSError."""
        for tree in self._trees.values():
            tree.stage.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
            tree.stage.mkdir(mode=0o700)

    def file(self, name: str, relative: str) -> Path:
        """Where a file of the tree ``name`` is put for now; its folders are made.

        Raises UserError for a name that leads out of it.
        """
        parts = PurePosixPath(relative).parts
        bad = not parts or relative.startswith("/") or ".." in parts or "\0" in relative
        if bad or name not in self._trees:
            raise UserError(
                f"The backup names the file {name}/{relative!r:.100}, which is no place."
            )
        path = self._trees[name].stage.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return path

    def put(self, name: str, relative: str, data: bytes, mode: int) -> None:
        """A small file. Raises OSError, UserError."""
        with _new(self.file(name, relative)) as file:
            file.write(data)
            os.fchmod(file.fileno(), mode)

    def fill(
        self,
        backup: Backup,
        contents: Contents,
        identity: pyrage.x25519.Identity,
        tell: Tell,
    ) -> int:
        """All large files, each proven; how many. Raises UserError for the first that is damaged."""
        for number, kept in enumerate(contents.kept):
            if number % TELL_EVERY == 0:
                tell(f"{number} of {len(contents.kept)} files.")
            self._fill_one(backup, kept, identity)
        return len(contents.kept)

    def _fill_one(self, backup: Backup, kept: Kept, identity: pyrage.x25519.Identity) -> None:
        path = self.file(kept.tree, kept.path)
        with _new(path) as file:
            why = read_object(backup, kept, identity, file)
        if why:
            raise UserError(f"{kept.tree}/{kept.path} cannot be restored: {why}")
        path.chmod(kept.mode)
        os.utime(path, ns=(kept.mtime_ns, kept.mtime_ns))

    def exchange(self, stamp: str) -> list[Path]:
        """Put all in place; what was there, under its new name. Again after a kill goes on with it.

        Raises OSError.
        """
        os.sync()  # all of it is on the disk before any of it has its name
        aside = []
        for tree in self._trees.values():
            before = tree.aside(stamp)
            if tree.stage.exists():
                if before.exists() and tree.place.exists():
                    shutil.rmtree(tree.place)  # put there by a try that was killed
                elif tree.place.exists():
                    tree.place.rename(before)
                tree.stage.rename(tree.place)
                sync_folder(tree.place.parent, if_it_can=True)
            if before.exists():
                aside.append(before)
        return aside


def _new(path: Path) -> IO[bytes]:
    """A file that was not there, for its owner alone."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    return open(os.open(path, flags, 0o600), "wb")
