"""Erlang's formulas against textbook values, and what must hold for every load."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.capacity.erlang import erlang_b, erlang_c, slots_for_wait

LOADS = st.floats(0.01, 300)
SLOTS = st.integers(1, 400)


@pytest.mark.parametrize(
    ("load", "slots", "blocked"),
    [
        # Closed forms: B(a, 1) = a / (1 + a); B(2, 4) = (16/24) / (1 + 2 + 2 + 8/6 + 16/24).
        (1, 1, 0.5),
        (2, 4, 2 / 21),
        # The usual tables of Erlang B at 1 %, whose loads have three digits: hence the tolerance.
        (10, 10, 0.2146),
        (4.46, 10, 0.0100),
        (29.0, 40, 0.0100),
        (84.1, 100, 0.0100),
    ],
)
def test_erlang_b_is_that_of_the_tables(load: float, slots: int, blocked: float) -> None:
    assert erlang_b(load, slots) == pytest.approx(blocked, abs=1.5e-4)


def test_erlang_c_is_that_of_kleinrock() -> None:
    # M/M/1: the share of waiting customers is the load; M/M/2: 2 r^2 / (1 + r).
    assert erlang_c(0.7, 1) == pytest.approx(0.7)
    assert erlang_c(1.0, 2) == pytest.approx(1 / 3)
    assert erlang_c(2.0, 3) == pytest.approx(4 / 9)


def test_the_usual_call_centre_example() -> None:
    """100 calls in half an hour of 180 s each and 14 people: 17.4 % of the callers wait
    (callcentrehelper.com, "Erlang C Formula")."""
    load = 100 * 180 / 1800
    assert erlang_c(load, 14) == pytest.approx(0.174, abs=5e-4)
    assert slots_for_wait(load, 0.18) == 14


def test_thousands_of_slots_neither_overflow_nor_vanish() -> None:
    assert erlang_b(5000, 5000) == pytest.approx(math.sqrt(2 / (math.pi * 5000)), rel=0.02)
    assert 0 < erlang_c(4900, 5000) < 1
    assert erlang_b(10_000, 100) == pytest.approx(0.99, abs=1e-4)
    assert 10_000 < slots_for_wait(10_000, 0.01) < 10_400


def test_no_load_and_too_much() -> None:
    assert (erlang_b(0, 0), erlang_b(0, 5), erlang_c(0, 5)) == (1.0, 0.0, 0.0)
    assert erlang_c(5, 5) == 1.0
    assert slots_for_wait(0, 0.01) == 0


@pytest.mark.parametrize(
    "wrong", [(-1.0, 5), (math.nan, 5), (math.inf, 5), (1.0, -1)], ids=["-1", "nan", "inf", "slots"]
)
def test_what_is_no_load_is_refused(wrong: tuple[float, int]) -> None:
    with pytest.raises(ValueError, match="is no load"):
        erlang_b(*wrong)
    with pytest.raises(ValueError, match="is no load"):
        erlang_c(*wrong)


@pytest.mark.parametrize("share", [0, 1, -0.1, 2])
def test_what_is_no_share_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="not between"):
        slots_for_wait(1, share)


@given(LOADS, SLOTS)
def test_more_slots_block_less_and_waiting_is_more_than_blocking(load: float, slots: int) -> None:
    blocked = erlang_b(load, slots)
    assert 0 <= erlang_b(load, slots + 1) <= blocked <= 1
    assert blocked <= erlang_c(load, slots) + 1e-12
    assert erlang_c(load, slots + 1) <= erlang_c(load, slots) <= 1


@given(LOADS, SLOTS, st.floats(1.01, 3))
def test_more_load_blocks_more(load: float, slots: int, times: float) -> None:
    assert erlang_b(load * times, slots) >= erlang_b(load, slots)
    assert erlang_c(load * times, slots) >= erlang_c(load, slots)


@given(LOADS, st.floats(0.001, 0.5))
def test_the_fewest_slots_are_enough_and_one_less_is_not(load: float, share: float) -> None:
    slots = slots_for_wait(load, share)
    assert erlang_c(load, slots) <= share < erlang_c(load, slots - 1)
