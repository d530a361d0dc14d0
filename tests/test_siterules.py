"""The site's rules in a worker's guard: as Postgres has them now, or as they were last read."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from sqlalchemy import insert, update
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.call import siterules
from appliance.call.release import Guarding
from appliance.call.siterules import FILE, SiteRules
from appliance.events import Agent
from appliance.safety.findings import Context
from appliance.safety.guard import Guard
from appliance.safety.rules import RuleSet
from appliance.store.database import open_engine
from appliance.store.review_models import GuardRuleRow

AGENT = Agent("A", 1, "A", grounding="off")


def stops(guarding: Guarding, phrase: str) -> bool:
    findings = guarding.guard.check_phrase(phrase, Context(AGENT, "hello"))
    return any(finding.action == "stop" for finding in findings)


@pytest.mark.server
async def test_a_new_rule_is_in_force_and_a_disabled_one_is_not(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    guarding = Guarding(Guard(RuleSet()))
    rules = SiteRules(engine, guarding, tmp_path)
    await rules.refresh()
    assert not stops(guarding, "We sell green cheese.")
    async with engine.begin() as connection:
        await connection.execute(insert(GuardRuleRow).values(kind="words", text="green cheese"))
    await rules.refresh()
    assert stops(guarding, "We sell green cheese.")
    before = guarding.guard
    await rules.refresh()
    assert guarding.guard is before  # nothing has changed: nothing is compiled again
    async with engine.begin() as connection:
        await connection.execute(update(GuardRuleRow).values(enabled=False))
    await rules.refresh()
    assert not stops(guarding, "We sell green cheese.")


@pytest.mark.server
async def test_with_postgres_away_the_rules_last_read_on_this_machine_are_in_force(
    engine: AsyncEngine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with engine.begin() as connection:
        await connection.execute(insert(GuardRuleRow).values(kind="words", text="green cheese"))
    await SiteRules(engine, Guarding(Guard(RuleSet())), tmp_path).refresh()

    away = open_engine("postgresql://ivr:x@127.0.0.1:9/ivr")
    guarding = Guarding(Guard(RuleSet()))
    await SiteRules(away, guarding, tmp_path).refresh()
    assert stops(guarding, "We sell green cheese.")
    assert "the site's rules are not read" in caplog.text

    for damaged in (b"{", b'[{"no": 1}]'):
        (tmp_path / FILE).write_bytes(damaged)
        guarding = Guarding(Guard(RuleSet()))
        await SiteRules(away, guarding, tmp_path).refresh()
        assert not stops(guarding, "We sell green cheese.")
    await away.dispose()


async def test_a_file_of_another_version_takes_no_other_rule_away(tmp_path: Path) -> None:
    rows = [
        {"id": 1, "kind": "words", "text": "green cheese"},
        {"id": 2, "kind": "pattern", "text": "("},
        {"id": 3, "kind": "words", "text": ""},
        {"id": 4, "kind": "pattern", "text": 7},
        {"id": 5, "kind": "lua", "text": "x"},
    ]
    (tmp_path / FILE).write_bytes(orjson.dumps(rows))
    away = open_engine("postgresql://ivr:x@127.0.0.1:9/ivr")
    guarding = Guarding(Guard(RuleSet()))
    await SiteRules(away, guarding, tmp_path).refresh()
    assert stops(guarding, "We sell green cheese.")
    await away.dispose()


@pytest.mark.server
async def test_rules_removed_while_postgres_was_away_are_gone_when_it_is_back(
    engine: AsyncEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / FILE).write_bytes(
        orjson.dumps([{"id": 1, "kind": "words", "text": "green cheese"}])
    )
    guarding = Guarding(Guard(RuleSet()))
    rules = SiteRules(engine, guarding, tmp_path)

    async def away(_: object) -> str:
        raise OSError("away")

    with monkeypatch.context() as patched:
        patched.setattr(siterules, "stamp", away)
        await rules.refresh()
        assert stops(guarding, "We sell green cheese.")
    await rules.refresh()  # the table is empty
    assert not stops(guarding, "We sell green cheese.")
