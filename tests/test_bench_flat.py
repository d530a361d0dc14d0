"""The bench of flat curves: the pools it asks the plan for, and what it makes of figures."""

from __future__ import annotations

from dataclasses import replace

from appliance.rehearsal.calls import Rehearsal
from bench.flat import SLOTS, bend, planned, ways
from bench.report import figures


def test_more_calls_ask_for_no_fewer_servers() -> None:
    before = planned(1).servers
    assert set(before.values()) == {1}
    for calls in (5, 10, 25, 50, 100):
        servers = planned(calls).servers
        assert all(servers[stage] >= before[stage] for stage in servers)
        assert servers["stt"] * SLOTS["stt"] >= calls, "a call without a recogniser"
        before = servers


def test_the_bend_is_told_for_ways_that_have_one() -> None:
    empty = figures(Rehearsal([], 0.0, 1.0))
    one, fifty = (replace(empty, gap_p95_ms=ms) for ms in (440.0, 462.0))
    assert bend({"plan": [one, fifty], "ramp": [fifty]}) == {"plan": 1.05}
    assert bend({"plan": [one, empty]}) == {"plan": None}
    assert [way.ramp for way in ways(50)] == [False, False, True, True]
