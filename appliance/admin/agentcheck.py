"""What is wrong with an agent before it answers anybody: by itself, and on this site.

Pure. An error keeps it from being published; a warning says what its callers will meet.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from appliance.admin.enginesurvey import Survey
from appliance.errors import UserError
from appliance.events import Agent
from appliance.languages import primary
from appliance.speech.language import Script
from appliance.speech.languages import language_of
from appliance.store.agents import WrongField, parse_agent, wrong_fields
from appliance.telephony.destinations import Kind, parse_destination

Severity = Literal["error", "warning"]

KEYS = frozenset("0123456789*#")
BLOCK_LETTERS = 0x80
"""Of a script of India in Unicode; Devanagari to Malayalam lie one after the other."""
LONGEST_NAME_LETTERS = 80
LONGEST_PHRASE_LETTERS = 1000
"""Of a fixed phrase, a minute of speech; a TTS server takes 2 000."""
_PHRASES = (
    "greeting", "goodbye", "hold_phrase", "busy_phrase", "apology", "unknown_answer", "safe_phrase",
    "resume_phrase", "recording_notice", "machine_message", "language_prompt", "transfer_phrase",
    "transfer_failed_phrase", "continue_phrase",
)  # fmt: skip
_SENSIBLE: Mapping[str, tuple[int, int, str]] = {
    "silence_ms": (2000, 60_000, "callers need a few seconds to think, and give up after a minute"),
    "pause_complete_ms": (120, 1500, "shorter cuts callers off, longer makes every answer late"),
    "pause_incomplete_ms": (400, 4000, "shorter cuts callers off who think, longer feels dead"),
    "hold_after_ms": (500, 5000, "earlier is heard before most answers, later the line feels dead"),
    "answer_deadline_ms": (1500, 15_000, "a model needs its time, and callers hang up after some"),
    "guard_deadline_ms": (50, 2000, "callers hear so long a pause before a phrase"),
    "longest_call_s": (60, 14_400, "calls end after it, whatever is being said"),
}
"""Field -> least, most, and why not beyond."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend. ``says`` is English with ``{names}`` in it, which ``values`` has."""

    severity: Severity
    field: str
    says: str
    values: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def sentence(self) -> str:
        return self.says.format(**self.values)


@dataclass(frozen=True, slots=True)
class Site:
    """What only the site knows, as far as the agent's tenant may."""

    survey: Survey = dataclasses.field(default_factory=Survey)
    bases: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Knowledge bases of the tenant -> version in force."""
    agents: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Agents of the tenant -> latest version; 0: none published."""
    queues: Collection[str] = ()
    extensions: Collection[str] = ()
    country: str = "IN"


def check(fields: Mapping[str, Any], site: Site) -> tuple[Problem, ...]:
    """All that is wrong with an agent, errors first. ``fields`` has its id."""
    wrong, agent = _read(fields)
    problems = [_of_itself(item) for item in wrong]
    if agent is not None:
        for rule in _RULES:
            problems += rule(agent, site)
    return tuple(sorted(problems, key=lambda problem: problem.severity != "error"))


def _of_itself(wrong: WrongField) -> Problem:
    return Problem("error", _name(wrong), "{what}", {"what": wrong.text})


def _name(wrong: WrongField) -> str:
    return wrong.field.partition(".")[0]


def _read(fields: Mapping[str, Any]) -> tuple[list[WrongField], Agent | None]:
    """All that is wrong, and the agent with the default in place of each such value, so that the
    rest is looked at too."""
    wrong: list[WrongField] = []
    rest = dict(fields)
    while found := wrong_fields(rest):  # with the types right, more may be seen
        wrong += found
        for name in map(_name, found):
            rest.pop(name, None)
        rest = {**_NEEDED, **rest}
        if len(wrong) > MOST_WRONG:
            return wrong, None
    return wrong, parse_agent(rest)


_NEEDED: Mapping[str, Any] = {"id": "agent", "version": 0, "name": "Agent"}
MOST_WRONG = 500
"""Of one agent; nobody reads on."""


def _error(name: str, says: str, /, **values: str) -> Problem:
    return Problem("error", name, says, values)


def _warning(name: str, says: str, /, **values: str) -> Problem:
    return Problem("warning", name, says, values)


def _names(agent: Agent, site: Site) -> Iterator[Problem]:
    if not agent.name.strip():
        yield _error("name", "The agent has no name. Give it one that people recognise in lists.")
    elif len(agent.name) > LONGEST_NAME_LETTERS:
        yield _error(
            "name", "The name is too long: {most} letters at most.", most=f"{LONGEST_NAME_LETTERS}"
        )


