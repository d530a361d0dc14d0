"""Everything that crosses a package border, as frozen dataclasses.

Don't subclass these. Times named ``*_ms`` are milliseconds of the call's own media clock: 0 is the
first frame of the call, and the clock advances by 20 for each frame played to the caller.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from zlib import crc32


@dataclass(frozen=True, slots=True)
class Offer:
    """A call as the edge (FreeSWITCH or ``ivr sip``) hands it to a worker: its metadata."""

    call_id: str
    did: str
    """The dialled number, as the trunk wrote it."""
    caller: str
    rate_hz: int
    """8 000 or 16 000; both directions."""
    playback: tuple[str, int]
    """Where 20 ms L16 datagrams for the caller go: (host, UDP port)."""
    agent: str = ""
    """Id of the agent that the edge has chosen; empty: whoever answers ``did``."""
    direction: Literal["in", "out", "test"] = "in"
    """``out``: we rang them, so it is first found out who, or what, has answered. ``test``: somebody
    tries the agent from the console."""
    draft: bool = False
    """The agent's draft answers, not its published version; for ``test`` only."""
    recording: str = ""
    """Where the edge records the call, relative to the recordings folder; the worker then does not.
    Empty: the worker does, if the agent says so."""
    part: int = 1
    """2 and more: this call was carried before, and is handed over in the middle."""
    resumed: Literal["", "worker", "transfer"] = ""
    """Why it is handed over: its worker was lost, or nobody took the transferred call."""


@dataclass(frozen=True, slots=True)
class Dtmf:
    """One key pressed by the caller (RFC 4733), reported by the edge when the key is released."""

    digit: str
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Hangup:
    """The call is over; ``cause`` in Q.850 words as FreeSWITCH writes them (NORMAL_CLEARING)."""

    cause: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Edge -> worker: the far end put us on hold (``on``), or came back."""

    on: bool


@dataclass(frozen=True, slots=True)
class TransferFailed:
    """Edge -> worker: nobody took the transferred call; the caller is the agent's again."""

    cause: str
    """Q.850 words: NO_ANSWER, USER_BUSY, …"""


@dataclass(frozen=True, slots=True)
class Whisper:
    """Edge -> worker: what a supervisor tells the agent; the caller does not hear it."""

    text: str


@dataclass(frozen=True, slots=True)
class Typed:
    """Edge -> worker: what somebody at the console writes in place of saying it; a whole turn."""

    text: str


@dataclass(frozen=True, slots=True)
class Transfer:
    """Worker -> edge: connect the caller to a person."""

    to: str
    """``queue:NAME``, ``sip:user@host``, ``+E.164``, a national number or an extension."""
    mode: Literal["attended", "blind"]
    reason: Literal["asked", "key", "failures", "agent"]
    summary: str
    """One line that the person hears before the caller; a better one may follow."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Worker -> edge: a better summary for a transfer under way."""

    text: str


@dataclass(frozen=True, slots=True)
class AnsweredBy:
    """Worker -> edge: who, or what, has answered a call that we made."""

    who: Literal["human", "machine", "uncertain"]
    sign: str
    """What told: ``short greeting``, ``long greeting``, ``beep``, ``silence``, …"""


@dataclass(frozen=True, slots=True)
class Transcript:
    """Words heard in one utterance, from its start."""

    utterance: int
    text: str
    final: bool
    audio_ms: int
    """How much of the utterance's audio these words cover."""
    confidence: float | None = None
    failed: bool = False
    """No server could hear the utterance: what was said is unknown, not nothing."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of an agent's knowledge, as found by a search."""

    id: str
    document: str
    heading: str
    text: str
    score: float
    page: int | None = None
    """From 1; None where the document's format has none."""
    cited: bool = False
    """The answer rests on it: it holds words or facts of the answer."""

    @property
    def whole(self) -> str:
        """Heading and text: all that it says."""
        return f"{self.heading}\n{self.text}"


