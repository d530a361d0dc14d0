"""What callers did not get: failures by kind, and questions without an answer."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from appliance.access.roles import Permission
from appliance.admin.ui.analytics.charts import ORANGE, Series, rows_chart
from appliance.admin.ui.analytics.panel import Table, panel, table_panel
from appliance.admin.ui.page import View
from appliance.admin.ui.show import when
from appliance.admin.ui.tables import SteadyTable
from appliance.store.analytics import FailureCount
from appliance.store.unanswered import Unanswered

_QUESTION = """
<q-td :props="props" class="question-cell">{{ props.value }}</q-td>
"""
_LINKS = """
<q-td :props="props"><a :href="props.row.call">{{ props.row.heard }}</a><template
v-if="props.row.add"> · <a :href="props.row.add">{{ props.row.words }}</a></template></q-td>
"""


def draw_failures(view: View, found: Sequence[FailureCount]) -> None:
    t = view.t
    rows = [(one.kind, one.turns, one.calls) for one in found]
    panel(
        view, t("What went wrong"),
        t("Turns in which the caller did not get what was meant, by kind. What another server made"
          " good is not in it."),
        rows_chart([one.kind for one in found],
                   [Series(t("turns"), [one.turns for one in found], "bar", ORANGE)]),
        Table((t("What"), t("turns"), t("Calls")), rows), file="failures",
    )  # fmt: skip


def draw_unanswered(view: View, found: Sequence[Unanswered], bases: dict[str, str]) -> None:
    """``bases``: of an agent, the page of the knowledge base it answers from."""
    t = view.t
    columns = (t("Question"), t("Agent"), t("Calls"), t("Last asked"))
    rows = [(one.text, one.agent_id, one.calls, when(view, one.last_at)) for one in found]
    place = table_panel(
        view, t("Questions without an answer"),
        t("What agents said that they do not know, by its commonest wording; of the latest calls."),
        Table(columns, rows), file="unanswered",
    )  # fmt: skip
    if not found:
        return
    names = ("question", "agent", "calls", "last")
    head = [
        {"name": name, "label": words, "field": name, "sortable": True,
         "align": "right" if name == "calls" else "left"}
        for name, words in zip(names, columns, strict=True)
    ]  # fmt: skip
    head.append({"name": "links", "label": "", "field": "call", "align": "left"})
    editor = view.actor.may(Permission.KNOWLEDGE_EDIT)
    shown = [
        {
            "id": n, "question": one.text, "agent": one.agent_id, "calls": one.calls,
            "last": when(view, one.last_at), "call": f"/calls/{quote(one.call_id, safe='')}",
            "heard": t("the call"), "words": t("add an answer"),
            "add": bases.get(one.agent_id, "") if editor else "",
        }
        for n, one in enumerate(found)
    ]  # fmt: skip
    with place:
        table = SteadyTable(columns=head, rows=shown, row_key="id", pagination={"rowsPerPage": 10})
        table.props("flat dense").classes("num")
        table.add_slot("body-cell-question", _QUESTION)
        table.add_slot("body-cell-links", _LINKS)
