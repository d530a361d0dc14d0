"""The row of a turn: every mark of the reply and of the call stands in its stages."""

from __future__ import annotations

from itertools import count

from appliance.call.reply import Reply
from appliance.call.timeline import Timeline
from appliance.events import Passage


def test_the_marks_of_a_reply_in_the_order_of_their_happening() -> None:
    clock = count(1000, 10)
    reply = Reply("llm", "when", 8000, lambda: next(clock))
    reply.searched((Passage("1", "d", "Hours", "Nine.", 1.0),), "when")
    reply.written("We open")
    reply.phrased()
    reply.written(" at nine.")
    reply.all_written()
    reply.begin_phrase("We open at nine.")
    reply.sound(bytes(320))
    reply.end_phrase()
    reply.all_spoken()
    timeline = Timeline(speech_end=900, first_frame=1100)
    stages = timeline.row("c", 1, reply, False).stages
    assert stages.speculation == 1000 and stages.retrieval == 1010
    marks = [stages.first_token, stages.first_phrase, stages.last_token]
    marks += [stages.first_audio, stages.last_audio]
    assert marks == [1020, 1030, 1040, 1050, 1060]
    assert "written +140" in timeline.trace(reply) and "spoken +160" in timeline.trace(reply)


def test_a_reply_that_was_cut_has_no_end() -> None:
    reply = Reply("llm", "when", 8000, lambda: 5)
    reply.written("We")
    stages = Timeline().row("c", 1, reply, True).stages
    assert stages.first_token == 5 and stages.last_token is stages.last_audio is None
