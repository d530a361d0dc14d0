"""The bundle's file: a plain tar that is written and read once from its first byte to its last.

``manifest.json``, ``manifest.sig``, then exactly the manifest's files in its order. The reader looks
at each header itself: it takes regular files of the expected name and size and nothing else (no links,
devices, long-name or pax headers), so that what a stranger put in never reaches a tar library's
cleverness. A file counts only when its hash is right, and the whole only with its last.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.errors import UserError
from appliance.ops.releases.manifest import LARGEST_MANIFEST_BYTES, Entry, Manifest, parse
from appliance.ops.releases.signing import PublicKey, sign

MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
LARGEST_SIGNATURE_BYTES = 256
BLOCK = tarfile.BLOCKSIZE
CHUNK_BYTES = 1 << 20
LONGEST_PADDING_BYTES = 1 << 20
"""Zeros after the last file: tar pads to 10 KiB."""
Progress = Callable[[int, int], None]
"""Told bytes done and bytes in all."""


def no_progress(done: int, total: int) -> None:
    """For whoever does not want to know."""


# --- writing --------------------------------------------------------------------------------------


def entry_of(path: str, file: Path) -> Entry:
    """``file`` as it will stand in a manifest; reads it once."""
    with file.open("rb") as data:
        digest = hashlib.file_digest(data, "sha256").hexdigest()
    status = file.stat()
    return Entry(path, status.st_size, digest, 0o755 if status.st_mode & 0o100 else 0o644)


def write(
    out: Path,
    manifest: Manifest,
    files: dict[str, Path],
    key: Ed25519PrivateKey,
    progress: Progress = no_progress,
) -> None:
    """Write a signed bundle to ``out``; ``files``: where each path of the manifest is to be had.

    Raises UserError when a file has changed since its hash was taken; nothing stays at ``out`` then.
    """
    said = manifest.serialise()
    parse(said)  # what we would refuse we do not make
    partial = out.with_name(out.name + ".partial")
    try:
        with partial.open("wb") as tar:
            _append(tar, MANIFEST, len(said), io.BytesIO(said), 0o644)
            signature = sign(said, key)
            _append(tar, SIGNATURE, len(signature), io.BytesIO(signature), 0o644)
            done = 0
            for entry in manifest.files:
                with files[entry.path].open("rb") as data:
                    digest = _append(tar, entry.member, entry.size, data, entry.mode)
                if digest != entry.sha256:
                    raise UserError(f"{files[entry.path]} was changed while it was read.")
                progress(done := done + entry.size, manifest.size)
            tar.write(bytes(2 * BLOCK))
            tar.flush()
            os.fsync(tar.fileno())
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


def _append(tar: IO[bytes], name: str, size: int, data: IO[bytes], mode: int) -> str:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, mode
    tar.write(info.tobuf(tarfile.GNU_FORMAT))
    digest, left = hashlib.sha256(), size
    while left and (chunk := data.read(min(CHUNK_BYTES, left))):
        digest.update(chunk)
        tar.write(chunk)
        left -= len(chunk)
    if left or data.read(1):
        raise UserError(f"{name} was changed while it was read.")
    tar.write(bytes(-size % BLOCK))
    return digest.hexdigest()


# --- reading --------------------------------------------------------------------------------------


class Reader:
    """An open bundle whose manifest is signed by a key that we trust."""

    def __init__(self, data: IO[bytes], key: PublicKey) -> None:
        """Reads no further than the signature. Raises UserError."""
        self._data = data
        said = self._small(MANIFEST, LARGEST_MANIFEST_BYTES)
        key.check(said, self._small(SIGNATURE, LARGEST_SIGNATURE_BYTES))
        self.manifest = parse(said)

    def extract(self, folder: Path, progress: Progress = no_progress) -> None:
        """Put every file below ``folder``, which must be empty. Raises UserError at the first byte
        that is not as the manifest says; what was written by then is for the caller to remove."""
        made: set[Path] = set()
        for entry, done in self._entries():
            target = folder / entry.path
            if target.parent not in made:
                target.parent.mkdir(parents=True, exist_ok=True)
                made.add(target.parent)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            with os.fdopen(os.open(target, flags, entry.mode), "wb") as out:
                self._copy(entry, out)
            progress(done, self.manifest.size)

    def check(self, progress: Progress = no_progress) -> None:
        """Read it all and keep nothing. Raises UserError as :meth:`extract` does."""
        with Path(os.devnull).open("wb") as out:
            for entry, done in self._entries():
                self._copy(entry, out)
                progress(done, self.manifest.size)

    def _entries(self) -> Iterator[tuple[Entry, int]]:
        """Each file as its data comes next, and the bytes there are with it."""
        done = 0
        for entry in self.manifest.files:
            size = self._header(entry.member)
            if size != entry.size:
                raise _bad(f"{entry.path} has {size} bytes and should have {entry.size}")
            yield entry, (done := done + size)
        self._end()

    def _copy(self, entry: Entry, out: IO[bytes]) -> None:
        digest, left = hashlib.sha256(), entry.size
        while left:
            chunk = self._data.read(min(CHUNK_BYTES, left))
            if not chunk:
                raise _bad("it ends too early")
            digest.update(chunk)
            out.write(chunk)
            left -= len(chunk)
        if digest.hexdigest() != entry.sha256:
            raise _bad(f"{entry.path} is not what was signed")
        self._pad(entry.size)

    def _small(self, name: str, most: int) -> bytes:
        size = self._header(name)
        if size > most:
            raise _bad(f"{name} has {size} bytes, more than {most}")
        data = self._exactly(size)
        self._pad(size)
        return data

    def _header(self, name: str) -> int:
        """The size of the next file, which must be called ``name``."""
        block = self._exactly(BLOCK)
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as e:
            raise _bad(f"where {name} should begin there is no tar header") from e
        if info.type != tarfile.REGTYPE or info.linkname:
            raise _bad(f"{info.name!r} is no regular file")
        if info.name != name:
            raise _bad(f"it holds {info.name!r} where {name} should be")
        if info.size < 0:
            raise _bad(f"{name} has a size below nothing")
        return info.size

    def _pad(self, size: int) -> None:
        if self._exactly(-size % BLOCK).strip(b"\0"):
            raise _bad("there is something between its files")

    def _end(self) -> None:
        """Two empty blocks, then nothing but zeros."""
        rest = self._exactly(2 * BLOCK) + self._data.read(LONGEST_PADDING_BYTES)
        if rest.strip(b"\0") or self._data.read(1):
            raise _bad("it holds more than its manifest lists")

    def _exactly(self, count: int) -> bytes:
        data = self._data.read(count)
        if len(data) != count:
            raise _bad("it ends too early")
        return data


@contextmanager
def opened(bundle: Path, key: PublicKey) -> Iterator[Reader]:
    """The bundle at ``bundle``, its signature checked. Raises UserError."""
    try:
        data = bundle.open("rb")
    except OSError as e:
        raise UserError(f"{bundle} cannot be read: {e.strerror}. Name the bundle's file.") from e
    with data:
        if not bundle.is_file():
            raise UserError(f"{bundle} is no file. Name the bundle's file.")
        yield Reader(data, key)


def _bad(why: str) -> UserError:
    return UserError(f"The bundle is not good: {why}. Nothing of it was used; get it again.")
