"""Personal data of one call: out of its rows, out of what is shown live, out of its recording.

The agent goes on with the words as they were said; only what is kept or shown is changed. A number may
come in parts, over several utterances or turns. So digits at the end of a turn that may be the first
part of one are kept as ``[number]`` until the next turn tells what they were: the row is then written
again. Nothing that this class has not seen goes to the journal.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from appliance.call.reply import Reply
from appliance.call.wordtimes import AFTER_MS, PlayedTimes, WordTimes, place_in_phrases
from appliance.events import Agent, CallRecord, Flag, Redaction, Side, Transcript, Turn
from appliance.safety.personal_numbers import Found
from appliance.safety.redact import Redactor, Span, labelled, spans_of

KEPT_UTTERANCES = 6
"""A number's parts are looked for in so many utterances of a caller."""
KEPT_TURNS = 3
LETTERS_NOW = 600
"""Of an utterance under way, its last 40 s; what stood before was looked at when it was said."""
LETTERS_BESIDE = 300
"""Of an utterance or turn beside others: so much of a number may lie in it, with fillers."""
MOST_SECRETS = 50
"""Numbers of a call that are remembered to be found when they are repeated."""
UNKNOWN_PLACE_MS = (0, 2**31 - 1)
"""The whole side: its place in the file cannot be known."""
_WHOLE = {"card": 15, "aadhaar": 12}
"""Digits; of a shorter one the recogniser has made other words in part."""
_SHOWN_WORDS = ("text", "said", "summary")
_CALLER_SPEAKS = ("partial", "final", "turn")


class Journal(Protocol):
    """Where rows go."""

    def turn(self, turn: Turn) -> None:
        """A turn, or one written again."""

    def redaction(self, span: Redaction) -> None:
        """A span of the recording that nobody may hear."""


@dataclass
class _Utterance:
    """One utterance of the caller, from ``begin_ms`` of the media clock."""

    number: int
    begin_ms: int
    times: WordTimes
    covered: list[_Covered] = field(default_factory=list)
    """What no one may hear of it, from any of its transcripts: a later one may have lost a number."""
    is_whole: bool = False
    """A number of full length was heard in it."""


@dataclass(frozen=True)
class _Covered:
    """``[begin_ms, end_ms]`` of an utterance."""

    kind: str
    begin_ms: int
    end_ms: int


@dataclass
class _Said:
    """One of the latest turns in which the caller said something."""

    turn: Turn
    """As it was said."""
    spans: list[Span]
    growing: list[Span] = field(default_factory=list)
    """Digits at its end that may be the first part of something."""
    kept: Turn | None = None
    """The row last written of it."""
    secrets: int = 0
    """How many were known of the call then."""

    def text(self) -> str:
        """The caller's words, to be kept."""
        return labelled(self.turn.said, [*self.spans, *self.growing]).text


@dataclass(frozen=True)
class File:
    """The recording that the call's audio is in."""

    name: str = ""
    """Relative to the recordings folder; empty: there is none."""
    offset_ms: int | None = 0
    """What is added to the media clock for the file's time; None: not known."""
    early_ms: int = 0
    """How much earlier in the file a sound may lie than that says (an edge that records begins when the
    call is answered, a moment after our clock)."""
    mark: Callable[[Redaction], None] | None = None
    """Tells whoever writes the file."""


