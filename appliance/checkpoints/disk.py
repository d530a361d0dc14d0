"""Room on the disk, asked for before gigabytes are written."""

from __future__ import annotations

import shutil
from pathlib import Path

from appliance.errors import UserError

MARGIN_BYTES = 512 << 20
"""Left free for the appliance itself: recordings, the journal."""
GIGABYTE = 10**9


def require_room(place: Path, size: int) -> None:
    """Raises UserError where ``size`` bytes more would not leave the margin free."""
    existing = place
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    if size + MARGIN_BYTES > free:
        raise UserError(
            f"The disk of {existing} has {in_words(free)} free; {in_words(size + MARGIN_BYTES)} are"
            " needed. Make room (ivr models remove NAME), or set data_dir to a larger disk."
        )


def bytes_below(folder: Path) -> int:
    """Of all files in ``folder`` and below it."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def in_words(size: float) -> str:
    """Bytes as people say them: ``1.5 GB``."""
    if size >= GIGABYTE:
        return f"{size / GIGABYTE:.1f} GB"
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"
