"""``ivr capacity`` and ``make_plan`` on real databases: three weeks of calls, one call, none."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Connection, insert
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.__main__ import main
from appliance.capacity.plan import at_time
from appliance.capacity.planfile import read_plan
from appliance.capacity.planning import FRESH_S, look_ahead, make_plan, renew_plan
from appliance.capacity.warmups import WarmUps
from appliance.errors import UserError
from appliance.ops.keeping.ports import free_port
from appliance.settings import Database, Settings
from appliance.store.database import open_sync_engine
from appliance.store.models import AgentRow, OutboundRow
from tests.journalled import put_calls, put_turns
from tests.knowledge_servers import KEY
from tests.serving import serving

pytestmark = pytest.mark.server

ZONE = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 4, 8, 12, 0, 20, tzinfo=ZONE)  # a Wednesday, ten days after DST began
PEAK_H = 15
HOLDING_S = 120.0
STAGES = {
    "speech_start": 0, "speech_end": 2500, "speculation": 2400, "retrieval": 2450,
    "speculations_dropped": 1, "first_token": 2600, "last_token": 3450, "first_phrase": 2700,
    "first_audio": 2800, "last_audio": 3900,
}  # fmt: skip
Ivr = Callable[..., Result]


def rate(local: datetime) -> float:
    """Calls a minute: ten times as many in one hour of each working day."""
    if local.weekday() >= 5:
        return 0.05
    return 5.0 if local.hour == PEAK_H else 0.5


def three_weeks(connection: Connection, end: datetime = NOON) -> None:
    dice = np.random.default_rng(7)
    calls: list[tuple[datetime, float | None]] = []
    at = end - timedelta(days=21)
    while at < end:
        for second in dice.random(dice.poisson(rate(at.astimezone(ZONE)))) * 60:
            began = at + timedelta(seconds=float(second))
            length = float(dice.exponential(HOLDING_S)) + 1
            over = began + timedelta(seconds=length) <= end
            if began < end:
                calls.append((began.astimezone(UTC), length if over else None))
        at += timedelta(minutes=1)
    ids = put_calls(connection, calls, turns=12)
    for call in ids[-20:]:
        put_turns(connection, call, end - timedelta(minutes=30), [STAGES] * 10)


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """A site with one recogniser to ten, and a voice that somebody else runs."""
    return Settings.model_validate(
        {
            "data_dir": tmp_path,
            "database": {"url": database_url},
            "switch": {"timezone": "Europe/Berlin"},
            "engines": {
                "stt": {
                    "run": [{"engine": "pocketsphinx", "capacity": 4, "least": 1, "most": 10}],
                    "first_port": 62000,  # neither free_port() nor the kernel gives it to anybody
                },
                "tts": {"urls": [f"http://127.0.0.1:{free_port()}"]},
                "llm": {"run": [{"engine": "vllm", "capacity": 2, "least": 1, "most": 6}]},
            },
        }
    )


def until_now(connection: Connection) -> None:
    three_weeks(connection, datetime.now(UTC))


def fill(settings: Settings, work: Callable[[Connection], Any]) -> None:
    engine = open_sync_engine(settings.database.url)
    with engine.begin() as connection:
        work(connection)
    engine.dispose()


def test_the_plan_has_the_servers_warm_for_the_peak(settings: Settings) -> None:
    fill(settings, three_weeks)
    outlook = look_ahead(settings, at_s=NOON.timestamp())
    plan = outlook.plan()
    peak_s = NOON.replace(hour=PEAK_H, minute=0, second=0).timestamp()
    stt = plan.servers["stt"]
    calm, busy = at_time(stt, peak_s - 1800), at_time(stt, peak_s + 1800)
    # 1 call at once and its chance; 10 calls at once, up to 18 or so: 4 a server, a fifth above.
    assert 1 <= calm <= 2 and 4 <= busy <= 7
    warm_up_s = settings.capacity.warm_up_s["stt"]
    assert at_time(stt, peak_s - warm_up_s) >= busy - 1 > calm
    assert at_time(stt, peak_s - warm_up_s - 1) == calm
    assert at_time(stt, peak_s + 3 * 3600) == calm
    at_peak = next(c for c in plan.calls if c.from_s == peak_s + 1800)
    assert at_peak.mean == pytest.approx(10, rel=0.25)
    assert plan.servers["llm"][0].servers >= 1
    assert all(step.servers == 0 for step in plan.servers["tts"])  # somebody else runs it
    assert outlook.needs["llm"].measured and outlook.needs["llm"].busy_s == pytest.approx(1.0)
    assert outlook.needs["tts"].busy_s == pytest.approx(1.2)


def test_a_measured_warm_up_goes_before_that_of_the_settings(settings: Settings) -> None:
    fill(settings, three_weeks)
    WarmUps(settings.data_dir).add("stt", 200.0)
    slow = look_ahead(settings, at_s=NOON.timestamp())
    assert slow.pools["stt"].warm_up_s == 200
    peak_s = NOON.replace(hour=PEAK_H, minute=0, second=0).timestamp()
    steps = slow.plan().servers["stt"]
    assert at_time(steps, peak_s - 150) > at_time(steps, peak_s - 250)


def test_a_campaign_is_in_the_plan(settings: Settings) -> None:
    def campaign(connection: Connection) -> None:
        connection.execute(insert(AgentRow), [{"id": "sales", "name": "Sales"}])
        due = NOON + timedelta(hours=5)
        row = {"number": "+919876543210", "agent_id": "sales", "next_at": due}
        rows = [row | {"id": str(n), "hours": "" if n else "nonsense"} for n in range(400)]
        connection.execute(insert(OutboundRow), rows)

    fill(settings, campaign)
    plan = look_ahead(settings, at_s=NOON.timestamp()).plan()
    due_s = (NOON + timedelta(hours=5)).timestamp()
    before = max(c.upper for c in plan.calls if c.from_s < due_s - 600)
    during = max(c.upper for c in plan.calls if due_s < c.from_s < due_s + 1800)
    assert before == 0 and during >= 20
    assert at_time(plan.servers["stt"], due_s + 600) > at_time(plan.servers["stt"], due_s - 3600)


def test_an_empty_log_is_planned_with_the_least(settings: Settings) -> None:
    plan = make_plan(settings)
    assert {step.servers for step in plan.servers["stt"]} == {0, 1}  # none after the last interval
    assert at_time(plan.servers["stt"], time.time()) == 1
    assert len(plan.calls) == 288
    assert max(c.upper for c in plan.calls) == 0


def test_no_database_is_one_sentence(tmp_path: Path) -> None:
    url = f"postgresql://nobody@127.0.0.1:{free_port()}/none"
    with pytest.raises(UserError, match="did not answer as it should"):
        make_plan(Settings(data_dir=tmp_path, database=Database(url=url)))


@pytest.fixture
def ivr(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ivr:
    file = tmp_path / "ivr.toml"
    stt = settings.engines.stt.first_port
    tts = settings.engines.tts.urls[0]
    file.write_text(
        f'data_dir = "{tmp_path}"\n[database]\nurl = "{settings.database.url}"\n'
        '[switch]\ntimezone = "Europe/Berlin"\n'
        f"[engines.stt]\nfirst_port = {stt}\n"
        'run = [{engine = "pocketsphinx", capacity = 4, most = 10}]\n'
        f'[engines.tts]\nurls = ["{tts}"]\n'
    )
    return lambda *words: CliRunner().invoke(main, ["--settings", str(file), *words])


def last_json(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.output.splitlines()[-1])
    return found


def test_what_each_stage_needs_at_fifty_calls(ivr: Ivr, settings: Settings) -> None:
    fill(settings, until_now)
    found = last_json(ivr("capacity", "--calls", "50", "--json"))
    stt, tts = found["stages"]["stt"], found["stages"]["tts"]
    assert found["calls"] == 50
    assert (stt["slots"], stt["servers"], stt["short"]) == (50, 15, 5)
    assert stt["waiting"] == pytest.approx(0.2)
    assert (tts["others"], tts["servers"]) == (1, max(0, tts["servers"]))
    assert tts["measured"] and tts["busy_s"] == pytest.approx(1.2)
    assert tts["load_erlang"] == pytest.approx(50 * tts["a_minute"] * 1.2 / 60, abs=0.02)
    assert stt["running"] == 0 and stt["idle"] == []
    shown = ivr("capacity", "--calls", "50")
    assert "Needed for 50 calls" in shown.output
    assert "! stt: 5 servers more than `most` allows" in shown.output


async def test_what_runs_and_is_idle(ivr: Ivr, tmp_path: Path, settings: Settings) -> None:
    async with serving(tmp_path, "tts", "--engine", "espeak") as served:
        file = tmp_path / "ivr.toml"
        text = file.read_text().replace(settings.engines.tts.urls[0], served.url)
        file.write_text(f'{text}[engines]\nkey = "{KEY}"\n')
        found = last_json(await asyncio.to_thread(ivr, "capacity", "--json"))
    tts = found["stages"]["tts"]
    assert (tts["running"], tts["in_flight"], tts["idle"]) == (1, 0, [served.url])
    assert tts["running_engines"] == ["espeak"]
    assert tts["capacity"] == 50  # as it says itself
    assert not tts["measured"]


def test_the_forecast_beside_what_came(ivr: Ivr, settings: Settings, tmp_path: Path) -> None:
    fill(settings, until_now)
    png = tmp_path / "forecast.png"
    found = last_json(ivr("capacity", "forecast", "--hours", "48", "--png", str(png), "--json"))
    assert len(found["past"]) == 48 and len(found["next"]) == 48
    assert png.read_bytes().startswith(b"\x89PNG")
    came = sum(hour["calls"] for hour in found["past"])
    assert sum(hour["forecast"] for hour in found["past"]) == pytest.approx(came, rel=0.5, abs=20)
    assert found["last_week"]["days"] == 7
    assert found["last_week"]["calls_covered"] > 0.9
    shown = ivr("capacity", "forecast")
    assert shown.output.count("·") > 20 and "█" in shown.output
    assert len([line for line in shown.output.splitlines() if " > " in line]) == 24


def test_an_empty_journal_has_a_forecast_too(ivr: Ivr) -> None:
    result = ivr("capacity", "forecast", "--hours", "3")
    assert result.exit_code == 0, result.output
    assert "No call is in the journal yet" in result.output
    found = last_json(ivr("capacity", "--json"))
    assert found["forecast_most"] == 0 and not found["stages"]["stt"]["measured"]


def test_a_picture_that_cannot_be_written(ivr: Ivr, tmp_path: Path) -> None:
    for name in ("picture.nonsense", "missing/picture.png"):
        result = ivr("capacity", "forecast", "--png", str(tmp_path / name))
        assert result.exit_code == 2
        assert result.output.count("\n") == 1 and "cannot be written" in result.output


def test_the_plan_is_shown_and_put_in_force(ivr: Ivr, settings: Settings) -> None:
    fill(settings, until_now)
    shown = ivr("capacity", "plan")
    assert shown.exit_code == 0 and "stt" in shown.output
    assert read_plan(settings.plan_file) is None
    found = last_json(ivr("capacity", "plan", "--write", "--json"))
    written = read_plan(settings.plan_file)
    assert written is not None
    assert found["written"] == str(settings.plan_file)
    assert [step["servers"] for step in found["servers"]["stt"]] == [
        count for _, count in written.steps("stt")
    ]


async def test_jobs_make_the_plan_where_who_runs_servers_sees_no_database(
    settings: Settings, engine: AsyncEngine
) -> None:
    assert await renew_plan(engine, settings)
    first = settings.plan_file.read_bytes()
    assert not await renew_plan(engine, settings), "somebody has just made one"
    assert settings.plan_file.read_bytes() == first
    old = time.time() - FRESH_S - 1
    os.utime(settings.plan_file, (old, old))
    assert await renew_plan(engine, settings)
    assert settings.plan_file.stat().st_mtime > old + 1
    none = settings.capacity.model_copy(update={"plan": False})
    off = settings.model_copy(update={"capacity": none})
    os.utime(settings.plan_file, (old, old))
    assert not await renew_plan(engine, off)
