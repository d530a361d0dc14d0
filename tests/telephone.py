"""A call on virtual time: the real call, playout and composer between a scripted caller and fakes.

The fakes keep the engines' Protocols and declared latencies. The voice activity detector goes by
level, so that what the caller plays decides; words come from the script as a recogniser would give
them: each 50 ms after it was spoken.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from test_onset import murmur, voiced

from appliance.audio import FRAME_MS, bytes_of, frame_bytes, level_db
from appliance.call.answerer import Answerer
from appliance.call.cached import CommonAnswers
from appliance.call.composer import Composer
from appliance.call.kept import KeptAudio
from appliance.call.lobby import Lobby
from appliance.call.past import Past
from appliance.call.release import Guarding, Judge
from appliance.call.services import Services
from appliance.engines.base import NoteTaker, Voice, Writer
from appliance.engines.emulated_tts import one_second
from appliance.errors import EngineError
from appliance.events import (
    Agent,
    AnsweredBy,
    CallRecord,
    Dtmf,
    Flag,
    Message,
    Offer,
    Passage,
    Summary,
    Transcript,
    Transfer,
    Turn,
)
from appliance.media.playout import Pacer
from appliance.safety.guard import Guard
from appliance.safety.rules import RuleSet, SiteRule
from appliance.store.cached_answers import CachedAnswer

RATE_HZ = 8000
SILENCE = bytes(frame_bytes(RATE_HZ))
CHUNK_MS = 32
WORD_MS = 300
"""How long both sides take for a word."""
ANSWER = "We are open every day from nine in the morning until six in the evening, all year long."
AGENT = Agent(
    "A", 1, "Asha", prompt="Be brief.", greeting="Welcome to Sunrise.", keypad={"5": "opening hours"},
    silence_prompts=("Are you there?", "Still there?"), silence_ms=4000,
)  # fmt: skip


@cache
def speech(ms: int) -> bytes:
    """An open vowel: a detector and the ear take it for speech."""
    sound = voiced(120, ms, [(700, 80, 1), (1200, 90, 0.5), (2600, 150, 0.2)])
    flat = np.where(np.abs(sound) < 40, 40, sound)  # never silent inside
    return flat.astype("<i2").tobytes()


@cache
def hum(ms: int) -> bytes:
    """An "mm-hm": loud enough for the detector, no speech."""
    return murmur(110, ms).astype("<i2").tobytes()


@dataclass
class Level:
    """A slot of the fake detector: speech is what is loud."""

    on_score: Callable[[float, int], None]
    pending: bytearray = field(default_factory=bytearray)

    def feed(self, frame: bytes) -> None:
        self.pending += frame
        size = bytes_of(CHUNK_MS, RATE_HZ)
        while len(self.pending) >= size:
            chunk = np.frombuffer(bytes(self.pending[:size]), "<i2")
            del self.pending[:size]
            self.on_score(0.95 if level_db(chunk) > -45 else 0.02, CHUNK_MS)


@dataclass
class FakeVad:
    slots: list[Level] = field(default_factory=list)

    def open(self, rate_hz: int, on_score: Callable[[float, int], None]) -> Level:
        self.slots.append(Level(on_score))
        return self.slots[-1]

    def close(self, slot: Level) -> None:
        self.slots.remove(slot)


@dataclass
class FakeSession:
    """One call's recogniser; :attr:`words` is what the caller has said in this utterance."""

    heard: Callable[[Transcript], None]
    final_s: float = 0.05
    utterance: int = 0
    words: list[str] = field(default_factory=list)
    fails: bool = False
    closed: bool = False

    def start(self, utterance: int, pcm: bytes) -> None:
        self.utterance, self.words = utterance, []

    def feed(self, pcm: bytes) -> None:
        pass

    def spoken(self, word: str) -> None:
        """A word has been spoken; it stands in the partials 50 ms later."""
        self.words.append(word)
        text, utterance = " ".join(self.words), self.utterance
        asyncio.get_running_loop().call_later(0.05, self._tell, utterance, text, False)

    def finish(self) -> None:
        loop, text = asyncio.get_running_loop(), " ".join(self.words)
        loop.call_later(self.final_s, self._tell, self.utterance, text, True)

    def _tell(self, utterance: int, text: str, final: bool) -> None:
        if not self.closed and text + "x" * final:
            failed = final and self.fails
            self.heard(Transcript(utterance, "" if failed else text, final, 0, failed=failed))

    def close(self) -> None:
        self.closed = True


