"""``ivr audit`` on rows of a call log: levels by calls at once, groups, and no word that was said."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.__main__ import main
from appliance.errors import UserError
from appliance.events import CallRecord, Stages, Turn
from appliance.ops.rehearsal.audit import audit
from appliance.settings import Database, Settings
from appliance.store.measures import REHEARSAL, calls_of_rehearsal, calls_since
from appliance.store.rows import upsert
from tests.test_report import Page, pages_in

NOW = datetime.now(UTC).replace(microsecond=0)
CALLER, WORDS, REPLY = "+919812345678", "my secret card number", "the secret answer"
HOSTILE = "<img src=x onerror=alert(1)>"


def call(
    name: str,
    start_s: float,
    seconds: float = 60,
    agent: str = "sunrise",
    caller: str = CALLER,
    language: str = "en",
) -> CallRecord:
    start = NOW - timedelta(hours=2) + timedelta(seconds=start_s)
    end = start + timedelta(seconds=seconds)
    return CallRecord(
        name, "1001", caller, agent, 1, language, start, end, "NORMAL_CLEARING", "caller", 2
    )


def turns(record: CallRecord, *gaps_ms: int) -> list[Turn]:
    """A greeting, then one turn a gap, 10 s apart from the beginning of the call."""
    greeting = Turn(
        record.call_id,
        0,
        record.started_at,
        "",
        "Welcome.",
        "Welcome.",
        "greeting",
        Stages(first_frame=0),
        None,
    )
    found = [greeting]
    for number, gap_ms in enumerate(gaps_ms, start=1):
        end = number * 10_000
        stages = Stages(
            speech_start=end - 2000, speech_end=end, first_partial=end - 1500, speculation=end + 50,
            final=end + 150, turn_given=end + 200, retrieval=end + 60, first_token=end + gap_ms - 180,
            first_phrase=end + gap_ms - 120, first_audio=end + gap_ms - 20, first_frame=end + gap_ms,
            last_token=end + gap_ms + 500, last_audio=end + gap_ms + 900,
        )  # fmt: skip
        at = record.started_at + timedelta(milliseconds=end + 3000)
        found.append(Turn(record.call_id, number, at, WORDS, REPLY, REPLY, "llm", stages, gap_ms))
    return found


async def fill(engine: AsyncEngine) -> None:
    """Four calls at once that are slow, one alone that is quick, a rehearsal's, and an old one."""
    calls = [call(f"together-{n}", 0, language="hi") for n in range(4)]
    alone = call("alone", 600, agent=HOSTILE)
    rehearsed = call("rehearsed", 900, caller=f"{REHEARSAL}r1-2-0")
    old = call("old", -40 * 86400)
    tried = replace(call("tried", 650, agent=HOSTILE), direction="test")  # from the console
    rows: list[CallRecord | Turn] = [*calls, alone, rehearsed, tried, old]
    for each in calls:
        rows += turns(each, 900, 910, 920)
    rows += turns(alone, 450, 460)
    rows += turns(rehearsed, 5000)
    rows += turns(tried, 7000)
    rows += turns(old, 9000)
    async with engine.begin() as connection:
        await upsert(connection, rows)


@pytest.fixture
async def settings(engine: AsyncEngine, database_url: str, tmp_path: Path) -> Settings:
    await fill(engine)
    return Settings(data_dir=tmp_path, database=Database(url=database_url))


async def test_rows_are_read_without_words_or_numbers(
    engine: AsyncEngine, settings: Settings
) -> None:
    found = await calls_since(engine, NOW - timedelta(days=7))
    assert [c.call_id for c in found] == [f"together-{n}" for n in range(4)] + ["alone"]
    assert [turn.index for turn in found[0].turns] == [0, 1, 2, 3]
    assert [turn.asked for turn in found[0].turns] == [False, True, True, True]
    for secret in (CALLER, WORDS, REPLY):
        assert secret not in repr(found)
    (own,) = await calls_of_rehearsal(engine, "r1")
    assert own.rehearsal == f"{REHEARSAL}r1-2-0"
    assert await calls_of_rehearsal(engine, "r") == []  # nor another run whose name begins so
    everything = await calls_since(engine, NOW - timedelta(days=7), rehearsals=True)
    assert len(everything) == 6
    assert [
        c.call_id for c in await calls_since(engine, NOW - timedelta(days=7), agent_id=HOSTILE)
    ] == ["alone"]


def test_the_audit_tells_what_the_log_holds(settings: Settings) -> None:
    report, written = audit(settings, "7d")
    data = orjson.loads(written.data.read_bytes())
    assert [(level["label"], level["turns"], level["gap"]["p50"]) for level in data["levels"]] == [
        ("1", 2, 455.0),
        ("3-5", 12, 910.0),
    ]
    assert data["title"] == "Audit of 5 calls"
    assert {(g["name"], g["turns"]) for g in data["languages"]} == {("hi", 12), ("en", 2)}
    assert {g["name"] for g in data["agents"]} == {"sunrise", HOSTILE}
    assert sum(g["turns"] for g in data["hours"]) == 14
    assert [slow["gap_ms"] for slow in data["slowest"][:4]] == [920.0] * 4
    assert {slow["calls"] for slow in data["slowest"][:12]} == {4}
    assert data["slowest"][0]["slowest"].startswith("write ")
    verdicts = {kept["name"]: kept["verdict"] for kept in data["budgets"]}
    assert verdicts["whole gap"] == "missed"
    assert verdicts["voice, first audio"] == "kept"
    assert verdicts["spoken word in the partials"] == "not measured"
    assert data["sizing"]["calls"] == 4
    assert {need["stage"] for need in data["sizing"]["stages"]} >= {"stt", "tts"}
    assert pages_in(written.pdf) == written.pages
    assert "3-5 calls: p95" in report.summary[0]


def test_the_report_holds_ids_only(settings: Settings) -> None:
    _, written = audit(settings, "7d")
    html = written.html.read_text("utf-8")
    page = Page(html)
    assert "img" not in page.seen
    assert HOSTILE in "".join(page.text)
    for file in (html, written.data.read_text("utf-8")):
        for secret in (CALLER, WORDS, REPLY, CALLER[1:]):
            assert secret not in file
        assert "together-0" in file


def test_an_audit_of_nothing_is_refused(settings: Settings) -> None:
    with pytest.raises(UserError, match="No caller was answered since"):
        audit(settings, "1m")
    with pytest.raises(UserError, match="is no time"):
        audit(settings, "soon")
    away = settings.model_copy(update={"database": Database(url="postgresql://a:b@127.0.0.1:1/x")})
    with pytest.raises(UserError, match="did not answer"):
        audit(away, "7d")


def test_the_command_ends_with_one_object(settings: Settings) -> None:
    environment = {
        "IVR_DATA_DIR": str(settings.data_dir),
        "IVR_DATABASE__URL": settings.database.url,
    }
    done = CliRunner().invoke(main, ["audit", "--since", "7d", "--json"], env=environment)
    assert done.exit_code == 0, done.output
    line = orjson.loads(done.output.splitlines()[-1])
    assert line["levels"]["3-5"]["gap_p50_ms"] == 910
    assert Path(line["html"]).exists()
    told = CliRunner().invoke(main, ["audit"], env=environment)
    assert told.exit_code == 0
    assert "report.html" in told.output
