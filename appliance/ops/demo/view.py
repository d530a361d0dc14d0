"""A call made visible in the terminal: one line an event, then a table of every turn's stages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from appliance.events import Stages, Turn

_MARKS: dict[str, str] = {
    "speculation": "begun",
    "retrieval": "found",
    "first_token": "text",
    "first_phrase": "phrase",
    "final": "final",
    "turn_given": "floor",
    "first_audio": "voice",
    "first_frame": "frame",
}


class View:
    """Prints a call's live events."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._partial = ""

    def show(self, event: dict[str, Any]) -> None:
        """Print one event of the worker's ``/watch``."""
        match event:
            case {"event": "call", "did": did, "agent": agent}:
                self._line(event, "call", f"to {did}, answered by {agent}", "bold")
            case {"event": "partial", "text": text} if text and text != self._partial:
                self._partial = text
                self._line(event, "caller …", text, "dim cyan")
            case {"event": "turn", "said": said}:
                self._line(event, "caller", said, "bold cyan")
            case {"event": "audible", "source": source, "found": found, "gap_ms": gap}:
                self._audible(event, source, found, gap)
            case {"event": "phrase", "text": text}:
                self._line(event, "agent", text, "magenta")
            case {"event": "yield"}:
                self._line(event, "barge-in", "the caller speaks: the agent stops", "bold yellow")
            case {"event": "carry_on"}:
                self._line(event, "", "nothing was said: the agent goes on", "yellow")
            case {"event": "key", "digit": digit}:
                self._line(event, "key", digit, "bold cyan")
            case {"event": "turn_over", "turn": {"barged_in": True, "heard": heard}}:
                self._line(event, "", f"cut off; the caller heard: “{heard}”", "yellow")
            case {"event": "end", "cause": cause, "by": by}:
                self._line(event, "end", f"{cause}, by the {by}", "bold")

    def _audible(
        self, event: dict[str, Any], source: str, found: list[dict[str, Any]], gap: int | None
    ) -> None:
        if found:
            best = found[0]
            self._line(event, "found", f"{best['heading']}  ({best['score']:.2f})", "green")
        if gap is not None:
            self._line(event, "", f"{source} answer, {gap} ms after the caller’s last sound", "dim")

    def _line(self, event: dict[str, Any], who: str, text: str, style: str) -> None:
        at = f"{event['ms'] / 1000:7.2f} s"
        line = f"[dim]{at}[/]  [{style}]{who:<9} {escape(text)}[/]"
        self._console.print(line, soft_wrap=True)


def stage_table(turns: Sequence[Turn]) -> Table:
    """Every turn's stages, in ms from the end of the caller's speech."""
    title = "\nEvery turn, in ms from the end of the caller’s speech"
    table = Table(title=title, title_justify="left", box=SIMPLE, pad_edge=False)
    table.add_column("", justify="right")
    table.add_column("turn", no_wrap=True)
    for name in (*_MARKS.values(), "gap"):
        table.add_column(name, justify="right", no_wrap=True)
    for turn in turns:
        what = turn.source + (", kept" if turn.kept_speculation else "")
        what += ", cut off" if turn.barged_in else ""
        gap = "" if turn.gap_ms is None else f"[bold]{turn.gap_ms}[/]"
        table.add_row(str(turn.index), what, *_cells(turn.stages), gap)
    return table


def _cells(stages: Stages) -> list[str]:
    zero = stages.speech_end
    if zero is None:
        return ["" for _ in _MARKS]
    marks = (getattr(stages, name) for name in _MARKS)
    return ["" if at is None else f"{at - zero:+d}" for at in marks]
