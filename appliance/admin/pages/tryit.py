"""Talk to an agent from the browser, or by typing: its draft or its version in force."""

from __future__ import annotations

from contextlib import suppress

from nicegui import background_tasks, ui

from appliance.access.actor import NotFoundError
from appliance.access.roles import Permission
from appliance.admin.live.state import CallState
from appliance.admin.services import agents, tryit
from appliance.admin.services.tryit import Trying
from appliance.admin.ui.layout import crumbs
from appliance.admin.ui.page import Handler, View, in_background, page
from appliance.admin.ui.tryit.replay import Replays
from appliance.admin.ui.tryit.sound import Sound, SoundOffer
from appliance.admin.ui.tryit.talk import Findings, Talk
from appliance.media.protocol import LONGEST_TYPED_LETTERS
from appliance.store.agent_views import AgentSummary

KEYPAD = "123456789*0#"
LEFT_S = 5.0
"""Whoever has left the page for this long has hung up."""


@page("/agents/{agent_id}/try", Permission.AGENTS_TRY, "Try it", nav="/agents", away_s=LEFT_S)
async def try_agent(view: View, agent_id: str, draft: int = 0) -> None:
    """``draft=1``: the draft is chosen, if there is one."""
    agent = await agents.agent(view.console, view.actor, agent_id)
    t = view.t
    with ui.row().classes("toolbar"):
        crumbs(t("Try it"), (t("Agents"), "/agents"), (agent.name, f"/agents/{agent.id}"))
    TryPage(view, agent, draft=bool(draft))


class TryPage:
    """One call after the other with one agent."""

    def __init__(self, view: View, agent: AgentSummary, *, draft: bool) -> None:
        self._view = view
        self._agent = agent
        self._call_id = ""
        self._is_calling = False
        """The button was pressed; the browser makes ready."""
        self._to_say = ""
        """Typed before there was a call: said once the agent listens."""
        self._last: Trying | None = None
        with ui.element("div").classes("side-by-side"):
            with ui.column().classes("panel try-panel"):
                act = view.act
                self._head = Head(view, agent, draft, act(self._press), act(self._begin))
                self._sound = self._head.sound
                self._trouble = ui.label().classes("notice notice--bad").props("role=alert")
                self._trouble.set_visibility(False)
                self._talk = Talk(view)
                self._text = _typing(view, self._send)
            with ui.column().classes("try-beside"):
                _keypad(view, self._key)
                self._findings = Findings(view)
                self._after = ui.column().classes("panel")
                self._after.set_visibility(False)
        self._replays = Replays(view, agent.id, lambda: self._head.draft)
        view.client.on_delete(self._left)

    # --- what the person does ---------------------------------------------------------------------

    async def _press(self, _: object = None) -> None:
        """The big button."""
        if self._call_id:
            await tryit.hang_up(self._view.console, self._view.actor, self._call_id)
        elif self._is_calling:
            self._stop()
        else:
            self._ring()

    def _ring(self) -> None:
        self._is_calling, self._to_say, self._last = True, "", None
        self._trouble.set_visibility(False)
        self._after.set_visibility(False)
        self._talk.reset()
        self._findings.reset()
        self._head.show_busy(True)
        self._sound.start(microphone=self._head.microphone)

    async def _begin(self, offer: SoundOffer) -> None:
        """The browser is ready, with sound or without."""
        if not self._is_calling or self._call_id:
            return
        view, head = self._view, self._head
        try:
            begun = await tryit.begin(
                view.console, view.actor, self._agent.id,
                draft=head.draft, sdp=offer.sdp or None, wideband=head.wideband,
            )  # fmt: skip
        except BaseException:
            self._stop()
            raise
        self._call_id = begun.call_id
        if begun.answer:
            self._sound.answer(begun.answer)
        in_background(view, self._follow(begun.call_id))

    async def _send(self, text: str) -> None:
        if self._call_id:
            await tryit.say(self._view.console, self._view.actor, self._call_id, text)
        elif not self._is_calling:
            self._ring()
            self._to_say = text
        self._text.set_value("")

    async def _key(self, digit: str) -> None:
        if self._call_id:
            await tryit.press(self._view.console, self._view.actor, self._call_id, digit)

    def _left(self) -> None:
        """The page has gone: nobody talks any more."""
        if self._call_id:  # not by ``act``: to the page, the session is over by now
            background_tasks.create(_hang_up(self._view, self._call_id), name="hang up")

    # --- what happens -----------------------------------------------------------------------------

    async def _follow(self, call_id: str) -> None:
        view = self._view
        try:
            async for now in tryit.follow(view.console, view.actor, call_id):
                with view.client:
                    await self._show(now)
        finally:
            with view.client:
                self._over(call_id)

    async def _show(self, now: Trying) -> None:
        self._last = now
        self._head.show_state(now.state)
        self._talk.show(now)
        self._findings.show(now)
        if now.trouble:
            self._trouble.set_text(self._view.t(now.trouble))
            self._trouble.set_visibility(True)
        if self._to_say and now.turns and now.state is CallState.LISTENING:
            text, self._to_say = self._to_say, ""
            await tryit.say(self._view.console, self._view.actor, now.call_id, text)

    def _over(self, call_id: str) -> None:
        self._stop()
        view, t = self._view, self._view.t
        self._after.clear()
        self._after.set_visibility(True)
        with self._after:
            ui.label(t("After the call")).classes("panel-title")
            if view.actor.may(Permission.CALLS_READ):
                ui.link(t("Open this call: recording, waveform, passages"), f"/calls/{call_id}")
            ui.link(t("Back to the agent"), f"/agents/{self._agent.id}")
        if self._last is not None:
            self._replays.remember(self._last)

    def _stop(self) -> None:
        self._call_id, self._is_calling = "", False
        self._sound.stop()
        self._head.show_busy(False)


