"""Unpacks what was fetched, and copies what was brought: nothing leaves the folder it goes into.

Archives come from strangers: a name that climbs out, a link, a device, or more bytes than the disk has
room for is refused, whatever the archive says of itself (CWE-22, CWE-59, CWE-409).
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from appliance.checkpoints.disk import require_room
from appliance.errors import UserError

MOST_FILES = 10_000
"""A model has a few dozen."""
COPY_BYTES = 1 << 20
MOST_HEADER_BYTES = 64 << 20
"""Of a tar, all its members together: 10^4 files take 5 MB. A header may hold a name, or a map of
holes, of any length, and a compressed one takes a thousandth of it."""

DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error, EOFError,
           ValueError, LookupError)  # fmt: skip
"""What the libraries raise at archives that somebody made by hand."""

Report = Callable[[int], None]
"""Told of bytes as they are written."""


def unpack(archive: Path, into: Path, report: Report = lambda size: None) -> None:
    """Write an archive's files below ``into``. Raises UserError; what was written stays there."""
    if not archive.is_file():  # a pipe, a device: it may never end
        raise UserError(f"{archive} is not a file. Name the folder or archive that was brought.")
    try:
        if zipfile.is_zipfile(archive):
            _unzip(archive, into, report)
        elif _is_tar(archive):
            _untar(archive, into, report)
        else:
            raise UserError(f"{archive} is neither a zip nor a tar archive, or it was cut short.")
    except (*DAMAGED, NotImplementedError) as e:
        raise UserError(f"{archive} is damaged ({e}). Fetch it again.") from e
    except RuntimeError as e:  # zipfile's word for a password
        raise UserError(f"{archive} cannot be unpacked: {e}.") from e


def copy_folder(source: Path, into: Path, report: Report = lambda size: None) -> None:
    """Copy the files below ``source``, hidden ones apart. Raises UserError.

    A link is followed where it stays in the folder, or in the store of Hugging Face's cache, whose
    snapshots are links; any other is refused.
    """
    root = source.resolve()
    allowed = [root]
    if root.parent.name == "snapshots":
        allowed.append(root.parent.parent / "blobs")
    files = _files_of(source, root, allowed)
    if not files:
        raise UserError(f"{source} is empty. Name the folder or archive that was brought.")
    require_room(into, sum(real.stat().st_size for _, real in files))
    for relative, real in files:
        with real.open("rb") as data:
            _write(data, into / relative, real.stat().st_size, report)


def _files_of(source: Path, root: Path, allowed: list[Path]) -> list[tuple[PurePosixPath, Path]]:
    found = []
    for path in source.rglob("*"):
        relative = path.relative_to(source)
        if any(part.startswith(".") for part in relative.parts):
            continue
        if path.is_dir() and not path.is_symlink():
            continue
        real = path.resolve()
        if not any(real.is_relative_to(place) for place in allowed):
            raise UserError(f"{path} is a link out of the folder. Bring the files themselves.")
        if not real.is_file():
            raise UserError(f"{path} is not a file that can be copied. Bring the files themselves.")
        found.append((PurePosixPath(relative.as_posix()), real))
        _check_count(source, len(found))
    return found


def _unzip(archive: Path, into: Path, report: Report) -> None:
    with zipfile.ZipFile(archive) as opened:
        members = [m for m in opened.infolist() if not m.is_dir()]
        _check_count(archive, len(members))
        for member in members:
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG):
                raise _hostile(archive, member.filename, "is a link or a device")
        places = [(m, _place(archive, m.filename)) for m in members]
        require_room(into, sum(member.file_size for member in members))
        for member, place in places:
            with opened.open(member) as data:
                _write(data, into / place, member.file_size, report)


def _untar(archive: Path, into: Path, report: Report) -> None:
    with _tar(archive) as (opened, headers):
        members = []
        for member in opened:
            if member.isdir():
                continue
            if not member.isreg():
                raise _hostile(archive, member.name, "is a link or a device")
            members.append((member, _place(archive, member.name)))
            _check_count(archive, len(members))
        headers.listed = True
        require_room(into, sum(member.size for member, _ in members))
        for member, place in members:
            data = opened.extractfile(member)
            assert data is not None  # a regular file
            with data:
                _write(data, into / place, member.size, report)


class _Bounded:
    """The bytes of a tar. Until its members are ``listed``, what is read of it are their headers."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._read = 0
        self.listed = False

    def read(self, size: int = -1) -> bytes:
        """Raises ValueError for headers that are too long: they are kept in memory."""
        if not self.listed:
            self._read += size
            if size < 0 or self._read > MOST_HEADER_BYTES:
                raise ValueError("the headers of its files are too long")
        return self._file.read(size)

    def seek(self, position: int, whence: int = 0) -> int:
        return self._file.seek(position, whence)

    def tell(self) -> int:
        return self._file.tell()


def _is_tar(archive: Path) -> bool:
    """Raises ValueError for headers that are too long."""
    try:
        with _tar(archive):
            return True
    except tarfile.TarError:
        return False


@contextmanager
def _tar(archive: Path) -> Iterator[tuple[tarfile.TarFile, _Bounded]]:
    """A tar, compressed or not. Raises tarfile.TarError."""
    packed = (gzip.open, bz2.open, lzma.open)
    for opener in (cast(Callable[..., IO[bytes]], each) for each in (*packed, open)):
        with opener(archive, "rb") as file:
            bounded = _Bounded(file)
            try:
                opened = tarfile.open(fileobj=cast(Any, bounded), mode="r:")
            except (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError):
                continue
            with opened:
                yield opened, bounded
            return
    raise tarfile.ReadError("it is no tar")


def _check_count(archive: Path, count: int) -> None:
    if count > MOST_FILES:
        raise UserError(f"{archive} holds more than {MOST_FILES} files; no model has so many.")


def _place(archive: Path, name: str) -> PurePosixPath:
    place = PurePosixPath(name)
    climbs = place.is_absolute() or ".." in place.parts or not place.parts
    if climbs or "\\" in name or ":" in name or "\0" in name:
        raise _hostile(archive, name, "would be written outside the model's folder")
    return place


def _hostile(archive: Path, name: str, why: str) -> UserError:
    return UserError(
        f"{archive} is refused: its file {name!r} {why}. Do not use it; get it from its publisher."
    )


def _write(data: IO[bytes], target: Path, size: int, report: Report) -> None:
    """Write at most ``size`` bytes, as declared and made room for."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        left = size
        with target.open("xb") as out:  # a name that comes twice is refused
            while left and (block := data.read(min(COPY_BYTES, left))):
                out.write(block)
                left -= len(block)
                report(len(block))
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as e:
        raise UserError(f"Two files go to {target.name}: the source is damaged.") from e
    except OSError as e:
        raise UserError(f"{target} cannot be written: {e.strerror or e}.") from e
    if left:
        raise UserError(f"{target.name} ends {left} bytes too early: the source is damaged.")


def remove(folder: Path) -> None:
    """Delete a folder that may not be there."""
    shutil.rmtree(folder, ignore_errors=True)
