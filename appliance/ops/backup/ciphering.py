"""Streams into and out of age files: checksummed on the way, at a bounded pace, in pieces of 64 KB."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyrage

from appliance.errors import UserError

PIECE_BYTES = 1 << 16
"""age encrypts in pieces of this size, whoever asks for more."""
BURST_S = 0.05
"""A pace is kept over so long: sleeping for less costs more than it spreads."""
SYNC_BYTES = 16 << 20
"""Written back so often: a page cache full of a backup would be a pause for everybody later."""
PRIVATE_MODE = 0o600


class Reader(Protocol):
    """Something that bytes come from."""

    def read(self, size: int = -1, /) -> bytes: ...


class Writer(Protocol):
    """Something that bytes go to."""

    def write(self, data: bytes, /) -> int: ...

    def flush(self) -> None: ...


class Pace:
    """Lets so many bytes a second pass, in one thread; 0: all of them."""

    def __init__(
        self,
        bytes_per_s: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate = bytes_per_s
        self._clock = clock
        self._sleep = sleep
        self._free_at = clock()

    def spend(self, count: int) -> None:
        """Wait until ``count`` more bytes may pass."""
        if not self._rate:
            return
        now = self._clock()
        self._free_at = max(self._free_at, now - BURST_S) + count / self._rate
        if self._free_at - now > BURST_S:
            self._sleep(self._free_at - now)


class Measured:
    """A reader that counts and hashes what goes through it, at a pace; at most ``most`` bytes."""

    def __init__(self, source: Reader, pace: Pace, most: int | None = None) -> None:
        self._source = source
        self._pace = pace
        self._left = most
        self._hash = hashlib.sha256()
        self.bytes = 0

    def read(self, size: int = -1, /) -> bytes:
        size = PIECE_BYTES if size < 0 else size
        if self._left is not None:
            size = min(size, self._left - self.bytes)
        data = self._source.read(size) if size else b""
        self._pace.spend(len(data))
        self._hash.update(data)
        self.bytes += len(data)
        return data

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


class Sunk:
    """A writer that counts and hashes, and writes back to the disk as it goes; ``most`` bytes."""

    def __init__(
        self, sink: Writer, descriptor: int | None = None, most: int | None = None
    ) -> None:
        self._sink = sink
        self._most = most
        self._descriptor = descriptor
        self._hash = hashlib.sha256()
        self._unsynced = 0
        self.bytes = 0

    def write(self, data: bytes, /) -> int:
        if self._most is not None and self.bytes + len(data) > self._most:
            raise OSError("it is longer than it should be")
        self._sink.write(data)
        self._hash.update(data)
        self.bytes += len(data)
        self._unsynced += len(data)
        if self._descriptor is not None and self._unsynced >= SYNC_BYTES:
            os.fdatasync(self._descriptor)
            self._unsynced = 0
        return len(data)

    def flush(self) -> None:
        """Called by the library after its last piece."""
        self._sink.flush()

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


@dataclass(frozen=True, slots=True)
class Written:
    """A file on the target."""

    bytes: int
    sha256: str


def encrypt(source: Reader, path: Path, recipients: list[pyrage.x25519.Recipient]) -> Written:
    """``source`` to its end into the new file ``path``, on the disk when this returns.

    Raises UserError when the target cannot be written or the source ends in an error.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_MODE)
        with open(descriptor, "wb", buffering=0) as file:
            sink = Sunk(_Whole(file), descriptor)
            pyrage.encrypt_io(source, sink, recipients)
            os.fdatasync(descriptor)
    except (OSError, pyrage.EncryptError) as e:
        raise UserError(
            f"The backup could not be written to {path.parent}: {e}. See that the disk has room."
        ) from e
    return Written(sink.bytes, sink.sha256)


def decrypt(path: Path, sink: Writer, identity: pyrage.x25519.Identity) -> None:
    """The file ``path`` into ``sink``. Raises UserError: wrong identity, damaged or cut file."""
    try:
        with path.open("rb") as file:
            pyrage.decrypt_io(file, sink, [identity])
    except pyrage.DecryptError as e:
        if "matching keys" in str(e):
            raise UserError(
                "This identity does not read this backup: it was made for another public key. Use the"
                " identity that was made before the backup."
            ) from e
        raise UserError(f"{path.name} of the backup is damaged: {e}.") from e
    except OSError as e:  # the library's word for a piece that is not what was written
        raise UserError(f"{path.name} of the backup could not be read or written on: {e}.") from e


def checksum(path: Path, pace: Pace) -> Written:
    """Of a file as it lies. Raises OSError."""
    with path.open("rb") as file:
        source = Measured(file, pace)
        while source.read(PIECE_BYTES * 16):
            pass
    return Written(source.bytes, source.sha256)


def write_all(sink: Writer, data: bytes) -> None:
    """``data`` into a raw file or pipe, which may take a part at a time."""
    view = memoryview(data)
    while view:
        view = view[sink.write(view) :]  # type: ignore[arg-type]


class _Whole:
    """A raw file that takes all of what it is given: a disk that is nearly full takes a part first."""

    def __init__(self, file: Writer) -> None:
        self._file = file

    def write(self, data: bytes, /) -> int:
        write_all(self._file, data)
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""
