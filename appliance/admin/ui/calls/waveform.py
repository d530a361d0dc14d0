"""The stereo waveform player: a canvas, an audio element and the marks of a call on one clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from nicegui import ui

from appliance.admin.ui.calls.marks import Mark
from appliance.admin.ui.words import Translate


class Waveform(ui.element, component="waveform.js"):
    """Caller above, agent below. Space plays, arrows seek, + and - zoom; a click seeks.

    Emits ``turn`` with a turn's index whenever playback comes to another one.
    """

    def __init__(
        self,
        peaks_url: str,
        audio_url: str,
        marks: Sequence[Mark],
        duration_ms: int,
        *,
        t: Translate,
        start_ms: int = 0,
        follow: str = "",
    ) -> None:
        """``peaks_url``: answers as ``GET /calls/{id}/waveform``; empty: only the marks are drawn.
        ``audio_url``: a WAV, by Range; empty: nothing can be played. ``start_ms``: where playback
        begins, shown closer. ``follow``: ``Transcript.html_id``, scrolled in step with playback."""
        super().__init__()
        self._props["peaksUrl"] = peaks_url
        self._props["audioUrl"] = audio_url
        self._props["marks"] = [asdict(mark) for mark in marks]
        self._props["durationMs"] = duration_ms
        self._props["startMs"] = start_ms
        self._props["follow"] = follow
        self._props["words"] = _words(t)
        self.classes("wave-root")

    def seek(self, ms: int) -> None:
        """Go to that place; goes on playing if it does."""
        self.run_method("seek", ms)

    def play_from(self, ms: int) -> None:
        """Go to that place and play."""
        self.run_method("play_from", ms)

    def pause(self) -> None:
        """Stop where it is."""
        self.run_method("pause")

    def set_marks(self, marks: Sequence[Mark]) -> None:
        """Draw other marks."""
        self._props["marks"] = [asdict(mark) for mark in marks]
        self.update()


def _words(t: Translate) -> dict[str, str]:
    return {
        "play": t("Play"),
        "pause": t("Pause"),
        "speed": t("Playback speed"),
        "in": t("Zoom in"),
        "out": t("Zoom out"),
        "position": t("Position in the recording"),
        "caller": t("Caller"),
        "agent": t("Agent"),
        "gap": t("wait for the answer"),
        "flag": t("flag"),
        "loading": t("Loading the waveform …"),
        "failed": t("The recording cannot be loaded."),
    }
