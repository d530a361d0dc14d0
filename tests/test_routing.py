"""What becomes of a call that comes in: one table."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from appliance.events import Agent
from appliance.store.phonebook import Extension, NumberRoute, Telephony, Trunk
from appliance.telephony.destinations import Destination, Kind
from appliance.telephony.routing import (
    Answer,
    Arrival,
    Closed,
    Load,
    Menu,
    Overflow,
    Refuse,
    Ring,
    Route,
    Site,
    overflow_of,
    route,
    trunk_by_address,
)

HELP = Agent(id="help", version=1, name="Help")
HINDI = Agent(id="hindi", version=1, name="Hindi", language="hi")
FRONT = Agent(
    id="front", version=1, name="Front", language_menu={"1": "help", "2": "hindi", "3": "gone"}
)
SHOP = NumberRoute(
    "+918022223333", HELP, "mon-fri 09:00-18:00", "We are closed.", "queue:night", "1001"
)
BOOK = Telephony(
    "1",
    trunks=(
        Trunk("a", "sip.a", max_calls=2, addresses=("203.0.113.0/24",)),
        Trunk("b", "sip.b", addresses=("203.0.113.9",), caller_id="+918022223333"),
        Trunk("c", "sip.c", addresses=("203.0.113.9",), caller_id="+918022224444"),
        Trunk("off", "sip.off", enabled=False, addresses=("192.0.2.1",)),
    ),
    extensions={"1001": Extension("1001", "0" * 32)},
    numbers={
        SHOP.did: SHOP,
        "+918022224444": NumberRoute("+918022224444", FRONT),
        "9876543210": NumberRoute("9876543210", HELP),  # an old row, as it was dialled
        "+918022225555": NumberRoute("+918022225555", HELP, "whenever", "", "nobody!", ""),
        "1909": NumberRoute("1909", HELP, "; except 2026-01-23", "Holiday.", "nobody!"),
    },
    agents={agent.id: agent for agent in (HELP, HINDI, FRONT)},
)
FRIDAY = datetime(2026, 1, 23, 12, 0, tzinfo=ZoneInfo("Asia/Kolkata"))
SUNDAY = FRIDAY.replace(day=25)
NIGHT = Destination(Kind.QUEUE, "night")
DESK = Destination(Kind.EXTENSION, "1001")
SITE = Site()


IDLE = Load()


def decide(
    did: str, trunk: str = "a", now: datetime = FRIDAY, load: Load = IDLE, **site: object
) -> Route:
    return route(BOOK, Arrival(did, "+919811111111", trunk), now, load, replace(SITE, **site))


@pytest.mark.parametrize(
    ("did", "kind", "cause"),
    [("080 2222 9999", Refuse, "UNALLOCATED_NUMBER"), ("", Refuse, "UNALLOCATED_NUMBER")],
)
def test_a_number_that_is_nobodys_is_refused(did: str, kind: type, cause: str) -> None:
    found = decide(did)
    assert isinstance(found, kind) and found.cause == cause and did in found.why


@pytest.mark.parametrize(
    "did", ["+918022223333", "918022223333", "00918022223333", "08022223333", "8022223333"]
)
def test_a_number_is_found_however_the_trunk_writes_it(did: str) -> None:
    assert decide(did) == Answer(SHOP)


def test_an_old_row_is_found_by_the_normal_form() -> None:
    found = decide("+919876543210")
    assert isinstance(found, Answer) and found.number.did == "9876543210"


def test_the_star_answers_the_rest_but_not_what_has_its_own() -> None:
    star = NumberRoute("*", HINDI)
    book = replace(BOOK, numbers={**BOOK.numbers, "*": star})
    assert route(book, Arrival("5", "", "a"), FRIDAY, Load(), SITE) == Answer(star)
    assert route(book, Arrival("8022223333", "", "a"), FRIDAY, Load(), SITE) == Answer(SHOP)


@pytest.mark.parametrize("trunk", ["off", "nobody"])
def test_a_trunk_that_is_none_of_ours_is_refused(trunk: str) -> None:
    found = decide(SHOP.did, trunk)
    assert isinstance(found, Refuse) and found.cause == "CALL_REJECTED"


def test_closed_says_so_and_hands_over() -> None:
    assert decide(SHOP.did, now=SUNDAY) == Closed(SHOP, "We are closed.", NIGHT)


def test_closed_with_a_wrong_destination_still_says_so() -> None:
    found = decide("1909")
    assert isinstance(found, Closed) and found.to is None and "nobody!" in found.trouble


def test_hours_that_cannot_be_read_are_always_open_and_told() -> None:
    found = decide("+918022225555", now=SUNDAY)
    assert isinstance(found, Answer) and "whenever" in found.trouble


def test_a_full_trunk_overflows_or_refuses() -> None:
    full = Load(2, {"a": 2})
    found = decide(SHOP.did, load=full)
    assert isinstance(found, Overflow) and found.to == DESK and "its 2 calls" in found.why
    refused = decide("+918022224444", load=full)
    assert isinstance(refused, Refuse) and refused.cause == "NORMAL_CIRCUIT_CONGESTION"
    assert isinstance(decide("+918022224444", load=full, failure_to="1001"), Overflow)
    assert decide(SHOP.did, load=Load(1, {"a": 1})) == Answer(SHOP)
    assert decide(SHOP.did, "b", load=Load(500, {"b": 50}), max_calls=501) == Answer(SHOP)
    assert isinstance(decide(SHOP.did, "b", load=Load(500), max_calls=500), Overflow)


def test_closed_goes_before_full() -> None:
    assert isinstance(decide(SHOP.did, now=SUNDAY, load=Load(2, {"a": 2})), Closed)


def test_a_language_menu_offers_only_published_agents() -> None:
    menu = decide("+918022224444")
    assert isinstance(menu, Menu) and dict(menu.agents) == {"1": HELP, "2": HINDI}
    assert [menu.chosen(digit) for digit in ("2", "3", "")] == [HINDI, FRONT, FRONT]


def test_our_own_telephones_ring_each_other_and_the_agents() -> None:
    assert decide("1001", trunk="") == Ring(DESK)
    assert decide(SHOP.did, trunk="") == Answer(SHOP)
    assert isinstance(decide("1001", trunk="a"), Refuse)  # nobody from outside reaches a telephone


def test_overflow_prefers_the_number_then_the_site() -> None:
    assert overflow_of(SHOP, Site(failure_to="queue:night")) == DESK
    wrong = replace(SHOP, overflow_to="rubbish!")
    assert overflow_of(wrong, Site(failure_to="queue:night")) == NIGHT
    assert overflow_of(None, SITE) is None


@pytest.mark.parametrize(
    ("address", "did", "name"),
    [
        ("203.0.113.8", "", "a"),
        ("203.0.113.9", "", "b"),
        ("203.0.113.9", "+918022224444", "c"),
        ("203.0.113.9", "08022224444", "c"),
        ("203.0.113.9", "1001", "b"),
        ("198.51.100.7", "", "r"),
        ("192.0.2.1", "", None),
        ("2001:db8::1", "", None),
        ("rubbish", "", None),
    ],
)
def test_a_trunk_is_known_by_its_address(address: str, did: str, name: str | None) -> None:
    trunks = (*BOOK.trunks, Trunk("r", "sip.r"))
    found = trunk_by_address(trunks, address, {"r": ["198.51.100.7"], "a": ["192.0.2.50"]}, did)
    assert (found.name if found else None) == name
