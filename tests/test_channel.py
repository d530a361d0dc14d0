"""A live call's greenlet: it ends with its channel, whatever floods or breaks it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import pytest

from appliance.errors import ProtocolError
from appliance.settings import Settings
from appliance.store.phonebook import Telephony, Trunk
from appliance.telephony.channel import INBOX, LiveCall
from appliance.telephony.eventsocket import Event
from appliance.telephony.facts import Facts, State
from appliance.telephony.freeswitch import FreeSwitch
from appliance.telephony.notices import Notices
from appliance.telephony.office import Office
from appliance.telephony.playbackports import PlaybackPorts
from appliance.telephony.workers import Workers

CALL_ID = "11111111-2222-3333-4444-555555555555"


@pytest.fixture
def ended() -> list[str]:
    return []


@pytest.fixture
def call(tmp_path: Path, ended: list[str]) -> Iterator[LiveCall]:
    """A call in an office whose FreeSWITCH is away: every command fails."""
    ports = PlaybackPorts("127.0.0.1", 24000, 10)
    office = Office(
        Settings(data_dir=tmp_path), FreeSwitch(), Workers(()), ports,
        Notices(tmp_path / "notices", ()), "secret",
    )  # fmt: skip
    office.ended = lambda call, event: ended.append(event.get("Hangup-Cause"))
    yield LiveCall(Facts(CALL_ID, "1001", "+919800012345"), office)
    gevent.sleep(0)
    assert len(office.greenlets) == 0, "the call's greenlet is still there"
    ports.close()


def event(name: str, **headers: str) -> Event:
    return Event.of(
        {"Event-Name": name, "Unique-ID": CALL_ID}
        | {key.replace("_", "-"): text for key, text in headers.items()}
    )


def hang_up(call: LiveCall) -> None:
    call.on_event(event("CHANNEL_HANGUP_COMPLETE", Hangup_Cause="NORMAL_CLEARING"))


def until(condition: Callable[[], object]) -> None:
    with gevent.Timeout(10):
        while not condition():
            gevent.sleep(0.005)


def test_a_flood_of_keys_pushes_out_no_hangup(call: LiveCall, ended: list[str]) -> None:
    for _ in range(INBOX + 50):
        call.on_event(event("DTMF", DTMF_Digit="1", DTMF_Duration="800"))
    hang_up(call)
    hang_up(call)  # told twice: by FreeSWITCH, and by a look at its list
    until(lambda: call.state is State.ENDED)
    gevent.sleep(0.05)
    assert ended == ["NORMAL_CLEARING"]


def test_a_fault_while_freeswitch_is_away_ends_no_greenlet(
    call: LiveCall, ended: list[str]
) -> None:
    def fault() -> None:
        raise ZeroDivisionError

    call.post(fault)
    gevent.sleep(0.05)
    hang_up(call)
    until(lambda: ended == ["NORMAL_CLEARING"])


@pytest.mark.parametrize("text", ["x" * 501, "two\nlines", "   "])
def test_a_whisper_that_no_worker_takes_is_refused_and_touches_no_call(
    call: LiveCall, text: str
) -> None:
    with pytest.raises(ProtocolError, match="a whisper is one line"):
        call.whisper(text)
    gevent.sleep(0.05)
    assert call.state is State.NEW
    hang_up(call)
    gevent.sleep(0.05)


def test_while_nobody_knows_the_numbers_a_caller_is_not_refused(
    call: LiveCall, ended: list[str]
) -> None:
    """Postgres was away when we started: the guard's apology and person are better than 403."""
    call.on_event(event("CHANNEL_PARK", Answer_State="early"))
    until(lambda: call.state is State.FAILED)
    hang_up(call)
    gevent.sleep(0.05)


def test_a_rehearsals_call_rings_nobody(tmp_path: Path) -> None:
    ports = PlaybackPorts("127.0.0.1", 24000, 10)
    trunk = Trunk("carrier", "127.0.0.1:5999", caller_id="+912212345678")
    office = Office(
        Settings(data_dir=tmp_path), FreeSwitch(), Workers(()), ports,
        Notices(tmp_path / "notices", ()), "secret", Telephony("1", trunks=(trunk,)),
    )  # fmt: skip
    real = Facts(CALL_ID, "1001", "+919800012345")
    rehearsed = Facts(CALL_ID, "1001", "rehearsal-18f0-3-17")
    person = "+919876543210"
    assert office.plan_for(person, real) is not None
    assert office.plan_for(person, rehearsed) is None
    ports.close()
