"""One call in progress: who, what is being said, and what may be done."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Literal, cast

from nicegui import background_tasks, ui

from appliance.access.roles import Permission
from appliance.admin.api.app import PREFIX
from appliance.admin.live.view import LiveCallView
from appliance.admin.services import live as service
from appliance.admin.services.live import Controls, Mode
from appliance.admin.ui.live.elements import LiveSound, LiveTalk
from appliance.admin.ui.live.words import STATE_ICONS, STATE_WORDS
from appliance.admin.ui.page import SESSIONS, Handler, View

log = logging.getLogger(__name__)

BETWEEN_S = 0.3
CONNECT_S = 10.0
LONGEST_SAY_LETTERS = 500
Ask = Callable[[], Awaitable[None]]


class OneCall:
    """The panel beside the list; :meth:`close` it before it is taken away."""

    def __init__(self, view: View, call: LiveCallView, on_close: Handler) -> None:
        self._view = view
        self._call = call
        self._listens = False
        self._buttons: dict[str, tuple[ui.button, ui.tooltip]] = {}
        self._draw(on_close)
        self._show(call)
        self._following = background_tasks.create(self._follow())
        view.client.on_delete(lambda: self._following.cancel())

    def close(self) -> None:
        """Follow it no more."""
        self._following.cancel()
        self._sound.stop()

    # --- drawing ----------------------------------------------------------------------------------

    def _draw(self, on_close: Handler) -> None:
        t, call = self._view.t, self._call
        with ui.row().classes("toolbar live-head"):
            ui.label(call.caller or t("unknown")).classes("mono live-title")
            self._chip = ui.element("span").classes("chip live-chip")
            with self._chip:
                self._icon = ui.icon("call").props("size=14px")
                self._state = ui.label("")
            ui.element("div").classes("grow")
            with ui.button(icon="more_vert").props("flat dense round") as more:
                more.props["aria-label"] = t("More")
                with ui.menu(), ui.column().classes("live-more"):
                    self._button(
                        "ring_listen", "phone_in_talk", t("Listen by telephone"),
                        self._taking("listen"),
                    )  # fmt: skip
                    self._button(
                        "whisper", "interpreter_mode", t("Speak to the person who has the call"),
                        self._taking("whisper"),
                    )  # fmt: skip
            close = ui.button(icon="close", on_click=on_close).props("flat dense round")
            close.props["aria-label"] = t("Close")
        self._about = ui.label("").classes("muted small")
        with ui.row().classes("live-actions"):
            self._button("listen", "hearing", t("Listen"), self._listen)
            self._button("say", "record_voice_over", t("Tell the agent"), self._ask_to_say)
            self._button("transfer", "phone_forwarded", t("Transfer"), self._ask_to_transfer)
            self._button("take_over", "support_agent", t("Take over"), self._taking("take-over"))
            self._button("hang_up", "call_end", t("Hang up"), self._hang_up, "color=negative")
        self._sound = LiveSound(t)
        self._sound.on("ended", self._view.act(self._stopped))
        self._talk = LiveTalk(t)
        self._link = ui.link(t("Open in the log"), f"/calls/{call.call_id}").classes("small")
        self._link.set_visibility(self._view.actor.may(Permission.CALLS_READ))

    def _button(self, name: str, icon: str, words: str, work: Ask, props: str = "") -> None:
        async def done() -> None:
            await work()

        button = ui.button(words, icon=icon, on_click=self._view.act(done))
        button.props(f"outline dense no-caps {props}").classes("live-action")
        button.props["data-action"] = name
        with button:
            self._buttons[name] = button, ui.tooltip("")

    def _show(self, call: LiveCallView) -> None:
        view, t = self._view, self._view.t
        self._call = call
        self._chip.classes(replace=f"chip live-chip live-chip--{call.state.value}")
        self._icon.set_name(STATE_ICONS[call.state])
        self._state.set_text(t(STATE_WORDS[call.state]))
        version = t("draft") if not call.agent_version else f"v{call.agent_version}"
        facts = [
            f"→ {call.did}", f"{call.agent_name} {version}", call.language, call.trunk,
            f"→ {call.to}" if call.to else "", call.answered_by,
            f"{call.cause}, {t(call.ended_by)}" if call.ended_by else "",
        ]  # fmt: skip
        self._about.set_text(" · ".join(filter(None, facts)))
        self._enable(service.controls(view.console, view.actor, call))
        self._talk.show(call)

    def _enable(self, may: Controls) -> None:
        t = self._view.t
        for name, (button, tooltip) in self._buttons.items():
            why: str = getattr(may, name)
            if name == "listen" and self._listens:
                why = ""
            button.set_enabled(not why)
            tooltip.set_text(t(why))
            tooltip.set_visibility(bool(why))

    async def _follow(self) -> None:
        view = self._view
        try:
            await view.client.connected(CONNECT_S)
            following = service.following(view.console, view.actor, self._call.call_id)
            async with following as changes:
                async for change in changes:
                    if view.client.id not in SESSIONS:
                        return
                    with view.client:
                        for call in change.calls:
                            self._show(call)
                    if change.gone:
                        return  # it stays on the page as it ended
                    await asyncio.sleep(BETWEEN_S)
        except TimeoutError:
            pass  # nobody ever saw this page
        except Exception:  # the border of a job
            log.exception("! one live call is not followed any more")

    # --- listening --------------------------------------------------------------------------------

    async def _listen(self) -> None:
        if self._listens:
            self._sound.stop()
            self._set_listening(False)
            return
        view = self._view
        call = await service.read_call(view.console, view.actor, self._call.call_id)
        if why := service.controls(view.console, view.actor, call).listen:
            view.notify(view.t(why), "warning")
            return
        self._set_listening(True)
        self._sound.start(f"{PREFIX}/live/calls/{call.call_id}/sound")

    async def _stopped(self, event: object) -> None:
        reason = str(getattr(event, "args", "") or "")
        if self._listens and reason:
            self._view.notify(self._view.t(reason), "warning")
        self._set_listening(False)

    def _set_listening(self, on: bool) -> None:
        self._listens = on
        button = self._buttons["listen"][0]
        button.set_text(self._view.t("Stop listening") if on else self._view.t("Listen"))
        button.props["aria-pressed"] = "true" if on else "false"

    # --- acting -----------------------------------------------------------------------------------

    async def _hang_up(self) -> None:
        view, t = self._view, self._view.t
        question = t("End this call? The caller hears the line go dead.")
        if await view.confirm(question, t("Hang up"), danger=True):
            await service.hang_up(view.console, view.actor, self._call.call_id)

    async def _ask_to_say(self) -> None:
        view, t = self._view, self._view.t
        text = await self._ask(
            t("Tell the agent"),
            t("It keeps to this for its next answers; the caller does not hear it."),
            t("For example: offer a refund"), t("Tell"), LONGEST_SAY_LETTERS,
        )  # fmt: skip
        if text:
            await service.say(view.console, view.actor, self._call.call_id, text)
            view.notify(t("The agent has been told."))

    async def _ask_to_transfer(self) -> None:
        view, t = self._view, self._view.t
        with view.client, ui.dialog() as dialog, ui.card().classes("dialog"):
            ui.label(t("Transfer")).classes("panel-title")
            to = ui.input(t("To"), placeholder="queue:support").props("outlined dense autofocus")
            to.classes("wide")
            ui.label(t("queue:NAME, an extension, or a number.")).classes("help")
            mode = ui.radio(
                {"attended": t("The person hears a summary first"), "blind": t("At once")},
                value="attended",
            )
            to.on("keydown.enter", lambda: dialog.submit(True))
            self._dialog_buttons(dialog, t("Transfer"))
        chosen = bool(await dialog)
        target, how = str(to.value or ""), cast(Literal["attended", "blind"], mode.value)
        dialog.delete()
        if chosen:
            await service.transfer(view.console, view.actor, self._call.call_id, target, how)
            view.notify(t("A person is being fetched."))

    def _taking(self, mode: Mode) -> Ask:
        t = self._view.t
        explained = {
            "listen": t("Your telephone rings; you hear both, nobody hears you."),
            "whisper": t("Your telephone rings; the person hears you, the caller does not."),
            "take-over": t("Your telephone rings; when you answer, the caller is yours."),
        }[mode]

        async def ask() -> None:
            view = self._view
            extension = await self._ask(
                t("Your telephone"), explained, t("Extension, such as 2001"), t("Ring it"), 6
            )
            if extension:
                call_id = self._call.call_id
                await service.supervise(view.console, view.actor, call_id, extension, mode)
                view.notify(t("Your telephone rings."))

        return ask

    async def _ask(
        self, title: str, explained: str, example: str, button: str, longest: int
    ) -> str:
        """One line of text; empty: they would rather not."""
        with self._view.client, ui.dialog() as dialog, ui.card().classes("dialog"):
            ui.label(title).classes("panel-title")
            ui.label(explained).classes("muted")
            field = ui.input(placeholder=example).props(f"outlined dense maxlength={longest}")
            field.props("autofocus").classes("wide")
            field.props["aria-label"] = title
            field.on("keydown.enter", lambda: dialog.submit(True))
            self._dialog_buttons(dialog, button)
        chosen = bool(await dialog)
        text = str(field.value or "").strip()
        dialog.delete()
        return text if chosen else ""

    def _dialog_buttons(self, dialog: ui.dialog, yes: str) -> None:
        with ui.row().classes("dialog-buttons"):
            no = self._view.t("Cancel")
            ui.button(no, on_click=lambda: dialog.submit(False)).props("flat")
            ui.button(yes, on_click=lambda: dialog.submit(True)).props("unelevated")
