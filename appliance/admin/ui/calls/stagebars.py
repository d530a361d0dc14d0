"""Where a turn's wait went: one bar a turn, all of a call on one scale, the slowest stage in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nicegui import ui

from appliance.admin.ui.page import View
from appliance.admin.ui.words import Translate
from appliance.events import Turn
from appliance.rehearsal.timeline import slowest, spans
from appliance.review.rootcause import STAGE_WORDS

SCALE_MS = 1000
"""A bar of this length is as wide as there is room, unless a turn of the call took longer."""
_MARKS = (
    ("speech_end", "caller's last sound"),
    ("final", "last words known"),
    ("turn_given", "turn given to the agent"),
    ("retrieval", "passages found"),
    ("first_token", "first word written"),
    ("first_phrase", "first phrase written"),
    ("first_audio", "first audio of the voice"),
    ("first_frame", "first frame on the line"),
    ("last_token", "last word written"),
    ("last_audio", "last audio of the voice"),
)


def slowest_in_words(turn: Turn, t: Translate) -> str:
    """ "language model 312 ms of 540"; empty where nothing was waited for."""
    parts = spans(turn.stages)
    worst = slowest(parts)
    if worst is None:
        return ""
    total = sum(part.ms for part in parts)
    return t("{stage} {ms} ms of {total}").format(
        stage=t(STAGE_WORDS[worst.stage]), ms=worst.ms, total=total
    )


def scale_of(turns: Sequence[Turn]) -> int:
    """ms that the widest bar of these turns stands for: :data:`SCALE_MS` or the longest wait."""
    waits = (sum(part.ms for part in spans(turn.stages)) for turn in turns)
    return max(SCALE_MS, *waits, 0)


def pieces_of(turn: Turn, scale_ms: int, t: Translate) -> list[dict[str, Any]]:
    """The bar of one turn, from the caller's last sound to the reply's first frame: each stage with its
    share (percent) of ``scale_ms``."""
    return [
        {
            "stage": part.stage,
            "share": round(100 * part.ms / max(scale_ms, 1), 2),
            "words": f"{t(STAGE_WORDS[part.stage])} {part.ms} ms",
        }
        for part in spans(turn.stages)
    ]


def marks_in_words(turn: Turn, t: Translate) -> list[tuple[str, str]]:
    """Every mark of a turn's timeline, in ms after the caller's last sound."""
    stages = turn.stages
    begin = stages.speech_end
    found = []
    for name, words in _MARKS:
        at = getattr(stages, name)
        if at is not None:
            found.append((t(words), f"{at} ms" if begin is None else f"{at - begin:+d} ms"))
    if stages.speculations_dropped:
        found.append((t("replies begun and dropped"), str(stages.speculations_dropped)))
    if stages.held:
        found.append((t("held for the guard's verdict"), f"{stages.held} ms"))
    return found


def stage_legend(view: View) -> None:
    """Which colour is which stage."""
    with ui.row().classes("stage-legend"):
        for stage, words in STAGE_WORDS.items():
            with ui.element("span").classes("stage-key"):
                ui.element("span").classes(f"stage-dot stage--{stage}")
                ui.label(view.t(words))
