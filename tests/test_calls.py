"""``ivr calls`` on a real database, and the arithmetic of a turn's wait."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from appliance.__main__ import main
from appliance.errors import UserError
from appliance.events import CallRecord, Passage, Stages, Turn
from appliance.ops.calls import parse_since
from appliance.rehearsal.timeline import BAR_COLUMNS, Span, bar, slowest, spans
from appliance.store.database import open_engine
from appliance.store.journal import Journal
from tests.conftest import free_port

NOW = datetime.now(UTC).replace(microsecond=0)
WAIT = Stages(
    speech_start=500,
    speech_end=2000,
    speculation=1800,
    retrieval=1810,
    first_token=2300,
    final=2040,
    turn_given=2240,
    first_phrase=2350,
    first_audio=2450,
    first_frame=2460,
)

CALLS = (
    CallRecord(
        "aaaa-1111", "1001", "+911", "help", 2, "en", NOW - timedelta(minutes=5),
        ended_at=NOW - timedelta(minutes=3, seconds=55), cause="NORMAL_CLEARING",
        ended_by="caller", turns=4, recording="a.wav",
    ),
    CallRecord("aabb-2222", "1001", "+912", "help", 2, "en", NOW - timedelta(minutes=1)),
    CallRecord(
        "cccc-3333", "2002", "\x1b[2Jevil", "sales", 1, "hi", NOW - timedelta(days=3),
        ended_at=NOW - timedelta(days=3), cause="NORMAL_TEMPORARY_FAILURE", ended_by="system",
        part=2, direction="out", answered_by="machine:beep", transferred_to="queue:\x1b[2Jhelp",
        summary="They want a refund.", memory="Evil wants\n\x1b[2Ja refund.", remembered=4,
        facts={"name": "Evil\x1b[2J"}, continues="bbbb-0000",
    ),
)  # fmt: skip


def _turn(call: CallRecord, index: int, gap_ms: int | None, said: str = "hello") -> Turn:
    return Turn(
        call_id=call.call_id,
        index=index,
        at=call.started_at + timedelta(seconds=5 * index),
        said=said,
        reply="We open at nine. We close at six.",
        heard="We open at nine.",
        source="extractive",
        stages=WAIT,
        gap_ms=gap_ms,
        passages=(Passage("7", "help.pdf", "Opening times", "We open at nine.", 0.8125, 2, True),),
        barged_in=index == 2,
        kept_speculation=True,
        failure="the first recogniser was lost" if index == 3 else "",
    )


TURNS = (
    _turn(CALLS[0], 0, None, said=""),
    _turn(CALLS[0], 1, 300, said="what are [bold]your[/bold] timings"),
    _turn(CALLS[0], 2, 400),
    _turn(CALLS[0], 3, 500),
    _turn(CALLS[1], 0, 100),
)

Ivr = Callable[..., Result]


@pytest.fixture
def ivr(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ivr:
    """Runs ``ivr`` on a database that holds CALLS and TURNS."""

    async def fill() -> None:
        engine = open_engine(database_url)
        async with Journal(engine, tmp_path / "spool") as journal:
            for call in CALLS:
                journal.call(call)
            for turn in TURNS:
                journal.turn(turn)
        await engine.dispose()

    asyncio.run(fill())
    monkeypatch.setenv("IVR_DATABASE__URL", database_url)
    return lambda *arguments: CliRunner().invoke(main, list(arguments))


@pytest.mark.server
def test_the_list_is_newest_first_with_gaps(ivr: Ivr) -> None:
    result = ivr("calls")
    assert result.exit_code == 0, result.output
    head, live, done, lost = (line.rstrip() for line in result.output.splitlines())
    assert (
        head.split()
        == "call when caller number agent turns length gap p50 gap p95 ended by".split()
    )
    assert live.startswith("aabb-222") and live.endswith("live")
    assert "100 ms" in live
    assert done.startswith("aaaa-111") and done.split()[-1] == "caller"
    assert done.split()[3:] == ["+911", "1001", "help.2", "4", "1:05", "400", "ms", "490", "ms",
                                "caller"]  # fmt: skip
    assert "system (NORMAL_TEMPORARY_FAILURE)" in lost
    assert "\x1b" not in result.output and "·[2Jevil" in lost


@pytest.mark.server
@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["--limit", "1"], ["aabb-2222"]),
        (["--agent", "sales"], ["cccc-3333"]),
        (["--since", (NOW - timedelta(minutes=2)).isoformat()], ["aabb-2222"]),
        (["--since", "2h"], ["aabb-2222", "aaaa-1111"]),
        (["--since", (NOW - timedelta(days=4)).isoformat(), "--agent", "help", "--limit", "1"],
         ["aabb-2222"]),
        (["--agent", "nobody"], []),
    ],
)  # fmt: skip
def test_the_list_as_json(ivr: Ivr, arguments: list[str], found: list[str]) -> None:
    result = ivr("calls", *arguments, "--json")
    assert result.exit_code == 0, result.output
    rows = json.loads(result.output.splitlines()[-1])["calls"]
    assert [row["call"]["call_id"] for row in rows] == found
    for row in rows:
        if row["call"]["call_id"] == "aabb-2222":
            assert (row["call"]["turns"], row["gap_p50_ms"]) == (1, 100.0)
        if row["call"]["call_id"] == "cccc-3333":
            assert row["gap_p95_ms"] is None


@pytest.mark.server
def test_one_call_turn_by_turn(ivr: Ivr) -> None:
    result = ivr("calls", "show", "aaa")
    assert result.exit_code == 0, result.output
    text = result.output
    assert "Call aaaa-1111" in text and "+911 to 1001, agent help.2 (en), 1:05 long" in text
    assert "ended by caller" in text and "recording a.wav" in text
    greeting, question, barged, trouble = text.split("\n\n")[1:]
    assert "said" not in greeting and "gap" not in greeting
    assert "0:05" in question and "extractive, gap 300 ms, speculation kept" in question
    assert "what are [bold]your[/bold] timings" in question
    assert "heard    We open at nine.\n" in question
    assert "unheard  We close at six." in question
    assert "passage * help.pdf p. 2 / Opening times (0.81)" in question
    assert "hear 40 · floor 200 · write 60 · phrase 50 · voice 100 · out 10" in question
    assert "slowest: floor" in question and "460 ms" in question
    assert "HHHH" + "F" * 21 in question
    assert "barged in" in barged
    assert "trouble  the first recogniser was lost" in trouble


@pytest.mark.server
def test_one_call_as_json(ivr: Ivr) -> None:
    result = ivr("calls", "show", "aaaa-1111", "--json")
    found = json.loads(result.output.splitlines()[-1])
    assert found["call"]["ended_by"] == "caller"
    assert [turn["gap_ms"] for turn in found["turns"]] == [None, 300, 400, 500]
    assert found["turns"][1]["stages"]["first_frame"] == 2460
    assert found["turns"][1]["passages"][0]["document"] == "help.pdf"


@pytest.mark.server
@pytest.mark.parametrize(
    ("prefix", "message"),
    [
        ("zz", "There is no call 'zz'"),
        ("aa", "Several calls begin with 'aa': aabb-2222, aaaa-1111"),
        ("%", "There is no call '%'"),
        ("", "There is no call ''"),
    ],
)
def test_an_id_that_is_none_or_many(ivr: Ivr, prefix: str, message: str) -> None:
    result = ivr("calls", "show", prefix)
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output


@pytest.mark.server
def test_a_database_without_tables_says_the_fix(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IVR_DATABASE__URL", empty_database_url)
    result = CliRunner().invoke(main, ["calls"])
    assert result.exit_code == 2
    assert "no tables yet. Run `ivr db upgrade`" in result.output


def test_no_database_says_the_fix_and_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IVR_DATABASE__URL", f"postgresql://u:hidden@127.0.0.1:{free_port()}/d")
    for arguments in (["calls"], ["calls", "show", "a"]):
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 2
        assert "`ivr up`" in result.output and "hidden" not in result.output
        assert len(result.output.splitlines()) == 1


def test_since_is_a_span_or_a_time() -> None:
    now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    assert parse_since("90m", now) == now - timedelta(minutes=90)
    assert parse_since("1w", now) == now - timedelta(days=7)
    assert parse_since("2026-11-19T10:00:00+00:00", now) == datetime(2026, 11, 19, 10, tzinfo=UTC)
    assert parse_since("2026-11-19", now).utcoffset() is not None
    with pytest.raises(UserError, match="--since 'soon' is no time"):
        parse_since("soon", now)


def test_the_wait_is_cut_at_each_mark_in_time() -> None:
    parts = spans(WAIT)
    assert [(span.stage, span.ms) for span in parts] == [
        ("hear", 40), ("floor", 200), ("write", 60), ("phrase", 50), ("voice", 100), ("out", 10),
    ]  # fmt: skip
    assert sum(span.ms for span in parts) == 460
    assert slowest(parts) == Span("floor", 200)


def test_a_greeting_counts_from_its_first_mark_and_nothing_from_nothing() -> None:
    assert spans(Stages(turn_given=0, first_audio=80, first_frame=100)) == [
        Span("voice", 80),
        Span("out", 20),
    ]
    assert spans(Stages()) == [] and slowest([]) is None and bar([]) == []


def test_the_bar_has_a_column_for_the_shortest() -> None:
    columns = dict(bar([Span("hear", 1), Span("floor", 999)]))
    assert columns == {Span("hear", 1): 1, Span("floor", 999): BAR_COLUMNS}


@pytest.mark.server
def test_a_call_shows_who_answered_it_where_it_went_and_that_it_was_taken_over(ivr: Ivr) -> None:
    shown = ivr("calls", "show", "cccc")
    assert shown.exit_code == 0, shown.output
    assert "made by us, answered by machine (beep)" in shown.output
    assert "transfer to queue:·[2Jhelp: They want a refund." in shown.output
    assert "carried by 2 workers" in shown.output
    assert "goes on with call bbbb-0000" in shown.output and "facts name: Evil·[2J" in shown.output
    assert "summary of turns up to 4: Evil wants / ·[2Ja refund." in shown.output
    call = json.loads(ivr("calls", "show", "cccc", "--json").output)["call"]
    assert (call["part"], call["direction"], call["answered_by"]) == (2, "out", "machine:beep")
    plain = ivr("calls", "show", "aaaa").output
    assert not any(word in plain for word in ("made by us", "transfer to", "carried by"))
