"""Charts as options of ECharts; pure. Told apart by form as well as by colour, for whoever does not see
colours; lines and words have tones that are readable on light and on dark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

AXIS = "#8a94a3"
BLUE, ORANGE, GREEN, RED = "#3d8bd4", "#e69f00", "#009e73", "#d55e00"
PURPLE, SKY, GREY = "#cc79a7", "#56b4e9", "#9aa7b8"
PALETTE = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY, GREY)
"""After Okabe and Ito (2008), who chose them for all kinds of colour vision."""
DASHES = ("solid", "dashed", "dotted")
SYMBOLS = ("circle", "rect", "triangle", "diamond", "roundRect")
MOST_LABELS_FLAT = 8
"""More names under a bar chart are set at an angle."""

Kind = Literal["bar", "line", "step"]


@dataclass(frozen=True, slots=True)
class Series:
    """One row of values, and how it is drawn; None: there is no value."""

    name: str
    values: Sequence[float | None]
    kind: Kind = "line"
    colour: str = ""
    stack: str = ""
    faint: bool = False
    axis: int = 0
    """1: the axis on the right."""


def chart(
    labels: Sequence[str],
    series: Sequence[Series],
    *,
    unit: str = "",
    right_unit: str = "",
    x_name: str = "",
) -> dict[str, Any]:
    """Lines and bars over ``labels``; ``unit`` stands over the axis."""
    axes = [_value_axis(unit)]
    if right_unit:
        axes.append(_value_axis(right_unit) | {"splitLine": {"show": False}})
    return {
        "animation": False,
        "color": list(PALETTE),
        "grid": {"left": 8, "right": 12, "top": 44, "bottom": 24 if x_name else 6,
                 "containLabel": True},
        "legend": {"show": len(series) > 1, "top": 0, "right": 0, "itemHeight": 8,
                   "itemWidth": 18, "textStyle": {"color": AXIS, "fontSize": 11}},
        "tooltip": {"trigger": "axis", "confine": True, "axisPointer": {"type": "shadow"}},
        "aria": {"enabled": True, "decal": {"show": False}},
        "xAxis": {
            "type": "category", "data": list(labels), "name": x_name, "nameLocation": "middle",
            "nameGap": 26, "nameTextStyle": {"color": AXIS, "fontSize": 11},
            "axisLabel": {"color": AXIS, "fontSize": 10, "hideOverlap": True},
            "axisLine": {"lineStyle": {"color": AXIS}}, "axisTick": {"show": False},
        },
        "yAxis": axes,
        "series": [_drawn(number, one) for number, one in enumerate(series)],
    }  # fmt: skip


def rows_chart(names: Sequence[str], series: Sequence[Series]) -> dict[str, Any]:
    """Bars that lie, for names that are words: the first on top."""
    made = chart(names, series)
    category = made["xAxis"] | {"inverse": True}
    category["axisLabel"] = {
        "color": AXIS, "fontSize": 11, "width": 190, "overflow": "break",
    }  # fmt: skip
    return made | {"xAxis": made["yAxis"][0] | {"name": ""}, "yAxis": category}


def _value_axis(unit: str) -> dict[str, Any]:
    return {
        "type": "value",
        "name": unit,
        "nameTextStyle": {"color": AXIS, "fontSize": 11, "align": "left"},
        "axisLabel": {"color": AXIS, "fontSize": 10},
        "splitLine": {"lineStyle": {"color": AXIS, "opacity": 0.2}},
    }


def _drawn(number: int, one: Series) -> dict[str, Any]:
    colour = one.colour or PALETTE[number % len(PALETTE)]
    values = [None if value is None else round(value, 2) for value in one.values]
    found: dict[str, Any] = {
        "name": one.name, "data": values, "yAxisIndex": one.axis, "itemStyle": {"color": colour},
    }  # fmt: skip
    if one.kind == "bar":
        # a pale edge keeps stacked parts apart where their colours look alike
        found |= {"type": "bar", "stack": one.stack or None, "barMaxWidth": 26}
        found["itemStyle"] |= {"borderColor": "rgba(255,255,255,0.55)", "borderWidth": 0.6}
        if one.faint:
            found["itemStyle"] |= {"opacity": 0.45}
        return found
    style = {"color": colour, "width": 2, "type": DASHES[number % len(DASHES)]}
    return found | {
        "type": "line", "lineStyle": style, "step": "middle" if one.kind == "step" else False,
        "symbol": SYMBOLS[number % len(SYMBOLS)], "symbolSize": 5,
        "showSymbol": len(values) <= 40, "connectNulls": False,
    }  # fmt: skip


def sparkline(values: Sequence[int], width: int = 96, height: int = 22) -> str:
    """``points`` of an SVG polyline."""
    if len(values) < 2:
        return ""
    most = max(*values, 1)
    step = width / (len(values) - 1)
    room = height - 4
    return " ".join(
        f"{number * step:.1f},{height - 2 - room * value / most:.1f}"
        for number, value in enumerate(values)
    )
