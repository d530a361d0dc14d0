"""Counts calls and turns as the journal gets them: once a turn, from marks that are there anyway.

Beside the call it costs some 10 µs a turn; the frames of a call are counted by who sends them, and read
at the scrape.
"""

from __future__ import annotations

from collections import Counter

from appliance.events import CallRecord, Flag, Stages, Turn
from appliance.metrics.buckets import CALLS_S, Buckets
from appliance.metrics.exposition import Sink

LOST = "NETWORK_OUT_OF_ORDER"
BROKEN = "INTERWORKING"
MOST_LANGUAGES = 24
"""Different ones; further ones count as ``other``."""
MOST_LIVE = 5000
"""Calls remembered from their begin to their end; more than a worker carries."""
OUTCOMES = ("caller", "agent", "system", "transferred", "lost", "broken")
STAGES = (
    "endpointing", "stt_final", "retrieval", "llm_first_token", "first_phrase", "tts_first_audio",
    "guard_hold", "playout", "written",
)  # fmt: skip


class CallCounts:
    """Of one worker, since its start."""

    def __init__(self) -> None:
        self._live: dict[str, tuple[str, str]] = {}
        """(language, direction) of each call that is not over."""
        self._languages: set[str] = set()
        self.begun: Counter[str] = Counter()
        self.ended: Counter[tuple[str, str]] = Counter()
        self.seconds: dict[str, Buckets] = {}
        self.turns: Counter[str] = Counter()
        self.failed = 0
        self.barge_ins = 0
        self.speculations: Counter[str] = Counter()
        self.findings: Counter[str] = Counter()
        self.gaps: dict[tuple[str, str], Buckets] = {}
        self.stages = {stage: Buckets() for stage in STAGES}

    def call(self, record: CallRecord) -> None:
        """A call began, changed or ended."""
        known = record.call_id in self._live
        if record.ended_at is not None:
            self._live.pop(record.call_id, None)
            self.ended[record.direction, outcome_of(record)] += 1
            took = (record.ended_at - record.started_at).total_seconds()
            self.seconds.setdefault(record.direction, Buckets(CALLS_S)).observe(max(0.0, took))
        elif not known and len(self._live) < MOST_LIVE:
            self.begun[record.direction] += 1
            self._live[record.call_id] = (self._language(record.language), record.direction)

    def turn(self, turn: Turn) -> None:
        """A turn is over."""
        self.turns[turn.source] += 1
        self.failed += bool(turn.failure)
        self.barge_ins += turn.barged_in
        if turn.kept_speculation:
            self.speculations["kept"] += 1
        if turn.stages.speculations_dropped:
            self.speculations["dropped"] += turn.stages.speculations_dropped
        if turn.gap_ms is not None and turn.gap_ms >= 0:
            place = self._live.get(turn.call_id, ("other", "in"))
            self.gaps.setdefault(place, Buckets()).observe(turn.gap_ms / 1000)
        for stage, took_ms in durations_ms(turn.stages).items():
            self.stages[stage].observe(took_ms / 1000)

    def flag(self, flag: Flag) -> None:
        """The guard found something."""
        self.findings[flag.action] += 1

    def put(self, sink: Sink) -> None:
        """Tell all of it."""
        for direction in ("in", "out"):
            self.begun[direction] += 0  # told from the start, so that the first one is a change
            for outcome in OUTCOMES:
                self.ended[direction, outcome] += 0
        for direction, count in self.begun.items():
            sink.put("ivr_calls_begun_total", count, direction=direction)
        for (direction, outcome), count in self.ended.items():
            sink.put("ivr_calls_ended_total", count, direction=direction, outcome=outcome)
        for direction, seconds in self.seconds.items():
            sink.histogram("ivr_call_seconds", seconds, direction=direction)
        for source, count in self.turns.items():
            sink.put("ivr_turns_total", count, source=source)
        sink.put("ivr_turns_failed_total", self.failed)
        sink.put("ivr_barge_ins_total", self.barge_ins)
        for outcome in ("kept", "dropped"):
            sink.put("ivr_speculations_total", self.speculations[outcome], outcome=outcome)
        for action in ("stopped", "late", "flagged"):
            sink.put("ivr_guard_findings_total", self.findings[action], action=action)
        for (language, direction), gaps in self.gaps.items():
            sink.histogram("ivr_gap_seconds", gaps, language=language, direction=direction)
        for stage, seconds in self.stages.items():
            sink.histogram("ivr_stage_seconds", seconds, stage=stage)

    def _language(self, tag: str) -> str:
        """The primary subtag, as agents have it; of a site with dozens the last ones are one."""
        language = tag.partition("-")[0].lower()[:8]
        if len(self._languages) < MOST_LANGUAGES:
            self._languages.add(language)
        return language if language in self._languages else "other"


def outcome_of(record: CallRecord) -> str:
    """How a call ended."""
    if record.cause == LOST:
        return "lost"
    if record.cause == BROKEN:
        return "broken"
    if record.transferred_to:
        return "transferred"
    return record.ended_by or "system"


def durations_ms(stages: Stages) -> dict[str, int]:
    """How long each stage of a turn took; those that were not there are left out, and of those that
    ended before the one before them (a speculation) it is nought."""
    s = stages
    spans = {
        "endpointing": (s.speech_end, s.turn_given),
        "stt_final": (s.speech_end, s.final),
        "retrieval": (s.speculation, s.retrieval),
        "llm_first_token": (s.speculation if s.retrieval is None else s.retrieval, s.first_token),
        "first_phrase": (s.first_token, s.first_phrase),
        "tts_first_audio": (s.first_phrase, s.first_audio),
        "playout": (_later(s.first_audio, s.turn_given), s.first_frame),
        "written": (s.first_token, s.last_token),
    }
    found = {
        stage: max(0, end - begin)
        for stage, (begin, end) in spans.items()
        if begin is not None and end is not None
    }
    if s.first_audio is not None:
        found["guard_hold"] = s.held
    return found


def _later(first: int | None, second: int | None) -> int | None:
    return first if second is None else second if first is None else max(first, second)