class Redacting:
    """Of one call. ``heard``, ``played`` and ``turn`` come in the order in which they happen."""

    def __init__(self, call_id: str, agent: Agent, journal: Journal) -> None:
        self._call_id = call_id
        self._journal = journal
        self._redactor = Redactor(agent.redact, agent.language, known=(agent.prompt,))
        self._is_on = bool(agent.redact)
        self._file = File()
        self._utterances: deque[_Utterance] = deque(maxlen=KEPT_UTTERANCES)
        self._turns: deque[_Said] = deque(maxlen=KEPT_TURNS)
        self._secrets: dict[str, str] = {}
        """Digits of what was found -> its kind."""
        self._told: set[tuple[Side, int, int]] = set()
        self._played = PlayedTimes()
        self._last_heard = ""
        self._ours_found: dict[tuple[int, str], list[Found]] = {}
        """What was found in the agent's words of a turn, until its row is made."""

    def attach(self, file: File) -> None:
        """The call is recorded."""
        self._file = file

    # --- the caller's side ------------------------------------------------------------------------

    def heard(self, transcript: Transcript, begin_ms: int) -> None:
        """A transcript of the utterance that began at ``begin_ms`` of the media clock."""
        if not self._is_on:
            return
        last = self._utterances[-1] if self._utterances else None
        if last is None or last.number != transcript.utterance:
            last = _Utterance(transcript.utterance, begin_ms, WordTimes())
            self._utterances.append(last)
        last.times.hear(transcript.text, transcript.audio_ms)
        self._look_at_utterances(whole=transcript.final)
        if transcript.final:
            self._cover_utterances()

    def _look_at_utterances(self, *, whole: bool) -> None:
        """Find personal data in the latest utterances, as if they were one; ``whole``: in all words of
        the last. This is done with every partial transcript, on the event loop."""
        texts = [utterance.times.text for utterance in self._utterances]
        skipped = [_skipped(text, LETTERS_BESIDE) for text in texts[:-1]]
        skipped += [0 if whole else _skipped(text, LETTERS_NOW) for text in texts[-1:]]
        texts = [text[skip:] for text, skip in zip(texts, skipped, strict=True)]
        for found in self._find_now(" ".join(texts)):
            at = 0
            for utterance, text, skip in zip(self._utterances, texts, skipped, strict=True):
                begin, end = max(found.begin - at, 0), min(found.end - at, len(text))
                if begin < end:
                    begin_ms, end_ms = utterance.times.place(skip + begin, skip + end)
                    if len(found.digits) >= _WHOLE.get(found.kind, 0):
                        utterance.is_whole = True
                    utterance.covered.append(_Covered(found.kind, begin_ms, end_ms))
                    utterance.covered = _joined(utterance.covered)
                at += len(text) + 1

    def _cover_utterances(self) -> None:
        for utterance in self._utterances:
            zero_ms, length_ms = utterance.begin_ms, utterance.times.covered_ms + AFTER_MS
            for one in utterance.covered:
                # what remains too short was misheard: the rest of it follows as other words
                short = one.kind in _WHOLE and not utterance.is_whole
                end_ms = length_ms if short else min(one.end_ms, length_ms)
                self._cover("caller", one.kind, zero_ms + one.begin_ms, zero_ms + end_ms)

    # --- the agent's side -------------------------------------------------------------------------

    def played(self, reply: Reply, clock_ms: int) -> None:
        """A frame of ``reply`` ended at ``clock_ms`` of the media clock."""
        if self._is_on and reply.utterance.played_ms:
            self._played.played(reply.utterance.played_ms, clock_ms)

    def _cover_reply(self, reply: Reply, turn: Turn) -> None:
        phrases = reply.phrases
        text = " ".join(phrase.text for phrase in phrases)
        for found in self._find_ours(text, turn):
            for first_ms, last_ms in place_in_phrases(phrases, found.begin, found.end):
                for begin_ms, end_ms in self._played.on_clock(first_ms, last_ms):
                    self._cover("agent", found.kind, begin_ms, end_ms)

    # --- rows -------------------------------------------------------------------------------------

    def turn(self, turn: Turn, reply: Reply) -> Turn:
        """A turn is over: the row to be kept of it. Earlier rows are written again if they must."""
        if not self._is_on:
            return turn
        before = self._last_heard
        self._last_heard = turn.heard or before
        said = _Said(turn, self._spans(turn.said, before))
        if turn.said:
            self._turns.append(said)
        self._look_across_turns()
        self._cover_reply(reply, turn)
        self._played = PlayedTimes()
        said.kept, said.secrets = self._row(said), len(self._secrets)
        for earlier in self._turns:
            again = self._row(earlier)
            if again != earlier.kept:
                self._journal.turn(again)
            earlier.kept, earlier.secrets = again, len(self._secrets)
        self._ours_found.clear()
        return said.kept

    def _look_across_turns(self) -> None:
        """Find what is spread over the latest turns. What was found once stays found."""
        chain = self._chain()
        text = " ".join(said.turn.said[begin:end] for said, begin, end in chain)
        spans, at = self._spans(text), 0
        for said, begin, end in chain:
            said.spans += _moved(_cut(spans, at, end - begin), begin)
            at += end - begin + 1
        self._note_growing()

    def _chain(self) -> list[tuple[_Said, int, int]]:
        """The latest turns, each with the letters of it in which a number may go on from the turn
        before or into the next: of a long one only its end, of the last its beginning."""
        chain: list[tuple[_Said, int, int]] = []
        for said in reversed(self._turns):
            text = said.turn.said
            if len(text) <= 2 * LETTERS_BESIDE:
                chain.insert(0, (said, 0, len(text)))
            elif chain:
                return [(said, _skipped(text, LETTERS_BESIDE), len(text)), *chain]
            else:
                chain.insert(0, (said, 0, _until(text, LETTERS_BESIDE)))
        return chain

    def _note_growing(self) -> None:
        """Digits at the end of the last turn, and of those before that they go on from."""
        parts = [(said, _skipped(said.turn.said, LETTERS_BESIDE)) for said in self._turns]
        text = " ".join(said.turn.said[skip:] for said, skip in parts)
        growing, at = self._redactor.growing(text), 0
        for said, skip in parts:
            length = len(said.turn.said) - skip
            said.growing = _moved(_cut(growing, at, length), skip)
            at += length + 1

    def _row(self, said: _Said) -> Turn:
        turn, kept = said.turn, said.kept
        if kept is not None and said.secrets == len(self._secrets):  # only what the caller said
            return dataclasses.replace(kept, said=said.text())
        return dataclasses.replace(
            turn,
            said=said.text(),
            reply=self._ours(turn.reply, turn),
            heard=self._ours(turn.heard, turn),
        )

    def record(self, record: CallRecord) -> CallRecord:
        """The call's row, to be kept."""
        if not self._is_on:
            return record
        return dataclasses.replace(
            record,
            summary=self.words(record.summary),
            memory=self.words(record.memory),
            facts={name: self.words(fact) for name, fact in record.facts.items()},
        )

    def flag(self, flag: Flag) -> Flag:
        """What a person should look at, to be kept."""
        if not self._is_on:
            return flag
        return dataclasses.replace(
            flag,
            phrase=self.words(flag.phrase, flag.question),
            question=self.words(flag.question, self._last_heard),
            answer=self.words(flag.answer, flag.question),
        )

    def shown(self, kind: str, what: Mapping[str, object]) -> dict[str, Any]:
        """An event for those who look on live. While the caller speaks, nobody knows yet what digits
        will be: they are left out too."""
        if not self._is_on:
            return dict(what)
        shorten = self._growing if kind in _CALLER_SPEAKS else self.words
        return {
            name: shorten(value) if name in _SHOWN_WORDS and isinstance(value, str) else value
            for name, value in what.items()
        }

    def words(self, text: str, before: str = "") -> str:
        """Any words of the call, to be kept."""
        return labelled(text, self._spans(text, before)).text if self._is_on else text

    def close(self) -> None:
        """The call is over: words that no turn came of are in its recording all the same."""
        if not self._is_on:
            return
        if self._utterances:
            self._look_at_utterances(whole=True)
        self._cover_utterances()
        for said in self._turns:
            if said.growing and said.kept is not None:  # they were no part of anything after all
                said.growing = []
                self._journal.turn(dataclasses.replace(said.kept, said=said.text()))

    # --- inside -----------------------------------------------------------------------------------

    def _growing(self, text: str) -> str:
        return labelled(
            text, [*spans_of(self._find_now(text)), *self._redactor.growing(text, anywhere=True)]
        ).text

    def _find_now(self, text: str) -> list[Found]:
        """In words that may still change: what they hold is remembered by none."""
        return self._redactor.find(text, self._last_heard, echoes=self._secrets)

    def _find(self, text: str, before: str = "") -> list[Found]:
        found = self._redactor.find(text, before, echoes=self._secrets)
        for one in found:
            if one.digits and len(self._secrets) < MOST_SECRETS:
                self._secrets.setdefault(one.digits, one.kind)
        return found

    def _spans(self, text: str, before: str = "") -> list[Span]:
        return spans_of(self._find(text, before)) if text else []

    def _find_ours(self, text: str, turn: Turn) -> list[Found]:
        """In the agent's words: what stands in the passages is nobody's secret. What was written is
        mostly what was heard, so that it is looked at once."""
        key = turn.index, text
        if key not in self._ours_found:
            known = self._redactor.knowing(p.text for p in turn.passages)
            self._ours_found[key] = known.find(text, turn.said, echoes=self._secrets)
        return self._ours_found[key]

    def _ours(self, text: str, turn: Turn) -> str:
        return labelled(text, spans_of(self._find_ours(text, turn))).text if text else text

    def _cover(self, side: Side, kind: str, begin_ms: int, end_ms: int) -> None:
        file = self._file
        if not file.name or (side, begin_ms, end_ms) in self._told:
            return
        self._told.add((side, begin_ms, end_ms))
        if file.offset_ms is None:
            begin_ms, end_ms = UNKNOWN_PLACE_MS
        else:
            begin_ms += file.offset_ms - file.early_ms
            end_ms += file.offset_ms
        span = Redaction(self._call_id, side, file.name, max(0, begin_ms), max(0, end_ms), kind)
        self._journal.redaction(span)
        if file.mark is not None:
            file.mark(span)


