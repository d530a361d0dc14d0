"""Toll fraud: whom nobody can make this box ring, and how much, on every way out of it."""

from __future__ import annotations

import dataclasses
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import gevent
import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

import appliance
from appliance import shipped
from appliance.errors import UserError
from appliance.events import Agent
from appliance.numbers import e164, is_premium, is_public
from appliance.ops.alarms import Severity, alarms
from appliance.ops.sitelook import Site, SwitchLook, TollRefusalLook
from appliance.settings import CallLimits, Settings, Toll
from appliance.store.database import open_sync_engine
from appliance.store.legs import Leg, upsert_leg
from appliance.store.phonebook import Extension, Queue, Telephony, Trunk
from appliance.store.tolls import rung_since
from appliance.telephony.channel import LiveCall
from appliance.telephony.destinations import (
    Destination,
    Dialling,
    Kind,
    dial_plan,
    parse_destination,
)
from appliance.telephony.eventsocket import Event
from appliance.telephony.facts import Facts, State
from appliance.telephony.failuredial import check_failure_dial
from appliance.telephony.freeswitch import FreeSwitch
from appliance.telephony.notices import Notices
from appliance.telephony.office import Office
from appliance.telephony.playbackports import PlaybackPorts
from appliance.telephony.site import Options, configure
from appliance.telephony.tollbook import MOST_LEGS, MOST_RANGES, TollBook, TollLeg
from appliance.telephony.tollguard import (
    FOREIGN,
    Rule,
    TollGuard,
    TollRefusedError,
    Usage,
    is_foreign,
    shown,
    tenant_key,
    trunk_key,
)
from appliance.telephony.tollranges import COSTLY, GLOBALS, LIKE_AMERICA, RANGES, range_of
from appliance.telephony.tollrefusals import MOST_KINDS, TollRefusals
from appliance.telephony.tollwatch import TollWatch
from appliance.telephony.workers import Workers

HOME, UAE, NEW_YORK, JAMAICA = "+919876543210", "+971501234567", "+12125551234", "+18765551234"
INMARSAT, PREMIUM_UK = "+870776123456", "+449098790000"
CALL_ID = "11111111-2222-3333-4444-555555555555"
NOON = 1_790_000_000.0
FIRST = Trunk("first", "sip.a.example", priority=1)
SECOND = Trunk("second", "192.0.2.7:5080", priority=2, addresses=("198.51.100.0/28",))
BOOK = Telephony(
    "1",
    trunks=(FIRST, SECOND),
    extensions={"2001": Extension("2001", "0" * 32)},
    queues={
        "desk": Queue("desk", ("2001", HOME)),
        "abroad": Queue("abroad", (JAMAICA, "sip:00881612345678@sip.a.example")),
        "mixed": Queue("mixed", (INMARSAT, HOME)),
    },
)


def may(number: str, **rules: Any) -> bool:
    try:
        TollGuard(Toll(**rules)).check(number)
    except TollRefusedError as e:
        assert e.lasting and "toll.allow" in str(e)
        return False
    return True


def plan(text: str, toll: TollGuard | None = None, **more: Any) -> str:
    guard = toll or TollGuard()
    dialling = Dialling(BOOK, "IN", "phones.example", toll=guard, **more)
    return dial_plan(parse_destination(text, "IN"), dialling).bridge


