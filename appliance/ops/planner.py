"""Keeps the capacity plan fresh, behind the process that follows it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from appliance.capacity.planfile import PlanFile, read_plan, write_plan
from appliance.capacity.planning import make_plan
from appliance.errors import UserError
from appliance.settings import Settings

_log = logging.getLogger(__name__)

PLAN_EVERY_S = 300.0
"""The call log grows by the minute, the forecast changes by the hour."""
RETRY_S = 15.0
"""After a plan that could not be made: Postgres may be on its way up, as under `ivr up`."""
PLAN_TIMEOUT_S = 120.0


class Planner:
    """The plan in force: ``plan.json``, made anew every few minutes, read when it changed."""

    def __init__(
        self, settings: Settings, make: Callable[[Settings], PlanFile] = make_plan
    ) -> None:
        """``make`` makes the plan, in a thread."""
        self._settings = settings
        self._make = make
        self._plan: PlanFile | None = None
        self._stamp: tuple[int, int] | None = None
        """Of the file that ``_plan`` was read from: mtime, size."""
        self._trouble = ""

    def steps(self, stage: str) -> tuple[tuple[float, int], ...]:
        """What the plan wants of a stage: (from unix seconds, servers). None without a plan."""
        if not self._settings.capacity.plan:
            return ()
        self._read_again()
        return self._plan.steps(stage) if self._plan is not None else ()

    async def run(self) -> None:
        """Make a plan every few minutes, until cancelled. Trouble leaves the last one in force."""
        while self._settings.capacity.plan:
            made = await self.renew()
            await asyncio.sleep(PLAN_EVERY_S if made else RETRY_S)

    async def renew(self) -> bool:
        """Make a plan from the call log, in a thread, and put it in force. Whether that was done."""
        path = self._settings.plan_file
        try:
            async with asyncio.timeout(PLAN_TIMEOUT_S):
                made = await asyncio.to_thread(self._make, self._settings)
                await asyncio.to_thread(write_plan, path, made)
        except (UserError, SQLAlchemyError, OSError) as e:  # TimeoutError is an OSError
            self._tell(f"no new plan: {e or type(e).__name__}")
        except Exception:  # the border of a job: the servers run on by the last plan
            _log.exception("! no new plan")
        else:
            self._trouble = ""
            return True
        return False

    def _read_again(self) -> None:
        try:
            stat = self._settings.plan_file.stat()
        except OSError:
            return  # there is none, or it is out of reach: the last one stays
        stamp = (stat.st_mtime_ns, stat.st_size)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._plan = read_plan(self._settings.plan_file)
        except UserError as e:
            self._tell(str(e))

    def _tell(self, trouble: str) -> None:
        if trouble != self._trouble:
            _log.warning("! %s; the last one stays in force", trouble)
            self._trouble = trouble
