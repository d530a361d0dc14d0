"""What the operator's commands share: a table, and how a change is told."""

from __future__ import annotations

import getpass
from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from appliance.events import Passage
from appliance.ops.switchclient import IN_FORCE, put_in_force
from appliance.settings import Settings

PIPED_COLUMNS = 160
"""Width of a table that goes to a file or a pipe, where no terminal says one."""
SHORT_LETTERS = 60


def tell_change(
    settings: Settings, sentence: str, facts: dict[str, Any], notes: Sequence[str], as_json: bool
) -> None:
    """Put a change in force and say so: sentences, or one JSON object."""
    force = put_in_force(settings)
    if as_json:
        print_json(facts | {"in_force": force == IN_FORCE, "notes": [*notes, force]})
        return
    print(f"{plain(sentence)} {plain(force)}")
    for note in notes:
        print(f"Note: {plain(note)}")


def print_json(value: object) -> None:
    """One line."""
    print(orjson.dumps(value).decode())


def console_here() -> Console:
    """Standard output, where nothing in a cell is read as markup."""
    console = Console(markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = PIPED_COLUMNS
    return console


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], empty: str) -> None:
    """A table, or ``empty`` where there is no row."""
    console = console_here()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*(Text(plain(str(cell))) for cell in row))
    console.print(table if table.row_count else empty)


def plain(text: str) -> str:
    """``text`` without what a terminal would obey."""
    return "".join(c if c.isprintable() else "�" for c in text)


def short(text: str) -> str:
    """The beginning of ``text``, for the cell of a table."""
    return text if len(text) <= SHORT_LETTERS else text[: SHORT_LETTERS - 1] + "…"


def who(by: str = "") -> str:
    """The name of whoever types: as they give it, else that of the account."""
    return by.strip() or getpass.getuser()


def passage_line(passage: Passage) -> str:
    """A passage on one line: whether the answer rests on it, where it stands, how sure it was."""
    page = f" p. {passage.page}" if passage.page else ""
    title = " / ".join(part for part in (passage.document + page, passage.heading) if part)
    return plain(f"{'*' if passage.cited else ' '} {title} ({passage.score:.2f})")
