"""A call as bubbles: what the caller said, what they truly heard, what was written and cut off; below
each answer its gap, the passages that it rests on, and where the wait went."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import quote

from nicegui import ui
from nicegui.events import GenericEventArguments

from appliance.admin.ui.calls.passages import open_passage, place_of
from appliance.admin.ui.calls.stagebars import (
    SCALE_MS,
    marks_in_words,
    pieces_of,
    scale_of,
    slowest_in_words,
)
from appliance.admin.ui.page import View
from appliance.admin.ui.words import Translate
from appliance.events import Flag, Passage, Turn

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

OnFlag = Callable[[int], Awaitable[None]]
"""Told the index of a turn whose answer somebody wants looked at."""


class _Bubbles(ui.element, component="transcript.js"):
    """All turns; ``turns`` are rows as :func:`_row` makes them."""


class Transcript:
    """The turns of one call, oldest first; :meth:`add` goes on with them."""

    def __init__(
        self, view: View, on_seek: OnSeek | None, on_flag: OnFlag | None, scale_ms: int
    ) -> None:
        self._view = view
        self._on_seek = on_seek
        self._on_flag = on_flag
        self._scale_ms = scale_ms
        self._rows: list[dict[str, Any]] = []
        self._passages: dict[int, Sequence[Passage]] = {}
        self.root = _Bubbles()
        self.root.props["turns"] = self._rows
        self.root.props["words"] = _words(view.t)
        self.root.props["seekable"] = on_seek is not None
        self.root.props["flaggable"] = on_flag is not None
        self.root.on("seek", self._seek).on("passage", self._open, ["turn", "number"])
        self.root.on("flag", view.act(self._flag))

    @property
    def html_id(self) -> str:
        """For ``Waveform(follow=…)``."""
        return self.root.html_id

    def add(self, turn: Turn, flags: Sequence[Flag] = ()) -> None:
        """One more turn, below the others."""
        self.add_all([turn], flags)

    def add_all(self, turns: Sequence[Turn], flags: Sequence[Flag] = ()) -> None:
        """More turns; each gets those of ``flags`` that are its own."""
        for turn in turns:
            mine = [flag for flag in flags if flag.turn == turn.index]
            self._rows.append(_row(self._view, turn, mine, self._scale_ms))
            self._passages[turn.index] = turn.passages
        self.root.props["turns"] = list(self._rows)
        self.root.update()

    def _seek(self, event: GenericEventArguments) -> None:
        if self._on_seek is not None and isinstance(event.args, int | float):
            self._on_seek(int(event.args))

    async def _flag(self, event: GenericEventArguments) -> None:
        if self._on_flag is not None and isinstance(event.args, int):
            await self._on_flag(event.args)

    def _open(self, event: GenericEventArguments) -> None:
        turn, number = event.args.get("turn"), event.args.get("number")
        passages = self._passages.get(turn, ())
        if isinstance(number, int) and 0 <= number < len(passages):
            open_passage(self._view, passages[number])


def transcript(
    view: View,
    turns: Sequence[Turn],
    on_seek: OnSeek | None = None,
    flags: Sequence[Flag] = (),
    on_flag: OnFlag | None = None,
) -> Transcript:
    """Draw ``turns``; a click on what was said tells ``on_seek`` where it lies, one on an answer's
    flag ``on_flag`` the index of the turn."""
    drawn = Transcript(view, on_seek, on_flag, scale_of(turns) if turns else SCALE_MS)
    drawn.add_all(turns, flags)
    return drawn


def _row(view: View, turn: Turn, flags: Sequence[Flag], scale_ms: int) -> dict[str, Any]:
    t, answered = view.t, turn.gap_ms is not None
    return {
        "index": turn.index,
        "said": turn.said,
        "said_at": turn.stages.speech_start,
        "heard": turn.heard,
        "heard_at": turn.stages.first_frame,
        "unheard": unheard_of(turn),
        "barged_in": turn.barged_in,
        "gap": f"{turn.gap_ms} ms" if answered else "",
        "gap_chip": gap_chip(turn.gap_ms) if turn.gap_ms is not None else "",
        "source": t(SOURCE_WORDS[turn.source]),
        "flags": [
            {
                "url": f"/flags?flag={quote(flag.id, safe='')}",
                "rule": flag.rule,
                "chip": "chip--bad" if flag.severity == "high" else "chip--warn",
            }
            for flag in flags
        ],
        "passages": [
            {"place": place_of(view, passage), "cited": passage.cited} for passage in turn.passages
        ],
        "failure": turn.failure,
        "bar": pieces_of(turn, scale_ms, t) if answered else [],
        "slowest": slowest_in_words(turn, t),
        "marks": marks_in_words(turn, t),
    }


def _words(t: Translate) -> dict[str, str]:
    return {
        "transcript": t("Transcript"),
        "cut": t("cut off by the caller"),
        "unheard": t("written, not heard"),
        "gap": t("From the caller's last sound to the agent's first"),
        "interrupted": t("interrupted"),
        "cited": t("The answer rests on this passage"),
        "slowest": t("slowest"),
        "flag": t("This answer was wrong"),
    }


def unheard_of(turn: Turn) -> str:
    """What was written and never played: the rest of the reply after what was heard."""
    reply, heard = turn.reply.strip(), turn.heard.strip()
    return reply[len(heard) :].strip() if reply.startswith(heard) else ""


def gap_chip(gap_ms: float) -> str:
    """The chip's colour for a gap."""
    if gap_ms >= BAD_GAP_MS:
        return "chip--bad"
    return "chip--warn" if gap_ms >= SLOW_GAP_MS else "chip--good"
