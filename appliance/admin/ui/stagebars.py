"""Where a turn's wait went: one bar a turn, all of a call on one scale, the slowest stage in words."""

from __future__ import annotations

from nicegui import ui

from appliance.admin.ui.page import View
from appliance.admin.ui.words import Translate
from appliance.events import Turn
from appliance.rehearsal.timeline import Span, slowest, spans
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


def scale_of(turns: list[Turn]) -> int:
    """ms that the widest bar of these turns stands for: :data:`SCALE_MS` or the longest wait."""
    waits = (sum(part.ms for part in spans(turn.stages)) for turn in turns)
    return max(SCALE_MS, *waits, 0)


def stage_bars(view: View, turn: Turn, scale_ms: int = SCALE_MS) -> None:
    """The bar of one turn, from the caller's last sound to the reply's first frame; opens to the list
    of all its marks. Nothing where nothing was waited for."""
    parts = spans(turn.stages)
    if not parts:
        return
    t = view.t
    with ui.expansion().classes("stages").props("dense") as whole:
        with whole.add_slot("header"), ui.row().classes("stages-head"):
            _bar(parts, scale_ms, t)
            ui.label(f"{t('slowest')}: {slowest_in_words(turn, t)}").classes("stages-slowest")
        _marks(turn, t)


def stage_legend(view: View) -> None:
    """Which colour is which stage."""
    with ui.row().classes("stage-legend"):
        for stage, words in STAGE_WORDS.items():
            with ui.element("span").classes("stage-key"):
                ui.element("span").classes(f"stage-dot stage--{stage}")
                ui.label(view.t(words))


def _bar(parts: list[Span], scale_ms: int, t: Translate) -> None:
    said = ", ".join(f"{t(STAGE_WORDS[part.stage])} {part.ms} ms" for part in parts)
    with ui.element("div").classes("stages-bar").props("role=img") as bar:
        bar.props["aria-label"] = said
        for part in parts:
            share = 100 * part.ms / max(scale_ms, 1)
            piece = ui.element("span").classes(f"stages-piece stage--{part.stage}")
            piece.style(f"width: {share:.2f}%")
            with piece:
                ui.tooltip(f"{t(STAGE_WORDS[part.stage])}: {part.ms} ms")


def _marks(turn: Turn, t: Translate) -> None:
    stages = turn.stages
    begin = stages.speech_end
    with ui.element("dl").classes("stages-marks"):
        for name, words in _MARKS:
            at = getattr(stages, name)
            if at is None:
                continue
            with ui.element("dt"):
                ui.label(t(words))
            with ui.element("dd").classes("mono"):
                ui.label(f"{at - begin:+d} ms" if begin is not None else f"{at} ms")
        if stages.speculations_dropped:
            with ui.element("dt"):
                ui.label(t("replies begun and dropped"))
            with ui.element("dd").classes("mono"):
                ui.label(str(stages.speculations_dropped))
        if stages.held:
            with ui.element("dt"):
                ui.label(t("held for the guard's verdict"))
            with ui.element("dd").classes("mono"):
                ui.label(f"{stages.held} ms")
