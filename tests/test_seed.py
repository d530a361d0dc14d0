"""The sample on an empty appliance, and the commands around knowledge, as a person types them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from appliance.__main__ import main
from appliance.ops.seed import SAMPLE, sample_agent
from appliance.store.agents import Assignment, load_assignment
from appliance.store.database import open_engine
from appliance.store.passages import version_of
from tests.knowledge_servers import KEY, EmbedProcess

SAMPLES = Path("appliance/samples")


@pytest.fixture
def environment(database_url: str, embed_process: EmbedProcess, tmp_path: Path) -> dict[str, str]:
    return {
        "IVR_DATABASE__URL": database_url,
        "IVR_ENGINES__EMBED__URLS": json.dumps([embed_process.url]),
        "IVR_ENGINES__KEY": KEY,
        "IVR_DATA_DIR": str(tmp_path),
    }


def _ivr(environment: dict[str, str], *arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, env=environment, prog_name="ivr")


def test_the_sample_agent_is_well_formed() -> None:
    agent = sample_agent(SAMPLES)
    assert agent.greeting == "Welcome to Sunrise Broadband. How can I help you?"
    assert agent.voice == "slt" and agent.knowledge == SAMPLE and agent.language == "en"
    assert agent.keypad["1"] and agent.farewells and agent.silence_prompts
    knowledge = (SAMPLES / f"{SAMPLE}.md").read_text()
    assert all(said in knowledge for said in agent.keypad.values())
    assert not any(letter.isdigit() for letter in knowledge)  # written as it is spoken


@pytest.mark.server
def test_seed_fills_an_empty_appliance_once(environment: dict[str, str]) -> None:
    first = _ivr(environment, "seed")
    assert first.exit_code == 0 and "Sunrise Broadband answers every number" in first.output
    again = _ivr(environment, "seed")
    assert again.exit_code == 0 and "Nothing to do" in again.output
    found, version = asyncio.run(_stored(environment["IVR_DATABASE__URL"]))
    assert found is not None and found.did == "*"
    agent = found.agent
    assert (agent.id, agent.version, version) == ("sunrise", 1, 1)
    assert agent.knowledge_version == 1 and agent.prompt.startswith("You answer the telephone")


async def _stored(url: str) -> tuple[Assignment | None, int]:
    engine = open_engine(url)
    try:
        return await load_assignment(engine, "+911234"), await version_of(engine, SAMPLE)
    finally:
        await engine.dispose()


@pytest.mark.server
def test_load_and_search_at_the_keyboard(environment: dict[str, str], tmp_path: Path) -> None:
    loaded = _ivr(environment, "knowledge", "load", "help", str(SAMPLES / f"{SAMPLE}.md"))
    assert loaded.exit_code == 0 and "help version 1: 42 passages." in loaded.output
    again = ("load", "again", str(SAMPLES / f"{SAMPLE}.md"), "--json")
    told = json.loads(_ivr(environment, "knowledge", *again).stdout.splitlines()[-1])
    assert told == {"name": "again", "version": 1, "passages": 42}
    found = _ivr(environment, "knowledge", "search", "help", "when do you open", "--json")
    result = json.loads(found.stdout.splitlines()[-1])
    assert result["version"] == 1 and result["source"] == "hybrid" and result["ms"] > 0
    assert result["passages"][0]["heading"] == "When are you open?"
    assert result["passages"][0]["dense_rank"] == 1
    assert "eight in the morning" in result["answer"]
    table = _ivr(environment, "knowledge", "search", "help", "when do you open")
    assert "dense" in table.output and "Answer: Our helpline is open" in table.output
    assert "does not understand" not in table.output
    hindi = _ivr(environment, "knowledge", "search", "help", "आप कब खुले हैं")
    assert "all-minilm-l6-v2" in hindi.output and "does not understand hi" in hindi.output


@pytest.mark.server
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("knowledge", "search", "none", "x"), "no knowledge base none"),
        (("knowledge", "load", "x", "missing.md"), "cannot be read"),
    ],
)
def test_mistakes_get_one_sentence(
    environment: dict[str, str], arguments: tuple[str, ...], says: str
) -> None:
    result = _ivr(environment, *arguments)
    assert result.exit_code == 2 and says in result.output and "Traceback" not in result.output


@pytest.mark.server
def test_servers_away_get_one_sentence(environment: dict[str, str]) -> None:
    sample = str(SAMPLES / f"{SAMPLE}.md")
    no_embedder = environment | {"IVR_ENGINES__EMBED__URLS": '["http://127.0.0.1:9"]'}
    result = _ivr(no_embedder, "knowledge", "load", "x", sample)
    assert result.exit_code == 2 and "ivr embed" in result.output
    no_postgres = environment | {"IVR_DATABASE__URL": "postgresql://nobody@127.0.0.1:9/none"}
    result = _ivr(no_postgres, "knowledge", "load", "x", sample)
    assert result.exit_code == 2 and "ivr up" in result.output
