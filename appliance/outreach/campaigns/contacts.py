"""A list of contacts as people have it: CSV out of a spreadsheet. Pure.

The first row may name the columns, in English or Hindi; without one the column that holds telephone
numbers is found. What is wrong with a row is told with the row's number as a spreadsheet shows it, and
that row is left out; what is wrong with the whole file is one UserError.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from appliance.errors import UserError
from appliance.numbers import e164, is_public

MOST_ROWS = 100_000
MOST_COLUMNS = 20
"""What stands further right is not kept."""
LONGEST_CELL_LETTERS = 500
"""Longer ones are cut."""
LONGEST_NAME_LETTERS = 200
MOST_PROBLEMS = 1000
"""That are told one by one; the others are counted."""
SAMPLE_ROWS = 50
"""By which the column of numbers is found."""

_DELIMITERS = ",;\t|"
_SEPARATOR_LINE = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)
"""What Excel writes before the rows of some countries."""
_SCIENTIFIC = re.compile(r"\d(?:[.,]\d+)?E\+?\d+", re.IGNORECASE)
_FORMULA = re.compile(r'="([^"]*)"')
_LETTERS_ONLY = re.compile(r"[\s_\-./#()*:'\"]+")
_NUMBER_NAMES = (
    "number", "phone", "phonenumber", "phoneno", "mobile", "mobilenumber", "mobileno", "telephone",
    "telephonenumber", "tel", "cell", "cellphone", "contact", "contactnumber", "contactno", "msisdn",
    "to", "नंबर", "नम्बर", "फोन", "फ़ोन", "फोननंबर", "फ़ोननंबर", "मोबाइल", "मोबाइलनंबर", "मोबाइलनम्बर",
    "दूरभाष", "संपर्क", "संपर्कनंबर",
)  # fmt: skip
_NUMBER_PARTS = ("mobile", "phone", "whatsapp", "मोबाइल", "फोन", "फ़ोन", "दूरभाष")
_NAME_NAMES = (
    "name", "fullname", "customer", "customername", "contactname", "firstname", "person", "नाम",
    "पूरानाम", "ग्राहक", "ग्राहककानाम",
)  # fmt: skip
_HEADS = {b"PK\x03\x04": "a spreadsheet (XLSX)", b"\xd0\xcf\x11\xe0": "a spreadsheet (XLS)",
          b"%PDF": "a PDF"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Contact:
    """One row that can be called."""

    number: str
    """E.164."""
    name: str
    fields: Mapping[str, str]
    """The other columns by their names."""
    row: int
    """As a spreadsheet counts: the first is 1."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a row is left out."""

    row: int
    what: str


@dataclass(frozen=True, slots=True)
class Sheet:
    """A list that was read."""

    contacts: tuple[Contact, ...]
    problems: tuple[Problem, ...]
    """The first ``MOST_PROBLEMS``."""
    problem_count: int
    rows: int
    """With anything in them, without the heading."""
    number_column: str
    name_column: str
    """Empty: there is none."""
    other_columns: tuple[str, ...]
    encoding: str


def read_contacts(data: bytes, country: str) -> Sheet:
    """Read a list; numbers without a country code are those of ``country`` (ISO 3166).

    Takes some 60 µs a row. Raises UserError: no text, no column of numbers, too many rows.
    """
    text, encoding = decode(data)
    rows = list(_rows(text))
    if not rows:
        raise UserError("The file is empty. Write one contact a row, with a telephone number.")
    columns = _columns(rows, country)
    contacts: list[Contact] = []
    problems: list[Problem] = []
    first_at: dict[str, int] = {}
    for place, cells in rows[columns.heading :]:
        number, wrong = _number(columns.number_of(cells), country)
        if not wrong and number in first_at:
            wrong = f"{number} stands in row {first_at[number]} already"
        if wrong:
            problems.append(Problem(place, wrong))
            continue
        first_at[number] = place
        contacts.append(Contact(number, columns.name_of(cells), columns.fields_of(cells), place))
    return Sheet(
        tuple(contacts),
        tuple(problems[:MOST_PROBLEMS]),
        len(problems),
        len(rows) - columns.heading,
        columns.names[columns.number],
        columns.names[columns.name] if columns.name is not None else "",
        tuple(columns.names[i] for i in columns.others),
        encoding,
    )


def decode(data: bytes) -> tuple[str, str]:
    """The file as text, and the encoding it was in. What Excel saves as plain CSV in India is
    Windows-1252. Raises UserError for what is no text."""
    for head, what in _HEADS.items():
        if data.startswith(head):
            raise UserError(f"This is {what}, no CSV. Save it as “CSV UTF-8” and upload that.")
    for bom, name in ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"),
                      (codecs.BOM_UTF16_BE, "utf-16")):  # fmt: skip
        if data.startswith(bom):
            return _text(data, name), name
    if b"\0" in data[:4096]:
        raise UserError("This is no text. Save the list as “CSV UTF-8” and upload that.")
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace"), "windows-1252"


