"""Backups that are damaged, foreign, hostile or cut short: refused before anything is touched."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pyrage
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.errors import UserError
from appliance.ops.backup import boxfiles, database, keys
from appliance.ops.backup.journal import JOURNAL_FILE, Journal
from appliance.ops.backup.keys import Identity
from appliance.ops.backup.manifest import Contents, Manifest, read_manifest
from appliance.ops.backup.placing import Stage, Tree
from appliance.ops.backup.target import Target
from appliance.ops.backup.verify import verify
from appliance.ops.postgres.server import EmbeddedPostgres
from appliance.store.backing import is_filled
from appliance.store.database import migrate
from tests.appliance_kit import ROOT
from tests.backup_kit import Box, a_box, a_key, count, files_below, live_on

server = pytest.mark.server
CONTENTS = Contents(tables=(), audit_head="", kept=(), models=(), host="", data_dir="")
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system: needs root")
END_TIMEOUT_S = 60.0


@pytest.fixture
def box(database_url: str, tmp_path: Path, open_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Box:
    """The one that is backed up."""
    found = a_box(tmp_path / "old", database_url, open_tmp / "embedded")
    found.use(monkeypatch)
    return found


@pytest.fixture
def other(empty_database_url: str, tmp_path: Path, open_tmp: Path) -> Box:
    """The empty one."""
    return a_box(tmp_path / "new", empty_database_url, open_tmp / "embedded")


def untouched(other: Box) -> bool:
    """Whether nothing is on it but its settings."""
    return not is_filled(other.settings.database.url) and not files_below(other.settings.data_dir)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def an_object(folder: Path) -> Path:
    return next((folder.parent / "objects").glob("*/*.age"))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "database changed": lambda folder: flip(folder / "database.age"),
    "database cut": lambda folder: cut(folder / "database.age"),
    "secrets changed": lambda folder: flip(folder / "files.age"),
    "list changed": lambda folder: flip(folder / "objects"),
    "a part gone": lambda folder: (folder / "files.age").unlink(),
    "manifest changed": lambda folder: flip(folder / "manifest.json"),
    "manifest gone": lambda folder: (folder / "manifest.json").unlink(),
    "recording gone": lambda folder: an_object(folder).unlink(),
    "recording cut": lambda folder: cut(an_object(folder)),
    "recording changed": lambda folder: flip(an_object(folder)),
    "renamed": lambda folder: (folder / "manifest.json").write_bytes(
        (folder / "manifest.json").read_bytes().replace(b"Z", b"Y")
    ),
}


@server
async def test_what_is_damaged_is_refused_and_nothing_is_touched(
    engine: AsyncEngine, box: Box, other: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = a_key(box)
    await live_on(box, engine, calls=3)
    made = await asyncio.to_thread(box.create)
    assert made.backup is not None
    other.use(monkeypatch)
    for name, damage in DAMAGE.items():
        copy = other.folder / "copy"
        shutil.copytree(box.backups, copy)
        damage(copy / made.backup.folder.name)
        with pytest.raises(UserError):
            await asyncio.to_thread(other.restore, copy / made.backup.folder.name, identity)
        shutil.rmtree(copy)
        left = [path for path in files_below(other.settings.data_dir) if "restor" not in path]
        assert not left and not is_filled(other.settings.database.url), name
    await asyncio.to_thread(other.restore, made.backup.folder, identity)


@server
async def test_another_key_and_another_box_are_told_apart(
    engine: AsyncEngine, box: Box, other: Box
) -> None:
    identity = a_key(box)
    await live_on(box, engine, calls=1)
    made = await asyncio.to_thread(box.create)
    assert made.backup is not None
    stranger = str(pyrage.x25519.Identity.generate())
    cases = {
        "for another public key": Identity(stranger, identity.seal),
        "does not carry the seal": Identity(identity.secret, "another seal of a box"),
        "Nothing here can tell": Identity(identity.secret, ""),
    }
    for words, wrong in cases.items():
        with pytest.raises(UserError, match=words):
            other.restore(made.backup.folder, wrong)
        assert untouched(other)


@server
async def test_a_forged_backup_is_refused(engine: AsyncEngine, box: Box, other: Box) -> None:
    """Whoever can write to the target knows the public key, and can encrypt to it."""
    identity = a_key(box)
    await live_on(box, engine, calls=1)
    forger = a_box(other.folder / "forger", box.settings.database.url, Path("/nowhere"))
    public = keys.recipients_of(box.settings)
    forged = forger.with_backup(recipients=public)
    made = await asyncio.to_thread(forged.create)
    assert made.backup is not None
    with pytest.raises(UserError, match="does not carry the seal"):
        other.restore(made.backup.folder, identity)
    assert untouched(other)


@server
async def test_a_newer_one_is_refused_and_an_older_one_is_migrated(
    box: Box, other: Box, empty_database_url: str, postgres: EmbeddedPostgres
) -> None:
    old = box.settings.database.url
    with psycopg.connect(old, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    place = old.rpartition("/")[2]
    with psycopg.connect(postgres.superuser_url(place), autocommit=True) as connection:
        connection.execute("CREATE EXTENSION vector")
    await asyncio.to_thread(migrate, old, "0003")
    with psycopg.connect(old, autocommit=True) as connection:
        connection.execute("INSERT INTO agents (id, name) VALUES ('old', 'Old')")
    identity = a_key(box)
    made = await asyncio.to_thread(box.create)
    assert made.backup is not None and made.backup.manifest.revision == "0003"
    newer = made.backup.manifest.model_copy(update={"revision": "9999", "release": "7.0"})
    path = made.backup.folder / "manifest.json"
    was = path.read_bytes()
    path.write_bytes(newer.with_seal(identity.seal).to_bytes())
    with pytest.raises(UserError, match=r"Install release 7\.0 first"):
        other.restore(made.backup.folder, identity)
    assert untouched(other)
    path.write_bytes(was)
    done = await asyncio.to_thread(other.restore, made.backup.folder, identity)
    assert done.revision_before == "0003" != done.revision
    assert await count(empty_database_url, "agents") == 1
    assert await count(empty_database_url, "users") == 0  # a table that 0003 has not


@server
async def test_what_is_there_stays_until_somebody_says_replace(
    engine: AsyncEngine, box: Box
) -> None:
    identity = a_key(box)
    await live_on(box, engine, calls=2)
    made = await asyncio.to_thread(box.create)
    assert made.backup is not None
    await engine.dispose()
    recordings = files_below(box.settings.recordings_dir)
    with pytest.raises(UserError, match="not empty"):
        box.restore("", identity)
    (box.settings.recordings_dir / "new.wav").write_bytes(b"since")
    done = await asyncio.to_thread(box.restore, "", identity, replace=True)
    assert files_below(box.settings.recordings_dir) == recordings
    aside = [Path(path) for path in done.aside]
    assert any((path / "new.wav").exists() for path in aside)
    dumped = next(path for path in aside if (path / "database.dump").exists())
    assert (dumped / "database.dump").read_bytes()[:5] == b"PGDMP"
    # and with somebody at work nothing is done at all
    with psycopg.connect(box.settings.database.url):
        with pytest.raises(UserError, match="The appliance is running"):
            box.restore("", identity, replace=True)


# --- archives -------------------------------------------------------------------------------------


def archive_of(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for entry, data in entries:
            entry.size = len(data) if entry.isreg() else 0
            archive.addfile(entry, io.BytesIO(data) if entry.isreg() else None)
    return out.getvalue()


def entry_of(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, link
    return entry


FIRST = (entry_of(boxfiles.CONTENTS), CONTENTS.model_dump_json().encode())
HOSTILE: dict[str, bytes] = {
    "out of the folder": archive_of(FIRST, (entry_of("secrets/../../etc/passwd"), b"x")),
    "absolute": archive_of(FIRST, (entry_of("/etc/passwd"), b"x")),
    "no folder of ours": archive_of(FIRST, (entry_of("etc/passwd"), b"x")),
    "bare": archive_of(FIRST, (entry_of("secrets"), b"x")),
    "link": archive_of(FIRST, (entry_of("secrets/a", tarfile.SYMTYPE, "/etc/passwd"), b"")),
    "hard link": archive_of(FIRST, (entry_of("secrets/a", tarfile.LNKTYPE, "/etc/passwd"), b"")),
    "device": archive_of(FIRST, (entry_of("secrets/a", tarfile.CHRTYPE), b"")),
    "pipe": archive_of(FIRST, (entry_of("secrets/a", tarfile.FIFOTYPE), b"")),
    "folder": archive_of(FIRST, (entry_of("secrets/a", tarfile.DIRTYPE), b"")),
    "no contents": archive_of((entry_of("secrets/a"), b"x")),
    "contents of nothing": archive_of((entry_of(boxfiles.CONTENTS), b"{}")),
    "empty": archive_of(),
    "no archive": b"x" * 5000,
    "cut": archive_of(FIRST, (entry_of("secrets/a"), b"x" * 5000))[:3000],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused(name: str, tmp_path: Path) -> None:
    identity = pyrage.x25519.Identity.generate()
    path = tmp_path / "files.age"
    path.write_bytes(pyrage.encrypt(HOSTILE[name], [identity.to_public()]))
    taken: list[str] = []
    with pytest.raises(UserError):
        boxfiles.unpack(path, identity, lambda name, data, mode: taken.append(name))
    assert not taken


def test_a_bomb_is_refused_by_what_it_says_of_itself(tmp_path: Path) -> None:
    bomb = entry_of("secrets/bomb")
    bomb.size = 1 << 50
    identity = pyrage.x25519.Identity.generate()
    path = tmp_path / "files.age"
    first = archive_of(FIRST)[: 512 * 3]  # a header, its data, no end yet
    path.write_bytes(pyrage.encrypt(first[: 512 * 2] + bomb.tobuf(), [identity.to_public()]))
    with pytest.raises(UserError, match="too large"):
        boxfiles.unpack(path, identity, lambda name, data, mode: None)


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/passwd", "", "a\0b"])
def test_no_file_is_put_outside_of_its_folder(path: str, tmp_path: Path) -> None:
    stage = Stage((Tree("recordings", tmp_path / "recordings"),))
    stage.open()
    with pytest.raises(UserError):
        stage.file("recordings", path)
    with pytest.raises(UserError):
        stage.file("nothing", "a")


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"format": 1}', b"\xff", b'{"format": "1"}'])
def test_a_manifest_that_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(UserError, match="damaged or foreign"):
        read_manifest(data, "there")


def test_a_format_of_the_future_says_which_release_to_install() -> None:
    with pytest.raises(UserError, match=r"newer release \(9\.1\)"):
        read_manifest(b'{"format": 2, "release": "9.1"}', "there")


# --- cut short ------------------------------------------------------------------------------------


def ivr(box: Box, *arguments: str, **settings: str) -> subprocess.Popen[bytes]:
    """A command of its own on that box."""
    environment = dict(os.environ) | {"IVR_SETTINGS": str(box.file)}
    environment |= {
        "IVR_BACKUP__TARGET": str(box.backups),
        "IVR_DATABASE__EMBEDDED_DIR": str(box.settings.database.embedded_dir),
    } | settings
    return subprocess.Popen(
        [sys.executable, "-m", "appliance", *arguments],
        env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def until(holds: Callable[[], object], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + END_TIMEOUT_S
    while not holds():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.01)


def ended(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    said, _ = process.communicate(timeout=END_TIMEOUT_S)
    return process.returncode, said.decode()


def backends(postgres: EmbeddedPostgres, box: Box) -> list[int]:
    """Of the programs that read and write the rows of that box's backup."""
    with psycopg.connect(postgres.superuser_url()) as connection:
        rows = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name = 'ivr backup' AND datname = %s",
            (box.settings.database.url.rpartition("/")[2],),
        ).fetchall()
    return [row[0] for row in rows]


