"""Agents as the console makes them: drafts of two editors, publish and roll back, one tenant each."""

from __future__ import annotations

import dataclasses
import io
import wave
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.access.actor import Actor, ForbiddenError, NotFoundError
from appliance.access.roles import PERMISSIONS, Role
from appliance.admin.agents.defaults import DEFAULTS, blank, languages
from appliance.admin.console import Console
from appliance.admin.services import agents, choices, drafts
from appliance.admin.services.drafts import WrongDraftError
from appliance.errors import UserError
from appliance.events import Agent
from appliance.ops.keeping.ports import free_port
from appliance.settings import Engines, Settings, Stt, Tts
from appliance.store.access_models import AuditRow
from appliance.store.agents import agent_fields, load_agent, parse_agent, publish_agent, set_number
from appliance.store.drafts import DraftConflictError
from tests.console_kit import console_on
from tests.knowledge_servers import KEY
from tests.serving import serving

pytestmark = pytest.mark.server


def someone(name: str, role: Role = Role.ADMIN, tenant: str | None = "main") -> Actor:
    return Actor(name, role, tenant, PERMISSIONS[role])


ASHA, BELA = someone("asha"), someone("bela")
CHAND = someone("chand", tenant="other")
OPERATOR = someone("op", Role.OPERATOR, None)
VIEWER, REVIEWER = someone("v", Role.VIEWER), someone("r", Role.REVIEWER)


@pytest.fixture
async def console(engine: AsyncEngine, tmp_path: Path) -> AsyncIterator[Console]:
    """No engine server is up."""
    away = f"127.0.0.1:{free_port()}"
    engines = Engines(stt=Stt(urls=(f"ws://{away}",)), tts=Tts(urls=(f"http://{away}",)))
    settings = Settings(data_dir=tmp_path, engines=engines)
    async with engine.begin() as connection:
        await connection.execute(text("INSERT INTO tenants (id, name) VALUES ('other', 'Other')"))
        await connection.execute(
            text(
                "INSERT INTO knowledge_bases (name, tenant, version)"
                " VALUES ('ours', 'main', 3), ('theirs', 'other', 5)"
            )
        )
    async with console_on(engine, settings) as made:
        yield made


async def make(console: Console, agent_id: str = "help", actor: Actor = ASHA) -> drafts.Edited:
    await agents.create(console, actor, agent_id, agent_id.title())
    return await drafts.read(console, actor, agent_id)


async def published(console: Console, agent_id: str = "help", **fields: Any) -> int:
    """Save and publish ``fields``; the version."""
    now = await drafts.read(console, ASHA, agent_id)
    saved = await drafts.save(console, ASHA, agent_id, now.fields | fields, now.revision)
    return (await drafts.publish(console, ASHA, agent_id, saved.revision, "a note")).version


async def log_of(console: Console) -> list[AuditRow]:
    async with console.engine.connect() as connection:
        rows = await connection.execute(select(AuditRow.__table__).order_by(AuditRow.id))
        return list(rows.all())  # type: ignore[arg-type]


async def test_draft_publish_and_roll_back(console: Console) -> None:
    begun = await make(console)
    assert (begun.revision, begun.version) == (1, 0)
    assert await load_agent(console.engine, "help") is None  # nobody is answered by a draft
    assert await published(console, knowledge="ours", greeting="One.") == 1
    assert await published(console, greeting="Two.", prompt="Be kind.") == 2
    now = await drafts.read(console, ASHA, "help")
    assert (now.revision, now.version, now.fields["greeting"]) == (0, 2, "Two.")
    back = await drafts.roll_back(console, BELA, "help", 1, "too kind")
    assert (back.version, back.fields) == (3, ("prompt", "greeting"))
    answering = await load_agent(console.engine, "help")
    assert answering and (answering.greeting, answering.version) == ("One.", 3)
    assert answering.knowledge_version == 3
    listed = await agents.versions(console, VIEWER, "help")
    assert [(v.version, v.published_by, v.note) for v in listed] == [
        (3, "bela", "Back to version 1. too kind"),
        (2, "asha", "a note"),
        (1, "asha", "a note"),
    ]
    old = await agents.version(console, VIEWER, "help", 2)
    assert old.fields["greeting"] == "Two." and old.version == 2
    with pytest.raises(UserError, match="Version 1 says the same as version 3"):
        await drafts.roll_back(console, ASHA, "help", 1)
    for strange in (9, -1, 1 << 40):
        with pytest.raises(NotFoundError):
            await drafts.roll_back(console, ASHA, "help", strange)