@dataclass(frozen=True, slots=True)
class Message:
    """One entry of a conversation as the language model reads it."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Agent:
    """Who answers: one published version. A call keeps the version that it was answered with."""

    id: str
    version: int
    name: str
    language: str = "en"
    """BCP 47, as the engines know it: en, hi, ta, te, bn, mr, …"""
    voice: str = "slt"
    prompt: str = ""
    greeting: str = ""
    greeting_interruptible: bool = True
    goodbye: str = "Thank you for calling. Goodbye."
    farewells: tuple[str, ...] = ("goodbye", "bye", "that is all", "nothing else")
    """What a caller says to end the call; matched as whole words in a short turn."""
    hold_phrase: str = "One moment, please."
    busy_phrase: str = "All our lines are busy. Please stay on the line."
    """Said before a call is answered by the agent, while every worker is full."""
    apology: str = "I am sorry, something went wrong on our side. Please ask me again."
    unknown_answer: str = "I am sorry, I do not have that information."
    silence_prompts: tuple[str, ...] = ("Are you still there?",)
    """Said one after the other when nobody speaks; after the last one the call ends."""
    keypad: Mapping[str, str] = field(default_factory=dict)
    """DTMF digit -> what the caller means by it, taken as if it had been said."""
    backchannels: tuple[str, ...] = ("mm", "hmm", "mm-hm", "uh-huh", "yeah", "yes", "okay", "right")
    """Words that a listener says without wanting the floor; never a barge-in alone."""
    barge_in: bool = True
    silence_ms: int = 8000
    """Silence of both sides before a silence prompt."""
    pause_complete_ms: int = 240
    """Silence that ends a turn which sounds complete."""
    pause_incomplete_ms: int = 1400
    """Silence that ends a turn which sounds unfinished."""
    hold_after_ms: int = 1500
    """A reply not audible this long after the turn was given is bridged by ``hold_phrase``."""
    answer_deadline_ms: int = 5000
    """A language model silent this long is replaced by the extractive answer."""
    longest_call_s: int = 1800
    resume_phrase: str = "I am sorry, the line was interrupted. Please go on."
    """Said when another worker takes over in mid-call."""
    transfer_to: str = ""
    """Who takes a call over: ``queue:NAME``, ``sip:user@host``, a number or an extension; empty:
    nobody."""
    transfer_mode: Literal["attended", "blind"] = "attended"
    """``attended``: the person hears a summary before the caller, and without a person the caller
    comes back at once. ``blind``: the caller hears the ringing."""
    transfer_key: str = "0"
    """DTMF digit that asks for a person; goes before ``keypad`` where ``transfer_to`` is set."""
    transfer_words: tuple[str, ...] = (
        "speak to a person", "talk to a person", "speak to someone", "talk to a human",
        "speak to a human", "speak to an operator", "operator", "human agent", "real person",
    )  # fmt: skip
    """What a caller says to get a person; matched as whole words in a short turn."""
    transfer_after_failures: int = 3
    """So many turns in a row without an answer lead to a person; 0: never."""
    transfer_phrase: str = "I am connecting you to a colleague. Please stay on the line."
    transfer_failed_phrase: str = (
        "I am sorry, nobody can take your call right now. What else can I do for you?"
    )
    record: bool = True
    recording_notice: str = ""
    """Said before the greeting, such as "This call is recorded."; empty: nothing."""
    language_menu: Mapping[str, str] = field(default_factory=dict)
    """DTMF digit -> id of the agent that speaks the caller's language; empty: no menu."""
    language_prompt: str = ""
    """What the menu says: "For English press 1. …"."""
    machine_message: str = ""
    """Said after the beep of an answering machine that we rang; empty: hang up."""
    bot_url: str = ""
    """ws://… of an external bot that takes this agent's calls in Twilio's media-stream form."""
    stt_engine: str = ""
    """Engine that hears this agent's callers; empty: as ``engines.stt.prefer`` says."""
    speech_context: str = ""
    """What callers mostly say, for that table: ``digits``, ``names``, …; empty: conversation."""
    tts_engine: str = ""
    """Engine that speaks for this agent; empty: the one that has its voice."""
    llm_model: str = ""
    """Model (or LoRA adapter) that writes its replies; empty: ``engines.llm.model``."""
    pronunciations: Mapping[str, str] = field(default_factory=dict)
    """Written word -> how it is spelt for the voice; goes before every rule of spoken_form."""
    knowledge: str = ""
    """Name of the knowledge base it answers from; empty for none."""
    knowledge_version: int = 0
    knowledge_tags: tuple[str, ...] = ()
    """Only documents with one of these tags; empty: all."""
    knowledge_languages: tuple[str, ...] = ()
    """Only passages in these languages (BCP 47 primary subtags); empty: all."""
    common_answers: bool = True
    """Answer what callers ask often from a cache of checked answers and their audio."""
    slots: Mapping[str, str] = field(default_factory=lambda: {"name": "the caller's own name"})
    """Facts about the caller to be kept for the whole call: name of the slot -> what belongs there."""
    continue_minutes: int = 0
    """A caller who was cut off and rings again within so many minutes continues; 0: never. Whoever
    shows that caller's number (which can be forged) then hears what the call was about."""
    continue_phrase: str = "Welcome back. We were cut off. Please go on."
    guard_mode: Literal["release", "hold", "strict"] = "hold"
    """What happens to a phrase whose verdict is late: ``release``: it is heard, and flagged if the
    verdict is bad; ``hold``: it waits up to ``guard_deadline_ms``; ``strict``: it is not heard
    without a verdict."""
    guard_deadline_ms: int = 400
    guard_checks: tuple[Literal["words", "personal", "injection"], ...] = (
        "words", "personal", "injection",
    )  # fmt: skip
    grounding: Literal["off", "flag", "stop"] = "flag"
    """What becomes of a phrase that states what neither passages nor caller have said."""
    safe_phrase: str = "I am sorry, I cannot help you with that."
    """Said in place of what the guard stops."""
    redact: tuple[Literal["card", "aadhaar", "pan", "otp", "account", "phone"], ...] = (
        "card", "aadhaar", "pan", "otp", "account", "phone",
    )  # fmt: skip
    """Personal data taken out of transcript and recording before they are kept."""
    keep_recordings_days: int = 0
    keep_transcripts_days: int = 0
    keep_log_days: int = 0
    """After which recordings, words and whole rows of calls are erased; 0: as the settings say."""

    @property
    def context(self) -> str:
        """Key of the recogniser's context built for this version of this agent. A draft (version 0)
        changes under its name: what its context is built from is in the key instead."""
        version = self.version or f"draft-{crc32(f'{self.language} {self.knowledge}'.encode()):08x}"
        return f"{self.id}.{version}.{self.knowledge_version}"

    @property
    def fixed_phrases(self) -> tuple[str, ...]:
        """What it says word for word, as somebody wrote it, in any call: its audio is kept, and no
        guard judges it."""
        phrases = (
            self.greeting, self.goodbye, self.hold_phrase, self.apology, self.unknown_answer,
            self.safe_phrase, self.resume_phrase, self.recording_notice, self.machine_message,
            *self.silence_prompts,
        )  # fmt: skip
        if self.transfer_to:
            phrases += (self.transfer_phrase, self.transfer_failed_phrase)
        if self.continue_minutes:
            phrases += (self.continue_phrase,)
        return tuple(phrase for phrase in phrases if phrase)


