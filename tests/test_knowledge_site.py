"""One appliance as an operator has it, ``ivr up`` and its commands, and real telephone calls: what is
added is answered and cited, what may not be said is not heard, and who is erased is gone.

The tests are steps of one story: each goes on from where the one before has left the site.
"""

from __future__ import annotations

import asyncio
import dataclasses
import io
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
import pytest
import pytest_asyncio
from docx import Document
from psycopg import sql

from appliance.audio import read_wav, sound_spans, write_wav
from appliance.engines.key import headers_of, key_of_ours
from appliance.events import Stages
from appliance.store.agents import load_agent, publish_agent, set_number
from appliance.store.database import open_engine
from tests.appliance_kit import LiveCall, ringing
from tests.metronome import MOST_ATTEMPTS, Metronome
from tests.pdf_kit import Item, lines, pdf
from tests.review_kit import from_prompt, language_model
from tests.soundmatch import assert_heard
from tests.spoken import RATE_HZ, say
from tests.tinyserver import Tiny
from tests.upsite_kit import UpSite

pytestmark = [
    pytest.mark.server,
    pytest.mark.sip,
    pytest.mark.asyncio(loop_scope="module"),
]

BASE = "sunrise-broadband"
CAREFUL = "1002"
"""Number of the sample agent that stops what the knowledge does not say."""
FORBIDDEN = "lifetime free"
INVENTED = "A restart costs ninety rupees."
RIGHT = "Pull the plug, wait for a minute, and put it in again. That is free of charge."
SAFE_PHRASE = "I am sorry, I cannot help you with that."
FAINT_DB = -58.0
EVENT_TIMEOUT_S = 40.0
SOON_MS = 150
"""From the turn to the first frame of a common answer; the issue's figure."""
MANUAL_PARAGRAPHS = 800
LEASE_TIMEOUT_S = 240.0
"""A document whose reader was killed is taken up again after a minute."""
QUESTIONS = {
    "calls": "how much do international calls cost",
    "block": "how can i block websites for my children",
    "cameras": "do you sell security cameras",
    "change": "how do i change my plan",
    "restart": "how do i restart my router",
    "sundays": "are you open on sundays",
}


def tariffs(rupees: str) -> bytes:
    """Three pages; what international calls cost stands on the second."""
    return pdf(
        [
            page(
                "Telephone service",
                "Our telephone service comes with every plan.",
            ),
            page(
                "International calls",
                f"International calls cost {rupees} rupees a minute.",
            ),
            page(
                "Number portability",
                "You can keep the number that you have now.",
            ),
        ]
    )


def page(title: str, text: str) -> list[Item]:
    return [*lines(title, y=80, size=18), *lines(text, y=130)]


def guide() -> bytes:
    document = Document()
    document.add_heading("Parental control", 1)
    document.add_paragraph("You can block websites for your children in the Sunrise app.")
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


FAQ = (
    "Question,Answer\n"
    "Do you sell security cameras?,Yes. A security camera costs two thousand rupees.\n"
    "Do you repair laptops?,No. We do not repair laptops.\n"
)


def writes(prompt: str) -> str:
    """A language model that quotes, promises too much of plans, and makes up what it does not find."""
    question = prompt.rpartition("The caller says: ")[2].lower()
    known = from_prompt(prompt)
    if "change my plan" in question:
        return "Yes. Every change of plan is lifetime free. Just ask us."
    if "restart" in question and "free of charge" not in known:
        return INVENTED
    return known


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def llm() -> AsyncIterator[Tiny]:
    async with language_model(writes) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(open_tmp: Path, llm: Tiny) -> AsyncIterator[UpSite]:
    environment = {
        "IVR_ENGINES__LLM__URLS": f'["{llm.url}"]',
        "IVR_ENGINES__LLM__MODEL": "small",
    }
    place = UpSite(open_tmp / "knowing", open_tmp / "embedded-knowing", environment)
    try:
        await asyncio.to_thread(place.open)
        await publish(place)
        yield place
    finally:
        await asyncio.to_thread(place.close)
    log = place.log()
    assert "Traceback" not in log and "Warning:" not in log, log


