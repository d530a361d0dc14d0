"""What the operator's commands share: a transaction, a table, and how a change is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from appliance.errors import UserError
from appliance.ops.switchclient import IN_FORCE, put_in_force
from appliance.settings import Settings
from appliance.store.database import database_url, explain, open_sync_engine

PIPED_COLUMNS = 160
"""Width of a table that goes to a file or a pipe, where no terminal says one."""
T = TypeVar("T")


def in_database(settings: Settings, work: Callable[[Connection], T]) -> T:
    """``work`` in one transaction. Raises UserError where the database does not answer."""
    url = database_url(settings)
    engine = open_sync_engine(
        url, connect_timeout_s=settings.database.connect_timeout_s, pool_size=1
    )
    try:
        with engine.begin() as connection:
            return work(connection)
    except (SQLAlchemyError, OSError) as e:
        raise UserError(explain(url, e)) from e
    finally:
        engine.dispose()


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


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], empty: str) -> None:
    """A table, or ``empty`` where there is no row."""
    console = Console(markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = PIPED_COLUMNS
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*(Text(plain(str(cell))) for cell in row))
    console.print(table if table.row_count else empty)


def plain(text: str) -> str:
    """``text`` without what a terminal would obey."""
    return "".join(c if c.isprintable() else "�" for c in text)
