"""Rules: what must not be said, and what a person should know of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from appliance.events import Severity, Side
from appliance.safety.findings import Action


@dataclass(frozen=True, slots=True)
class SiteRule:
    """A rule of the site, as the table ``guard_rules`` has it."""

    id: int
    kind: Literal["words", "pattern"]
    text: str
    agent_id: str = ""
    language: str = ""
    side: Side | Literal["both"] = "agent"
    category: str = "words"
    severity: Severity = "medium"
    action: Action = "stop"


class RuleSet:
    """The built-in rules and a site's own, compiled once."""

    def __init__(self, site: Sequence[SiteRule] = ()) -> None:
        self.site = tuple(site)
