"""What may be wrong with an agent by itself, whatever its site has: phrases, scripts, keys, times.

Pure; each rule takes an agent whose types are right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from appliance.admin.agents.problems import Problem, error, warning
from appliance.events import Agent
from appliance.speech.language import Script
from appliance.speech.languages import language_of

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
_BLOCKS = {script.value: script for script in Script}


def _names(agent: Agent) -> Iterator[Problem]:
    if not agent.name.strip():
        yield error("name", "The agent has no name. Give it one that people recognise in lists.")
    elif len(agent.name) > LONGEST_NAME_LETTERS:
        yield error(
            "name", "The name is too long: {most} letters at most.", most=f"{LONGEST_NAME_LETTERS}"
        )


def _phrases(agent: Agent) -> Iterator[Problem]:
    for name in _needed(agent):
        if not getattr(agent, name).strip():
            yield error(name, "This phrase is empty: callers would hear nothing. Write one.")
    for name in ("greeting", "busy_phrase", "resume_phrase"):
        if not getattr(agent, name).strip():
            yield warning(name, "This phrase is empty: callers hear nothing there.")
    for name in _PHRASES:
        if len(getattr(agent, name)) > LONGEST_PHRASE_LETTERS:
            yield error(
                name, "This phrase has more than {most} letters. Shorten it.",
                most=f"{LONGEST_PHRASE_LETTERS}",
            )  # fmt: skip
    if not agent.prompt.strip() and not agent.bot_url:
        yield warning("prompt", "The prompt is empty: the language model is told nothing.")
    if agent.record and not agent.recording_notice.strip():
        yield warning(
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


def _silence(agent: Agent) -> Iterator[Problem]:
    prompts = agent.silence_prompts
    if not prompts:
        yield warning(
            "silence_prompts",
            "There is no silence prompt: the call ends at the first long silence.",
        )
    if any(not prompt.strip() for prompt in prompts):
        yield error("silence_prompts", "A silence prompt is empty. Write it, or take it out.")
    if any(len(prompt) > LONGEST_PHRASE_LETTERS for prompt in prompts):
        yield error(
            "silence_prompts", "This phrase has more than {most} letters. Shorten it.",
            most=f"{LONGEST_PHRASE_LETTERS}",
        )  # fmt: skip


def _scripts(agent: Agent) -> Iterator[Problem]:
    """A greeting in another script than the language's is read out wrong, or not at all."""
    language = language_of(agent.language)
    if language is None:
        return
    for name in ("greeting", "goodbye", "hold_phrase", "apology", "unknown_answer", "safe_phrase"):
        found = _script_of(getattr(agent, name))
        if found is not None and found is not language.script:
            yield warning(
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


def _keypad(agent: Agent) -> Iterator[Problem]:
    for key, meaning in agent.keypad.items():
        if key not in KEYS:
            yield error("keypad", "{key} is no key of a telephone.", key=repr(key))
        if not meaning.strip():
            yield error("keypad", "Key {key} means nothing. Write what its presser wants.", key=key)
    if agent.transfer_key and agent.transfer_key not in KEYS:
        yield error("transfer_key", "{key} is no key of a telephone.", key=repr(agent.transfer_key))
    elif agent.transfer_to and agent.transfer_key in agent.keypad:
        yield warning(
            "keypad", "Key {key} asks for a person, so its entry in the keypad is never used.",
            key=agent.transfer_key,
        )  # fmt: skip


def _times(agent: Agent) -> Iterator[Problem]:
    for name, (least, most, why) in _SENSIBLE.items():
        value = getattr(agent, name)
        if not least <= value <= most:
            yield warning(
                name, "{value} is unusual, {least} to {most} is sensible: {why}.",
                value=f"{value}", least=f"{least}", most=f"{most}", why=why,
            )  # fmt: skip
    if agent.pause_complete_ms > agent.pause_incomplete_ms:
        yield error(
            "pause_complete_ms",
            "An unfinished sentence would end sooner than a finished one: make this the shorter time.",
        )


def _bot(agent: Agent) -> Iterator[Problem]:
    if agent.bot_url:
        yield warning(
            "bot_url", "An external bot takes the calls: prompt, knowledge, voice and guard of this"
            " agent are not used.",
        )  # fmt: skip


OWN_RULES: tuple[Callable[[Agent], Iterator[Problem]], ...] = (
    *(_names, _phrases, _silence, _scripts, _keypad, _times, _bot),
)
