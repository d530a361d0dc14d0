"""A call as bubbles: what the caller said, what they truly heard, what was written and cut off."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nicegui import ui

from appliance.admin.ui.page import View
from appliance.admin.ui.passages import show_passage
from appliance.admin.ui.stagebars import SCALE_MS, scale_of, stage_bars
from appliance.events import Flag, Turn
from appliance.rehearsal.timeline import spans

SLOW_GAP_MS, BAD_GAP_MS = 800, 1500
"""A gap is coloured from these on: the first is what a caller notices as waiting (G.114 spends some
300 ms more on the line), the second what makes them speak again."""
SOURCE_WORDS = {
    "greeting": "greeting",
    "llm": "language model",
    "extractive": "quoted from a passage",
    "cached": "prepared answer",
    "prompt": "silence prompt",
    "hold": "hold phrase",
    "apology": "apology",
    "goodbye": "goodbye",
    "transfer": "transfer",
    "resume": "after a break",
}
"""Source of a reply -> its name for a person."""
OnSeek = Callable[[int], object]
"""Told the place of a turn, in ms of the media clock."""


class Transcript:
    """The turns of one call, oldest first; :meth:`add` goes on with them."""

    def __init__(self, view: View, on_seek: OnSeek | None, scale_ms: int) -> None:
        self._view = view
        self._on_seek = on_seek
        self._scale_ms = scale_ms
        self.root = ui.column().classes("transcript")
        self.root.props["role"] = "log"
        self.root.props["aria-label"] = view.t("Transcript")

    @property
    def html_id(self) -> str:
        """For ``Waveform(follow=…)``."""
        return self.root.html_id

    def add(self, turn: Turn, flags: Sequence[Flag] = ()) -> None:
        """One more turn, below the others."""
        with self.root, ui.column().classes("turn") as row:
            row.props["data-turn"] = str(turn.index)
            if turn.said:
                self._caller(turn)
            if turn.heard or turn.reply:
                self._agent(turn)
            self._notes(turn, flags)

    def _caller(self, turn: Turn) -> None:
        with ui.element("div").classes("bubble bubble--caller"):
            self._words(turn.said, turn.stages.speech_start)

    def _agent(self, turn: Turn) -> None:
        t = self._view.t
        with ui.element("div").classes("bubble bubble--agent"):
            if turn.heard:
                self._words(turn.heard, turn.stages.first_frame)
            if unheard := unheard_of(turn):
                ui.label(unheard).classes("bubble-unheard")
                cut = t("cut off by the caller") if turn.barged_in else t("written, not heard")
                ui.label(cut).classes("bubble-cut")

    def _words(self, words: str, at_ms: int | None) -> None:
        label = ui.label(words).classes("bubble-words")
        if self._on_seek is None or at_ms is None:
            return
        seek = self._on_seek
        label.classes("bubble-words--seek").props("tabindex=0 role=button")
        label.on("click", lambda: seek(at_ms)).on("keydown.enter", lambda: seek(at_ms))

    def _notes(self, turn: Turn, flags: Sequence[Flag]) -> None:
        t = self._view.t
        with ui.row().classes("turn-notes"):
            if turn.gap_ms is not None:
                ui.label(f"{turn.gap_ms} ms").classes(f"chip num {gap_chip(turn.gap_ms)}").tooltip(
                    t("From the caller's last sound to the agent's first")
                )
            ui.label(t(SOURCE_WORDS[turn.source])).classes("chip")
            if turn.barged_in:
                ui.label(t("interrupted")).classes("chip")
            for flag in flags:
                chip = "chip--bad" if flag.severity == "high" else "chip--warn"
                with ui.link(target=f"/flags/{flag.id}").classes(f"chip {chip}"):
                    ui.icon("flag").props("size=12px")
                    ui.label(flag.rule)
            for passage in turn.passages:
                show_passage(self._view, passage)
        if turn.failure:
            ui.label(turn.failure).classes("turn-failure").props("role=alert")
        if turn.gap_ms is not None and spans(turn.stages):
            stage_bars(self._view, turn, self._scale_ms)


def transcript(
    view: View,
    turns: Sequence[Turn],
    on_seek: OnSeek | None = None,
    flags: Sequence[Flag] = (),
) -> Transcript:
    """Draw ``turns``; a click on what was said tells ``on_seek`` where it lies."""
    scale_ms = scale_of(list(turns)) if turns else SCALE_MS
    drawn = Transcript(view, on_seek, scale_ms)
    for turn in turns:
        drawn.add(turn, [flag for flag in flags if flag.turn == turn.index])
    return drawn


def unheard_of(turn: Turn) -> str:
    """What was written and never played: the rest of the reply after what was heard."""
    reply, heard = turn.reply.strip(), turn.heard.strip()
    return reply[len(heard) :].strip() if reply.startswith(heard) else ""


def gap_chip(gap_ms: float) -> str:
    """The chip's colour for a gap."""
    if gap_ms >= BAD_GAP_MS:
        return "chip--bad"
    return "chip--warn" if gap_ms >= SLOW_GAP_MS else "chip--good"
