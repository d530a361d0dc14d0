"""A write-ahead file of lines: on disk before it is anywhere else, gone when it is safe elsewhere.

One file per process, locked (``flock``) as long as the process lives; the kernel drops the lock
when it dies, which is how another process knows that the lines are its to ship. Not for use by
several threads at once.
"""

from __future__ import annotations

import fcntl
import logging
import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from appliance.files import sync_folder

log = logging.getLogger(__name__)

SUFFIX = ".jsonl"
COMPACT_BYTES = 256 * 1024
"""A file whose lines are all shipped is emptied from this size on (some 150 turns)."""
COMPACT_S = 60.0
"""And when it was emptied so long ago: what is erased elsewhere does not live on here."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Lines read from a spool, without their newlines, and the offset behind the last one."""

    lines: tuple[bytes, ...]
    end: int


class Spool:
    """The lines of one process, shipped from the front while more are appended at the back."""

    def __init__(self, path: Path, descriptor: int) -> None:
        """Takes over an open and locked file; see :meth:`create` and :func:`adopt`."""
        self.path = path
        self._descriptor = descriptor
        self._shipped = 0
        self._size = os.fstat(descriptor).st_size
        self._emptied_s = monotonic()

    @classmethod
    def create(cls, folder: Path) -> Spool:
        """A new, empty spool of this process in ``folder``. Raises OSError."""
        folder.mkdir(parents=True, exist_ok=True)
        while True:
            path = folder / f"{os.getpid()}-{uuid.uuid4().hex[:8]}{SUFFIX}"
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
            descriptor = os.open(path, flags, 0o600)
            # between the two calls it may be taken for a dead one's, and even be removed as such
            if _lock(descriptor) and os.fstat(descriptor).st_nlink:
                sync_folder(folder)
                return cls(path, descriptor)
            os.close(descriptor)

    @property
    def unshipped_bytes(self) -> int:
        return self._size - self._shipped

    @property
    def is_stale(self) -> bool:
        """Whether lines that are all shipped have lain here for long."""
        return self._size > 0 and monotonic() - self._emptied_s >= COMPACT_S

    def append(self, lines: Sequence[bytes]) -> None:
        """Write ``lines`` and wait for the disk; all of them or none. Raises OSError."""
        data = b"".join(line + b"\n" for line in lines)
        try:
            _write_all(self._descriptor, data)
            os.fdatasync(self._descriptor)
        except OSError:
            os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(data)

    def next(self, longest_bytes: int) -> Chunk:
        """The first unshipped lines, about ``longest_bytes`` of them; one line at least if any.

        A last line without its end, of a process killed while it wrote, is left out with a log
        line.
        """
        data = os.pread(self._descriptor, longest_bytes, self._shipped)
        while b"\n" not in data and self._shipped + len(data) < self._size:
            data += os.pread(self._descriptor, longest_bytes, self._shipped + len(data))
        whole, _, torn = data.rpartition(b"\n")
        if not whole:
            if torn:
                log.warning("! %s: dropped %d bytes of a torn line", self.path, len(torn))
            return Chunk((), self._size if torn else self._shipped)
        return Chunk(tuple(whole.split(b"\n")), self._shipped + len(whole) + 1)

    def skip(self, end: int) -> None:
        """Read on behind ``end``; the file stays as it is."""
        self._shipped = end

    def shipped(self, end: int, keep: Sequence[bytes] = ()) -> None:
        """Everything before ``end`` is safe elsewhere. Empties the file when that was all of it.

        ``keep`` are lines to begin the emptied file with: shipped, but of use to an heir.
        """
        self._shipped = end
        self.tidy(keep)

    def tidy(self, keep: Sequence[bytes] = ()) -> None:
        """Empty the file if that is due and all of it is shipped; see :meth:`shipped`."""
        due = self._size >= COMPACT_BYTES or self.is_stale
        if self.unshipped_bytes or (keep and not due):
            return
        os.ftruncate(self._descriptor, 0)
        kept = b"".join(line + b"\n" for line in keep)
        self._size = self._shipped = 0
        _write_all(self._descriptor, kept)
        self._size = self._shipped = len(kept)
        self._emptied_s = monotonic()

    def close(self, *, remove: bool) -> None:
        """Give up the lock; ``remove`` the file, or leave it to an heir."""
        if remove:
            self.path.unlink(missing_ok=True)
        os.close(self._descriptor)


def adopt(folder: Path) -> list[Spool]:
    """The spools of processes that died, locked by us now."""
    found = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # another heir was quicker
        except PermissionError as e:
            log.warning("! %s is another user's and is left alone: %s", path, e)
            continue
        if not _lock(descriptor) or os.fstat(descriptor).st_nlink == 0:
            os.close(descriptor)
            continue
        found.append(Spool(path, descriptor))
    return found


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
