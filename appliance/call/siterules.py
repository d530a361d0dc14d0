"""Brings the site's rules into a worker's guard when they change."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

import orjson
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.call.release import Guarding
from appliance.errors import UserError, reason_of
from appliance.files import write_whole
from appliance.safety.guard import Guard
from appliance.safety.rules import MOST_RULES, RuleSet, SiteRule
from appliance.safety.site_rules import checked
from appliance.seldom import Seldom
from appliance.store.rules_of_site import load_rules, stamp

log = logging.getLogger(__name__)

TIMEOUT_S = 5.0
FILE = "rules.json"
FROM_FILE = "from the file"
"""Stands for the stamp of rules that were read from there: no stamp of Postgres's is like it."""


class SiteRules:
    """Looks for changed rules; with Postgres away the ones last read stay in force, also those that
    an earlier worker of this machine has read."""

    def __init__(self, engine: AsyncEngine, guarding: Guarding, folder: Path) -> None:
        """``folder``: where the rules last read are kept (``data_dir``)."""
        self._engine = engine
        self._guarding = guarding
        self._file = folder / FILE
        self._stamp: str | None = None
        self._seldom = Seldom(monotonic)

    async def refresh(self) -> None:
        """Read them again if they have changed; calls in progress get the new ones too."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                now = await stamp(self._engine)
                if now == self._stamp:
                    return
                rules = await load_rules(self._engine)
        except (SQLAlchemyError, OSError, TimeoutError) as e:
            self._seldom.warn(log, "away", "! the site's rules are not read: %s", reason_of(e))
            if self._stamp is None:
                await self._enforce(await asyncio.to_thread(_read, self._file))
                self._stamp = FROM_FILE
            return
        await self._enforce(rules)
        self._stamp = now
        await asyncio.to_thread(_write, self._file, rules)

    async def _enforce(self, rules: Sequence[SiteRule]) -> None:
        # in a thread: a thousand patterns take tens of milliseconds to compile
        self._guarding.guard = Guard(await asyncio.to_thread(RuleSet, rules))
        log.info("= %d rules of the site are in force", len(rules))


def _write(file: Path, rules: Sequence[SiteRule]) -> None:
    try:
        write_whole(file, orjson.dumps([dataclasses.asdict(rule) for rule in rules]))
    except OSError as e:
        log.warning("! %s not written: %s", file, e)


def _read(file: Path) -> list[SiteRule]:
    try:
        rows = orjson.loads(file.read_bytes())
        rules = [SiteRule(**fields) for fields in rows][:MOST_RULES]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError) as e:
        log.warning("! %s cannot be read: %s", file, e)
        return []
    found = []
    for rule in rules:
        try:
            found.append(checked(rule))
        except (UserError, TypeError, AttributeError) as e:  # of another version's, or by hand
            log.warning("! rule %s of %s is left out: %s", rule.id, file, reason_of(e))
    return found
