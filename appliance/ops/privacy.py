"""``ivr retention`` and ``ivr erase``: what is kept how long, and proof that it is gone."""

from __future__ import annotations

import dataclasses

from appliance.access.commandline import Act, noting
from appliance.ops.console import print_json, print_table
from appliance.privacy import erasure
from appliance.privacy.retention import Kept, erase_old, read_kept
from appliance.settings import Settings
from appliance.store import erasing
from appliance.store.database import answer
from appliance.store.erasing import Erased

QUERY_TIMEOUT_S = 10.0
RUN_TIMEOUT_S = 6 * 3600.0
"""A first run over years of calls."""
LEFT_STATUS = 1


def print_retention(settings: Settings, limit: int, *, as_json: bool) -> None:
    """The days of each agent, then the last erasures. Raises UserError without the database."""
    kept = answer(settings, lambda engine: read_kept(engine, settings), QUERY_TIMEOUT_S)
    past = answer(settings, lambda engine: erasing.read_erasures(engine, limit), QUERY_TIMEOUT_S)
    if as_json:
        print_json({"kept": [dataclasses.asdict(one) for one in kept], "erasures": past})
        return
    print_table(
        ("agent", "recordings", "words", "rows"),
        [(one.agent_id, *_days(one)) for one in kept],
        "There is no agent.",
    )
    print()
    print_table(
        ("when", "why", "agent", "what", "calls", "files", "rows", "left", "note"),
        [
            (
                f"{row['at'].astimezone():%Y-%m-%d %H:%M}", row["reason"], row["agent_id"],
                row["what"], str(row["calls"]), str(row["files"]), str(row["rows"]),
                str(row["left"]), row["note"],
            )
            for row in past
        ],
        "Nothing was erased yet.",
    )  # fmt: skip


def _days(kept: Kept) -> tuple[str, str, str]:
    one, two, three = (
        f"{days} days" if days else "for ever"
        for days in (kept.recordings, kept.transcripts, kept.log)
    )
    return one, two, three


def run_retention(settings: Settings, *, dry_run: bool, as_json: bool) -> int:
    """Erase what is too old; returns the exit status."""
    if not dry_run:
        noting(settings, Act("retention.run", "all"))
    lines = answer(
        settings, lambda engine: erase_old(engine, settings, dry_run=dry_run), RUN_TIMEOUT_S
    )
    left = sum(line.left for line in lines if not line.note)
    if as_json:
        erased = [dataclasses.asdict(line) for line in lines]
        print_json({"dry_run": dry_run, "erased": erased, "left": left})
    else:
        print_table(
            ("agent", "what", "older than", "calls", "files", "rows", "left"),
            [_row(line) for line in lines],
            "Nothing is too old.",
        )
        if not dry_run:
            print(f"\nLooked again: {left} left." if left else "\nLooked again: nothing is left.")
    return LEFT_STATUS if left else 0


def _row(line: Erased) -> tuple[str, ...]:
    older = f"{line.older_than.astimezone():%Y-%m-%d}" if line.older_than else ""
    counts = (line.calls, line.files, line.rows, line.left)
    return (line.agent_id or line.note, line.what, older, *map(str, counts))


def erase_caller(settings: Settings, number: str, asked_by: str, *, as_json: bool) -> int:
    """Erase one caller; returns the exit status. Raises UserError while a call of theirs lives."""
    key = erasure.key_of(number, settings)
    noting(settings, Act("caller.erase", key, {"caller": key}))
    report = answer(
        settings,
        lambda engine: erasure.erase_caller(engine, settings, number, asked_by),
        RUN_TIMEOUT_S,
    )
    if as_json:
        print_json(report.as_json())
    else:
        print(f"{report.calls} calls, {report.files} recordings, {report.rows} rows erased.")
        print(f"Looked again: {report.left or 'nothing'} left. Kept as {report.key}.")
        for limit in report.limits:
            print(f"- {limit}")
    return LEFT_STATUS if report.left else 0
