"""Short calls, one after the other, a thousand and more: does anything grow?

Each seat rings, hears the greeting, asks once in five calls, hangs up, rings again. Meanwhile memory,
descriptors and threads of every process of ``ivr up`` are sampled; at the end the last third is
compared with the second: the first is what caches and pools fill.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import click
import numpy as np
import orjson
import psutil

from appliance.rehearsal.calls import lines_for
from appliance.rehearsal.clock import keep_pace
from appliance.rehearsal.conversation import Line
from appliance.rehearsal.sip_caller import RATE_HZ, SipCall, SipPlan, SipSocket, SipState
from tests.faults.place import Place
from tests.faults.run import Trials
from tests.process_kit import children_of

SAMPLE_S = 2.0
GREETED_WITHIN_S = 8.0
ASKS_EVERY = 5
"""One call in so many asks something before it hangs up."""
PAUSE_S = 0.1
"""Between two calls of a seat."""
ENDED = "ended with status"
"""What those that look after others log."""
GROWN_MB, GROWN_FDS = 8.0, 4.0
"""From the second third to the last, of one process: more is a leak, or will be one."""


@dataclass(slots=True)
class Sample:
    """One process at one moment."""

    at_s: float
    rss_mb: float
    fds: int
    threads: int


@dataclass(frozen=True, slots=True)
class Growth:
    """One process: medians of the second and of the last third."""

    rss_mb: tuple[float, float]
    fds: tuple[float, float]
    threads: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Soaked:
    """What came of it."""

    calls: int
    failures: dict[str, int]
    crashes: int
    """Processes that ended by themselves."""
    seconds: float
    greeted_p95_ms: tuple[float, float, float]
    """Ring to greeting, by thirds of the calls."""
    processes: dict[str, Growth]

    @property
    def wrong(self) -> list[str]:
        """What grew, as sentences."""
        found = [f"{times} calls: {reason}" for reason, times in self.failures.items()]
        if self.crashes:
            found.append(f"{self.crashes} processes ended")
        for name, grown in self.processes.items():
            more = grown.rss_mb[1] - grown.rss_mb[0]
            if more > GROWN_MB:
                found.append(f"{name} grew by {more:.1f} MB")
            if (fds := grown.fds[1] - grown.fds[0]) > GROWN_FDS:
                found.append(f"{name} has {fds:.0f} descriptors more")
        return found


@dataclass(slots=True)
class Office:
    """Whom all seats ring, and what they have lived through."""

    target: str
    sip: SipSocket
    lines: list[Line]
    left: int
    """Calls still to be made."""
    greeted_ms: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    """What the callers were told, and how often."""


class Seat:
    """One telephone that is used again and again."""

    def __init__(self, office: Office, number: int) -> None:
        self._office = office
        self._number = number
        self._call: SipCall | None = None

    def tick(self) -> None:
        """A frame is due."""
        if self._call is not None:
            self._call.tick()

    async def use(self) -> None:
        """Call until no call is left to be made."""
        office = self._office
        while office.left > 0:
            office.left -= 1
            plan = SipPlan(office.target, 1, 0, name=f"soak{self._number}-")
            self._call = SipCall(plan, office.left, office.lines, office.sip)
            begun_s = time.monotonic()
            await self._call.connect()
            if await _greeted(self._call):
                office.greeted_ms.append(
                    (self._call.conversation.spurts[0].begin_s - begun_s) * 1000
                )
                if office.left % ASKS_EVERY == 0:
                    await _asked(self._call)
            report = await self._call.hang_up()
            self._call = None
            await asyncio.sleep(PAUSE_S)
            if report.error:
                office.failures[report.error] += 1


async def _greeted(call: SipCall) -> bool:
    until = time.monotonic() + GREETED_WITHIN_S
    while call.state is SipState.UP and time.monotonic() < until:
        if call.conversation.spurts:
            return True
        await asyncio.sleep(0.02)
    return False


async def _asked(call: SipCall) -> None:
    until = time.monotonic() + GREETED_WITHIN_S
    while (
        call.state is SipState.UP and time.monotonic() < until and not call.conversation.exchanges
    ):
        await asyncio.sleep(0.05)


class Watch:
    """Samples the processes of a place."""

    def __init__(self, opened: Place) -> None:
        self._opened = opened
        self.samples: dict[str, list[Sample]] = defaultdict(list)

    async def keep(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.to_thread(self._look)
            await asyncio.sleep(SAMPLE_S)

    def _look(self) -> None:
        up, *ours = self._opened.up.everyone()
        self._sample(up, "up")
        for pid in ours:
            if (name := _name(pid)) is not None:  # Postgres and Redis are not ours to judge
                self._sample(pid, name)
                for number, child in enumerate(sorted(children_of(pid))):
                    self._sample(child, f"{name}.{number}")

    def _sample(self, pid: int, name: str) -> None:
        with suppress(psutil.Error):  # it has just ended
            process = psutil.Process(pid)
            with process.oneshot():
                found = Sample(
                    time.monotonic(),
                    process.memory_info().rss / 2**20,
                    process.num_fds(),
                    process.num_threads(),
                )
            self.samples[name].append(found)


def _name(pid: int) -> str | None:
    """What ``ivr`` calls a process; None: it is another's."""
    try:
        words = psutil.Process(pid).cmdline()
        return words[words.index("appliance") + 1]
    except (psutil.Error, IndexError, ValueError):
        return None


