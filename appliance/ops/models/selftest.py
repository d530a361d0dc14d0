"""The spoken self-test: a model is served as in a call, spoken to, or listened to."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np

from appliance.audio import level_db, ms_of, sound_spans
from appliance.checkpoints.catalogue import load_catalogue
from appliance.checkpoints.presence import runs
from appliance.checkpoints.sentences import OTHERS, SENTENCES, word_error, words_of
from appliance.checkpoints.store import installed
from appliance.errors import UserError
from appliance.ops.models.selftest_text import QUESTION, knows_alike
from appliance.ops.models.serve import RATE_HZ, At, complete, hear, say, served, voices
from appliance.settings import Run, Settings

USUAL_LANGUAGES = ("en", "hi")
"""Of a model that knows many, unless others are asked for."""
GOOD_ERROR = 0.3
"""Word error rate of a robot's voice at 8 kHz that a model for people may have."""
LETTER_MS = (20, 250)
"""A spoken letter: 60-90 ms at an ordinary pace. Outside, it is not that sentence."""
LEVEL_DB = (-40.0, -8.0)
"""Of the parts that sound; the appliance's speech level is -20 dBFS."""
LLM_PROMPT = "Answer with one word: what colour is the sky on a clear day?"
LLM_TOKENS = 16
_SPEAKERS = {"en": "flite"}
"""The built-in voice that speaks a language to a recogniser; espeak-ng the others."""
_TEST_VOICES = {"flite": "awb"}


class Verdict(Enum):
    """What a self-test found."""

    GOOD = "good"
    WEAK = "weak"
    """It works, and understands or says less than expected: a person should listen."""
    FAILED = "FAILED"
    UNTESTED = "not tested"


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence spoken, heard or written."""

    language: str
    voice: str
    said: str
    heard: str
    word_error: float | None
    """None where nobody heard it."""
    seconds: float
    """Of speech."""
    verdict: Verdict
    why: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """A model under test, and how it is served."""

    stage: str
    run: Run
    languages: tuple[str, ...]


async def findings(settings: Settings, subject: Subject) -> AsyncGenerator[Finding, None]:
    """Serve the model and test it, one finding after another. Raises UserError: it does not start."""
    if subject.stage == "llm":
        async with served("llm", subject.run) as at:
            yield await _written(at)
    elif subject.stage in ("embed", "rerank"):
        for language in subject.languages:
            if language in QUESTION:
                yield await _compared(subject, language)
    elif subject.stage == "tts":
        async with served("tts", subject.run) as at, AsyncExitStack() as stack:
            ears = _Ears(settings, stack)
            for voice in await voices(at):
                if not subject.languages or voice["language"] in subject.languages:
                    yield await _spoken(ears, at, voice["id"], voice["language"])
    else:
        async with served("stt", subject.run) as at:
            for language in subject.languages:
                yield await _heard(subject, at, language)


async def _heard(subject: Subject, at: At, language: str) -> Finding:
    """Speak the language's sentence to a recogniser."""
    said = SENTENCES.get(language)
    engine = _SPEAKERS.get(language, "espeak")
    program = {"flite": "flite", "espeak": "espeak-ng"}[engine]
    if said is None or shutil.which(program) is None:
        why = "no sentence" if said is None else f"{program} is not installed to speak it"
        return Finding(language, "", said or "", "", None, 0, Verdict.UNTESTED, why)
    voice = _TEST_VOICES.get(engine, language)
    async with served("tts", Run(engine=engine)) as speaker:
        pcm = await say(speaker, said, voice=voice, language=language)
    try:
        heard = await hear(at, pcm, language=language, texts=_texts(subject.run, said))
    except UserError as e:
        return Finding(language, voice, said, "", None, _seconds(pcm), Verdict.FAILED, str(e))
    error = word_error(said, heard)
    verdict, why = Verdict.GOOD, ""
    if not set(words_of(said)) & set(words_of(heard)):
        verdict, why = Verdict.FAILED, "no word is right"
    elif error > GOOD_ERROR:
        verdict, why = Verdict.WEAK, f"{engine} is hard to understand: try a real voice"
    return Finding(language, f"{engine} {voice}", said, heard, error, _seconds(pcm), verdict, why)


async def _spoken(ears: _Ears, at: At, voice: str, language: str) -> Finding:
    """Have a voice say its language's sentence; a recogniser that is here hears it."""
    said = SENTENCES.get(language)
    if said is None:
        return Finding(language, voice, "", "", None, 0, Verdict.UNTESTED, "no sentence")
    try:
        pcm = await say(at, said, voice=voice, language=language)
        trouble = unlike_speech(said, pcm)
    except UserError as e:
        pcm, trouble = b"", str(e)
    if trouble:
        return Finding(language, voice, said, "", None, _seconds(pcm), Verdict.FAILED, trouble)
    try:
        heard, engine = await ears.hear(language, said, pcm)
    except NobodyHears as e:
        why = f"it sounds; {e}"
        return Finding(language, voice, said, "", None, _seconds(pcm), Verdict.GOOD, why)
    error = word_error(said, heard)
    verdict = Verdict.GOOD if error <= GOOD_ERROR else Verdict.WEAK
    why = "" if verdict is Verdict.GOOD else f"{engine} understands little of it"
    return Finding(language, voice, said, heard, error, _seconds(pcm), verdict, why)


class NobodyHears(Exception):
    """No recogniser is here that hears a language, or it does not work: why, in words."""


