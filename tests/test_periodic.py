"""What is done again and again: when, by which function, and one run at a time."""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
from pathlib import Path
from types import ModuleType

import pytest
from celery.schedules import crontab
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.jobs import celery, tasks
from appliance.jobs.periodic import PERIODIC, SWEEP, Periodic, _find, run_alone, schedule
from appliance.settings import Jobs, Settings, Switch


def settings_in(folder: Path) -> Settings:
    jobs, switch = Jobs(sweep_s=7, nightly="03:45"), Switch(timezone="Asia/Tokyo")
    return Settings(data_dir=folder, jobs=jobs, switch=switch)


@pytest.mark.parametrize("entry", PERIODIC, ids=lambda entry: entry.name)
def test_every_function_is_there_and_takes_what_it_is_given(entry: Periodic) -> None:
    work = _find(entry)
    assert work is not None and inspect.iscoroutinefunction(work)
    inspect.signature(work).bind(None, None)


def test_nightly_work_is_due_at_the_settings_time_in_their_zone(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    entries = schedule(settings)
    assert entries.keys() == {SWEEP, *(entry.task for entry in PERIODIC)}
    assert entries[SWEEP]["schedule"] == 7
    nightly = entries["ivr.erase"]["schedule"]
    assert isinstance(nightly, crontab) and (nightly.hour, nightly.minute) == ({3}, {45})
    app = celery.make_app(settings)
    tasks.register(app, settings)
    assert str(app.timezone) == "Asia/Tokyo"
    assert {name for name in app.tasks if name.startswith("ivr.")} == {
        *("ivr.read", "ivr.publish", *entries)
    }


def test_what_is_due_now_waits_for_nothing_that_takes_long(tmp_path: Path) -> None:
    entries = schedule(settings_in(tmp_path))
    soon = {name for name, entry in entries.items() if entry["options"]["queue"] == celery.SOON}
    assert soon == {SWEEP, "ivr.moderate", "ivr.beep", "ivr.campaigns"}
    assert celery.make_app(settings_in(tmp_path)).conf.task_default_queue == celery.LONG


def test_nothing_but_json_and_no_result_is_carried(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    app = celery.make_app(settings)
    assert app.conf.accept_content == ["json"] and app.conf.task_ignore_result
    assert app.conf.result_backend is None
    assert settings.secret("redis") not in app.connection_for_write().as_uri()


@pytest.mark.server
async def test_one_run_at_a_time(engine: AsyncEngine, tmp_path: Path) -> None:
    module, running, go = ModuleType("slow_work"), asyncio.Event(), asyncio.Event()

    async def slow(engine: AsyncEngine, settings: Settings) -> int:
        running.set()
        await go.wait()
        return 5

    module.slow = slow  # type: ignore[attr-defined]
    sys.modules["slow_work"] = module
    entry = Periodic("slow", "slow_work:slow", 1)
    first = asyncio.create_task(run_alone(engine, Settings(data_dir=tmp_path), entry))
    await running.wait()
    assert await run_alone(engine, Settings(data_dir=tmp_path), entry) is None
    go.set()
    assert await first == 5
    assert await run_alone(engine, Settings(data_dir=tmp_path), entry) == 5


@pytest.mark.server
async def test_what_is_not_installed_is_said(
    engine: AsyncEngine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    entry = Periodic("gone", "appliance.jobs.nowhere:gone")
    with caplog.at_level(logging.WARNING):
        assert await run_alone(engine, Settings(data_dir=tmp_path), entry) is None
    assert "gone is not part of this installation" in caplog.text