async def test_every_change_stands_in_the_audit_log_without_its_words(console: Console) -> None:
    await make(console)
    await published(console, greeting="Secret greeting.")
    await published(console, greeting="Another.")
    await drafts.roll_back(console, ASHA, "help", 1)
    edited = await drafts.read(console, ASHA, "help")
    saved = await drafts.save(console, ASHA, "help", edited.fields | {"silence_ms": 9000}, 0)
    await drafts.save(console, ASHA, "help", saved.fields, saved.revision)  # no change, no row
    await drafts.discard(console, ASHA, "help", saved.revision)
    rows = await log_of(console)
    assert [row.action.removeprefix("agent.") for row in rows] == [
        *("create", "save", "publish", "save", "publish", "rollback", "save", "discard")
    ]
    assert all(row.subject == "help" and row.tenant == "main" for row in rows)
    assert rows[3].detail["fields"] == ["greeting"]
    assert rows[5].detail == {"version": 3, "was": 2, "fields": ["greeting"], "to": 1}
    assert rows[6].detail["fields"] == ["silence_ms"]
    assert "greeting." not in str([row.detail for row in rows])


async def test_two_editors(console: Console) -> None:
    begun = await make(console)
    theirs = await drafts.save(
        console, BELA, "help", begun.fields | {"greeting": "Bela's."}, begun.revision
    )
    with pytest.raises(DraftConflictError, match=r"^bela changed this draft at") as caught:
        await drafts.save(console, ASHA, "help", begun.fields | {"greeting": "Asha's."}, 1)
    assert caught.value.now.fields["greeting"] == "Bela's."
    with pytest.raises(DraftConflictError):
        await drafts.publish(console, ASHA, "help", begun.revision, "")
    with pytest.raises(DraftConflictError):
        await drafts.discard(console, ASHA, "help", begun.revision)
    await drafts.publish(console, BELA, "help", theirs.revision, "")
    with pytest.raises(DraftConflictError, match="bela published this draft as version 1"):
        await drafts.save(console, ASHA, "help", begun.fields | {"greeting": "!"}, theirs.revision)
    assert [row.action for row in await log_of(console)].count("agent.save") == 1


async def test_a_draft_that_an_other_version_overtook(console: Console) -> None:
    await make(console)
    await published(console, greeting="One.")
    now = await drafts.read(console, ASHA, "help")
    await drafts.save(console, ASHA, "help", now.fields | {"greeting": "Three."}, 0)
    other = await load_agent(console.engine, "help")
    assert other is not None
    await publish_agent(console.engine, dataclasses.replace(other, greeting="Two."))
    found = await drafts.problems(console, ASHA, "help")
    assert any("Version 2 was published after" in problem.sentence for problem in found)


