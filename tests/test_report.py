"""A report as files: what stands in the HTML, the PDF and data.json, and that nothing breaks out."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import orjson
import pytest

from appliance.errors import UserError
from appliance.rehearsal.budgets import BUDGETS, Kept, Verdict
from appliance.rehearsal.content import (
    Group,
    Kind,
    Level,
    Line,
    Report,
    Sizing,
    SlowTurn,
    StageNeed,
    Usage,
)  # fmt: skip
from appliance.rehearsal.describe import describe
from appliance.rehearsal.document import Bars, Lines, Series
from appliance.rehearsal.html import to_html
from appliance.rehearsal.knee import find_knee
from appliance.rehearsal.levels import points
from appliance.rehearsal.plots import FAINT, INK, svg
from appliance.rehearsal.spread import spread
from appliance.rehearsal.summary import summarise
from appliance.rehearsal.write import as_data, folder_for, write

HOSTILE = '<script>alert("x")</script>&$\\frac{1}{0}$'
VOID = {"meta", "br"}


class Page(HTMLParser):
    """Reads a page strictly: every element that opens must close in its turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.text: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.attributes: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text.append(data)
        if "td" in self.open or "th" in self.open:
            self.tables[-1][-1][-1] += data


def report(name: str = "sunrise") -> Report:
    """Fifty calls that bend at the end."""
    levels = tuple(
        Level(
            n, str(n), 40, spread(gap + step for step in range(40)),
            {"hear": 100.0, "write": 200.0 + n, "edge": 40.0},
            Line(failed=n // 50, reasons={HOSTILE: 1} if n == 50 else {}, frames=1000 * n,
                 own_late_p99_ms=1.5, machine_busy=0.5, cores={"worker": 0.1 * n}),
        )
        for n, gap in ((1, 400.0), (10, 410.0), (50, 900.0))
    )  # fmt: skip
    budgets = tuple(
        Kept(b.name, b.meaning, b.limit_ms, spread([b.limit_ms + 1]), Verdict.MISSED)
        for b in BUDGETS
    )
    knee = find_knee(points(levels))
    group = Group(name, 12, spread([500.0]), {"hear": 100.0})
    sizing = Sizing(
        50, (StageNeed("stt", True, 1.0, 16, 4), StageNeed("llm", False, 0.1, 64, 1)), 4
    )
    return Report(
        kind=Kind.AUDIT,
        title=f"Audit of {name}",
        made_at="2026-11-02T10:00:00+00:00",
        facts=(("agent", name),),
        summary=summarise(levels, knee, budgets, sizing),
        levels=levels,
        knee=knee,
        budgets=budgets,
        budgets_at="all turns",
        hours=tuple(Group(f"{h:02d} h", 5, spread([400.0 + h]), {"hear": 90.0}) for h in range(24)),
        agents=(group, Group("other", 3, None, {})),
        slowest=tuple(
            SlowTurn(f"call-{n}", n, "2026-11-02T10:00:00+00:00", 50, 900.0, "write 250 ms")
            for n in range(20)
        ),
        usage=Usage(
            (0.0, 1.0, 2.0), (1, 10, 50), {"worker": (0.1, 1.0, 5.0)}, {"worker": (60.0, 61.0, 62.0)},
            (0.1, 0.5, 0.9), (0.0, 2.0), {"GPU 0": (0.1, 0.9)}, {"GPU 0": (1000.0, 40_000.0)},
        ),
        sizing=sizing,
        notes=(name,),
    )  # fmt: skip


def pages_in(pdf: Path) -> int:
    data = pdf.read_bytes()
    assert data.startswith(b"%PDF-")
    assert data.rstrip().endswith(b"%%EOF")
    return len(re.findall(rb"/Type\s*/Page\b(?!s)", data))


