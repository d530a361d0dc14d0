"""A real call through real processes: what each tells Prometheus, and the collector of traces, against
what truly happened."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from appliance.audio import write_wav
from appliance.call.spans import spans_ms
from appliance.events import CallRecord, Turn
from appliance.metrics.calls import STAGES, durations_ms
from appliance.ops.top.gather import Gatherer
from appliance.ops.top.state import Snapshot
from appliance.store.database import open_engine
from tests.appliance_kit import LiveCall, Site, free_ports, real_engine, ringing
from tests.metrics_kit import Collector, Scrape, assert_known, collector, facts, parsed, scrape
from tests.spoken import RATE_HZ, say

pytestmark = [
    pytest.mark.server,
    pytest.mark.sip,
    pytest.mark.long,
    pytest.mark.asyncio(loop_scope="module"),
]

ENGINES = {"stt": 1, "tts": 1, "turn": 1, "embed": 1}
SETTLE_S = 15.0
QUESTION, CUTTING_IN = "are you open on sundays", "how much does the family plan cost"
BYE = "thank you goodbye"


@dataclass(frozen=True)
class Told:
    """Of one call: what is in the journal, and what was told before, during and after."""

    call: CallRecord
    turns: list[Turn]
    before: dict[str, Scrape]
    during: dict[str, Scrape]
    after: dict[str, Scrape]
    traces: Collector
    top: Snapshot
    """What `ivr top` saw during the call."""


async def look_at(site: Site) -> Snapshot:
    engine = open_engine(site.postgres.url)
    async with aiohttp.ClientSession() as http:
        gatherer = Gatherer(site.settings, http, engine)
        following = asyncio.create_task(gatherer.follow())
        try:
            async with asyncio.timeout(SETTLE_S):
                while not (seen := await gatherer.look()).calls:
                    await asyncio.sleep(0.1)
                return seen
        finally:
            following.cancel()
            await asyncio.wait({following})
            await engine.dispose()


def scrape_all(site: Site, sip_port: int) -> dict[str, Scrape]:
    places = {name: site.url(name) for name in (*site.engines, "worker")}
    return {n: scrape(u) for n, u in (places | {"sip": f"http://127.0.0.1:{sip_port}"}).items()}


async def talk(call: LiveCall, files: dict[str, Path]) -> None:
    await call.event("turn_over")  # the greeting
    await call.said(files["question"])
    await call.event("audible")
    await asyncio.sleep(1.2)
    await call.said(files["cut"])  # into the answer, which stops
    await call.event("audible")
    await call.event("turn_over")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def told(open_tmp: Path) -> AsyncIterator[Told]:
    folder = open_tmp / "metrics"
    (port,) = free_ports(1)
    with collector() as traces:
        environment = {
            "IVR_ENGINES__STT__TIMEOUT_MS": "2000",
            "IVR_METRICS__SIP_PORT": str(port),
            "IVR_TRACING__ENDPOINT": traces.url,
        }
        site = Site(folder, open_tmp / "embedded-metrics", ENGINES, real_engine, environment)
        texts = {"question": QUESTION, "cut": CUTTING_IN, "bye": BYE}
        for name, text in texts.items():
            write_wav(folder / f"{name}.wav", [say(text)], RATE_HZ)
        files = {name: folder / f"{name}.wav" for name in texts}
        try:
            await asyncio.to_thread(site.open, lambda sample: {})
            before = await asyncio.to_thread(scrape_all, site, port)
            async with ringing(site) as call:
                await call.heard("answered")
                await talk(call, files)
                during = await asyncio.to_thread(scrape_all, site, port)
                seen = await look_at(site)
                await call.said(files["bye"])
                await call.heard("ended")
            record, turns = await call.rows()
            async with asyncio.timeout(SETTLE_S):
                while not traces.named("call"):
                    await asyncio.sleep(0.1)
                after = await asyncio.to_thread(scrape_all, site, port)
                while after["sip"].value("ivr_sip_calls_live") or after["worker"].value(
                    "ivr_journal_rows_behind"
                ):
                    await asyncio.sleep(0.1)
                    after = await asyncio.to_thread(scrape_all, site, port)
        finally:
            await asyncio.to_thread(site.close)
        yield Told(record, turns, before, during, after, traces, seen)


async def test_every_process_tells_what_the_catalogue_has_of_it(told: Told) -> None:
    assert_known(told.after["worker"], "worker")
    registration = frozenset({"ivr_sip_registration"})  # this one registers nowhere
    assert_known(told.after["sip"], "sip", registration)
    for name in ENGINES:
        found = told.after[f"{name}.0"]
        assert_known(found, name)
        assert found.value("ivr_server_ready", stage=name, engine=_engine(found)) == 1


def _engine(found: Scrape) -> str:
    (labels,) = (dict(of) for n, of in found.values if n == "ivr_server_ready")
    return labels["engine"]


async def test_calls_are_counted_once(told: Told) -> None:
    before, during, after = (x["worker"] for x in (told.before, told.during, told.after))
    assert before.total("ivr_calls_begun_total") == 0
    assert during.value("ivr_calls_live") == 1
    assert during.value("ivr_calls_begun_total", direction="in") == 1
    assert during.total("ivr_calls_ended_total") == 0
    assert after.value("ivr_calls_live") == 0
    ended_by = told.call.ended_by
    assert after.value("ivr_calls_ended_total", direction="in", outcome=ended_by) == 1
    assert after.total("ivr_calls_ended_total") == 1
    took_s = (told.call.ended_at - told.call.started_at).total_seconds()  # type: ignore[operator]
    assert after.value("ivr_call_seconds_sum", direction="in") == pytest.approx(took_s, abs=0.01)


async def test_turns_gaps_and_stages_are_those_of_the_rows(told: Told) -> None:
    found = told.after["worker"]
    assert found.total("ivr_turns_total") == len(told.turns)
    for source in {turn.source for turn in told.turns}:
        count = sum(turn.source == source for turn in told.turns)
        assert found.value("ivr_turns_total", source=source) == count
    assert found.value("ivr_barge_ins_total") == sum(turn.barged_in for turn in told.turns) >= 1
    gaps = [turn.gap_ms for turn in told.turns if turn.gap_ms is not None]
    of = {"language": told.call.language, "direction": "in"}
    assert found.value("ivr_gap_seconds_count", **of) == len(gaps) >= 2
    assert found.value("ivr_gap_seconds_sum", **of) == pytest.approx(sum(gaps) / 1000)
    for stage in STAGES:
        took = [
            durations_ms(t.stages)[stage] for t in told.turns if stage in durations_ms(t.stages)
        ]
        assert took or stage not in ("endpointing", "tts_first_audio", "playout")
        assert found.value("ivr_stage_seconds_count", stage=stage) == len(took)
        assert found.value("ivr_stage_seconds_sum", stage=stage) == pytest.approx(sum(took) / 1000)
    kept = sum(turn.kept_speculation for turn in told.turns)
    assert found.value("ivr_speculations_total", outcome="kept") == kept


async def test_frames_are_those_that_were_sent(told: Told) -> None:
    found = told.after["worker"]
    took_s = (told.call.ended_at - told.call.started_at).total_seconds()  # type: ignore[operator]
    assert found.value("ivr_frames_sent_total") == pytest.approx(took_s * 50, rel=0.1, abs=50)
    assert found.value("ivr_frames_late_total") == told.call.late_frames
    assert told.during["worker"].value("ivr_frames_sent_total") > 100


async def test_engines_are_told_by_both_sides(told: Told) -> None:
    during, after = told.during, told.after["worker"]
    for stage in ENGINES:
        assert after.total("ivr_engine_servers", stage=stage) == 1
        if not after.value(
            "ivr_engine_failures_total", stage=stage
        ):  # a busy machine's may be late
            assert after.value("ivr_engine_servers", stage=stage, state="up") == 1
    assert during["stt.0"].total("ivr_server_in_flight") == 1  # one call, one stream
    assert told.after["stt.0"].total("ivr_server_in_flight") == 0
    spoken = told.after["tts.0"]
    # with those that a barge-in has cut off
    asked = spoken.total("ivr_server_requests_total", route="/v1/audio/speech")
    first = after.value("ivr_engine_first_answer_seconds_count", stage="tts")
    assert asked >= first >= 3
    embedded = told.after["embed.0"]
    assert embedded.value("ivr_server_batch_items_count") >= 2
    assert embedded.value("ivr_server_batch_items_sum") == embedded.value(
        "ivr_server_queue_seconds_count"
    )


async def test_the_sip_parent_tells_of_its_children(told: Told) -> None:
    found = told.after["sip"]
    assert told.during["sip"].value("ivr_sip_calls_live") == 1
    assert found.value("ivr_sip_child_calls_total", event="started") == 1
    assert found.value("ivr_sip_child_calls_total", event="ended") == 1
    assert found.value("ivr_sip_requests_total", method="INVITE") >= 1
    assert found.value("ivr_sip_answers_total", status="200") >= 1
    assert found.value("ivr_sip_children") == 2
    assert found.value("ivr_sip_children_resident_bytes") > 20e6
    assert found.value("ivr_sip_children_open_fds") > 10


async def test_top_sees_the_call_and_the_parts_that_carry_it(told: Told) -> None:
    (call,) = told.top.calls
    assert call.call_id == told.call.call_id and call.direction == "in"
    assert call.turns >= 2 and call.language == told.call.language
    (worker,) = told.top.workers
    assert (worker.status, worker.calls) == ("ok", 1)
    assert worker.gap_p95_s is not None and worker.resident_bytes > 50e6
    stages = {stage.name: stage for stage in told.top.stages}
    assert stages["stt"].in_flight == 1 and stages["stt"].capacity >= 1
    assert told.call.caller not in told.top.json()


async def test_no_series_has_a_number_a_word_or_an_id_in_it(told: Told) -> None:
    for found in told.after.values():
        text = " ".join(value for _, labels in found.values for _, value in labels)
        assert told.call.call_id[:8] not in text
        assert told.call.caller not in text
        assert "sundays" not in text.lower()


async def test_a_call_is_one_trace_with_a_span_a_turn(told: Told) -> None:
    traces = told.traces
    assert traces.services == {"ivr"}
    (call,) = traces.named("call")
    assert facts(call)["ivr.call_id"] == told.call.call_id
    assert {span.trace_id for span in traces.spans} == {call.trace_id}
    turns = traces.named("turn")
    assert len(turns) == len(told.turns)
    assert {span.parent_span_id for span in turns} == {call.span_id}
    by_index = {facts(span)["ivr.turn"]: span for span in turns}
    for turn in told.turns:
        span = by_index[turn.index]
        assert call.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
        if turn.gap_ms is not None:
            assert facts(span)["ivr.gap_ms"] == turn.gap_ms
            stages = {s.name: s for s in traces.spans if s.parent_span_id == span.span_id}
            assert set(stages) == set(spans_ms(turn.stages)) >= {"speech", "endpointing", "tts"}
            waited = stages["endpointing"]
            took_ms = (waited.end_time_unix_nano - waited.start_time_unix_nano) / 1e6
            assert took_ms == durations_ms(turn.stages)["endpointing"]
    assert told.after["worker"].value("ivr_trace_spans_total", outcome="failed") == 0


async def test_traces_have_no_words_and_no_numbers(told: Told) -> None:
    text = " ".join(str(value) for span in told.traces.spans for value in facts(span).values())
    assert told.call.caller not in text and told.call.caller.lstrip("+") not in text
    for turn in told.turns:
        assert not turn.said or turn.said not in text
        assert not turn.heard or turn.heard not in text


async def test_the_kit_knows_what_is_told_twice() -> None:
    with pytest.raises(AssertionError, match="twice"):
        parsed('# TYPE a gauge\na{b="1"} 1\na{b="1"} 2\n')
