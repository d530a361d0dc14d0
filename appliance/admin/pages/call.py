"""One call: what was slow or wrong, the recording, what was said, which versions answered."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import quote

from nicegui import ui

from appliance.access.roles import Permission
from appliance.admin.api.app import PREFIX
from appliance.admin.services import calls as service
from appliance.admin.services import flags
from appliance.admin.services.calls import CallView
from appliance.admin.ui.calls.details import details
from appliance.admin.ui.calls.erasing import erase_button
from appliance.admin.ui.calls.marks import Mark, last_clock, marks_of, offset_of
from appliance.admin.ui.calls.stagebars import stage_legend
from appliance.admin.ui.calls.transcript import gap_chip, transcript
from appliance.admin.ui.calls.waveform import Waveform
from appliance.admin.ui.calls.words import (
    DIRECTION_WORDS,
    OUTCOME_CHIPS,
    OUTCOME_WORDS,
    clock,
    language_name,
    length_of,
    sentence,
    when,
)
from appliance.admin.ui.layout import crumbs
from appliance.admin.ui.page import View, page

_NOTICES = {"bad": "notice--bad", "warn": "notice--warn", "good": "notice--good"}
MOST_TROUBLES = 4
LOOK_S = 4.0
"""Between two looks at a recording that cannot be heard yet."""


@page("/calls/{call_id}", Permission.CALLS_READ, "Call", nav="/calls")
async def call(view: View, call_id: str, at: int = 0) -> None:
    """``at``: where playback begins, in ms: what a link from elsewhere points at."""
    found = await service.read_call(view.console, view.actor, call_id)
    drawn = _Page(view, found, max(at, 0))
    drawn.draw()
    if drawn.may_change():
        drawn.follow()


class _Page:
    """One call in one browser."""

    def __init__(self, view: View, found: CallView, start_ms: int) -> None:
        self._view = view
        self._found = found
        self._start_ms = start_ms
        self._wave: Waveform | None = None
        self._root = ui.column().classes("wide page-column")
        self._timer: ui.timer | None = None

    def may_change(self) -> bool:
        """Whether the recording cannot be heard yet, and may be soon: the call goes on, its file is
        being finished, or personal data in it is not beeped yet."""
        erased = self._found.logged.recording_erased_at is not None
        waits = bool(self._found.recording_trouble) and bool(self._found.logged.call.recording)
        return waits and not erased

    def follow(self) -> None:
        """Look again until it can be heard."""
        self._timer = ui.timer(LOOK_S, self._view.act(self._look), immediate=False)

    async def _look(self) -> None:
        was, view = self._found, self._view
        found = await service.read_call(view.console, view.actor, was.logged.call.call_id)
        same = found.recording_trouble == was.recording_trouble
        if same and found.logged.call.ended_at == was.logged.call.ended_at:
            return
        self._found = found
        self._root.clear()
        self.draw()
        if self._timer is not None and not self.may_change():
            self._timer.cancel()

    def draw(self) -> None:
        """All of it."""
        with self._root:
            self._draw()

    def _draw(self) -> None:
        self._heading()
        self._troubles()
        place = ui.column().classes("panel")  # drawn last: it follows the transcript
        with ui.element("div").classes("side-by-side"):
            with ui.column().classes("panel"):
                ui.label(self._view.t("What was said")).classes("panel-title")
                follow = self._transcript()
            details(self._view, self._found)
        with place:
            self._player(follow)

    def _heading(self) -> None:
        view, t = self._view, self._view.t
        logged, call = self._found.logged, self._found.logged.call
        now = datetime.now(UTC)
        with ui.row().classes("toolbar call-head"):
            crumbs(
                f"{call.caller or t('unknown number')} → {call.did}", (t("Calls"), "/calls")
            ).classes("num")
            chip = OUTCOME_CHIPS.get(logged.outcome, "")
            ui.label(t(OUTCOME_WORDS[logged.outcome])).classes(f"chip {chip}")
            ui.element("div").classes("grow")
            self._download()
            erase_button(view, self._found)
        with ui.row().classes("call-facts"):
            self._fact(t("When"), when(call.started_at, view.console.settings.switch.timezone))
            length = clock(length_of(call, now))
            self._fact(t("Length"), length if call.ended_at else f"{length} …")
            self._fact(t("Direction"), t(DIRECTION_WORDS[call.direction]))
            self._fact(t("Language"), language_name(call.language, t))
            self._fact(t("Turns"), str(len(self._found.turns)))
            for name, gap in ((t("Gap p50"), logged.gap_p50_ms), (t("Gap p95"), logged.gap_p95_ms)):
                if gap is not None:
                    self._fact(name, f"{gap} ms", gap_chip(gap))

    def _fact(self, name: str, value: str, chip: str = "") -> None:
        with ui.column().classes("call-fact"):
            ui.label(name).classes("stat-name")
            ui.label(value).classes(f"num {'chip ' + chip if chip else ''}")

    def _download(self) -> None:
        view = self._view
        if self._found.recording_trouble or not view.actor.may(Permission.RECORDINGS_DOWNLOAD):
            return
        link = ui.link(target=f"{self._url()}/recording/download").props("download")
        with link.classes("call-download"):
            ui.icon("download")
            ui.label(view.t("Download the recording"))

    def _troubles(self) -> None:
        t = self._view.t
        found = service.troubles_of(self._found)[:MOST_TROUBLES]
        worst = min((one.severity for one in found), key=("bad", "warn", "good").index)
        with ui.column().classes(f"notice call-troubles {_NOTICES[worst]}").props("role=status"):
            for one in found:
                with ui.row().classes("call-trouble"):
                    ui.label(sentence(one, t))
                    if one.turn is not None and (place := self._place_of(one.turn)) is not None:
                        button = ui.button(f"{t('turn')} {one.turn}", icon="my_location")
                        button.props("flat dense size=sm no-caps")
                        button.on_click(lambda _, ms=place: self._seek(ms))

    def _place_of(self, index: int) -> int | None:
        for turn in last_clock(self._found.turns):
            if turn.index == index:
                begin = turn.stages.speech_start
                place = begin if begin is not None else turn.stages.first_frame
                return None if place is None else place + self._offset_ms()
        return None

    def _transcript(self) -> str:
        found, t = self._found, self._view.t
        if found.logged.transcript_erased_at is not None:
            ui.label(t("What was said in it has been erased.")).classes("notice")
        elif not found.turns:
            ui.label(t("Nothing was said.")).classes("muted")
        known = [one.flag for one in found.flags]
        may = self._view.actor.may(Permission.FLAGS_DECIDE)
        on_flag = self._flag if may else None
        return transcript(self._view, found.turns, self._seek, known, on_flag).html_id

    async def _flag(self, turn: int) -> None:
        """Put an answer into the review queue, after a word about why."""
        view, t = self._view, self._view.t
        with view.client, ui.dialog() as dialog, ui.card().classes("dialog"):
            ui.label(t("Put this answer into the review queue?")).classes("dialog-text")
            note = ui.input(t("What is wrong with it?")).props("outlined dense autofocus")
            note.props("maxlength=500").classes("full-width")
            note.on("keydown.enter", lambda: dialog.submit(True))
            with ui.row().classes("dialog-buttons"):
                ui.button(t("Cancel"), on_click=lambda: dialog.submit(False)).props("flat")
                ui.button(t("Flag it"), on_click=lambda: dialog.submit(True)).props("unelevated")
        if await dialog:
            call_id = self._found.logged.call.call_id
            flag = await flags.flag_turn(view.console, view.actor, call_id, turn, note.value or "")
            ui.navigate.to(f"/flags?flag={quote(flag.flag.id, safe='')}")
        dialog.delete()

    def _seek(self, ms: int) -> None:
        if self._wave is not None:
            self._wave.seek(ms)

    def _player(self, follow: str) -> None:
        found, view, t = self._found, self._view, self._view.t
        may = view.actor.may(Permission.RECORDINGS_LISTEN)
        heard = may and not found.recording_trouble
        if found.recording_trouble:
            ui.label(t(found.recording_trouble)).classes("muted")
        elif not may:
            ui.label(t("Your role does not allow you to hear recordings.")).classes("muted")
        if len(found.recordings) > 1:
            text = t("The call was carried by several workers: this is the recording of the last.")
            ui.label(text).classes("help")
        marks = self._marks()
        if not marks and not heard:
            return
        url = self._url()
        self._wave = Waveform(
            f"{url}/waveform" if heard else "",
            f"{url}/recording" if heard else "",
            marks,
            self._duration_ms(marks),
            t=t,
            start_ms=self._start_ms,
            follow=follow,
        )
        if any(mark.kind == "stage" for mark in marks):
            stage_legend(view)
        ui.label(
            t("Space plays, ← → seek, ↑ ↓ go from turn to turn, + − zoom; a click seeks.")
        ).classes("help")

    def _marks(self) -> list[Mark]:
        turns = last_clock(self._found.turns)
        indices = {turn.index for turn in turns}
        found = [one.flag for one in self._found.flags if one.flag.turn in indices]
        return marks_of(turns, found, self._offset_ms())

    def _offset_ms(self) -> int:
        return offset_of(self._found.logged.call, last_clock(self._found.turns))

    def _duration_ms(self, marks: list[Mark]) -> int:
        call = self._found.logged.call
        last = max((mark.end_ms for mark in marks), default=0)
        return max(
            last, round(1000 * length_of(call, datetime.now(UTC))) if call.part == 1 else 0, 1
        )

    def _url(self) -> str:
        return f"{PREFIX}/calls/{quote(self._found.logged.call.call_id, safe='')}"