async def test_errors_keep_a_draft_from_being_published_but_not_from_being_kept(
    console: Console,
) -> None:
    begun = await make(console)
    wrong = begun.fields | {"silence_ms": 0, "goodbye": " ", "transfer_to": "nobody at all"}
    saved = await drafts.save(console, ASHA, "help", wrong, begun.revision)
    with pytest.raises(WrongDraftError, match="And 2 more") as caught:
        await drafts.publish(console, ASHA, "help", saved.revision, "")
    errors = {p.field for p in caught.value.problems if p.severity == "error"}
    assert errors == {"silence_ms", "goodbye", "transfer_to"}
    assert (await drafts.read(console, ASHA, "help")).fields["transfer_to"] == "nobody at all"
    assert (await agents.agent(console, ASHA, "help")).version == 0
    mended = await drafts.save(console, ASHA, "help", begun.fields, saved.revision)
    away = await drafts.problems(console, ASHA, "help")
    assert {"language"} == {p.field for p in away if "up now" in p.sentence}
    assert (await drafts.publish(console, ASHA, "help", mended.revision, "")).version == 1
    with pytest.raises(NotFoundError, match="no draft"):
        await drafts.publish(console, ASHA, "help", 0, "")


async def test_another_tenant_never_learns_that_an_agent_exists(console: Console) -> None:
    await make(console)
    await published(console)
    assert [a.id for a in await agents.agents(console, CHAND)] == []
    assert [a.id for a in await agents.agents(console, OPERATOR)] == ["help"]
    fields = DEFAULTS | {"name": "x"}
    for agent_id in ("help", "nobody", "../help", "a\0b"):
        for refused in (
            agents.agent(console, CHAND, agent_id),
            agents.versions(console, CHAND, agent_id),
            agents.version(console, CHAND, agent_id, 1),
            drafts.read(console, CHAND, agent_id),
            drafts.save(console, CHAND, agent_id, fields, 0),
            drafts.discard(console, CHAND, agent_id, 0),
            drafts.problems(console, CHAND, agent_id),
            drafts.changes(console, CHAND, agent_id, 1, "draft"),
            drafts.publish(console, CHAND, agent_id, 0, ""),
            drafts.roll_back(console, CHAND, agent_id, 1),
            choices.choices(console, CHAND, agent_id),
            choices.sample(console, CHAND, agent_id, "Hello.", {}),
        ):
            with pytest.raises(NotFoundError, match="There is no such agent"):
                await refused
    with pytest.raises(NotFoundError, match="There is no such agent"):
        await agents.create(console, CHAND, "mine", "Mine", copy_of="help")
    assert len(await log_of(console)) == 2  # one create, one publish: the rest left no trace


async def test_a_draft_reaches_only_for_what_is_its_tenants(console: Console) -> None:
    begun = await make(console)
    await agents.create(console, CHAND, "hindi", "Hindi")
    menu = begun.fields | {"language_menu": {"1": "hindi"}, "language_prompt": "Press 1."}
    with pytest.raises(UserError, match="there is no agent 'hindi'"):
        await drafts.save(console, ASHA, "help", menu, begun.revision)
    with pytest.raises(UserError, match="there is no agent 'hindi'"):  # also not for the operator
        await drafts.save(console, OPERATOR, "help", menu, begun.revision)
    bot = begun.fields | {"bot_url": "ws://10.0.0.1/"}
    with pytest.raises(ForbiddenError, match="Only the operator"):
        await drafts.save(console, ASHA, "help", bot, begun.revision)
    saved = await drafts.save(console, OPERATOR, "help", bot, begun.revision)
    saved = await drafts.save(console, ASHA, "help", saved.fields | {"prompt": "x"}, saved.revision)
    foreign = begun.fields | {"knowledge": "theirs"}
    saved = await drafts.save(console, ASHA, "help", foreign, saved.revision)
    with pytest.raises(WrongDraftError, match="no knowledge base theirs"):
        await drafts.publish(console, ASHA, "help", saved.revision, "")
    odds: list[dict[str, Any]] = [
        *({"language_menu": ["hindi"]}, {"language_menu": {"1": {}}}, {"knowledge": 1})
    ]
    for odd in odds:
        with pytest.raises(UserError, match="is a name"):
            await drafts.save(console, ASHA, "help", begun.fields | odd, saved.revision)
    offered = await choices.choices(console, ASHA, "help")
    assert (offered.bases, dict(offered.agents)) == (("ours",), {"help": "Help"})


