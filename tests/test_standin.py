"""One contract for two switches: the stand-in always, a real FreeSWITCH where there is one.

What call control relies on (``appliance/telephony/freeswitch.py`` and those above it), as sequences of
commands, events, sound and the far end's own view.
"""

from __future__ import annotations

import asyncio
import json
import socket
import wave
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from aiohttp import WSMsgType, web

from appliance.audio import level_db, write_wav
from appliance.events import Whisper
from appliance.media import protocol
from appliance.telephony.eventsocket import EventSocket as GreenEventSocket
from appliance.telephony.eventsocket import SwitchError
from appliance.telephony.freeswitch import EVENTS, SUBCLASSES, argument
from appliance.telephony.freeswitch import FreeSwitch as Commands
from tests.freeswitch_kit import Event, EventSocket, FreeSwitch, freeswitch, needs_freeswitch
from tests.freeswitch_standin import Standin, standin
from tests.sippeer import Answer, Peer, Policy, Refuse, Ring, peer

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"), pytest.mark.server, pytest.mark.sip
]  # fmt: skip
RATE_HZ = 8000
TONE = (8000 * np.sin(2 * np.pi * 440 * np.arange(RATE_HZ // 2) / RATE_HZ)).astype("<i2").tobytes()
"""Half a second of 440 Hz."""
NOBODY = "11111111-2222-3333-4444-555555555555"
DID, NUMBER = "+911234", "+919800000001"
PERSON, BUSY, AWAY = "+915550001", "+915550002", "+915550003"


class Switch:
    """What the tests see of either."""

    def __init__(self, real: tuple[FreeSwitch, Peer] | None, false: Standin | None) -> None:
        self._real, self._false = real, false
        self.events: EventSocket

    @property
    def is_real(self) -> bool:
        return self._real is not None

    @property
    def policies(self) -> dict[str, Policy]:
        side: Any = self._real[1] if self._real else self._false
        return side.policies  # type: ignore[no-any-return]

    async def connect(self) -> None:
        found: Any = self._real[0] if self._real else self._false
        self.events = await EventSocket.open(found.event_port, found.password)
        names = f"{EVENTS} CHANNEL_UNPARK PLAYBACK_START CUSTOM {' '.join(SUBCLASSES)}"
        await self.events.subscribe(names, "mod_audio_stream::connect")

    async def api(self, text: str) -> str:
        return await self.events.api(text)

    async def add_gateway(self, name: str) -> None:
        if self._real:
            fs, carrier = self._real
            await fs.add_trunk(name, carrier.host, carrier.port)
        else:
            assert self._false is not None
            self._false.add_gateway(name)

    async def call(self) -> tuple[Any, str]:
        """A caller who is parked, and the channel's id."""
        caller = await self.ring_in()
        event = await self.events.expect("CHANNEL_PARK")
        return caller, event.get("Unique-ID")

    async def ring_in(self) -> Any:
        if self._real:
            fs, carrier = self._real
            return carrier.dial(f"sip:{DID}@127.0.0.1:{fs.sip_port}", NUMBER)
        assert self._false is not None
        return await self._false.call(DID, NUMBER)

    async def talk(self) -> tuple[Any, str]:
        """A caller who is answered, parked and in nobody's guard."""
        caller, uuid = await self.call()
        assert await self.api(f"uuid_answer {uuid}") == "+OK\n"
        assert await self.api(f"sched_del {uuid}") == "+OK Deleted: 1\n"
        assert await caller.final() == 200
        await self.events.expect("CHANNEL_ANSWER", Unique_ID=uuid)
        return caller, uuid

    async def person(self, number: str) -> Any:
        if self._false:
            return await self._false.person(number)
        assert self._real is not None
        async with asyncio.timeout(20):
            while True:
                if found := [c for c in self._real[1].calls if f":{number}@" in c.uri]:
                    return found[-1]
                await asyncio.sleep(0.01)

    async def hung_up(self, uuid: str) -> Event:
        return await self.events.expect("CHANNEL_HANGUP_COMPLETE", Unique_ID=uuid)

    def seen(self, uuid: str, *names: str) -> list[str]:
        """Which of those events have come of a channel and were not asked for."""
        mine = (event for event in self.events.events if event.get("Unique-ID") == uuid)
        return [event.name for event in mine if event.name in names]


@pytest_asyncio.fixture(
    loop_scope="module",
    scope="module",
    params=["stand-in", pytest.param("freeswitch", marks=needs_freeswitch)],
)
async def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Switch]:
    folder = tmp_path_factory.mktemp("switch")
    if request.param == "stand-in":
        async with standin(folder, {"ivr_apology_file": "silence_stream://300"}) as false:
            false.add_gateway("carrier")
            yield Switch(None, false)
        return
    async with freeswitch(folder) as fs, peer("127.0.0.2") as carrier:
        await fs.add_trunk("carrier", carrier.host, carrier.port)
        yield Switch((fs, carrier), None)


@pytest_asyncio.fixture(loop_scope="module")
async def switch(made: Switch) -> AsyncIterator[Switch]:
    made.policies.update({PERSON: Answer(0.2), BUSY: Refuse(486), AWAY: Ring()})
    await made.connect()
    yield made
    for row in json.loads(await made.api("show channels as json")).get("rows", []):
        await made.api(f"uuid_kill {row['uuid']}")
    await none_left(made)
    await made.events.close()


async def none_left(switch: Switch) -> None:
    """Channels are listed in a database of their own, which comes after."""
    async with asyncio.timeout(20):
        while await switch.api("show channels as json") != '{"row_count": 0}\n':
            await asyncio.sleep(0.02)


@dataclass
class Worker:
    """A websocket server that does as it is told."""

    refuses: int = 0
    headers: list[dict[str, str]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    audio: list[bytes] = field(default_factory=list)
    closed: list[int | None] = field(default_factory=list)
    sockets: list[tuple[web.Request, web.WebSocketResponse]] = field(default_factory=list)
    url: str = ""

    async def serve(self, request: web.Request) -> web.StreamResponse:
        if self.refuses:
            return web.Response(status=self.refuses)
        ws = web.WebSocketResponse(compress=False)
        await ws.prepare(request)
        self.headers.append(dict(request.headers))
        self.sockets.append((request, ws))
        async for message in ws:
            if message.type is WSMsgType.TEXT:
                self.texts.append(message.data)
            elif message.type is WSMsgType.BINARY:
                self.audio.append(message.data)
        self.closed.append(ws.close_code)
        return ws

    async def until(self, check: Any, timeout_s: float = 10.0) -> None:
        async with asyncio.timeout(timeout_s):
            while not check():
                await asyncio.sleep(0.01)

    async def send(self, text: str) -> None:
        await self.sockets[-1][1].send_str(text)

    async def close(self, code: int) -> None:
        await self.sockets[-1][1].close(code=code)

    def break_off(self) -> None:
        transport = self.sockets[-1][0].transport
        assert isinstance(transport, asyncio.Transport)
        transport.abort()


@pytest_asyncio.fixture(loop_scope="module")
async def worker() -> AsyncIterator[Worker]:
    worker = Worker()
    app = web.Application()
    app.router.add_get("/call", worker.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    worker.url = f"ws://127.0.0.1:{runner.addresses[0][1]}/call"
    yield worker
    await runner.cleanup()


async def start(switch: Switch, uuid: str, worker: Worker, metadata: str = "{}") -> None:
    """Start the stream; again where the module has lost the first text (its own race)."""
    for _ in range(5):
        texts = len(worker.texts)
        said = await switch.api(f"uuid_audio_stream {uuid} start {worker.url} mono 8000 {metadata}")
        assert said == "+OK Success\n"
        await switch.events.expect("mod_audio_stream::connect")
        try:
            await worker.until(lambda seen=texts: len(worker.texts) > seen, 0.5)
            return
        except TimeoutError:
            assert switch.is_real
            await switch.api(f"uuid_audio_stream {uuid} stop")
    pytest.fail("the first text is lost five times out of five")


def loud_ms(pcm: bytes) -> int:
    samples = np.frombuffer(pcm, "<i2")
    return sum(
        20 for at in range(0, len(samples) - 159, 160) if level_db(samples[at : at + 160]) > -30
    )


async def sounded(party: Any, least_ms: int, below_ms: int) -> None:
    """As long did it hear sound; a busy machine brings the last of it later."""
    async with asyncio.timeout(10):
        while loud_ms(party.heard()) < least_ms:
            await asyncio.sleep(0.02)
    assert loud_ms(party.heard()) < below_ms


def udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


async def unicast(switch: Switch, uuid: str, port: int, mirror: int = 9) -> None:
    reply = await switch.events.command(
        f"sendmsg {uuid}\ncall-command: unicast\nlocal-ip: 127.0.0.1\nlocal-port: {port}\n"
        f"remote-ip: 127.0.0.1\nremote-port: {mirror}\ntransport: udp"
    )
    assert reply.get("Reply-Text") == "+OK"
    await asyncio.sleep(0.1)


async def speak(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for at in range(0, len(TONE), 320):
            s.sendto(TONE[at : at + 320], ("127.0.0.1", port))
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.1)


# --- answers --------------------------------------------------------------------------------------


async def test_answers_where_there_is_no_channel(switch: Switch) -> None:
    usage = "-USAGE: <uuid> <var>=<value>;<var>=<value>...\n"
    wanted = {
        "nonsense": "-ERR nonsense Command not found!\n",
        f"uuid_answer {NOBODY}": "-ERROR\n",
        f"uuid_kill {NOBODY} NORMAL_CLEARING": "-ERR No such channel!\n",
        f"uuid_getvar {NOBODY} x": "-ERR No such channel!\n",
        f"uuid_setvar {NOBODY} x y": "-ERR No such channel!\n",
        f"uuid_setvar_multi {NOBODY} x=y": f"-ERR No such channel!\n{usage}",
        f"uuid_transfer {NOBODY} failed XML ivr": "-ERR No such channel!\n",
        f"uuid_bridge {NOBODY} {NOBODY}": "-ERR Invalid uuid\n",
        f"uuid_broadcast {NOBODY} /x.wav aleg": "-ERR invalid uuid\n",
        f"uuid_record {NOBODY} start /tmp/x.wav": "-ERR Cannot locate session!\n",
        f"uuid_dump {NOBODY} json": "-ERR No such channel!\n",
        f"uuid_buglist {NOBODY}": "-ERR no reply\n",
        f"sched_del {NOBODY}": "+OK Deleted: 0\n",
        f"sched_transfer +4 {NOBODY} failed XML ivr": "-ERR No such channel!\n",
        f"uuid_audio_stream {NOBODY} stop": "-ERR Operation Failed\n",
        "reloadxml": "+OK [Success]\n",
        "reloadacl": "+OK acl reloaded\n",
        "sofia profile trunks rescan": "Reload XML [Success]\n+OK scan complete\n",
        "sofia profile trunks killgw nobody": "-ERR no such gateway.\n",
        "sofia status gateway trunks::nobody": "Invalid Gateway!\n",
        "global_getvar domain": "ivr.internal",
    }
    assert {command: await switch.api(command) for command in wanted} == wanted
    await switch.events.expect("RELOADXML")
    await none_left(switch)
    assert "carrier" in await switch.api("sofia status gateway trunks::carrier")
    nobody = await switch.events.command(f"sendmsg {NOBODY}\ncall-command: unicast")
    assert nobody.get("Reply-Text") == f"-ERR invalid session id [{NOBODY}]"
    assert (await switch.events.command("hello")).get("Reply-Text") == "-ERR command not found"


async def test_a_gateway_that_is_ended_is_told_of_when_it_has_gone(switch: Switch) -> None:
    """`ivr switch` waits for that before a changed one registers anew."""
    await switch.add_gateway("leaving")
    assert "+OK" in await switch.api("sofia profile trunks killgw leaving")
    assert await switch.api("sofia status gateway trunks::leaving") == "Invalid Gateway!\n"
    gone = await switch.events.expect("sofia::gateway_delete", Gateway="leaving")
    assert gone.get("profile-name") == "trunks"
    assert "-ERR" in await switch.api("sofia profile trunks killgw leaving")


async def test_a_wrong_password(switch: Switch) -> None:
    found: Any = switch._real[0] if switch._real else switch._false
    with pytest.raises(ConnectionRefusedError, match="-ERR invalid"):
        await EventSocket.open(found.event_port, "wrong")


# --- a call ---------------------------------------------------------------------------------------


async def test_a_call_is_parked_answered_and_ended_by_us(switch: Switch) -> None:
    caller = await switch.ring_in()
    park = await switch.events.expect("CHANNEL_PARK")
    uuid = park.get("Unique-ID")
    wanted = {
        "Call-Direction": "inbound", "Answer-State": "early", "Channel-State": "CS_EXECUTE",
        "Channel-Read-Codec-Rate": "8000", "Caller-Destination-Number": DID,
        "Caller-Caller-ID-Number": NUMBER, "Caller-Context": "trunk",
        "Caller-Channel-Answered-Time": "0", "Caller-Channel-Hangup-Time": "0",
        "variable_ivr_did": DID, "variable_ivr_kind": "caller", "variable_uuid": uuid,
        "variable_hangup_after_bridge": "true", "variable_continue_on_fail": "true",
        "variable_sofia_profile_name": "trunks", "variable_current_application": "park",
    }  # fmt: skip
    assert {name: park.get(name) for name in wanted} == wanted
    assert int(park.get("Caller-Channel-Created-Time")) > 1_700_000_000_000_000
    assert caller.status == 0
    assert await switch.api(f"uuid_answer {uuid}") == "+OK\n"
    answer = await switch.events.expect("CHANNEL_ANSWER", Unique_ID=uuid)
    assert answer.get("Answer-State") == "answered"
    assert await caller.final() == 200
    assert await switch.api(f"uuid_answer {uuid}") == "+OK\n"
    assert await switch.api(f"uuid_kill {uuid} NORMAL_CLEARING") == "+OK\n"
    end = await switch.hung_up(uuid)
    assert (await caller.ended(), caller.cause) == ("them", "NORMAL_CLEARING")
    assert switch.seen(uuid, "CHANNEL_ANSWER") == []
    wanted = {
        "Hangup-Cause": "NORMAL_CLEARING", "Answer-State": "hangup",
        "Channel-State": "CS_REPORTING", "variable_hangup_cause_q850": "16",
        "variable_sip_hangup_disposition": "send_bye", "variable_sip_term_status": "",
    }  # fmt: skip
    assert {name: end.get(name) for name in wanted} == wanted
    created, answered, hangup = (
        int(end.get(f"Caller-Channel-{name}-Time")) for name in ("Created", "Answered", "Hangup")
    )
    assert 0 < created <= answered <= hangup  # a clock of 20 ms


async def test_a_parked_channel_answers_itself(switch: Switch) -> None:
    caller, uuid = await switch.call()
    port = udp_port()
    await unicast(switch, uuid, port)
    reply = await switch.events.command(
        f"sendmsg {uuid}\ncall-command: execute\nexecute-app-name: answer"
    )
    assert reply.get("Reply-Text") == "+OK"
    await switch.events.expect("CHANNEL_ANSWER", Unique_ID=uuid)
    assert await caller.final() == 200
    await asyncio.sleep(0.1)
    await speak(port)
    await sounded(caller, 460, 521)
    assert switch.seen(uuid, "CHANNEL_UNPARK", "CHANNEL_PARK") == []


async def test_variables(switch: Switch) -> None:
    _, uuid = await switch.call()
    assert await switch.api(f"uuid_getvar {uuid} ivr_did") == DID
    assert await switch.api(f"uuid_getvar {uuid} nothing") == "_undef_"
    assert await switch.api(f"uuid_setvar {uuid} one two  three") == "+OK\n"
    assert await switch.api(f"uuid_getvar {uuid} one") == "two  three"
    assert await switch.api(f"uuid_setvar_multi {uuid} one=;a=1;b=x=y") == "+OK\n"
    assert [await switch.api(f"uuid_getvar {uuid} {name}") for name in ("one", "a", "b")] == [
        "_undef_", "1", "x=y",
    ]  # fmt: skip
    await switch.api(f"uuid_setvar {uuid} odd 100%41{{}}")
    dump = json.loads(await switch.api(f"uuid_dump {uuid} json"))
    assert (dump["Unique-ID"], dump["variable_odd"]) == (uuid, "100%41{}")
    assert dump["variable_ivr_did"] == DID
    async with asyncio.timeout(20):  # a database of its own, which comes after
        while (rows := json.loads(await switch.api("show channels as json")))["row_count"] != 1:
            await asyncio.sleep(0.02)
    assert rows["rows"][0]["uuid"] == uuid


@pytest.mark.parametrize(
    ("cause", "status", "code"),
    [
        ("UNALLOCATED_NUMBER", 404, 1), ("USER_BUSY", 486, 17), ("CALL_REJECTED", 603, 21),
        ("NORMAL_TEMPORARY_FAILURE", 503, 41), ("NORMAL_CLEARING", 480, 16),
    ],
)  # fmt: skip
async def test_what_a_refused_caller_sees(
    switch: Switch, cause: str, status: int, code: int
) -> None:
    caller, uuid = await switch.call()
    await switch.api(f"uuid_kill {uuid} {cause}")
    end = await switch.hung_up(uuid)
    assert await caller.final() == status
    assert (end.get("Hangup-Cause"), end.variable("hangup_cause_q850")) == (cause, str(code))
    assert end.variable("sip_hangup_disposition") == "send_refuse"
    assert end.variable("sip_term_status") == ""


async def test_a_caller_who_gives_up_and_one_who_hangs_up(switch: Switch) -> None:
    for answered, cause, status, said in (
        (False, "ORIGINATOR_CANCEL", "487", "recv_cancel"),
        (True, "NORMAL_CLEARING", "200", "recv_bye"),
    ):
        caller, uuid = await (switch.talk() if answered else switch.call())
        await caller.hang_up()
        end = await switch.hung_up(uuid)
        found = (end.get("Hangup-Cause"), end.variable("sip_term_status"))
        assert found == (cause, status)
        assert end.variable("sip_hangup_disposition") == said
        assert await caller.ended() == "us"


async def test_keys_and_hold(switch: Switch) -> None:
    caller, uuid = await switch.talk()
    await caller.press("5", duration_ms=120)
    key = await switch.events.expect("DTMF", Unique_ID=uuid)
    assert (key.get("DTMF-Digit"), key.get("DTMF-Duration")) == ("5", "960")
    await caller.hold()
    await switch.events.expect("CHANNEL_HOLD", Unique_ID=uuid)
    await caller.resume()
    await switch.events.expect("CHANNEL_UNHOLD", Unique_ID=uuid)


# --- the stream -----------------------------------------------------------------------------------


async def test_a_stream_from_offer_to_stop(switch: Switch, worker: Worker) -> None:
    caller, uuid = await switch.call()
    headers = '{"Authorization":"Bearer v1.a.b"}'
    await switch.api(f"uuid_setvar {uuid} STREAM_EXTRA_HEADERS {headers}")
    assert "audio_stream" not in await switch.api(f"uuid_buglist {uuid}")
    offer = protocol.whisper(Whisper('a "quoted" it\'s é c:\\new'))
    await start(switch, uuid, worker, argument(offer))
    assert json.loads(worker.texts[-1]) == json.loads(offer)
    assert worker.headers[-1]["Authorization"] == "Bearer v1.a.b"
    await worker.until(lambda: len(worker.audio) > 10)  # before the answer, too
    assert {len(frame) for frame in worker.audio} == {320}
    assert "<function>audio_stream</function>" in await switch.api(f"uuid_buglist {uuid}")
    again = await switch.api(f"uuid_audio_stream {uuid} start {worker.url} mono 8000 {{}}")
    assert again == "-ERR Operation Failed\n"

    await switch.api(f"uuid_answer {uuid}")
    assert await caller.final() == 200
    caller.play(TONE)
    await worker.until(lambda: loud_ms(b"".join(worker.audio)) >= 480)
    for text in ('{"type":"answer"}', "no json at all"):
        await worker.send(text)
        event = await switch.events.expect("mod_audio_stream::json")
        assert (event.body, event.get("Unique-ID")) == (text, uuid)
    said = await switch.api(f"uuid_audio_stream {uuid} send_text {argument(offer)} tail")
    assert said == "+OK Success\n"
    await worker.until(lambda: len(worker.texts) == 2)
    assert json.loads(worker.texts[-1]) == json.loads(offer)

    assert await switch.api(f"uuid_audio_stream {uuid} stop") == "+OK Success\n"
    await worker.until(lambda: worker.closed == [1000])
    assert await switch.api(f"uuid_audio_stream {uuid} stop") == "-ERR Operation Failed\n"
    assert await switch.api(f"uuid_audio_stream {uuid} send_text {{}}") == "-ERR Operation Failed\n"
    await asyncio.sleep(0.1)
    assert switch.seen(uuid, "mod_audio_stream::error", "mod_audio_stream::disconnect") == []


async def test_a_caller_who_hangs_up_closes_the_stream(switch: Switch, worker: Worker) -> None:
    caller, uuid = await switch.talk()
    await start(switch, uuid, worker)
    await caller.hang_up()
    await worker.until(lambda: worker.closed == [1000])


async def test_refused_streams(switch: Switch, worker: Worker) -> None:
    _, uuid = await switch.talk()
    for url, refuses in ((f"ws://127.0.0.1:{udp_port()}/call", 0), (worker.url, 503)):
        worker.refuses = refuses
        said = await switch.api(f"uuid_audio_stream {uuid} start {url} mono 8000 {{}}")
        assert said == "+OK Success\n"
        event = await switch.events.expect("mod_audio_stream::error")
        assert (event.get("Unique-ID"), json.loads(event.body)["message"]["code"]) == (uuid, 6)
        await switch.api(f"uuid_audio_stream {uuid} stop")
    worker.refuses = 0
    await start(switch, uuid, worker)


async def test_closed_and_broken_streams(switch: Switch, worker: Worker) -> None:
    _, uuid = await switch.talk()
    await start(switch, uuid, worker)
    await worker.close(1011)
    event = await switch.events.expect("mod_audio_stream::disconnect")
    assert json.loads(event.body)["message"]["code"] == 1011
    await asyncio.sleep(0.2)
    assert "audio_stream" in await switch.api(f"uuid_buglist {uuid}")
    command = f"uuid_audio_stream {uuid}"
    assert await switch.api(f"{command} send_text {{}}") == "+OK Success\n"
    refused = await switch.api(f"{command} start {worker.url} mono 8000 {{}}")
    assert refused == "-ERR Operation Failed\n"
    assert await switch.api(f"{command} stop") == "+OK Success\n"

    await start(switch, uuid, worker)
    worker.break_off()
    event = await switch.events.expect("mod_audio_stream::error")
    assert json.loads(event.body)["message"]["code"] == 1
    await asyncio.sleep(0.2)
    assert switch.seen(uuid, "mod_audio_stream::disconnect") == []
    assert "audio_stream" not in await switch.api(f"uuid_buglist {uuid}")
    await start(switch, uuid, worker)


# --- unicast --------------------------------------------------------------------------------------


async def test_unicast_is_heard_and_ends_with_park(switch: Switch) -> None:
    caller, uuid = await switch.talk()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mirror:
        mirror.bind(("127.0.0.1", 0))
        mirror.setblocking(False)
        port, third = udp_port(), udp_port()
        await unicast(switch, uuid, port, mirror.getsockname()[1])
        await speak(port)
        await sounded(caller, 460, 521)
        assert len(mirror.recv(4096)) == 320

    await switch.api(f"uuid_transfer {uuid} park XML ivr")
    await switch.events.expect("CHANNEL_PARK", Unique_ID=uuid)
    heard = loud_ms(caller.heard())
    await speak(port)
    assert loud_ms(caller.heard()) == heard
    await unicast(switch, uuid, third)
    await speak(third)
    await sounded(caller, heard + 460, heard + 521)


async def test_a_second_unicast_is_deaf_and_lets_the_first_outlive_park(switch: Switch) -> None:
    caller, uuid = await switch.talk()
    port, other = udp_port(), udp_port()
    await unicast(switch, uuid, port)
    await unicast(switch, uuid, other)
    await speak(other)
    assert loud_ms(caller.heard()) == 0
    await speak(port)
    await sounded(caller, 460, 521)
    await switch.api(f"uuid_transfer {uuid} park XML ivr")
    await switch.events.expect("CHANNEL_PARK", Unique_ID=uuid)
    await speak(port)
    await sounded(caller, 920, 1041)


async def test_a_broadcast_ends_unicast(switch: Switch, tmp_path: Path) -> None:
    sound = tmp_path / "sound.wav"
    write_wav(sound, [TONE], RATE_HZ)
    caller, uuid = await switch.talk()
    port = udp_port()
    await unicast(switch, uuid, port)
    await switch.api(f"uuid_broadcast {uuid} {sound} aleg")
    await switch.events.expect("PLAYBACK_STOP", Unique_ID=uuid)
    await asyncio.sleep(0.1)
    await speak(port)
    await sounded(caller, 440, 541)
    assert switch.seen(uuid, "CHANNEL_PARK", "CHANNEL_UNPARK") == []


async def test_unicast_before_the_answer_serves_after_it(switch: Switch) -> None:
    caller, uuid = await switch.call()
    port = udp_port()
    await unicast(switch, uuid, port)
    await switch.api(f"uuid_answer {uuid}")
    assert await caller.final() == 200
    await asyncio.sleep(0.1)
    await speak(port)
    await sounded(caller, 460, 521)


# --- the dialplan ---------------------------------------------------------------------------------


async def test_the_guard(switch: Switch, worker: Worker) -> None:
    caller, uuid = await switch.call()
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await start(switch, uuid, worker)
    event = await switch.events.expect("CHANNEL_ANSWER", 8.0, Unique_ID=uuid)
    assert loop.time() - begun > 2.9
    assert event.get("Caller-Destination-Number") == "failed"
    await worker.until(lambda: worker.closed == [1000])
    await switch.events.expect("PLAYBACK_START", Unique_ID=uuid)
    assert await switch.api(f"uuid_getvar {uuid} ivr_state") == "failed"
    assert await caller.final() == 200
    await caller.hang_up()


async def test_a_guard_put_off(switch: Switch) -> None:
    _, uuid = await switch.call()
    for deleted in (1, 1):
        assert await switch.api(f"sched_del {uuid}") == f"+OK Deleted: {deleted}\n"
        assert await switch.api(f"sched_transfer +60 {uuid} failed XML ivr") == "+OK\n"
    await asyncio.sleep(0.2)
    assert switch.seen(uuid, "CHANNEL_UNPARK", "CHANNEL_ANSWER") == []


async def test_a_blind_transfer_that_fails_and_one_that_does_not(switch: Switch) -> None:
    caller, uuid = await switch.talk()
    await switch.api(f"uuid_setvar {uuid} ivr_human sofia/gateway/carrier/{BUSY}")
    assert await switch.api(f"uuid_transfer {uuid} blind XML ivr") == "+OK\n"
    back = await switch.events.expect("CHANNEL_PARK", Unique_ID=uuid)
    assert back.variable("ivr_returned") == "transfer"
    assert back.variable("originate_disposition") == "USER_BUSY"
    ring = await switch.events.expect("CHANNEL_ORIGINATE")
    assert (ring.variable("ivr_kind"), ring.variable("ivr_call")) == ("person", uuid)
    assert ring.variable("originator") == uuid
    busy = await switch.hung_up(ring.get("Unique-ID"))
    assert busy.get("Hangup-Cause") == "USER_BUSY"
    assert busy.variable("sip_term_status") == "486"
    assert busy.variable("sip_hangup_disposition") == "recv_refuse"

    await switch.api(f"uuid_setvar {uuid} ivr_human sofia/gateway/carrier/{PERSON}")
    await switch.api(f"uuid_transfer {uuid} blind XML ivr")
    bridge = await switch.events.expect("CHANNEL_BRIDGE", Unique_ID=uuid)
    leg = bridge.get("Other-Leg-Unique-ID")
    assert bridge.get("Bridge-B-Unique-ID") == leg
    person = await switch.person(PERSON)
    caller.play(TONE)
    await asyncio.sleep(0.8)
    await sounded(person, 440, 541)
    await person.hang_up()
    assert (await switch.hung_up(leg)).variable("sip_hangup_disposition") == "recv_bye"
    end = await switch.hung_up(uuid)
    assert (end.get("Hangup-Cause"), end.variable("sip_term_status")) == ("NORMAL_CLEARING", "")
    assert end.variable("sip_hangup_disposition") == "send_bye"
    assert await caller.ended() == "them"


async def test_a_menu(switch: Switch, tmp_path: Path) -> None:
    prompt = tmp_path / "prompt.wav"
    write_wav(prompt, [TONE * 4], RATE_HZ)
    caller, uuid = await switch.call()
    await switch.api(f"uuid_setvar_multi {uuid} ivr_menu_file={prompt};ivr_menu_digits=12")
    await switch.api(f"uuid_transfer {uuid} menu XML ivr")
    started = await switch.events.expect("PLAYBACK_START", Unique_ID=uuid)
    assert started.variable("ivr_state") == "menu"
    assert await caller.final() == 200
    await asyncio.sleep(0.2)
    await caller.press("2")
    park = await switch.events.expect("CHANNEL_PARK", Unique_ID=uuid)
    assert (park.variable("ivr_digit"), park.variable("ivr_returned")) == ("2", "menu")
    assert park.get("Caller-Destination-Number") == "park"
    assert loud_ms(caller.heard()) > 100


async def test_closed(switch: Switch, tmp_path: Path) -> None:
    notice = tmp_path / "notice.wav"
    write_wav(notice, [TONE], RATE_HZ)
    caller, uuid = await switch.call()
    await switch.api(f"uuid_setvar_multi {uuid} ivr_notice_file={notice};ivr_human=")
    await switch.api(f"uuid_transfer {uuid} closed XML ivr")
    end = await switch.hung_up(uuid)
    assert end.get("Hangup-Cause") == "NORMAL_CLEARING"
    assert await caller.ended() == "them"
    await sounded(caller, 440, 541)


# --- persons --------------------------------------------------------------------------------------


async def originate(switch: Switch, dial: str, variables: str = "", then: str = "&park()") -> str:
    """The job's id."""
    named = f"{{ivr_kind=person,originate_timeout=2,ignore_early_media=true{variables}}}"
    reply = await switch.events.command(f"bgapi originate {named}{dial} {then}")
    job = reply.get("Job-UUID")
    assert reply.get("Reply-Text") == f"+OK Job-UUID: {job}"
    return job


async def result(switch: Switch, job: str) -> str:
    event = await switch.events.expect("BACKGROUND_JOB", Job_UUID=job)
    assert event.get("Job-Command") == "originate"
    return event.body


@pytest.mark.parametrize(
    ("dial", "wanted"),
    [
        (f"sofia/gateway/carrier/{BUSY}", "USER_BUSY"),
        (f"sofia/gateway/carrier/{AWAY}", "NO_ANSWER"),
        ("sofia/gateway/nosuch/1", "INVALID_GATEWAY"),
        ("user/2009@ivr.internal", "SUBSCRIBER_ABSENT"),
        ("sofia/phones/2009%ivr.internal", "USER_NOT_REGISTERED"),
    ],
)
async def test_nobody(switch: Switch, dial: str, wanted: str) -> None:
    job = await originate(switch, dial)
    assert await result(switch, job) == f"-ERR {wanted}\n"


@pytest.mark.parametrize("status", [404, 480, 503, 603])
async def test_causes_of_refusals(switch: Switch, status: int) -> None:
    number = f"+9155500{status}"
    switch.policies[number] = Refuse(status)
    job = await originate(switch, f"sofia/gateway/carrier/{number}")
    causes = {
        404: "UNALLOCATED_NUMBER", 480: "NO_USER_RESPONSE", 503: "NORMAL_TEMPORARY_FAILURE",
        603: "CALL_REJECTED",
    }  # fmt: skip
    assert await result(switch, job) == f"-ERR {causes[status]}\n"
    ring = await switch.events.expect("CHANNEL_ORIGINATE")
    end = await switch.hung_up(ring.get("Unique-ID"))
    assert end.variable("sip_term_status") == str(status)


async def test_the_next_is_rung_when_one_is_busy(switch: Switch) -> None:
    dial = f"[leg_timeout=1]sofia/gateway/carrier/{BUSY}|sofia/gateway/carrier/{PERSON}"
    said = await result(switch, await originate(switch, dial))
    park = await switch.events.expect("CHANNEL_PARK")
    assert said == f"+OK {park.get('Unique-ID')}\n"


async def test_of_two_rung_at_once_the_first_to_answer_gets_it(switch: Switch) -> None:
    gateway = "sofia/gateway/carrier"
    dial = f"[leg_timeout=5]{gateway}/{AWAY},[leg_timeout=5]{gateway}/{PERSON}"
    said = await result(switch, await originate(switch, dial))
    assert said.startswith("+OK ")
    assert await (await switch.person(AWAY)).ended() == "them"


async def test_a_ringing_person_is_let_go(switch: Switch) -> None:
    job = await originate(switch, f"sofia/gateway/carrier/{AWAY}")
    ring = await switch.events.expect("CHANNEL_ORIGINATE")
    await asyncio.sleep(0.1)
    uuid = ring.get("Unique-ID")
    assert await switch.api(f"uuid_kill {uuid} ORIGINATOR_CANCEL") == "+OK\n"
    end = await switch.hung_up(uuid)
    assert end.get("Hangup-Cause") == "ORIGINATOR_CANCEL"
    assert end.variable("sip_hangup_disposition") == "send_cancel"
    assert await result(switch, job) == "-ERR ORIGINATOR_CANCEL\n"


async def test_a_person_hears_the_summary_and_gets_the_caller(
    switch: Switch, worker: Worker, tmp_path: Path
) -> None:
    caller, uuid = await switch.talk()
    await unicast(switch, uuid, udp_port())
    await start(switch, uuid, worker)
    job = await originate(switch, f"sofia/gateway/carrier/{PERSON}", f",ivr_call={uuid}")
    park = await switch.events.expect("CHANNEL_PARK")
    leg = park.get("Unique-ID")
    assert (park.variable("ivr_kind"), park.variable("ivr_call")) == ("person", uuid)
    assert (park.get("Answer-State"), park.get("Call-Direction")) == ("answered", "outbound")
    assert await result(switch, job) == f"+OK {leg}\n"
    person = await switch.person(PERSON)
    summary = tmp_path / "summary.wav"
    write_wav(summary, [TONE], RATE_HZ)
    assert await switch.api(f"uuid_broadcast {leg} {summary} aleg") == "+OK Message sent\n"
    stop = await switch.events.expect("PLAYBACK_STOP", Unique_ID=leg)
    assert stop.get("Playback-Status") == "done"
    await asyncio.sleep(0.1)
    await sounded(person, 440, 541)

    assert await switch.api(f"uuid_bridge {uuid} {leg}") == f"+OK {leg}\n"
    bridge = await switch.events.expect("CHANNEL_BRIDGE")
    assert (bridge.get("Unique-ID"), bridge.get("Other-Leg-Unique-ID")) == (uuid, leg)
    assert "audio_stream" in await switch.api(f"uuid_buglist {uuid}")  # the worker still listens
    assert await switch.api(f"uuid_audio_stream {uuid} stop") == "+OK Success\n"
    person.play(TONE)
    caller.play(TONE)
    await asyncio.sleep(0.8)
    await sounded(caller, 440, 541)
    await sounded(person, 900, 1081)
    await caller.hang_up()
    assert (await switch.hung_up(leg)).variable("sip_hangup_disposition") == "send_bye"
    assert await person.ended() == "them"


async def test_a_leg_whose_own_time_is_up(switch: Switch) -> None:
    job = await originate(switch, f"[leg_timeout=1]sofia/gateway/carrier/{AWAY}")
    ring = await switch.events.expect("CHANNEL_ORIGINATE")
    end = await switch.hung_up(ring.get("Unique-ID"))
    assert end.get("Hangup-Cause") in ("ALLOTTED_TIMEOUT", "NO_ANSWER")
    assert end.variable("sip_hangup_disposition") == "send_cancel"
    assert (await result(switch, job)).startswith("-ERR ")


async def test_nobody_puts_a_person_through(switch: Switch) -> None:
    variables = ",park_timeout=1:NORMAL_TEMPORARY_FAILURE"
    await originate(switch, f"sofia/gateway/carrier/{PERSON}", variables)
    park = await switch.events.expect("CHANNEL_PARK")
    end = await switch.hung_up(park.get("Unique-ID"))
    assert end.get("Hangup-Cause") == "NORMAL_TEMPORARY_FAILURE"


async def test_a_supervisor_listens(switch: Switch) -> None:
    caller, uuid = await switch.talk()
    port = udp_port()
    await unicast(switch, uuid, port)
    job = await originate(
        switch, f"sofia/gateway/carrier/{PERSON}", f",ivr_call={uuid}", f"&eavesdrop({uuid})"
    )
    leg = (await result(switch, job)).removeprefix("+OK ").strip()
    await asyncio.sleep(0.3)
    person = await switch.person(PERSON)
    assert "<function>eavesdrop</function>" in await switch.api(f"uuid_buglist {uuid}")
    caller.play(TONE)
    await asyncio.sleep(0.8)
    await speak(port)
    await asyncio.sleep(0.2)
    await sounded(person, 880, 1081)
    await caller.hang_up()
    await switch.hung_up(uuid)
    assert (await switch.hung_up(leg)).get("Hangup-Cause") == "NORMAL_CLEARING"


async def test_a_call_that_we_make(switch: Switch) -> None:
    uuid = "aaaabbbb-0000-4000-8000-000000000001"
    variables = f",ivr_direction=out,origination_uuid={uuid}"
    job = await originate(switch, f"sofia/gateway/carrier/{PERSON}", variables, "park XML ivr")
    park = await switch.events.expect("CHANNEL_PARK", Unique_ID=uuid)
    assert (park.get("Answer-State"), park.variable("ivr_direction")) == ("answered", "out")
    assert await result(switch, job) == f"+OK {uuid}\n"
    person = await switch.person(PERSON)
    await switch.api(f"uuid_kill {uuid} NORMAL_CLEARING")
    assert await person.ended() == "them"


# --- the appliance's own client -------------------------------------------------------------------


async def test_the_appliance_speaks_to_it(switch: Switch, worker: Worker) -> None:
    caller, uuid = await switch.call()
    found: Any = switch._real[0] if switch._real else switch._false
    dial = "[a=1,b=2]sofia/gateway/carrier/1|user/2@x"

    def take_up(client: Commands) -> None:
        client.subscribe()
        client.guard(uuid, 60)
        client.set_variables(uuid, {"ivr_state": "talking", "ivr_worker": worker.url})
        client.set_dial_string(uuid, "ivr_human", dial)
        client.stop_stream(uuid)
        client.start_stream(uuid, worker.url, RATE_HZ, "v1.t")
        client.answer(uuid)

    def look(client: Commands) -> tuple[str, bool, dict[str, str]]:
        client.tell_worker(uuid, protocol.whisper(Whisper("x y")))
        client.reload([])
        return client.domain(), client.is_streaming(uuid), client.variables(uuid)

    await asyncio.to_thread(_with_client, found.event_port, found.password, take_up)
    await switch.events.expect("mod_audio_stream::connect", Unique_ID=uuid)
    assert await caller.final() == 200
    domain, streams, variables = await asyncio.to_thread(
        _with_client, found.event_port, found.password, look
    )
    assert (domain, streams) == ("ivr.internal", True)
    assert variables["variable_ivr_worker"] == worker.url
    assert variables["variable_ivr_human"] == dial
    await worker.until(lambda: worker.texts)
    assert json.loads(worker.texts[0]) == {"type": "whisper", "text": "x y"}
    assert worker.headers[0]["Authorization"] == "Bearer v1.t"
    with pytest.raises(SwitchError, match="-ERR No such channel!"):
        await asyncio.to_thread(
            _with_client, found.event_port, found.password, lambda c: c.kill(NOBODY, "USER_BUSY")
        )


def _with_client(port: int, password: str, work: Any) -> Any:
    link = GreenEventSocket("127.0.0.1", port, password)
    link.connect()
    try:
        client = Commands()
        client.attach(link)
        return work(client)
    finally:
        link.close()


# --- recording ------------------------------------------------------------------------------------


async def test_a_recording_has_the_caller_left_and_the_agent_right(
    switch: Switch, tmp_path: Path
) -> None:
    caller, uuid = await switch.talk()
    port, path = udp_port(), tmp_path / "call.wav"
    await unicast(switch, uuid, port)
    await switch.api(f"uuid_setvar_multi {uuid} RECORD_STEREO=true;RECORD_APPEND=true")
    assert await switch.api(f"uuid_record {uuid} start {path}") == "+OK Success\n"
    assert "session_record" in await switch.api(f"uuid_buglist {uuid}")
    caller.play(TONE)
    await asyncio.sleep(0.8)
    await speak(port)
    await caller.hang_up()
    await switch.hung_up(uuid)
    with wave.open(str(path)) as found:
        assert (found.getnchannels(), found.getframerate()) == (2, RATE_HZ)
        both = np.frombuffer(found.readframes(found.getnframes()), "<i2").reshape(-1, 2)
    left, right = both[:, 0], both[:, 1]
    assert loud_ms(left.tobytes()) in range(440, 541)
    assert loud_ms(right.tobytes()) in range(440, 541)
    assert np.flatnonzero(np.abs(left) > 1000)[0] < np.flatnonzero(np.abs(right) > 1000)[0]


# --- what only the stand-in can do ----------------------------------------------------------------


async def test_an_orderly_end_is_announced(tmp_path: Path) -> None:
    async with standin(tmp_path) as false:
        reader, writer = await asyncio.open_connection("127.0.0.1", false.event_port)
        assert await reader.readuntil(b"\n\n") == b"Content-Type: auth/request\n\n"
        writer.write(f"auth {false.password}\n\n".encode())
        assert b"+OK accepted" in await reader.readuntil(b"\n\n")
        await false.stop()
        assert b"text/disconnect-notice" in await reader.readuntil(b"\n\n")
        writer.close()
        await writer.wait_closed()


async def test_a_gateway_that_changes(tmp_path: Path) -> None:
    async with standin(tmp_path) as false:
        events = await EventSocket.open(false.event_port, false.password)
        await events.subscribe("CUSTOM", "sofia::gateway_state")
        false.add_gateway("carrier", "FAIL_WAIT")
        event = await events.expect("sofia::gateway_state")
        assert (event.get("Gateway"), event.get("State")) == ("carrier", "FAIL_WAIT")
        await events.close()


async def test_what_it_does_not_know_is_told(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="knows no message"):
        async with standin(tmp_path) as false:
            await false.call(DID)
            (uuid,) = false.channels
            false.message(uuid, "call-command: nomedia")
