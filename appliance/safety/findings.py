"""What the guard is told, and what it tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from appliance.events import Agent, Passage, Severity

Action = Literal["stop", "flag"]
_GRAVITY: dict[tuple[Action, Severity], int] = {
    ("stop", "high"): 0, ("stop", "medium"): 1, ("stop", "low"): 2,
    ("flag", "high"): 3, ("flag", "medium"): 4, ("flag", "low"): 5,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a text."""

    rule: str
    """Its name: ``abuse.hi``, ``site.12``, ``grounding.fact``, …"""
    category: str
    """As ``events.Flag.category``."""
    severity: Severity
    action: Action
    """``stop``: the phrase must not be heard. ``flag``: it may, and a person should look at it."""
    phrase: str
    """The words that matched, normalised (NFKC)."""

    @property
    def gravity(self) -> int:
        """0 is the gravest: to sort by."""
        return _GRAVITY[self.action, self.severity]


@dataclass(frozen=True, slots=True)
class Context:
    """In what conversation a phrase would be said."""

    agent: Agent
    said: str
    """What the caller has just said; the phrase belongs to the answer."""
    passages: tuple[Passage, ...] = ()
    before: str = ""
    """This reply's text that has passed already."""
    talk: tuple[tuple[str, str], ...] = ()
    """Earlier turns: (said, heard), the latest last."""
    memory: str = ""
    """What the agent remembers of turns that have left the prompt, and the caller's facts."""
