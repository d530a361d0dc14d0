"""One flag: what was asked and answered, what is wrong with it, its sound, and what to do about it."""

from __future__ import annotations

import unicodedata
from collections.abc import Awaitable, Callable

from nicegui import ui

from appliance.access.roles import Permission
from appliance.admin.services import flags
from appliance.admin.services.flags import Shown
from appliance.admin.ui.calls.marks import Mark, marks_of
from appliance.admin.ui.calls.passages import show_passage
from appliance.admin.ui.calls.waveform import Waveform
from appliance.admin.ui.page import View
from appliance.admin.ui.review.fixing import Fixing
from appliance.admin.ui.review.words import (
    SEVERITY_TONES,
    STATE_TONES,
    action_words,
    category_words,
    found_by_words,
    severity_words,
    side_words,
    state_words,
)
from appliance.admin.ui.show import chip, when
from appliance.events import Flag
from appliance.store.flags import DecidedMeanwhileError, FlagState, ReviewedFlag

BEFORE_MS = 5000
"""Playback begins so long before the place."""
EARLIER_SHOWN = 3

Decided = Callable[[ReviewedFlag], Awaitable[None]]


class FlagCard:
    """The flag that is open; :meth:`open` shows another."""

    def __init__(self, view: View, decided: Decided) -> None:
        """``decided``: called with a flag that stands otherwise than before."""
        self._view = view
        self._decided = decided
        self._shown: Shown | None = None
        self._note: ui.input | None = None
        self._place = ui.column().classes("wide stack").props('aria-live="polite"')

    def clear(self) -> None:
        """Show none."""
        self._shown = None
        self._place.clear()

    async def open(self, flag_id: str) -> None:
        """Show the flag. Raises NotFoundError."""
        shown = await flags.show(self._view.console, self._view.actor, flag_id)
        self._draw(shown)

    def _draw(self, shown: Shown) -> None:
        view = self._view
        self._shown = shown
        self._place.clear()
        with self._place:
            with ui.column().classes("panel"):
                self._head(shown)
                _talk(view, shown)
                self._decision(shown)
            if shown.may_listen:
                _sound(view, shown)
            Fixing(view, shown, self._mended)

    def _head(self, shown: Shown) -> None:
        view, t = self._view, self._view.t
        reviewed, flag = shown.view.reviewed, shown.view.reviewed.flag
        with ui.row().classes("chips"):
            chip(severity_words(t, flag.severity), SEVERITY_TONES[flag.severity])
            chip(state_words(t, reviewed.state), STATE_TONES[reviewed.state])
            ui.label(category_words(t, flag.category)).classes("strong")
            ui.label(flag.rule).classes("mono muted")
            ui.space()
            if flag.call_id and view.actor.may(Permission.CALLS_READ):
                at = max(0, (flag.begin_ms or 0) - BEFORE_MS)
                ui.link(t("Open the call"), f"/calls/{flag.call_id}?at={at}").classes("button-link")
        facts = [
            side_words(t, flag.side),
            action_words(t, flag.action),
            t("found by {who}").format(who=found_by_words(t, flag.found_by)),
            t("agent {agent} version {n}").format(agent=flag.agent_id, n=flag.agent_version),
            when(view, flag.at),
        ]
        ui.label(" · ".join(facts)).classes("muted small")
        if reviewed.decided_by:
            who = t("{state} by {who}, {at}").format(
                state=state_words(t, reviewed.state),
                who=reviewed.decided_by,
                at=when(view, reviewed.decided_at),
            )
            with ui.column().classes("notice"):
                ui.label(who).classes("small")
                if reviewed.note:
                    ui.label(reviewed.note)

    def _decision(self, shown: Shown) -> None:
        view, t = self._view, self._view.t
        if not view.actor.may(Permission.FLAGS_DECIDE):
            return
        reviewed = shown.view.reviewed
        with ui.row().classes("toolbar review-decision"):
            self._note = ui.input(t("Note")).props("outlined dense maxlength=2000").classes("grow")
            if reviewed.state != "open":
                again = ui.button(t("Reopen"), icon="undo", on_click=view.act(self.reopen))
                again.props("outline")
                return
            wrong = ui.button(t("It was wrong"), icon="flag", on_click=view.act(self.confirm))
            wrong.props("unelevated color=negative").tooltip(t("Confirm: key c"))
            right = ui.button(t("Nothing wrong"), icon="check", on_click=view.act(self.dismiss))
            right.props("outline").tooltip(t("Dismiss: key d"))

    async def confirm(self) -> None:
        """It was wrong."""
        await self._decide("confirmed")

    async def dismiss(self) -> None:
        """Nothing was wrong."""
        await self._decide("dismissed")

    async def reopen(self) -> None:
        """To be decided again."""
        await self._decide("open")

    async def _decide(self, state: FlagState) -> None:
        view, shown = self._view, self._shown
        if shown is None or not view.actor.may(Permission.FLAGS_DECIDE):
            return
        now = shown.view.reviewed
        if state == now.state:
            return
        note = (self._note.value or "") if self._note else ""
        try:
            decided = await flags.decide(
                view.console, view.actor, now.flag.id, state, note, seen=now.state
            )
        except DecidedMeanwhileError as e:
            await self._was_quicker(e)
            return
        said = state_words(view.t, decided.reviewed.state)
        if decided.withdrawn:
            said += ". " + view.t("{n} answers made in advance are no longer said.").format(
                n=decided.withdrawn
            )
        view.notify(said)
        await self.open(now.flag.id)
        await self._decided(decided.reviewed)

    async def _was_quicker(self, error: DecidedMeanwhileError) -> None:
        """Somebody else has decided: say who and what, and show the flag as it is now."""
        view, t, now = self._view, self._view.t, error.now
        view.notify(
            t("{who} was quicker: this flag is {state} now. Nothing of yours is lost.").format(
                who=now.decided_by or "?", state=state_words(t, now.state)
            ),
            "info",
        )
        await self.open(now.flag.id)

    async def _mended(self, flag_id: str) -> None:
        """The question was asked again: draw the flag with both answers."""
        await self.open(flag_id)


