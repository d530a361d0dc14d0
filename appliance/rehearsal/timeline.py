"""Where the time of a turn went, between the caller's last sound and the reply's first."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.events import Stages

BAR_COLUMNS = 48

HEAR, SEARCH = "hear", "search"
_NAMES = {
    "final": HEAR,
    "turn_given": "floor",
    "retrieval": SEARCH,
    "first_token": "write",
    "first_phrase": "phrase",
    "first_audio": "voice",
    "first_frame": "out",
}
"""Stage whose end each mark is: hear = last words known, floor = sure that the caller has
finished, search = passages found, write = first word of the reply, phrase = enough of it to speak,
voice = first audio of it, out = first frame on the wire."""


@dataclass(frozen=True, slots=True)
class Span:
    """One stage's share of the wait, in ms: the time that nothing but this stage was missing."""

    stage: str
    ms: int


def spans(stages: Stages) -> list[Span]:
    """The wait, cut at each mark in the order of time.

    What was done while the caller still spoke (speculation) cost no wait and is left out; a turn
    that no speech began (a greeting) is counted from its first mark.
    """
    marks = sorted(
        (mark, order, _NAMES[name])
        for order, name in enumerate(_NAMES)
        if (mark := getattr(stages, name)) is not None
    )
    if not marks:
        return []
    at = marks[0][0] if stages.speech_end is None else stages.speech_end
    found = []
    for mark, _, stage in marks:
        begun = stages.speculation
        if stage == SEARCH and begun is not None and at < begun < mark:
            found.append(Span(HEAR, begun - at))  # there were no words yet to search for
            at = begun
        if mark > at:
            found.append(Span(stage, mark - at))
            at = mark
    return found


def slowest(parts: list[Span]) -> Span | None:
    """The span that took longest."""
    return max(parts, key=lambda span: span.ms, default=None)


def bar(parts: list[Span]) -> list[tuple[Span, int]]:
    """Each span with its share of ``BAR_COLUMNS`` columns, at least one each."""
    total_ms = sum(span.ms for span in parts)
    return [(span, max(1, round(BAR_COLUMNS * span.ms / total_ms))) for span in parts]
