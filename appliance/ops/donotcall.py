"""``ivr do-not-call``: the numbers that are never called by us."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Connection

from appliance.errors import UserError
from appliance.numbers import e164, is_public
from appliance.ops.console import print_json, print_table
from appliance.settings import Settings
from appliance.store import outbound as store
from appliance.store.database import in_database

LARGEST_FILE_BYTES = 64 << 20
WRONG_SHOWN = 5


def print_list(settings: Settings, limit: int, *, as_json: bool) -> None:
    """The latest entries first."""
    found = in_database(settings, lambda connection: store.list_do_not_call(connection, limit))
    if as_json:
        print_json({"do_not_call": [dataclasses.asdict(entry) for entry in found]})
        return
    print_table(
        ("number", "since", "reason"),
        [(e.number, f"{e.added_at.astimezone():%Y-%m-%d %H:%M}", e.reason) for e in found],
        "Nobody has asked not to be called.",
    )


def add(settings: Settings, numbers: Sequence[str], reason: str, *, as_json: bool) -> None:
    """Add numbers, all or none. Raises UserError naming the first that is none."""
    country = settings.switch.country

    def work(connection: Connection) -> int:
        return store.add_do_not_call(connection, numbers, reason, country)

    added = in_database(settings, work)
    if as_json:
        print_json({"action": "added", "added": added, "given": len(numbers)})
    else:
        print(f"{added} added, {len(numbers) - added} there already. In force for the next call.")


def remove(settings: Settings, number: str, *, as_json: bool) -> None:
    """Raises UserError when it is not on the list."""
    country = settings.switch.country

    def work(connection: Connection) -> bool:
        return store.remove_do_not_call(connection, number, country)

    if not in_database(settings, work):
        raise UserError(f"{number!r} is not on the list.")
    if as_json:
        print_json({"action": "removed", "number": e164(number, country)})
    else:
        print(f"{e164(number, country)} may be called again.")


def import_file(settings: Settings, path: Path, reason: str, *, as_json: bool) -> None:
    """Add the first column of a CSV or text file; a first line that is no number is its heading.

    All or none. Raises UserError naming the first lines that are no numbers.
    """
    try:
        numbers = numbers_of(_first_column(path), settings.switch.country)
    except UserError as e:
        raise UserError(f"{path}: {e}") from e
    add(settings, numbers, reason, as_json=as_json)


def numbers_of(cells: Sequence[tuple[int, str]], country: str) -> list[str]:
    """The numbers of a first column: ``cells`` are line and text; a first that is no number is the
    heading. Raises UserError naming the first lines that are no numbers."""
    if cells and not is_public(cells[0][1], country):
        cells = cells[1:]
    wrong = [line for line, cell in cells if not is_public(cell, country)]
    if wrong:
        some = ", ".join(map(str, wrong[:WRONG_SHOWN])) + (" …" if len(wrong) > WRONG_SHOWN else "")
        raise UserError(
            f"{len(wrong)} lines begin with no telephone number: {some}. Nothing is added."
        )
    if not cells:
        raise UserError("There is no telephone number in it.")
    return [cell for _, cell in cells]


def _first_column(path: Path) -> list[tuple[int, str]]:
    try:
        if path.stat().st_size > LARGEST_FILE_BYTES:
            raise UserError(f"{path} is over {LARGEST_FILE_BYTES >> 20} MiB; cut it into parts.")
        with path.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.reader(lines)
            return [(reader.line_num, row[0].strip()) for row in reader if row and row[0].strip()]
    except (OSError, UnicodeDecodeError, csv.Error) as e:
        raise UserError(f"{path} cannot be read: {e}. It must be a text or CSV file.") from e