@dataclass
class FakeRecogniser:
    sessions: list[FakeSession] = field(default_factory=list)

    async def prepare(self, agent: Agent, texts: Sequence[str]) -> None:
        pass

    def open(
        self, call_id: str, agent: Agent, rate_hz: int, heard: Callable[[Transcript], None]
    ) -> FakeSession:
        self.sessions.append(FakeSession(heard))
        return self.sessions[-1]


@dataclass
class FakeJudge:
    """Says what it is told to, 30 ms later; None: no verdict."""

    verdict: float | None = 0.95
    asked: int = 0

    async def complete(self, pcm: bytes, rate_hz: int) -> float:
        self.asked += 1
        await asyncio.sleep(0.03)
        if self.verdict is None:
            raise EngineError("turn", "no verdict in time")
        return self.verdict


@dataclass
class FakeWriter:
    """Writes :attr:`answer` word by word: 200 ms to the first, then 60 a second."""

    answer: str = ANSWER
    first_s: float = 0.2
    error: str = ""
    prompts: list[list[Message]] = field(default_factory=list)
    closed: int = 0
    """Generations that were cut off."""

    async def write(
        self, messages: Sequence[Message], *, speculative: bool, call_id: str, **_: object
    ) -> AsyncGenerator[str, None]:
        self.prompts.append(list(messages))
        done = False
        try:
            await asyncio.sleep(self.first_s)
            if self.error:
                raise EngineError("llm", self.error)
            for n, word in enumerate(self.answer.split(" ")):
                yield (" " if n else "") + word
                await asyncio.sleep(1 / 60)
            done = True
        finally:
            self.closed += not done

    @property
    def questions(self) -> list[str]:
        """What each reply was begun to."""
        return [prompt[-1].content.rpartition("The caller says: ")[2] for prompt in self.prompts]


@dataclass
class FakeVoice:
    """Makes 300 ms of sound a word, 100 ms to the first; fails on texts that hold :attr:`mute`."""

    mute: str = ""
    first_s: float = 0.1
    spoken: list[str] = field(default_factory=list)
    closed: int = 0
    """Syntheses that were cut off or failed; the others are :attr:`finished`."""
    finished: int = 0

    async def speak(self, text: str, agent: Agent, rate_hz: int) -> AsyncGenerator[bytes, None]:
        self.spoken.append(text)
        done = False
        try:
            await asyncio.sleep(self.first_s)
            if self.mute == "all" or (self.mute and self.mute in text):
                raise EngineError("tts", "no server could speak a phrase")
            for _ in text.split():
                yield one_second(rate_hz)[: bytes_of(WORD_MS, rate_hz)]
                await asyncio.sleep(WORD_MS / 10_000)
            done = True
        finally:
            self.closed += not done
            self.finished += done


@dataclass
class FakeSearch:
    passages: list[Passage] = field(default_factory=list)

    async def search(self, agent: Agent, text: str, deadline_ms: float) -> list[Passage]:
        await asyncio.sleep(0.005)
        return self.passages


@dataclass
class FakeDirectory:
    agent: Agent
    error: Exception | None = None
    delay_s: float = 0.0
    asked: list[tuple[str, int]] = field(default_factory=list)
    """Agents asked for by their id: (id, version)."""

    async def agent_for(self, did: str) -> Agent:
        await asyncio.sleep(self.delay_s)
        if self.error is not None:
            raise self.error
        return self.agent

    async def agent_by_id(self, agent_id: str, version: int = 0) -> Agent:
        self.asked.append((agent_id, version))
        return await self.agent_for("")


