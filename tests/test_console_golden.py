"""Golden questions in the console: within a tenant, by role, run now with progress."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
from knowledge_servers import EmbedProcess
from review_kit import FAQ, helpline, load_text, settings_of
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.access.actor import ForbiddenError, NotFoundError
from appliance.admin.console import Console
from appliance.admin.services import golden
from appliance.errors import UserError
from tests.console_kit import console_on
from tests.review_console_kit import (
    ACME,
    ADMIN,
    OTHER_REVIEWER,
    REVIEWER,
    VIEWER,
    ZEN,
    add_tenants,
    agent_in,
    api_as,
    audited,
    give,
    give_base,
)

FEE = "What is the late fee?"


@pytest.fixture
async def console(engine: AsyncEngine, database_url: str, tmp_path: Path) -> AsyncIterator[Console]:
    await add_tenants(engine)
    await agent_in(engine, ACME, "asha")
    await agent_in(engine, ZEN, "zoe")
    settings = settings_of(tmp_path, database_url, "http://127.0.0.1:1")
    async with console_on(engine, settings) as made:
        yield made


async def test_questions_are_their_agents_tenants(engine: AsyncEngine, console: Console) -> None:
    (number,), added = await golden.add(console, REVIEWER, "asha", [(FEE, "100 rupees")])
    assert added == 1
    assert [one.question for one in await golden.questions(console, VIEWER)] == [FEE]
    assert await golden.questions(console, OTHER_REVIEWER) == []
    for ask in (
        lambda: golden.questions(console, OTHER_REVIEWER, "asha"),
        lambda: golden.add(console, OTHER_REVIEWER, "asha", [(FEE, "")]),
        lambda: golden.answers(console, OTHER_REVIEWER, number),
        lambda: golden.edit(console, OTHER_REVIEWER, number, expected="", enabled=False),
        lambda: golden.remove(console, OTHER_REVIEWER, number),
        lambda: golden.run(console, OTHER_REVIEWER, "asha"),
        lambda: golden.remove(console, REVIEWER, 2**63),
        lambda: golden.answers(console, REVIEWER, 0),
    ):
        with pytest.raises(NotFoundError):
            await ask()
    edited = await golden.edit(console, REVIEWER, number, expected=" ninety ", enabled=False)
    assert (edited.expected, edited.enabled) == ("ninety", False)
    with pytest.raises(UserError, match="no words"):
        await golden.edit(console, REVIEWER, number, expected="ninety|", enabled=True)
    await golden.remove(console, REVIEWER, number)
    assert await golden.questions(console, VIEWER) == []
    assert [(row[1], row[3]) for row in await audited(engine)] == [
        ("golden.add", ACME), ("golden.edit", ACME), ("golden.remove", ACME),
    ]  # fmt: skip


async def test_who_may_look_may_not_change(console: Console) -> None:
    (number,), _ = await golden.add(console, ADMIN, "asha", [(FEE, "")])
    for change in (
        lambda: golden.add(console, VIEWER, "asha", [(FEE, "")]),
        lambda: golden.edit(console, VIEWER, number, expected="", enabled=False),
        lambda: golden.remove(console, VIEWER, number),
        lambda: golden.run(console, VIEWER, "asha"),
    ):
        with pytest.raises(ForbiddenError):
            await change()


async def test_none_too_many_and_empty_ones_are_refused(console: Console) -> None:
    for new, why in (
        ([], "1 to 200"),
        ([(FEE, "")] * 201, "1 to 200"),
        ([("???", "")], "has words"),
        ([("x" * 501, "")], "500 letters"),
    ):
        with pytest.raises(UserError, match=why):
            await golden.add(console, REVIEWER, "asha", new)


@pytest.mark.server
async def test_a_run_tells_each_answer_as_it_comes_and_what_has_changed(
    engine: AsyncEngine, database_url: str, tmp_path: Path, embed_process: EmbedProcess
) -> None:
    await add_tenants(engine)
    await helpline(engine, tmp_path, embed_process.url)
    await give(engine, "asha", ACME)
    await give_base(engine, "helpline", ACME)
    settings = settings_of(tmp_path, database_url, embed_process.url)
    async with console_on(engine, settings) as console, api_as(console, REVIEWER) as api:
        body = {
            "agent_id": "asha",
            "questions": [{"question": FEE, "expected": "100 rupees"}, {"question": "When open?"}],
        }
        made = await api.post("golden", json=body)
        assert (made.status_code, made.json()["added"]) == (201, 2)
        first, second = made.json()["ids"]

        async def run() -> list[dict[str, object]]:
            sent = await api.post("golden/runs", json={"agent_id": "asha"})
            return [orjson.loads(line) for line in sent.text.splitlines()]

        lines = await run()
        assert [(line["done"], line["total"], line["verdict"]) for line in lines[:-1]] == [
            (1, 2, "same"), (2, 2, "same"),
        ]  # fmt: skip
        assert lines[-1] == {"verdicts": {"same": 2}, "flags": 0, "left": 0}
        await api.put(f"golden/{second}", json={"enabled": False})
        await load_text(engine, tmp_path, embed_process.url, FAQ.replace("one hundred", "ninety"))
        lines = await run()
        assert [line["verdict"] for line in lines[:-1]] == ["wrong"]
        assert lines[0]["flag"] and lines[-1]["flags"] == 1
        over_time = (await api.get(f"golden/{first}/answers")).json()
        assert [one["verdict"] for one in over_time] == ["wrong", "same"]
        assert "ninety" in over_time[0]["answer"] and "hundred" in over_time[1]["answer"]
        (shown, _) = (await api.get("golden", params={"agent_id": "asha"})).json()
        assert shown["last"]["verdict"] == "wrong"
        assert (await api.post("golden/runs", json={"agent_id": "zoe"})).status_code == 404
