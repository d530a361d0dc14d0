"""``ivr golden``: questions whose answers are watched."""

from __future__ import annotations

import csv
from pathlib import Path

from appliance.access.commandline import Act, also, noting
from appliance.errors import UserError
from appliance.ops.console import plain, print_json, print_table, short, who
from appliance.review.golden import ask_golden
from appliance.settings import Settings
from appliance.store import golden as store
from appliance.store.database import answer
from appliance.store.golden import NewQuestion

QUERY_S = 30.0
LARGEST_FILE_BYTES = 4 << 20


def add(settings: Settings, new: NewQuestion, by: str, *, as_json: bool) -> None:
    """Add one question, or change what is expected of it."""
    line = also(Act("golden.add", new.agent_id, {"questions": 1}, agent=new.agent_id))
    (key,), added = answer(
        settings, lambda e: store.add_questions(e, [new], who(by), line), QUERY_S
    )
    if as_json:
        print_json({"id": key, "added": added})
    else:
        print(f"Golden question {key} is {'added' if added else 'changed'}.")


def import_file(settings: Settings, agent_id: str, path: Path, by: str, *, as_json: bool) -> None:
    """Add the questions of a CSV file: question, what is expected. All or none. Raises UserError."""
    new = [NewQuestion(agent_id, *row) for row in _rows(path)]
    line = also(Act("golden.add", agent_id, {"questions": len(new)}, agent=agent_id))
    ids, added = answer(settings, lambda e: store.add_questions(e, new, who(by), line), QUERY_S)
    if as_json:
        print_json({"ids": ids, "added": added})
    else:
        print(f"{added} golden questions added, {len(ids) - added} changed.")


def _rows(path: Path) -> list[tuple[str, str]]:
    try:
        if path.stat().st_size > LARGEST_FILE_BYTES:
            raise UserError(f"{path} is over {LARGEST_FILE_BYTES >> 20} MiB; cut it into parts.")
        with path.open(newline="", encoding="utf-8-sig") as lines:
            rows = [[cell.strip() for cell in row] for row in csv.reader(lines)]
    except (OSError, UnicodeDecodeError, csv.Error) as e:
        raise UserError(f"{path} cannot be read: {e}. It must be CSV in UTF-8.") from e
    rows = [row for row in rows if row and row[0]]
    if rows and rows[0][0].casefold() == "question":
        rows = rows[1:]
    if not rows:
        raise UserError(f"{path} holds no question.")
    return [(row[0], row[1] if len(row) > 1 else "") for row in rows]


def print_questions(settings: Settings, agent_id: str, *, as_json: bool) -> None:
    """Golden questions, and how they were answered last."""
    found = answer(settings, lambda engine: store.list_questions(engine, agent_id), QUERY_S)
    found.sort(key=lambda one: (one.agent_id, one.id))
    if as_json:
        print_json({"questions": found})
        return
    rows = [
        (
            *(one.id, one.agent_id, short(one.question), short(one.expected)),
            f"{one.asked_at.astimezone():%Y-%m-%d %H:%M}" if one.asked_at else "never",
            one.last.verdict if one.last else "",
            short(one.last.answer) if one.last else "",
        )
        for one in found
    ]
    names = ("id", "agent", "question", "expected", "asked", "verdict", "answer")
    print_table(names, rows, "There are no golden questions.")


def run(settings: Settings, agent_id: str, *, as_json: bool) -> bool:
    """Ask them all now; whether all is as it should be."""
    noting(settings, Act("golden.run", agent_id, agent=agent_id))
    done = answer(settings, lambda engine: ask_golden(engine, settings, agent_id))
    if as_json:
        print_json({"run": done})
    else:
        rows = [
            (
                *(one.question.id, one.question.agent_id, one.verdict),
                "" if one.similarity is None else f"{one.similarity:.2f}",
                short(one.question.question),
                short(one.asked.failure or one.asked.answer),
                one.flag.id[:8] if one.flag else "",
            )
            for one in done.outcomes
        ]
        names = ("id", "agent", "verdict", "like", "question", "answer", "flag")
        print_table(names, rows, "There are no golden questions.")
        if done.left:
            print(f"{done.left} questions are left for the next run.")
    return not done.left and all(one.verdict == "same" for one in done.outcomes)


def remove(settings: Settings, key: int, *, as_json: bool) -> None:
    """Delete a question with its answers."""
    known = answer(settings, lambda engine: store.list_questions(engine, ids=[key]), QUERY_S)
    agent_id = known[0].agent_id if known else ""
    line = also(Act("golden.remove", str(key), {"agent": agent_id}, agent=agent_id))
    gone = answer(settings, lambda engine: store.remove_question(engine, key, line), QUERY_S)
    if as_json:
        print_json({"removed": gone})
    else:
        print(f"Golden question {gone.id} is gone: {plain(gone.question)}")