# --- which numbers -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "allow", "deny", "expected"),
    [
        (HOME, ("+91",), (), True),
        (UAE, ("+91",), (), False),
        (UAE, ("+91", "+971"), (), True),
        (UAE, ("+91", "+971"), ("+97150",), False),
        (UAE, ("+91", "+97150"), ("+971",), True),
        (UAE, ("+971",), ("+971",), False),  # of two as long, no is the word
        (NEW_YORK, ("+1",), (), True),
        (JAMAICA, ("+1",), (), False),  # its neighbours' prefix opens no range of fraud
        (JAMAICA, ("+1876",), (), True),
        (INMARSAT, ("+91", "+8"), (), False),
        (INMARSAT, ("+870",), (), True),
        (PREMIUM_UK, ("+44",), (), False),
        (PREMIUM_UK, ("+44909",), (), True),
        ("+442079460000", ("+44",), (), True),
        (HOME, (), (), False),
        ("112", ("1",), (), True),
        ("1912", ("1",), (), True),
        ("51234", ("1",), (), False),  # premium IVR codes in India
        ("51234", ("51234",), (), True),
        ("1909", ("1",), ("1909",), False),
        ("1900123456", ("1",), (), False),
        ("00881612345678", ("+91", "1"), (), False),
        ("011881612345678", ("+91", "1"), (), False),
        ("+881612345678", ("+91", "1"), (), False),
        ("0", ("1",), (), False),
        ("", ("1",), (), False),
        ("1٣", ("1",), (), False),
    ],
)
def test_who_may_be_rung(
    number: str, allow: tuple[str, ...], deny: tuple[str, ...], expected: bool
) -> None:
    assert may(number, allow=allow, deny=deny) is expected


def test_by_default_india_and_its_short_codes_and_nobody_abroad() -> None:
    assert may(HOME) and may("1912") and may("112")
    for number in (UAE, NEW_YORK, JAMAICA, INMARSAT, PREMIUM_UK, "51234"):
        assert not may(number), number


def test_every_known_range_needs_an_entry_of_its_own() -> None:
    """Whatever whole country codes are allowed, none of them opens a range of the list."""
    whole = tuple(f"+{digit}" for digit in range(1, 10))
    for prefix in RANGES:
        assert range_of(prefix + "5551234") == prefix
        examples = [prefix + tail for tail in ("5551234", "501234567", "21234567", "771234")]
        for number in filter(lambda n: is_public(n, "IN"), examples):
            assert not may(number, allow=whole), number


@given(st.text(alphabet="0123456789+*#() -;,", max_size=24))
def test_no_way_of_writing_a_number_leads_abroad(text: str) -> None:
    """What is dialled in the end is what was judged: nothing but India and codes gets through."""
    try:
        found = parse_destination(text, "IN")
        bridge = plan(text)
    except UserError:
        return
    if found.kind is Kind.NUMBER:
        assert found.value.startswith("+91") or (len(found.value) <= 6 and found.value[0] == "1")
        assert "sofia/gateway/first/+91" in bridge or f"/{found.value}" in bridge


@given(st.from_regex(r"tel:\+?[0-9]{2,20}", fullmatch=True))
def test_the_tel_form_leads_nowhere_else(text: str) -> None:
    number = e164(text.removeprefix("tel:"), "IN")
    try:
        plan(text)
    except UserError:
        return
    assert number.startswith("+91") or (len(number) <= 6 and number.startswith("1"))


def test_a_log_line_holds_no_whole_number() -> None:
    with pytest.raises(TollRefusedError) as refused:
        TollGuard().check(JAMAICA)
    assert JAMAICA not in str(refused.value) and shown(JAMAICA) == "+187655…"


# --- every way out -----------------------------------------------------------------------------------


def test_numbers_queues_and_sip_addresses_are_asked_alike() -> None:
    assert plan(HOME).count("sofia/gateway/") == 2
    assert "user/2001" in plan("queue:desk")
    for text in (JAMAICA, INMARSAT, "queue:abroad", "tel:00881612345678"):
        with pytest.raises(UserError, match="rung"):
            plan(text)
    assert "+870" not in plan("queue:mixed")  # one bad member silences not the others


@pytest.mark.parametrize(
    "uri",
    [
        "sip:00881612345678@sip.a.example", "sip:0088@SIP.A.EXAMPLE:5060", "sip:0088@192.0.2.7",
        "sip:0088@198.51.100.3;transport=tcp", "sip:0088@203.0.113.9", "sip:1@sip.a.example.",
    ],
)  # fmt: skip
def test_a_sip_address_at_a_carrier_is_no_way_round(uri: str) -> None:
    with pytest.raises(UserError):
        plan(uri, carriers=("203.0.113.9",))
    assert plan("sip:desk@198.51.100.99")


