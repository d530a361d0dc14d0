"""What ``ivr sip`` counts and tells Prometheus; the counts of its children are summed here."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from appliance.metrics.exposition import Sink
from appliance.telephony.calltable import CallTable

if TYPE_CHECKING:
    from appliance.telephony.registration import Registration

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
DROPPED = ("network", "malformed", "flood", "scanner")
"""Why: of a strange network, unreadable, over a budget (``flood.py``), of a scanner by its name."""
OTHER = "other"
"""A method that is not SIP's own: a stranger may invent as many as they like."""


@dataclass(slots=True)
class SipCounts:
    """Since the start of the process."""

    requests: Counter[str] = field(default_factory=Counter)
    """From outside, by method."""
    answers: Counter[int] = field(default_factory=Counter)
    """Final answers to INVITEs, and all of our own, by status."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Messages not answered, by one of ``DROPPED``."""
    child_calls: Counter[str] = field(default_factory=Counter)
    """``started`` and ``ended``, of all children."""
    child_deaths: int = 0


class HasPid(Protocol):
    """A child process."""

    @property
    def pid(self) -> int | None:
        """None: it does not run."""


@dataclass(frozen=True, slots=True)
class SipParts:
    """Whose state is told."""

    counts: SipCounts
    table: CallTable
    children: list[HasPid]
    calls_per_child: int
    wanted: int


def put_sip(sink: Sink, parts: SipParts, registration: Registration | None) -> None:
    """All that the parent knows. Called by the thread of the port: everything read here is a number,
    or copied at once."""
    counts, table = parts.counts, parts.table
    ready = len(table.children)
    sink.put("ivr_sip_calls_live", table.in_use)
    sink.put("ivr_sip_calls_limit", ready * parts.calls_per_child)
    sink.put("ivr_sip_children", ready)
    sink.put("ivr_sip_children_wanted", parts.wanted)
    sink.put("ivr_sip_child_deaths_total", counts.child_deaths)
    for event in ("started", "ended"):
        sink.put("ivr_sip_child_calls_total", counts.child_calls[event], event=event)
    for method, count in list(counts.requests.items()):
        sink.put("ivr_sip_requests_total", count, method=method)
    for status, count in list(counts.answers.items()):
        sink.put("ivr_sip_answers_total", count, status=status)
    for why in DROPPED:
        sink.put("ivr_sip_dropped_total", counts.dropped[why], why=why)
    resident, descriptors = _used_by(child.pid for child in list(parts.children))
    sink.put("ivr_sip_children_resident_bytes", resident)
    sink.put("ivr_sip_children_open_fds", descriptors)
    if registration is not None:
        for state in type(registration.state):
            here = registration.state is state
            sink.put("ivr_sip_registration", here, state=state.name.lower())


def _used_by(pids: Iterable[int | None]) -> tuple[int, int]:
    """Resident bytes and open descriptors of processes, together; of one that has just ended: none."""
    resident = descriptors = 0
    for pid in pids:
        if pid is None:
            continue
        try:
            resident += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES
            descriptors += len(os.listdir(f"/proc/{pid}/fd"))
        except (OSError, IndexError, ValueError):
            continue
    return resident, descriptors
