"""The bench's peak, shortened: forecast, plan and policy as they are, servers simulated."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from appliance.capacity.plan import Pool, Use
from bench import peak
from bench.serversim import Arrivals, simulate

SHORT = ["--weeks", "2", "--from", "9.7", "--to", "10.3", "--json"]


def test_a_forecast_peak_is_met_with_no_cold_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plot = tmp_path / "out" / "peak.png"
    assert peak.main([*SHORT, "--plot", str(plot)]) == 0
    figures = orjson.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["calls_one_minute_later"] > 4 * figures["calls_before_the_peak"]
    for stage in ("stt", "llm"):
        planned, reactive = figures["forecast"][stage], figures["reactive"][stage]
        assert planned["cold_starts"] == planned["no_slot"] == 0
        assert reactive["cold_starts"] > 50, "this peak would not need a forecast"
        assert planned["servers_most"] <= reactive["servers_most"] + 1
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_without_a_plan_the_bench_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(peak, "over_time", lambda *_: ())
    assert peak.main([*SHORT, "--plot", str(tmp_path / "peak.png")]) == 1
    assert not orjson.loads(capsys.readouterr().out.splitlines()[-1])["met_without_cold_start"]


ONE = Pool("stt", Use.HELD, 0, capacity=1, least=1, most=3, warm_up_s=30)


def test_the_simulation_counts_what_happens() -> None:
    asked = Arrivals((1.0, 2.0, 2.5), (100.0, 100.0, 1.0))
    seen = simulate(asked, ONE, lambda _: (), 0, 200, 300)
    # The second finds the one server taken; those started at the next tick, at 5 s, are warm at 35 s.
    assert seen.waits == [(2.0, 33.0), (2.5, 32.5)]
    assert seen.cold == 0  # nothing was warming up when they came: nothing had been started yet
    assert max(tick.started for tick in seen.ticks) == 3


def test_the_simulation_follows_a_plan() -> None:
    asked = Arrivals((101.0, 102.0), (10.0, 10.0))
    seen = simulate(asked, ONE, lambda _: ((70.0, 2), (200.0, 1)), 0, 700, 300)
    assert seen.waits == []
    assert [tick.started for tick in seen.ticks if tick.at_s in (35, 40, 490, 500)] == [1, 2, 2, 1]
