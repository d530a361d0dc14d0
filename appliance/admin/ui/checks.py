"""The doctor's checks on the System page: what each found, and a button to look again."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from nicegui import ui

from appliance.admin.rounds import Round
from appliance.admin.services import doctor as service
from appliance.admin.ui.page import View
from appliance.admin.ui.show import sentence
from appliance.ops.doctor.check import Finding, State
from appliance.ops.doctor.run import Outcome

CHIPS = {
    State.GOOD: "chip--good", State.WARNING: "chip--warn", State.BAD: "chip--bad",
    State.SKIPPED: "",
}  # fmt: skip
TROUBLE = (State.BAD, State.WARNING)


class ChecksPanel:
    """The list in one browser: trouble first, what is well below it on demand."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._zone = ZoneInfo(view.console.settings.switch.timezone)
        t = view.t
        with ui.column().classes("panel"):
            with ui.row().classes("toolbar"):
                ui.label(t("Checks")).classes("panel-title")
                self._when = ui.label().classes("muted small")
                ui.element("div").classes("grow")
                self._button = ui.button(
                    t("Check again"), icon="troubleshoot", on_click=view.act(self._check)
                ).props("outline dense")
            self._place = ui.column().classes("stack")
        self.show(service.last(view.console, view.actor))

    async def _check(self) -> None:
        self._button.props("loading")
        try:
            self.show(await service.check(self._view.console, self._view.actor))
        finally:
            self._button.props(remove="loading")

    def show(self, found: Round | None) -> None:
        """Draw what a round found; None: none was made yet."""
        t = self._view.t
        self._place.clear()
        with self._place:
            if found is None:
                ui.label(t("Not looked at yet: Check again asks every part in turn.")).classes(
                    "muted"
                )
                return
            at = datetime.fromtimestamp(found.at_s, self._zone)
            counts = (f"{found.counts[state]} {t(state.value)}" for state in State)
            self._when.set_text(f"{at:%H:%M:%S} · {', '.join(counts)}")
            pairs = [(o, finding) for o in found.outcomes for finding in o.findings]
            for state in TROUBLE:
                self._rows([pair for pair in pairs if pair[1].state is state])
            rest = [pair for pair in pairs if pair[1].state not in TROUBLE]
            with ui.expansion(t("What is well, and what does not apply here")).classes("wide"):
                self._rows(rest)

    def _rows(self, pairs: list[tuple[Outcome, Finding]]) -> None:
        t = self._view.t
        for outcome, finding in pairs:
            with ui.row().classes("system-row").props(f'data-check="{outcome.check.code}"'):
                ui.label(t(finding.state.value)).classes(f"chip {CHIPS[finding.state]}")
                with ui.column().classes("system-alarm-text"):
                    title = f"{t(outcome.check.group.value)} · {t(outcome.check.title)}"
                    ui.label(title).classes("small muted")
                    sentence(finding.told_in(t))
                    if finding.do and finding.state in TROUBLE:
                        sentence(finding.advice_in(t), "small")