@server
async def test_a_backup_that_is_killed_is_none_and_the_next_clears_it_away(
    engine: AsyncEngine, box: Box
) -> None:
    a_key(box)
    await live_on(box, engine, calls=6)
    slow = {"IVR_BACKUP__MB_PER_S": "0.05"}
    killed = await asyncio.to_thread(ivr, box, "backup", "create", **slow)
    try:
        await asyncio.to_thread(
            until, lambda: any((box.backups / "objects").glob("*/*.age")), killed
        )
    finally:
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
    assert Target.of(box.settings).backups() == [] and Target.of(box.settings).names() == []
    assert any(path.name.startswith(".partial-") for path in box.backups.iterdir())
    made = await asyncio.to_thread(box.create)
    assert made.backup is not None
    assert not any(path.name.startswith(".partial-") for path in box.backups.iterdir())
    report = await asyncio.to_thread(verify, box.settings, "", None)
    assert report.is_good and report.objects == 7


@server
async def test_a_backup_whose_rows_stop_coming_is_none_and_says_so(
    engine: AsyncEngine, box: Box
) -> None:
    a_key(box)
    await live_on(box, engine, calls=2)
    rows = "INSERT INTO do_not_call (number) SELECT md5(g::text) FROM generate_series(1, 60000) g"
    with psycopg.connect(box.settings.database.url, autocommit=True) as connection:
        connection.execute(rows)
    process = await asyncio.to_thread(
        ivr, box, "backup", "create", IVR_BACKUP__MB_PER_S="0.2", IVR_BACKUP__DRILL="never"
    )
    url = box.settings.database.url

    def terminate() -> bool:
        with psycopg.connect(url, autocommit=True) as connection:
            return bool(
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name"
                    " = 'ivr backup' AND datname = current_database() AND query LIKE 'COPY %'"
                ).fetchall()
            )

    await asyncio.to_thread(until, terminate, process)
    status, said = await asyncio.to_thread(ended, process)
    assert status == 2 and said.startswith("ivr: pg_dump did not end well")
    assert Target.of(box.settings).names() == []
    assert not any(path.name.startswith(".partial-") for path in box.backups.iterdir())


