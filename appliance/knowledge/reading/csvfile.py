"""CSV, TSV and their like → one table."""

from __future__ import annotations

import csv
from io import StringIO

from appliance.knowledge.reading.document import Block, Page, RefusedDocumentError
from appliance.knowledge.reading.encodings import check_legacy, decode
from appliance.knowledge.reading.parsed import OnPages, Parsed
from appliance.knowledge.reading.tables import table_blocks

DELIMITERS = ",;\t|"
SAMPLE_LINES = 50
SAMPLE_ROWS = 2000
MOST_ROWS = 200_000
LONGEST_FIELD_CHARS = 1_000_000


def parse_csv(original: bytes, name: str, on_pages: OnPages) -> Parsed:
    """The rows of a table. Raises RefusedDocumentError: encoding, more rows than can be of use."""
    text = decode(original, name).replace("\0", "")
    csv.field_size_limit(LONGEST_FIELD_CHARS)
    rows: list[list[str]] = []
    for row in csv.reader(StringIO(text, newline=""), delimiter=_delimiter(text), strict=False):
        rows.append(row)
        if len(rows) > MOST_ROWS:
            raise RefusedDocumentError(f"{name} has more than {MOST_ROWS:,} rows; split it.")
    check_legacy(" ".join(cell for row in rows[:SAMPLE_ROWS] for cell in row), name)
    on_pages(1, 1)
    return Parsed([Page(None, tuple(_blocks(rows)))])


def _blocks(rows: list[list[str]]) -> list[Block]:
    header = None if len(rows) < 2 else len({cell for cell in rows[0] if cell.strip()}) > 1
    return table_blocks(rows, header)


def _delimiter(text: str) -> str:
    """The mark that most lines have equally often."""
    lines = [line for line in text.splitlines()[:SAMPLE_LINES] if line.strip()]
    best, most = ",", 0
    for mark in DELIMITERS:
        counts = [line.count(mark) for line in lines]
        usual = max(set(counts), key=counts.count, default=0)
        agreed = counts.count(usual) if usual else 0
        if agreed > most:
            best, most = mark, agreed
    return best