async def publish(site: UpSite) -> None:
    """The sample agent with a short greeting, and another that stops what stands nowhere."""
    engine = open_engine(site.database_url)
    try:
        sample = await load_agent(engine, "sunrise")
        assert sample is not None
        brief = dataclasses.replace(sample, greeting="Hello.")
        await publish_agent(engine, brief)
        await publish_agent(engine, dataclasses.replace(brief, id="careful", grounding="stop"))
        await set_number(engine, CAREFUL, "careful")
    finally:
        await engine.dispose()


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("said")
    for name, text in QUESTIONS.items():
        pcm = say(text, pad_ms=0)
        begin_ms, end_ms = sound_spans(pcm, RATE_HZ, floor_db=FAINT_DB, bridge_ms=10_000)[0]
        bare = pcm[begin_ms * RATE_HZ // 500 : end_ms * RATE_HZ // 500]
        write_wav(folder / f"{name}.wav", [bare], RATE_HZ)
    return {name: folder / f"{name}.wav" for name in QUESTIONS}


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("papers")
    (folder / "tariffs.pdf").write_bytes(tariffs("twelve"))
    (folder / "guide.docx").write_bytes(guide())
    (folder / "faq.csv").write_text(FAQ)
    return folder


async def greeted(call: LiveCall) -> None:
    await call.heard("answered", EVENT_TIMEOUT_S)
    await call.event("turn_over", EVENT_TIMEOUT_S)


async def ask(call: LiveCall, file: Path) -> dict[str, Any]:
    """Say a question, and wait until its answer has been heard; the turn. A caller who was misheard
    while the machine stood still asks again."""
    for _ in range(MOST_ATTEMPTS):
        with Metronome() as metronome:
            await call.said(file, EVENT_TIMEOUT_S)
            turn = await answered(call)
        if turn["said"] == QUESTIONS[file.stem] or not metronome.machine_was_busy:
            break
        print(f"{file.stem} was heard as {turn['said']!r}: {metronome}")
    return turn


async def answered(call: LiveCall) -> dict[str, Any]:
    while True:
        turn: dict[str, Any] = (await call.event("turn_over", EVENT_TIMEOUT_S))["turn"]
        if turn["said"]:
            return turn


async def command(site: UpSite, *arguments: str) -> dict[str, Any]:
    return await asyncio.to_thread(site.ask, *arguments)


# --- 1: documents are added, answered from and cited; a call keeps its version ----------------------


async def test_a_folder_of_documents_and_a_rule_are_added(site: UpSite, papers: Path) -> None:
    added, rule = await asyncio.gather(
        command(site, "knowledge", "add", BASE, str(papers), "--wait"),
        command(site, "rules", "add", FORBIDDEN, "--category", "promise", "--severity", "high"),
    )
    assert added["well"] and added["told"], added
    found = {
        one["name"]: (one["state"], one["pages"], one["passages"]) for one in added["documents"]
    }
    assert found["tariffs.pdf"] == ("published", 3, 3)
    assert {name: state for name, (state, _, _) in found.items()} == dict.fromkeys(
        ("faq.csv", "guide.docx", "tariffs.pdf"), "published"
    )
    assert rule["action"] == "added", rule
    for agent in ("sunrise.2.2", "careful.1.2"):  # of the version that was published
        await asyncio.to_thread(site.until, "stt", f"context {agent}:")


@dataclass(frozen=True, slots=True)
class Talks:
    """Two calls at once: one during which its knowledge changes, one with the careful agent."""

    first: LiveCall
    before: dict[str, Any]
    others: list[dict[str, Any]]
    after: dict[str, Any]
    careful: LiveCall
    forbidden: dict[str, Any]
    invented: dict[str, Any]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def talks(site: UpSite, papers: Path, said: dict[str, Path]) -> Talks:
    async def first(call: LiveCall) -> list[dict[str, Any]]:
        await greeted(call)
        before = await ask(call, said["calls"])
        (papers / "tariffs.pdf").write_bytes(tariffs("fifteen"))
        publishing = asyncio.create_task(
            command(site, "knowledge", "add", BASE, str(papers / "tariffs.pdf"), "--wait")
        )
        others = [await ask(call, said[name]) for name in ("block", "cameras")]
        assert (await publishing)["well"]
        return [before, *others, await ask(call, said["calls"])]

    async def second(call: LiveCall) -> list[dict[str, Any]]:
        await greeted(call)
        return [await ask(call, said[name]) for name in ("change", "restart")]

    async with ringing(site) as one, ringing(site, CAREFUL) as other:
        turns, (forbidden, invented) = await asyncio.gather(first(one), second(other))
    return Talks(one, turns[0], turns[1:-1], turns[-1], other, forbidden, invented)


async def test_a_call_keeps_its_version_and_cites_what_it_says(site: UpSite, talks: Talks) -> None:
    assert "twelve rupees" in talks.before["heard"] and "twelve rupees" in talks.after["heard"]
    assert cited(talks.before) == cited(talks.after) == [("tariffs.pdf", 2)]
    assert [turn["passages"][0]["document"] for turn in talks.others] == ["guide.docx", "faq.csv"]
    assert "two thousand rupees" in talks.others[1]["heard"]
    shown = await asyncio.to_thread(site.ivr, "calls", "show", talks.first.call_id)
    told = shown.count("International calls cost twelve rupees")
    assert shown.count("* tariffs.pdf p. 2 / International calls (") == told >= 2, shown


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def next_call(site: UpSite, talks: Talks, said: dict[str, Path]) -> LiveCall:
    """What came after them."""
    async with ringing(site) as call:
        await greeted(call)
        await ask(call, said["calls"])
    return call


async def test_the_next_call_has_the_new_version(next_call: LiveCall) -> None:
    _, (*_, turn) = await next_call.rows()
    assert "fifteen rupees" in turn.heard
    assert [(p.document, p.page) for p in turn.passages if p.cited] == [("tariffs.pdf", 2)]


def cited(turn: dict[str, Any]) -> list[tuple[str, int | None]]:
    return [(p["document"], p["page"]) for p in turn["passages"] if p["cited"]]


# --- 2: what may not be said is not heard; it is looked at, mended and asked again -----------------


async def test_what_is_forbidden_or_invented_is_not_heard(site: UpSite, talks: Talks) -> None:
    for turn, words in ((talks.forbidden, "lifetime"), (talks.invented, "ninety")):
        assert words in turn["reply"] and words not in turn["heard"]
        assert turn["heard"].endswith(SAFE_PHRASE), turn["heard"]
    record, _ = await talks.careful.rows()
    _, agent = read_wav(site.settings.recordings_dir / record.recording)[0]
    assert_heard(await voice_of(site, SAFE_PHRASE), agent, RATE_HZ)


async def test_a_reviewer_hears_mends_and_confirms_it(
    site: UpSite, tmp_path: Path, talks: Talks
) -> None:
    call = talks.careful
    listed = [one["flag"] for one in (await command(site, "flags", "list"))["flags"]]
    mine = {one["question"]: one for one in listed if one["call_id"] == call.call_id}
    assert [(one["action"], one["side"]) for one in mine.values()] == [("stopped", "agent")] * 2
    assert {one["category"] for one in mine.values()} == {"promise", "grounding"}, mine
    flag = next(one for one in mine.values() if one["category"] == "grounding")
    assert flag["phrase"] == INVENTED
    out = tmp_path / "flag.wav"
    audio, shown, mended = await asyncio.gather(
        command(site, "flags", "audio", flag["id"][:12], str(out)),
        asyncio.to_thread(site.ivr, "flags", "show", flag["id"][:12]),
        command(site, "flags", "fix", flag["id"][:12], "--answer", RIGHT, "--by", "zoe"),
    )
    assert INVENTED in shown and f"{flag['begin_ms'] / 1000:.1f} s to" in shown
    assert audio["begin_ms"] <= flag["begin_ms"] < flag["end_ms"] <= audio["end_ms"]
    (_, agent), rate_hz = read_wav(out)
    assert_heard(await voice_of(site, SAFE_PHRASE), agent, rate_hz)
    retest = mended["flag"]["retest"]
    assert [one["phrase"] for one in retest["before"]["findings"]] == [INVENTED], retest
    assert RIGHT in retest["after"]["answer"] and retest["after"]["findings"] == [], retest
    again = (await command(site, "flags", "retest", flag["id"]))["flag"]["retest"]
    assert RIGHT in again["after"]["answer"] and again["after"]["findings"] == []
    decided = await command(site, "flags", "confirm", flag["id"], "--by", "zoe")
    assert (decided["flag"]["state"], decided["flag"]["decided_by"]) == ("confirmed", "zoe")


async def voice_of(site: UpSite, text: str) -> bytes:
    """What the agent's voice makes of ``text`` (L16 at 8 kHz)."""
    body = {"model": "tts", "input": text, "voice": "slt", "language": "en",
            "response_format": "pcm", "sample_rate": RATE_HZ}  # fmt: skip
    url = f"http://127.0.0.1:{site.ports['tts']}/v1/audio/speech"
    key = headers_of(key_of_ours(site.settings, site.settings.engines.tts))
    async with aiohttp.ClientSession(headers=key) as http, http.post(url, json=body) as answer:
        assert answer.status == 200
        return await answer.read()


# --- 3: what many ask is answered at once ---------------------------------------------------------


async def asked(site: UpSite, file: Path) -> dict[str, Any]:
    """The turn of a call that asks one thing."""
    async with ringing(site) as call:
        await greeted(call)
        return await ask(call, file)


@pytest.mark.long
async def test_what_is_asked_often_is_answered_from_memory(
    site: UpSite, said: dict[str, Path], papers: Path
) -> None:
    first = await asked(site, said["calls"])
    assert first["source"] == "llm"
    for _ in range(2):
        await asked(site, said["calls"])
    await made(site)
    for _ in range(MOST_ATTEMPTS):
        with Metronome() as metronome:
            turn = await asked(site, said["calls"])
        stages = Stages(**turn["stages"])
        assert turn["source"] == "cached" and turn["heard"] == first["heard"]
        assert cited(turn) == cited(first)
        assert stages.first_frame is not None and stages.turn_given is not None
        took_ms = stages.first_frame - stages.turn_given
        print(f"a common answer is heard {took_ms} ms after the turn was given")
        if took_ms <= SOON_MS or not metronome.machine_was_busy:
            break
    assert took_ms <= SOON_MS
    (papers / "tariffs.pdf").write_bytes(tariffs("twenty"))
    added = await command(site, "knowledge", "add", BASE, str(papers / "tariffs.pdf"), "--wait")
    assert added["well"]
    turn = await asked(site, said["calls"])
    assert turn["source"] == "llm" and "twenty rupees" in turn["heard"]
    await made(site)
    turn = await asked(site, said["calls"])
    assert turn["source"] == "cached" and "twenty rupees" in turn["heard"]


async def made(site: UpSite) -> None:
    """The answers to common questions are made, by us or by the job, and a worker has them."""
    loaded = site.log().count(" common answers")
    await command(site, "answers", "make")
    answers = (await command(site, "answers", "list", "--agent", "sunrise"))["answers"]
    assert QUESTIONS["calls"] in [one["cached"]["wording"] for one in answers], answers
    await asyncio.to_thread(site.until, "", " common answers", loaded + 1)


# --- 4: Redis and the jobs die; no call notices ---------------------------------------------------


@pytest.mark.long
async def test_no_call_notices_that_redis_and_the_jobs_die(
    site: UpSite, said: dict[str, Path], tmp_path: Path
) -> None:
    manual = tmp_path / "manual.md"
    manual.write_text(
        "# Manual\n\n"
        + "\n\n".join(
            f"Paragraph {n} of the manual says that part {n} costs {n * 7} rupees."
            for n in range(MANUAL_PARAGRAPHS)
        )
    )
    async with ringing(site) as call:
        await greeted(call)
        whole = await ask(call, said["sundays"])
        await command(site, "knowledge", "add", "manuals", str(manual))
        await until_state(site, "embedding")
        dead = [*site.children("redis-server"), *site.children("appliance jobs")]
        assert len(dead) == 2
        for pid in dead:
            os.kill(pid, signal.SIGKILL)
        killed = await ask(call, said["cameras"])
    assert (whole["source"], killed["source"]) == ("llm", "llm")
    assert "two thousand rupees" in killed["heard"] and not killed["failure"]
    assert killed["passages"][0]["score"] > 0.9
    await asyncio.to_thread(site.until, "jobs", "= jobs are taken", 2)
    (redis,) = site.children("redis-server")
    assert redis not in dead
    await until_state(site, "published", LEASE_TIMEOUT_S)
    (document,) = (await command(site, "knowledge", "show", "manuals"))["documents"]
    assert document["passages"] == MANUAL_PARAGRAPHS


async def until_state(site: UpSite, state: str, timeout_s: float = EVENT_TIMEOUT_S) -> None:
    """Until a document of ``manuals`` is in that state."""
    async with asyncio.timeout(timeout_s):
        async with await psycopg.AsyncConnection.connect(plain_url(site), autocommit=True) as db:
            while True:
                found = await db.execute(
                    "SELECT state FROM documents WHERE knowledge_base_id ="
                    " (SELECT id FROM knowledge_bases WHERE name = 'manuals')"
                )
                row = await found.fetchone()
                if row is not None and row[0] == state:
                    return
                await asyncio.sleep(0.05)


# --- 5: what is too old goes, and who asks is erased ----------------------------------------------


async def test_who_asks_is_erased_everywhere(
    site: UpSite, talks: Talks, next_call: LiveCall
) -> None:
    call = talks.first
    needles = [call.call_id, call.number.removeprefix("+")]
    assert set(await where(site, needles)) >= {"calls", "turns", "recordings"}
    erased = await command(site, "erase", "caller", call.number, "--by", "letter", "--yes")
    assert (erased["calls"], erased["files"], erased["left"]) == (1, 1, 0)
    assert await where(site, needles) == []
    assert "turns" in await where(site, [next_call.call_id])


async def test_what_is_too_old_goes_and_the_proof_says_so(
    site: UpSite, talks: Talks, next_call: LiveCall
) -> None:
    old, kept = next_call.call_id, talks.careful.call_id
    async with await psycopg.AsyncConnection.connect(plain_url(site), autocommit=True) as db:
        for statement in (
            "UPDATE calls SET started_at = started_at - interval '800 days',"
            " ended_at = ended_at - interval '800 days' WHERE call_id = %s",
            "UPDATE turns SET at = at - interval '800 days' WHERE call_id = %s",
        ):
            await db.execute(statement, (old,))
    ran = await command(site, "retention", "run")
    assert ran["left"] == 0
    totals = {one["what"]: one for one in ran["erased"] if one["note"]}
    assert totals["log"]["left"] == totals["recordings"]["left"] == 0
    assert await where(site, [old]) == []
    assert set(await where(site, [kept])) >= {"calls", "turns", "flags", "recordings"}


async def where(site: UpSite, needles: list[str]) -> list[str]:
    """In which tables, and in which folders beside Postgres's own, one of ``needles`` stands."""
    found = []
    async with await psycopg.AsyncConnection.connect(plain_url(site), autocommit=True) as db:
        names = await db.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        for (table,) in await names.fetchall():
            query = sql.SQL("SELECT count(*) FROM {} t WHERE t::text LIKE ANY(%s)")
            rows = await db.execute(
                query.format(sql.Identifier(table)), ([f"%{n}%" for n in needles],)
            )
            row = await rows.fetchone()
            found += [table] if row and row[0] else []
    return found + await asyncio.to_thread(on_disk, site.settings.data_dir, needles)


def on_disk(folder: Path, needles: list[str]) -> list[str]:
    found = set()
    for path in folder.rglob("*"):
        inside = path.relative_to(folder)
        if inside.parts[0] == "postgres":
            continue
        content = path.read_bytes() if path.is_file() else b""
        if any(n in str(inside) or n.encode() in content for n in needles):
            found.add(inside.parts[0])
    return sorted(found)


def plain_url(site: UpSite) -> str:
    """For psycopg without SQLAlchemy."""
    return site.database_url.replace("postgresql+psycopg", "postgresql")
