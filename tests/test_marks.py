"""What is marked on a waveform, and which turns lie on its clock."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import timedelta

from appliance.admin.ui.calls.marks import Mark, last_clock, marks_of, offset_of
from appliance.events import Stages
from tests.calls_kit import a_call, a_flag, a_turn

CALL = a_call("c1")


def of(marks: list[Mark], kind: str) -> list[tuple[int, int]]:
    return [(mark.begin_ms, mark.end_ms) for mark in marks if mark.kind == kind]


def test_who_spoke_the_wait_its_stages_and_flags() -> None:
    marks = marks_of([a_turn(CALL, 1, 400), a_turn(CALL, 2, 600)], [a_flag(CALL)])
    assert of(marks, "caller") == [(10_000, 12_000), (20_000, 22_000)]
    assert of(marks, "gap") == [(12_000, 12_400), (22_000, 22_600)]
    first = [mark for mark in marks if mark.kind == "stage" and mark.turn == 1]
    assert (first[0].begin_ms, first[-1].end_ms) == (12_000, 12_400)
    assert all(a.end_ms == b.begin_ms for a, b in itertools.pairwise(first))
    assert of(marks, "flag") == [(12_400, 14_000)]
    (begin, end), _ = of(marks, "agent")
    assert begin == 12_400 and 13_000 < end <= 20_000


def test_a_cut_lies_where_the_agent_fell_silent() -> None:
    cut = a_turn(CALL, 1, 400, heard="The fee", barged_in=True)
    marks = marks_of([cut, a_turn(CALL, 2)])
    ((at, _),) = of(marks, "cut")
    assert at == of(marks, "agent")[0][1]


def test_an_edges_file_begins_elsewhere() -> None:
    plain = marks_of([a_turn(CALL, 1)])
    moved = marks_of([a_turn(CALL, 1)], offset_ms=5000)
    assert [m.begin_ms + 5000 for m in plain] == [m.begin_ms for m in moved]


def test_where_the_clock_of_a_later_part_lies_in_an_edges_file() -> None:
    second = [a_turn(CALL, 1), a_turn(CALL, 2)]  # whose first turn was over 15 s into the call
    assert offset_of(CALL, second) == 0
    own = replace(CALL, part=2, recording="2026/11/21/c1.2.wav")
    assert offset_of(own, second) == 0
    edge = replace(own, recording="2026/11/21/c1.wav")
    late = [replace(turn, at=turn.at + timedelta(minutes=1)) for turn in second]
    assert 55_000 < offset_of(edge, late) <= 63_000


def test_nothing_is_marked_of_a_turn_without_places() -> None:
    bare = a_turn(CALL, 1, None, stages=Stages())
    assert marks_of([bare], [a_flag(CALL, begin_ms=None, end_ms=None)]) == []


def test_a_clock_that_begins_anew_leaves_the_turns_before_it() -> None:
    turns = [a_turn(CALL, 1), a_turn(CALL, 2), a_turn(CALL, 1, source="resume"), a_turn(CALL, 2)]
    assert last_clock(turns) == turns[2:]
    assert last_clock(turns[:2]) == turns[:2] and last_clock([]) == []
