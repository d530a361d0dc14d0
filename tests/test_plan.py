"""Servers of a stage for N calls, and over time; ``plan.json``."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.capacity.erlang import erlang_c
from appliance.capacity.plan import CallsAt, Policy, Pool, Step, Use, at_time, over_time, size
from appliance.capacity.planfile import PlanFile, read_plan, write_plan
from appliance.errors import UserError

POLICY = Policy(wait_share=0.01, headroom=0.0, hold_s=0)
STT = Pool("stt", Use.HELD, 0.0, 10, least=1, most=8, warm_up_s=30)
TTS = Pool("tts", Use.SHARED, 0.2, 4, least=1, most=8, warm_up_s=30)


def test_a_held_stage_has_a_slot_for_each_call() -> None:
    assert [size(n, STT, POLICY).wanted for n in (0, 1, 10, 11, 80)] == [1, 1, 1, 2, 8]
    with_headroom = Policy(0.01, 0.2, 0)
    assert size(50, STT, with_headroom).wanted == 6  # 60 slots, not 60.000000001


def test_a_shared_stage_is_sized_by_erlang_c() -> None:
    sized = size(50, TTS, POLICY)
    assert sized.load == pytest.approx(10)
    assert erlang_c(10, sized.slots) <= 0.01 < erlang_c(10, sized.slots - 1)
    assert sized.wanted == -(-sized.slots // 4)
    assert sized.waiting <= 0.01


def test_most_is_kept_and_what_it_costs_is_said() -> None:
    held = size(100, STT, POLICY)
    assert (held.servers, held.wanted, held.short) == (10, 8, 2)
    assert held.waiting == pytest.approx(0.2)  # 20 calls of 100 find no slot
    shared = size(500, TTS, POLICY)
    assert shared.short > 0
    assert shared.waiting == 1


def test_servers_of_somebody_else_come_first() -> None:
    pool = Pool("stt", Use.HELD, 0, 10, least=0, most=4, warm_up_s=30, fixed=2)
    assert [size(n, pool, POLICY).wanted for n in (5, 20, 21, 45)] == [0, 0, 1, 3]
    assert size(70, pool, POLICY).waiting == pytest.approx(1 / 7)


@pytest.mark.parametrize("calls", [-1, float("nan"), float("inf")])
def test_what_is_no_number_of_calls_is_refused(calls: float) -> None:
    with pytest.raises(ValueError, match="cannot be planned"):
        size(calls, STT, POLICY)


def _calls(*upper: float) -> list[CallsAt]:
    return [CallsAt(300.0 * i, one / 2, one) for i, one in enumerate(upper)]


def test_servers_are_wanted_a_warm_up_before_their_interval_and_until_its_end() -> None:
    steps = over_time(_calls(5, 5, 50, 5), 300, STT, POLICY)
    assert steps == (Step(-30, 1), Step(570, 5), Step(900, 1), Step(1200, 0))


def test_a_warm_up_longer_than_an_interval() -> None:
    slow = Pool("llm", Use.HELD, 0, 10, least=0, most=8, warm_up_s=700)
    steps = over_time(_calls(0, 0, 0, 30, 0), 300, slow, POLICY)
    assert steps == (Step(-700, 0), Step(200, 3), Step(1200, 0))


def test_a_dip_shorter_than_the_hold_time_stops_no_server() -> None:
    hold = Policy(0.01, 0, hold_s=600)
    steps = over_time(_calls(30, 10, 10, 40, 10, 10, 10, 30, 10), 300, STT, hold)
    assert [step.servers for step in steps] == [3, 4, 1, 3, 1, 0]


def test_no_calls_no_plan() -> None:
    assert over_time([], 300, STT, POLICY) == ()
    assert at_time((), 5) == 0


NEEDS = st.lists(st.floats(0, 100), min_size=1, max_size=40)


@given(NEEDS, st.floats(0, 2000), st.sampled_from([0, 300, 900, 1200]))
def test_every_interval_finds_its_servers_warm(
    needs: list[float], warm_up_s: float, hold_s: float
) -> None:
    pool = Pool("stt", Use.HELD, 0, 10, least=1, most=6, warm_up_s=warm_up_s)
    policy = Policy(0.01, 0.1, hold_s)
    steps = over_time(_calls(*needs), 300, pool, policy)
    for index, need in enumerate(needs):
        wanted = size(need, pool, policy).wanted
        for at in (index * 300 - warm_up_s, index * 300, index * 300 + 299.9):
            assert at_time(steps, at) >= wanted
    assert max(step.servers for step in steps) == max(size(n, pool, policy).wanted for n in needs)
    assert [step.from_s for step in steps] == sorted({step.from_s for step in steps})
    assert steps[-1] == Step(300 * len(needs), 0)


@given(NEEDS)
def test_the_plan_goes_down_and_up_again_only_after_the_hold_time(needs: list[float]) -> None:
    steps = over_time(_calls(*needs), 300, STT, Policy(0.01, 0, 900))
    for before, dip, after in zip(steps, steps[1:], steps[2:], strict=False):
        if before.servers > dip.servers < after.servers:
            assert after.from_s + STT.warm_up_s - dip.from_s > 900


PLAN = PlanFile(
    1.5e9, 300, {"stt": (Step(1.5e9, 3), Step(1.5e9 + 270, 5)), "llm": ()}, tuple(_calls(1, 2))
)


def test_plan_json_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "new" / "plan.json"
    assert read_plan(path) is None
    write_plan(path, PLAN)
    assert read_plan(path) == PLAN
    assert PLAN.steps("stt") == ((1.5e9, 3), (1.5e9 + 270, 5))
    assert PLAN.steps("turn") == ()
    assert orjson.loads(path.read_bytes())["servers"]["stt"][1] == {
        "from": 1.5e9 + 270,
        "servers": 5,
    }
    assert [p.name for p in path.parent.iterdir()] == ["plan.json"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"made_at": 1}',
        b'{"made_at": "nan", "interval_s": 300, "servers": {}, "calls": []}',
        b'{"made_at": 1, "interval_s": 300, "servers": [], "calls": []}',
        b'{"made_at": 1, "interval_s": 300, "servers": {"stt": [{"from": 1, "servers": -1}]},'
        b' "calls": []}',
        b'{"made_at": 1, "interval_s": 300, "calls": [], "servers":'
        b' {"stt": [{"from": 2, "servers": 1}, {"from": 1, "servers": 1}]}}',
    ],
)
def test_a_broken_plan_is_one_sentence(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(body)
    with pytest.raises(UserError, match=r"is broken .*Make it again: ivr capacity plan --write"):
        read_plan(path)


def test_a_plan_that_cannot_be_written_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_plan(tmp_path / "file" / "plan.json", PLAN)
