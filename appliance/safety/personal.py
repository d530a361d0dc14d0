"""Personal data that an agent must not say aloud.

What is personal is found by :mod:`~appliance.safety.redact`. Numbers of the passages, the prompt and
the agent's fixed phrases are everybody's. A caller's own telephone and account number may be read
back to them; a whole card, Aadhaar number, PAN or one-time password never, for whoever listens.
"""

from __future__ import annotations

from functools import lru_cache

from appliance.events import Severity
from appliance.safety.digits import read_numbers
from appliance.safety.findings import Context, Finding
from appliance.safety.redact import Redactor
from appliance.safety.tokens import ascii_digits

NEVER = ("card", "aadhaar", "pan", "otp")
OWN = ("account", "phone")
LAST_DIGITS = 4
"""So many at the end of a number say whose it is, and are no use to anybody else."""
TAIL_LETTERS = 80
"""Of what was said before, that digits may go on from."""
MOST_TALK = 12
CODE_DIGITS = 6


def personal(phrase: str, context: Context) -> list[Finding]:
    """What in ``phrase`` (with what was said directly before it) is somebody's own."""
    agent = context.agent
    known = [p.text for p in context.passages] + [agent.prompt, *agent.fixed_phrases]
    redactor = Redactor((*NEVER, *OWN), agent.language, [text for text in known if text])
    tail = context.before[-TAIL_LETTERS:]
    text = f"{tail} {phrase}" if tail else phrase
    findings = []
    for found in redactor.redact(text).spans:
        if found.end <= len(tail):
            continue
        public = [run for one in known if one for run in _runs(one, agent.language)]
        digits = _only_digits(text[found.begin : found.end], agent.language)
        if any(digits == run or (len(digits) > CODE_DIGITS and digits in run) for run in public):
            continue
        if found.kind in OWN or (len(digits) <= LAST_DIGITS and found.kind in ("card", "aadhaar")):
            own = " ".join(run for one in _said(context) for run in _runs(one, agent.language))
            if digits and digits in own:
                continue
        severity: Severity = "high" if found.kind in NEVER else "medium"
        findings.append(
            Finding(
                f"personal.{found.kind}",
                "personal",
                severity,
                "stop",
                text[found.begin : found.end],
            )
        )
    return findings


def _said(context: Context) -> list[str]:
    """The caller's words of this call."""
    return [context.said, *(said for said, _ in context.talk[-MOST_TALK:]), context.memory]


@lru_cache(maxsize=1024)
def _runs(text: str, language: str) -> tuple[str, ...]:
    return tuple(run.digits for run in read_numbers(text, language).runs)


def _only_digits(text: str, language: str) -> str:
    return "".join(run.digits for run in read_numbers(text, language).runs) or ascii_digits(text)
