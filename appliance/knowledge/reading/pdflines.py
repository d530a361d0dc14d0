"""The words of a page → its lines in reading order, columns one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from appliance.knowledge.reading.pdftext import Word

SAME_LINE = 0.5
"""Overlap of two words' heights, as a share of the smaller, from which they stand on one line."""
CELL_GAP = 1.2
"""Of the type's size: a wider space parts cells or columns; justified text has up to 0.8."""
LEAST_COLUMN_LINES = 4
LEAST_COLUMN_CHARS = 20
"""Of half of a column's lines; in narrower ones stand cells of a table, read row by row."""
MOST_COLUMNS_DEEP = 3


@dataclass(frozen=True, slots=True)
class Cell:
    """Words on one line with only usual spaces between them."""

    text: str
    left: float
    top: float
    right: float
    bottom: float
    size_pt: float
    bold: bool


@dataclass(frozen=True, slots=True)
class Line:
    """Cells on one line, left to right; most lines have one."""

    cells: tuple[Cell, ...]

    @property
    def text(self) -> str:
        return " ".join(cell.text for cell in self.cells)

    @property
    def left(self) -> float:
        return self.cells[0].left

    @property
    def right(self) -> float:
        return self.cells[-1].right

    @property
    def top(self) -> float:
        return min(cell.top for cell in self.cells)

    @property
    def bottom(self) -> float:
        return max(cell.bottom for cell in self.cells)

    @property
    def size_pt(self) -> float:
        return max(self.cells, key=lambda cell: len(cell.text)).size_pt

    @property
    def bold(self) -> bool:
        return all(cell.bold for cell in self.cells)


def lines_of(words: Sequence[Word]) -> list[Line]:
    """``words`` (in any order) as lines in the order in which a person reads them."""
    by_angle: dict[int, list[Word]] = {}
    for word in words:
        by_angle.setdefault(word.style.angle, []).append(word)
    most_first = sorted(by_angle.values(), key=len, reverse=True)
    return [line for turned in most_first for line in _ordered(_cells(turned), MOST_COLUMNS_DEEP)]


def _cells(words: Sequence[Word]) -> list[Cell]:
    """Words that follow each other on one line, in the order of the page's content."""
    groups: list[list[Word]] = []
    for word in words:
        if groups and _goes_on(groups[-1][-1], word):
            groups[-1].append(word)
        else:
            groups.append([word])
    return _joined([_cell(group) for group in groups])


def _goes_on(before: Word, word: Word) -> bool:
    size = max(before.style.size_pt, word.style.size_pt)
    gap = word.box[0] - before.box[2]
    return _overlap(before.box[1], before.box[3], word.box[1], word.box[3]) and (
        -size < gap < CELL_GAP * size
    )


def _overlap(top: float, bottom: float, other_top: float, other_bottom: float) -> bool:
    shared = min(bottom, other_bottom) - max(top, other_top)
    return shared > SAME_LINE * max(0.1, min(bottom - top, other_bottom - other_top))


def _cell(words: list[Word]) -> Cell:
    text = words[0].text
    for word in words[1:]:
        text += f" {word.text}" if word.spaced else word.text
    main = max(words, key=lambda word: len(word.text)).style
    chars = sum(len(word.text) for word in words)
    return Cell(
        text,
        min(word.box[0] for word in words),
        min(word.box[1] for word in words),
        max(word.box[2] for word in words),
        max(word.box[3] for word in words),
        main.size_pt,
        sum(len(word.text) for word in words if word.style.bold) > 0.9 * chars,
    )


def _joined(cells: list[Cell]) -> list[Cell]:
    """Neighbours on one line that the content had apart."""
    found: list[Cell] = []
    for cell in sorted(cells, key=lambda cell: (round(cell.bottom), cell.left)):
        last = found[-1] if found else None
        if (
            last is not None
            and _overlap(last.top, last.bottom, cell.top, cell.bottom)
            and -0.3 * cell.size_pt < cell.left - last.right < 0.6 * cell.size_pt
        ):
            found[-1] = Cell(
                f"{last.text} {cell.text}",
                last.left,
                min(last.top, cell.top),
                cell.right,
                max(last.bottom, cell.bottom),
                max(last.size_pt, cell.size_pt),
                last.bold and cell.bold,
            )
        else:
            found.append(cell)
    return found


def _ordered(cells: list[Cell], depth: int) -> list[Line]:
    gutter = _gutter(cells) if depth else None
    if gutter is None:
        return _rows(cells)
    lines: list[Line] = []
    left: list[Cell] = []
    right: list[Cell] = []
    for cell in sorted(cells, key=lambda cell: cell.top):
        if cell.right <= gutter:
            left.append(cell)
        elif cell.left >= gutter:
            right.append(cell)
        else:  # a title over both columns: what stands above it is read first
            lines += _ordered(left, depth - 1) + _ordered(right, depth - 1) + _rows([cell])
            left, right = [], []
    return lines + _ordered(left, depth - 1) + _ordered(right, depth - 1)


def _gutter(cells: Sequence[Cell]) -> float | None:
    """The x between two columns of running text, if that is what the cells stand in."""
    best: tuple[int, float] | None = None
    for x in sorted({round(cell.left) for cell in cells}):
        edge = x - 1.0
        left = [cell for cell in cells if cell.right <= edge]
        right = [cell for cell in cells if cell.left >= edge]
        crossing = len(cells) - len(left) - len(right)
        if crossing > min(len(left), len(right)) or not (_column(left) and _column(right)):
            continue
        if not _beside(left, right):
            continue
        if best is None or crossing < best[0]:
            best = (crossing, edge)
    return best[1] if best else None


def _column(cells: Sequence[Cell]) -> bool:
    return (
        len(cells) >= LEAST_COLUMN_LINES
        and median(len(cell.text) for cell in cells) >= LEAST_COLUMN_CHARS
    )


def _beside(left: Sequence[Cell], right: Sequence[Cell]) -> bool:
    top = max(min(cell.top for cell in left), min(cell.top for cell in right))
    bottom = min(max(cell.bottom for cell in left), max(cell.bottom for cell in right))
    heights = [max(c.bottom for c in side) - min(c.top for c in side) for side in (left, right)]
    return bottom - top > 0.5 * min(heights)


def _rows(cells: Sequence[Cell]) -> list[Line]:
    rows: list[list[Cell]] = []
    for cell in sorted(cells, key=lambda cell: (cell.top + cell.bottom) / 2):
        row = rows[-1] if rows else None
        if row and _overlap(row[0].top, row[0].bottom, cell.top, cell.bottom):
            row.append(cell)
        else:
            rows.append([cell])
    return [Line(tuple(sorted(row, key=lambda cell: cell.left))) for row in rows]
