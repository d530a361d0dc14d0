"""A report as a document: headings, sentences, tables and plots, for HTML and PDF alike."""

from __future__ import annotations

from dataclasses import dataclass, field

from appliance.rehearsal.budgets import Verdict


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text; the first column names the row, the others are figures."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    verdicts: tuple[Verdict | None, ...] = ()
    """One a row, where rows are judged."""
    words: frozenset[int] = frozenset()
    """Columns (by number) that are sentences, not figures."""


@dataclass(frozen=True, slots=True)
class Series:
    """One line, or one layer of stacked bars."""

    name: str
    values: tuple[float | None, ...]
    thin: bool = False


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines over a numeric axis."""

    title: str
    x_label: str
    y_label: str
    x: tuple[float, ...]
    series: tuple[Series, ...]
    limits: tuple[tuple[str, float], ...] = ()
    """Horizontal lines, with their name."""
    marks: tuple[tuple[str, float], ...] = ()
    """Vertical lines, with their name."""
    dots: bool = True
    steps: tuple[float, ...] = ()
    """Where the ramp stepped, as faint vertical lines."""


@dataclass(frozen=True, slots=True)
class Bars:
    """Stacked bars over named places."""

    title: str
    x_label: str
    y_label: str
    x: tuple[str, ...]
    series: tuple[Series, ...]
    limits: tuple[tuple[str, float], ...] = ()


Plot = Lines | Bars


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands under it, in this order."""

    heading: str
    text: tuple[str, ...] = ()
    plots: tuple[Plot, ...] = ()
    tables: tuple[Table, ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """A whole report."""

    title: str
    subtitle: str
    summary: tuple[str, ...]
    tiles: tuple[tuple[str, str, Verdict | None], ...]
    """The few figures that matter: name, value, and whether that is good."""
    sections: tuple[Section, ...]
    footer: str = ""
    facts: tuple[tuple[str, str], ...] = field(default=())
