"""What is wrong with an agent before it answers anybody: by itself, and on this site.

Pure. An error keeps it from being published; a warning says what its callers will meet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from appliance.admin.agents.problems import Problem, Site, error, some, warning
from appliance.admin.agents.rules import KEYS, OWN_RULES
from appliance.errors import UserError
from appliance.events import Agent
from appliance.languages import primary
from appliance.store.agents import WrongField, parse_agent, wrong_fields
from appliance.telephony.destinations import Kind, parse_destination

_NEEDED: Mapping[str, Any] = {"id": "agent", "version": 0, "name": "Agent"}
MOST_WRONG = 500
"""Of one agent; nobody reads on."""


def check(fields: Mapping[str, Any], site: Site) -> tuple[Problem, ...]:
    """All that is wrong with an agent, errors first. ``fields`` has its id."""
    wrong, agent = _read(fields)
    problems = [_of_itself(item) for item in wrong]
    if agent is not None:
        for rule in OWN_RULES:
            problems += rule(agent)
        for site_rule in _SITE_RULES:
            problems += site_rule(agent, site)
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


def _voice(agent: Agent, site: Site) -> Iterator[Problem]:
    seen = site.survey
    away = "tts" in seen.away
    harder = warning if away else error
    voices = seen.voices_of(agent.language)
    if not voices:
        says = "No voice server that is up now speaks {language}."
        if not away:
            says += " Add one, or choose another language."
        yield harder("language", says, language=agent.language)
    elif agent.voice not in voices:
        yield harder(
            "voice", "No voice server has the voice {voice} for {language}. There are: {voices}.",
            voice=agent.voice or "(none)", language=agent.language, voices=some(voices),
        )  # fmt: skip
    if agent.tts_engine and agent.tts_engine not in seen.tts_engines:
        yield harder(
            "tts_engine", "No voice server is a {engine}. There are: {engines}.",
            engine=agent.tts_engine, engines=some(seen.tts_engines),
        )  # fmt: skip


def _hearing(agent: Agent, site: Site) -> Iterator[Problem]:
    seen = site.survey
    away = "stt" in seen.away
    harder = warning if away else error
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
            engine=agent.stt_engine, engines=some(seen.stt_engines),
        )  # fmt: skip
    elif able and agent.stt_engine not in {listener.engine for listener in able}:
        yield warning(
            "stt_engine", "{engine} does not hear {language}; another recogniser will.",
            engine=agent.stt_engine, language=agent.language,
        )  # fmt: skip


def _model(agent: Agent, site: Site) -> Iterator[Problem]:
    seen = site.survey
    if agent.bot_url:
        return
    if not seen.has_llm:
        if agent.llm_model:
            yield warning("llm_model", "No language model is set up here: this has no effect.")
        if not agent.knowledge:
            yield warning(
                "knowledge", "There is neither a language model nor a knowledge base: every question"
                " gets the phrase for an unknown answer.",
            )  # fmt: skip
        return
    if agent.llm_model and agent.llm_model not in seen.models:
        harder = warning if "llm" in seen.away else error
        yield harder(
            "llm_model", "No language model server offers {model}. There are: {models}.",
            model=agent.llm_model, models=some(seen.models),
        )  # fmt: skip


def _knowledge(agent: Agent, site: Site) -> Iterator[Problem]:
    if not agent.knowledge:
        if agent.grounding != "off" and not agent.bot_url:
            yield warning(
                "knowledge", "There is no knowledge base: every fact that the agent states is"
                " flagged as unproven.",
            )  # fmt: skip
    elif agent.knowledge not in site.bases:
        yield error(
            "knowledge", "There is no knowledge base {name}. There are: {names}.",
            name=agent.knowledge, names=some(site.bases),
        )  # fmt: skip
    elif not site.bases[agent.knowledge]:
        yield warning(
            "knowledge", "The knowledge base {name} has nothing in it that is ready.",
            name=agent.knowledge,
        )  # fmt: skip
    for code in agent.knowledge_languages:
        if primary(code) != code:
            yield warning(
                "knowledge_languages", "{code} finds nothing: write {short}.",
                code=code, short=primary(code),
            )  # fmt: skip


def _menu(agent: Agent, site: Site) -> Iterator[Problem]:
    for key, other in agent.language_menu.items():
        if key not in KEYS:
            yield error("language_menu", "{key} is no key of a telephone.", key=repr(key))
        if other not in site.agents:
            yield error(
                "language_menu", "Key {key}: there is no agent {agent}.", key=key, agent=other
            )
        elif not site.agents[other] and other != agent.id:
            yield error(
                "language_menu", "Key {key}: the agent {agent} is not published yet.",
                key=key, agent=other,
            )  # fmt: skip


def _transfer(agent: Agent, site: Site) -> Iterator[Problem]:
    if agent.transfer_after_failures < 0:
        yield error("transfer_after_failures", "Write 0 for never, or a number of turns.")
    if not agent.transfer_to:
        return
    try:
        to = parse_destination(agent.transfer_to, site.country)
    except UserError as e:
        yield error("transfer_to", "{what}", what=str(e))
        return
    if to.kind is Kind.QUEUE and to.value not in site.queues:
        yield error(
            "transfer_to", "There is no queue {name}. There are: {names}.",
            name=to.value, names=some(site.queues),
        )  # fmt: skip
    if to.kind is Kind.EXTENSION and to.value not in site.extensions:
        yield warning("transfer_to", "There is no extension {name} yet.", name=to.value)


_SITE_RULES: tuple[Callable[[Agent, Site], Iterator[Problem]], ...] = (
    *(_voice, _hearing, _model, _knowledge, _menu, _transfer),
)
