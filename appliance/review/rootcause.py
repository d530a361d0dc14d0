"""What was slow or wrong in one call, in a sentence or two: pure.

Each finding is a sentence with gaps and what goes into them, so that a page can say it in its reader's
language. The gravest comes first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from appliance.events import CallRecord, Flag, Turn
from appliance.rehearsal.timeline import slowest, spans
from appliance.store.outcomes import Outcome, outcome_of

STAGE_WORDS = {
    "hear": "hearing the last words",
    "floor": "sure that the caller has finished",
    "search": "knowledge search",
    "write": "language model",
    "phrase": "first phrase written",
    "voice": "voice",
    "out": "on its way to the line",
}
"""Stage of ``rehearsal.timeline`` -> its name for a person."""
SLOW_GAP_MS = 800
"""From here on a caller notices that they wait: the line adds some 300 ms to what we measure."""
MANY_LATE_FRAMES = 50
"""One second of sound that a caller hears in bits."""
MANY_INTERRUPTIONS = 3
MANY_PROMPTS = 2
_CAUSES = {
    "NETWORK_OUT_OF_ORDER": "the connection to the telephone line broke",
    "NORMAL_TEMPORARY_FAILURE": "the process that carried it stopped",
    "INTERWORKING": "an error of the appliance ended it; the log has the details",
}


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that was slow or wrong."""

    sentence: str
    """With ``{names}`` of ``values`` in it."""
    values: Mapping[str, str | int] = field(default_factory=dict)
    looked_up: frozenset[str] = frozenset()
    """Which values are words of ours, to be said in the reader's language too."""
    turn: int | None = None
    """Where to look."""
    severity: str = "bad"
    """bad, warn or good."""

    def in_english(self) -> str:
        """The sentence whole."""
        return self.sentence.format(**self.values)


def troubles(call: CallRecord, turns: Sequence[Turn], flags: Sequence[Flag] = ()) -> list[Trouble]:
    """What was slow or wrong, the gravest first; one ``good`` sentence where nothing was."""
    found = [*_end(call), *_failures(turns), *_slow(turns), *_flagged(flags), *_talk(call, turns)]
    return found or [_all_well(turns)]


def _end(call: CallRecord) -> Iterator[Trouble]:
    outcome = outcome_of(call)
    if outcome is Outcome.CUT_OFF:
        why = _CAUSES.get(call.cause, "")
        if why:
            yield Trouble("The call was cut off: {why}.", {"why": why}, frozenset({"why"}))
        else:
            cause = call.cause or "UNKNOWN"
            yield Trouble("The call was cut off by the system ({cause}).", {"cause": cause})
    elif outcome is Outcome.NOBODY_CAME:
        values = {"who": call.transferred_to}
        yield Trouble("A person was asked for, and {who} did not take the call.", values)
    elif outcome is Outcome.EARLY:
        sentence = "The caller hung up before they had said anything."
        yield Trouble(sentence, severity="warn")
    if call.part > 1:
        sentence = "It was handed from worker to worker: {count} of them carried it."
        yield Trouble(sentence, {"count": call.part}, severity="warn")


def _failures(turns: Sequence[Turn]) -> Iterator[Trouble]:
    failed = [turn for turn in turns if turn.failure]
    if failed:
        values: dict[str, str | int] = {
            "count": len(failed),
            "total": len(turns),
            "what": failed[0].failure,
        }
        sentence = "In {count} of {total} turns the caller did not get what was meant: {what}."
        yield Trouble(sentence, values, turn=failed[0].index)
    apologies = [turn for turn in turns if turn.source == "apology" and not turn.failure]
    if apologies:
        sentence = "The agent had to apologise in {count} of {total} turns."
        yield Trouble(
            sentence, {"count": len(apologies), "total": len(turns)}, turn=apologies[0].index
        )


