"""XLSX → a heading for each sheet and a sentence for each row. Formulas are never worked out."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from datetime import date, datetime, time
from io import BytesIO
from typing import Any

from openpyxl import load_workbook
from openpyxl.utils import column_index_from_string

from appliance.knowledge.reading.document import Block, Page, ReadOptions, RefusedDocumentError
from appliance.knowledge.reading.parsed import Hidden, OnPages, Parsed
from appliance.knowledge.reading.tables import table_blocks

MOST_CELLS = 2_000_000
"""Of one sheet, with empty ones: openpyxl takes 50 bytes for each."""
_UNSOLVED = re.compile(rb"<(?:x:)?f\b[^<>]*(?:/>|>[^<]*</(?:x:)?f>)\s*(?:<v\s*/>|<v></v>|</c>)")
_MERGED = re.compile(
    rb'<(?:x:)?mergeCell\s[^>]{0,200}?ref="\$?([A-Z]{1,3})\$?(\d{1,7}):\$?([A-Z]{1,3})\$?(\d{1,7})"'
)
_CURRENCIES = ("₹", "$", "€", "£")
_WHITE = ("FFFFFFFF", "00FFFFFF")


def parse_workbook(original: bytes, name: str, options: ReadOptions, on_pages: OnPages) -> Parsed:
    """The sheets that are shown, as they were when last saved. Raises RefusedDocumentError."""
    _check_merged(original, name)
    book = load_workbook(BytesIO(original), data_only=True, keep_links=False)
    hidden = Hidden()
    pages, notes = [], []
    total = len(book.worksheets)
    for number, sheet in enumerate(book.worksheets, 1):
        if sheet.sheet_state != "visible":
            notes.append(f"Left out the hidden sheet {sheet.title!r}.")
        else:
            blocks = _sheet(sheet, name, hidden)
            if blocks:
                pages.append(Page(None, (Block("heading", sheet.title, 1), *blocks)))
        on_pages(number, total)
    unsolved = _unsolved(original)
    if unsolved:
        notes.append(
            f"{unsolved} formulas have no stored result and were left out; "
            "open the workbook in a spreadsheet program and save it."
        )
    return Parsed(pages, [*notes, *hidden.notes()])


def _sheet(sheet: Any, name: str, hidden: Hidden) -> list[Block]:
    if (sheet.max_row or 0) * (sheet.max_column or 0) > MOST_CELLS:
        raise RefusedDocumentError(
            f"The sheet {sheet.title!r} of {name} reaches to row {sheet.max_row:,} and column "
            f"{sheet.max_column:,}; delete what is empty, or save it as CSV."
        )
    columns = _hidden_columns(sheet)
    merged = _merged(sheet)
    rows = []
    for row in sheet.iter_rows():
        texts = []
        out_of_sight = bool(row) and sheet.row_dimensions[row[0].row].hidden
        for cell in row:
            text = _text(merged.get((cell.row, cell.column), cell))
            if text and (out_of_sight or cell.column in columns):
                hidden.add("hidden rows and columns", text)
                text = ""
            elif text and _unseen(cell):
                hidden.add("white text on white", text)
                text = ""
            texts.append(text)
        rows.append(texts)
    return _tables(rows)


def _tables(rows: list[list[str]]) -> list[Block]:
    """Tables that empty rows part."""
    found: list[Block] = []
    group: list[list[str]] = []
    for row in [*rows, []]:
        if any(row):
            group.append(row)
        elif group:
            found += table_blocks(group, True if len(group) > 1 else None)
            group = []
    return found


def _hidden_columns(sheet: Any) -> set[int]:
    """Numbers of columns that are hidden; one entry may stand for several."""
    found: set[int] = set()
    for dimension in sheet.column_dimensions.values():
        if dimension.hidden:
            found.update(range(dimension.min or 0, min(dimension.max or 0, 16384) + 1))
    return found


def _merged(sheet: Any) -> dict[tuple[int, int], Any]:
    """Cells below a merged one: they say what it says."""
    found = {}
    for area in sheet.merged_cells.ranges:
        first = sheet.cell(area.min_row, area.min_col)
        if area.min_col == area.max_col and area.max_row - area.min_row < 1000:
            found.update(
                {(row, area.min_col): first for row in range(area.min_row, area.max_row + 1)}
            )
    return found


def _text(cell: Any) -> str:
    """A value as one would say it."""
    value = cell.value
    shape = str(cell.number_format or "")
    match value:
        case None:
            return ""
        case bool():
            return "Yes" if value else "No"
        case datetime() if (value.hour, value.minute) == (0, 0):
            return f"{value.day} {value:%B %Y}"
        case datetime():
            return f"{value.day} {value:%B %Y, %H:%M}"
        case date():
            return f"{value.day} {value:%B %Y}"
        case time():
            return f"{value:%H:%M}"
        case int() | float():
            return _number(value, shape)
        case _:
            text = str(value)
            return "" if text.startswith("#") and text.endswith(("!", "?", "/0!", "/A")) else text


def _number(value: float, shape: str) -> str:
    if shape.strip().startswith(";;;"):
        return ""
    if "%" in shape:
        return f"{round(value * 100, 6):.12g}%"
    sign = next((mark for mark in _CURRENCIES if mark in shape), "")
    if isinstance(value, int) or value.is_integer():
        return f"{sign}{int(value)}"
    return f"{sign}{round(value, 6):.12g}"


def _unseen(cell: Any) -> bool:
    colour, fill = cell.font.color, cell.fill
    painted = fill is not None and fill.fill_type is not None
    if colour is None or painted:
        return False
    if colour.type == "rgb":
        return colour.rgb in _WHITE
    return colour.type == "theme" and colour.theme == 0 and not colour.tint


def _check_merged(original: bytes, name: str) -> None:
    """openpyxl makes an object for each cell of a merged area, however large it says it is."""
    for sheet in _sheets(original):
        cells = sum(
            (column_index_from_string(right.decode()) - column_index_from_string(left.decode()) + 1)
            * (int(bottom) - int(top) + 1)
            for left, top, right, bottom in _MERGED.findall(sheet)
        )
        if cells > MOST_CELLS:
            raise RefusedDocumentError(
                f"{name} merges {cells:,} cells of a sheet; undo that, or save it as CSV."
            )


def _sheets(original: bytes) -> Iterator[bytes]:
    with zipfile.ZipFile(BytesIO(original)) as archive:
        for part in archive.namelist():
            if part.startswith("xl/worksheets/") and part.endswith(".xml"):
                yield archive.read(part)


def _unsolved(original: bytes) -> int:
    """Formulas that no program has worked out yet."""
    return sum(len(_UNSOLVED.findall(sheet)) for sheet in _sheets(original))