def limited(**limits: Any) -> TollGuard:
    rules = Toll(
        allow=("+91", "+971"),
        foreign=CallLimits(calls=2, hour_minutes=10, day_minutes=20),
        trunks={"first": CallLimits(calls=3)},
        tenants={"acme": CallLimits(hour_minutes=5)},
    )
    return dataclasses.replace(TollGuard(rules), **limits)


@pytest.mark.parametrize(
    ("usage", "number", "refused"),
    [
        ({}, UAE, ""),
        ({FOREIGN: Usage(2)}, UAE, "2 calls out at once"),
        ({FOREIGN: Usage(2)}, HOME, ""),
        ({FOREIGN: Usage(1, 600, 600)}, UAE, "10 minutes an hour"),
        ({FOREIGN: Usage(0, 0, 1200)}, UAE, "20 minutes a day"),
        ({trunk_key("first"): Usage(3)}, HOME, ""),  # the other trunk takes it
        ({trunk_key("first"): Usage(3), FOREIGN: Usage(1, 599, 1199)}, UAE, ""),
        ({tenant_key("acme"): Usage(0, 300, 300)}, HOME, "5 minutes an hour"),
    ],
)
def test_limits(usage: dict[str, Usage], number: str, refused: str) -> None:
    guard = limited(usage=usage, tenant="acme")
    if not refused:
        assert plan(number, guard)
        return
    with pytest.raises(TollRefusedError, match=refused) as e:
        plan(number, guard)
    assert not e.value.lasting


def test_a_full_trunk_is_passed_over() -> None:
    bridge = plan(HOME, limited(usage={trunk_key("first"): Usage(3)}))
    assert "gateway/second" in bridge and "gateway/first" not in bridge


def test_the_night_is_for_home_alone() -> None:
    with pytest.raises(TollRefusedError, match="foreign_hours"):
        plan(UAE, limited(is_night=True))
    assert plan(HOME, limited(is_night=True))


def test_a_range_that_a_burst_stopped() -> None:
    with pytest.raises(TollRefusedError, match="burst"):
        plan(UAE, limited(blocked={"+971501"}))
    assert plan("+971551234567", limited(blocked={"+971501"}))


# --- the book ----------------------------------------------------------------------------------------


def rung(leg: str, number: str = UAE, call: str = "c", began_s: float = NOON) -> TollLeg:
    return TollLeg(leg, call, number, "first", "acme", began_s)


def test_calls_and_minutes_are_counted() -> None:
    book, rules = TollBook(), Toll()
    book.expect("c", UAE, "acme", NOON)
    assert book.usage(NOON)[FOREIGN] == Usage(1)
    book.began(rung("l1"))
    assert book.usage(NOON + 30)[FOREIGN] == Usage(1, 30, 30)  # the same call, not two
    book.answered("l1", NOON + 60)
    assert book.ended("l1", 120, NOON + 180, rules) == ""
    keys = {FOREIGN, trunk_key("first"), tenant_key("acme")}
    assert {k: book.usage(NOON + 200)[k] for k in keys} == dict.fromkeys(keys, Usage(0, 120, 120))
    assert book.usage(NOON + 2 * 3600)[FOREIGN] == Usage(0, 0, 120)
    assert book.usage(NOON + 25 * 3600).get(FOREIGN, Usage()).day_s == 0
    book.began(rung("l2", HOME))
    assert FOREIGN not in {k for k, u in book.usage(NOON + 25 * 3600).items() if u.calls}


def test_what_was_planned_and_never_rang_is_forgotten() -> None:
    book = TollBook()
    book.expect("c", UAE, "", NOON)
    assert book.usage(NOON + 59)[FOREIGN].calls == 1
    assert FOREIGN not in book.usage(NOON + 61)