ReplySource = Literal[
    "greeting", "llm", "extractive", "cached", "prompt", "hold", "apology", "goodbye", "transfer",
    "resume",
]  # fmt: skip

Severity = Literal["low", "medium", "high"]
Side = Literal["agent", "caller"]


@dataclass(frozen=True, slots=True)
class Stages:
    """One turn's timeline, in ms of the call's media clock; None where it did not happen."""

    speech_start: int | None = None
    speech_end: int | None = None
    first_partial: int | None = None
    speculation: int | None = None
    """When the reply that was spoken in the end was begun."""
    speculations_dropped: int = 0
    final: int | None = None
    turn_given: int | None = None
    """When the floor decided that the caller had finished."""
    retrieval: int | None = None
    first_token: int | None = None
    first_phrase: int | None = None
    first_audio: int | None = None
    """First audio from the TTS engine."""
    first_frame: int | None = None
    """First frame of the reply on the wire."""
    last_token: int | None = None
    """The language model had written it all."""
    last_audio: int | None = None
    """The TTS engine had spoken it all."""
    held: int = 0
    """How long audio that was ready waited for the guard's verdict, in ms, before the first sound."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What the caller said and what they truly heard in answer; one row of the journal."""

    call_id: str
    index: int
    at: datetime
    said: str
    """The caller's words; empty for a turn that the agent took by itself (greeting, prompt)."""
    reply: str
    """The whole reply as written."""
    heard: str
    """The part of it that was played before the reply ended or was cut."""
    source: ReplySource
    stages: Stages
    gap_ms: int | None
    """End of the caller's speech to the first sound of the reply, from the call's own audio."""
    passages: tuple[Passage, ...] = ()
    barged_in: bool = False
    kept_speculation: bool = False
    failure: str = ""
    """In plain words, what the caller did not get as meant in this turn (a late model, no voice), or
    empty. A server that another one stood in for is not told here: its pool logs it."""


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One call; one row of the journal, written when it begins and again when it ends."""

    call_id: str
    did: str
    caller: str
    agent_id: str
    agent_version: int
    language: str
    started_at: datetime
    ended_at: datetime | None = None
    cause: str = ""
    """Q.850 words; empty while the call lives."""
    ended_by: Literal["", "caller", "agent", "system"] = ""
    turns: int = 0
    recording: str = ""
    """Path of the stereo WAV, relative to the recordings folder."""
    late_frames: int = 0
    part: int = 1
    """How many workers have carried it; a row of a later part goes before one of an earlier."""
    direction: Literal["in", "out", "test"] = "in"
    transferred_to: str = ""
    """Whom the agent asked to take the call over, and the one-line summary for them."""
    transfer_reason: str = ""
    """Why the agent asked for a person, last: asked, key, failures or agent (``Transfer.reason``)."""
    summary: str = ""
    answered_by: str = ""
    """For calls we made: ``human``, ``machine`` or ``uncertain``, and the sign after a colon."""
    memory: str = ""
    """What the agent remembers of the turns that have left its prompt."""
    remembered: int = 0
    """Index of the last of those turns; 0: none of this call's has left."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """The agent's ``slots`` as far as they were filled."""
    continues: str = ""
    """Id of the call that was cut off and went on in this one."""


@dataclass(frozen=True, slots=True)
class Flag:
    """Something said in a call that a person should look at; one row of the review queue."""

    id: str
    """The same finding has the same id, whoever tells it and how often."""
    at: datetime
    call_id: str
    turn: int
    agent_id: str
    agent_version: int
    knowledge: str
    knowledge_version: int
    found_by: Literal["guard", "moderation", "golden", "person"]
    side: Side
    rule: str
    category: str
    """words, personal, injection, grounding, model, abuse, self-harm, complaint, changed, …"""
    severity: Severity
    action: Literal["stopped", "late", "flagged"]
    """stopped: nobody heard it; late: heard before the verdict was in; flagged: heard."""
    phrase: str
    question: str = ""
    answer: str = ""
    begin_ms: int | None = None
    end_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Redaction:
    """A span of a call's recording that must not be heard by anybody."""

    call_id: str
    side: Side
    recording: str
    """The file it lies in, relative to the recordings folder, whose first sample is 0 ms; empty: the
    call was not recorded."""
    begin_ms: int
    end_ms: int
    kind: str
