"""The guard: what an agent is about to say, what a caller said and what a document says, checked.

Pure and quick (``bench/guard.py`` says how quick), so that it runs beside the speech synthesis of the
very phrase that it judges. What becomes of a finding (stopped, flagged, heard late) is decided by
whoever speaks: ``docs/safety.md``.
"""

from __future__ import annotations

from appliance.events import Agent
from appliance.safety.findings import Context, Finding
from appliance.safety.rules import RuleSet

__all__ = ["Context", "Finding", "Guard"]


class Guard:
    """Judges text by one set of rules; holds no state of any call. Never raises on any text."""

    def __init__(self, rules: RuleSet) -> None:
        self._rules = rules

    def check_phrase(self, phrase: str, context: Context) -> tuple[Finding, ...]:
        """What is wrong with ``phrase``, the next that the agent would say; the gravest first.

        Looks at it together with the end of ``context.before``: what is parted by a pause is one.
        The checks are those of the agent's ``guard_checks`` and ``grounding``.
        """
        return ()

    def check_caller(self, said: str, agent: Agent) -> tuple[Finding, ...]:
        """What a person should know of the caller's words: abuse, self-harm, a complaint, an attempt
        to give the agent orders. Nothing of it is ever stopped: the actions are all ``flag``."""
        return ()

    def check_passage(self, text: str) -> bool:
        """Whether a document's text reads like orders to a language model."""
        return False
