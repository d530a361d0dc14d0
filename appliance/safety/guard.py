"""The guard: what an agent is about to say, what a caller said and what a document says, checked.

Pure and quick (``bench/guard.py`` says how quick), so that it runs beside the speech synthesis of the
very phrase that it judges. What becomes of a finding (stopped, flagged, heard late) is decided by
whoever speaks: ``docs/safety.md``.
"""

from __future__ import annotations

from collections.abc import Iterable

from appliance.events import Agent
from appliance.languages import primary
from appliance.safety import injection
from appliance.safety.findings import Action, Context, Finding
from appliance.safety.grounding import (
    LEAST_SHARE,
    NO_SHARE,
    learn,
    unfinished,
    ungrounded,
)
from appliance.safety.personal import personal
from appliance.safety.rules import Match, RuleSet
from appliance.safety.wordfold import fold, fold_kept

__all__ = ["Context", "Finding", "Guard"]

LONGEST_PHRASE = 4000
"""Letters of a phrase, or of a caller's turn, that are looked at: minutes of speech."""
MOST_FACTS = 4
"""Findings of one phrase that name a fact each."""


class Guard:
    """Judges text by one set of rules; holds no state of any call. Never raises on any text."""

    def __init__(self, rules: RuleSet) -> None:
        self._rules = rules

    def prepare(self, context: Context) -> None:
        """Read the sources of a reply before its first phrase is there (a millisecond or two, which
        then no phrase takes). May run in a thread: what is read is kept in caches, by its text."""
        if context.agent.grounding != "off":
            learn(context)
        if "injection" in context.agent.guard_checks:
            injection.learn_prompt(context.agent.prompt)

    def check_phrase(self, phrase: str, context: Context) -> tuple[Finding, ...]:
        """What is wrong with ``phrase``, the next that the agent would say; the gravest first.

        Looks at it together with the end of ``context.before``: what is parted by a pause is one.
        The checks are those of the agent's ``guard_checks`` and ``grounding``. What the agent's own
        people wrote for it to say word for word is not checked.
        """
        agent = context.agent
        phrase = phrase[:LONGEST_PHRASE]
        if not phrase.strip() or phrase.strip() in agent.fixed_phrases:
            return ()
        found: list[Finding] = []
        if "words" in agent.guard_checks:
            found += self._words(phrase, context)
        if "personal" in agent.guard_checks:
            found += personal(phrase, context)
        if "injection" in agent.guard_checks:
            found += _obeyed(phrase, context)
        if agent.grounding != "off":
            found += _ungrounded(phrase, context)
        return _gravest_first(found)

    def check_caller(self, said: str, agent: Agent) -> tuple[Finding, ...]:
        """What a person should know of the caller's words: abuse, self-harm, a complaint, an attempt
        to give the agent orders. Nothing of it is ever stopped: the actions are all ``flag``."""
        said = said[:LONGEST_PHRASE]
        if not said.strip():
            return ()
        found: list[Finding] = []
        if "words" in agent.guard_checks:
            matches = self._rules.find(said, "caller", agent.id, agent.language)
            found += [
                Finding(m.rule.name, m.rule.category, m.rule.severity, "flag", m.phrase)
                for m in matches
            ]
        if "injection" in agent.guard_checks and (orders := injection.caller_orders(said)):
            found.append(Finding("injection.caller", "injection", "medium", "flag", orders))
        return _gravest_first(found)

    def check_passage(self, text: str) -> bool:
        """Whether a document's text reads like orders to a language model."""
        return bool(injection.document_orders(text))

    def _words(self, phrase: str, context: Context) -> list[Finding]:
        agent = context.agent
        matches = self._rules.find(
            phrase, "agent", agent.id, primary(agent.language), unfinished(context.before)
        )
        return [
            Finding(m.rule.name, m.rule.category, m.rule.severity, m.rule.action, m.phrase)
            for m in matches
            if not (m.rule.unless_quoted and _quoted(m, context))
        ]


def _quoted(match: Match, context: Context) -> bool:
    """Whether the knowledge, or the agent's own prompt, says so in these very words."""
    joined = fold(match.phrase).joined
    texts = (context.agent.prompt, *(p.whole for p in context.passages))
    return any(joined in fold_kept(text).joined for text in texts if text)


def _obeyed(phrase: str, context: Context) -> list[Finding]:
    found = []
    if words := injection.obeyed(phrase):
        found.append(Finding("injection.obeyed", "injection", "medium", "stop", words))
    agent = context.agent
    others = (*agent.fixed_phrases, *(p.whole for p in context.passages))
    before = fold(unfinished(context.before)).words
    if words := injection.leaks(fold(phrase), before, agent.prompt, others):
        found.append(Finding("injection.prompt", "injection", "high", "stop", words))
    return found


def _ungrounded(phrase: str, context: Context) -> list[Finding]:
    missing = ungrounded(phrase, context)
    action: Action = "stop" if context.agent.grounding == "stop" else "flag"
    found = [
        Finding("grounding.fact", "grounding", "medium", action, fact.phrase)
        for fact in missing.facts[:MOST_FACTS]
    ]
    if not found and missing.share is not None and missing.share < LEAST_SHARE:
        sure = missing.share < NO_SHARE
        found.append(
            Finding("grounding.words", "grounding", "low", action if sure else "flag", phrase)
        )
    return found


def _gravest_first(found: Iterable[Finding]) -> tuple[Finding, ...]:
    """Sorted, and what two languages' lists have both found told once."""
    once = {(f.category, f.phrase.casefold()): f for f in sorted(found, key=lambda f: -f.gravity)}
    return tuple(sorted(once.values(), key=lambda f: f.gravity))
