"""All test calls of this console: so many at once, and none that nobody is at."""

from __future__ import annotations

import asyncio
import logging
import uuid

import aiohttp
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.access import sessions
from appliance.access.actor import Actor, NotFoundError
from appliance.admin.live.workers import worker_urls
from appliance.admin.tryit import edge
from appliance.admin.tryit.edge import Trial
from appliance.admin.tryit.trial import TestCall
from appliance.errors import UserError
from appliance.settings import MEDIA_SECRET, Settings

log = logging.getLogger(__name__)

MOST_AT_ONCE = 6
"""Of all people; each takes a worker's place from a caller, and with sound some 15 % of a core here."""
MOST_OF_ONE = 2
"""Of one person: two pages side by side."""
NOBODY_THERE_S = 30.0
"""Without sound and without a sign from page or program."""
LONGEST_S = 600.0
KEPT_S = 120.0
"""A call that is over can still be asked for its turns."""
SWEEP_S = 1.0
TAIL_S = 1.0
"""After its end, until the browser has played what it was sent."""
SESSIONS_S = 5.0
"""How long a call goes on whose person has logged out."""


class TestCalls:
    """One for each console. :meth:`begin` starts what looks after them; :meth:`close` ends all."""

    __test__ = False  # no test of pytest's

    def __init__(self) -> None:
        self._calls: dict[str, TestCall] = {}
        self._beginning: list[str] = []
        """Names of those whose call is being begun."""
        self._sweeper: asyncio.Task[None] | None = None

    async def begin(
        self,
        settings: Settings,
        engine: AsyncEngine,
        http: aiohttp.ClientSession,
        actor: Actor,
        agent_id: str,
        *,
        draft: bool,
        sdp: str | None,
        rate_hz: int,
    ) -> tuple[TestCall, str]:
        """A new test call, and the SDP answer (empty without an offer). Raises UserError."""
        self._require_room(actor)
        self._beginning.append(actor.name)
        try:
            urls = settings.worker.and_spare(worker_urls(settings))
            edge.require_place(await edge.survey(http, urls))
            secret = await asyncio.to_thread(settings.secret, MEDIA_SECRET)
            trial = Trial(str(uuid.uuid4()), agent_id, draft, caller_of(actor), rate_hz)
            call = TestCall(trial, actor, secret, http, urls)
            try:
                answer = await call.begin(sdp)
            except BaseException:
                await call.close()
                raise
        finally:
            self._beginning.remove(actor.name)
        self._calls[trial.call_id] = call
        if self._sweeper is None or self._sweeper.done():
            self._sweeper = asyncio.create_task(self._sweep(engine))
        return call, answer

    def of(self, actor: Actor, call_id: str) -> TestCall:
        """A call that ``actor`` began. Raises NotFoundError."""
        call = self._calls.get(call_id)
        if call is None or call.actor.name != actor.name or call.actor.tenant != actor.tenant:
            raise NotFoundError("There is no such test call. It may have ended a while ago.")
        return call

    @property
    def live(self) -> int:
        """Calls that are not over."""
        return sum(not call.is_over for call in self._calls.values())

    async def close(self) -> None:
        """End them all."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        for call in list(self._calls.values()):
            await call.close()
        self._calls.clear()

    def _require_room(self, actor: Actor) -> None:
        live = [call.actor.name for call in self._calls.values() if not call.is_over]
        live += self._beginning
        if live.count(actor.name) >= MOST_OF_ONE:
            raise UserError(f"You have {MOST_OF_ONE} test calls already. End one first.")
        if len(live) >= MOST_AT_ONCE:
            raise UserError(
                f"{MOST_AT_ONCE} test calls are under way, which is the most. Try again later."
            )

    async def _sweep(self, engine: AsyncEngine) -> None:
        loop = asyncio.get_running_loop()
        looked_s = loop.time()
        while self._calls:
            await asyncio.sleep(SWEEP_S)
            now_s = loop.time()
            if now_s - looked_s > SESSIONS_S:
                looked_s = now_s
                await self._end_of_ended(engine)
            for call_id, call in list(self._calls.items()):
                if call.is_over and now_s - call.over_s > TAIL_S:
                    await call.close()
                    if now_s - max(call.seen_s, call.over_s) > KEPT_S:
                        del self._calls[call_id]
                elif not call.is_over and (why := overdue(call, now_s)):
                    log.info("= a test call ends: %s", why, extra={"call": call_id})
                    await call.close()

    async def _end_of_ended(self, engine: AsyncEngine) -> None:
        """End the calls of those who have logged out, or were."""
        live = [call for call in self._calls.values() if not call.is_over and call.actor.session_id]
        if not live:
            return
        try:
            living = await sessions.living(engine, {call.actor.session_id for call in live})
        except (SQLAlchemyError, OSError) as e:
            log.warning("! sessions of test calls: %s", type(e).__name__)
            return
        for call in live:
            if call.actor.session_id not in living:
                await call.close()


def overdue(call: TestCall, now_s: float) -> str:
    """Why a call is to end at ``now_s`` of the loop's clock, or an empty string."""
    if now_s - call.began_s > LONGEST_S:
        return f"{LONGEST_S / 60:.0f} minutes are over"
    if not call.has_sound and now_s - call.seen_s > NOBODY_THERE_S:
        return "nobody is there"
    return ""


def caller_of(actor: Actor) -> str:
    """What the call's row has in place of a caller's number: who it was, in no more letters than an
    offer takes."""
    return f"console:{''.join(actor.name.split())}"[:64]