async def test_an_old_version_opens_no_door_that_the_operator_has_closed(console: Console) -> None:
    begun = await make(console)
    for bot in ("ws://10.0.0.1/", ""):
        fields = begun.fields | {"bot_url": bot}
        saved = await drafts.save(console, OPERATOR, "help", fields, begun.revision)
        await drafts.publish(console, OPERATOR, "help", saved.revision, "")
        begun = dataclasses.replace(begun, revision=0)
    closed = await agents.versions(console, ASHA, "help")
    with pytest.raises(ForbiddenError, match="Only the operator"):
        await drafts.roll_back(console, ASHA, "help", closed[1].version)
    assert (await drafts.roll_back(console, OPERATOR, "help", closed[1].version)).version


async def test_another_tenants_knowledge_is_none_for_a_published_agent(console: Console) -> None:
    await publish_agent(console.engine, Agent("stray", 0, "Stray", knowledge="theirs"))
    stray = await load_agent(console.engine, "stray")
    assert stray is not None and stray.knowledge_version == 0


@pytest.mark.parametrize("actor", [VIEWER, REVIEWER])
async def test_who_may_only_look(console: Console, actor: Actor) -> None:
    begun = await make(console)
    assert (await drafts.read(console, actor, "help")).fields == begun.fields
    for refused in (
        agents.create(console, actor, "x", "X"),
        drafts.save(console, actor, "help", begun.fields, 1),
        drafts.discard(console, actor, "help", 1),
        drafts.publish(console, actor, "help", 1, ""),
        drafts.roll_back(console, actor, "help", 1),
        choices.sample(console, actor, "help", "Hello.", {}),
        agents.assign(console, actor, "help", "other"),
    ):
        with pytest.raises(ForbiddenError):
            await refused


async def test_an_agent_is_made_blank_or_as_a_copy(console: Console) -> None:
    await agents.create(console, ASHA, "hindi", "हिन्दी", language="hi")
    made = await drafts.read(console, ASHA, "hindi")
    assert made.fields["greeting"].startswith("नमस्ते") and made.fields["name"] == "हिन्दी"
    await drafts.save(console, ASHA, "hindi", made.fields | {"knowledge": "ours"}, made.revision)
    await agents.create(console, ASHA, "copy", "Copy", copy_of="hindi")
    copy = await drafts.read(console, ASHA, "copy")
    assert copy.fields == made.fields | {"name": "Copy", "knowledge": "ours"}
    await agents.create(console, OPERATOR, "far", "Far", copy_of="hindi", tenant="other")
    far = await drafts.read(console, CHAND, "far")
    assert far.fields["knowledge"] == "" and far.fields["greeting"] == made.fields["greeting"]
    for agent_id, name, why in (
        ("copy", "Again", "is taken"),
        ("a b", "X", "An agent's id"),
        ("ok", " ", "An agent's name"),
        ("ok", "x" * 81, "An agent's name"),
    ):
        with pytest.raises(UserError, match=why):
            await agents.create(console, ASHA, agent_id, name)
    with pytest.raises(UserError, match="is taken"):  # ids are the appliance's, not the tenant's
        await agents.create(console, CHAND, "copy", "Copy")
    with pytest.raises(NotFoundError):
        await agents.create(console, ASHA, "ok", "X", tenant="other")
    with pytest.raises(UserError, match="no tenant"):
        await agents.create(console, OPERATOR, "ok", "X", tenant="nobody")