def _text(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as e:
        raise UserError(
            f"The file says that it is {encoding} and is not. Save it as “CSV UTF-8” again."
        ) from e


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Rows with anything in them, with their numbers. Raises UserError."""
    offset, delimiter = 0, ""
    if match := _SEPARATOR_LINE.match(text):
        delimiter, text, offset = match[1], text[match.end() :], 1
    if delimiter in ("", '"', "\r", "\n"):
        delimiter = _delimiter(text)
    count = 0
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for place, raw in enumerate(reader, 1 + offset):
            cells = [_clean(cell) for cell in raw[:MOST_COLUMNS]]
            if not any(cells):
                continue
            count += 1
            if count > MOST_ROWS + 1:  # a heading may be among them
                raise UserError(
                    f"The list has over {MOST_ROWS:,} rows. Cut it into several campaigns."
                )
            yield place, cells
    except csv.Error as e:
        raise UserError(
            f"Line {reader.line_num + offset}: {e}. A quotation mark is opened and not closed, or"
            " something follows a closed one; mend that line."
        ) from e


def _delimiter(text: str) -> str:
    """The one that cuts every one of the first rows, and the first one into most columns."""
    head = "\n".join(text[:20_000].splitlines()[:10])

    def columns(delimiter: str) -> tuple[int, int]:
        try:
            widths = [len(row) for row in csv.reader(io.StringIO(head), delimiter=delimiter) if row]
        except csv.Error:
            widths = []
        return (min(widths), widths[0]) if widths else (0, 0)

    return max(_DELIMITERS, key=columns)


def _clean(cell: str) -> str:
    """Without what a spreadsheet puts around, and without letters that nobody sees."""
    text = cell.strip()
    if text.startswith("="):
        match = _FORMULA.fullmatch(text)
        text = match[1] if match else text
    text = "".join(" " if c.isspace() else c for c in text if c.isspace() or c.isprintable())
    return text.strip().removeprefix("'")[:LONGEST_CELL_LETTERS]


def _number(cell: str, country: str) -> tuple[str, str]:
    """E.164, or an empty string and what is wrong."""
    if not cell:
        return "", "has no telephone number"
    if _SCIENTIFIC.fullmatch(cell):
        return "", (
            f"{cell} is a number that the spreadsheet has rounded: format the column as text, and"
            " enter it again"
        )
    digits = "".join(_ascii(c) for c in cell)
    digits = digits.removesuffix(".0")
    if not is_public(digits, country):
        return "", f"“{cell[:40]}” is no telephone number"
    return e164(digits, country), ""


def _ascii(letter: str) -> str:
    """Digits of other scripts (९८७६…) as 0-9."""
    value = unicodedata.decimal(letter, None)
    return letter if value is None else str(value)


def _fold(name: str) -> str:
    return _LETTERS_ONLY.sub("", unicodedata.normalize("NFKD", name).casefold())


_NUMBERS = {_fold(name): rank for rank, name in enumerate(_NUMBER_NAMES)}
_PARTS = tuple(_fold(part) for part in _NUMBER_PARTS)
_NAMES = frozenset(_fold(name) for name in _NAME_NAMES)


@dataclass(frozen=True, slots=True)
class _Columns:
    names: tuple[str, ...]
    number: int
    name: int | None
    heading: int
    """Rows of it: 0 or 1."""

    @property
    def others(self) -> tuple[int, ...]:
        return tuple(i for i in range(len(self.names)) if i not in (self.number, self.name))

    def number_of(self, cells: Sequence[str]) -> str:
        return cells[self.number] if self.number < len(cells) else ""

    def name_of(self, cells: Sequence[str]) -> str:
        if self.name is None or self.name >= len(cells):
            return ""
        return cells[self.name][:LONGEST_NAME_LETTERS]

    def fields_of(self, cells: Sequence[str]) -> dict[str, str]:
        return {self.names[i]: cells[i] for i in self.others if i < len(cells) and cells[i]}


def _columns(rows: Sequence[tuple[int, list[str]]], country: str) -> _Columns:
    """Which column is what. Raises UserError where none has telephone numbers."""
    first = rows[0][1]
    heading = int(not any(_number(cell, country)[0] for cell in first))
    sample = [cells for _, cells in rows[heading : heading + SAMPLE_ROWS]]
    width = max(len(cells) for _, cells in rows[: heading + SAMPLE_ROWS])
    titles = [*first, *[""] * (width - len(first))] if heading else [""] * width
    names = _unique(titles)
    folded = [_fold(title) for title in titles]
    number = _number_column(folded, sample, country)
    if number is None:
        raise UserError(
            "No column holds telephone numbers. Name that column “number” in the first row, and"
            " write numbers like +919876543210."
        )
    is_name = [i for i, name in enumerate(folded) if name in _NAMES and i != number]
    return _Columns(names, number, is_name[0] if is_name else None, heading)


def _number_column(
    folded: Sequence[str], sample: Sequence[Sequence[str]], country: str
) -> int | None:
    """By its name; of several, or without one, by what is in it."""

    def share(column: int) -> float:
        cells = [cells[column] for cells in sample if column < len(cells) and cells[column]]
        return sum(bool(_number(cell, country)[0]) for cell in cells) / max(1, len(cells))

    named = [i for i, name in enumerate(folded) if name in _NUMBERS]
    parts = [i for i, name in enumerate(folded) if any(part in name for part in _PARTS)]
    for candidates in (named, parts, range(len(folded))):
        good = [column for column in candidates if share(column) >= 0.5]
        if good:
            return good[0]
    return next(iter(named or parts), None)


def _unique(titles: Sequence[str]) -> tuple[str, ...]:
    """Names for all columns, no two alike."""
    names: list[str] = []
    for place, title in enumerate(titles, 1):
        name = title[:60] or f"column {place}"
        names.append(name if name not in names else f"{name} ({place})")
    return tuple(names)