class _Ears:
    """Recognisers that are here, each started once, for the first voice of its language."""

    def __init__(self, settings: Settings, stack: AsyncExitStack) -> None:
        self._settings = settings
        self._stack = stack
        self._at: dict[str, At | None] = {}
        """By language; None: it did not come up."""

    async def hear(self, language: str, said: str, pcm: bytes) -> tuple[str, str]:
        """What is heard, and by which engine. Raises NobodyHears."""
        run = _listener(self._settings, language)
        if run is None:
            raise NobodyHears(f"no recogniser of {language} is here to hear it")
        name = Path(run.model).name or run.engine
        if language not in self._at:
            self._at[language] = await self._started(run)
        if (at := self._at[language]) is None:
            raise NobodyHears(f"{name} does not come up to hear it (ivr models verify {name})")
        texts = _texts(run, said)
        try:
            heard = await hear(at, pcm, language=language, texts=texts)
        except UserError as e:
            raise NobodyHears(f"{name} could not hear it: {e}") from e
        return heard, name

    async def _started(self, run: Run) -> At | None:
        try:
            return await self._stack.enter_async_context(served("stt", run))
        except UserError:
            return None


async def _written(at: At) -> Finding:
    try:
        text = await complete(at, LLM_PROMPT, LLM_TOKENS)
    except UserError as e:
        return Finding("", "", LLM_PROMPT, "", None, 0, Verdict.FAILED, str(e))
    verdict = Verdict.GOOD if text.strip() else Verdict.FAILED
    return Finding("", "", LLM_PROMPT, text, None, 0, verdict, "" if text.strip() else "no word")


async def _compared(subject: Subject, language: str) -> Finding:
    """Ask a question, and see whether its answer is nearer to it than something else."""
    said = QUESTION[language]
    try:
        right, wrong = await knows_alike(subject.stage, subject.run, language)
    except UserError as e:
        return Finding(language, "", said, "", None, 0, Verdict.FAILED, str(e))
    why = f"the answer {right:.2f}, something else {wrong:.2f}"
    verdict = Verdict.GOOD if right > wrong else Verdict.WEAK
    return Finding(language, "", said, "", None, 0, verdict, why)


def unlike_speech(said: str, pcm: bytes) -> str:
    """Why L16 at 8 kHz cannot be ``said`` (too short, too long, too quiet, too loud); or empty."""
    letters = sum(len(word) for word in words_of(said))
    spans = sound_spans(pcm, RATE_HZ)
    sounding_ms = sum(end - start for start, end in spans)
    least, most = (letters * ms for ms in LETTER_MS)
    if not sounding_ms:
        return "it is silent"
    if not least <= sounding_ms <= most:
        return f"{sounding_ms} ms of sound for {letters} letters: {least} to {most} were expected"
    samples = np.frombuffer(pcm, "<i2")
    loud = np.concatenate(
        [samples[start * RATE_HZ // 1000 : end * RATE_HZ // 1000] for start, end in spans]
    )
    level = level_db(loud)
    if not LEVEL_DB[0] <= level <= LEVEL_DB[1]:
        return f"its level is {level:.0f} dBFS: {LEVEL_DB[0]:.0f} to {LEVEL_DB[1]:.0f} was expected"
    return ""


def subject_of(
    settings: Settings, name: str, *, python: str, device: str, languages: Sequence[str]
) -> Subject:
    """How the model ``name`` is served: as the settings run it, or as its catalogue says.

    Raises UserError where neither knows which engine loads it.
    """
    entry = load_catalogue(settings).get(name)
    here = installed(settings).get(entry.name if entry else name)
    like = [
        (setting, run)
        for setting, run in runs(settings)
        if run.model in (name, entry.name if entry else name)
        or (entry is not None and run.engine == entry.engine)
    ]
    like.sort(key=lambda item: item[1].model not in (name, entry.name if entry else name))
    if entry is None and not like:
        raise UserError(
            f"Which engine loads {name} is not known: name it in the settings (engines.stt.run, …),"
            f" or describe it in {settings.models_dir / 'catalogue.toml'}."
        )
    stage = like[0][0].split(".")[1] if like else entry.stage if entry else ""
    run = like[0][1] if like else Run(engine=entry.engine if entry else "")
    chosen = tuple(languages) or run.languages or (entry.languages if entry else ())
    if "*" in chosen or not chosen:
        chosen = () if stage == "tts" else USUAL_LANGUAGES
    changes = {
        "model": str(here.folder.absolute()) if here else "",
        "python": python or run.python,
        "device": device if device != "auto" else run.device,
        "languages": chosen if here else (),  # what is built in knows its own
        "port": 0,
        "least": 1,
        "most": 1,
    }
    return Subject(stage, run.model_copy(update=changes), chosen)


def _listener(settings: Settings, language: str) -> Run | None:
    """A recogniser of ``language`` that is here."""
    catalogue = load_catalogue(settings)
    for name, here in installed(settings).items():
        entry = catalogue.get(name)
        fits = entry and entry.stage == "stt" and {language, "*"} & set(entry.languages)
        if entry and fits and here.ready:
            return subject_of(settings, name, python="", device="auto", languages=()).run
    if language == "en" and importlib.util.find_spec("pocketsphinx"):
        return Run(engine="pocketsphinx")
    return None


def _texts(run: Run, said: str) -> list[str]:
    """The vocabulary of the test: none but for pocketsphinx, which knows nothing else."""
    return [said, *OTHERS] if run.engine == "pocketsphinx" else []


def _seconds(pcm: bytes) -> float:
    return round(ms_of(len(pcm), RATE_HZ) / 1000, 2)