async def test_the_list(console: Console, engine: AsyncEngine) -> None:
    await make(console)
    await published(console, voice="rms")
    await set_number(engine, "+912066178800", "help")
    await set_number(engine, "*", "help")
    await make(console, "beta")
    async with engine.begin() as connection:
        for n, (days, direction) in enumerate([(0, "in"), (0, "out"), (0, "test"), (2, "in")]):
            await connection.execute(
                text(
                    "INSERT INTO calls (call_id, did, caller, agent_id, agent_version, language,"
                    " started_at, direction) VALUES (:id, '*', '', 'help', 1, 'en',"
                    " now() - make_interval(days => :days), :direction)"
                ),
                {"id": str(n), "days": days, "direction": direction},
            )
    beta, help_ = await agents.agents(console, VIEWER)
    assert (help_.id, help_.version, help_.voice, help_.language) == ("help", 1, "rms", "en")
    assert (help_.numbers, help_.calls, help_.draft_revision) == (("*", "+912066178800"), 2, 0)
    assert (help_.published_by, help_.tenant) == ("asha", "main")
    assert (beta.version, beta.draft_revision, beta.draft_by) == (0, 1, "asha")
    assert [a.id for a in await agents.agents(console, VIEWER, search="EL")] == ["help"]
    assert await agents.agents(console, VIEWER, search="%") == []
    assert [a.id for a in await agents.agents(console, VIEWER, limit=1, offset=1)] == ["help"]


async def test_an_agent_goes_to_another_tenant_with_its_knowledge(console: Console) -> None:
    await make(console)
    await published(console, knowledge="ours")
    with pytest.raises(ForbiddenError):
        await agents.assign(console, ASHA, "help", "other")
    with pytest.raises(NotFoundError, match="no tenant"):
        await agents.assign(console, OPERATOR, "help", "nobody")
    second = await make(console, "second")
    saved = await drafts.save(
        console, ASHA, "second", second.fields | {"knowledge": "ours"}, second.revision
    )
    with pytest.raises(UserError, match="agent second names base ours"):
        await agents.assign(console, OPERATOR, "help", "other")
    await drafts.discard(console, ASHA, "second", saved.revision)
    assert (await agents.assign(console, OPERATOR, "help", "other")).tenant == "other"
    with pytest.raises(NotFoundError):
        await agents.agent(console, ASHA, "help")
    moved = await load_agent(console.engine, "help")
    assert moved is not None and moved.knowledge_version == 3
    assert set((await choices.choices(console, CHAND, "help")).bases) == {"ours", "theirs"}


async def test_what_changed(console: Console) -> None:
    await make(console)
    await published(console, greeting="Good morning.")
    now = await drafts.read(console, ASHA, "help")
    await drafts.save(console, ASHA, "help", now.fields | {"greeting": "Good evening."}, 0)
    (change,) = await drafts.changes(console, VIEWER, "help", 1, "draft")
    assert (change.field, change.kind) == ("greeting", "changed")
    assert [(p.kind, p.text) for p in change.pieces] == [
        ("same", "Good "), ("removed", "morning"), ("added", "evening"), ("same", "."),
    ]  # fmt: skip
    assert await drafts.changes(console, VIEWER, "help", 1, 1) == ()
    assert len(await drafts.changes(console, VIEWER, "help", 0, 1)) > 20
    with pytest.raises(NotFoundError):
        await drafts.changes(console, VIEWER, "help", 7, "draft")


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
CONFIGS = st.fixed_dictionaries(
    {},
    optional={
        "prompt": TEXTS,
        "goodbye": TEXTS.filter(str.strip),
        "farewells": st.lists(TEXTS, max_size=3),
        "keypad": st.dictionaries(st.sampled_from("123456789*#"), TEXTS.filter(str.strip)),
        "slots": st.dictionaries(
            TEXTS.filter(str.strip), TEXTS.filter(str.strip), max_size=3
        ),
        "pause_complete_ms": st.integers(120, 400),
        "barge_in": st.booleans(),
        "guard_mode": st.sampled_from(["release", "hold", "strict"]),
        "redact": st.lists(st.sampled_from(["card", "pan", "otp"]), unique=True),
        "keep_log_days": st.integers(0, 4000),
    },
)  # fmt: skip


