"""``ivr jobs``, ``ivr admin``, ``ivr pools`` and the API of ``ivr switch``, asked by HTTP."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent
import orjson
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.access.roles import Permission, Role
from appliance.ops.keeping.ports import free_port
from appliance.settings import ENV_PREFIX, METRICS_SECRET, SWITCH_SECRET, Settings, Switch, Worker
from appliance.store.database import open_sync_engine
from appliance.store.phonebook import Telephony, Trunk
from appliance.telephony.clerk import Clerk
from appliance.telephony.dialler import Dialler
from appliance.telephony.freeswitch import FreeSwitch
from appliance.telephony.notices import Notices
from appliance.telephony.office import Office
from appliance.telephony.playbackports import PlaybackPorts
from appliance.telephony.records import Records
from appliance.telephony.roster import Roster
from appliance.telephony.switchapi import SwitchApi
from appliance.telephony.switchtelling import HubLag, exporter_of_switch
from appliance.telephony.workers import Workers
from tests.console_kit import ConsoleProcess, key, person
from tests.jobs_kit import Jobs, until
from tests.metrics_kit import Scrape, assert_known, parsed, scrape, status_of

pytestmark = pytest.mark.server

SETTLE_S = 40.0


def _eventually(look: Callable[[], Scrape], wanted: Callable[[Scrape], bool]) -> Scrape:
    """Look until it is as wanted. Blocks."""
    deadline = time.monotonic() + SETTLE_S
    while True:
        try:
            found = look()
            if wanted(found):
                return found
        except OSError:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.2)


# --- ivr jobs -------------------------------------------------------------------------------------


async def test_jobs_of_every_child_are_counted_by_the_first_process(
    tmp_path: Path, database_url: str, engine: AsyncEngine
) -> None:
    port = free_port()
    kit = Jobs(tmp_path, database_url, "http://127.0.0.1:9", metrics__jobs_port=port)
    kit.redis.start()
    kit.start()
    try:
        await until(kit.is_ready, SETTLE_S)

        def swept(found: Scrape) -> bool:
            done = found.value("ivr_jobs_done_total", task="ivr.sweep", outcome="done")
            return done >= 2 and found.value("ivr_redis_up") == 1

        url = f"http://127.0.0.1:{port}"
        found = await asyncio.to_thread(_eventually, lambda: scrape(url), swept)
        states = {"ivr_documents", "ivr_webhook_deliveries", "ivr_outbound_calls"}
        empty = frozenset(states | {"ivr_campaign_contacts"})  # no rows, no states
        assert_known(found, "jobs", empty)
        assert found.value("ivr_database_up") == 1
        sweeps = found.value("ivr_job_seconds_count", task="ivr.sweep")
        assert sweeps == found.total("ivr_jobs_done_total", task="ivr.sweep")
        assert found.value("ivr_job_seconds_sum", task="ivr.sweep") > 0
        assert found.value("ivr_disk_free_bytes") > 0
        kit.redis.kill()
        found = await asyncio.to_thread(
            _eventually, lambda: scrape(url), lambda found: not found.value("ivr_redis_up")
        )
    finally:
        await asyncio.to_thread(kit.stop)
        kit.redis.kill()


# --- ivr admin ------------------------------------------------------------------------------------


async def test_the_console_tells_whoever_has_the_secret_or_a_key(
    tmp_path: Path, database_url: str, engine: AsyncEngine
) -> None:
    console = ConsoleProcess(tmp_path, {"IVR_DATABASE__URL": database_url})
    await asyncio.to_thread(console.open)
    try:
        secret = console.settings.secret(METRICS_SECRET)
        operator = await person(engine, Role.OPERATOR)
        admin = await person(engine, Role.ADMIN)
        may = await key(engine, operator, [Permission.SYSTEM_READ])
        may_not = await key(engine, operator, [Permission.CALLS_READ])
        theirs = await key(engine, admin, [Permission.CALLS_READ])
        async with console.client() as client:

            async def ask(token: str) -> tuple[int, str]:
                headers = {"Authorization": f"Bearer {token}"} if token else {}
                answer = await client.get("/metrics", headers=headers)
                return answer.status_code, answer.text

            for token in ("", "wrong", may_not, theirs):
                status, text = await ask(token)
                assert status == 401 and "ivr_" not in text
            await client.get("/api/v1/calls", headers={"Authorization": f"Bearer {may_not}"})
            await client.get("/api/v1/calls/nobody", headers={"Authorization": f"Bearer {may_not}"})
            await client.get("/api/v1/../../etc/passwd?caller=%2B919812345678")
            assert (await ask(may))[0] == 200
            status, text = await ask(secret)
            assert status == 200
            found = parsed(text)
        assert_known(found, "admin")
        of = {"method": "GET", "status": "200"}
        assert found.value("ivr_http_requests_total", route="/api/v1/calls", **of) == 1
        labels = str([dict(of) for _, of in found.values])
        assert not any(part in labels for part in ("nobody", "9812345678", "passwd"))
        assert found.total("ivr_http_requests_total", status="401") >= 4
    finally:
        await asyncio.to_thread(console.close)


# --- ivr pools ------------------------------------------------------------------------------------


@pytest.fixture
def pools(tmp_path: Path) -> Iterator[str]:
    """`ivr pools` with one server of the turn judge; where it is read."""
    port, engine = free_port(), free_port()
    run = [{"engine": "smart-turn", "least": 1, "most": 2, "port": engine}]
    own = {k: v for k, v in os.environ.items() if not k.startswith(ENV_PREFIX)}
    environment = own | {
        "IVR_DATA_DIR": str(tmp_path / "var"),
        "IVR_METRICS__POOLS_PORT": str(port),
        "IVR_ENGINES__TURN__RUN": orjson.dumps(run).decode(),
        "IVR_CAPACITY__PLAN": "false",
    }
    command = [sys.executable, "-m", "appliance", "pools", "--stage", "turn"]
    with (tmp_path / "pools.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    yield f"http://127.0.0.1:{port}"
    process.send_signal(signal.SIGTERM)
    process.wait(20)


async def test_pools_tell_what_runs_and_how_often_it_was_started(pools: str) -> None:
    def warm(found: Scrape) -> bool:
        return found.total("ivr_pool_servers", state="warm") == 1

    found = await asyncio.to_thread(_eventually, lambda: scrape(pools), warm)
    assert_known(found, "pools")
    assert found.total("ivr_pool_wanted") == found.total("ivr_pool_least") == 1
    assert found.total("ivr_pool_most") == 2
    assert found.total("ivr_child_starts_total") == 1


# --- ivr switch -----------------------------------------------------------------------------------


class _Door:
    """The API of a switch whose Postgres and FreeSWITCH are away."""

    def __init__(self, folder: Path, host: str) -> None:
        self.port = free_port()
        switch = Switch(conf_dir=folder, api_host=host, api_port=self.port)
        self.settings = Settings(data_dir=folder, switch=switch, worker=Worker(spare_port=7099))
        engine = open_sync_engine("postgresql://nobody@127.0.0.1:9/none")
        ports = PlaybackPorts("127.0.0.1", 24000, 10)
        urls = self.settings.worker.and_spare(("ws://127.0.0.1:7000",))
        workers, notices = Workers(urls), Notices(folder, ())
        self.office = Office(self.settings, FreeSwitch(), workers, ports, notices, "secret")
        records = Records(engine, folder / "spool")
        roster = Roster(engine, self.office)
        dialler = Dialler(Clerk(engine), self.office, records)
        lag = HubLag()
        lag.seconds.observe(0.001)
        exporter = exporter_of_switch(self.office, records, roster, engine, lag)
        self.api = SwitchApi(
            self.settings, Clerk(engine), self.office, roster, dialler, exporter.render
        )

    def asked(self, work: Callable[..., Any], *arguments: str) -> Any:
        """Ask from a thread: the server is a greenlet of this one."""
        pool = gevent.get_hub().threadpool
        return pool.apply(work, (f"http://127.0.0.1:{self.port}", *arguments))


def test_the_switch_tells_of_trunks_and_of_no_stranger(tmp_path: Path) -> None:
    door = _Door(tmp_path, "127.0.0.1")
    trunk = Trunk("acme", "sip.acme.example", max_calls=30)
    door.office.telephony = dataclasses.replace(Telephony(version="1"), trunks=(trunk,))
    door.office.counts.begun["in"] += 1
    door.office.counts.leg("acme", 503, known=True)
    for number in range(5):
        door.office.counts.leg(f"unknown-203.0.113.{number}", 403, known=False)
    door.office.counts.leg("acme", 4711, known=True)
    door.api.start()
    try:
        found = door.asked(scrape)
    finally:
        door.api.stop()
        door.office.ports.close()
    assert_known(found, "switch")
    assert found.value("ivr_trunk_legs_ended_total", trunk="acme", sip_status="503") == 1
    assert found.value("ivr_trunk_legs_ended_total", trunk="acme", sip_status="0") == 1
    assert found.value("ivr_trunk_legs_ended_total", trunk="unknown", sip_status="403") == 5
    assert found.value("ivr_trunk_calls_limit", trunk="acme") == 30
    assert found.value("ivr_trunk_up", trunk="acme") == 0  # FreeSWITCH is not there
    assert found.value("ivr_switch_calls_begun_total", direction="in") == 1
    assert found.value("ivr_switch_worker_healthy", worker="ws://127.0.0.1:7000") == 0
    assert "127.0.0.1:7099" not in str(found.values)  # nobody misses the spare one
    assert "203.0.113" not in str(found.values)


def test_a_switch_that_others_reach_asks_for_a_secret(tmp_path: Path) -> None:
    door = _Door(tmp_path, "0.0.0.0")
    door.api.start()
    try:
        assert door.asked(status_of) == 401
        assert door.asked(status_of, "wrong") == 401
        assert door.asked(status_of, door.settings.secret(METRICS_SECRET)) == 200
        assert door.asked(status_of, door.settings.secret(SWITCH_SECRET)) == 200
    finally:
        door.api.stop()
        door.office.ports.close()
