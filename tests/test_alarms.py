"""What is wrong with the box: one alarm for each trouble, none when all is well; the look itself."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.admin.live.site import SiteCache
from appliance.ops.alarms import Severity, alarms
from appliance.ops.sitelook import (
    DatabaseLook,
    PoolLook,
    ServerLook,
    Site,
    StageLook,
    SwitchLook,
    TrunkLook,
    WorkerLook,
    look,
    worker_urls,
)
from appliance.settings import Settings
from appliance.store.database import open_engine
from appliance.store.overview import Backlog, Recent
from tests.live_kit import LiveWorker, agent_with, live_settings

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
WORKER = WorkerLook("ws://127.0.0.1:7000", True, "ok", 3, 100)
UP, DOWN = ServerLook("ws://a", True, "pocketsphinx", 2, 16), ServerLook("ws://b", False)
STT = StageLook("stt", (UP,))
TRUNK = TrunkLook("jio", "jio", True, True, "REGED", "20", 1, 30)
POOL = PoolLook("stt.pocketsphinx", "stt", "pocketsphinx", "", 1, 2, 1, ("warm",), 2, 16)
RECENT = Recent(100, 0, 0, 1000, 3, 450.0, 700.0)
DATABASE = DatabaseLook(True, 3.0, "16.4", RECENT, Backlog(2, 0))
WELL = Site(
    at_s=NOW.timestamp(), workers=(WORKER,), stages=(STT,), pools=(POOL,),
    switch=SwitchLook(True, True, (TRUNK,)), expects_switch=True, database=DATABASE,
    jobs_expected=True, jobs_ready=True, redis_up=True, disk_free_bytes=50_000_000_000,
    disk_bytes=100_000_000_000, certificate_ends=NOW + timedelta(days=300),
)  # fmt: skip


def changed(part: str, **fields: object) -> Site:
    return replace(WELL, **{part: replace(getattr(WELL, part), **fields)})  # type: ignore[arg-type]


def test_all_is_well() -> None:
    assert alarms(WELL) == ()
    no_switch = replace(WELL, switch=SwitchLook(False), expects_switch=False)
    assert alarms(no_switch) == ()  # a box with ivr sip alone
    assert alarms(replace(WELL, jobs_expected=False, redis_up=False, jobs_ready=False)) == ()
    spare = StageLook("stt", (UP, replace(DOWN, is_optional=True)))
    assert alarms(replace(WELL, stages=(spare,))) == ()


@pytest.mark.parametrize(
    ("site", "code", "severity"),
    [
        (replace(WELL, workers=(replace(WORKER, up=False),)), "no-worker", "critical"),
        (replace(WELL, workers=(WORKER, WorkerLook("ws://x", False))), "worker-away", "warning"),
        (replace(WELL, workers=(replace(WORKER, status="starting"),)), "worker-starting", "notice"),
        (replace(WELL, workers=(replace(WORKER, status="draining"),)), "worker-draining", "notice"),
        (replace(WELL, workers=(replace(WORKER, why="tts is slow"),)), "admission", "warning"),
        (replace(WELL, workers=(replace(WORKER, calls=95),)), "full", "warning"),
        (replace(WELL, workers=(replace(WORKER, calls=100),)), "full", "critical"),
        (replace(WELL, stages=(StageLook("stt", (DOWN,)),)), "stage-away", "critical"),
        (replace(WELL, stages=(STT, StageLook("embed", (DOWN,)))), "stage-away", "warning"),
        (replace(WELL, stages=(StageLook("stt", (UP, DOWN)),)), "server-away", "warning"),
        (replace(WELL, stages=(StageLook("stt", (replace(UP, in_flight=15),)),)), "stage-busy",
         "warning"),
        (replace(WELL, pools=(replace(POOL, states=("warm", "lost")),)), "pool-lost", "warning"),
        (replace(WELL, switch=SwitchLook(False)), "switch-away", "critical"),
        (replace(WELL, switch=SwitchLook(False, error="slow"), expects_switch=False),
         "switch-away", "critical"),
        (changed("switch", freeswitch=False), "freeswitch-away", "critical"),
        (changed("switch", trunks=(replace(TRUNK, up=False),)), "trunk-down", "critical"),
        (changed("switch", trunks=(replace(TRUNK, calls=30),)), "trunk-full", "warning"),
        (replace(WELL, database=DatabaseLook(False)), "database-away", "critical"),
        (changed("database", ms=900.0), "database-slow", "warning"),
        (replace(WELL, spool_bytes=5 << 20), "spool", "warning"),
        (replace(WELL, redis_up=False), "redis-away", "warning"),
        (replace(WELL, jobs_ready=False), "jobs-away", "warning"),
        (changed("database", backlog=Backlog(9, 4)), "documents-wait", "warning"),
        (replace(WELL, disk_free_bytes=8_000_000_000), "disk", "warning"),
        (replace(WELL, disk_free_bytes=1_000_000_000), "disk", "critical"),
        (replace(WELL, certificate_ends=NOW + timedelta(days=9)), "certificate", "warning"),
        (replace(WELL, certificate_ends=NOW - timedelta(days=1)), "certificate", "critical"),
        (changed("database", recent=replace(RECENT, calls_with_late_frames=9)), "late-frames",
         "warning"),
        (changed("database", recent=replace(RECENT, failures=90)), "failures", "warning"),
    ],
)  # fmt: skip
def test_each_trouble_is_told_once_with_what_to_do(site: Site, code: str, severity: str) -> None:
    (alarm,) = alarms(site)
    assert (alarm.code, alarm.severity) == (code, severity)
    assert "{" not in alarm.what + alarm.do and alarm.what.endswith((".", ")."))


def test_the_worst_comes_first_and_a_quiet_box_proves_nothing() -> None:
    bad = replace(
        changed("database", recent=Recent(2, 9, 2, 5, 5, None, None)),
        workers=(), redis_up=False,
    )  # fmt: skip
    assert [alarm.severity for alarm in alarms(bad)] == [Severity.CRITICAL, Severity.WARNING]


def test_which_workers_there_are(tmp_path: Path) -> None:
    def urls(**sections: object) -> tuple[str, ...]:
        return worker_urls(Settings.model_validate({"data_dir": tmp_path, **sections}))

    assert urls() == ("ws://127.0.0.1:7000",)
    assert urls(worker={"port": 7001, "host": "0.0.0.0"}) == ("ws://127.0.0.1:7001",)
    named = ["ws://10.0.0.1:7000", "ws://10.0.0.2:7000/"]
    assert urls(switch={"worker_urls": named}) == ("ws://10.0.0.1:7000", "ws://10.0.0.2:7000")


@pytest.mark.server
async def test_a_look_at_a_box_of_which_little_runs(
    tmp_path: Path, database_url: str, engine: AsyncEngine
) -> None:
    settings = live_settings(tmp_path, url=database_url)
    worker = LiveWorker(settings, settings.worker.port, (agent_with(),))
    await worker.start()
    try:
        async with aiohttp.ClientSession() as http:
            cache = SiteCache(settings, engine)
            site, again = await asyncio.gather(cache.get(http), cache.get(http))
            assert site is again  # however many look, it is looked at once
            gone = open_engine("postgresql://a:b@127.0.0.1:1/c")
            away = await look(settings, http, gone)
            await gone.dispose()
    finally:
        await worker.stop()
    assert [(w.up, w.status, w.capacity) for w in site.workers] == [(True, "ok", 100)]
    assert site.database.up and site.database.recent is not None and site.database.version
    assert not site.switch.up and not site.redis_up and site.disk_bytes > 0
    assert {stage.name for stage in site.stages} == {"stt", "tts", "turn", "embed"}
    assert not any(stage.up for stage in site.stages) and time.time() - site.at_s < 30
    assert not away.database.up
    codes = {alarm.code for alarm in alarms(away)}
    assert {"stage-away", "redis-away", "database-away"} <= codes


@pytest.mark.server
async def test_nobody_misses_the_spare_worker(tmp_path: Path) -> None:
    settings = live_settings(tmp_path)
    port, urls = settings.worker.port, {"worker_urls": ("ws://127.0.0.1:1",)}
    worker = LiveWorker(settings, port, (agent_with(),))
    database = open_engine("postgresql://a:b@127.0.0.1:1/c")
    await worker.start()
    try:
        async with aiohttp.ClientSession() as http:
            # it runs, and the one that shall run does not
            spare = settings.worker.model_copy(update={"port": 1, "spare_port": port})
            sections = {n: getattr(settings, n).model_copy(update=urls) for n in ("sip", "switch")}
            there = settings.model_copy(update={"worker": spare, **sections})
            upgrading = await look(there, http, database)
            away = settings.worker.model_copy(update={"spare_port": 1})
            at_rest = await look(settings.model_copy(update={"worker": away}), http, database)
    finally:
        await database.dispose()
        await worker.stop()
    assert [(w.up, w.status) for w in upgrading.workers] == [(False, ""), (True, "ok")]
    assert [(w.up, w.status) for w in at_rest.workers] == [(True, "ok")]