@dataclass
class FakePast:
    """What was said before, for a call that is handed over."""

    past: Past = field(default_factory=Past)
    before: Past = field(default_factory=Past)
    """The call that was cut off, and goes on in this one."""

    async def of(self, offer: Offer) -> Past:
        return self.past

    async def cut_off(self, offer: Offer, agent: Agent) -> Past:
        return self.before


@dataclass
class FakeJournal:
    records: list[CallRecord] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    flags: list[Flag] = field(default_factory=list)

    def flag(self, flag: Flag) -> None:
        self.flags.append(flag)

    def call(self, record: CallRecord) -> None:
        self.records.append(record)

    def turn(self, turn: Turn) -> None:
        self.turns.append(turn)


def composer_of(
    voice: Voice,
    writer: Writer | None,
    search: Any,
    *,
    guarding: Guarding | None = None,
    answers: Sequence[CachedAnswer] = (),
) -> Composer:
    """A composer as a worker has it, with the guard's real rules."""
    kept = KeptAudio(voice)

    async def load(agent: Agent) -> Sequence[CachedAnswer]:
        return answers

    guarding = guarding or Guarding(Guard(RuleSet()))
    return Composer(voice, Answerer(writer, search, 60), guarding, kept, CommonAnswers(load, kept))


class FakeStream:
    """The edge: what the caller hears, and when."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.answered = False
        self.cause = ""
        self.frames_at_hangup = 0
        self.is_closed = False
        self.asked: list[tuple[int, Transfer | Summary | AnsweredBy]] = []
        """What the worker asked for or told, each after so many frames."""

    def transfer(self, value: Transfer) -> None:
        self.asked.append((len(self.frames), value))

    def summarise(self, value: Summary) -> None:
        self.asked.append((len(self.frames), value))

    def answered_by(self, value: AnsweredBy) -> None:
        self.asked.append((len(self.frames), value))

    def let_go(self) -> None:
        self.is_closed = True

    def play(self, frame: bytes) -> None:
        self.frames.append(frame)

    def answer(self) -> None:
        self.answered = True

    def hang_up(self, cause: str) -> None:
        self.cause, self.frames_at_hangup = cause, len(self.frames)

    async def closed(self, timeout_s: float) -> None:
        await asyncio.sleep(0.02)

    def close(self) -> None:
        self.is_closed = True


class Telephone:
    """One call under test: its caller's mouth and ear, and everything it was built of."""

    def __init__(
        self,
        agent: Agent = AGENT,
        writer: FakeWriter | None = None,
        *,
        llm: bool = True,
        judge: Judge | None = None,
        rules: Sequence[SiteRule] = (),
    ) -> None:
        self.agent = agent
        self.writer = writer or FakeWriter()
        self.voice = FakeVoice()
        self.search = FakeSearch()
        self.judge = FakeJudge()
        self.vad = FakeVad()
        self.recogniser = FakeRecogniser()
        self.journal = FakeJournal()
        self.directory = FakeDirectory(agent)
        self.past = FakePast()
        self.notes: NoteTaker | None = None
        self.offer = Offer("call-0001", "1001", "+91", RATE_HZ, ("127.0.0.1", 9))
        self.pacer = Pacer()
        self.stream = FakeStream()
        self.events: list[tuple[str, dict[str, Any]]] = []
        writer_used: Any = self.writer if llm else None
        search: Any = self.search
        self.guarding = Guarding(Guard(RuleSet(rules)), judge)
        self.composer = composer_of(self.voice, writer_used, search, guarding=self.guarding)
        self.lobby: Lobby
        self.task: asyncio.Task[None]
        self.on_line = True
        """Whether the caller's frames reach us."""
        self._mouth = bytearray()

    def services(self) -> Services:
        fakes: dict[str, Any] = {
            "directory": self.directory,
            "past": self.past,
            "recogniser": self.recogniser,
            "judge": self.judge,
            "composer": self.composer,
            "vad": self.vad,
            "pacer": self.pacer,
            "disk": None,
            "recordings": Path("recordings"),
            "journal": self.journal,
            "watch": lambda call_id, event: self.events.append((event["event"], event)),
            "notes": self.notes,
        }
        return Services(**fakes)

    @asynccontextmanager
    async def call(self, *, answered: bool = True, guest: bool = False) -> AsyncIterator[Telephone]:
        """Ring; until the block ends the caller is on the line, then hangs up.

        ``guest``: another call's block is around this one, and its pacer paces both.
        """
        await self.composer.warm(self.agent)
        stream: Any = self.stream
        self.lobby = Lobby(self.offer, stream, self.services())
        self.task = asyncio.create_task(self.lobby.run())
        beside = [asyncio.create_task(self._live())]
        if not guest:
            beside.append(asyncio.create_task(self.pacer.run()))
        try:
            if answered:
                await self.until(lambda: self.sounding or self.task.done())
            yield self
            self.lobby.on_hangup("NORMAL_CLEARING")
            await asyncio.wait_for(self.task, 15)
        finally:
            for task in (*beside, self.task):
                task.cancel()
            await asyncio.wait({*beside, self.task})
        for task in beside:
            assert task.cancelled(), task.exception()
        assert not self.vad.slots
        assert all(session.closed for session in self.recogniser.sessions)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert guest or not left, left

    async def _live(self) -> None:
        """A frame every 20 ms, as RTP brings them."""
        loop = asyncio.get_running_loop()
        number, start = 0, loop.time()
        while True:
            frame = bytes(self._mouth[: len(SILENCE)]).ljust(len(SILENCE), b"\0")
            del self._mouth[: len(SILENCE)]
            if self.on_line:
                self.lobby.on_audio(frame)
            number += 1
            await asyncio.sleep(max(0.0, start + number * FRAME_MS / 1000 - loop.time()))

    # --- the caller -------------------------------------------------------------------------------

    async def wait(self, ms: float) -> None:
        await asyncio.sleep(ms / 1000)

    async def until(self, condition: Callable[[], object], timeout_s: float = 60) -> None:
        async with asyncio.timeout(timeout_s):
            while not condition():
                await asyncio.sleep(0.005)

    async def say(self, text: str) -> None:
        """Speak, 300 ms a word; returns with the last sound."""
        words = text.split()
        self._mouth += speech(WORD_MS * len(words))
        for word in words:
            await self.wait(WORD_MS)
            if self.recogniser.sessions:
                self.recogniser.sessions[-1].spoken(word)

    async def make_noise(self, pcm: bytes) -> None:
        """A sound without words; returns with its end."""
        self._mouth += pcm
        await self.wait(len(pcm) / 16)

    def press(self, digit: str) -> None:
        self.lobby.on_dtmf(Dtmf(digit, 100))

    async def quiet(self) -> None:
        """Wait until the agent has been silent for half a second."""
        await self.until(lambda: len(self.stream.frames) > 25 and not self.sound_within(500))

    # --- what is heard ----------------------------------------------------------------------------

    @property
    def sounding(self) -> bool:
        """Whether the caller hears the agent at this moment."""
        return bool(self.stream.frames) and self.stream.frames[-1] != SILENCE

    def sound_within(self, ms: int) -> bool:
        return any(frame != SILENCE for frame in self.stream.frames[-ms // FRAME_MS :])

    @property
    def turns(self) -> list[Turn]:
        return self.journal.turns

    @property
    def last_record(self) -> CallRecord:
        return self.journal.records[-1]

    def told(self, kind: str) -> list[dict[str, Any]]:
        return [event for name, event in self.events if name == kind]


def agent_with(**changes: Any) -> Agent:
    return replace(AGENT, **changes)
