"""Large files, each encrypted once: a recording that has not changed since the last backup is listed
again and not read again.

An object's name is a keyed hash of where the file lies, its size and when it was written, so that
it tells nobody anything and a file that was beeped since is another object.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyrage

from appliance.errors import UserError
from appliance.files import sync_folder
from appliance.ops.backup.ciphering import Measured, Pace, Written, encrypt
from appliance.ops.backup.keys import sealed
from appliance.ops.backup.manifest import OBJECTS, Kept
from appliance.ops.backup.target import Backup, Target

Tree = Literal["recordings", "announcements", "models"]
ID_LETTERS = 40
TEMPORARY = ".new"
_LINE = re.compile(r"([0-9a-f]{40}) (\d{1,15}) ([0-9a-f]{64}) ([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Object:
    """One object of the pool, as a backup lists it in the open."""

    id: str
    bytes: int
    """Encrypted."""
    sha256: str
    """Of the encrypted file."""
    plain_sha256: str

    def line(self) -> str:
        return f"{self.id} {self.bytes} {self.sha256} {self.plain_sha256}\n"


@dataclass(frozen=True, slots=True)
class Found:
    """A file to be kept."""

    tree: Tree
    path: str
    """Below ``root``, with slashes."""
    root: Path
    bytes: int
    mtime_ns: int
    mode: int


class Pool:
    """The objects on one target."""

    def __init__(self, target: Target, seal: str, recipients: tuple[str, ...]) -> None:
        self._target = target
        self._seal = seal
        self._for = "\n".join(recipients)

    def path(self, id_: str) -> Path:
        """Where an object lies."""
        return object_path(self._target.pool, id_)

    def id_of(self, found: Found) -> str:
        """The object that a file is now; another key makes other objects."""
        facts = f"{found.tree}/{found.path}\0{found.bytes}\0{found.mtime_ns}\0{self._for}"
        return sealed(self._seal, "object", facts.encode("utf-8", "surrogateescape"))[:ID_LETTERS]

    def keep(
        self,
        found: Found,
        known: Mapping[str, Object],
        keys: list[pyrage.x25519.Recipient],
        pace: Pace,
    ) -> tuple[Kept, Object] | None:
        """``found`` in the pool, read only if it is not there. None: it is gone, or became shorter.

        ``known`` are the objects of earlier backups. Raises UserError: the target cannot be written.
        """
        id_ = self.id_of(found)
        path = self.path(id_)
        old = known.get(id_)
        if old is None or not _is_there(path, old.bytes):
            old = self._write(found, id_, path, keys, pace)
            if old is None:
                return None
        kept = Kept(
            tree=found.tree, path=found.path, id=id_, bytes=found.bytes, sha256=old.plain_sha256,
            mtime_ns=found.mtime_ns, mode=found.mode,
        )  # fmt: skip
        return kept, old

    def _write(
        self, found: Found, id_: str, path: Path, keys: list[pyrage.x25519.Recipient], pace: Pace
    ) -> Object | None:
        try:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(found.root / found.path, flags)
        except OSError:
            return None  # erased meanwhile
        path.parent.mkdir(exist_ok=True, mode=0o700)
        new = path.with_name(path.name + TEMPORARY)
        new.unlink(missing_ok=True)
        with open(descriptor, "rb") as file:
            source = Measured(file, pace, found.bytes)
            written: Written = encrypt(source, new, keys)
        if source.bytes != found.bytes:
            new.unlink()
            return None
        new.rename(path)
        return Object(id_, written.bytes, written.sha256, source.sha256)

    def sync(self) -> None:
        """The names of new objects survive a power cut."""
        for folder in self._target.pool.iterdir():
            if folder.is_dir():
                sync_folder(folder, if_it_can=True)
        sync_folder(self._target.pool, if_it_can=True)


def object_path(pool: Path, id_: str) -> Path:
    """Where the object ``id_`` lies below ``pool``."""
    return pool / id_[:2] / f"{id_}.age"


def find(
    tree: Tree, root: Path, is_wanted: Callable[[str], bool] = lambda _: True
) -> Iterator[Found]:
    """The plain files below ``root``, in order. Links are not followed, nor told of."""
    for place, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = os.path.join(place, name)
            try:
                status = os.lstat(path)
            except OSError:
                continue
            if not stat.S_ISREG(status.st_mode) or name.startswith("."):
                continue
            relative = os.path.relpath(path, root)
            if is_wanted(relative):
                yield Found(
                    tree, relative, root, status.st_size, status.st_mtime_ns, status.st_mode & 0o777
                )


def write_list(path: Path, objects: Iterable[Object]) -> tuple[int, int]:
    """The file ``objects`` of a backup; how many, and their bytes on the target."""
    count = total = 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="ascii") as file:
        for one in objects:
            file.write(one.line())
            count, total = count + 1, total + one.bytes
        file.flush()
        os.fsync(descriptor)
    return count, total


def read_list(backup: Backup) -> Iterator[Object]:
    """What a backup lists. Raises UserError."""
    path = backup.folder / OBJECTS
    try:
        with path.open(encoding="ascii") as file:
            for line in file:
                match = _LINE.fullmatch(line.rstrip("\n"))
                if match is None:
                    raise UserError(f"{path} is damaged.")
                yield Object(match[1], int(match[2]), match[3], match[4])
    except (OSError, UnicodeDecodeError) as e:
        raise UserError(f"{path} cannot be read: {e}.") from e


def sweep(target: Target) -> tuple[int, int]:
    """Remove what no backup lists; how many objects, how many bytes. Only while ``alone``.

    Raises UserError when a list cannot be read: then nothing is removed.
    """
    wanted: set[str] = set()
    for name in target.names():
        wanted.update(one.id for one in read_list(target.find(name)))
    count = total = 0
    for path in sorted(target.pool.glob("??/*")):
        if path.name.removesuffix(".age") in wanted and path.name.endswith(".age"):
            continue
        total += path.stat().st_size
        path.unlink()
        count += 1
    return count, total


def _is_there(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False
