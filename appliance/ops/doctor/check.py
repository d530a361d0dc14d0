"""A check of the box, what it finds, and what mends it.

To add one: a module beside this, named for its noun, with ``CHECKS: tuple[Check, ...]``, and its
line in ``checks.py``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from appliance.ops.alarms import Severity
from appliance.ops.doctor.sentences import Translate, in_words, worded

if TYPE_CHECKING:
    from appliance.ops.doctor.box import Box

TIMEOUT_S = 8.0
"""Of a check that names none."""


class State(StrEnum):
    """How a thing stands."""

    GOOD = "good"
    WARNING = "warning"
    """Calls are answered now; they may not be, or something is not as it should be."""
    BAD = "bad"
    """Calls suffer, or data or secrets are open to others."""
    SKIPPED = "skipped"
    """It does not apply here, or could not be looked at; ``what`` says why."""


class Group(StrEnum):
    """What checks belong together, in the order in which they are shown."""

    MACHINE = "machine"
    SETTINGS = "settings"
    SECURITY = "security"
    NETWORK = "network"
    DATABASE = "database"
    JOBS = "jobs"
    ENGINES = "engines"
    CALLS = "calls"
    TELEPHONY = "telephony"
    CONSOLE = "console"
    SERVICES = "services"
    BACKUP = "backup"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check found.

    ``what`` and ``do`` are whole sentences, or made by ``sentences.worded``, so that the console can
    say them in other languages; with ``values`` they are templates with ``{name}`` in them.
    """

    check: str
    """The code of its check."""
    state: State
    what: str
    """How it stands."""
    do: str = ""
    """What to do; empty where nothing is to be done."""
    values: Mapping[str, str] = field(default_factory=dict)
    code: str = ""
    """The same for the same trouble, for programs; empty: the check's code."""
    detail: Mapping[str, Any] = field(default_factory=dict)
    """Figures for programs. Never a secret, a number of a caller, or their words."""

    @property
    def told(self) -> str:
        """How it stands, in English."""
        return self.told_in(str)

    @property
    def advice(self) -> str:
        """What to do, in English."""
        return self.advice_in(str)

    def told_in(self, t: Translate) -> str:
        """How it stands, in the language of ``t``."""
        return self._in(self.what, t)

    def advice_in(self, t: Translate) -> str:
        """What to do, in the language of ``t``."""
        return self._in(self.do, t)

    def _in(self, text: str, t: Translate) -> str:
        return in_words(worded(text, **self.values) if self.values else text, t)

    def facts(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "check": self.check,
            "code": self.code or self.check,
            "state": self.state.value,
            "what": self.told,
            "do": self.advice,
            "detail": dict(self.detail),
        }


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that mends something."""

    says: str
    """What it does, in the imperative: "Make /var/lib/ivr/secrets readable by its owner alone"."""
    take: Callable[[], Awaitable[None]]
    """Does it. Raises OSError or UserError."""
    asks: bool = False
    """Only with ``--yes``: it changes more than a mode, an owner or a leftover."""


Look = Callable[["Box"], Awaitable[Sequence[Finding]]]
Fix = Callable[["Box"], Awaitable[Sequence[Step]]]


@dataclass(frozen=True, slots=True)
class Check:
    """One question about the box."""

    code: str
    """Its name for ``--only`` and for programs: lower case, hyphens."""
    title: str
    """What is asked, in a few words: "Disk space"."""
    group: Group
    look: Look
    """At least one finding. May raise UserError (shown as bad); must not write anything."""
    fix: Fix | None = None
    """What would mend it now; nothing where nothing is wrong."""
    timeout_s: float = TIMEOUT_S
    how: str = ""
    """How it is looked at: "statvfs of each folder of data"."""


def state_of(severity: Severity | None) -> State:
    """What an alarm of this severity is to a check; None: there is none."""
    if severity is None:
        return State.GOOD
    return State.BAD if severity is Severity.CRITICAL else State.WARNING


def worst(findings: Sequence[Finding]) -> State:
    """Bad before warning before good before skipped."""
    order = (State.BAD, State.WARNING, State.GOOD)
    states = {finding.state for finding in findings}
    return next((state for state in order if state in states), State.SKIPPED)
