"""Something that is wrong with an agent, and what has to be known of its site to see it."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from appliance.admin.agents.enginesurvey import Survey

Severity = Literal["error", "warning"]


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


def error(name: str, says: str, /, **values: str) -> Problem:
    """Keeps the agent from being published."""
    return Problem("error", name, says, values)


def warning(name: str, says: str, /, **values: str) -> Problem:
    """Says what callers will meet."""
    return Problem("warning", name, says, values)


def some(names: Collection[str]) -> str:
    """The first few, for a sentence."""
    listed = sorted(names)
    return (", ".join(listed[:8]) + (", …" if len(listed) > 8 else "")) or "none"