def test_a_burst_of_short_calls_stops_its_range_alone() -> None:
    book, rules = TollBook(), Toll(burst_calls=5, burst_minutes=10)
    stopped = []
    for n in range(7):
        book.began(rung(f"l{n}", began_s=NOON + n))
        stopped.append(book.ended(f"l{n}", 3, NOON + n + 3, rules))
    assert stopped == ["", "", "", "", "+971501", "", ""]  # told once
    assert set(book.blocked(NOON + 60)) == {"+971501"}
    assert book.unblock("+971501") and not book.unblock("+971501")
    assert not book.blocked(NOON + 60)


@pytest.mark.parametrize(
    ("number", "talked_s", "apart_s"), [(HOME, 3, 1), (UAE, 90, 1), (UAE, 3, 400)]
)
def test_what_is_no_burst(number: str, talked_s: float, apart_s: float) -> None:
    book, rules = TollBook(), Toll(burst_calls=5, burst_minutes=10, allow=("+971",))
    for n in range(20):
        book.began(rung(f"l{n}", number))
        assert book.ended(f"l{n}", talked_s, NOON + n * apart_s, rules) == ""


def test_a_block_ends_by_itself() -> None:
    book, rules = TollBook(), Toll(burst_calls=2, block_hours=1)
    for n in range(2):
        book.began(rung(f"l{n}"))
        book.ended(f"l{n}", 1, NOON, rules)
    assert book.blocked(NOON + 3599) and not book.blocked(NOON + 3601)


def test_the_book_is_bounded() -> None:
    book, rules = TollBook(), Toll(burst_calls=2)
    for n in range(MOST_LEGS + 500):
        book.began(rung(f"l{n}", HOME))
        book.expect(f"c{n}", HOME, "", NOON)
    assert book.usage(NOON)[trunk_key("first")].calls == MOST_LEGS
    for n in range(MOST_RANGES + 50):
        book.began(rung(f"r{n}", f"+9715{n:04d}123"[:13]))
        book.ended(f"r{n}", 1, NOON, rules)
    assert len(cast(Any, book)._short) <= MOST_RANGES
    for _ in range(3000):
        book.began(rung("x"))
        book.ended("x", 1, NOON + _ * 60, rules)
    assert len(cast(Any, book)._steps[FOREIGN]) <= 24 * 12 + 1


@given(
    st.lists(
        st.tuples(st.sampled_from(["began", "answered", "ended", "expect"]), st.integers(0, 5)),
        max_size=60,
    )
)
def test_whatever_comes_the_book_never_counts_below_zero(steps: list[tuple[str, int]]) -> None:
    book, now = TollBook(), NOON
    for what, n in steps:
        now += 7
        match what:
            case "began":
                book.began(rung(f"l{n}", began_s=now))
            case "answered":
                book.answered(f"l{n}", now)
            case "ended":
                book.ended(f"l{n}", 5, now, Toll())
            case _:
                book.expect(f"c{n}", UAE, "", now)
        for usage in book.usage(now).values():
            assert usage.calls >= 0 and 0 <= usage.hour_s <= usage.day_s


# --- the process -------------------------------------------------------------------------------------


@pytest.fixture
def make_office(tmp_path: Path) -> Iterator[Callable[..., Office]]:
    made: list[Office] = []

    def make(toll: Toll | None = None, **book: Any) -> Office:
        office = Office(
            Settings(data_dir=tmp_path, toll=toll or Toll()), FreeSwitch(), Workers(()),
            PlaybackPorts("127.0.0.1", 0, 10), Notices(tmp_path / "notices", ()), "secret",
            dataclasses.replace(BOOK, **book), resolved={"first": ("203.0.113.9",)},
        )  # fmt: skip
        made.append(office)
        return office

    yield make
    for office in made:
        office.ports.close()


