"""Backups one after another: what is read again, what stays, what is printed, what alarms say."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner, Result
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.__main__ import main
from appliance.errors import UserError
from appliance.jobs.backup import make_backup
from appliance.ops.alarms import Severity, of_backups
from appliance.ops.backup import keys, modest, pool, state
from appliance.ops.backup.ciphering import Pace
from appliance.ops.backup.state import BackupLook, State, look_at_backups, read_state
from appliance.ops.backup.target import Target
from appliance.ops.backup.verify import verify
from appliance.ops.doctor.backup import CHECKS
from appliance.ops.doctor.box import open_box
from appliance.ops.doctor.check import State as Stands
from appliance.ops.sitelook import Site
from tests.backup_kit import Box, a_box, a_key, files_below, live_on

server = pytest.mark.server
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def box(database_url: str, tmp_path: Path, open_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Box:
    found = a_box(tmp_path / "box", database_url, open_tmp / "embedded")
    found.use(monkeypatch)
    return found


def objects(box: Box) -> set[str]:
    return {path.stem for path in (box.backups / "objects").glob("*/*.age")}


@server
async def test_what_has_not_changed_is_not_read_again(engine: AsyncEngine, box: Box) -> None:
    a_key(box)
    life = await live_on(box, engine, calls=3)
    first = await asyncio.to_thread(box.create)
    assert first.new_objects == 4
    recordings = sorted(box.settings.recordings_dir.rglob("*.wav"))
    beeped, erased, same = recordings
    with beeped.open("r+b") as file:  # as a redaction does: as long as before
        file.seek(100)
        file.write(b"beep")
    erased.unlink()
    kept_before = objects(box)
    await asyncio.sleep(1.1)  # a name is a second
    second = await asyncio.to_thread(box.create)
    assert second.new_objects == 1 and second.backup is not None
    assert second.backup.manifest.object_count == 3
    assert kept_before < objects(box)  # the first backup still has its own
    third = box.with_backup(daily=1, weekly=0, monthly=0)
    for backup in Target.of(box.settings).backups()[:1]:  # a day goes by
        old = backup.folder.with_name("20200101T000000Z")
        backup.folder.rename(old)
        moved = backup.manifest.model_copy(update={"name": old.name})
        seal = keys.seal_of(box.settings)
        (old / "manifest.json").write_bytes(moved.with_seal(seal).to_bytes())
    await asyncio.sleep(1.1)
    made = await asyncio.to_thread(third.create)
    assert made.removed == ("20200101T000000Z",) and made.new_objects == 0
    assert len(objects(box)) == 3  # the erased recording is in no backup and on no disk
    assert life.calls and same.exists()


@server
async def test_a_recording_of_a_call_after_the_moment_waits_for_the_next_backup(
    engine: AsyncEngine, box: Box
) -> None:
    a_key(box)
    await live_on(box, engine, calls=1)
    folder = box.settings.recordings_dir
    (folder / "orphan.wav").write_bytes(b"of a call that has no row")
    (folder / "old.wav").write_bytes(b"its rows wait in the spool")
    (folder / "notes.txt").write_bytes(b"no recording")
    (folder / "link.wav").symlink_to("/etc/passwd")
    hours_ago = (datetime.now(UTC) - timedelta(hours=3)).timestamp()
    os.utime(folder / "old.wav", (hours_ago, hours_ago))
    made = await asyncio.to_thread(box.create)
    assert made.backup is not None
    assert made.backup.manifest.object_count == 1 + 1 + 1  # its own, the old one, the notice


@server
async def test_nothing_in_the_open_names_a_call_or_a_secret(engine: AsyncEngine, box: Box) -> None:
    a_key(box)
    life = await live_on(box, engine, calls=2)
    await asyncio.to_thread(box.create)
    media = box.settings.secret("media")
    for name, data in files_below(box.backups).items():
        for word in (*life.calls, "9876543210", media, "Asha", "The fee is"):
            assert word.encode() not in data and word not in name, (name, word)
    for path in (box.backups, *box.backups.rglob("*")):
        assert not path.stat().st_mode & 0o077, path


@server
async def test_a_damaged_object_is_put_aside_and_written_anew(
    engine: AsyncEngine, box: Box
) -> None:
    identity = a_key(box)
    await live_on(box, engine, calls=2)
    await asyncio.to_thread(box.create)
    path = next(p for p in (box.backups / "objects").glob("*/*.age"))
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    report = await asyncio.to_thread(verify, box.settings, "", None)
    assert [str(bad) for bad in report.bad] == [
        f"object {path.stem}: is not what was written; it is put aside"
    ]
    await asyncio.sleep(1.1)
    made = await asyncio.to_thread(box.create)
    assert made.new_objects == 1
    for name in Target.of(box.settings).names():  # the older one reads it as well
        assert (await asyncio.to_thread(verify, box.settings, name, None)).is_good
    whole = await asyncio.to_thread(verify, box.settings, "", identity)
    assert whole.is_good and whole.rows > 0 and whole.audit_rows > 0 and whole.files == 3


@server
async def test_one_at_a_time_and_once_a_day(engine: AsyncEngine, box: Box) -> None:
    with pytest.raises(UserError, match="Run `ivr backup key"):
        box.create()
    a_key(box)
    with pytest.raises(UserError, match="a key for backups already"):
        keys.make(box.settings, "box")
    target = Target.of(box.settings)
    target.open()
    with target.alone(), pytest.raises(UserError, match="Another `ivr backup`"):
        box.create()
    assert "Another" in read_state(box.settings).error
    made = await asyncio.to_thread(box.create, scheduled=True)
    assert made.backup is not None and read_state(box.settings).error == ""
    again = await asyncio.to_thread(box.create, scheduled=True)
    assert again.backup is None and len(target.names()) == 1


@server
async def test_commands(engine: AsyncEngine, box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modest, "be_modest", lambda: None)  # it would be the tests that are
    await live_on(box, engine, calls=1)
    runner = CliRunner()
    out = box.folder / "usb" / "identity.txt"

    def ivr(*words: str, status: int = 0) -> str:
        environment = {"IVR_BACKUP__TARGET": str(box.backups)}
        done = runner.invoke(main, ["backup", *words], env=environment)
        assert done.exit_code == status, done.output
        return done.output

    def said(*words: str) -> dict[str, object]:
        found: dict[str, object] = orjson.loads(ivr(*words, "--json").splitlines()[-1])
        return found

    told = said("key", "--out", str(out))
    assert str(told["recipient"]).startswith("age1") and "identity" not in told
    assert stat.S_IMODE(out.stat().st_mode) == 0o600 and "AGE-SECRET-KEY-1" in out.read_text()
    assert "AGE-SECRET-KEY" not in "".join(
        path.read_text(errors="replace") for path in box.settings.data_dir.rglob("*")
        if path.is_file()
    )  # fmt: skip
    assert "may be in it" in ivr("key", "--out", str(out), "--replace", status=2)
    made = await asyncio.to_thread(said, "create")
    listed = said("list")
    assert [one["name"] for one in listed["backups"]] == [made["name"]]  # type: ignore[attr-defined]
    assert listed["longest_days"] == 186
    assert "in none of them after 186 days" in ivr("list")
    assert said("verify")["good"] is True
    assert said("prune")["removed"] == []
    await engine.dispose()
    assert "not empty" in ivr("restore", "--identity", str(out), "--json", status=2)


NO_DATABASE = {"IVR_DATABASE__URL": "postgresql://a:b@127.0.0.1:1/c"}


def test_a_key_whose_identity_reaches_nobody_is_none(tmp_path: Path) -> None:
    """Every backup would be made for it, and nobody could read one."""
    environment = {**os.environ, **NO_DATABASE, "IVR_DATA_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "appliance", "backup", "key"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command, env=environment, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert done.returncode and "No key was made" in done.stderr
    assert not (tmp_path / "backup" / "recipient").exists()


def test_the_key_of_before_stays_where_another_cannot_be_kept(tmp_path: Path) -> None:
    def key(*words: str) -> Result:
        environment = {**NO_DATABASE, "IVR_DATA_DIR": str(tmp_path)}
        return CliRunner().invoke(main, ["backup", "key", *words], env=environment)

    first, second = tmp_path / "first", tmp_path / "second"
    assert key("--out", str(first)).exit_code == 0
    recipient = tmp_path / "backup" / "recipient"
    before = recipient.read_text()
    assert f"# public key: {before}" in first.read_text()
    failed = key("--replace", "--out", str(first / "below-a-file"))
    assert failed.exit_code == 2 and "No key was made" in failed.output
    assert recipient.read_text() == before
    recipient.unlink()
    recipient.mkdir()
    failed = key("--replace", "--out", str(second))
    assert failed.exit_code == 2 and "No key was made" in failed.output and not second.exists()


def site(**fields: object) -> Site:
    well = State(good_at=NOW - timedelta(hours=10))
    look = BackupLook(True, well.model_copy(update=fields), 36)
    return Site(at_s=NOW.timestamp(), backup=look)


def test_alarms() -> None:
    assert list(of_backups(site())) == [] == list(of_backups(Site(at_s=0)))
    cases = {
        "backup-failed": site(error="the disk is full."),
        "backup-unproven": site(drill_error="table calls has 3 rows."),
        "backup-late": site(good_at=NOW - timedelta(hours=37)),
    }
    for code, where in cases.items():
        assert [alarm.code for alarm in of_backups(where)] == [code]
        assert all(alarm.what and alarm.do for alarm in of_backups(where))
    assert [alarm.what for alarm in of_backups(site(good_at=None))] == ["There is no backup yet."]
    none = replace(site(), backup=BackupLook(False, State(), 36))
    assert [alarm.severity for alarm in of_backups(none)] == [Severity.NOTICE]


async def test_doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = a_box(tmp_path / "box", "postgresql://nobody@127.0.0.1:1/ivr", tmp_path)
    found.backups.mkdir(mode=0o755)
    found.settings.data_dir.mkdir()
    place = CHECKS[1]
    async with open_box(found.settings) as box:
        codes = {one.code for one in await place.look(box)}
        assert codes == {"backup-open", "backup-same-disk"}
        assert place.fix is not None
        for step in await place.fix(box):
            await step.take()
        assert stat.S_IMODE(found.backups.stat().st_mode) == 0o700 and not await place.fix(box)
    gone = found.with_backup(mount=str(tmp_path / "usb"))
    async with open_box(gone.settings) as box:
        assert [one.state for one in await place.look(box)] == [Stands.BAD]
    assert not look_at_backups(found.settings).has_key


def test_what_cannot_be_read_of_the_state_is_no_state(tmp_path: Path) -> None:
    found = a_box(tmp_path, "postgresql://x", tmp_path).settings
    (found.backup_state_dir).mkdir(parents=True)
    (found.backup_state_dir / state.STATE_FILE).write_bytes(b"{nonsense")
    assert read_state(found) == State()


def test_a_pace_is_kept_and_none_is_none() -> None:
    now, slept = [0.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    pace = Pace(1e6, clock=lambda: now[0], sleep=sleep)
    for _ in range(100):
        pace.spend(50_000)
    assert now[0] == pytest.approx(5.0, rel=0.05)
    Pace(0, sleep=sleep).spend(10**12)
    assert now[0] < 6


def test_an_object_says_nothing_of_its_file(tmp_path: Path) -> None:
    def id_of(seal: str, path: str, mtime: int = 1, recipients: tuple[str, ...] = ("a",)) -> str:
        found = pool.Found("recordings", path, tmp_path, 10, mtime, 0o600)
        return pool.Pool(Target(tmp_path), seal, recipients).id_of(found)

    one = id_of("seal", "2026/11/21/call.wav")
    assert one == id_of("seal", "2026/11/21/call.wav") and len(one) == pool.ID_LETTERS
    others = {
        id_of("other", "2026/11/21/call.wav"), id_of("seal", "2026/11/21/call2.wav"),
        id_of("seal", "2026/11/21/call.wav", 2), id_of("seal", "2026/11/21/call.wav", 1, ("b",)),
    }  # fmt: skip
    assert len(others | {one}) == 5


@server
async def test_the_night_s_backup_is_made_by_ivr_jobs_where_no_timer_does(
    engine: AsyncEngine, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IVR_BACKUP__TARGET", str(box.backups))
    monkeypatch.delenv("INVOCATION_ID", raising=False)
    await make_backup(engine, box.settings)  # without a key nothing is made, and nothing complains
    a_key(box)
    monkeypatch.setenv("INVOCATION_ID", "of systemd")
    await make_backup(engine, box.settings)
    assert not box.backups.exists()
    monkeypatch.delenv("INVOCATION_ID")
    await make_backup(engine, box.settings)
    await make_backup(engine, box.settings)  # once a day
    assert len(Target.of(box.settings).names()) == 1
