"""The same figures by agent and by language."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from appliance.admin.services.analytics import Asked, Group, Overview
from appliance.admin.ui.analytics.charts import sparkline
from appliance.admin.ui.analytics.filters import address
from appliance.admin.ui.analytics.panel import Table, table_panel
from appliance.admin.ui.analytics.tiles import clock, milliseconds, percent
from appliance.admin.ui.calls.words import language_name
from appliance.admin.ui.page import View
from appliance.admin.ui.tables import SteadyTable

_NAME = """
<q-td :props="props"><a :href="props.row.url">{{ props.value }}</a></q-td>
"""
_SPARK = """
<q-td :props="props"><svg class="spark" width="96" height="22" viewBox="0 0 96 22" aria-hidden="true">
<polyline :points="props.value" /></svg></q-td>
"""


def draw_groups(view: View, asked: Asked, found: Overview) -> None:
    """A table of agents and one of languages; a name leads to its own figures."""
    t = view.t
    _table(
        view, t("By agent"), t("Each agent's own figures; a name shows them alone."), found.agents,
        [address(replace(asked, agent=one.id)) for one in found.agents], "agents",
    )  # fmt: skip
    languages = tuple(replace(one, name=language_name(one.id, t)) for one in found.languages)
    _table(
        view, t("By language"), t("Each language's own figures; a name shows them alone."), languages,
        [address(replace(asked, language=one.id)) for one in languages], "languages",
    )  # fmt: skip


def _table(
    view: View,
    title: str,
    about: str,
    groups: Sequence[Group],
    urls: Sequence[str],
    file: str,
) -> None:
    t = view.t
    names = (
        ("name", title), ("calls", t("Calls")), ("spark", t("over time")),
        ("containment", t("Containment")), ("transfers", t("Transfer rate")),
        ("abandonment", t("Abandonment")), ("handling", t("Handling time")),
        ("p50", t("Gap p50")), ("p95", t("Gap p95")), ("barged", t("Interruptions")),
        ("flags", t("Flag rate")),
    )  # fmt: skip
    plain = Table(
        tuple(words for name, words in names if name != "spark"), [_plain(one) for one in groups]
    )
    place = table_panel(view, title, about, plain, file=file)
    if not groups:
        return
    columns = [
        {"name": name, "label": words, "field": name, "sortable": name != "spark",
         "align": "left" if name in ("name", "spark") else "right",
         # what is shown is text; sorted is by the figure behind it
         **({} if name in ("name", "spark") else {":sort": _by_figure(name)})}
        for name, words in names
    ]  # fmt: skip
    with place:
        rows = [_row(one, url) for one, url in zip(groups, urls, strict=True)]
        table = SteadyTable(
            columns=columns, rows=rows, row_key="id", pagination={"rowsPerPage": 25}
        )
        table.props("flat dense").classes("num")
        table.add_slot("body-cell-name", _NAME)
        table.add_slot("body-cell-spark", _SPARK)


def _by_figure(name: str) -> str:
    return f"(a, b, x, y) => x.figures.{name} - y.figures.{name}"


def _figures(one: Group) -> dict[str, float]:
    f = one.figures
    found = {
        "calls": f.volume.offered, "containment": f.containment, "transfers": f.transfer_rate,
        "abandonment": f.abandonment, "handling": f.average_handling_s, "p50": f.gaps.p50_ms,
        "p95": f.gaps.p95_ms, "barged": f.barge_in_rate, "flags": f.flag_rate,
    }  # fmt: skip
    return {name: -1.0 if value is None else float(value) for name, value in found.items()}


def _row(one: Group, url: str) -> dict[str, Any]:
    f = one.figures

    def form(value: float | None, how: Any) -> str:
        return "—" if value is None else how(value)

    return {
        "id": one.id,
        "name": one.name,
        "url": url,
        "figures": _figures(one),
        "calls": f.volume.offered,
        "spark": sparkline(one.calls_over_time),
        "containment": form(f.containment, percent),
        "transfers": form(f.transfer_rate, percent),
        "abandonment": form(f.abandonment, percent),
        "handling": form(f.average_handling_s, clock),
        "p50": form(f.gaps.p50_ms, milliseconds),
        "p95": form(f.gaps.p95_ms, milliseconds),
        "barged": form(f.barge_in_rate, percent),
        "flags": form(f.flag_rate, percent),
    }


def _plain(one: Group) -> tuple[str | int | float | None, ...]:
    f = one.figures
    shares = (f.containment, f.transfer_rate, f.abandonment)
    return (
        one.name, f.volume.offered,
        *(None if share is None else round(share, 4) for share in shares),
        f.average_handling_s, f.gaps.p50_ms, f.gaps.p95_ms, f.barge_in_rate, f.flag_rate,
    )  # fmt: skip
