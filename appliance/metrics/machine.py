"""The disk that data is on. Asked by threads only: a disk that hangs would hold up a call."""

from __future__ import annotations

import shutil
from pathlib import Path

from appliance.metrics.exposition import Sink, Source

SPOOL_FILES = "*.jsonl"


def disk(data_dir: Path, spool_dir: Path) -> Source:
    """What ``data_dir`` has room for, and how much of the journal waits on it."""

    def put(sink: Sink) -> None:
        folder = next((p for p in (data_dir, *data_dir.parents) if p.exists()), None)
        if folder is None:
            return
        usage = shutil.disk_usage(folder)
        sink.put("ivr_disk_bytes", usage.total)
        sink.put("ivr_disk_free_bytes", usage.free)
        try:
            spooled = sum(path.stat().st_size for path in spool_dir.rglob(SPOOL_FILES))
        except OSError:  # one has just been emptied
            return
        sink.put("ivr_spool_bytes", spooled)

    return put
