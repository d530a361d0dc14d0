"""What `ivr doctor --call` makes of a call, and which number and question it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.errors import UserError
from appliance.events import Agent
from appliance.ops.doctor.box import open_box
from appliance.ops.doctor.check import State
from appliance.ops.doctor.selfcall.command import Options, Placed, facts, place, verdict
from appliance.ops.doctor.selfcall.question import question_for
from appliance.ops.doctor.selfcall.ringing import Rung
from appliance.ops.doctor.selfcall.targets import FREESWITCH, IVR_SIP, dialled
from appliance.ops.keeping.ports import free_port
from appliance.settings import Settings
from appliance.store.agents import publish_agent, set_number

ASKED = "How do I pay my bill?"
WELL: dict[str, Any] = {"through": IVR_SIP, "gap_ms": 500, "heard": ASKED, "call_id": "12345678-9"}


@pytest.mark.parametrize(
    ("changes", "state", "words"),
    [
        ({}, State.GOOD, "answered 500 ms after the question, 100 % of its words heard right"),
        ({"gap_ms": 2500}, State.WARNING, "answered 2500 ms"),
        ({"heard": "pay"}, State.WARNING, "17 % of its words"),
        ({"heard": ""}, State.BAD, "no word of it was heard right"),
        ({"heard": "zebra"}, State.BAD, "no word of it was heard right"),
        ({"heard": None}, State.WARNING, "not in the journal"),
        ({"gap_ms": None}, State.BAD, "got no answer; it heard"),
        ({"gap_ms": None, "heard": ""}, State.BAD, "got no answer; nothing was heard"),
        ({"gap_ms": None, "error": "INVITE was answered 486"}, State.BAD, "INVITE was answered 486"),
        ({"gap_ms": None, "error": "INVITE was answered 403", "through": FREESWITCH}, State.SKIPPED,
         "takes calls of its trunks alone"),
        ({"gap_ms": None, "error": "INVITE was answered 403"}, State.BAD, "answered 403"),
    ],
)  # fmt: skip
def test_what_is_made_of_a_call(changes: dict[str, Any], state: State, words: str) -> None:
    rung = Rung(number="1001", question=ASKED, **WELL | changes)
    found = verdict(rung)
    assert found.state is state and words in found.told
    assert bool(found.advice) is (state is not State.GOOD)
    assert facts(Placed((found,), (rung,)), True)["calls"][0]["word_error"] == rung.word_error


def settings_of(database_url: str, folder: Path) -> Settings:
    database = {"url": database_url}
    sip = {"port": free_port()}
    return Settings.model_validate({"data_dir": folder, "database": database, "sip": sip})


async def test_the_number_and_the_question(
    engine: AsyncEngine, database_url: str, tmp_path: Path
) -> None:
    async with open_box(settings_of(database_url, tmp_path)) as box:
        with pytest.raises(UserError, match="No number is answered"):
            await dialled(box, "")
        agent = await publish_agent(engine, Agent("help", 0, "Help", language="hi"))
        await set_number(engine, "*", agent.id)
        assert (await dialled(box, "")).number == "1001"
        assert "बिल" in await question_for(box, agent)
        await set_number(engine, "4455", agent.id)
        assert (await dialled(box, "")).number == "4455"
        assert (await dialled(box, "99")).agent.id == "help"
        async with engine.begin() as connection:
            await connection.execute(
                text(
                    "INSERT INTO golden_questions (agent_id, question) VALUES ('help', 'कब खुलता है?')"
                )
            )
        assert await question_for(box, agent) == "कब खुलता है?"


async def test_nothing_answers(engine: AsyncEngine, database_url: str, tmp_path: Path) -> None:
    async with open_box(settings_of(database_url, tmp_path)) as box:
        with pytest.raises(UserError, match="Nothing answers SIP at"):
            await place(box, Options(), lambda said: None)