def leg_event(name: str, leg: str = "l1", number: str = UAE, **more: str) -> Event:
    return Event.of(
        {
            "Event-Name": name, "Unique-ID": leg, "variable_ivr_kind": "callee",
            "variable_ivr_did": number, "variable_ivr_trunk": "first", "variable_ivr_agent": "a1",
        } | {key.replace("_", "-"): text for key, text in more.items()}
    )  # fmt: skip


def test_events_fill_the_book_and_the_guard_reads_it(
    make_office: Callable[..., Office], caplog: pytest.LogCaptureFixture
) -> None:
    toll = Toll(allow=("+91", "+971"), burst_calls=3, foreign_hours="always")
    office = make_office(toll, tenants={"a1": "acme"})
    watch = TollWatch(cast(Any, None), office)
    for n in range(3):
        watch.on_event("CHANNEL_ORIGINATE", leg_event("CHANNEL_ORIGINATE", f"l{n}"))
    assert office.toll_guard("a1").usage[FOREIGN].calls == 3
    assert office.toll_guard("a1").usage[tenant_key("acme")].calls == 3
    assert office.toll_guard("a1").tenant == "acme"
    for n in range(3):
        end = leg_event("CHANNEL_HANGUP_COMPLETE", f"l{n}", Hangup_Cause="NORMAL_CLEARING")
        watch.on_event("CHANNEL_HANGUP_COMPLETE", end)
    assert "! toll: +971501… is stopped" in caplog.text
    assert office.toll_guard("").blocked
    with pytest.raises(TollRefusedError, match="burst"):
        office.toll_guard("").check_now(UAE, "first")


def test_callers_are_not_counted(make_office: Callable[..., Office]) -> None:
    office = make_office()
    watch = TollWatch(cast(Any, None), office)
    event = leg_event("CHANNEL_ORIGINATE")
    event.headers["variable_ivr_kind"] = "caller"
    watch.on_event("CHANNEL_ORIGINATE", event)
    assert office.toll.usage(NOON) == {}


def test_a_transfer_abroad_is_refused_and_logged(
    make_office: Callable[..., Office], caplog: pytest.LogCaptureFixture
) -> None:
    office = make_office()
    facts = Facts(CALL_ID, "1001", "+919800012345")
    assert office.plan_for(HOME, facts) is not None
    for text in (JAMAICA, "sip:0088@203.0.113.9", "queue:abroad"):
        assert office.plan_for(text, facts) is None
    assert "! toll: +187655… may not be rung" in caplog.text and JAMAICA not in caplog.text


def test_plans_made_at_once_count_before_anything_rings(
    make_office: Callable[..., Office],
) -> None:
    """A burst of transfers in one moment: FreeSWITCH has told of none of them yet."""
    toll = Toll(allow=("+91", "+971"), foreign=CallLimits(calls=2), foreign_hours="always")
    office = make_office(toll)
    plans = [office.plan_for(UAE, Facts(f"call-{n}", "1001", HOME)) for n in range(5)]
    assert [found is not None for found in plans] == [True, True, False, False, False]


@pytest.mark.parametrize("asked", [JAMAICA, "+919811111111", "queue:desk", "2001"])
def test_a_worker_transfers_to_nobody_but_whom_its_agent_names(
    make_office: Callable[..., Office], asked: str
) -> None:
    """A model that was talked round, or a worker that was taken over, names no number."""
    agent = Agent("a1", 1, "Asha", transfer_to=HOME)
    office = make_office(agents={"a1": agent})
    tried: list[str] = []
    office.plan_for = lambda to, facts: tried.append(to)  # type: ignore[method-assign]
    call = LiveCall(Facts(CALL_ID, "1001", "+919800012345", agent="a1"), office)
    call.adopt(
        Event.of(
            {
                "Unique-ID": CALL_ID, "variable_ivr_state": "talking",
                "variable_ivr_worker": "ws://127.0.0.1:9", "Answer-State": "answered",
            }
        )
    )  # fmt: skip
    body = f'{{"type":"transfer","to":"{asked}","mode":"attended","reason":"asked","summary":""}}'
    call.state = State.TALKING
    call.on_stream("json", body)
    until(lambda: tried == [HOME])
    call.transfer(asked, "attended")  # a person asks, with the API's token: theirs is the choice
    until(lambda: tried[1:] == [asked])
    call.on_event(Event.of({"Event-Name": "CHANNEL_HANGUP_COMPLETE", "Unique-ID": CALL_ID}))
    gevent.sleep(0.05)