def _joined(covered: Sequence[_Covered]) -> list[_Covered]:
    """Overlapping ones as one, in order."""
    found: list[_Covered] = []
    for one in sorted(covered, key=lambda c: c.begin_ms):
        if found and one.begin_ms <= found[-1].end_ms:
            last = found[-1]
            found[-1] = _Covered(last.kind, last.begin_ms, max(last.end_ms, one.end_ms))
        else:
            found.append(one)
    return found


def _skipped(text: str, letters: int) -> int:
    """Where the last ``letters`` of ``text`` begin, at a word."""
    if len(text) <= letters:
        return 0
    return text.find(" ", len(text) - letters) + 1 or len(text) - letters


def _until(text: str, letters: int) -> int:
    """Where the first ``letters`` of ``text`` end, behind a word."""
    space = text.find(" ", letters)
    return space if 0 <= space <= 2 * letters else min(letters, len(text))


def _moved(spans: Sequence[Span], by: int) -> list[Span]:
    return [Span(span.kind, span.begin + by, span.end + by) for span in spans]


def _cut(spans: Sequence[Span], at: int, length: int) -> list[Span]:
    """What of ``spans`` lies in the ``length`` letters from ``at`` on, counted from there."""
    cut = [Span(s.kind, max(s.begin - at, 0), min(s.end - at, length)) for s in spans]
    return [span for span in cut if span.begin < span.end]
