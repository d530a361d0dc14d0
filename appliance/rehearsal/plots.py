"""Draws a plot with matplotlib: as SVG that follows the page's light or dark, or on a PDF page."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

from appliance.errors import UserError
from appliance.rehearsal.document import Bars, Lines, Plot

WIDTH_INCHES, HEIGHT_INCHES = 7.2, 3.1
HEADROOM = 1.12
"""Above a limit, for its name."""
INK, FAINT = "#1f2430", "#c9ced8"
"""Text and axes; grid."""
COLOURS = ("#2563b8", "#d9822b", "#2e8b57", "#8e4fb0", "#c23b4b", "#1b8fa6", "#8a7a2c", "#6b7280")
"""Told apart on white, on near-black and by the colour-blind; the eighth is the rest's."""
LIMIT = "#c23b4b"
_PLACES = {INK: "var(--ink)", FAINT: "var(--line)"}
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "ivr",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "pdf.fonttype": 42,
    "text.parse_math": False,  # an agent may be called $x$
}


def require_matplotlib() -> None:
    """Raises UserError when it is not installed: better before 50 calls than after."""
    try:
        import matplotlib

        matplotlib.use("Agg")
    except ImportError as e:
        raise UserError("The report needs matplotlib: pip install '.[embedded]'.") from e


def svg(plot: Plot) -> str:
    """The plot as an SVG element: text is text, ink and grid are the page's CSS variables."""
    from matplotlib import pyplot, rc_context

    with rc_context(STYLE):
        figure, axes = pyplot.subplots(figsize=(WIDTH_INCHES, HEIGHT_INCHES), layout="constrained")
        draw(plot, axes)
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
        pyplot.close(figure)
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'width="[\d.]+pt" height="[\d.]+pt"', 'role="img"', text, count=1)
    for ink, variable in _PLACES.items():
        text = text.replace(ink, variable)
    return text


def draw(plot: Plot, axes: Any) -> None:
    """Draw on matplotlib's ``axes``, which then hold that plot alone."""
    if isinstance(plot, Lines):
        _lines(plot, axes)
    else:
        _bars(plot, axes)
    axes.set_title(plot.title, loc="left", fontsize=10, fontweight="bold")
    axes.set_xlabel(plot.x_label)
    axes.set_ylabel(plot.y_label)
    axes.set_ylim(0, max([axes.get_ylim()[1], *(at * HEADROOM for _, at in plot.limits)]))
    axes.grid(axis="y", alpha=0.6, linewidth=0.6)
    axes.set_axisbelow(True)
    for name, at in plot.limits:
        axes.axhline(at, color=LIMIT, linewidth=1.1, linestyle=(0, (5, 3)))
        axes.annotate(
            name, (1, at), xycoords=("axes fraction", "data"), xytext=(0, 2),
            textcoords="offset points", ha="right", va="bottom", fontsize=8, color=LIMIT,
        )  # fmt: skip
    _legend(axes)


def _legend(axes: Any) -> None:
    handles, names = axes.get_legend_handles_labels()
    if len(names) > 1:
        axes.legend(
            handles, names, loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize=8,
            borderaxespad=0,
        )  # fmt: skip


def _lines(plot: Lines, axes: Any) -> None:
    for number, series in enumerate(plot.series):
        values = [float("nan") if value is None else value for value in series.values]
        axes.plot(
            plot.x, values, label=series.name, color=COLOURS[number % len(COLOURS)],
            linewidth=1.0 if series.thin else 1.8, marker="o" if plot.dots else "", markersize=4,
        )  # fmt: skip
    for at in plot.steps:
        axes.axvline(at, color=FAINT, linewidth=0.8)
    for name, at in plot.marks:
        axes.axvline(at, color=INK, linewidth=1.0, linestyle=":")
        axes.annotate(
            name, (at, 1), xycoords=("data", "axes fraction"), xytext=(-3, -2),
            textcoords="offset points", ha="right", va="top", fontsize=8, rotation=90,
        )  # fmt: skip
    if plot.dots and len(plot.x) <= 12:
        axes.set_xticks(plot.x, [f"{x:g}" for x in plot.x])
    if len(plot.x) > 1:
        room = (max(plot.x) - min(plot.x)) * 0.03
        axes.set_xlim(min(plot.x) - room, max(plot.x) + room)


def _bars(plot: Bars, axes: Any) -> None:
    places = range(len(plot.x))
    bottom = [0.0] * len(plot.x)
    for number, series in enumerate(plot.series):
        values = [value or 0.0 for value in series.values]
        axes.bar(
            places, values, bottom=bottom, width=0.62, label=series.name,
            color=COLOURS[number % len(COLOURS)],
        )  # fmt: skip
        bottom = [low + value for low, value in zip(bottom, values, strict=True)]
    axes.set_xticks(places, _thinned(plot.x))
    axes.set_xlim(-0.6, max(len(plot.x) - 0.4, 2.4))


def _thinned(names: Sequence[str], most: int = 13) -> list[str]:
    every = -(-len(names) // most) if names else 1
    return [name if number % every == 0 else "" for number, name in enumerate(names)]