def until(condition: Callable[[], object]) -> None:
    with gevent.Timeout(10):
        while not condition():
            gevent.sleep(0.005)


def test_hours_that_cannot_be_read_stop_the_start(make_office: Callable[..., Office]) -> None:
    with pytest.raises(UserError, match="hours"):
        TollWatch(cast(Any, None), make_office(Toll(foreign_hours="whenever")))


def test_the_last_day_is_read_from_the_legs(database_url: str) -> None:
    engine, now = open_sync_engine(database_url), datetime.now(UTC)

    def leg(name: str, kind: Any, hours: float, trunk: str = "first") -> Leg:
        began = now - timedelta(hours=hours)
        return Leg(
            name, name, kind, began, trunk, callee=UAE, answered_at=began,
            ended_at=began + timedelta(minutes=3),
        )  # fmt: skip

    with engine.begin() as connection:
        for one in (
            leg("l1", "callee", 2), leg("l2", "person", 1), leg("old", "callee", 30),
            leg("in", "caller", 1), leg("phone", "person", 1, ""),
        ):  # fmt: skip
            upsert_leg(connection, one)
    with engine.connect() as connection:
        found = rung_since(connection, now - timedelta(days=1))
    assert [one.leg_id for one in found] == ["l1", "l2"]
    engine.dispose()
    assert (found[0].ended_at - found[0].answered_at).total_seconds() == 180


def test_a_stopped_range_is_an_alarm() -> None:
    site = Site(NOON, switch=SwitchLook(True, True, blocked_ranges=("+971501",)))
    (alarm,) = [a for a in alarms(site) if a.code == "toll-burst"]
    assert alarm.severity is Severity.CRITICAL
    assert "+971501" in alarm.what and "--unblock +971501" in alarm.do


def test_foreign_is_by_country_code() -> None:
    assert is_foreign(UAE, "IN") and not is_foreign(HOME, "IN") and not is_foreign("112", "IN")
    assert is_foreign(HOME, "AE") and not is_foreign(UAE, "AE")
    assert Destination(Kind.NUMBER, HOME)


# --- refusals are seen --------------------------------------------------------------------------------


def refusal(rule: Rule = Rule.RANGE, number: str = JAMAICA) -> TollRefusedError:
    return TollRefusedError(f"{shown(number)} may not be rung.", rule, number)


def test_a_flood_of_refusals_makes_a_line_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    refusals = TollRefusals()
    for n in range(6000):  # a hundred a second
        refusals.note(refusal(), "a1", NOON + n / 100)
    lines = [r.getMessage() for r in caplog.records if "! toll:" in r.getMessage()]
    assert lines == [f"! toll: {shown(JAMAICA)} may not be rung. For a1."]
    refusals.say(NOON + 61)
    refusals.say(NOON + 62)
    lines = [r.getMessage() for r in caplog.records if "! toll:" in r.getMessage()]
    assert len(lines) == 2 and "(5998 more were refused)" in lines[1]
    (one,) = refusals.recent(NOON + 61)
    assert (one.count, one.who, one.number, one.rule) == (6000, "a1", shown(JAMAICA), Rule.RANGE)
    assert refusals.counts == {Rule.RANGE: 6000}
    assert refusals.recent(NOON + 2 * 3600) == []


