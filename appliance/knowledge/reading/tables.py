"""Rows of a table → sentences that can be spoken, or questions with their answers."""

from __future__ import annotations

import re
from collections.abc import Sequence

from appliance.knowledge.reading.clean import one_line
from appliance.knowledge.reading.document import Block
from appliance.knowledge.reading.markdown import as_sentence, row_sentences

LONGEST_NAME_WORDS = 8
"""Of a column; what is longer is a cell."""
MOST_TITLE_ROWS = 5

QUESTION_NAMES = frozenset(
    "question questions q query queries faq faqs प्रश्न प्रश्नावली सवाल প্রশ্ন প্ৰশ্ন கேள்வி வினா ప్రశ్న "
    "ಪ್ರಶ್ನೆ ചോദ്യം પ્રશ્ન સવાલ ਸਵਾਲ ਪ੍ਰਸ਼ਨ ପ୍ରଶ୍ନ سوال".split()
)
ANSWER_NAMES = frozenset(
    "answer answers ans a response responses reply replies उत्तर उत्तरे जवाब উত্তর উত্তৰ பதில் விடை "
    "జవాబు సమాధానం ಉತ್ತರ ഉത്തരം જવાબ ઉત્તર ਜਵਾਬ ਉੱਤਰ ଉତ୍ତର جواب".split()
)
_SEPARATOR = re.compile(r"[\s_\-:./()\[\]|]+")
_NUMBER = re.compile(r"[\d०-९০-৯]")
_FILLERS = frozenset("your the text in frequently asked customer user sample expected".split())


def table_blocks(rows: Sequence[Sequence[str]], header: bool | None = None) -> list[Block]:
    """The rows of one table, in order.

    A table with a question and an answer column gives questions; any other one sentence of
    ``name: value`` for each row. ``header``: whether the first row names the columns; None: judged
    by what it holds.
    """
    grid = _squared([[one_line(cell) for cell in row] for row in rows])
    before, grid = _titles(grid)
    if not grid:
        return before
    if len(grid[0]) == 1:
        return before + [Block("text", row[0]) for row in grid]
    names = grid[0]
    pairs = _faq_columns(names)
    if pairs:
        return before + _questions(grid[1:], pairs)
    if header if header is not None else _names_columns(grid):
        return before + [Block("text", row_sentences(names, row)) for row in grid[1:]]
    return before + [Block("text", _unnamed(row)) for row in grid]


def _squared(rows: list[list[str]]) -> list[list[str]]:
    """Without empty rows and columns, all of one width."""
    filled = [row for row in rows if any(row)]
    width = max((len(row) for row in filled), default=0)
    padded = [row + [""] * (width - len(row)) for row in filled]
    used = [n for n in range(width) if any(row[n] for row in padded)]
    return [[row[n] for n in used] for row in padded]


def _titles(grid: list[list[str]]) -> tuple[list[Block], list[list[str]]]:
    """Lines above the table proper that stand in one cell: its title, its date."""
    count = 0
    if grid and len(grid[0]) > 1:
        while count < min(MOST_TITLE_ROWS, len(grid) - 1) and _alone(grid[count]):
            count += 1
        if count == len(grid) - 1:
            count = 0  # a list, not a title
    before = [Block("text", next(filter(None, row))) for row in grid[:count]]
    return before, _squared(grid[count:])


def _alone(row: Sequence[str]) -> bool:
    return len(set(filter(None, row))) == 1


def _names_columns(grid: list[list[str]]) -> bool:
    """Whether the first row looks like names and not like one more row."""
    first, rest = grid[0], grid[1:]
    named = [cell for cell in first if cell]
    if not rest or len(named) < 2 or len(set(named)) < len(named):
        return False
    if any(len(cell.split()) > LONGEST_NAME_WORDS or _is_value(cell) for cell in named):
        return False
    if len(first) > 2:
        return True
    # two columns are as often a list of "what: how much", whose first row is a row
    return any(_is_value(row[1]) for row in rest) or len(rest) > 1


def _is_value(cell: str) -> bool:
    return bool(_NUMBER.search(cell)) and not cell[:1].isalpha()


def _unnamed(row: Sequence[str]) -> str:
    """``Deposit: 500 rupees, refundable.`` of a row without names."""
    cells = [cell for cell in row if cell]
    if len(cells) == 1:
        return as_sentence(cells[0])
    head = cells[0].rstrip(":") if not cells[0].endswith("?") else cells[0]
    joint = " " if head.endswith("?") else ": "
    return as_sentence(f"{head}{joint}{', '.join(cells[1:])}")


def _faq_columns(names: Sequence[str]) -> list[tuple[int, int]]:
    """(question, answer) columns. ``Question (Hindi)`` goes with ``Answer (Hindi)``; several wordings
    of a question with the one answer."""
    questions = _columns(names, QUESTION_NAMES)
    answers = _columns(names, ANSWER_NAMES)
    pairs = []
    for column, which in questions.items():
        same = [number for number, other in answers.items() if other == which]
        if same:
            pairs.append((column, same[0]))
        elif len(answers) == 1:
            pairs.append((column, next(iter(answers))))
    return pairs


def _columns(names: Sequence[str], known: frozenset[str]) -> dict[int, frozenset[str]]:
    """Which columns are called by one of ``known``, with the other words of their names."""
    found = {}
    for number, name in enumerate(names):
        words = [word for word in _SEPARATOR.split(name.lower()) if word]
        if len(words) <= LONGEST_NAME_WORDS and known & set(words):
            found[number] = frozenset(words) - known - _FILLERS
    return found


def _questions(rows: Sequence[Sequence[str]], pairs: Sequence[tuple[int, int]]) -> list[Block]:
    return [
        Block("faq", row[answer], question=row[question])
        for row in rows
        for question, answer in pairs
        if row[question] and row[answer]
    ]