def _phrases(agent: Agent, site: Site) -> Iterator[Problem]:
    for name in _needed(agent):
        if not getattr(agent, name).strip():
            yield _error(name, "This phrase is empty: callers would hear nothing. Write one.")
    for name in ("greeting", "busy_phrase", "resume_phrase"):
        if not getattr(agent, name).strip():
            yield _warning(name, "This phrase is empty: callers hear nothing there.")
    for name in _PHRASES:
        if len(getattr(agent, name)) > LONGEST_PHRASE_LETTERS:
            yield _error(
                name, "This phrase has more than {most} letters. Shorten it.",
                most=f"{LONGEST_PHRASE_LETTERS}",
            )  # fmt: skip
    if not agent.prompt.strip() and not agent.bot_url:
        yield _warning("prompt", "The prompt is empty: the language model is told nothing.")
    if agent.record and not agent.recording_notice.strip():
        yield _warning(
            "recording_notice",
            "Calls are recorded and nobody tells the callers. The law may ask for a notice.",
        )


def _needed(agent: Agent) -> Iterator[str]:
    yield from ("goodbye", "hold_phrase", "apology", "unknown_answer", "safe_phrase")
    if agent.transfer_to:
        yield from ("transfer_phrase", "transfer_failed_phrase")
    if agent.continue_minutes:
        yield "continue_phrase"
    if agent.language_menu:
        yield "language_prompt"


def _silence(agent: Agent, site: Site) -> Iterator[Problem]:
    prompts = agent.silence_prompts
    if not prompts:
        yield _warning(
            "silence_prompts",
            "There is no silence prompt: the call ends at the first long silence.",
        )
    if any(not prompt.strip() for prompt in prompts):
        yield _error("silence_prompts", "A silence prompt is empty. Write it, or take it out.")
    if any(len(prompt) > LONGEST_PHRASE_LETTERS for prompt in prompts):
        yield _error(
            "silence_prompts", "This phrase has more than {most} letters. Shorten it.",
            most=f"{LONGEST_PHRASE_LETTERS}",
        )  # fmt: skip


def _scripts(agent: Agent, site: Site) -> Iterator[Problem]:
    """A greeting in another script than the language's is read out wrong, or not at all."""
    language = language_of(agent.language)
    if language is None:
        return
    for name in ("greeting", "goodbye", "hold_phrase", "apology", "unknown_answer", "safe_phrase"):
        found = _script_of(getattr(agent, name))
        if found is not None and found is not language.script:
            yield _warning(
                name, "This is written in {script} letters, but the agent speaks {language}.",
                script=found.name.capitalize(), language=agent.language,
            )  # fmt: skip


def _script_of(text: str) -> Script | None:
    """What most letters of ``text`` are written in; None: no letters, or another script."""
    counts: dict[Script, int] = {}
    for letter in filter(str.isalpha, text):
        code = ord(letter)
        block = code - code % BLOCK_LETTERS if code >= Script.DEVANAGARI.value else 0
        if block in _BLOCKS and (block or code < Script.DEVANAGARI.value):
            counts[_BLOCKS[block]] = counts.get(_BLOCKS[block], 0) + 1
    return max(counts, key=lambda script: counts[script]) if counts else None


_BLOCKS = {script.value: script for script in Script}


def _voice(agent: Agent, site: Site) -> Iterator[Problem]:
    seen = site.survey
    away = "tts" in seen.away
    harder = _warning if away else _error
    voices = seen.voices_of(agent.language)
    if not voices:
        says = "No voice server that is up now speaks {language}."
        if not away:
            says += " Add one, or choose another language."
        yield harder("language", says, language=agent.language)
    elif agent.voice not in voices:
        yield harder(
            "voice", "No voice server has the voice {voice} for {language}. There are: {voices}.",
            voice=agent.voice or "(none)", language=agent.language, voices=_some(voices),
        )  # fmt: skip
    if agent.tts_engine and agent.tts_engine not in seen.tts_engines:
        yield harder(
            "tts_engine", "No voice server is a {engine}. There are: {engines}.",
            engine=agent.tts_engine, engines=_some(seen.tts_engines),
        )  # fmt: skip


def _hearing(agent: Agent, site: Site) -> Iterator[Problem]:
    seen = site.survey
    away = "stt" in seen.away
    harder = _warning if away else _error
    able = [listener for listener in seen.listeners if listener.hears(agent.language)]
    if not able:
        says = "No recogniser that is up now hears {language}."
        if not away:
            says += " Add one, or choose another language."
        yield harder("language", says, language=agent.language)
    if not agent.stt_engine:
        return
    if agent.stt_engine not in seen.stt_engines:
        yield harder(
            "stt_engine", "No recogniser is a {engine}. There are: {engines}.",
            engine=agent.stt_engine, engines=_some(seen.stt_engines),
        )  # fmt: skip
    elif able and agent.stt_engine not in {listener.engine for listener in able}:
        yield _warning(
            "stt_engine", "{engine} does not hear {language}; another recogniser will.",
            engine=agent.stt_engine, language=agent.language,
        )  # fmt: skip