class Head:
    """Who is called, in which version, with which sound; the button, and what the agent does."""

    def __init__(
        self, view: View, agent: AgentSummary, draft: bool, press: Handler, on_offer: Handler
    ) -> None:
        self._t = t = view.t
        self._agent = agent
        self._has_draft = agent.draft_revision > 0
        with ui.row().classes("toolbar"):
            self._button = ui.button(icon="call", on_click=press)
            self._button.props("round unelevated size=lg").classes("try-call")
            with ui.column().classes("try-who grow"):
                ui.label(agent.name).classes("panel-title")
                with ui.row().classes("try-chips"):
                    self._state = ui.label().classes("chip").props("aria-live=polite")
                    ui.label(agent.language).classes("chip")
                    self._version = ui.label().classes("chip")
            self._which = ui.toggle(
                {False: t("Published"), True: t("Draft")},
                value=(draft and self._has_draft) or not agent.version,
                on_change=self._name_version,
            )
            self._which.props("dense no-caps unelevated padding='4px 14px'")
        with ui.row().classes("toolbar"):
            self._microphone = ui.checkbox(t("Microphone"), value=True).props("dense")
            self.sound = Sound(t, on_offer)
            ui.space()
            self._band = ui.select(
                {False: t("Telephone, 8 kHz"), True: t("Wideband, 16 kHz")}, value=False
            ).props(f'dense outlined options-dense aria-label="{t("Sound")}"')
        self._name_version()
        self.show_busy(False)

    @property
    def draft(self) -> bool:
        return bool(self._which.value)

    @property
    def wideband(self) -> bool:
        return bool(self._band.value)

    @property
    def microphone(self) -> bool:
        return bool(self._microphone.value)

    def show_busy(self, busy: bool) -> None:
        """A call begins, or is over."""
        t, button = self._t, self._button
        button.props(f"icon={'call_end' if busy else 'call'}")
        button.props(f"color={'negative' if busy else 'positive'}")
        button.props["aria-label"] = t("Hang up") if busy else t("Call the agent")
        button.update()
        self._which.set_enabled(not busy and self._has_draft and self._agent.version > 0)
        self._band.set_enabled(not busy)
        self._microphone.set_enabled(not busy)
        self._name_state(t("Connecting") if busy else t("Not connected"), "")

    def show_state(self, state: CallState) -> None:
        """What the agent does."""
        t = self._t
        match state:
            case CallState.RINGING:
                self._name_state(t("Connecting"), "")
            case CallState.LISTENING:
                self._name_state(t("Listening"), "chip--good")
            case CallState.THINKING:
                self._name_state(t("Thinking"), "chip--warn")
            case CallState.SPEAKING:
                self._name_state(t("Speaking"), "chip--accent")
            case CallState.TRANSFERRING:
                self._name_state(t("Connecting to a person"), "chip--warn")
            case CallState.BOT:
                self._name_state(t("An external bot answers"), "chip--accent")
            case _:
                self._name_state(t("Call over"), "")

    def _name_state(self, words: str, chip: str) -> None:
        self._state.set_text(words)
        self._state.classes(replace=f"chip try-state {chip}")

    def _name_version(self, _: object = None) -> None:
        t = self._t
        version = t("version {number}").format(number=self._agent.version)
        self._version.set_text(t("draft") if self.draft else version)


def _typing(view: View, send: Handler) -> ui.input:
    """The line that is typed in place of speaking; Enter sends."""
    t = view.t
    with ui.row().classes("try-typing"):
        text = ui.input(placeholder=t("Type what a caller would say, then Enter"))
        label = t("Say in writing")
        text.props(f'outlined dense maxlength={LONGEST_TYPED_LETTERS} aria-label="{label}"')
        text.classes("grow")

        async def sent(_: object = None) -> None:
            if words := " ".join((text.value or "").split()):
                await send(words)

        text.on("keydown.enter", view.act(sent))
        button = ui.button(icon="send", on_click=view.act(sent)).props("flat round")
        button.props(f'aria-label="{t("Send")}"')
    return text


def _keypad(view: View, press: Handler) -> None:
    with ui.column().classes("panel"):
        ui.label(view.t("Keypad")).classes("panel-title")
        with ui.element("div").classes("try-keys"):
            for digit in KEYPAD:
                key = ui.button(digit).props("outline dense").classes("try-key")
                key.on_click(view.act(_pressing(press, digit)))


def _pressing(press: Handler, digit: str) -> Handler:
    async def pressed(_: object = None) -> None:
        await press(digit)

    return pressed


async def _hang_up(view: View, call_id: str) -> None:
    with suppress(NotFoundError):
        await tryit.hang_up(view.console, view.actor, call_id)
