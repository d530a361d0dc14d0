"""One call of the appliance to itself, over real SIP and RTP, and what came of it."""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass, replace

from sqlalchemy.exc import SQLAlchemyError

from appliance.checkpoints.sentences import word_error
from appliance.errors import UserError
from appliance.events import Turn
from appliance.ops.doctor.box import Box
from appliance.ops.doctor.selfcall.question import Asked
from appliance.ops.doctor.selfcall.targets import Target
from appliance.rehearsal.calls import CallReport
from appliance.rehearsal.clock import keep_pace
from appliance.rehearsal.conversation import State as Talk
from appliance.rehearsal.sip_caller import SipCall, SipPlan, SipSocket, SipState
from appliance.store.calls import read_call
from appliance.store.health import call_of_caller
from appliance.store.measures import REHEARSAL

LONGEST_S = 45.0
"""A greeting, the question, an answer."""
POLL_S = 0.02
ROWS_TIMEOUT_S = 10.0
ROWS_EVERY_S = 0.2


@dataclass(frozen=True, slots=True)
class Rung:
    """What the caller lived through, and what the call's rows say."""

    through: str
    number: str
    question: str
    error: str = ""
    """Why the call failed; empty: it did not."""
    greeted: bool = False
    """Speech came before the question was asked."""
    gap_ms: int | None = None
    """The caller's last sound to the agent's first, at the caller's ear; None: no answer."""
    lost_packets: int = 0
    call_id: str = ""
    heard: str | None = None
    """The words that the appliance heard; None: the call has no rows."""
    answer: str = ""
    """What it said."""

    @property
    def word_error(self) -> float | None:
        """Word error rate of what was heard (0 is perfect)."""
        return None if self.heard is None else round(word_error(self.question, self.heard), 2)


async def ring(box: Box, target: Target, number: str, asked: Asked) -> Rung:
    """Ring ``number`` through ``target``, ask, listen, hang up, and read the call's rows.

    Its caller is named like a rehearsal's, so that no person's telephone rings for it and no figure
    counts it.
    """
    name = f"{REHEARSAL}doctor-{secrets.token_hex(4)}-"
    uri = f"sip:{number}@{target.host}:{target.port}"
    plan = SipPlan(uri, 1, LONGEST_S, name=name)
    report, talked = await _talk(plan, asked)
    exchanges = report.conversation.exchanges
    gap_ms = exchanges[0].gap_ms if exchanges else None
    rung = Rung(
        target.through, number, asked.text, report.error, talked,
        None if gap_ms is None else round(gap_ms), report.lost_packets,
    )  # fmt: skip
    if report.error and not exchanges:
        return rung
    return await _with_rows(box, rung, name)


async def _talk(plan: SipPlan, asked: Asked) -> tuple[CallReport, bool]:
    """Place the call, say the question once, hear the answer out; whether it greeted first."""
    loop = asyncio.get_running_loop()
    _, sip = await loop.create_datagram_endpoint(SipSocket, local_addr=("0.0.0.0", 0))
    try:
        call = SipCall(plan, 0, asked.sound.lines, sip)
        async with asyncio.TaskGroup() as group:
            clock = group.create_task(keep_pace([call], []))
            await call.connect()
            greeted = await _until_answered(call)
            clock.cancel()
        return await call.hang_up(), greeted
    finally:
        sip.close()


async def _until_answered(call: SipCall) -> bool:
    """Until the answer is over: the caller begins to think of a second question."""
    deadline_s = time.monotonic() + LONGEST_S
    talk = call.conversation
    greeted = False
    while call.state is SipState.UP and time.monotonic() < deadline_s:
        if talk.state is Talk.SPEAKING and not talk.exchanges:
            greeted = bool(talk.spurts)
        if talk.exchanges and talk.state is not Talk.LISTENING:
            break
        await asyncio.sleep(POLL_S)
    return greeted


async def _with_rows(box: Box, rung: Rung, caller: str) -> Rung:
    """With what the appliance wrote of the call, once it has."""
    with suppress(TimeoutError, SQLAlchemyError, OSError):
        async with asyncio.timeout(ROWS_TIMEOUT_S):
            while True:
                call_id = await call_of_caller(box.engine, caller)
                turns = await _turns(box, call_id) if call_id else None
                if turns is not None:
                    said = " ".join(turn.said for turn in turns if turn.said)
                    told = " ".join(turn.reply for turn in turns if turn.said)
                    return _filled(rung, call_id, said, told)
                await asyncio.sleep(ROWS_EVERY_S)
    return rung


async def _turns(box: Box, call_id: str) -> list[Turn] | None:
    """All turns of a call that is over; None: not all are written yet."""
    try:
        call, turns = await read_call(box.engine, call_id)
    except UserError:
        return None
    return turns if call.ended_at is not None and len(turns) == call.turns else None


def _filled(rung: Rung, call_id: str, heard: str, answer: str) -> Rung:
    return replace(rung, call_id=call_id, heard=heard, answer=answer)
