"""The write-ahead file: order, torn lines, compaction, locks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic

import pytest

from appliance.store import spool as module
from appliance.store.spool import COMPACT_BYTES, Spool, adopt

BIG = 1 << 20


def test_lines_come_back_in_order_and_the_file_empties(tmp_path: Path) -> None:
    spool = Spool.create(tmp_path / "new" / "folder")
    spool.append([b"one", b"two"])
    spool.append([b"three"])
    chunk = spool.next(BIG)
    assert chunk.lines == (b"one", b"two", b"three")
    spool.append([b"four"])
    spool.shipped(chunk.end)
    assert spool.path.stat().st_size > 0
    chunk = spool.next(BIG)
    assert chunk.lines == (b"four",)
    spool.shipped(chunk.end)
    assert spool.path.stat().st_size == 0
    spool.append([b"five"])
    assert spool.next(BIG).lines == (b"five",)
    spool.close(remove=True)
    assert list(tmp_path.rglob("*.jsonl")) == []


def test_small_reads_give_whole_lines(tmp_path: Path) -> None:
    spool = Spool.create(tmp_path)
    lines = [bytes([65 + i]) * (i * 7 + 1) for i in range(20)]
    spool.append(lines)
    read: list[bytes] = []
    while spool.unshipped_bytes:
        chunk = spool.next(10)
        assert chunk.lines
        read += chunk.lines
        spool.shipped(chunk.end)
    assert read == lines
    spool.close(remove=True)


def test_stored_lines_do_not_lie_there_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool.create(tmp_path)
    spool.append([b"begin", b"what an erased caller said"])
    spool.shipped(spool.next(BIG).end, [b"begin"])
    assert not spool.is_stale and b"erased" in spool.path.read_bytes()
    monkeypatch.setattr(module, "monotonic", lambda: monotonic() + module.COMPACT_S)
    assert spool.is_stale
    spool.append([b"not stored yet"])
    spool.tidy([b"begin"])
    assert b"not stored yet" in spool.path.read_bytes()
    spool.shipped(spool.next(BIG).end, [b"begin"])
    assert spool.path.read_bytes() == b"begin\n"
    spool.close(remove=True)


def test_kept_lines_are_for_the_heir_only(tmp_path: Path) -> None:
    spool = Spool.create(tmp_path)
    spool.append([b"begin", b"x" * COMPACT_BYTES])
    while spool.unshipped_bytes:
        spool.shipped(spool.next(BIG).end, [b"begin"])
    assert spool.path.read_bytes() == b"begin\n"
    assert spool.next(BIG).lines == ()
    spool.append([b"more"])
    assert spool.next(BIG).lines == (b"more",)
    spool.close(remove=False)
    (heir,) = adopt(tmp_path)
    assert heir.next(BIG).lines == (b"begin", b"more")
    heir.close(remove=True)


def test_a_living_process_keeps_its_spool_and_a_dead_one_does_not(tmp_path: Path) -> None:
    spool = Spool.create(tmp_path)
    spool.append([b"mine"])
    assert adopt(tmp_path) == []
    spool.close(remove=False)
    (heir,) = adopt(tmp_path)
    assert adopt(tmp_path) == []
    assert heir.next(BIG).lines == (b"mine",)
    heir.close(remove=True)


KILLED = """
import os, signal, sys
from pathlib import Path
from appliance.store.spool import Spool
spool = Spool.create(Path(sys.argv[1]))
spool.append([b"whole", b"also whole"])
os.write(spool._descriptor, b"half a li")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_wrote_is_read_without_its_torn_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dead = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], timeout=30)
    assert dead.returncode == -signal.SIGKILL
    (heir,) = adopt(tmp_path)
    read: list[bytes] = []
    while heir.unshipped_bytes:
        chunk = heir.next(BIG)
        read += chunk.lines
        heir.skip(chunk.end)
    assert read == [b"whole", b"also whole"]
    assert "torn line" in caplog.text
    heir.close(remove=True)


def test_a_failed_write_leaves_no_half_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool.create(tmp_path)
    spool.append([b"good"])

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "fdatasync", full_disk)
    with pytest.raises(OSError, match="No space"):
        spool.append([b"bad"])
    monkeypatch.undo()
    spool.append([b"again"])
    assert spool.path.read_bytes() == b"good\nagain\n"
    spool.close(remove=True)


def test_the_file_is_readable_by_us_alone(tmp_path: Path) -> None:
    spool = Spool.create(tmp_path)
    assert os.stat(spool.path).st_mode & 0o777 == 0o600
    spool.close(remove=True)


@pytest.mark.parametrize("removed", [False, True])
def test_a_new_file_that_an_heir_takes_before_it_is_locked_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, removed: bool
) -> None:
    """Another worker starts at the same moment: its look for heirs finds the file, still empty."""
    heirs: list[Spool] = []
    lock = module._lock

    def late(descriptor: int) -> bool:
        monkeypatch.setattr(module, "_lock", lock)
        heirs.extend(adopt(tmp_path))
        if removed:
            heirs[0].close(remove=True)
        return lock(descriptor)

    monkeypatch.setattr(module, "_lock", late)
    spool = Spool.create(tmp_path)
    spool.append([b"one"])
    spool.close(remove=False)
    (heir,) = [one for one in adopt(tmp_path) if one.unshipped_bytes]
    assert len(heirs) == 1 and heir.next(BIG).lines == (b"one",)
    heir.close(remove=True)
    if not removed:
        heirs[0].close(remove=True)
