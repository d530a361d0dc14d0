"""The small files that make a box this box: settings, secrets, certificates, rows that still wait.

One tar archive inside ``files.age``, the list of contents first. What comes out of one is believed
only as far as a name of ours goes: plain files below six folders, none of them a link.
"""

from __future__ import annotations

import io
import os
import stat
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

import pyrage

from appliance.errors import UserError
from appliance.ops.backup.ciphering import Measured, Pace, Written, decrypt, encrypt
from appliance.ops.backup.manifest import LARGEST_CONTENTS_BYTES, Contents, read_contents
from appliance.settings import Settings

CONTENTS = "contents.json"
FOLDERS = ("settings", "secrets", "tls", "spool", "backup", "certificates")
LARGEST_FILE_BYTES = 1 << 32
MOST_FILES = 100_000
SETTINGS_NAME, ANSWERS_NAME = "settings/ivr.toml", "settings/install.answers"
CERTIFICATE, KEY = "certificates/certificate.pem", "certificates/key.pem"


@dataclass(frozen=True, slots=True)
class Small:
    """A small file."""

    name: str
    """In the archive: one of :data:`FOLDERS`, then its path."""
    path: Path


def small_files(settings: Settings, file: Path) -> Iterator[Small]:
    """All that there are; ``file`` is the settings file. Links are followed for single files alone."""
    named = [(SETTINGS_NAME, file), (ANSWERS_NAME, file.with_name("install.answers"))]
    if settings.admin.certificate:
        named.append((CERTIFICATE, Path(settings.admin.certificate)))
    if settings.admin.key:
        named.append((KEY, Path(settings.admin.key)))
    recipient = settings.backup_recipient_file
    named.append((f"backup/{recipient.name}", recipient))
    yield from (Small(name, path) for name, path in named if path.is_file())
    folders = {
        "secrets": settings.secrets_dir,
        "tls": settings.tls_dir,
        "spool": settings.spool_dir,
    }
    for folder, root in folders.items():
        for place, _, names in os.walk(root):
            for name in sorted(names):
                path = Path(place) / name
                if not name.startswith(".") and path.is_file() and not path.is_symlink():
                    yield Small(f"{folder}/{path.relative_to(root).as_posix()}", path)


def pack(
    contents: Contents,
    files: Iterator[Small],
    path: Path,
    keys: list[pyrage.x25519.Recipient],
    pace: Pace,
) -> Written:
    """The archive, encrypted into ``path``. Raises UserError."""
    source, sink = os.pipe()
    failed: list[BaseException] = []

    def write() -> None:
        try:
            with open(sink, "wb") as out, tarfile.open(fileobj=out, mode="w|") as archive:
                _add(archive, CONTENTS, contents.model_dump_json().encode(), 0o600, 0.0)
                for small in files:
                    _add_file(archive, small)
        except (OSError, tarfile.TarError) as e:
            failed.append(e)

    writer = threading.Thread(target=write, name="backup-files", daemon=True)
    writer.start()
    with open(source, "rb", buffering=0) as reader:
        written = encrypt(Measured(reader, pace), path, keys)
    writer.join()
    if failed:
        raise UserError(f"Settings and secrets could not be read: {failed[0]}.")
    return written


def _add_file(archive: tarfile.TarFile, small: Small) -> None:
    try:
        status = small.path.stat()
        data = small.path.read_bytes()
    except FileNotFoundError:
        return  # rows that were written to the database meanwhile
    _add(archive, small.name, data, stat.S_IMODE(status.st_mode), status.st_mtime)


def _add(archive: tarfile.TarFile, name: str, data: bytes, mode: int, mtime: float) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = len(data), mode & 0o777, int(mtime)
    archive.addfile(entry, io.BytesIO(data))


def unpack(
    path: Path, identity: pyrage.x25519.Identity, take: Callable[[str, bytes, int], None]
) -> Contents:
    """The archive in ``path``, its list of contents and, for each file, ``take(name, data, mode)``.

    Raises UserError: wrong identity, damaged, or an archive that is not as ours are.
    """
    source, sink = os.pipe()
    failed: list[UserError] = []

    def read() -> None:
        try:
            with open(sink, "wb", buffering=0) as out:
                decrypt(path, out, identity)
        except UserError as e:
            failed.append(e)

    reader = threading.Thread(target=read, name="backup-files", daemon=True)
    reader.start()
    try:
        with open(source, "rb") as archive:
            contents = _take_all(archive, take)
            while archive.read(1 << 16):  # to its end, so that a cut or a changed end is found
                pass
    except (tarfile.TarError, EOFError, OSError) as e:
        reader.join()
        raise failed[0] if failed else UserError(f"{path.name} is damaged: {e}.") from e
    except UserError as e:
        reader.join()
        raise (failed or [e])[0] from None  # the first cause is what is told
    reader.join()
    if failed:
        raise failed[0]
    return contents


def _take_all(source: IO[bytes], take: Callable[[str, bytes, int], None]) -> Contents:
    contents = None
    with tarfile.open(fileobj=source, mode="r|") as archive:
        for number, entry in enumerate(archive):
            if number > MOST_FILES:
                raise UserError("The archive of settings and secrets has too many files.")
            data = _checked(archive, entry, is_first=number == 0)
            if number == 0:
                contents = read_contents(data)
            else:
                take(entry.name, data, entry.mode & 0o777)
    if contents is None:
        raise UserError("The archive of settings and secrets is empty.")
    return contents


def _checked(archive: tarfile.TarFile, entry: tarfile.TarInfo, *, is_first: bool) -> bytes:
    parts = PurePosixPath(entry.name).parts
    largest = LARGEST_CONTENTS_BYTES if is_first else LARGEST_FILE_BYTES
    fits = entry.name == CONTENTS if is_first else len(parts) > 1 and parts[0] in FOLDERS
    if not entry.isreg() or not fits or ".." in parts or "\0" in entry.name or "\\" in entry.name:
        raise UserError(f"The archive holds {entry.name!r:.100}, which no backup of ours does.")
    if entry.size > largest or entry.sparse is not None:
        raise UserError(f"{entry.name!r:.100} in the archive is too large.")
    file = archive.extractfile(entry)
    if file is None:
        raise UserError(f"{entry.name!r:.100} in the archive is no file.")
    return file.read(largest)
