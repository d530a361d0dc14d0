"""The lines of a PDF's pages → headings, paragraphs and tables."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from appliance.knowledge.reading.clean import hyphenated, join_lines, without_bullet
from appliance.knowledge.reading.document import Block
from appliance.knowledge.reading.markdown import as_sentence
from appliance.knowledge.reading.pdflines import Line
from appliance.knowledge.reading.tables import table_blocks

HEADING_SIZE = 1.15
"""Of the body's: type so much larger is a heading."""
LONGEST_HEADING_WORDS = 25
LONGEST_BOLD_WORDS = 14
BOLD_LEVEL = 6
MOST_LEVELS = 5
MARGIN = 0.12
"""Of the page's height, at its top and bottom: where lines repeat that belong to no page."""
REPEATED = 0.5
LEAST_PAGES = 3
LONGEST_RUNNING_WORDS = 8
PARAGRAPH_GAP = 0.8
"""Of the type's size, between two lines beyond what the page usually has."""
ALIGNED_PT = 12.0
LEAST_ROWS = 3

_PAGE_NUMBER = re.compile(
    r"(?:page|pg\.?|पृष्ठ)?\s*[-–—|]?\s*(?:\d{1,4}|[ivxlc]{1,7})\s*[-–—|]?\s*"
    r"(?:(?:of|/|का)\s*\d{1,4})?$",
    re.IGNORECASE,
)
_LEADER = re.compile(r"(?:\.\s?){6,}[\s\divxlc]*$|^[\s.]*\.\s\.\s\.[\s.\d]*$")
"""A line of a table of contents, up to its page number."""
_NUMBERED = re.compile(r"(?:\(?\d{1,3}[.)]|\(?[a-z][.)])\s+\S")
_SENTENCE_END = (".", "!", "?", "।", "॥", ":", ";")


@dataclass(frozen=True, slots=True)
class PageLines:
    """The visible lines of one page in reading order."""

    number: int
    height: float
    lines: list[Line]
    ocr: bool = False


@dataclass(frozen=True, slots=True)
class _Type:
    """What the whole document is set in."""

    levels: dict[float, int]
    """Rounded size of a heading in points -> its level."""
    body_bold: bool
    known: set[str]
    """Words that keep their hyphen."""

    def level(self, line: Line) -> int:
        """Of a heading from 1; 0 when the line is none."""
        words = len(line.text.split())
        if not any(char.isalpha() for char in line.text):
            return 0
        if round(line.size_pt) in self.levels and words <= LONGEST_HEADING_WORDS:
            return self.levels[round(line.size_pt)]
        short = words <= LONGEST_BOLD_WORDS and not line.text.endswith((".", ",", ";", "।"))
        if line.bold and not self.body_bold and short and len(line.cells) == 1:
            return BOLD_LEVEL
        return 0


def blocks_of(pages: Sequence[PageLines]) -> list[list[Block]]:
    """The blocks of each page. Lines that stand on most pages (running heads, page numbers) and tables
    of contents are left out; a paragraph that goes on over a page's end belongs to the page that it
    begins on."""
    kind = _type_of([line for page in pages for line in page.lines])
    pages = _without_margins(pages, kind)
    found = [_page_blocks(page.lines, kind) for page in pages]
    _join_over_pages(found, kind)
    return found


def _type_of(lines: Sequence[Line]) -> _Type:
    sizes: Counter[int] = Counter()
    bold = chars = 0
    for line in lines:
        sizes[round(line.size_pt)] += len(line.text)
        chars += len(line.text)
        bold += len(line.text) * line.bold
    body = sizes.most_common(1)[0][0] if sizes else 10
    larger = sorted((size for size in sizes if size >= HEADING_SIZE * body), reverse=True)
    levels = {size: min(n, MOST_LEVELS) for n, size in enumerate(larger, 1)}
    known = hyphenated(line.text for line in lines)
    return _Type({float(k): v for k, v in levels.items()}, bold > 0.5 * chars, known)


def _without_margins(pages: Sequence[PageLines], kind: _Type) -> list[PageLines]:
    seen: Counter[str] = Counter()
    for page in pages:
        seen.update({_pattern(line, kind) for line in page.lines if _in_margin(line, page)})
    most = max(LEAST_PAGES, REPEATED * len(pages))

    def belongs(line: Line, page: PageLines) -> bool:
        if _LEADER.search(line.text):
            return False
        if not _in_margin(line, page):
            return True
        numbers = len(pages) > 1 and _PAGE_NUMBER.match(line.text.strip())
        return not numbers and seen[_pattern(line, kind)] < most

    return [
        replace(page, lines=[line for line in page.lines if belongs(line, page)]) for page in pages
    ]


def _pattern(line: Line, kind: _Type) -> str:
    """What a line has in common with its like on other pages: all but numbers. A title is repeated
    when it is the same: ``Section 2`` is another than ``Section 1``."""
    text = line.text.casefold().strip()
    if len(text.split()) > LONGEST_RUNNING_WORDS or kind.level(line):
        return text
    return re.sub(r"\d+", "#", text)


