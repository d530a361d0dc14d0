"""A small editor of opening hours: the text itself, what fills it in, and what it comes to."""

from __future__ import annotations

from datetime import UTC, datetime

from nicegui import ui

from appliance.admin.services.numbers import OpenState, open_state
from appliance.admin.ui.page import View
from appliance.admin.ui.show import when
from appliance.errors import UserError
from appliance.telephony.hours import DAY_MIN, DAYS, Hours, parse_hours

DAY_WORDS = {
    "mon": "Mon", "tue": "Tue", "wed": "Wed", "thu": "Thu", "fri": "Fri", "sat": "Sat", "sun": "Sun",
}  # fmt: skip
PRESETS = ("always", "mon-fri 09:00-18:00", "mon-sat 09:00-21:00", "daily 08:00-22:00")


def open_words(view: View, state: OpenState) -> str:
    """ "Open until …" or "Closed until …"."""
    t = view.t
    if state.problem:
        return t("These hours cannot be read; it is treated as open.")
    if state.changes_at is None:
        return t("always open") if state.open else t("closed for good")
    words = t("open until {at}") if state.open else t("closed until {at}")
    return words.format(at=when(view, state.changes_at))


class HoursEditor:
    """The text in :attr:`value`; below it the week, and whether it is open now."""

    def __init__(self, view: View, value: str, label: str, *, empty: str) -> None:
        """``empty``: what no text means."""
        self._view, self._empty = view, empty
        t = view.t
        with ui.column().classes("hours"):
            self._text = ui.input(label, value=value, on_change=self._show)
            self._text.props("outlined dense maxlength=2000 clearable stack-label").classes("wide")
            self._text.props(
                'placeholder="mon-fri 09:00-18:00, sat 10:00-14:00; except 2026-01-26"'
            )
            with ui.row().classes("hours-presets"):
                for preset in PRESETS:
                    button = ui.button(t("always") if preset == "always" else preset)
                    button.props("flat dense size=sm no-caps")
                    button.on_click(lambda _, text=preset: self._text.set_value(text))
            self._builder()
            self._strip = ui.element("div").classes("hours-week").props("aria-hidden=true")
            self._said = ui.label().classes("help").props("role=status")
        self._show()

    @property
    def value(self) -> str:
        return str(self._text.value or "").strip()

    def _builder(self) -> None:
        """Days and times, put behind what stands there already."""
        t = self._view.t
        with ui.row().classes("hours-add"):
            days = ui.select(
                {day: t(word) for day, word in DAY_WORDS.items()}, multiple=True, value=[],
                label=t("Days"),
            ).props("outlined dense options-dense").classes("hours-days")  # fmt: skip
            begin = ui.input(t("From"), value="09:00").props("outlined dense type=time")
            end = ui.input(t("To"), value="18:00").props("outlined dense type=time")

            def add() -> None:
                part = " ".join([*sorted(days.value, key=DAYS.index), f"{begin.value}-{end.value}"])
                weekly, semicolon, rest = self.value.partition(";")
                weekly = "" if weekly.strip() in ("", "always") else weekly.strip() + ", "
                self._text.set_value(f"{weekly}{part}{semicolon}{rest}")

            ui.button(t("Add times"), icon="add", on_click=add).props("flat dense no-caps")
            day = ui.input(t("Closed on")).props("outlined dense type=date stack-label")

            def close() -> None:
                if not day.value:
                    return
                weekly, _, rest = self.value.partition(";")
                closed = f"{rest.strip()}, {day.value}" if rest.strip() else f"except {day.value}"
                self._text.set_value(f"{weekly.strip() or 'always'}; {closed}")

            ui.button(t("Add day"), icon="event_busy", on_click=close).props("flat dense no-caps")

    def _show(self) -> None:
        """The week as a strip, and now."""
        view, settings = self._view, self._view.console.settings
        self._strip.clear()
        try:
            read = parse_hours(self.value, settings.switch.timezone)
        except UserError as e:
            self._said.set_text(view.t(str(e)))
            self._said.classes(replace="notice notice--bad")
            return
        with self._strip:
            for number, day in enumerate(DAYS):
                _day(view.t(DAY_WORDS[day]), read, number)
        state = open_state(settings, self.value, datetime.now(UTC))
        words = open_words(view, state) if self.value else self._empty
        self._said.set_text(words)
        self._said.classes(replace="help")


def _day(word: str, read: Hours, number: int) -> None:
    with ui.element("div").classes("hours-day"):
        ui.label(word).classes("hours-name")
        with ui.element("div").classes("hours-line"):
            for start, end in read.weekly[number]:
                left, width = 100 * start / DAY_MIN, 100 * (min(end, DAY_MIN) - start) / DAY_MIN
                ui.element("div").classes("hours-span").style(
                    f"left:{left:.2f}%;width:{width:.2f}%"
                )
