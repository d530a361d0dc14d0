"""CSV that people open in a spreadsheet: cells of strangers' making are never formulas there."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from datetime import datetime

FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""A cell that begins so is run by spreadsheets (OWASP, CSV injection; the last four are full-width
signs): so an apostrophe goes before."""
_FORMULA = re.compile(rf"((?:\A|[;\t\r\n])[ \"]*)(?=[{re.escape(''.join(FORMULA_SIGNS))}])")
"""Where one begins: the cell, and what a spreadsheet that parts cells by ``;`` or tab, or that reads
lines where we meant one cell, makes a cell of its own."""
BYTE_ORDER_MARK = "\ufeff"
"""Tells Excel that the file is UTF-8."""


def csv_lines(rows: Iterable[Sequence[object]]) -> bytes:
    """``rows`` as CSV (RFC 4180), in UTF-8."""
    out = io.StringIO()
    writer = csv.writer(out)
    for row in rows:
        writer.writerow([cell(value) for value in row])
    return out.getvalue().encode("utf-8", "replace")


def cell(value: object) -> str:
    """One value as a spreadsheet may show it; numbers stay numbers."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return str(value)
        case datetime():
            return value.isoformat(timespec="seconds")
        case _:
            return _FORMULA.sub(r"\1'", str(value).replace("\0", ""))
