"""A box is backed up while it lives, and another one becomes it."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import pwd
from pathlib import Path

import pyotp
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.audio import read_wav
from appliance.events import Agent
from appliance.ops.backup.keys import Identity
from appliance.rehearsal import script as bench_script
from appliance.settings import Backup
from appliance.store.models import ANY_DID
from tests.access_kit import PASSWORD
from tests.appliance_kit import LiveCall, Site, emulated_engine, ringing
from tests.backup_kit import (
    Box,
    Life,
    a_box,
    a_key,
    a_whole_call,
    count,
    files_below,
    live_on,
)
from tests.console_kit import ConsoleProcess
from tests.test_login import Browser

pytestmark = pytest.mark.server


async def test_another_box_becomes_the_one_that_was(
    engine: AsyncEngine,
    database_url: str,
    empty_database_url: str,
    tmp_path: Path,
    open_tmp: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    box = a_box(tmp_path / "old", database_url, open_tmp / "embedded")
    box.use(monkeypatch)
    identity = a_key(box)
    life = await live_on(box, engine)

    async def go_on() -> None:
        number = 0
        while True:
            await a_whole_call(box, engine, f"later-{number}", 0)
            number += 1

    living = asyncio.create_task(go_on())
    made = await asyncio.to_thread(box.create, drill=True)
    living.cancel()
    assert made.backup is not None and made.drill_error == "" and made.backup.manifest.drilled
    assert not made.warnings

    other = a_box(tmp_path / "new", empty_database_url, open_tmp / "embedded")
    other.use(monkeypatch)
    done = await asyncio.to_thread(other.restore, made.backup.folder, identity)
    rows = await count(empty_database_url, "calls")
    assert rows >= len(life.calls)
    theirs = files_below(other.settings.recordings_dir)
    ours = files_below(box.settings.recordings_dir)
    # each call of that moment has its recording, and none has one that is not its own
    assert len(theirs) == rows and all(ours[name] == data for name, data in theirs.items())
    assert done.files == len(theirs) + 1 and done.audit_rows > 0 and not done.to_do
    assert '[log]\nlevel = "INFO" # as it was' in other.file.read_text()
    assert (
        empty_database_url in other.file.read_text() and database_url not in other.file.read_text()
    )
    for name in ("media", "backup-seal"):
        path = other.settings.secrets_dir / name
        assert path.read_text() == box.settings.secret(name) and path.stat().st_mode & 0o77 == 0
    await _logs_in_and_listens(other, life, ours)


async def _logs_in_and_listens(box: Box, life: Life, recordings: dict[str, bytes]) -> None:
    """The same person, with the same password and the same second factor."""
    environment = {"IVR_DATABASE__URL": box.settings.database.url, "IVR_LOG__LEVEL": "INFO"}
    console = ConsoleProcess(box.folder, environment)
    await asyncio.to_thread(console.open)
    try:
        async with console.client() as client:
            browser = Browser(client)
            await browser.get("/login")
            await browser.send("/login", console.url, login="asha", password=PASSWORD)
            await browser.follow()
            code = pyotp.TOTP(life.totp_secret).now()
            done = await browser.send("/login/second-factor", console.url, code=code)
            assert done.status_code == 303 and browser.session, done.text
            heard = await client.get(f"/api/v1/calls/{life.calls[0]}/recording")
            assert heard.status_code == 200
            name = next(name for name in recordings if name.endswith(f"/{life.calls[0]}.wav"))
            assert heard.content == recordings[name]
    finally:
        await asyncio.to_thread(console.close)


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user: needs root")
async def test_root_restores_as_the_user_whose_data_it_is(
    engine: AsyncEngine,
    database_url: str,
    empty_database_url: str,
    open_tmp: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nobody = pwd.getpwnam("nobody")
    box = a_box(open_tmp / "of-root", database_url, open_tmp / "embedded")
    box.use(monkeypatch)
    identity = a_key(box)
    await live_on(box, engine, calls=1)
    made = await asyncio.to_thread(box.create)
    assert made.backup is not None
    for path in (box.backups, *box.backups.rglob("*")):
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    other = a_box(open_tmp / "of-nobody", empty_database_url, open_tmp / "embedded")
    other.use(monkeypatch)
    other.settings.data_dir.mkdir()
    os.chown(other.settings.data_dir, nobody.pw_uid, nobody.pw_gid)
    other.file.chmod(0o640)
    done = await asyncio.to_thread(other.restore, made.backup.folder, identity)
    assert os.getresuid() == (0, 0, 0) and os.getresgid() == (0, 0, 0)
    assert done.settings_file == str(other.file) and not done.to_do
    assert (other.file.stat().st_uid, other.file.stat().st_mode & 0o777) == (0, 0o640)
    data = other.settings.data_dir
    assert {path.stat().st_uid for path in data.rglob("*")} == {nobody.pw_uid}


# --- with calls -----------------------------------------------------------------------------------

SERVERS = {"stt": 1, "tts": 1, "turn": 1, "embed": 1}
RECORDED_S = 10.0
"""The first second of a recording is written when it is over."""


def short(sample: Agent) -> dict[str, Agent]:
    return {ANY_DID: dataclasses.replace(sample, id="quick", greeting="Hello.", goodbye="Bye.")}


@pytest.mark.long
@pytest.mark.sip
async def test_a_box_that_was_restored_answers_calls(
    tmp_path: Path, open_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = bench_script.make(tmp_path / "script")
    engines = emulated_engine(script)
    monkeypatch.setenv("IVR_SETTINGS", str(tmp_path / "none.toml"))
    old = Site(open_tmp / "backed-up", open_tmp / "embedded", SERVERS, engines, {})
    box = _box_of(old, tmp_path)
    identity: Identity = a_key(box)
    try:
        await asyncio.to_thread(old.open, short)
        async with ringing(old) as call:
            await call.event("turn_over")
            async with asyncio.timeout(RECORDED_S):
                while not files_below(old.settings.recordings_dir):
                    await asyncio.sleep(0.1)
            made = await asyncio.to_thread(box.create)  # a call is in progress
            await call.said(script.parent / "hours.wav")
            await call.event("turn_over")
        await call.rows()
    finally:
        await asyncio.to_thread(old.close)
    assert made.backup is not None

    new = Site(open_tmp / "restored", open_tmp / "embedded", SERVERS, engines, {})
    done = await asyncio.to_thread(_box_of(new, tmp_path).restore, made.backup.folder, identity)
    assert done.audit_rows >= 0
    try:
        await asyncio.to_thread(new.postgres.start)
        await asyncio.to_thread(new.start, *new.engines, "worker", "sip")
        async with ringing(new) as call:
            await call.event("turn_over")  # the greeting was heard
            await call.said(script.parent / "hours.wav")
            await call.event("turn_over")
        record, turns = await call.rows()
        assert record.agent_id == "quick" and turns[-1].said

        assert await count(new.postgres.url, "calls") == 2  # the one in progress, and this
        _is_sound(new, call)
    finally:
        await asyncio.to_thread(new.close)


def _box_of(site: Site, folder: Path) -> Box:
    backup = Backup(mb_per_s=0, drill="never", target=str(folder / "backups"))
    settings = site.settings.model_copy(update={"backup": backup})
    return Box(site.folder, settings, folder / "none.toml")


def _is_sound(site: Site, call: LiveCall) -> None:
    """Both recordings are whole: of the call that was in progress, up to the backup's moment."""
    files = sorted(site.settings.recordings_dir.rglob("*.wav"))
    assert len(files) == 2
    for file in files:
        channels, rate_hz = read_wav(file)
        assert rate_hz and len(channels) == 2 and len(channels[0]) > 0
