"""A document as a PDF of A4 pages: a cover with the summary, then sections as they fit."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from appliance.rehearsal.budgets import Verdict
from appliance.rehearsal.document import Document, Plot, Section, Table
from appliance.rehearsal.plots import FAINT, INK, STYLE, draw

PAGE_INCHES = (8.27, 11.69)
LEFT, RIGHT, TOP, BOTTOM = 0.8, 7.6, 0.85, 0.9
"""Margins, in inches from the left and the top; the bottom's from the bottom."""
LINE_INCHES = 0.19
ROW_INCHES = 0.205
PLOT_INCHES = 2.75
SOFT, ACCENT = "#5d6675", "#2563b8"
_INKS = {Verdict.KEPT: "#1f7a4d", Verdict.MISSED: "#b3261e", Verdict.UNKNOWN: SOFT}
LETTERS = 104
"""Of body text in a line."""
HEADING_INCHES = 0.42
NOTE_INCHES = 0.15
LETTER_INCHES = 0.077
"""Mean width of a letter or digit at 8.5 points."""
VERDICT_INCHES = 1.1
LEGEND_INCHES = 1.45
KEPT_WHOLE_INCHES = 4.5
"""A table up to this long is not broken over two pages."""


def to_pdf(document: Document, path: Path) -> int:
    """Write the file; how many pages it has."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_pdf import PdfPages

    with rc_context(STYLE), PdfPages(path, metadata={"Title": document.title}) as pages:
        sheet = _Sheets(pages, document.title)
        _cover(sheet, document)
        for section in document.sections:
            _section(sheet, section)
        _facts(sheet, document)
        sheet.close()
        return sheet.count


class _Sheets:
    """Pages that are filled from the top; what does not fit begins the next one."""

    def __init__(self, pages: Any, title: str) -> None:
        self._pages = pages
        self._title = title
        self._figure: Any = None
        self._at = 0.0
        self.count = 0

    def need(self, inches: float) -> None:
        """Begin a new page unless so much room is left on this one."""
        if self._figure is None or self._at + inches > PAGE_INCHES[1] - BOTTOM:
            self._turn()

    def skip(self, inches: float) -> None:
        self._at += inches

    def text(self, x: float, text: str, **style: Any) -> None:
        """Text whose top is here, ``x`` inches from the left; the place stays."""
        width, height = PAGE_INCHES
        style = {"va": "top", "parse_math": False, **style}
        self._figure.text(x / width, 1 - self._at / height, text, **style)

    def rule(self, colour: str = FAINT) -> None:
        """A thin line across the page."""
        from matplotlib.lines import Line2D

        width, height = PAGE_INCHES
        y = 1 - self._at / height
        span = [LEFT / width, RIGHT / width]
        self._figure.add_artist(Line2D(span, [y, y], color=colour, linewidth=0.7))

    def plot(self, plot: Plot) -> None:
        """A plot over the width of the page."""
        from matplotlib.gridspec import GridSpec

        self.need(PLOT_INCHES)
        width, height = PAGE_INCHES
        names = len(plot.series) > 1
        grid = GridSpec(
            1, 1, figure=self._figure, left=(LEFT + 0.45) / width,
            right=(RIGHT - (LEGEND_INCHES if names else 0.0)) / width,
            top=1 - (self._at + 0.28) / height, bottom=1 - (self._at + PLOT_INCHES - 0.55) / height,
        )  # fmt: skip
        draw(plot, self._figure.add_subplot(grid[0]))
        self.skip(PLOT_INCHES)

    def close(self) -> None:
        """Write the last page."""
        from matplotlib import pyplot

        if self._figure is None:
            return
        width, height = PAGE_INCHES
        y = 0.5 / height
        small = {"fontsize": 7.5, "color": SOFT, "parse_math": False}
        self._figure.text(LEFT / width, y, self._title, **small)
        self._figure.text(RIGHT / width, y, str(self.count), ha="right", **small)
        self._pages.savefig(self._figure)
        pyplot.close(self._figure)
        self._figure = None

    def _turn(self) -> None:
        from matplotlib import pyplot

        self.close()
        self._figure = pyplot.figure(figsize=PAGE_INCHES)
        self._at = TOP
        self.count += 1


def _cover(sheet: _Sheets, document: Document) -> None:
    sheet.need(4.0)
    sheet.text(LEFT, document.title, fontsize=20, fontweight="bold", color=INK)
    sheet.skip(0.42)
    sheet.text(LEFT, document.subtitle, fontsize=10, color=SOFT)
    sheet.skip(0.34)
    sheet.rule(ACCENT)
    sheet.skip(0.16)
    for number, paragraph in enumerate(document.summary):
        weight, size = ("bold", 11.5) if number == 0 else ("normal", 10)
        _paragraph(sheet, paragraph, size=size, weight=weight, letters=70 if number == 0 else 92)
    sheet.skip(0.1)
    _tiles(sheet, document)


def _tiles(sheet: _Sheets, document: Document) -> None:
    step = (RIGHT - LEFT) / 3
    for first in range(0, len(document.tiles), 3):
        sheet.need(0.75)
        for place, (_, value, verdict) in enumerate(document.tiles[first : first + 3]):
            colour = _INKS[verdict] if verdict else INK
            sheet.text(LEFT + place * step, value, fontsize=15, fontweight="bold", color=colour)
        sheet.skip(0.3)
        for place, (name, _, _) in enumerate(document.tiles[first : first + 3]):
            sheet.text(LEFT + place * step, name, fontsize=8, color=SOFT)
        sheet.skip(0.36)


def _section(sheet: _Sheets, section: Section) -> None:
    first = PLOT_INCHES if section.plots else 6 * ROW_INCHES
    lines = sum(len(textwrap.wrap(text, LETTERS)) for text in section.text)
    sheet.need(HEADING_INCHES + lines * LINE_INCHES + first)
    sheet.skip(0.12)
    sheet.text(LEFT, section.heading, fontsize=13, fontweight="bold", color=INK)
    sheet.skip(HEADING_INCHES - 0.12)
    for text in section.text:
        _paragraph(sheet, text, size=9, colour=SOFT)
    for plot in section.plots:
        sheet.plot(plot)
    for table in section.tables:
        _table(sheet, table)


def _paragraph(
    sheet: _Sheets, text: str, *, size: float, weight: str = "normal", colour: str = INK,
    letters: int = LETTERS,
) -> None:  # fmt: skip
    for line in textwrap.wrap(text, letters):
        sheet.need(LINE_INCHES)
        sheet.text(LEFT, line, fontsize=size, fontweight=weight, color=colour)
        sheet.skip(LINE_INCHES * max(1.0, size / 9.5))
    sheet.skip(0.06)


def _table(sheet: _Sheets, table: Table) -> None:
    """Figures stand right, in columns as wide as they are; sentences stand under their row; a long
    table goes on overleaf."""
    rights = _rights(table)
    left = min((rights[n] - _wide(table, n) for n in rights), default=RIGHT)
    letters = max(14, int((left - LEFT) / LETTER_INCHES))
    if (whole := len(table.rows) * (ROW_INCHES + 0.2)) < KEPT_WHOLE_INCHES:
        sheet.need(whole)
    _table_head(sheet, table, rights)
    for number, row in enumerate(table.rows):
        wrapped = textwrap.wrap(row[0], letters) or [""]
        notes = [line for n in sorted(table.words) for line in textwrap.wrap(row[n], letters + 14)]
        sheet.need(ROW_INCHES * len(wrapped) + NOTE_INCHES * len(notes) + 0.05)
        for n, right in rights.items():
            sheet.text(right, row[n], fontsize=8.5, ha="right")
        if table.verdicts and (verdict := table.verdicts[number]):
            style = {"fontsize": 8.5, "fontweight": "bold", "color": _INKS[verdict]}
            sheet.text(RIGHT, verdict.value, ha="right", **style)
        for line in wrapped:
            sheet.text(LEFT, line, fontsize=8.5)
            sheet.skip(ROW_INCHES)
        for line in notes:
            sheet.text(LEFT, line, fontsize=7, color=SOFT)
            sheet.skip(NOTE_INCHES)
        sheet.rule()
        sheet.skip(0.05)
    sheet.skip(0.12)


def _rights(table: Table) -> dict[int, float]:
    """Right edge of each column of figures, in inches from the left."""
    at = RIGHT - (VERDICT_INCHES if table.verdicts else 0.0)
    figures = [n for n in range(1, len(table.columns)) if n not in table.words]
    rights = {}
    for n in reversed(figures):
        rights[n] = at
        at -= _wide(table, n)
    return dict(sorted(rights.items()))


def _wide(table: Table, column: int) -> float:
    """Inches that a column takes, with the room before it."""
    lines = [*_head_lines(table.columns[column]), *(row[column] for row in table.rows)]
    return max(len(line) for line in lines) * LETTER_INCHES + 0.16


def _head_lines(name: str) -> list[str]:
    return textwrap.wrap(name, 9, break_long_words=False) or [""]


def _table_head(sheet: _Sheets, table: Table, rights: dict[int, float]) -> None:
    deep = max((len(_head_lines(table.columns[n])) for n in rights), default=1)
    sheet.need((deep + 2) * ROW_INCHES)
    style = {"fontsize": 8, "color": SOFT, "fontweight": "bold"}
    for line in range(deep):
        if line == deep - 1:
            sheet.text(LEFT, table.columns[0], **style)
        for n, right in rights.items():
            lines = _head_lines(table.columns[n])
            place = line - (deep - len(lines))  # heads stand on the rule
            if place >= 0:
                sheet.text(right, lines[place], ha="right", **style)
        sheet.skip(0.16)
    sheet.skip(0.03)
    sheet.rule(SOFT)
    sheet.skip(0.06)


def _facts(sheet: _Sheets, document: Document) -> None:
    sheet.need(HEADING_INCHES + 0.3 * len(document.facts))
    sheet.skip(0.12)
    sheet.text(LEFT, "What was measured", fontsize=13, fontweight="bold")
    sheet.skip(HEADING_INCHES - 0.12)
    for name, value in document.facts:
        lines = textwrap.wrap(value, 78) or [""]
        sheet.need(LINE_INCHES * len(lines))
        sheet.text(LEFT, name, fontsize=9, color=SOFT)
        for line in lines:
            sheet.text(LEFT + 1.7, line, fontsize=9)
            sheet.skip(LINE_INCHES)
    sheet.skip(0.1)
    _paragraph(sheet, document.footer, size=8, colour=SOFT)