def _talk(view: View, shown: Shown) -> None:
    t, flag = view.t, shown.view.reviewed.flag
    for said, heard in shown.view.earlier[-EARLIER_SHOWN:]:
        ui.label(f"{said} → {heard}").classes("muted small review-earlier")
    if flag.question:
        with ui.column().classes("bubble bubble--caller"):
            if flag.side == "caller":
                _marked(flag.question, flag.phrase)
            else:
                ui.label(flag.question).classes("bubble-words")
    if flag.answer:
        with ui.column().classes("bubble bubble--agent"):
            if flag.side == "agent":
                _marked(flag.answer, flag.phrase)
            else:
                ui.label(flag.answer).classes("bubble-words")
    where = flag.question if flag.side == "caller" else flag.answer
    if flag.phrase and _find(where, flag.phrase) is None:
        with ui.row().classes("fact"):
            ui.label(t("What was found")).classes("muted")
            with ui.element("mark"):
                ui.label(flag.phrase)
    passages = shown.view.turn.passages if shown.view.turn else ()
    if passages:
        with ui.row().classes("chips"):
            for passage in passages:
                show_passage(view, passage)


def _find(text: str, phrase: str) -> tuple[int, int] | None:
    """Where ``phrase`` stands in ``text``; a guard tells it in lower case, in NFKC."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    wanted = unicodedata.normalize("NFKC", phrase).casefold().strip()
    at = folded.find(wanted) if wanted and len(folded) == len(text) else -1
    return (at, at + len(wanted)) if at >= 0 else None


def _marked(text: str, phrase: str) -> None:
    """``text`` with ``phrase`` marked in it; both as text."""
    place = _find(text, phrase)
    with ui.element("div").classes("marked bubble-words"):
        if place is None:
            ui.label(text)
            return
        begin, end = place
        if begin:
            ui.label(text[:begin])
        with ui.element("mark"):
            ui.label(text[begin:end])
        if text[end:]:
            ui.label(text[end:])


def _sound(view: View, shown: Shown) -> None:
    """The recording at the spot."""
    t, flag, call = view.t, shown.view.reviewed.flag, shown.view.call
    if call is None or flag.begin_ms is None:
        return
    length_ms = flag.begin_ms + 2 * BEFORE_MS
    if call.ended_at is not None:
        length_ms = max(length_ms, round((call.ended_at - call.started_at).total_seconds() * 1000))
    url = f"/api/v1/calls/{call.call_id}"
    with ui.column().classes("panel"):
        with ui.row().classes("toolbar"):
            ui.label(t("The sound at the spot")).classes("panel-title grow")
            ui.link(t("Only this piece, as a file"), f"/api/v1/flags/{flag.id}/excerpt").classes(
                "small"
            ).props("download=flag.wav")
        Waveform(
            f"{url}/waveform",
            f"{url}/recording",
            _marks(shown, flag),
            length_ms,
            t=t,
            start_ms=max(0, flag.begin_ms - BEFORE_MS),
        )


def _marks(shown: Shown, flag: Flag) -> list[Mark]:
    turns = [shown.view.turn] if shown.view.turn else []
    return marks_of(turns, [flag])
