"""Charts of the gap: over time, against calls at once, and where it went."""

from __future__ import annotations

from collections.abc import Sequence

from appliance.admin.services.analytics import LoadBand, Overview, StageShares
from appliance.admin.ui.analytics.charts import BLUE, ORANGE, RED, Series, chart, rows_chart
from appliance.admin.ui.analytics.overview import label_of
from appliance.admin.ui.analytics.panel import Table, panel
from appliance.admin.ui.page import View
from appliance.store.histogram import Gaps

_NAMES = ("p50", "p95", "p99")


def draw_gaps(view: View, found: Overview) -> None:
    t = view.t
    labels = [label_of(one.at, found.unit) for one in found.over_time]
    gaps = [one.figures.gaps for one in found.over_time]
    columns = (t("Time"), t("answers"), "p50 ms", "p95 ms", "p99 ms")
    rows = [(label, *_row(one)) for label, one in zip(labels, gaps, strict=True) if one.turns]
    panel(
        view, t("Gap over time"),
        t("From the caller's last sound to the first sound of the answer, out of the call's own"
          " audio."),
        chart(labels, _lines(gaps), unit="ms"), Table(columns, rows), file="gaps",
    )  # fmt: skip


def draw_load(view: View, bands: Sequence[LoadBand]) -> None:
    t = view.t
    labels = [
        str(one.low) if one.low == one.high else f"{one.low}–{one.high}" for one in bands
    ]  # fmt: skip
    rows = [(label, *_row(one.gaps)) for label, one in zip(labels, bands, strict=True)]
    panel(
        view, t("Gap against calls at once"),
        t("The gap of answers given while so many calls were in progress: where it begins to rise,"
          " the box is full."),
        chart(labels, _lines([one.gaps for one in bands]), unit="ms", x_name=t("calls at once")),
        Table((t("calls at once"), t("answers"), "p50 ms", "p95 ms", "p99 ms"), rows),
        file="gap-against-load",
    )  # fmt: skip


def draw_stages(view: View, found: StageShares) -> None:
    t = view.t
    words = {
        "hear": t("hear: last words known"), "floor": t("floor: sure that the caller is done"),
        "search": t("search: passages found"), "write": t("write: first word of the reply"),
        "phrase": t("phrase: enough of it to speak"), "voice": t("voice: first sound of it"),
        "out": t("out: on the wire"),
    }  # fmt: skip
    names = [words.get(one.stage, one.stage) for one in found.stages]
    means = [one.mean_ms for one in found.stages]
    rows = [
        (name, round(one.mean_ms, 1), round(one.share * 100, 1))
        for name, one in zip(names, found.stages, strict=True)
    ]
    about = t("Mean time in which nothing but this stage was missing, over {n} answers.")
    panel(
        view, t("Where the gap went"), about.format(n=found.turns),
        rows_chart(names, [Series("ms", means, "bar", BLUE)]),
        Table((t("Stage"), "ms", "%"), rows), file="stages",
    )  # fmt: skip


def _lines(gaps: Sequence[Gaps]) -> list[Series]:
    values = zip(*((one.p50_ms, one.p95_ms, one.p99_ms) for one in gaps), strict=True)
    colours = (BLUE, ORANGE, RED)
    return [
        Series(name, row, "line", colour)
        for name, row, colour in zip(_NAMES, values, colours, strict=False)
    ]


def _row(gaps: Gaps) -> tuple[int, float | None, float | None, float | None]:
    return gaps.turns, gaps.p50_ms, gaps.p95_ms, gaps.p99_ms
