"""``ivr doctor --call``: rings the appliance, and says whether it was heard and answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import uvloop
from sqlalchemy.exc import SQLAlchemyError

from appliance.errors import UserError, reason_of
from appliance.ops.console import plain, print_json
from appliance.ops.doctor.box import Box, open_box
from appliance.ops.doctor.check import Finding, State, worst
from appliance.ops.doctor.selfcall.question import Asked, asked
from appliance.ops.doctor.selfcall.ringing import Rung, ring
from appliance.ops.doctor.selfcall.targets import FREESWITCH, Dialled, Target, dialled, targets
from appliance.settings import Settings

CODE = "call"
TRIES = 2
"""The first call after a start may find models that are still cold."""
BETWEEN_TRIES_S = 2.0
MISHEARD = 0.5
"""Word error rate above which most of a question was not understood."""
LONG_GAP_MS = 2000
"""A caller asks "hello?" after about so long."""
REFUSED = ("answered 401", "answered 403", "answered 407", "not answered in time")
"""What FreeSWITCH says to who is none of its trunks: nothing, or no."""


@dataclass(frozen=True, slots=True)
class Options:
    """What was typed."""

    to: str = ""
    """Number that is dialled; empty: the first that is answered."""
    ask: str = ""
    wait_s: float = 0.0
    as_json: bool = False


@dataclass(frozen=True, slots=True)
class Placed:
    """All calls of one run."""

    findings: tuple[Finding, ...]
    calls: tuple[Rung, ...]
    dialled: Dialled | None = None
    asked: Asked | None = None


def run(settings: Settings, options: Options) -> int:
    """Ring, tell, and return the exit status: 0 heard and answered, 1 not."""

    def tell(text: str) -> None:
        if not options.as_json:
            print(plain(text), flush=True)

    placed = uvloop.run(_run(settings, options, tell))
    good = worst(placed.findings) is not State.BAD
    if options.as_json:
        print_json(facts(placed, good))
    else:
        for finding in placed.findings:
            tell(f"{finding.state.value.upper():<8} {finding.told}")
            if finding.advice:
                tell(f"         → {finding.advice}")
    return 0 if good else 1


def facts(placed: Placed, good: bool) -> dict[str, Any]:
    """For JSON."""
    agent = placed.dialled.agent if placed.dialled else None
    return {
        "good": good,
        "findings": [finding.facts() for finding in placed.findings],
        "agent": agent.name if agent else "",
        "language": agent.language if agent else "",
        "number": placed.dialled.number if placed.dialled else "",
        "question": placed.asked.text if placed.asked else "",
        "calls": [asdict(rung) | {"word_error": rung.word_error} for rung in placed.calls],
    }


async def _run(settings: Settings, options: Options, tell: Callable[[str], None]) -> Placed:
    async with open_box(settings) as box:
        try:
            return await place(box, options, tell)
        except UserError as e:
            return Placed((Finding(CODE, State.BAD, str(e)),), ())
        except (SQLAlchemyError, OSError) as e:
            why = reason_of(getattr(e, "orig", None) or e)
            do = "Start Postgres, or mend database.url; `ivr doctor` says more."
            return Placed((Finding(CODE, State.BAD, f"No call could be placed: {why}", do),), ())


async def place(box: Box, options: Options, tell: Callable[[str], None]) -> Placed:
    """Ring through every entrance that answers. Raises UserError, SQLAlchemyError or OSError."""
    found = await targets(box, options.wait_s, tell)
    if not found:
        sip = box.settings.sip
        raise UserError(
            f"Nothing answers SIP at {sip.host}:{sip.port}, and no FreeSWITCH runs under ivr switch."
            " Start `ivr sip` (or `ivr up`); this machine's address must be in sip.allow."
        )
    number = await dialled(box, options.to)
    question = await asked(box, number.agent, options.ask)
    tell(f"{number.agent.name} ({number.agent.language}) is rung at {number.number}.")
    tell(f"asked     {question.text}")
    findings, calls = [], []
    for target in found:
        rung = await _ring(box, target, number, question)
        for line in _lines(rung):
            tell(line)
        calls.append(rung)
        findings.append(verdict(rung))
    if worst(findings) is State.SKIPPED:
        findings.append(Finding(CODE, State.BAD, "No entrance took the call."))
    return Placed(tuple(findings), tuple(calls), number, question)


async def _ring(box: Box, target: Target, number: Dialled, question: Asked) -> Rung:
    rung = await ring(box, target, number.number, question)
    for _ in range(TRIES - 1):
        if verdict(rung).state in (State.GOOD, State.SKIPPED):
            break
        await asyncio.sleep(BETWEEN_TRIES_S)
        rung = await ring(box, target, number.number, question)
    return rung


def verdict(rung: Rung) -> Finding:
    """Whether the appliance heard the question and answered in time."""
    where = f"Through {rung.through}: "
    show = f"`ivr calls show {rung.call_id[:8]}` tells the call." if rung.call_id else ""
    if rung.error and rung.gap_ms is None:
        return _failed(rung, where)
    if rung.gap_ms is None:
        heard = f"it heard “{rung.heard}”" if rung.heard else "nothing was heard"
        do = f"See that the worker, its voices and recognisers run: `ivr doctor`. {show}"
        return Finding(CODE, State.BAD, f"{where}the question got no answer; {heard}.", do)
    took = f"{where}answered {rung.gap_ms} ms after the question"
    if rung.heard is None:
        do = "Its rows did not reach Postgres: see the worker's log."
        return Finding(CODE, State.WARNING, f"{took}, but the call is not in the journal.", do)
    wrong = rung.word_error
    if wrong is None or wrong >= 1.0:
        do = f"See that a recogniser of its language runs (`ivr doctor --only engines`). {show}"
        return Finding(CODE, State.BAD, f"{took}, but no word of it was heard right.", do)
    share = f"{100 * max(0.0, 1 - wrong):.0f} % of its words heard right"
    if wrong > MISHEARD:
        return Finding(CODE, State.WARNING, f"{took}, {share}.", f"Try a better recogniser. {show}")
    if rung.gap_ms > LONG_GAP_MS:
        do = f"A stage is slow: {show}"
        return Finding(CODE, State.WARNING, f"{took}, {share}.", do)
    return Finding(CODE, State.GOOD, f"{took}, {share}.", detail={"gap_ms": rung.gap_ms})


def _failed(rung: Rung, where: str) -> Finding:
    refused = any(rung.error.endswith(one) for one in REFUSED)
    if rung.through == FREESWITCH and refused:
        return Finding(
            CODE, State.SKIPPED,
            f"{where}it takes calls of its trunks alone, and this machine is none of them.",
            "To have it tried too: ivr trunks add doctor --proxy ADDRESS:5999 --no-register"
            " --address ADDRESS/32 --ping 0, with this machine's own address.",
        )  # fmt: skip
    return Finding(
        CODE, State.BAD, f"{where}the call failed: {rung.error}.",
        "See the log of `ivr sip` (or of ivr switch) at this minute; `ivr doctor` looks at what it"
        " needs.",
    )  # fmt: skip


def _lines(rung: Rung) -> Sequence[str]:
    """What is told of a call to whoever waits for it."""
    heard = "(no rows)" if rung.heard is None else rung.heard or "(nothing)"
    gap = "no answer" if rung.gap_ms is None else f"{rung.gap_ms} ms"
    return (
        f"through   {rung.through}",
        f"heard     {heard}",
        f"answered  {rung.answer or '(nothing)'}",
        f"gap       {gap}, at the caller's ear",
    )
