"""What a backup costs: MB/s, and how late 20 ms frames are meanwhile.

    python -m bench.backup [--recordings 1000] [--passages 20000] [--calls 50000]

A box is made in a temporary folder: an embedded Postgres with calls, turns and passages with vectors,
recordings of 400 kB. It is backed up at full speed, again (nothing new), with a drill, and at the
default pace. Before and beside each, a process keeps 20 ms frames as a worker does: how late it wakes
is what a caller would have as a gap.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psycopg

from appliance.ops.backup import keys
from appliance.ops.keeping.ports import free_port
from appliance.ops.postgres.server import EmbeddedPostgres
from appliance.settings import Backup, Database, Settings
from appliance.store.database import migrate

RECORDING_BYTES = 400_000
"""12 s of two channels at 16 kHz."""
DIMENSIONS = 384
MB = 1e6
QUIET_S = 8.0
"""Frames of the machine as it is, just before each backup: the two are to be compared."""
CASES = (
    ("full speed", 0.0, ("--no-drill",)),
    ("nothing new", 0.0, ("--no-drill",)),
    ("with a drill", 0.0, ("--drill",)),
    ("default pace", Backup().mb_per_s, ("--no-drill",)),
)
"""What, at most MB/s, and how it is called."""


class Metronome:
    """Wakes every 20 ms in a thread of a process of its own; how late, in ms."""

    CODE = (
        "import select,sys,time\nlate=[]\nat=time.monotonic()\n"
        "while not select.select([sys.stdin],[],[],0)[0]:\n"
        " at+=0.02\n d=at-time.monotonic()\n time.sleep(d) if d>0 else None\n"
        " late.append((time.monotonic()-at)*1000)\n"
        "late.sort()\nn=len(late)\n"
        "print(n,late[n//2],late[int(n*.95)],late[int(n*.99)],late[-1])\n"
    )

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", self.CODE],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def stop(self) -> dict[str, float]:
        out, _ = self._process.communicate("x\n", timeout=30)
        count, p50, p95, p99, worst = (float(word) for word in out.split())
        return {"frames": count, "p50": p50, "p95": p95, "p99": p99, "max": worst}


def fill(url: str, calls: int, passages: int) -> None:
    """Rows of the size that calls and documents leave."""
    rng = np.random.default_rng(7)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("INSERT INTO agents (id, name) VALUES ('a', 'A')")
        connection.execute(
            "INSERT INTO do_not_call (number) SELECT '+9198' || g FROM generate_series(1, %s) g",
            (calls,),
        )
        connection.execute("CREATE TABLE bench_passages (id int, words text, vector vector(384))")
        with (
            connection.cursor() as cursor,
            cursor.copy("COPY bench_passages (id, words, vector) FROM STDIN") as copy,
        ):
            for number in range(passages):
                vector = rng.standard_normal(DIMENSIONS).astype("f4").tolist()
                copy.write_row((number, f"passage {number} " * 60, str(vector)))


def record(folder: Path, count: int) -> None:
    """Files as large as recordings, with sound that does not compress."""
    rng = np.random.default_rng(7)
    noise = rng.integers(0, 256, RECORDING_BYTES, np.uint8).tobytes()
    long_ago = time.time() - 86_400
    for number in range(count):
        path = folder / f"2026/11/{number % 28 + 1:02}" / f"call-{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(noise)
        os.utime(path, (long_ago, long_ago))


def backed_up(rate: float, file: Path, *words: str) -> dict[str, float]:
    """`ivr backup create` as a process of its own, and what it says."""
    environment = dict(os.environ) | {
        "IVR_SETTINGS": str(file),
        "IVR_BACKUP__MB_PER_S": str(rate),
    }
    done = subprocess.run(
        [sys.executable, "-m", "appliance", "backup", "create", "--json", *words],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    said: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return said


def run(recordings: int, passages: int, calls: int) -> dict[str, object]:
    folder = Path(tempfile.mkdtemp(prefix="ivr-bench-backup-", dir="/tmp"))
    folder.chmod(0o755)
    database = Database(embedded_port=free_port(), embedded_dir=folder / "embedded")
    settings = Settings(data_dir=folder / "var", database=database)
    server = EmbeddedPostgres(settings)
    found: dict[str, object] = {}
    try:
        server.start()
        migrate(server.url)
        fill(server.url, calls, passages)
        record(settings.recordings_dir, recordings)
        keys.make(settings, "bench")
        file = folder / "ivr.toml"
        file.write_text(
            f'data_dir = "{settings.data_dir}"\n[database]\nembedded_port = {database.embedded_port}\n'
            f'embedded_dir = "{database.embedded_dir}"\n'
        )
        for name, rate, words in CASES:
            if name == "default pace":
                shutil.rmtree(settings.data_dir / "backups")
            quiet = Metronome()
            time.sleep(QUIET_S)
            without = quiet.stop()
            beside = Metronome()
            said = backed_up(rate, file, *words)
            found[name] = {
                "seconds": said["seconds"],
                "read_mb": round(said["read_bytes"] / MB, 1),
                "written_mb": round(said["written_bytes"] / MB, 1),
                "mb_per_s": round(said["read_bytes"] / MB / said["seconds"], 1),
                "load": round(os.getloadavg()[0], 1),
                "late_ms_before": without,
                "late_ms_beside": beside.stop(),
            }
            time.sleep(1.1)  # a name is a second
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recordings", type=int, default=1000)
    parser.add_argument("--passages", type=int, default=20_000)
    parser.add_argument("--calls", type=int, default=50_000)
    wanted = parser.parse_args()
    print(json.dumps(run(wanted.recordings, wanted.passages, wanted.calls), indent=1))


if __name__ == "__main__":
    main()
