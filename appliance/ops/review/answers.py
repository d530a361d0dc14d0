"""``ivr answers``: what agents answer common questions with, made in advance."""

from __future__ import annotations

from appliance.access.commandline import Act, also, noting
from appliance.errors import UserError
from appliance.ops.console import plain, print_json, print_table, short
from appliance.review.common import make_answers
from appliance.settings import Settings
from appliance.store import cached_answers as store
from appliance.store.database import answer

QUERY_S = 10.0


def print_answers(settings: Settings, agent_id: str, *, as_json: bool) -> None:
    """Every answer made in advance, those asked most first."""
    found = answer(settings, lambda engine: store.list_answers(engine, agent_id), QUERY_S)
    if as_json:
        print_json({"answers": found})
        return
    rows = [
        (
            *(f"{one.agent_id}.{one.agent_version}", one.knowledge_version, one.calls),
            "no" if one.withdrawn else "yes",
            *(short(one.cached.question), short(one.cached.answer)),
        )
        for one in found
    ]
    names = ("agent", "knowledge", "calls", "said", "question", "answer")
    print_table(names, rows, "No question has been asked often enough yet.")


def make(settings: Settings, agent_id: str, *, as_json: bool) -> None:
    """Make what is missing now, instead of waiting for the background job."""
    noting(settings, Act("answer.make", agent_id, agent=agent_id))
    made = answer(settings, lambda engine: make_answers(engine, settings, agent_id))
    if as_json:
        print_json(made)
    else:
        print(
            f"{made.asked} questions asked, {made.kept} answers kept,"
            f" {made.dropped} of other versions deleted."
        )


def withdraw(settings: Settings, agent_id: str, question: str, *, as_json: bool) -> None:
    """Have a question no longer answered in advance, for this version. Raises UserError."""
    wording = store.wording_of(question)
    line = also(Act("answer.withdraw", agent_id, agent=agent_id))
    gone = answer(
        settings, lambda engine: store.withdraw(engine, agent_id, [wording], line), QUERY_S
    )
    if not gone:
        raise UserError(f"Agent {agent_id} has no such answer in use: {question!r}.")
    if as_json:
        print_json({"withdrawn": gone, "wording": wording})
    else:
        print(f"No longer answered in advance: {plain(wording)}")