def test_refusals_of_any_kind_are_bounded() -> None:
    refusals = TollRefusals()
    for n in range(5 * MOST_KINDS):
        refusals.note(refusal(number=f"+{1_000_000_000 + 10_000 * n}"), f"agent{n}", NOON + n)
    assert len(refusals.recent(NOON + 5 * MOST_KINDS)) == MOST_KINDS


def test_every_way_out_counts_what_it_refuses(make_office: Callable[..., Office]) -> None:
    """A transfer, a queue's member whom others ring beside, a SIP address at a carrier."""
    office = make_office(queues={"mixed": Queue("mixed", (JAMAICA, HOME))})
    facts = Facts(CALL_ID, "1001", "+919800012345", agent="a1")
    assert office.plan_for(JAMAICA, facts) is None
    assert office.plan_for("queue:mixed", facts) is not None
    assert office.plan_for("sip:0088@203.0.113.9", facts) is None
    found = {(one.rule, one.count, one.who) for one in office.refusals.recent(time.time())}
    assert found == {(Rule.ALLOW, 2, "a1"), (Rule.CARRIER, 1, "a1")}


def test_refusals_are_an_alarm_of_the_console() -> None:
    refused = (
        TollRefusalLook("+187655…", "sunrise", "+187655… may not be rung: why.", 40),
        TollRefusalLook("", "moon", "x", 2),
    )
    site = Site(NOON, switch=SwitchLook(True, True, refused=refused))
    (alarm,) = [a for a in alarms(site) if a.code == "toll-refused"]
    assert alarm.severity is Severity.WARNING and alarm.what.startswith("42 calls were refused")
    assert "+187655…" in alarm.what and "sunrise" in alarm.what and "ivr trunks toll" in alarm.do
    assert "toll-refused" not in {a.code for a in alarms(Site(NOON, switch=SwitchLook(True, True)))}


def test_premium_short_codes_are_refused_where_the_plan_knows_them() -> None:
    """118 218 in France begins with 1, as what may be rung by default does."""
    TollGuard(Toll(), "FR").check("112")
    with pytest.raises(TollRefusedError, match="premium short code"):
        TollGuard(Toll(), "FR").check("118218")
    TollGuard(Toll(allow=("118",)), "FR").check("118218")


def test_shared_cost_is_refused_abroad_and_rung_at_home() -> None:
    assert may("+9118601234567")
    with pytest.raises(TollRefusedError, match="premium"):
        TollGuard(Toll(allow=("+91",)), "AE").check("+9118601234567")


def test_what_the_list_says_is_what_the_numbering_plan_says() -> None:
    codes = phonenumbers.COUNTRY_CODE_TO_REGION_CODE
    assert all(int(prefix) in codes for prefix in COSTLY)
    examples = [phonenumbers.parse(f"{prefix}2345678") for prefix in LIKE_AMERICA]
    america = {phonenumbers.region_code_for_number(example) for example in examples}
    assert not america & {"US", "CA"} and len(america) >= 18
    shared = {int(prefix): codes.get(int(prefix)) for prefix in GLOBALS}
    assert set(shared.values()) == {("001",)}
    assert is_premium("+19002345678") and is_premium("+979123456789"[:13])


# --- whom FreeSWITCH rings by itself ------------------------------------------------------------------


@pytest.mark.parametrize(
    "dial",
    ["user/101@ivr.internal", "sofia/gateway/site/+919876543210", "sofia/gateway/site/100",
     "sofia/gateway/site/09876543210", "sofia/gateway/site/919876543210",
     "[leg_timeout=20,x=1]user/101@ivr.internal,sofia/gateway/site/9876543210|user/102@ivr.internal"],
)  # fmt: skip
def test_a_failure_dial_that_may_ring(dial: str) -> None:
    check_failure_dial(dial, TollGuard())


