"""One round of checks: all at once with a bound, each with a timeout, none failing the others."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from appliance.errors import UserError, reason_of
from appliance.ops.doctor.box import Box
from appliance.ops.doctor.check import Check, Finding, Group, State, Step, worst
from appliance.ops.doctor.errors import said
from appliance.ops.doctor.sentences import worded, words

MOST_AT_ONCE = 12
"""Checks; they wait more than they work."""
FIX_TIMEOUT_S = 120.0
"""Of one step: a migration takes the longest."""
SLOW = (
    "{title} could not be looked at: it took longer than {seconds} s.",
    "Look at what it asks; `ivr doctor --only {check}` asks it alone.",
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one check found."""

    check: Check
    findings: tuple[Finding, ...]
    ms: float

    @property
    def state(self) -> State:
        """The worst of what was found."""
        return worst(self.findings)


def chosen(checks: Sequence[Check], only: Iterable[str]) -> tuple[Check, ...]:
    """The checks whose code or group is named; all where nothing is. Raises UserError: no such."""
    names = tuple(dict.fromkeys(only))
    known = {check.code for check in checks} | {check.group.value for check in checks}
    if wrong := [name for name in names if name not in known]:
        groups = ", ".join(group.value for group in Group)
        raise UserError(
            f"There is no check {', '.join(wrong)}. Groups: {groups}. Checks:"
            f" {', '.join(check.code for check in checks)}."
        )
    return tuple(c for c in checks if not names or {c.code, c.group.value} & set(names))


async def examine(box: Box, checks: Sequence[Check]) -> AsyncIterator[Outcome]:
    """What each check finds, in the order of ``checks``, each as soon as those before it are known."""
    places = asyncio.Semaphore(MOST_AT_ONCE)

    async def one(check: Check) -> Outcome:
        async with places:
            began_s = time.monotonic()
            findings = await _look(box, check)
            return Outcome(check, findings, (time.monotonic() - began_s) * 1000)

    tasks = [asyncio.create_task(one(check)) for check in checks]
    try:
        for task in tasks:
            yield await task
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _look(box: Box, check: Check) -> tuple[Finding, ...]:
    """Never raises: what cannot be looked at is a finding."""
    try:
        async with asyncio.timeout(check.timeout_s):
            return tuple(await check.look(box))
    except TimeoutError:
        what, do = SLOW
        values = {"title": words(check.title), "seconds": f"{check.timeout_s:.0f}"}
        return (
            Finding(
                check.code, State.WARNING, worded(what, **values), worded(do, check=check.code),
                code="slow",
            ),
        )  # fmt: skip
    except UserError as e:
        return (Finding(check.code, State.BAD, said(str(e))),)
    except (OSError, SQLAlchemyError) as e:
        why = reason_of(getattr(e, "orig", None) or e).rstrip(".")
        return (
            Finding(
                check.code,
                State.SKIPPED,
                worded("{title} could not be looked at: {why}.", title=words(check.title), why=why),
            ),
        )
    except Exception:  # the border of a check: the others go on
        _log.exception("! doctor: the check %s failed", check.code)
        what = worded(
            "{title} could not be looked at: the check itself failed; see the log.",
            title=words(check.title),
        )
        return (Finding(check.code, State.WARNING, what, code="failed"),)


async def steps(box: Box, outcomes: Sequence[Outcome]) -> list[tuple[Check, Step]]:
    """What would mend what was found, where a machine may do it."""
    found: list[tuple[Check, Step]] = []
    for outcome in outcomes:
        fix = outcome.check.fix
        if fix is not None and outcome.state in (State.WARNING, State.BAD):
            async with asyncio.timeout(outcome.check.timeout_s):
                found += [(outcome.check, step) for step in await fix(box)]
    return found


async def take(step: Step) -> str:
    """Do it; why it could not be done, or empty."""
    try:
        async with asyncio.timeout(FIX_TIMEOUT_S):
            await step.take()
    except (UserError, OSError) as e:  # TimeoutError is an OSError
        return reason_of(e)
    return ""


def facts(outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """For JSON: ``good`` where nothing is bad, and every finding."""
    findings = [(outcome, finding) for outcome in outcomes for finding in outcome.findings]
    states = [finding.state for _, finding in findings]
    return {
        "good": State.BAD not in states,
        "counts": {state.value: states.count(state) for state in State},
        "findings": [
            finding.facts()
            | {
                "title": outcome.check.title,
                "group": outcome.check.group.value,
                "how": outcome.check.how,
                "ms": round(outcome.ms),
            }
            for outcome, finding in findings
        ],
    }
