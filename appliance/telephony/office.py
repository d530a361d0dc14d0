"""What the calls of one ``ivr switch`` share: FreeSWITCH, the workers, the phonebook, the rules."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from gevent.pool import Group

from appliance.errors import UserError
from appliance.settings import Settings
from appliance.store.measures import REHEARSAL
from appliance.store.phonebook import Telephony
from appliance.telephony import routing
from appliance.telephony.destinations import (
    Destination,
    Dialling,
    DialPlan,
    Kind,
    dial_plan,
    parse_destination,
)
from appliance.telephony.eventsocket import Event
from appliance.telephony.facts import Facts
from appliance.telephony.failuredial import check_failure_dial
from appliance.telephony.freeswitch import TRUNK_PROFILE, FreeSwitch
from appliance.telephony.hours import parse_hours
from appliance.telephony.notices import Notices
from appliance.telephony.playbackports import PlaybackPorts
from appliance.telephony.switchtelling import SwitchCounts
from appliance.telephony.tollbook import TollBook
from appliance.telephony.tollbursts import TollBursts
from appliance.telephony.tollguard import TollGuard, TollRefusedError
from appliance.telephony.tollrefusals import TollRefusals
from appliance.telephony.waiting import WaitingRoom
from appliance.telephony.workers import Workers

if TYPE_CHECKING:
    from appliance.telephony.channel import LiveCall

log = logging.getLogger(__name__)


SHARED_MODE = 0o2770
"""Of folders of recordings: FreeSWITCH, another user on site, writes in them as a member of their
group, and what is made in them belongs to it."""


@dataclass
class Office:
    """One per process; the control fills it, the calls use it."""

    settings: Settings
    freeswitch: FreeSwitch
    workers: Workers
    ports: PlaybackPorts
    notices: Notices
    media_secret: str
    telephony: Telephony = field(default_factory=lambda: Telephony(version=""))
    domain: str = "localhost"
    """Realm of our own telephones."""
    calls: dict[str, LiveCall] = field(default_factory=dict)
    """The live calls, by the UUID of their channel."""
    down_trunks: set[str] = field(default_factory=set)
    """Names of gateways that do not answer."""
    resolved: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Addresses (IP) of each trunk's proxy, by the trunk's name."""
    jobs: dict[str, Callable[[str, str], None]] = field(default_factory=dict)
    """Who waits for the result of which background job of FreeSWITCH."""
    toll: TollBook = field(default_factory=TollBook)
    """What has been rung through the trunks."""
    refusals: TollRefusals = field(default_factory=TollRefusals)
    """What the toll rules have refused."""
    bursts: TollBursts = field(default_factory=TollBursts)
    """What of it the audit log is to have."""
    failure_dial: str = ""
    """Whom FreeSWITCH rings by itself when nobody else can help, as it says."""
    waiting: WaitingRoom = field(default_factory=lambda: WaitingRoom(0))
    greenlets: Group = field(default_factory=Group)
    """Of the calls: as many as there are calls."""
    counts: SwitchCounts = field(default_factory=SwitchCounts)
    ended: Callable[[LiveCall, Event], None] = lambda call, event: None
    ringing: Callable[[], Iterable[str]] = tuple
    """The trunks through which telephones ring for the list of calls, one entry a telephone."""

    @property
    def recordings(self) -> bool:
        return self.settings.worker.recordings

    def recording_path(self, name: str) -> str:
        """Where FreeSWITCH writes ``name``; empty when its folder cannot be made: the call goes on."""
        root = self.settings.recordings_dir.resolve()
        path = root / name
        try:
            _make_shared(path.parent, root)
        except OSError as e:
            log.error("! no recording: %s", e)
            return ""
        return str(path)

    @property
    def site(self) -> routing.Site:
        switch = self.settings.switch
        return routing.Site(switch.country, switch.timezone, switch.max_calls, switch.failure_to)

    def route(self, facts: Facts) -> routing.Route:
        """What becomes of a call to us."""
        arrival = routing.Arrival(facts.did, facts.caller, facts.trunk)
        others = [call for call in self.calls.values() if call.facts.call_id != facts.call_id]
        by_trunk = Counter(call.facts.trunk for call in others if call.facts.trunk)
        load = routing.Load(len(others), by_trunk)
        return routing.route(self.telephony, arrival, datetime.now(UTC), load, self.site)

    def overflow_of(self, facts: Facts) -> Destination | None:
        """Who takes a call of that number which no worker can carry."""
        number = self.telephony.number(facts.did, self.site.country)
        return routing.overflow_of(number, self.site)

    def calls_by_trunk(self) -> Mapping[str, int]:
        """How many calls each trunk carries now, with those that ring for the list."""
        carried = Counter(call.facts.trunk for call in self.calls.values() if call.facts.trunk)
        return carried + Counter(self.ringing())

    def full_trunks(self) -> set[str]:
        """Trunks at their own limit."""
        carried = self.calls_by_trunk()
        return {
            t.name
            for t in self.telephony.trunks
            if t.max_calls and carried.get(t.name, 0) >= t.max_calls
        }

    def plan(self, to: Destination, facts: Facts, kind: str = "person") -> DialPlan | None:
        """What to dial for ``to``; None (and a log line) when that cannot be. ``kind``: of the leg."""
        if kind == "person" and is_rehearsed(facts):
            log.info("= nobody is rung for a rehearsal", extra={"call": facts.call_id})
            return None
        dialling = Dialling(
            telephony=self.telephony,
            country=self.site.country,
            domain=self.domain,
            caller_id=facts.caller,
            without=self.down_trunks,
            full=self.full_trunks(),
            toll=self.toll_guard(facts.agent),
            refused=lambda refusal: self.note_refused(refusal, facts.agent, facts.call_id),
            carriers=self.carriers,
            variables={"ivr_kind": kind, "ivr_call": facts.call_id},
        )
        try:
            plan = dial_plan(to, dialling)
        except TollRefusedError as e:
            self.note_refused(e, facts.agent, facts.call_id)
            return None
        except UserError as e:
            log.warning("! nobody can be rung: %s", e, extra={"call": facts.call_id})
            return None
        self.expect_toll(to, facts.call_id, facts.agent)
        return plan

    @property
    def carriers(self) -> set[str]:
        """Addresses (IP) of the trunks' proxies."""
        return {address for found in self.resolved.values() for address in found}

    def note_refused(self, refusal: TollRefusedError, agent: str, call_id: str) -> None:
        """A call for ``agent`` (its id; empty: nobody's) was refused by the toll rules; ``call_id``:
        one in progress or one of the list, empty where it is neither yet."""
        now_s = time.time()
        self.refusals.note(refusal, agent, now_s)
        self.bursts.note(refusal, agent, call_id, now_s)

    def learn_failure_dial(self) -> None:
        """Whom FreeSWITCH rings by itself, as it knows since it last read its configuration. Raises
        SwitchError."""
        before, self.failure_dial = self.failure_dial, self.freeswitch.failure_dial()
        if self.failure_dial != before:
            self.tell_of_failure_dial()

    def tell_of_failure_dial(self) -> None:
        """A log line where ``--failure-dial`` is one that the rules bar."""
        try:
            if self.failure_dial:
                check_failure_dial(self.failure_dial, self.toll_guard(""))
        except UserError as e:
            log.error("! --failure-dial rings nobody while ivr switch runs: %s", e)

    def may_ring_failure_dial(self, facts: Facts) -> bool:
        """Whether FreeSWITCH may ring whom ``--failure-dial`` names, for this call."""
        if is_rehearsed(facts):
            return False
        if not self.failure_dial:
            return True
        try:
            check_failure_dial(self.failure_dial, self.toll_guard(facts.agent), now=True)
        except TollRefusedError as e:
            self.note_refused(e, facts.agent, facts.call_id)
            return False
        except UserError as e:
            log.warning("! %s", e, extra={"call": facts.call_id})
            return False
        return True

    def toll_guard(self, agent: str) -> TollGuard:
        """Whether a number may be rung now for ``agent`` (its id; empty: nobody's)."""
        settings, now_s = self.settings, time.time()
        hours = parse_hours(settings.toll.foreign_hours, settings.switch.timezone)
        return TollGuard(
            rules=settings.toll,
            country=settings.switch.country,
            is_night=not hours.open_at(datetime.fromtimestamp(now_s, UTC)),
            usage=self.toll.usage(now_s),
            blocked=self.toll.blocked(now_s),
            tenant=self.telephony.tenants.get(agent, ""),
        )

    def expect_toll(self, to: Destination, call_id: str, agent: str) -> None:
        """The numbers of ``to`` are about to be rung for a call: they count from now on."""
        queue = self.telephony.queues.get(to.value) if to.kind is Kind.QUEUE else None
        for text in queue.members if queue else (str(to),):
            try:
                found = parse_destination(text, self.site.country)
            except UserError:
                continue
            if found.kind is Kind.NUMBER:
                tenant = self.telephony.tenants.get(agent, "")
                self.toll.expect(call_id, found.value, tenant, time.time())

    def plan_for(self, to: str, facts: Facts) -> DialPlan | None:
        """As :meth:`plan`, for a destination as people write it."""
        try:
            return self.plan(parse_destination(to, self.site.country), facts)
        except UserError as e:
            log.warning("! %s", e, extra={"call": facts.call_id})
            return None

    def ring(
        self, dial: str, variables: Mapping[str, str], then: str, timeout_s: int,
        tell: Callable[[str, str], None],
    ) -> str:  # fmt: skip
        """Ring in the background; ``tell(job, result)`` when it is answered or has failed."""
        job = self.freeswitch.originate(dial, variables, then, timeout_s)
        self.jobs[job] = tell
        return job

    def trunk_of(self, event: Event) -> str:
        """Name of the trunk that a channel belongs to: as we set it, or whose address it is."""
        if name := event.get("variable_ivr_trunk"):
            return name
        if event.get("variable_sofia_profile_name") != TRUNK_PROFILE:
            return ""
        address = event.get("variable_sip_network_ip") or event.get("Caller-Network-Addr")
        did = event.get("Caller-Destination-Number")
        trunk = routing.trunk_by_address(self.telephony.trunks, address, self.resolved, did)
        return trunk.name if trunk else f"unknown-{address}"


def is_rehearsed(facts: Facts) -> bool:
    """Whether `ivr rehearse` placed this call: no person's telephone rings for it, and no trunk is
    dialled. Fifty at once, refused at the knee, would all ring whom overflow names."""
    return facts.caller.startswith(REHEARSAL)


def _make_shared(folder: Path, root: Path) -> None:
    """Make ``folder`` and what lacks above it, from ``root`` on. Raises OSError."""
    if folder.is_dir():
        return
    if folder != root:
        _make_shared(folder.parent, root)
    folder.mkdir(parents=folder == root, exist_ok=True)
    folder.chmod(SHARED_MODE)