@pytest.mark.parametrize(
    "dial",
    ["sofia/gateway/site/+18765551234", "sofia/gateway/site/0018765551234",
     "sofia/gateway/site/18765551234", "user/101@ivr.internal|sofia/gateway/site/+88216123456789",
     "sofia/external/0088@203.0.113.9", "sofia/trunks/x@carrier.example", "loopback/0018765551234",
     "group/all@x", "user/101@x,{x=y}sofia/gateway/site/100", "", "sofia/gateway/site/${dest}",
     "sofia/gateway/site/+971501234567", "user/101@x,"],
)  # fmt: skip
def test_a_failure_dial_that_may_not(dial: str) -> None:
    with pytest.raises(UserError):
        check_failure_dial(dial, TollGuard())


def test_switch_configure_refuses_such_a_failure_dial(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "var")
    conf = tmp_path / "fs"
    configure(settings, conf, Options(failure_dial="sofia/gateway/site/+919876543210"))
    with pytest.raises(TollRefusedError, match="may not be rung"):
        configure(settings, conf, Options(failure_dial="sofia/gateway/site/+18765551234"))
    closed = settings.model_copy(update={"toll": Toll(deny=("+919876",))})
    with pytest.raises(TollRefusedError, match=r"toll\.deny"):  # also one that was written before
        configure(closed, conf, Options())


def test_limits_hold_for_the_failure_dial_while_ivr_switch_runs(
    make_office: Callable[..., Office], caplog: pytest.LogCaptureFixture
) -> None:
    rules = Toll(trunks={"first": CallLimits(calls=1)})
    office = make_office(rules)
    facts = Facts(CALL_ID, "1001", "+919800012345", agent="a1")
    assert office.may_ring_failure_dial(facts)
    office.failure_dial = f"sofia/gateway/first/{HOME}"
    assert office.may_ring_failure_dial(facts)
    office.toll.began(TollLeg("l1", "c1", HOME, "first", "", time.time()))
    assert not office.may_ring_failure_dial(facts)
    office.failure_dial = f"sofia/gateway/first/{JAMAICA}"
    office.tell_of_failure_dial()
    assert "--failure-dial rings nobody" in caplog.text and JAMAICA not in caplog.text
    assert {one.rule for one in office.refusals.recent(time.time())} == {Rule.LIMIT}


# --- every way out ------------------------------------------------------------------------------------

WAYS_OUT = {
    r"\bsofia/|\buser/\{": {"destinations.py": 3, "failuredial.py": 2},
    r"\.originate\(": {"office.py": 1},
    r"\.set_dial_string\(": {"channel.py": 4},
    r"\bmakeCall\(": {"caller.py": 1},
    r"uuid_deflect|\.xfer\(|blindTransfer|\bsend_refer": {},
}
"""What makes somebody's telephone ring, and how often it stands where. ``caller.py`` is the caller of
tests, rehearsals and the doctor, who rings our own entrance. Whoever adds one adds a test that it asks
``dial_plan``."""


@pytest.mark.parametrize("pattern", WAYS_OUT)
def test_no_other_code_dials(pattern: str) -> None:
    found: Counter[str] = Counter()
    for file in Path(appliance.__file__).parent.rglob("*.py"):
        lines = file.read_text().splitlines()
        found[file.name] += sum(
            len(re.findall(pattern, line)) for line in lines if "``" not in line
        )
    assert +found == WAYS_OUT[pattern]


def test_freeswitch_bridges_to_nobody_but_whom_ivr_switch_named() -> None:
    root = shipped.root()
    files = [*(root / "dialplans").rglob("*.xml"), *(root / "freeswitch-conf").rglob("*.xml")]
    actions = re.findall(
        r'application="(bridge|deflect|redirect|originate|transfer|sched_transfer)" data="([^"]*)"',
        "".join(file.read_text() for file in files),
    )
    assert {data for name, data in actions if name == "bridge"} == {"${ivr_human}"}
    assert not {name for name, _ in actions} & {"deflect", "redirect", "originate"}
    inside = {data.rsplit(" ", 3)[-3:][0] for name, data in actions if "transfer" in name}
    assert inside <= {"park", "failed"}, "of our own dial plan"
