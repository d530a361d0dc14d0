"""Who has answered a call that we made, for the call's row."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

import pytest

from appliance.audio import FRAME_MS, silence
from appliance.call.callee import Callee
from appliance.call.past import Past
from appliance.events import CallRecord, Offer
from appliance.turn.answering import SILENCE_MS

RATE_HZ = 8000


def offer(direction: Literal["in", "out"] = "out") -> Offer:
    return Offer("c-1", "1001", "", RATE_HZ, ("127.0.0.1", 40000), direction=direction)


def test_a_silent_line_is_nobody_known_and_the_beep_is_still_awaited() -> None:
    callee = Callee(offer(), Past())
    assert callee.is_unknown and not callee.is_awaited and callee.answered_by == ""
    callee.listen()
    frame = silence(FRAME_MS, RATE_HZ)
    heard = [callee.hear(frame, False) for _ in range(SILENCE_MS // FRAME_MS + 2)]
    verdicts = [verdict for verdict in heard if verdict]
    assert [(v.who, v.sign) for v in verdicts] == [("uncertain", "silence")]
    assert callee.answered_by == "uncertain:silence" and callee.is_awaited


def test_a_person_is_listened_to_no_longer() -> None:
    callee = Callee(offer(), Past())
    callee.listen()
    frame = silence(FRAME_MS, RATE_HZ)
    for at_ms in range(0, 3000, FRAME_MS):
        callee.hear(frame, 200 <= at_ms < 700)
    assert callee.answered_by.startswith("human:") and not callee.is_awaited
    assert callee.hear(frame, True) is None


@pytest.mark.parametrize(("direction", "known"), [("in", ""), ("out", "human:short greeting")])
def test_nothing_is_asked_of_who_called_us_nor_again_in_a_later_part(
    direction: Literal["in", "out"], known: str
) -> None:
    at = datetime(2026, 1, 23, tzinfo=UTC)
    before = CallRecord("c-1", "1001", "", "a", 1, "en", at, answered_by=known)
    callee = Callee(offer(direction), Past(before if known else None))
    assert not callee.is_unknown and callee.answered_by == known
