"""How many servers are wanted now: on a virtual clock, with random loads and plans."""

from __future__ import annotations

import ast
import json
import pickle
import sys
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from appliance.capacity import policy
from appliance.capacity.policy import wanted

IDLE_S = 300.0
WARM_UP_S = 30.0


def ask(
    now_s: float,
    in_flight: int,
    state: dict[str, Any],
    *,
    plan: tuple[tuple[float, int], ...] = (),
    running: int = 1,
    least: int = 1,
    most: int = 8,
) -> tuple[int, dict[str, Any]]:
    return wanted(
        now_s, plan, running, in_flight, 10, least, most, WARM_UP_S, IDLE_S, state
    )  # fmt: skip


def test_load_starts_servers_before_those_there_are_full() -> None:
    answers = [ask(0, load, {"lately": []})[0] for load in (0, 7, 8, 15, 16, 1000)]
    assert answers == [1, 1, 2, 2, 3, 8]


def test_servers_are_stopped_when_they_were_not_needed_for_idle_s() -> None:
    count, state = ask(0, 35, {})
    assert count == 5
    assert ask(299, 0, state)[0] == 5
    count, state = ask(200, 20, state)
    assert ask(301, 0, state)[0] == 3  # the 20 at 200 s needed 3
    assert ask(501, 0, state)[0] == 1


def test_the_plan_is_a_floor_from_a_warm_up_before_its_time() -> None:
    plan = ((0.0, 2), (1000.0, 5), (2000.0, 1))
    state: dict[str, Any] = {"lately": []}
    assert ask(0, 0, state, plan=plan)[0] == 2
    assert ask(969, 0, state, plan=plan)[0] == 2
    assert ask(970, 0, state, plan=plan)[0] == 5
    assert ask(1999, 0, state, plan=plan)[0] == 5
    assert ask(2000, 0, state, plan=plan)[0] == 1
    assert ask(-31, 0, state, plan=plan)[0] == 1  # before the plan: least
    assert ask(1000, 70, state, plan=plan)[0] == 8  # more load than was planned for


def test_what_runs_at_the_start_is_not_stopped_at_once() -> None:
    count, state = ask(0, 0, {}, running=4)
    assert count == 4
    assert ask(IDLE_S + 1, 0, state, running=4)[0] == 1


def test_a_clock_that_is_set_back_keeps_no_server_for_ever() -> None:
    _, state = ask(1e9, 70, {})
    count, state = ask(0, 0, state)
    assert count == 8
    assert ask(IDLE_S + 1, 0, state)[0] == 1


def test_none_at_all_where_least_is_none() -> None:
    assert ask(0, 0, {"lately": []}, least=0, running=0)[0] == 0
    assert ask(0, 1, {"lately": []}, least=0, running=0)[0] == 1


TRACES = st.lists(st.tuples(st.floats(0.5, 120), st.integers(0, 120)), min_size=1, max_size=80)
PLANS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 10)), max_size=8).map(
    lambda steps: tuple(sorted({(at * 100.0): count for at, count in steps}.items()))
)


@given(TRACES, PLANS, st.integers(0, 2), st.integers(2, 8))
def test_it_never_flaps_and_keeps_its_bounds(
    trace: list[tuple[float, int]], plan: tuple[tuple[float, int], ...], least: int, most: int
) -> None:
    now_s, state, last = 0.0, dict[str, Any](), None
    went_up_s = -IDLE_S
    for pause_s, load in trace:
        now_s += pause_s
        # the state goes through JSON, as between processes
        count, state = ask(
            now_s, load, json.loads(json.dumps(state)), plan=plan, least=least, most=most
        )
        assert least <= count <= most
        assert count * 10 >= min(load, most * 10)  # never fewer slots than uses
        coming = [n for at, n in plan if now_s < at <= now_s + WARM_UP_S]
        there = [n for at, n in plan if at <= now_s][-1:]
        assert count >= min(most, max(coming + there, default=0))
        if last is not None and count > last:
            went_up_s = now_s
        if last is not None and count < last:
            assert now_s - went_up_s >= IDLE_S - 1e-6, "up and down within idle_s"
        last = count
        assert len(state["lately"]) <= most + 2


@given(TRACES)
def test_a_steady_load_has_a_steady_answer(trace: list[tuple[float, int]]) -> None:
    state: dict[str, Any] = {}
    now_s = 0.0
    for pause_s, load in trace:
        now_s += pause_s
        _, state = ask(now_s, load, state)
    answers = set()
    for _ in range(50):
        now_s += 10
        count, state = ask(now_s, 33, state)
        if now_s > sum(pause for pause, _ in trace) + IDLE_S:
            answers.add(count)
    assert answers == {5}


def test_it_can_be_pickled_by_value_into_another_process() -> None:
    """Nothing but the standard library is imported, and the state is plain."""
    tree = ast.parse(Path(policy.__file__).read_text())
    names = {
        (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name) or ""
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
    }
    assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names | {"__future__"}
    _, state = ask(0, 5, {})
    assert pickle.loads(pickle.dumps(state)) == json.loads(json.dumps(state)) == state