def _in_margin(line: Line, page: PageLines) -> bool:
    return line.bottom < MARGIN * page.height or line.top > (1 - MARGIN) * page.height


def _page_blocks(lines: Sequence[Line], kind: _Type) -> list[Block]:
    found: list[Block] = []
    number = 0
    while number < len(lines):
        rows = _table(lines, number)
        level = kind.level(lines[number])
        if rows:
            found += table_blocks(_grid(lines[number : number + rows]))
            number += rows
        elif level:
            end = number + 1
            while end < len(lines) and _same_heading(lines, number, end, kind):
                end += 1
            text = join_lines([line.text for line in lines[number:end]], kind.known)
            found.append(Block("heading", text, level))
            number = end
        else:
            end = number + 1
            while end < len(lines) and _same_paragraph(lines, number, end, kind):
                end += 1
            found.append(_paragraph([line.text for line in lines[number:end]], kind))
            number = end
    return _lists(found)


def _same_heading(lines: Sequence[Line], first: int, number: int, kind: _Type) -> bool:
    before, line = lines[number - 1], lines[number]
    return (
        kind.level(line) == kind.level(lines[first])
        and round(line.size_pt) == round(before.size_pt)
        and not before.text.endswith(_SENTENCE_END)
        and 0 <= line.top - before.bottom + line.size_pt * 0.5 < 1.2 * line.size_pt
    )


def _same_paragraph(lines: Sequence[Line], first: int, number: int, kind: _Type) -> bool:
    before, line = lines[number - 1], lines[number]
    if kind.level(line) or _table(lines, number):
        return False
    if without_bullet(line.text) is not None or _NUMBERED.match(line.text):
        return False
    if abs(line.size_pt - before.size_pt) > 0.15 * line.size_pt:
        return False
    if line.top - before.bottom > PARAGRAPH_GAP * line.size_pt or line.top < before.top:
        # the next column goes on with a sentence that is not over
        goes_on = line.top < before.top and line.text[:1].islower()
        return goes_on and not before.text.endswith(_SENTENCE_END)
    # a first line set in, after one that ends short, begins a paragraph
    indented = line.left - before.left > line.size_pt and number - first >= 1
    listed = without_bullet(lines[first].text) is not None or _NUMBERED.match(lines[first].text)
    return not (indented and not listed and before.text.endswith(_SENTENCE_END))


def _paragraph(lines: Sequence[str], kind: _Type) -> Block:
    text = join_lines(lines, kind.known)
    return Block("text", text)


def _lists(blocks: Sequence[Block]) -> list[Block]:
    """Items of a list that follow each other, as sentences of one block."""
    found: list[Block] = []
    listed = False
    for block in blocks:
        item = without_bullet(block.text) if block.kind == "text" else None
        if item is None:
            found.append(block)
        elif listed:
            found[-1] = Block("text", f"{found[-1].text} {as_sentence(item)}")
        else:
            found.append(Block("text", as_sentence(item)))
        listed = item is not None
    return found


def _table(lines: Sequence[Line], begin: int) -> int:
    """How many lines from ``begin`` are rows of one table; 0 for none."""
    head = lines[begin]
    if len(head.cells) < 2:
        return 0
    end = begin + 1
    rows = 1
    while end < len(lines):
        line = lines[end]
        columns = [_column_of(head, cell.left, cell.right) for cell in line.cells]
        if None in columns or len(set(columns)) < len(columns):
            break
        if len(line.cells) > 1:
            rows += 1
        elif columns == [0] or line.top - lines[end - 1].bottom > PARAGRAPH_GAP * line.size_pt:
            break
        end += 1
    return end - begin if rows >= LEAST_ROWS else 0


def _column_of(head: Line, left: float, right: float) -> int | None:
    """Which column of ``head`` a cell stands in: by its left edge, its right one or its middle."""
    for number, cell in enumerate(head.cells):
        if (
            abs(cell.left - left) <= ALIGNED_PT
            or abs(cell.right - right) <= ALIGNED_PT
            or abs(cell.left + cell.right - left - right) <= ALIGNED_PT
        ):
            return number
    return None


def _grid(lines: Sequence[Line]) -> list[list[str]]:
    head = lines[0]
    grid: list[list[str]] = []
    for line in lines:
        row = [""] * len(head.cells)
        for cell in line.cells:
            column = _column_of(head, cell.left, cell.right)
            row[column or 0] = cell.text
        if grid and not row[0]:  # the second line of a cell
            grid[-1] = [join_lines([old, new]) for old, new in zip(grid[-1], row, strict=True)]
        else:
            grid.append(row)
    return grid


def _join_over_pages(pages: list[list[Block]], kind: _Type) -> None:
    for before, after in pairwise(pages):
        if not before or not after:
            continue
        last, first = before[-1], after[0]
        goes_on = first.text[:1].islower() and not last.text.endswith(_SENTENCE_END)
        if last.kind == first.kind == "text" and goes_on:
            before[-1] = Block("text", join_lines([last.text, first.text], kind.known))
            del after[0]
