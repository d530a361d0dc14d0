"""The line between a channel and its worker: what is said to FreeSWITCH, and when."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from appliance.ops.keeping.ports import free_ports
from appliance.settings import Settings
from appliance.telephony.eventsocket import Event, SwitchError
from appliance.telephony.facts import Facts
from appliance.telephony.freeswitch import FreeSwitch
from appliance.telephony.line import Line
from appliance.telephony.notices import Notices
from appliance.telephony.office import Office
from appliance.telephony.playbackports import PlaybackPorts
from appliance.telephony.workers import Workers

CALL_ID = "11111111-2222-3333-4444-555555555555"
FACTS = Facts(CALL_ID, "1001", "+919800012345", trunk="acme", agent="sunrise")
AT = datetime(2026, 1, 23, 6, 30, tzinfo=UTC)
WORKER = "ws://127.0.0.1:7000"


class Wire:
    """Takes down what is sent; refuses what begins with one of ``deaf``."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.deaf: tuple[str, ...] = ()

    def command(self, text: str, timeout_s: float = 3.0) -> str:
        if self.deaf and text.startswith(self.deaf):
            raise SwitchError("-ERR")
        self.sent.append(text)
        return "+OK"

    def of(self, word: str) -> list[str]:
        return [text for text in self.sent if word in text]


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def office(tmp_path: Path, wire: Wire) -> Iterator[Office]:
    ports = PlaybackPorts("127.0.0.1", free_ports(1)[0], 1)
    notices = Notices(tmp_path / "notices", ())
    office = Office(
        Settings(data_dir=tmp_path), FreeSwitch(), Workers(()), ports, notices, "secret"
    )
    office.freeswitch.attach(wire)  # type: ignore[arg-type]
    yield office
    ports.close()


def parked(answer_state: str = "early", rate: str = "8000") -> Event:
    return Event.of({"Answer-State": answer_state, "Channel-Read-Codec-Rate": rate})


def offered(line: Line, *, new_part: bool = True) -> None:
    line.take(WORKER, new_part=new_part)
    line.offer(FACTS, "", "", AT)


def test_an_offer_is_told_once_the_websocket_is_open(office: Office, wire: Wire) -> None:
    line = Line(CALL_ID, office)
    line.parked(parked(rate="48000"))
    offered(line)
    assert wire.of("uuid_audio_stream") == [
        f"api uuid_audio_stream {CALL_ID} start {WORKER}/call mono 16000"
    ]
    line.connected()
    offer = orjson.loads(wire.sent[-1].partition(" send_text ")[2])
    assert (offer["did"], offer["rate"], offer["agent"]) == ("1001", 16000, "sunrise")
    port = offer["playback"].rpartition(":")[2]
    assert f"local-port: {port}\n" in wire.of("unicast")[0]
    (remembered,) = wire.of("uuid_setvar_multi")
    assert f"ivr_playback={port};ivr_part=1;ivr_rate=16000" in remembered


def test_unicast_is_asked_for_once_in_a_park(office: Office, wire: Wire) -> None:
    line = Line(CALL_ID, office)
    line.parked(parked())
    offered(line)
    line.drop()
    offered(line)
    assert len(wire.of("unicast")) == 1 and line.part == 2 and office.ports.in_use == 1
    line.parked(parked("answered"))
    assert office.ports.in_use == 0
    offered(line, new_part=False)
    assert len(wire.of("unicast")) == 2 and line.part == 2
    line.close()
    line.close()
    assert office.ports.in_use == 0


def test_no_unicast_without_media_nor_without_a_port(office: Office, wire: Wire) -> None:
    line, other = Line(CALL_ID, office), Line(CALL_ID, office)
    line.parked(parked("ringing"))
    with pytest.raises(SwitchError, match="no media"):
        offered(line)
    other.parked(parked())
    offered(other)
    line.parked(parked())
    with pytest.raises(SwitchError, match="playback_ports"):
        offered(line)
    assert len(wire.of("unicast")) == 1


def test_a_worker_is_left_with_a_word_that_need_not_arrive(office: Office, wire: Wire) -> None:
    line = Line(CALL_ID, office)
    line.parked(parked())
    offered(line)
    wire.deaf = (f"api uuid_audio_stream {CALL_ID} send_text",)
    line.leave("BLIND_TRANSFER")
    assert wire.sent[-1].endswith(" stop") and line.worker == ""
    wire.sent.clear()
    line.leave("BLIND_TRANSFER")
    line.tell(b"{}")
    assert not wire.sent, "nobody is on it"


@pytest.mark.parametrize(("talks", "worker"), [(True, WORKER), (False, "")])
def test_a_line_found_at_start(office: Office, wire: Wire, talks: bool, worker: str) -> None:
    variables = {"worker": WORKER, "part": "3", "playback": "24000", "rate": "16000"}
    line = Line(CALL_ID, office)
    line.adopt(Event.of({f"variable_ivr_{k}": v for k, v in variables.items()}), talks=talks)
    assert (line.worker, line.part) == (worker, 3)
    line.take(WORKER, new_part=True)
    line.offer(FACTS, "", "worker", AT)
    assert not wire.of("unicast"), "the first address goes on working"
    assert "ivr_playback=24000;ivr_part=4" in wire.of("uuid_setvar_multi")[0]
