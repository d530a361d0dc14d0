"""Files that are written whole: who reads one finds the old contents or the new, never a part.
Names that survive a power cut."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path


def write_whole(path: Path, data: bytes, *, mode: int | None = None, sync: bool = False) -> None:
    """Put ``data`` in the place of what ``path`` held; its folder is made if it is not there.

    ``mode``: permissions, whatever the umask; else what the umask leaves of 0666. ``sync``: a power
    cut must not leave the name without its contents. Raises OSError; nothing is left half done then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        descriptor = os.open(temporary, flags, 0o666 if mode is None else mode)
        with open(descriptor, "wb") as out:
            if mode is not None:
                os.fchmod(descriptor, mode)
            out.write(data)
            if sync:
                out.flush()
                os.fsync(descriptor)
        temporary.replace(path)
    finally:
        with suppress(OSError):  # renamed, or never made
            temporary.unlink()


def sync_folder(folder: Path, *, if_it_can: bool = False) -> None:
    """The names in ``folder`` survive a power cut. Raises OSError.

    ``if_it_can``: not every file system of a share is able to.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError:
        if not if_it_can:
            raise
    finally:
        os.close(descriptor)