def test_the_files_hold_together(tmp_path: Path) -> None:
    made = report()
    written = write(made, tmp_path)
    data = orjson.loads(written.data.read_bytes())
    page = Page(written.html.read_text("utf-8"))
    assert pages_in(written.pdf) == written.pages >= 4
    assert data["kind"] == "audit"
    assert data["budgets"][-1]["verdict"] == "missed"
    assert (data["knee"]["calls"], data["knee"]["bent_at"]) == (10, 50)
    gap = next(table for table in page.tables if table[0][0] == "calls at once")
    for row, level in zip(gap[1:], data["levels"], strict=True):
        figures = [level["gap"][name] for name in ("p50", "p95", "p99", "most")]
        assert row == [level["label"], str(level["turns"]), *(f"{x:.0f}" for x in figures)]
    stages = next(table for table in page.tables if table[0][0] == "stage, mean ms")
    assert [row[1:] for row in stages[1:]] == [
        [f"{level['parts'][name]:.0f}" for level in data["levels"]]
        for name in ("hear", "write", "edge")
    ]
    assert data["sizing"]["own_copies"] == 5
    assert data["sizing"]["shared_copies"] == 8
    assert page.seen.count("svg") >= 6
    assert "".join(page.text).count(data["summary"][0]) == 1


def test_nothing_is_fetched_from_outside_and_nothing_runs(tmp_path: Path) -> None:
    text = to_html(describe(report()))
    page = Page(text)
    assert not {"script", "link", "iframe", "img", "object", "image"} & set(page.seen)
    for name, value in page.attributes:
        assert not name.startswith("on")
        if name in ("src", "href", "xlink:href"):
            assert value.startswith("#")
    assert "url(http" not in text
    assert "@import" not in text
    assert "prefers-color-scheme: dark" in text


def test_hostile_names_are_only_text(tmp_path: Path) -> None:
    written = write(report(HOSTILE), tmp_path)
    page = Page(written.html.read_text("utf-8"))
    assert "script" not in page.seen
    assert "".join(page.text).count(HOSTILE) >= 4  # title, facts, table, notes
    assert pages_in(written.pdf) == written.pages  # matplotlib took no mathematics for it
    assert orjson.loads(written.data.read_bytes())["agents"][0]["name"] == HOSTILE


def test_the_summary_says_it_in_words() -> None:
    said = report().summary
    assert said[0].startswith("50 calls: p95 937 ms")
    assert "The knee is at 10: from 50 calls on" in said[0]
    assert "the language model's first word (250 ms" in said[1]
    assert "8 of 8 budgets are missed (p95)" in said[2]
    assert "whole gap 801 ms against 800" in said[2]
    assert said[3] == "1 call failed."
    assert "4 stt, 1 llm" in said[4]
    assert summarise((), None, (), None) == (
        "No question was answered, so there is nothing to judge.",
    )


def test_a_plot_follows_the_page(tmp_path: Path) -> None:
    lines = Lines(
        "Gap", "calls", "ms", (1.0, 2.0), (Series("p95", (1.0, None)),), (("limit", 5.0),)
    )
    bars = Bars("Stages", "", "ms", (HOSTILE,), (Series("hear", (3.0,)), Series("write", (4.0,))))
    for plot in (lines, bars):
        text = svg(plot)
        assert text.startswith("<svg")
        assert "var(--ink)" in text
        assert INK not in text
        assert FAINT not in text
        assert "<metadata>" not in text
        Page(text)
    assert svg(lines) == svg(lines)


def test_each_report_has_a_folder_of_its_own(tmp_path: Path) -> None:
    at = datetime(2026, 11, 2, 10, 0, 0, tzinfo=UTC)
    names = [folder_for(tmp_path / "rehearsals", at).name for _ in range(3)]
    assert names == ["2026-11-02-100000", "2026-11-02-100000-2", "2026-11-02-100000-3"]
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        folder_for(tmp_path / "file", at)


def test_a_report_of_nothing_is_still_a_report(tmp_path: Path) -> None:
    empty = Report(
        Kind.REHEARSAL, "Rehearsal", "2026-11-02T10:00:00", (), ("Nothing.",), (), None, (), ""
    )
    written = write(empty, tmp_path)
    assert pages_in(written.pdf) == written.pages == 1
    Page(written.html.read_text("utf-8"))
    assert as_data(empty)["levels"] == ()
