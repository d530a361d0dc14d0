"""``ivr do-not-call``: the numbers that are never called by us."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Connection

from appliance.access.commandline import Act, changing
from appliance.errors import UserError
from appliance.numbers import e164, is_public
from appliance.ops.console import print_json, print_table
from appliance.settings import Settings
from appliance.store import outbound as store
from appliance.store.database import in_database
from appliance.store.tenancy import tenant_is_there

LARGEST_FILE_BYTES = 64 << 20
WRONG_SHOWN = 5


def print_list(settings: Settings, tenant: str | None, limit: int, *, as_json: bool) -> None:
    """The latest entries first; ``tenant`` None: everybody's, empty: the operator's own."""
    found = in_database(
        settings, lambda connection: store.list_do_not_call(connection, limit, tenant)
    )
    if as_json:
        print_json({"do_not_call": [dataclasses.asdict(entry) for entry in found]})
        return
    print_table(
        ("number", "since", "whose", "reason"),
        [
            (
                e.number, f"{e.added_at.astimezone():%Y-%m-%d %H:%M}", e.tenant or "operator",
                e.reason,
            )
            for e in found
        ],
        "Nobody has asked not to be called.",
    )  # fmt: skip


def add(
    settings: Settings, numbers: Sequence[str], reason: str, tenant: str = "", *, as_json: bool
) -> None:
    """Add numbers, all or none, as the people of ``tenant`` wish; empty: the operator. Raises UserError
    naming the first that is none; there is no such tenant."""
    country = settings.switch.country

    def work(connection: Connection) -> int:
        _check_tenant(connection, tenant)
        return store.add_do_not_call(connection, numbers, reason, country, tenant)

    def act(added: int) -> Act:
        one = e164(numbers[0], country) if len(numbers) == 1 else f"{len(numbers)} numbers"
        detail = {"given": len(numbers), "added": added, "reason": reason}
        return Act("do_not_call.add", one, detail, tenant or None)

    added = changing(settings, work, act)
    if as_json:
        print_json({"action": "added", "added": added, "given": len(numbers)})
    else:
        print(f"{added} added, {len(numbers) - added} there already. In force for the next call.")


def remove(
    settings: Settings, number: str, reason: str, tenant: str = "", *, as_json: bool
) -> None:
    """Take off what the people of ``tenant`` put there (empty: the operator); what others put there
    stays, and holds. Raises UserError when they did not."""
    country = settings.switch.country
    whole = e164(number, country)

    def work(connection: Connection) -> list[str]:
        _check_tenant(connection, tenant)
        gone = store.remove_do_not_call(connection, number, country, tenant)
        others = [one or "the operator" for one in store.who_lists(connection, whole)]
        if not gone:
            raise UserError(_not_there(number, tenant, others))
        return others

    act = Act("do_not_call.remove", whole, {"reason": reason}, tenant or None)
    others = changing(settings, work, act)
    if as_json:
        print_json({"action": "removed", "number": whole, "tenant": tenant, "still": others})
    elif others:
        print(
            f"{whole} is off that list; it stands on that of {', '.join(others)}, and is not called."
        )
    else:
        print(f"{whole} may be called again.")


def _not_there(number: str, tenant: str, others: Sequence[str]) -> str:
    whose = f"tenant {tenant}" if tenant else "the operator"
    sentence = f"{number!r} is not on the list of {whose}."
    if others:
        sentence += f" It is on that of {', '.join(others)}: say --tenant."
    return sentence


def _check_tenant(connection: Connection, tenant: str) -> None:
    if tenant and not tenant_is_there(connection, tenant):
        raise UserError(f"There is no tenant {tenant!r}; `ivr tenants list` shows those there are.")


def import_file(
    settings: Settings, path: Path, reason: str, tenant: str = "", *, as_json: bool
) -> None:
    """Add the first column of a CSV or text file; a first line that is no number is its heading.

    All or none. Raises UserError naming the first lines that are no numbers.
    """
    try:
        numbers = numbers_of(_first_column(path), settings.switch.country)
    except UserError as e:
        raise UserError(f"{path}: {e}") from e
    add(settings, numbers, reason, tenant, as_json=as_json)


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