@hypothesis_settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(config=CONFIGS)
def test_what_was_written_is_what_answers(config: dict[str, Any]) -> None:
    """config -> as saved -> as published -> as read: the same agent (JSON in between)."""
    fields = DEFAULTS | {"name": "Help"} | config
    agent = parse_agent(orjson.loads(orjson.dumps(fields | {"id": "help", "version": 0})))
    again = orjson.loads(orjson.dumps(agents.written_fields(agent)))
    assert again == fields
    assert parse_agent(orjson.loads(orjson.dumps(agent_fields(agent)))) == agent


async def test_what_was_written_is_what_answers_through_postgres(console: Console) -> None:
    wanted = {
        "name": "Help é 🙂",
        "prompt": "Line one.\nLine 'two' \\ \"three\" \u2028 % :x {y}\n",
        "keypad": {"#": "सहायता", "1": "pay"},
        "pronunciations": {"Jio": "जियो"},
        "silence_prompts": ["", "x"][1:],
        "redact": [],
        "guard_checks": ["words"],
        "keep_log_days": 3650,
        "transfer_to": "+912066178800",
        "common_answers": False,
    }
    begun = await make(console)
    saved = await drafts.save(console, ASHA, "help", begun.fields | wanted, begun.revision)
    assert saved.fields == begun.fields | wanted
    await drafts.publish(console, ASHA, "help", saved.revision, "")
    answering = await load_agent(console.engine, "help")
    expected = parse_agent(begun.fields | wanted | {"id": "help", "version": 1})
    assert answering == expected
    assert (await agents.version(console, ASHA, "help", 0)).fields == saved.fields


async def test_a_phrase_sounds_as_on_the_telephone(console: Console, tmp_path: Path) -> None:
    await make(console)
    with pytest.raises(UserError, match="No voice server could say this"):
        await choices.sample(console, ASHA, "help", "Hello.", {})
    async with serving(tmp_path, "tts", "--engine", "flite") as served:
        engines = dataclasses_engines(console, served.url)
        there = dataclasses.replace(console, settings=engines)
        offered = await choices.choices(there, ASHA, "help")
        assert "slt" in offered.engines.voices_of("en-IN") and offered.engines.voices_of("hi") == ()
        assert offered.engines.tts_engines == {"flite"} and offered.engines.away >= {"stt"}
        audio = await choices.sample(there, ASHA, "help", "Hello there.", {"voice": "rms"})
        other = await choices.sample(there, ASHA, "help", "Hello there.", {"voice": "slt"})
        with pytest.raises(UserError, match="nothing in this text"):
            await choices.sample(there, ASHA, "help", "…", {})
        with pytest.raises(UserError, match="1 to 500"):
            await choices.sample(there, ASHA, "help", " ", {})
        found = await drafts.problems(
            there, ASHA, "help", (await drafts.read(there, ASHA, "help")).fields | {"voice": "xyz"}
        )
        assert [(p.severity, p.field) for p in found if "voice xyz" in p.sentence] == [
            ("error", "voice")
        ]
    with wave.open(io.BytesIO(audio)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (8000, 1, 2)
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    assert len(samples) > 4000 and np.abs(samples).max() > 1000
    assert len(np.unique(samples)) <= 255  # G.711 has no more values
    assert audio != other


def dataclasses_engines(console: Console, tts_url: str) -> Settings:
    named = {"tts": Tts(urls=(tts_url,)), "key": KEY}
    engines = console.settings.engines.model_copy(update=named)
    return console.settings.model_copy(update={"engines": engines})


@pytest.mark.parametrize("language", ["en", "hi", "mr", "ta", "te", "bn", "gu", "hi-IN"])
def test_phrases_of_a_new_agent_are_an_agent(language: str) -> None:
    fields = blank(language, ["kal", "slt"])
    agent = parse_agent(fields | {"id": "x", "version": 0, "name": "X"})
    assert agent.language == language and agent.voice == "kal" and agent.greeting
    own = set(languages()) - {"en"}
    assert (agent.greeting != blank("en")["greeting"]) == (language.partition("-")[0] in own)