@server
def test_what_is_taken_aside_outlives_a_power_cut(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the only copy, and the journal says from then on that it is there."""
    synced: dict[int, int] = {}

    def fsync(descriptor: int) -> None:
        sync(descriptor)
        there = os.fstat(descriptor)
        synced[there.st_ino] = there.st_size

    sync = os.fsync
    monkeypatch.setattr(os, "fsync", fsync)
    aside = tmp_path / "before-x"
    database.take_aside(database_url, aside)
    (dump,) = (path.stat() for path in aside.iterdir())
    assert synced.get(dump.st_ino) == dump.st_size > 0
    assert {aside.stat().st_ino, tmp_path.stat().st_ino} <= synced.keys()
    synced.clear()
    Journal(name="x", stamp="x", dumped=True).write(tmp_path / JOURNAL_FILE)
    assert (tmp_path / JOURNAL_FILE).stat().st_ino in synced and tmp_path.stat().st_ino in synced


@server
async def test_a_restore_that_is_killed_begins_anew_and_ends_the_same(
    engine: AsyncEngine, box: Box, other: Box, postgres: EmbeddedPostgres
) -> None:
    identity = a_key(box)
    await live_on(box, engine, calls=4)
    made = await asyncio.to_thread(box.create)
    assert made.backup is not None
    command = ("backup", "restore", str(made.backup.folder))
    command += ("--identity", str(box.folder / "identity.txt"))
    stages = (
        lambda: (other.settings.data_dir / ".recordings.restoring").exists(),
        lambda: backends(postgres, other),
    )
    for stage in stages:
        killed = await asyncio.to_thread(ivr, other, *command)
        await asyncio.to_thread(until, stage, killed)
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        assert not other.settings.recordings_dir.exists()
        assert not is_filled(other.settings.database.url)
        await asyncio.to_thread(_gone, postgres, other)
    killed = await asyncio.to_thread(ivr, other, *command)  # its rows are in, its files are not
    await asyncio.to_thread(until, lambda: backends(postgres, other), killed)
    await asyncio.to_thread(until, lambda: not backends(postgres, other), killed)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    await asyncio.to_thread(_gone, postgres, other)
    status, said = await asyncio.to_thread(lambda: ended(ivr(other, *command)))
    assert status == 0 and "Restored" in said, said
    theirs, ours = other.settings.recordings_dir, box.settings.recordings_dir
    assert files_below(theirs) == files_below(ours)
    assert identity.seal == (other.settings.secrets_dir / "backup-seal").read_text()


def _gone(postgres: EmbeddedPostgres, box: Box) -> None:
    """Wait until Postgres has noticed that a client is dead."""
    deadline = time.monotonic() + END_TIMEOUT_S
    while backends(postgres, box):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A file system of that size on ``folder``."""
    mount = ("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))
    subprocess.run(mount, check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@server
@ROOT_ONLY
async def test_a_full_disk_ends_a_backup_or_a_restore_and_leaves_what_was(
    engine: AsyncEngine, box: Box, other: Box
) -> None:
    identity = a_key(box)
    await live_on(box, engine, calls=4)
    small = box.folder / "small"
    small.mkdir()
    with small_disk(small, "200k"):
        full = box.with_backup(target=str(small / "b"), mount=str(small), keep_free_gb=0)
        with pytest.raises(UserError, match=r"needs up to"):
            await asyncio.to_thread(full.create)
        assert Target.of(full.settings).names() == []
    with pytest.raises(UserError, match="Nothing is mounted"):
        full.create()
    assert not list(small.iterdir())
    made = await asyncio.to_thread(box.create)
    assert made.backup is not None
    data = other.settings.data_dir
    data.mkdir()
    with small_disk(data, "150k"):
        with pytest.raises(UserError, match=r"are free|stopped"):
            await asyncio.to_thread(other.restore, made.backup.folder, identity)
        assert not is_filled(other.settings.database.url)
        assert not (data / "recordings").exists()


def test_the_manifest_is_sealed_over_every_field() -> None:
    manifest = Manifest.model_validate(
        {
            "format": 1, "name": "20261121T023000Z", "made_at": "2026-11-21T02:30:00Z",
            "release": "1", "revision": "0004", "server_version": 180004, "tool_version": 18,
            "scheduled": True, "drilled": True, "object_count": 1, "object_bytes": 1,
            "database_bytes": 1, "plain_bytes": 1,
            "parts": {"database.age": {"bytes": 1, "sha256": "0" * 64}},
        }
    ).with_seal("k" * 20)  # fmt: skip
    assert manifest.is_sealed_by("k" * 20) and not manifest.is_sealed_by("l" * 20)
    assert read_manifest(manifest.to_bytes(), "").is_sealed_by("k" * 20)
    for change in ({"revision": "0005"}, {"drilled": False}, {"parts": {}}, {"release": "2"}):
        assert not manifest.model_copy(update=change).is_sealed_by("k" * 20)
