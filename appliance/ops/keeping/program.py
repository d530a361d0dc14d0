"""One program that the supervisor keeps running, as a plain value."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from appliance.ops.postgres.account import Account

START_TIMEOUT_S = 60.0
"""First start on a cold disk, two cores, everything at once; warm it takes 1-5 s."""
STOP_TIMEOUT_S = 10.0
"""An engine server gives what is under way 5 s."""
ANSWERS_END_S = 20
"""A language model's server that stops finishes the answers under way for as long: the time that an
answer has by default (``engines.llm.answer_timeout_s``)."""
LLM_STOP_TIMEOUT_S = ANSWERS_END_S + 15.0
"""vLLM's processes then end one after another, and let go of the GPU."""


@dataclass(frozen=True, slots=True)
class Address:
    """What a program listens on, and the setting that says so."""

    setting: str
    host: str
    port: int
    udp: bool = False


@dataclass(frozen=True, slots=True)
class Program:
    """How to run, probe and end one child."""

    name: str
    command: Callable[[], list[str]]
    """Asked after ``prepare``, before every start."""
    ready: Callable[[], Awaitable[bool]]
    """One quick probe; what it raises is a bug."""
    remedy: str
    """What a person does when it does not come up; a sentence."""
    addresses: tuple[Address, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    """On top of ours."""
    key: Callable[[], str] = lambda: ""
    """What an engine server asks for (docs/wires.md); quick, for it is asked every second."""
    prepare: Callable[[], None] | None = None
    """Run in a thread before every start; its UserError counts as a failed start."""
    account: Account | None = None
    """None: as we are."""
    start_timeout_s: float = START_TIMEOUT_S
    stop_timeout_s: float = STOP_TIMEOUT_S
    stop_signal: signal.Signals = signal.SIGTERM
    abort_signal: signal.Signals = signal.SIGKILL
    """When there is no time to drain."""
    death_signal: signal.Signals = signal.SIGKILL
    """From the kernel, when the supervisor dies."""
    logs_like_us: bool = True
    """Its lines carry time and process name; else they are logged as ours."""