def _slow(turns: Sequence[Turn]) -> Iterator[Trouble]:
    gaps = [(turn.gap_ms, turn) for turn in turns if turn.gap_ms is not None]
    slow = [(gap, turn) for gap, turn in gaps if gap >= SLOW_GAP_MS]
    if not slow:
        return
    gap, turn = max(slow, key=lambda one: one[0])
    severity = "bad" if gap >= 2 * SLOW_GAP_MS or 2 * len(slow) >= len(gaps) else "warn"
    parts = [worst for _, one in slow if (worst := slowest(spans(one.stages))) is not None]
    if not parts:
        values: dict[str, str | int] = {"gap": gap}
        yield Trouble("The slowest answer came after {gap} ms.", values, turn=turn.index)
        return
    stage, times = Counter(part.stage for part in parts).most_common(1)[0]
    if len(slow) == 1:
        worst = parts[0]
        yield Trouble(
            "One answer came only after {gap} ms. Slowest stage: {stage}, {ms} ms of it.",
            {"gap": gap, "stage": STAGE_WORDS[worst.stage], "ms": worst.ms},
            frozenset({"stage"}),
            turn.index,
            severity,
        )
        return
    middle = round(median(part.ms for part in parts if part.stage == stage))
    yield Trouble(
        "{count} of {total} answers took more than {limit} ms, the slowest {gap} ms."
        " Slowest stage in {times} of them: {stage} ({ms} ms).",
        {
            "count": len(slow), "total": len(gaps), "limit": SLOW_GAP_MS, "times": times,
            "stage": STAGE_WORDS[stage], "ms": middle, "gap": gap,
        },
        frozenset({"stage"}),
        turn.index,
        severity,
    )  # fmt: skip


def _flagged(flags: Sequence[Flag]) -> Iterator[Trouble]:
    heard = [
        f for f in flags if f.side == "agent" and f.action != "stopped" and f.severity != "low"
    ]
    stopped = [flag for flag in flags if flag.action == "stopped"]
    if heard:
        values: dict[str, str | int] = {"count": len(heard), "rule": heard[0].rule}
        sentence = "Flagged, and heard by the caller: {count} ({rule})."
        yield Trouble(sentence, values, turn=heard[0].turn)
    if stopped:
        values = {"count": len(stopped), "rule": stopped[0].rule}
        sentence = "Stopped by the guard before the caller heard it: {count} ({rule})."
        yield Trouble(sentence, values, turn=stopped[0].turn, severity="warn")


def _talk(call: CallRecord, turns: Sequence[Turn]) -> Iterator[Trouble]:
    if call.late_frames >= MANY_LATE_FRAMES:
        sentence = "{count} frames of sound went out late: the worker was overloaded."
        yield Trouble(sentence, {"count": call.late_frames}, severity="warn")
    cut = [turn for turn in turns if turn.barged_in]
    if len(cut) >= MANY_INTERRUPTIONS:
        values: dict[str, str | int] = {"count": len(cut)}
        sentence = "The caller interrupted the agent {count} times."
        yield Trouble(sentence, values, turn=cut[0].index, severity="warn")
    asked = [turn for turn in turns if turn.source == "prompt"]
    if len(asked) >= MANY_PROMPTS:
        sentence = "The agent had to ask {count} times whether the caller was still there."
        values = {"count": len(asked)}
        yield Trouble(sentence, values, turn=asked[0].index, severity="warn")


def _all_well(turns: Sequence[Turn]) -> Trouble:
    gaps = [turn.gap_ms for turn in turns if turn.gap_ms is not None]
    if not gaps:
        return Trouble("Nothing was slow or wrong.", severity="good")
    sentence = "Nothing was slow or wrong: each of {count} answers came within {gap} ms."
    if len(gaps) == 1:
        sentence = "Nothing was slow or wrong: the answer came after {gap} ms."
    return Trouble(sentence, {"count": len(gaps), "gap": max(gaps)}, severity="good")
