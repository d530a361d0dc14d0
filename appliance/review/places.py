"""Where in a call's recording something was said, from what the journal keeps of its turns."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.call.reply import MS_PER_LETTER
from appliance.events import Turn
from appliance.speech.phrases import Phrases

OWN_WORDS = frozenset(
    {"greeting", "prompt", "hold", "apology", "goodbye", "transfer", "resume"}
)  # fmt: skip
"""Sources of turns in which the agent says what its makers wrote."""


@dataclass(frozen=True, slots=True)
class Place:
    """A span of the call's media clock, which is that of its recording."""

    begin_ms: int | None
    end_ms: int | None


@dataclass(frozen=True, slots=True)
class HeardPhrase:
    """One phrase of a reply, as far as it was heard."""

    text: str
    before: str
    """What was heard of the same reply before it."""
    place: Place


def caller_place(turn: Turn) -> Place:
    """Where the caller spoke in this turn."""
    return Place(turn.stages.speech_start, turn.stages.speech_end)


def heard_phrases(turn: Turn, following: Turn | None) -> list[HeardPhrase]:
    """What was heard in a turn, phrase by phrase, cut as it was for the voice.

    Where a phrase lies is reckoned from its first frame and its letters, and never reaches into the
    next turn: the journal keeps no times of single phrases.
    """
    splitter = Phrases(hurry=turn.source == "llm")
    texts = [*splitter.feed(turn.heard), *splitter.flush()]
    end_ms = _end_ms(turn, following)
    found: list[HeardPhrase] = []
    position = 0
    for text in texts:
        at = max(turn.heard.find(text, position), position)
        place = _place(turn.stages.first_frame, at, at + len(text), end_ms)
        found.append(HeardPhrase(text, turn.heard[:at].strip(), place))
        position = at + len(text)
    return found


def _end_ms(turn: Turn, following: Turn | None) -> int | None:
    """When the reply was over at the latest; None where nothing tells."""
    if following is None:
        return None
    if turn.barged_in and following.stages.speech_start is not None:
        return following.stages.speech_start
    return following.stages.first_frame


def _place(first_frame: int | None, begin: int, end: int, limit_ms: int | None) -> Place:
    if first_frame is None:
        return Place(None, None)
    begin_ms = first_frame + begin * MS_PER_LETTER
    end_ms = first_frame + end * MS_PER_LETTER
    if limit_ms is not None and limit_ms > first_frame:
        begin_ms, end_ms = min(begin_ms, limit_ms), min(end_ms, limit_ms)
    return Place(begin_ms, end_ms)