async def soak(opened: Place, lines: list[Line], seats: int, calls: int) -> Soaked:
    """Make ``calls`` calls from ``seats`` telephones."""
    loop = asyncio.get_running_loop()
    _, sip = await loop.create_datagram_endpoint(SipSocket, local_addr=("0.0.0.0", 0))
    office = Office(f"sip:1001@127.0.0.1:{opened.up.sip_port}", sip, lines, calls)
    at_seats = [Seat(office, number) for number in range(seats)]
    watch = Watch(opened)
    begun_s = time.monotonic()
    try:
        async with asyncio.TaskGroup() as tasks:
            clock = tasks.create_task(keep_pace(at_seats, []))
            watching = tasks.create_task(watch.keep())
            await asyncio.gather(*(seat.use() for seat in at_seats))
            clock.cancel()
            watching.cancel()
    finally:
        sip.close()
    first, second, last = (
        float(np.percentile(part, 95)) if len(part) else float("nan")
        for part in np.array_split(office.greeted_ms, 3)
    )
    return Soaked(
        calls=calls,
        failures=dict(office.failures.most_common()),
        crashes=opened.up.log().count(ENDED),
        seconds=time.monotonic() - begun_s,
        greeted_p95_ms=(first, second, last),
        processes={name: growth(samples) for name, samples in sorted(watch.samples.items())},
    )


def growth(samples: Sequence[Sample]) -> Growth:
    """Second third against last."""
    _, second, last = np.array_split(np.array([[s.rss_mb, s.fds, s.threads] for s in samples]), 3)

    def pair(column: int) -> tuple[float, float]:
        def median(part: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> float:
            return round(float(np.median(part[:, column])), 1) if len(part) else 0.0

        return median(second), median(last)

    return Growth(pair(0), pair(1), pair(2))


@click.command()
@click.option("--calls", default=3000, show_default=True, help="How many, all in all.")
@click.option("--seats", default=20, show_default=True, help="Telephones that ring at once.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object as the last line.")
def main(calls: int, seats: int, as_json: bool) -> None:
    """Make short calls and see whether anything grows.

    Example: python -m tests.faults.soak --calls 3000
    """
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        Path(name).chmod(0o755)  # root's Postgres runs as another user
        trials = Trials(Path(name), seats)
        with trials.open() as opened:
            lines = lines_for(trials.script, RATE_HZ, barge_ins=False)
            opened.up.until("admin", "console at")
            found = asyncio.run(soak(opened, lines, seats, calls))
    failed, thirds = sum(found.failures.values()), (f"{ms:.0f}" for ms in found.greeted_p95_ms)
    click.echo(f"{found.calls} calls in {found.seconds:.0f} s, {failed} failed")
    click.echo(f"ring to greeting p95 by thirds: {', '.join(thirds)} ms")
    for process, grown in found.processes.items():
        click.echo(
            f"{process:10} {grown.rss_mb[0]:7.1f} → {grown.rss_mb[1]:7.1f} MB"
            f"  {grown.fds[0]:4.0f} → {grown.fds[1]:4.0f} descriptors"
            f"  {grown.threads[0]:3.0f} → {grown.threads[1]:3.0f} threads"
        )
    for sentence in found.wrong:
        click.echo(f"BAD: {sentence}")
    if as_json:
        print(orjson.dumps({**asdict(found), "wrong": found.wrong}).decode())
    raise SystemExit(bool(found.wrong))


if __name__ == "__main__":
    main()
