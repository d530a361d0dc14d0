"""What the queue of flags is narrowed to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from nicegui import ui

from appliance.admin.ui.page import View
from appliance.admin.ui.review.words import (
    category_words,
    found_by_words,
    severity_words,
    state_words,
)
from appliance.store.flags import STATES, Wanted

DAYS = (1, 7, 30, 90)


class Filters:
    """The row of choices; :attr:`wanted` is what they say."""

    def __init__(
        self,
        view: View,
        kinds: Mapping[str, Sequence[str]],
        changed: Callable[[], Awaitable[None]],
        state: str = "open",
    ) -> None:
        t = view.t
        self._changed = view.act(changed)
        with ui.row().classes("toolbar review-filters"):
            states = {"": t("any state")} | {s: state_words(t, s) for s in STATES}
            self._state = self._select(t("State"), states, state)
            severities = ("high", "medium", "low")
            self._severity = self._select(
                t("Severity"), {"": t("any")} | {s: severity_words(t, s) for s in severities}
            )
            self._category = self._select(
                t("Category"),
                {"": t("any")} | {c: category_words(t, c) for c in kinds["categories"]},
            )
            self._agent = self._select(
                t("Agent"), {"": t("any")} | {one: one for one in kinds["agents"]}
            )
            self._rule = self._select(
                t("Rule"), {"": t("any")} | {one: one for one in kinds["rules"]}
            )
            finders = ("guard", "moderation", "golden", "person")
            self._found_by = self._select(
                t("Found by"), {"": t("anybody")} | {f: found_by_words(t, f) for f in finders}
            )
            self._days = self._select(
                t("Time"),
                {"": t("any time")}
                | {str(days): t("last {n} days").format(n=days) for days in DAYS},
            )

    def _select(self, label: str, options: dict[str, str], value: str = "") -> ui.select:
        chosen = ui.select(options, value=value, label=label, on_change=lambda: self._changed())
        chosen.props("outlined dense options-dense").classes("review-filter")
        return chosen

    @property
    def wanted(self) -> Wanted:
        """As chosen now."""
        days = int(self._days.value or 0)
        return Wanted(
            state=self._state.value or "",
            severity=self._severity.value or "",
            category=self._category.value or "",
            agent_id=self._agent.value or "",
            rule=self._rule.value or "",
            found_by=self._found_by.value or "",
            since=datetime.now(UTC) - timedelta(days=days) if days else None,
        )
