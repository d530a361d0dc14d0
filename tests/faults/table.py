"""The faults: what is done, how it ends, and what may be lost by it.

docs/faults.md is this table in words; a test holds the two together.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from appliance.rehearsal.rtp import Weather
from tests.faults.judge import Allowed
from tests.faults.place import CALLS_PER_CHILD, Place

_PIECE = bytes(4096)
"""A block of the file system: until not one more fits."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to break the appliance. ``breaks`` and ``heals`` block: they run in a thread."""

    name: str
    does: str
    breaks: Callable[[Place], None]
    allowed: Allowed
    why: str = ""
    """Of what may be lost."""
    lasts_s: float = 0.0
    heals: Callable[[Place], None] | None = None
    """None: it heals by itself."""
    weather: Weather = field(default_factory=Weather)
    """Of the callers' packets, all the time."""
    clock: bool = False
    """It needs a wall clock that can be turned."""
    disk: bool = False
    """It needs a disk of its own, so root."""


def _kill_engine(stage: str) -> Callable[[Place], None]:
    def breaks(place: Place) -> None:
        place.kill_engine(stage)
        place.mind()

    return breaks


def _kill(name: str) -> Callable[[Place], None]:
    return lambda place: place.signal(name, signal.SIGKILL)


def _kill_sip_child(place: Place) -> None:
    """The child that has carried calls the longest."""
    os.kill(min(place.sip_children()), signal.SIGKILL)


def _fill(place: Place) -> None:
    with (place.data_dir / "filler").open("wb", buffering=0) as filler, suppress(OSError):
        while filler.write(_PIECE):
            pass


def _empty(place: Place) -> None:
    (place.data_dir / "filler").unlink()


def _restart(place: Place) -> None:
    """As systemd starts ``ivr up`` again when it was killed."""
    place.up.kill()
    place.up.open()


ALL = 10_000
"""Every call that there is."""
HEALED_S = 25.0
"""A process starts in 1 to 3 s; on two cores that 20 calls load, some more."""

FAULTS = (
    Fault("stt", "kill -9 of one of two recognisers", _kill_engine("stt"), Allowed()),
    Fault("tts", "kill -9 of one of two voices", _kill_engine("tts"), Allowed()),
    Fault(
        "llm",
        "kill -9 of the only language model",
        _kill_engine("llm"),
        Allowed(silence_ms=4500),
        "the answer comes from the knowledge instead",
    ),
    Fault("turn", "kill -9 of the turn judge", _kill_engine("turn"), Allowed(silence_ms=4500)),
    Fault("embed", "kill -9 of the embedder", _kill_engine("embed"), Allowed()),
    Fault("postgres", "kill -9 of Postgres", _kill("postgres"), Allowed()),
    Fault(
        "postgres-frozen",
        "Postgres stands still for 8 s (SIGSTOP)",
        lambda place: place.signal("postgres", signal.SIGSTOP),
        Allowed(),
        lasts_s=8.0,
        heals=lambda place: place.signal("postgres", signal.SIGCONT),
    ),
    Fault("redis", "kill -9 of Redis", _kill("redis"), Allowed()),
    Fault("jobs", "kill -9 of ivr jobs", _kill("appliance jobs"), Allowed()),
    Fault("admin", "kill -9 of the console", _kill("appliance admin"), Allowed()),
    Fault(
        "sip-child",
        "kill -9 of one of the processes of ivr sip that carry calls",
        _kill_sip_child,
        Allowed(calls=CALLS_PER_CHILD),
        "its own calls end, by a BYE; the others go on",
    ),
    Fault(
        "sip",
        "kill -9 of ivr sip itself",
        _kill("appliance sip"),
        Allowed(calls=ALL, unanswered=ALL, refused_s=HEALED_S),
        "its calls end; a call through FreeSWITCH does not pass it",
    ),
    Fault(
        "worker",
        "kill -9 of the worker",
        _kill("appliance worker"),
        Allowed(calls=ALL, unanswered=ALL, refused_s=HEALED_S),
        "its calls end behind ivr sip; behind FreeSWITCH another worker takes them over",
    ),
    Fault(
        "everything",
        "kill -9 of ivr up, and with it of everything, as by a power cut",
        _restart,
        Allowed(calls=ALL, unanswered=ALL, refused_s=60.0),
        "the calls end; their rows are closed at the next start",
    ),
    Fault(
        "disk",
        "the disk of recordings, spool and caches is full for 8 s",
        _fill,
        Allowed(),
        "recordings end where the disk was full",
        lasts_s=8.0,
        heals=_empty,
        disk=True,
    ),
    Fault(
        "weather",
        "3 % of the callers' packets lost, the rest up to 40 ms late",
        lambda place: None,
        Allowed(unanswered=2, silence_ms=4500),
        "a word may be lost with its packets",
        weather=Weather(loss=0.03, jitter_ms=40),
    ),
    Fault(
        "clock-ahead",
        "the wall clock jumps an hour ahead",
        lambda place: place.turn_clock(3600),
        Allowed(),
        clock=True,
    ),
    Fault(
        "clock-back",
        "the wall clock jumps back by an hour",
        lambda place: place.turn_clock(0),
        Allowed(),
        clock=True,
    ),
)
"""In the order in which they are tried: those that need the clock last, in a place of their own."""


async def do(action: Callable[[Place], None], place: Place) -> None:
    """Break or heal, beside the callers."""
    await asyncio.to_thread(action, place)
