"""``ivr doctor``: looks, tells each finding as it is known, mends what may be mended, looks again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import uvloop
from rich.console import Console
from rich.text import Text

from appliance.errors import UserError
from appliance.ops.console import console_here, plain, print_json
from appliance.ops.doctor.box import Box, open_box
from appliance.ops.doctor.check import Check, Finding, Group, State
from appliance.ops.doctor.checks import CHECKS
from appliance.ops.doctor.run import Outcome, chosen, examine, facts, steps, take
from appliance.settings import Settings

GOOD, BAD = 0, 1
"""Exit status: nothing is bad (there may be warnings); something is. 2, could not look, is what
every UserError ends in."""
MARKS = {
    State.GOOD: ("✓", "green"),
    State.WARNING: ("!", "yellow"),
    State.BAD: ("✗", "bold red"),
    State.SKIPPED: ("–", "dim"),
}
TITLE_LETTERS = 24


@dataclass(frozen=True, slots=True)
class Options:
    """What was typed."""

    only: tuple[str, ...] = ()
    deep: bool = False
    fix: bool = False
    yes: bool = False
    as_json: bool = False
    quiet: bool = False
    """Tell only what is not good."""


@dataclass(slots=True)
class Told:
    """Tells people, line by line; nothing where programs read."""

    options: Options
    console: Console = field(default_factory=console_here)
    _group: Group | None = None

    def outcome(self, outcome: Outcome) -> None:
        """What a check found."""
        if self.options.as_json:
            return
        shown = [f for f in outcome.findings if not self.options.quiet or f.state in _TROUBLE]
        if shown and outcome.check.group is not self._group:
            self._group = outcome.check.group
            self.console.print(Text(self._group.value, style="bold"))
        for finding in shown:
            self._finding(outcome.check, finding)

    def _finding(self, check: Check, finding: Finding) -> None:
        mark, style = MARKS[finding.state]
        line = Text("  ")
        line.append(f"{mark} ", style=style)
        line.append(f"{check.title:<{TITLE_LETTERS}} ")
        line.append(plain(finding.told), style="dim" if finding.state is State.SKIPPED else "")
        self.console.print(line, soft_wrap=True)
        if finding.advice and finding.state in _TROUBLE:
            self.console.print(Text(f"    → {plain(finding.advice)}"), soft_wrap=True)

    def line(self, text: str) -> None:
        """A sentence of its own."""
        if not self.options.as_json:
            self.console.print(Text(plain(text)), soft_wrap=True)


_TROUBLE = (State.WARNING, State.BAD)


def run(settings: Callable[[], Settings], options: Options) -> int:
    """Look, and return the exit status.

    Settings that cannot be read are themselves a finding. Raises UserError: it cannot be looked.
    """
    checks = chosen(CHECKS, options.only)
    told = Told(options)
    try:
        loaded = settings()
    except UserError as e:
        return _unreadable(e, told)
    outcomes, mended = uvloop.run(_rounds(loaded, checks, told))
    found = facts(outcomes)
    if options.as_json:
        print_json(found | ({"fixed": mended} if options.fix else {}))
    else:
        told.line(_summary(found["counts"]))
    return GOOD if found["good"] else BAD


async def _rounds(
    settings: Settings, checks: Sequence[Check], told: Told
) -> tuple[list[Outcome], list[dict[str, Any]]]:
    """Look; with ``--fix`` mend, and look again at what was mended."""
    async with open_box(settings, deep=told.options.deep) as box:
        outcomes = await _look(box, checks, told)
        if not told.options.fix:
            return outcomes, []
        mended = await _mend(box, outcomes, told)
        done = {one["check"] for one in mended if one["done"]}
        again = [outcome.check for outcome in outcomes if outcome.check.code in done]
        if again:
            await box.forget()
            told.line("Looking again:")
            anew = {o.check.code: o for o in await _look(box, again, told)}
            outcomes = [anew.get(o.check.code, o) for o in outcomes]
        return outcomes, mended


async def _look(box: Box, checks: Sequence[Check], told: Told) -> list[Outcome]:
    outcomes = []
    async for outcome in examine(box, checks):
        outcomes.append(outcome)
        told.outcome(outcome)
    return outcomes


async def _mend(box: Box, outcomes: Sequence[Outcome], told: Told) -> list[dict[str, Any]]:
    """Each step, said before it is taken."""
    wanted = await steps(box, outcomes)
    if not wanted:
        told.line("There is nothing that --fix could mend.")
    mended = []
    for check, step in wanted:
        if step.asks and not told.options.yes:
            told.line(f"Not done without --yes: {step.says}")
            mended.append({"check": check.code, "step": step.says, "done": False, "why": "--yes"})
            continue
        told.line(f"{step.says} …")
        why = await take(step)
        told.line(f"  could not: {why}" if why else "  done")
        mended.append({"check": check.code, "step": step.says, "done": not why, "why": why})
    return mended


def _unreadable(error: UserError, told: Told) -> int:
    """The settings cannot be read, and so nothing can be looked at that they name."""
    finding = Finding("settings", State.BAD, str(error), "Mend the settings, then look again.")
    check = next(check for check in CHECKS if check.code == "settings")
    outcome = Outcome(check, (finding,), 0.0)
    told.outcome(outcome)
    if told.options.as_json:
        print_json(facts([outcome]))
    return BAD


def _summary(counts: dict[str, int]) -> str:
    told = [
        f"{counts[state]} {word}"
        for state, word in (("bad", "bad"), ("warning", "warnings"), ("good", "good"))
        if counts[state] or state == "good"
    ]
    return f"{', '.join(told)}, {counts['skipped']} skipped."
