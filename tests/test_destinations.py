"""Whom a call goes to, and that nothing but that ever reaches FreeSWITCH's dial string."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import UserError
from appliance.store.phonebook import Extension, Queue, Telephony, Trunk
from appliance.telephony.destinations import (
    Destination,
    Dialling,
    Kind,
    dial_plan,
    next_trunk_helps,
    parse_destination,
)
from appliance.telephony.trunkfiles import gateway_xml
from tests.freeswitch_kit import FreeSwitch, freeswitch, needs_freeswitch
from tests.registrar import Registrar, serve

HASH = "0" * 32
FIRST = Trunk(
    "first", "sip.a.example", priority=1, number_format="national", caller_id="08022223333"
)
SECOND = Trunk(
    "second", "sip.b.example", priority=2, caller_id_rule="pass", caller_id="+918022220000"
)
OFF = Trunk("off", "sip.c.example", priority=0, enabled=False)
BOOK = Telephony(
    "1",
    trunks=(OFF, FIRST, SECOND),
    extensions={
        "1001": Extension("1001", HASH),
        "1002": Extension("1002", HASH),
        "1003": Extension("1003", HASH, enabled=False),
    },
    queues={
        "all": Queue("all", ("1001", "+919876543210", "sip:desk@10.0.0.5:5090"), ring_s=25),
        "order": Queue("order", ("1001", "9876543210"), "order", ring_s=10, max_wait_s=30),
        "part": Queue("part", ("1003", "1002", "queue:all", "rubbish!")),
        "none": Queue("none", ("1003",)),
    },
)
DIALLING = Dialling(BOOK, "IN", "phones.example", caller_id="+919811111111")
CALLER = "origination_caller_id_number=+919811111111,origination_caller_id_name=+919811111111"
OWN = "origination_caller_id_number=08022223333,origination_caller_id_name=08022223333"


def bridge(text: str, dialling: Dialling = DIALLING) -> str:
    return dial_plan(parse_destination(text, "IN"), dialling).bridge


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("queue:support", Kind.QUEUE, "support"),
        ("sip:desk@host.example", Kind.SIP, "sip:desk@host.example"),
        ("SIP:a.b+c_d-1@10.0.0.5:5090", Kind.SIP, "sip:a.b+c_d-1@10.0.0.5:5090"),
        ("sip:desk@h;transport=tls", Kind.SIP, "sip:desk@h;transport=tls"),
        ("1001", Kind.EXTENSION, "1001"),
        ("098765 43210", Kind.NUMBER, "+919876543210"),
        ("+1 212 555 1234", Kind.NUMBER, "+12125551234"),
        ("tel:1912", Kind.NUMBER, "1912"),
        ("tel:+919876543210", Kind.NUMBER, "+919876543210"),
    ],
)
def test_what_is_a_destination(text: str, kind: Kind, value: str) -> None:
    found = parse_destination(text, "IN")
    assert found == Destination(kind, value)
    if kind is not Kind.NUMBER:
        assert parse_destination(str(found), "IN") == found


@pytest.mark.parametrize(
    "text",
    ["", "queue:", "queue:a b", "queue:a,b", "sip:@h", "sip:a@", "sip:a@h:99999", "sip:a@h:0",
     "sip:a b@h", "sip:${x}@h", "sip:a@h|b", "sip:a@h,b@h", "sip:a@h;transport=sctp",
     "sip:a@h;fs_path=sip:evil", "user/1001", "sofia/gateway/first/1", "1", "1234567",
     "+919876543210,1001", "[a=b]1001", "{a=b}1001", "&hangup", "tel:x", "tel:1;2", "12345678901",
     "1001\n1002", "loopback/1", "sip:a@h'", "group/x", "error/USER_BUSY"],
)  # fmt: skip
def test_what_is_none(text: str) -> None:
    with pytest.raises(UserError):
        parse_destination(text, "IN")


def test_an_extension() -> None:
    assert bridge("1001") == f"[{CALLER},leg_timeout=30]user/1001@phones.example"
    for unknown in ("1003", "2000"):
        with pytest.raises(UserError, match="no extension"):
            bridge(unknown)


def test_a_number_goes_through_the_enabled_trunks_in_order_each_in_its_own_form() -> None:
    assert bridge("+919876543210") == (
        f"[{OWN},leg_timeout=30,leg_progress_timeout=15]sofia/gateway/first/09876543210|"
        f"[{CALLER},leg_timeout=30,leg_progress_timeout=15]sofia/gateway/second/+919876543210"
    )


def test_the_rule_pass_shows_a_caller_only_when_they_are_a_number() -> None:
    unnamed = Dialling(BOOK, "IN", "phones.example", caller_id="anonymous")
    assert "origination_caller_id_number=+918022220000" in bridge("9876543210", unnamed)
    assert "anonymous" not in bridge("9876543210", unnamed)


def test_trunks_that_are_down_are_passed_over_unless_all_are() -> None:
    def used(*without: str) -> list[tuple[str, ...]]:
        dialling = Dialling(BOOK, "IN", "phones.example", without=without)
        plan = dial_plan(parse_destination("9876543210", "IN"), dialling)
        return [attempt.trunks for attempt in plan.attempts]

    assert used("first") == [("second",)]
    assert used("first", "second") == [("first",), ("second",)]
    with pytest.raises(UserError, match="as many calls as it may"):
        full = Dialling(BOOK, "IN", "phones.example", full=("first", "second"))
        bridge("9876543210", full)
    with pytest.raises(UserError, match="no trunk"):
        bridge("9876543210", Dialling(Telephony("1"), "IN", "phones.example"))


def test_a_queue_rings_all_at_once_then_those_with_a_second_trunk() -> None:
    plan = dial_plan(parse_destination("queue:all", "IN"), DIALLING)
    assert [(attempt.timeout_s, attempt.detour) for attempt in plan.attempts] == [
        (25, False),
        (25, True),
    ]
    at_once = re.findall(r"\](\S+?)(?:,\[|$)", plan.attempts[0].dial)
    assert at_once == [
        "user/1001@phones.example", "sofia/gateway/first/09876543210",
        "sofia/trunks/desk@10.0.0.5:5090",
    ]  # fmt: skip
    assert plan.attempts[1].dial.endswith("sofia/gateway/second/+919876543210")
    assert plan.attempts[1].dial.count("sofia/") == 1


def test_a_queue_in_order_rings_one_after_the_other_within_its_wait() -> None:
    plan = dial_plan(parse_destination("queue:order", "IN"), DIALLING)
    assert [attempt.detour for attempt in plan.attempts] == [False, False, True]
    assert plan.bridge.count("|") == 2
    assert all("leg_timeout=10" in attempt.dial for attempt in plan.attempts)
    assert (plan.max_wait_s, plan.longest_s) == (30, 30)


def test_one_wrong_member_does_not_silence_the_others() -> None:
    plan = dial_plan(parse_destination("queue:part", "IN"), DIALLING)
    assert plan.bridge.endswith("user/1002@phones.example") and len(plan.attempts) == 1
    with pytest.raises(UserError, match="Nobody in queue none"):
        bridge("queue:none")
    with pytest.raises(UserError, match="no queue"):
        bridge("queue:other")


def test_variables_are_set_on_every_leg_or_refused() -> None:
    dialling = Dialling(BOOK, "IN", "phones.example", variables={"ivr_call": "a-1"})
    assert bridge("queue:all", dialling).count("ivr_call=a-1") == 4
    for name, value in (
        ("a b", "1"),
        ("a", "1,b=2"),
        ("a", "${x}"),
        ("a", "1]user/1"),
        ("a", "\n"),
    ):
        with pytest.raises(UserError):
            bridge("1001", Dialling(BOOK, "IN", "phones.example", variables={name: value}))


def test_the_domain_is_checked() -> None:
    for domain in ("", "a b", "$${domain}", "a|b", "a,b"):
        with pytest.raises(UserError):
            bridge("1001", Dialling(BOOK, "IN", domain))


def test_only_the_trunks_faults_make_another_trunk_worth_a_try() -> None:
    assert all(
        map(next_trunk_helps, ("GATEWAY_DOWN", "PROGRESS_TIMEOUT", "NORMAL_TEMPORARY_FAILURE"))
    )
    assert not any(
        map(
            next_trunk_helps,
            ("USER_BUSY", "NO_ANSWER", "UNALLOCATED_NUMBER", "ORIGINATOR_CANCEL", ""),
        )
    )


SYNTAX = set("\"'{}<>\\$`|&!^~%() \t\r\n\0")
PIECE = re.compile(
    r"\[[a-z_]+=[A-Za-z0-9+]*(?:,[a-z_]+=[A-Za-z0-9+]*)*\]"
    r"(?:user/\d{2,6}@phones\.example|sofia/gateway/(?:first|second)/\+?\d+"
    r"|sofia/trunks/[A-Za-z0-9._+-]+@[A-Za-z0-9.-]+(?::\d+)?(?:;transport=(?:udp|tcp|tls))?)"
)
HOSTILE = st.one_of(
    st.text(max_size=60),
    st.builds(
        "{}{}{}".format,
        st.sampled_from(["", "sip:", "sip:a@", "queue:", "tel:", "+91", "1001", "98765"]),
        st.text(alphabet="a1@:;=.,|[]{}()$'\"\\ \n\r\0%&!^/-+", max_size=20),
        st.sampled_from(["", "@host", "43210", "1001", ";transport=tcp", "]user/1"]),
    ),
)


@given(HOSTILE, HOSTILE)
def test_nothing_gets_into_a_dial_string_but_what_is_dialled(text: str, caller: str) -> None:
    dialling = Dialling(BOOK, "IN", "phones.example", caller_id=caller)
    try:
        plan = dial_plan(parse_destination(text, "IN"), dialling)
    except UserError:
        return
    for attempt in plan.attempts:
        assert PIECE.fullmatch(attempt.dial), attempt.dial
        assert not SYNTAX & set(attempt.dial)


@given(HOSTILE, HOSTILE)
def test_nor_from_a_destination_or_a_queue_made_by_hand(value: str, member: str) -> None:
    book = Telephony("1", BOOK.trunks, BOOK.extensions, {"q": Queue("q", (member, value))})
    dialling = Dialling(book, "IN", "phones.example")
    for kind in Kind:
        for wanted in (Destination(kind, value), Destination(Kind.QUEUE, "q")):
            try:
                plan = dial_plan(wanted, dialling)
            except UserError:
                continue
            for attempt in plan.attempts:
                for leg in attempt.dial.split(",["):
                    piece = leg if leg.startswith("[") else "[" + leg
                    assert PIECE.fullmatch(piece), attempt.dial


@needs_freeswitch
@pytest.mark.server
async def test_a_real_freeswitch_dials_them_in_order(tmp_path: Path) -> None:
    """Trunks that refuse, a telephone that is not there: who was asked, for what, and as whom."""
    async with freeswitch(tmp_path) as fs:
        first, second = Registrar(invite=503), Registrar(invite=486)
        with serve(first, "udp") as one, serve(second, "udp") as two:
            trunks = (
                replace(FIRST, proxy=f"127.0.0.1:{one}", ping_s=0, codecs=("PCMA",)),
                replace(SECOND, proxy=f"127.0.0.1:{two}", ping_s=0),
            )
            for trunk in trunks:
                path = fs.conf / "site" / "gateways" / f"{trunk.name}.xml"
                path.write_text(gateway_xml(trunk))
            assert "+OK" in await fs.api("sofia profile trunks rescan")
            await fs.until(lambda: _known(fs, "second"))
            members = ("1001", "+919876543210", "sip:desk@127.0.0.1:9")
            book = replace(BOOK, trunks=trunks, queues={"all": Queue("all", members)})
            dialling = Dialling(
                book, "IN", fs.domain, caller_id="+919811111111", variables={"ivr_call": "a-1"}
            )
            plan = dial_plan(parse_destination("queue:all", "IN"), dialling)
            said = await fs.api(
                f"originate {plan.attempts[0].dial}|{plan.attempts[1].dial} &park()"
            )
    assert said.strip() == "-ERR USER_BUSY"
    (asked,) = (r for r in first.asked if r.method == "INVITE")
    assert asked.uri.startswith("sip:09876543210@") and "<sip:08022223333@" in asked.headers.get(
        "from"
    )
    assert b"PCMA" in asked.body and b"PCMU" not in asked.body and b"crypto" not in asked.body
    (asked,) = (r for r in second.asked if r.method == "INVITE")
    assert asked.uri.startswith("sip:+919876543210@")
    assert "<sip:+919811111111@" in asked.headers.get("from")


async def _known(fs: FreeSwitch, name: str) -> bool:
    return "Invalid" not in await fs.api(f"sofia status gateway {name}")
