"""What attacks on SIP share: a call in progress that must not notice, and hostile sockets."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from appliance.settings import Settings
from appliance.telephony.callercontrol import CallerControl
from appliance.telephony.sip import SipOffice
from tests.sipkit import MediaWorker, Stream, media_worker, sip_office, sip_settings

POLL_S = 0.005
FRAME_S = 0.02


def late_frames(times: Sequence[float], by_s: float) -> int:
    """Frames that came more than ``by_s`` after their time, by the earliest possible clock: as a
    listener with a jitter buffer of that size would count them."""
    starts = [at - n * FRAME_S for n, at in enumerate(times)]
    earliest = min(starts, default=0.0)
    return sum(start - earliest > by_s for start in starts)


@dataclass
class Watch:
    """When the worker got the frames of a call, to tell how late they came."""

    stream: Stream
    times: list[float] = field(default_factory=list)

    async def run(self) -> None:
        """Until cancelled."""
        seen = self.stream.frames
        while True:
            now, frames = time.monotonic(), self.stream.frames
            self.times += [now] * (frames - seen)
            seen = frames
            await asyncio.sleep(POLL_S)

    def begin(self) -> None:
        """What came before is nobody's fault."""
        self.times.clear()

    def late(self, by_s: float) -> int:
        """:func:`late_frames` of what was watched."""
        return late_frames(self.times, by_s)

    @property
    def share_arrived(self) -> float:
        """Of the frames that were due in the time watched."""
        lasted = self.times[-1] - self.times[0] if len(self.times) > 1 else 0.0
        return len(self.times) * FRAME_S / lasted if lasted else 0.0


class LateFramesError(AssertionError):
    """The call in progress goes on, but not in time."""


async def in_time(attack: Callable[[Path], Awaitable[None]], folder: Path, tries: int = 3) -> None:
    """Do ``attack`` in a folder of its own, and again where the call in progress was late: what else
    the machine does makes a frame late once, an attack that can do it does it each time."""
    for left in reversed(range(tries)):
        place = folder / f"try{left}"
        place.mkdir()
        try:
            return await attack(place)
        except LateFramesError:
            if not left:
                raise


@dataclass
class Scene:
    """`ivr sip` with one call in progress."""

    settings: Settings
    office: SipOffice
    worker: MediaWorker
    watch: Watch
    caller: CallerControl

    @property
    def port(self) -> int:
        return self.settings.sip.port

    def pids(self) -> list[int | None]:
        return [child.pid for child in self.office.children]

    def untouched(self, *, late: int = 0) -> None:
        """The call in progress goes on; in time, or LateFramesError."""
        assert not self.watch.stream.over.is_set(), "the call has ended"
        if (found := self.watch.late(0.2)) > late or self.watch.share_arrived <= 0.95:
            raise LateFramesError(f"{found} of {len(self.watch.times)} frames were late")

    async def idle(self, calls: int = 1, timeout_s: float = 10.0) -> None:
        """Wait until no line is held but those of ``calls``."""
        async with asyncio.timeout(timeout_s):
            while self.office.calls_in_use != calls:
                await asyncio.sleep(0.05)


@asynccontextmanager
async def scene(folder: Path, **sip: object) -> AsyncIterator[Scene]:
    """The office, with a real caller in mid-call whose frames are watched."""
    async with media_worker(folder) as worker:
        settings = sip_settings(folder, (worker.url,), **sip)
        async with sip_office(settings) as office:
            caller = await CallerControl.ring(f"sip:1001@127.0.0.1:{settings.sip.port}")
            async with caller:
                await caller.wait_for("answered")
                watch = Watch(await worker.stream(0))
                watching = asyncio.create_task(watch.run())
                await asyncio.sleep(0.5)
                watch.begin()
                try:
                    yield Scene(settings, office, worker, watch, caller)
                finally:
                    watching.cancel()


def attacker(host: str = "", port: int = 0) -> socket.socket:
    """A UDP socket at an address of loopback that nobody else uses."""
    sock = socket.socket(type=socket.SOCK_DGRAM)
    sock.bind((host or loopback(), port))
    sock.setblocking(False)
    return sock


@contextmanager
def attackers(count: int) -> Iterator[list[socket.socket]]:
    """So many, each at an address of its own, until the end of the block."""
    with ExitStack() as opened:
        yield [opened.enter_context(attacker()) for _ in range(count)]


def loopback() -> str:
    """Some address of 127.0.0.0/8."""
    return f"127.{random.randint(2, 250)}.{random.randint(1, 250)}.{random.randint(2, 250)}"


def heard(sock: socket.socket) -> list[bytes]:
    """What has come so far."""
    found = []
    while True:
        try:
            found.append(sock.recv(65536))
        except BlockingIOError:
            return found


def statuses(messages: Iterable[bytes]) -> list[int]:
    """Of SIP responses."""
    return [int(data.split(b" ", 2)[1]) for data in messages if data.startswith(b"SIP/2.0 ")]


def invite(
    host: str, port: int, to: str, call_id: str, *, user: str = "x", extra: str = ""
) -> bytes:
    """An INVITE without an offer, as scanners send them."""
    return request("INVITE", host, port, to, call_id, user=user, extra=extra)


def request(
    method: str, host: str, port: int, to: str, call_id: str, *, user: str = "x", extra: str = ""
) -> bytes:
    return (
        f"{method} sip:{user}@{to} SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{call_id};rport\r\n"
        f"From: <sip:{user}@{host}>;tag=1\r\nTo: <sip:{user}@{to}>\r\nCall-ID: {call_id}\r\n"
        f"CSeq: 1 {method}\r\nMax-Forwards: 70\r\nContact: <sip:{user}@{host}:{port}>\r\n{extra}"
        "Content-Length: 0\r\n\r\n"
    ).encode()


@dataclass(frozen=True)
class Footprint:
    """Of this process and the office's children."""

    descriptors: int
    resident_bytes: int

    @classmethod
    def of(cls, office: SipOffice) -> Footprint:
        processes = [psutil.Process(), *(psutil.Process(c.pid) for c in office.children if c.pid)]
        return cls(sum(p.num_fds() for p in processes), sum(p.memory_info().rss for p in processes))
