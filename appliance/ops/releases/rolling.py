"""Brings the services to the release in force, one by one, so that there is always one for a call.

Workers first: each refuses new calls and finishes its own, while the others and a spare one
(``worker.spare_port``) take what comes. Then what restarts without a call noticing. Last, in
a moment without calls, what calls hang on and there is one of: `ivr sip`, engine servers, databases.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import orjson

from appliance import direct
from appliance.errors import UserError
from appliance.ops.releases.laying import Say
from appliance.ops.releases.units import Unit, Units
from appliance.ops.sitelook import worker_urls
from appliance.settings import Settings
from appliance.urls import in_url

READY_TIMEOUT_S = 150.0
"""A worker waits 20 s for engines, and warms up every agent."""
POLL_S = 0.2
HTTP_TIMEOUT_S = 2.0
HEALTH_BYTES = 1 << 16
QUIET_POLLS = 3
"""So many looks in a row without a call are a quiet moment."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")
ENGINES = ("stt", "tts", "turn", "embed", "rerank", "llm")
SOON = ("switch", "admin", "jobs")
"""In this order: live calls of FreeSWITCH stay up while `ivr switch` is away, and it adopts them."""
QUIET = ("postgres", "redis", "pools", *ENGINES, "sip")
"""In this order, in a moment without calls."""


@dataclass(frozen=True, slots=True)
class Rolled:
    """What became of it."""

    moved: tuple[str, ...]
    left: tuple[str, ...]
    """Units that still run another release: there was no moment without calls."""


class Roller:
    """Moves units to one release."""

    def __init__(
        self, units: Units, settings: Settings, *, quiet_s: float, say: Say,
        note_spare: Callable[[str], None] = lambda name: None,
        note_stopped: Callable[[str], None] = lambda name: None,
    ) -> None:  # fmt: skip
        """``quiet_s``: how long a moment without calls is waited for; ``note_spare``: told which
        spare worker is about to run, and (empty) that none does any more; ``note_stopped``: which
        unit is about to be stopped, and (empty) that it runs again."""
        self._units = units
        self._host = settings.worker.reached
        self._urls = dict.fromkeys((*settings.worker.spare_urls(), *worker_urls(settings)))
        self._quiet_s = quiet_s
        self._say = say
        self._note_spare = note_spare
        self._note_stopped = note_stopped

    def roll(self, release: str, spare: str = "", stopped: str = "") -> Rolled:
        """Bring every unit to ``release``, which is in force by now. ``spare``: a stand-in of an
        earlier try, which may still run; ``stopped``: a unit that it stopped, and may not have started.

        Raises UserError for a unit that does not come up; the others stay as they are.
        """
        if stopped:
            self._say(f"{stopped} was cut short in its restart.")
            self._start(Unit(stopped, ""))
            self._note_stopped("")
        moved = self._workers(release, spare)
        moved += self._one_by_one(release)
        left = self._stale(release, QUIET)
        if left and self._is_quiet():
            moved += [self._move(unit) for unit in left]
        return Rolled(tuple(moved), tuple(unit.name for unit in self._stale(release)))

    def spare_port(self) -> int | None:
        """A port for a worker where none runs: ``worker.spare_port``, else one of ``worker_urls``."""
        taken = {unit.port for unit in self._units.running() if unit.kind == "worker"}
        for url in self._urls:
            where = urlsplit(url)
            is_here = where.hostname in LOOPBACK or in_url(where.hostname or "") == self._host
            free = is_here and where.port and where.port not in taken
            if free and self._health(where.port or 0) is None:
                return where.port
        return None

    def needs_spare(self) -> bool:
        """Whether one worker carries all calls, and there is no port for another."""
        workers = [unit for unit in self._units.running() if unit.kind == "worker"]
        return len(workers) == 1 and self.spare_port() is None

    # --- workers ----------------------------------------------------------------------------------

    def _workers(self, release: str, spare: str) -> list[str]:
        moved = []
        stale = [unit for unit in self._stale(release, ("worker",)) if unit.name != spare]
        if stale and not spare and (port := self.spare_port()):
            spare = f"ivr-worker@{port}.service"
            self._note_spare(spare)
        if spare and stale:
            self._say(f"{spare} stands in while the others change.")
            self._start(Unit(spare, ""))
        for unit in stale:
            self._say(f"{unit.name} finishes its calls.")
            moved.append(self._move(unit))
        if spare:
            self._say(f"{spare} finishes its calls and goes.")
            self._units.stop(spare)
            self._note_spare("")
        return moved

    def _one_by_one(self, release: str) -> list[str]:
        """What has a twin that works meanwhile, and what no call waits for."""
        kinds = [unit.kind for unit in self._units.running()]
        twins = tuple(kind for kind in ENGINES if kinds.count(kind) > 1)
        return [self._move(unit) for unit in self._stale(release, (*twins, *SOON))]

    def _stale(self, release: str, kinds: tuple[str, ...] = ()) -> list[Unit]:
        """Units of another release, in the order of ``kinds``; of any kind where none is named."""
        stale = [unit for unit in self._units.running() if unit.release != release]
        kinds = kinds or ("worker", *SOON, *QUIET)  # a backup under way is left to end by itself
        return sorted(
            (unit for unit in stale if unit.kind in kinds),
            key=lambda unit: (kinds.index(unit.kind), unit.name),
        )

    def _move(self, unit: Unit) -> str:
        self._note_stopped(unit.name)
        self._units.stop(unit.name)
        self._start(unit)
        self._note_stopped("")
        return unit.name

    def _start(self, unit: Unit) -> None:
        """Start, and see that a worker takes calls. Raises UserError."""
        self._units.start(unit.name)
        if unit.kind != "worker" or unit.port is None:
            return
        deadline = time.monotonic() + READY_TIMEOUT_S
        while (self._health(unit.port) or {}).get("status") != "ok":
            if time.monotonic() > deadline:
                raise UserError(f"{unit.name} took no calls in {READY_TIMEOUT_S:.0f} s.")
            if unit.name not in {one.name for one in self._units.running()}:
                raise UserError(f"{unit.name} ended instead of taking calls.")
            time.sleep(POLL_S)

    # --- a moment without calls -------------------------------------------------------------------

    def _is_quiet(self) -> bool:
        """Wait for such a moment, ``quiet_s`` at most."""
        deadline = time.monotonic() + self._quiet_s
        quiet = 0
        self._say("Waiting for a moment without calls.")
        while True:
            quiet = quiet + 1 if self.calls() == 0 else 0
            if quiet >= QUIET_POLLS:
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_S)

    def calls(self) -> int:
        """Live calls of all workers of this machine."""
        return sum(self._calls_of())

    def _calls_of(self) -> Iterator[int]:
        ports = {unit.port for unit in self._units.running() if unit.kind == "worker"}
        for port in ports - {None}:
            health = self._health(port or 0) or {}
            calls = health.get("calls", 0)
            yield calls if isinstance(calls, int) else 0

    def _health(self, port: int) -> dict[str, object] | None:
        """What a worker says of itself, also when it says that it drains; None: nobody there."""
        url = f"http://{self._host}:{port}/health"
        try:
            said = direct.get(url, timeout_s=HTTP_TIMEOUT_S, most_bytes=HEALTH_BYTES)
            told = orjson.loads(said.body)
        except (OSError, orjson.JSONDecodeError):
            return None
        return told if isinstance(told, dict) else None
