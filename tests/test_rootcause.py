"""What was slow or wrong in a call, in words."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from appliance.events import Flag, Turn
from appliance.review.rootcause import SLOW_GAP_MS, STAGE_WORDS, Trouble, troubles
from tests.calls_kit import a_call, a_flag, a_turn

CALL = a_call("c1")


def told(*turns: Turn, flags: tuple[Flag, ...] = (), **call: object) -> list[str]:
    return [one.in_english() for one in troubles(a_call("c1", **call), turns, flags)]


def test_nothing() -> None:
    assert told() == ["Nothing was slow or wrong."]
    assert told(a_turn(CALL, 1, 400)) == [
        "Nothing was slow or wrong: the answer came after 400 ms."
    ]
    assert told(a_turn(CALL, 1, 400), a_turn(CALL, 2, 510)) == [
        "Nothing was slow or wrong: each of 2 answers came within 510 ms."
    ]


def test_one_slow_answer_names_its_stage() -> None:
    (found,) = troubles(CALL, [a_turn(CALL, 1, 400), a_turn(CALL, 2, 1000)])
    assert found.in_english() == (
        "One answer came only after 1000 ms. Slowest stage: language model, 490 ms of it."
    )
    assert found.turn == 2 and found.severity == "bad" and found.looked_up == {"stage"}
    mild = troubles(CALL, [a_turn(CALL, n, 1000 if n == 3 else 400) for n in range(1, 6)])
    assert mild[0].severity == "warn"


def test_many_slow_answers_name_the_stage_that_most_of_them_waited_for() -> None:
    turns = [a_turn(CALL, 1, 900), a_turn(CALL, 2, 1700), a_turn(CALL, 3, 300)]
    assert told(*turns) == [
        "2 of 3 answers took more than 800 ms, the slowest 1700 ms. Slowest stage in 2 of them:"
        " language model (640 ms)."
    ]


def test_a_slow_answer_without_stages_is_told_too() -> None:
    bare = Turn(
        "c1", 1, CALL.started_at, "hi", "a", "a", "llm", a_turn(CALL, 1).stages.__class__(), 900
    )
    assert told(bare) == ["The slowest answer came after 900 ms."]


def test_how_it_ended_comes_first() -> None:
    slow = a_turn(CALL, 1, 2000)
    lost = told(slow, ended_by="system", cause="NORMAL_TEMPORARY_FAILURE")
    assert (
        lost[0] == "The call was cut off: the process that carried it stopped." and len(lost) == 2
    )
    odd = told(ended_by="system", cause="DESTINATION_OUT_OF_ORDER")
    assert odd == ["The call was cut off by the system (DESTINATION_OUT_OF_ORDER)."]
    nobody = told(transferred_to="queue:sales")
    assert nobody == ["A person was asked for, and queue:sales did not take the call."]
    assert told(turns=1) == ["The caller hung up before they had said anything."]
    assert told(part=3) == ["It was handed from worker to worker: 3 of them carried it."]


def test_failures_flags_and_talk() -> None:
    failed = a_turn(CALL, 2, 400, failure="the language model was late")
    assert told(a_turn(CALL, 1), failed)[0] == (
        "In 1 of 2 turns the caller did not get what was meant: the language model was late."
    )
    assert told(a_turn(CALL, 1), flags=(a_flag(CALL),))[0] == (
        "Flagged, and heard by the caller: 1 (site.1)."
    )
    stopped = a_flag(CALL, action="stopped")
    assert told(flags=(stopped,)) == [
        "Stopped by the guard before the caller heard it: 1 (site.1)."
    ]
    cut = [a_turn(CALL, n, 300, barged_in=True) for n in (1, 2, 3)]
    assert told(*cut) == ["The caller interrupted the agent 3 times."]
    asked = [a_turn(CALL, n, None, source="prompt") for n in (1, 2)]
    assert told(*asked)[0].startswith("The agent had to ask 2 times")
    assert told(late_frames=80)[0].startswith("80 frames of sound went out late")
    sorry = a_turn(CALL, 1, 300, source="apology")
    assert told(sorry) == ["The agent had to apologise in 1 of 1 turns."]


@given(st.lists(st.integers(0, 5000) | st.none(), max_size=8))
def test_whatever_the_gaps_there_is_a_whole_sentence(gaps: list[int | None]) -> None:
    found = troubles(CALL, [a_turn(CALL, n, gap) for n, gap in enumerate(gaps, 1)])
    assert found and all("{" not in one.in_english() for one in found)
    slow = any(gap is not None and gap >= SLOW_GAP_MS for gap in gaps)
    assert (found[0].severity == "good") is not slow


def test_a_callers_braces_are_no_gaps() -> None:
    one = Trouble("It was {what}.", {"what": "{oops} %s"})
    assert one.in_english() == "It was {oops} %s."
    assert set(STAGE_WORDS) == {"hear", "floor", "search", "write", "phrase", "voice", "out"}