def _model(agent: Agent, site: Site) -> Iterator[Problem]:
    seen = site.survey
    if agent.bot_url:
        return
    if not seen.has_llm:
        if agent.llm_model:
            yield _warning("llm_model", "No language model is set up here: this has no effect.")
        if not agent.knowledge:
            yield _warning(
                "knowledge", "There is neither a language model nor a knowledge base: every question"
                " gets the phrase for an unknown answer.",
            )  # fmt: skip
        return
    if agent.llm_model and agent.llm_model not in seen.models:
        harder = _warning if "llm" in seen.away else _error
        yield harder(
            "llm_model", "No language model server offers {model}. There are: {models}.",
            model=agent.llm_model, models=_some(seen.models),
        )  # fmt: skip


def _knowledge(agent: Agent, site: Site) -> Iterator[Problem]:
    if not agent.knowledge:
        if agent.grounding != "off" and not agent.bot_url:
            yield _warning(
                "knowledge", "There is no knowledge base: every fact that the agent states is"
                " flagged as unproven.",
            )  # fmt: skip
    elif agent.knowledge not in site.bases:
        yield _error(
            "knowledge", "There is no knowledge base {name}. There are: {names}.",
            name=agent.knowledge, names=_some(site.bases),
        )  # fmt: skip
    elif not site.bases[agent.knowledge]:
        yield _warning(
            "knowledge", "The knowledge base {name} has nothing in it that is ready.",
            name=agent.knowledge,
        )  # fmt: skip
    for code in agent.knowledge_languages:
        if primary(code) != code:
            yield _warning(
                "knowledge_languages", "{code} finds nothing: write {short}.",
                code=code, short=primary(code),
            )  # fmt: skip


def _menu(agent: Agent, site: Site) -> Iterator[Problem]:
    for key, other in agent.language_menu.items():
        if key not in KEYS:
            yield _error("language_menu", "{key} is no key of a telephone.", key=repr(key))
        if other not in site.agents:
            yield _error(
                "language_menu", "Key {key}: there is no agent {agent}.", key=key, agent=other
            )
        elif not site.agents[other] and other != agent.id:
            yield _error(
                "language_menu", "Key {key}: the agent {agent} is not published yet.",
                key=key, agent=other,
            )  # fmt: skip


def _keypad(agent: Agent, site: Site) -> Iterator[Problem]:
    for key, meaning in agent.keypad.items():
        if key not in KEYS:
            yield _error("keypad", "{key} is no key of a telephone.", key=repr(key))
        if not meaning.strip():
            yield _error(
                "keypad", "Key {key} means nothing. Write what its presser wants.", key=key
            )
    if agent.transfer_key and agent.transfer_key not in KEYS:
        yield _error(
            "transfer_key", "{key} is no key of a telephone.", key=repr(agent.transfer_key)
        )
    elif agent.transfer_to and agent.transfer_key in agent.keypad:
        yield _warning(
            "keypad", "Key {key} asks for a person, so its entry in the keypad is never used.",
            key=agent.transfer_key,
        )  # fmt: skip


def _transfer(agent: Agent, site: Site) -> Iterator[Problem]:
    if agent.transfer_after_failures < 0:
        yield _error("transfer_after_failures", "Write 0 for never, or a number of turns.")
    if not agent.transfer_to:
        return
    try:
        to = parse_destination(agent.transfer_to, site.country)
    except UserError as e:
        yield _error("transfer_to", "{what}", what=str(e))
        return
    if to.kind is Kind.QUEUE and to.value not in site.queues:
        yield _error(
            "transfer_to", "There is no queue {name}. There are: {names}.",
            name=to.value, names=_some(site.queues),
        )  # fmt: skip
    if to.kind is Kind.EXTENSION and to.value not in site.extensions:
        yield _warning("transfer_to", "There is no extension {name} yet.", name=to.value)


def _times(agent: Agent, site: Site) -> Iterator[Problem]:
    for name, (least, most, why) in _SENSIBLE.items():
        value = getattr(agent, name)
        if not least <= value <= most:
            yield _warning(
                name, "{value} is unusual, {least} to {most} is sensible: {why}.",
                value=f"{value}", least=f"{least}", most=f"{most}", why=why,
            )  # fmt: skip
    if agent.pause_complete_ms > agent.pause_incomplete_ms:
        yield _error(
            "pause_complete_ms",
            "An unfinished sentence would end sooner than a finished one: make this the shorter time.",
        )


def _bot(agent: Agent, site: Site) -> Iterator[Problem]:
    if agent.bot_url:
        yield _warning(
            "bot_url", "An external bot takes the calls: prompt, knowledge, voice and guard of this"
            " agent are not used.",
        )  # fmt: skip


_RULES: tuple[Callable[[Agent, Site], Iterator[Problem]], ...] = (
    *(_names, _phrases, _silence, _scripts, _voice, _hearing, _model, _knowledge),
    *(_menu, _keypad, _transfer, _times, _bot),
)


def _some(names: Collection[str]) -> str:
    """The first few, for a sentence."""
    listed = sorted(names)
    return (", ".join(listed[:8]) + (", …" if len(listed) > 8 else "")) or "none"
