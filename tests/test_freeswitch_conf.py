"""The shipped configuration and dialplans, in a real FreeSWITCH with real SIP."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import WSMsgType, web
from freeswitch_kit import Event, EventSocket, FreeSwitch, free_port, freeswitch, needs_freeswitch
from rawsip import Telephone

from appliance.events import Whisper
from appliance.media import protocol
from appliance.telephony.freeswitch import argument
from appliance.telephony.site import Options, configure

pytestmark = [needs_freeswitch, pytest.mark.server, pytest.mark.sip]

CARRIER = "127.0.0.2"
PERSON = "127.0.0.3"
STRANGER = "127.0.0.9"


def carrier(fs: FreeSwitch, host: str = CARRIER) -> object:
    """A telephone that talks to the profile of the trunks."""
    return Telephone.at(host, ("127.0.0.1", fs.sip_port))


@asynccontextmanager
async def running(
    folder: Path, options: Options | None = None, *events: str
) -> AsyncIterator[tuple[FreeSwitch, EventSocket]]:
    """A switch that the carrier may call, and its events."""
    async with freeswitch(folder, options=options) as fs:
        await fs.allow(CARRIER)
        es = await fs.connect()
        await es.subscribe("CHANNEL_CREATE", "CHANNEL_PARK", "CHANNEL_ANSWER", "CHANNEL_BRIDGE",
                           "CHANNEL_HANGUP_COMPLETE", "PLAYBACK_START", *events)  # fmt: skip
        try:
            yield fs, es
        finally:
            await es.close()


async def parked(es: EventSocket, fs: FreeSwitch) -> Event:
    """The next call that waits for `ivr switch`, its guard taken off."""
    event = await es.expect("CHANNEL_PARK")
    await fs.api(f"sched_del {event.get('Unique-ID')}")
    return event


async def test_it_loads_clean_and_tells_no_version(tmp_path: Path) -> None:
    async with running(tmp_path) as (fs, _), carrier(fs, STRANGER) as phone:
        assert fs.troubles() == []
        response = await phone.ask("OPTIONS", f"sip:127.0.0.1:{fs.sip_port}")
        assert response and response.status == 200
        text = response.serialise().decode().lower()
        assert "freeswitch" not in text and "sofia" not in text and "1.10" not in text
        assert "REFER" not in response.headers.get("allow")
        modules = (fs.conf / "autoload_configs" / "modules.conf.xml").read_text()
        for module in re.findall(r'"(mod_\w+)"', modules):
            assert await fs.api(f"module_exists {module}") == "true", module


async def test_an_unknown_address_gets_403_and_no_channel(tmp_path: Path) -> None:
    async with running(tmp_path) as (fs, es), carrier(fs, STRANGER) as stranger:
        assert (await stranger.call("1001")).status == 403
        lying = await stranger.call("1001", extra="X-AUTH-IP: 127.0.0.2\r\nX-Gateway: carrier\r\n")
        assert lying.status == 403
        assert not [e for e in es.events if e.name in ("CHANNEL_PARK", "CHANNEL_ANSWER")]
        assert await fs.channels() == []
        async with carrier(fs) as known:
            call = asyncio.create_task(known.call("1001"))
            park = await parked(es, fs)
            assert park.variable("sip_network_ip") == CARRIER
            assert park.variable("ivr_did") == "1001"
            assert park.get("Caller-Context") == "trunk"
            await fs.api(f"uuid_kill {park.get('Unique-ID')} CALL_REJECTED")
            assert (await call).status == 603


@pytest.mark.parametrize("profile", ["sip_port", "phones_port"])
async def test_strangers_get_nothing_by_other_methods(tmp_path: Path, profile: str) -> None:
    async with running(tmp_path, None, "MESSAGE", "CUSTOM", "NOTIFY_IN") as (fs, es):
        port = getattr(fs, profile)
        async with Telephone.at(STRANGER, ("127.0.0.1", port)) as stranger:
            for method in (
                "REGISTER",
                "SUBSCRIBE",
                "MESSAGE",
                "REFER",
                "PUBLISH",
                "NOTIFY",
                "INFO",
            ):
                extra = {
                    "SUBSCRIBE": "Event: presence\r\n", "NOTIFY": "Event: check-sync\r\n",
                    "REFER": "Refer-To: <sip:900@127.0.0.1>\r\n", "PUBLISH": "Event: presence\r\n",
                }.get(method, "")  # fmt: skip
                response = await stranger.ask(
                    method, f"sip:1001@127.0.0.1:{port}", extra=extra, timeout_s=0.7
                )
                refused = response is None or response.status >= 400
                assert refused or method in ("MESSAGE", "INFO"), method
        assert es.events == []  # those two are answered and dropped


async def test_telephones_need_their_password(tmp_path: Path) -> None:
    async with running(tmp_path) as (fs, es):
        await fs.add_phone("1001", "right")
        async with Telephone.at("127.0.0.1", ("127.0.0.1", fs.phones_port)) as phone:
            assert await phone.register("1001", "wrong", fs.domain) in (401, 403)
            assert await phone.register("1002", "right", fs.domain) in (401, 403)
            assert (await phone.call("1002")).status == 407
            assert (await phone.call("1002", login=("1001", "wrong"))).status == 403
            assert not [e for e in es.events if e.name == "CHANNEL_PARK"]
            assert await phone.register("1001", "right", fs.domain) == 200
            call = asyncio.create_task(phone.call("1002", login=("1001", "right")))
            park = await parked(es, fs)
            assert park.get("Caller-Context") == "phones"
            assert park.variable("sip_auth_username") == "1001"
            await fs.api(f"uuid_kill {park.get('Unique-ID')}")
            await call


async def test_a_registered_telephone_rings(tmp_path: Path) -> None:
    async with running(tmp_path) as (fs, _):
        await fs.add_phone("1001", "right")
        async with Telephone.at("127.0.0.1", ("127.0.0.1", fs.phones_port)) as phone:
            assert await phone.register("1001", "right", fs.domain) == 200
            for dial in (f"sofia/phones/1001%{fs.domain}", f"user/1001@{fs.domain}"):
                answer = await fs.api(f"originate {dial} &park()")
                assert answer.startswith("+OK"), answer
                line, invite = await asyncio.wait_for(phone.rings.get(), 3)
                assert "1001" in invite.uri or "me@" in invite.uri
                await fs.api(f"uuid_kill {answer.split()[1]}")
                await asyncio.wait_for(line.over.wait(), 3)


@pytest.mark.parametrize("user", ["gw+airtel", "1;gw=airtel", "+911"])
async def test_a_call_to_our_registration_keeps_its_did(tmp_path: Path, user: str) -> None:
    """Carriers that we register with call our Contact, and name the DID in To."""
    async with running(tmp_path) as (fs, es), carrier(fs) as phone:
        await fs.add_trunk("airtel", CARRIER, phone.port)
        uri = f"sip:{user}@127.0.0.1:{fs.sip_port};gw=airtel"
        line = phone.line(uri)
        line.theirs = "<sip:+911140001234@carrier.example>"
        call = asyncio.create_task(phone.ask("INVITE", uri, line, body=phone.sdp((0,))))
        park = await parked(es, fs)
        assert park.get("Caller-Context") == "trunk"
        assert park.variable("ivr_did") == "+911140001234"
        assert park.variable("sip_gateway") == "airtel"  # whoever calls can say so
        assert park.variable("sip_network_ip") == CARRIER
        await fs.api(f"uuid_kill {park.get('Unique-ID')}")
        await call


async def test_broken_sip_does_not_hurt(tmp_path: Path) -> None:
    async with running(tmp_path) as (fs, _), carrier(fs) as phone:
        line = phone.line(f"sip:1001@127.0.0.1:{fs.sip_port}")
        whole = phone.request("INVITE", line.target, line, body=phone.sdp((0,)))
        broken = [
            whole[:200], whole[: len(whole) // 2], b"INVITE", b"\r\n\r\n", b"\0" * 1400,
            bytes(range(256)) * 5, b"INVITE sip:1001 SIP/2.0\r\n" + b"X: " + b"a" * 60_000,
            whole.replace(b"Content-Length: ", b"Content-Length: -"),
            whole.replace(b"Content-Length: ", b"Content-Length: 9999999999"),
            whole.replace(b"CSeq: 1 INVITE", b"CSeq: 99999999999999999999 BYE"),
            whole.replace(b"Via: SIP/2.0/UDP", b"Via: SIP/9.9/???"),
            whole.replace(b"m=audio", b"m=audio audio"), whole.replace(b"v=0", b"v=" + b"9" * 500),
            whole.replace(b"c=IN IP4 127.0.0.2", b"c=IN IP4 999.1.1.1"),
            whole.replace(b"From: <", b"From: " + b"\"" * 999 + b"<"),
            whole.replace(b"Max-Forwards: 70", b"Max-Forwards: 0"),
            b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1\r\nCSeq: 1 INVITE\r\n\r\n",
        ]  # fmt: skip
        for data in broken:
            phone.send(data)
        with socket.create_connection(("127.0.0.1", fs.sip_port)) as tcp:
            tcp.sendall(whole[:300] + bytes(range(256)))
            await asyncio.sleep(0.5)
        response = await phone.ask("OPTIONS", f"sip:127.0.0.1:{fs.sip_port}")
        assert response and response.status == 200
        assert "UP" in await fs.api("status")


async def test_the_event_socket_wants_its_password(tmp_path: Path) -> None:
    async with running(tmp_path) as (fs, _):
        with pytest.raises(ConnectionRefusedError, match="invalid"):
            await EventSocket.open(fs.event_port, "ClueCon")
        with pytest.raises(ConnectionRefusedError):  # it listens on one address alone
            socket.create_connection((STRANGER, fs.event_port))


async def test_nobody_controls_apology_then_the_person(tmp_path: Path) -> None:
    """No `ivr switch` at all: four seconds, the apology, ringing, a person."""
    async with running(tmp_path, Options(failure_dial="sofia/gateway/site/100")) as (fs, es):
        async with carrier(fs) as phone, carrier(fs, PERSON) as person:
            await fs.add_trunk("site", PERSON, person.port)
            await fs.allow(CARRIER)
            file = fs.conf / "sounds" / "apology-en.wav"
            await fs.api(f"global_setvar ivr_apology_file={file}")  # until XML is read again
            line = await phone.call("1001", timeout_s=8)
            assert line.status == 200, "answered by the guard"
            ringing, _ = await asyncio.wait_for(person.rings.get(), 8)
            assert phone.sound_ms() > 2000, "the apology"
            bridge = await es.expect("CHANNEL_BRIDGE")
            uuid, other = bridge.get("Bridge-A-Unique-ID"), bridge.get("Bridge-B-Unique-ID")
            assert await fs.variable(uuid, "ivr_state") == "failed"
            assert await fs.variable(other, "ivr_kind") == "person"
            assert await fs.variable(other, "ivr_call") == uuid
            await person.hang_up(ringing)
            await asyncio.wait_for(line.over.wait(), 3)


async def test_a_reload_by_hand_is_told_of_once_a_new_failure_dial_is_known(tmp_path: Path) -> None:
    """`ivr switch` asks for it then."""
    dial = "user/1001@ivr.internal"
    async with running(tmp_path, None, "RELOADXML") as (fs, es):
        configure(fs.settings, fs.conf, Options(failure_dial=dial))
        assert "no reply" in await fs.api("global_getvar ivr_failure_dial")
        await fs.api("reloadxml")
        await es.expect("RELOADXML")
        assert await fs.api("global_getvar ivr_failure_dial") == dial


async def test_nobody_at_all_is_told_so_and_hung_up(tmp_path: Path) -> None:
    async with running(tmp_path, Options(failure_dial="sofia/gateway/none/100")) as (fs, es):
        for name, file in (("apology", "silence_stream://20"), ("nobody", "")):
            file = file or str(fs.conf / "sounds/nobody-en.wav")
            await fs.api(f"global_setvar ivr_{name}_file={file}")
        async with carrier(fs) as phone:
            call = asyncio.create_task(phone.call("1001"))
            park = await parked(es, fs)
            await fs.api(f"uuid_transfer {park.get('Unique-ID')} failed XML ivr")
            line = await call
            await asyncio.wait_for(line.over.wait(), 8)
            assert phone.sound_ms() > 2000
            end = await es.expect("CHANNEL_HANGUP_COMPLETE")
            assert end.get("Hangup-Cause") == "NORMAL_CLEARING"


@pytest.mark.parametrize("profile", ["trunks", "phones"])
async def test_whom_we_ring_cannot_send_us_on_to_a_number_of_theirs(
    tmp_path: Path, profile: str
) -> None:
    """A 302 would have us call, and pay for, whatever its sender likes."""
    async with running(tmp_path) as (fs, es), carrier(fs) as phone:
        ours = ("127.0.0.1", fs.sip_port if profile == "trunks" else fs.phones_port)
        async with Telephone.at(PERSON, ours) as person, Telephone.at(STRANGER, ours) as premium:
            person.moved_to = f"sip:+882premium@{STRANGER}:{premium.port}"
            dial = f"sofia/{profile}/100@{PERSON}:{person.port}"
            assert (await fs.api(f"originate {dial} &park()")).startswith("-ERR")
            line = asyncio.create_task(phone.call("1001"))
            uuid = (await parked(es, fs)).get("Unique-ID")
            await fs.api(f"uuid_setvar {uuid} ivr_human {dial}")
            await fs.api(f"uuid_transfer {uuid} blind XML ivr")
            back = await parked(es, fs)
            assert back.variable("ivr_returned") == "transfer"
            assert premium.rings.empty()
            await fs.api(f"uuid_kill {uuid}")
            await line


HOSTILE = [
    "${system(touch%20MARK)}", "$%7Bsystem(touch%20MARK)%7D", "%24%7Bsystem%28touch+MARK%29%7D",
    "100'%20failed%20XML%20ivr", "100%0A%0Abgapi%20shutdown", "100%0d%0aX:%201", "100\\${uuid}",
    "$$%7Bevent_socket_password%7D", "1" * 65, "%00", "1001,failed,XML", "park%20XML%20ivr",
]  # fmt: skip


async def test_hostile_user_parts_and_names_are_only_text(tmp_path: Path) -> None:
    """Whatever is dialled: refused, or a DID made of harmless characters."""
    mark = tmp_path / "executed"
    async with running(tmp_path, None, "CHANNEL_EXECUTE") as (fs, es), carrier(fs) as phone:
        for user in HOSTILE:
            user = user.replace("MARK", str(mark).replace("/", "%2F"))
            line = await phone.call(user, timeout_s=0.4)
            if line.status in range(100, 400):
                park = await parked(es, fs)
                assert re.fullmatch(r"[0-9A-Za-z+*#_.-]{1,64}", park.variable("ivr_did")), user
                await fs.api(f"uuid_kill {park.get('Unique-ID')}")
            assert not mark.exists(), user
        name = f'"${{system(touch {mark})}}\' ${{uuid}} \\n"'
        line = phone.line(f"sip:1001@127.0.0.1:{fs.sip_port}", "${uuid}%27", name)
        call = asyncio.create_task(
            phone.call("1001", line=line, extra=f"X-A: ${{system(touch {mark})}}\r\n", timeout_s=8)
        )
        uuid = (await parked(es, fs)).get("Unique-ID")
        await fs.api("global_setvar ivr_nobody_file=silence_stream://20")
        await fs.api("global_setvar ivr_apology_file=silence_stream://20")
        await fs.api(f"uuid_transfer {uuid} failed XML ivr")
        await call
        await asyncio.wait_for(line.over.wait(), 5)
        assert not mark.exists()
        assert "UP" in await fs.api("status")
        assert fs.password not in fs.log()


@pytest.mark.parametrize(
    ("offered", "codec", "rate_hz"),
    [
        ((8,), "PCMA", 8000),
        ((0, 8), "PCMU", 8000),
        ((9, 0), "G722", 16000),
        ((116, 0), "opus", 16000),
    ],
)
async def test_codecs_and_the_rate_of_their_channels(
    tmp_path: Path, offered: tuple[int, ...], codec: str, rate_hz: int
) -> None:
    """The caller's first choice counts; unicast and the stream run at the channel's rate."""
    async with running(tmp_path) as (fs, es), carrier(fs) as phone:
        call = asyncio.create_task(phone.call("1001", payload_types=offered))
        uuid = (await parked(es, fs)).get("Unique-ID")
        port, back = free_port(), socket.socket(type=socket.SOCK_DGRAM)
        back.bind(("127.0.0.1", 0))
        back.settimeout(3)
        with back:  # at once: without media before park this aborted the whole switch
            await es.command(
                f"sendmsg {uuid}\ncall-command: unicast\nlocal-ip: 127.0.0.1\nlocal-port: {port}\n"
                f"remote-ip: 127.0.0.1\nremote-port: {back.getsockname()[1]}\ntransport: udp"
            )
            await fs.api(f"uuid_answer {uuid}")
            assert (await call).status == 200
            assert await fs.variable(uuid, "read_codec") == codec
            assert await fs.variable(uuid, "read_rate") == str(rate_hz)
            mirrored = await asyncio.to_thread(back.recv, 4000)
            assert len(mirrored) == rate_hz // 50 * 2
            before = len(phone.heard)
            for _ in range(25):
                back.sendto(b"\0\x20" * (rate_hz // 50), ("127.0.0.1", port))
                await asyncio.sleep(0.02)
            assert len(phone.heard) - before >= 20
            assert phone.heard[-1][0] == offered[0]


async def test_stereo_opus_is_not_taken(tmp_path: Path) -> None:
    """Its unicast would be two channels, which the worker's one would rush through."""
    async with running(tmp_path) as (fs, es), carrier(fs) as phone:
        plain = phone.sdp
        phone.sdp = lambda kinds: plain(kinds) + "a=fmtp:116 stereo=1\r\n"  # type: ignore[method-assign]
        call = asyncio.create_task(phone.call("1001", payload_types=(116, 9, 0)))
        uuid = (await parked(es, fs)).get("Unique-ID")
        await fs.api(f"uuid_answer {uuid}")
        assert (await call).status == 200
        assert await fs.variable(uuid, "read_codec") == "G722"


async def test_srtp_is_taken_where_it_is_offered(tmp_path: Path) -> None:
    async with running(tmp_path) as (fs, es), carrier(fs) as phone:
        key = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + "A" * 40 + "\r\n"
        plain = phone.sdp
        phone.sdp = lambda kinds: plain(kinds).replace("RTP/AVP", "RTP/SAVP") + key  # type: ignore[method-assign]
        call = asyncio.create_task(phone.call("1001"))
        uuid = (await parked(es, fs)).get("Unique-ID")
        await fs.api(f"uuid_answer {uuid}")
        answer = (await call).responses[-1].body.decode()
        assert "RTP/SAVP" in answer and "a=crypto:1 AES_CM_128_HMAC_SHA1_80" in answer


def make_certificate(folder: Path) -> Path:
    """A self-signed one, in the form that FreeSWITCH wants."""
    folder.mkdir()
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=ivr.internal",
         "-keyout", "key.pem", "-out", "cert.pem", "-days", "2"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    both = (folder / "cert.pem").read_text() + (folder / "key.pem").read_text()
    (folder / "agent.pem").write_text(both)
    return folder


async def test_tls_is_served_with_a_certificate(tmp_path: Path) -> None:
    folder = make_certificate(tmp_path / "tls")
    async with running(tmp_path, Options(tls_certificates=folder)) as (fs, _):
        assert fs.troubles() == []
        trust = ssl.create_default_context(cafile=folder / "cert.pem")
        trust.check_hostname = False
        for port in (fs.sip_port + 1, fs.phones_port + 1):
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust)
            assert writer.get_extra_info("ssl_object").version() in ("TLSv1.2", "TLSv1.3")
            writer.close()
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        with pytest.warns(DeprecationWarning):
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection("127.0.0.1", fs.sip_port + 1, ssl=old)


async def test_the_menu_gives_its_digit(tmp_path: Path) -> None:
    async with running(tmp_path) as (fs, es), carrier(fs) as phone:
        call = asyncio.create_task(phone.call("1001"))
        uuid = (await parked(es, fs)).get("Unique-ID")
        await fs.api(f"uuid_setvar {uuid} ivr_menu_file {fs.conf}/sounds/nobody-en.wav")
        await fs.api(f"uuid_setvar {uuid} ivr_menu_digits 12")
        await fs.api(f"uuid_transfer {uuid} menu XML ivr")
        await es.expect("PLAYBACK_START")
        assert (await call).status == 200
        await fs.api(f"uuid_recv_dtmf {uuid} 7")
        await es.expect("PLAYBACK_START")  # no such choice: once more
        await fs.api(f"uuid_recv_dtmf {uuid} 2")
        park = await parked(es, fs)
        assert park.variable("ivr_digit") == "2"
        assert park.variable("ivr_returned") == "menu"


async def test_a_blind_transfer_that_fails_comes_back(tmp_path: Path) -> None:
    async with running(tmp_path) as (fs, es), carrier(fs) as phone, carrier(fs, PERSON) as person:
        person.answers = False
        await fs.add_trunk("site", PERSON, person.port)
        await fs.allow(CARRIER)
        call = asyncio.create_task(phone.call("1001"))
        uuid = (await parked(es, fs)).get("Unique-ID")
        await fs.api(f"uuid_setvar {uuid} ivr_human {{leg_timeout=1}}sofia/gateway/site/100")
        await fs.api(f"uuid_transfer {uuid} blind XML ivr")
        await call
        line, _ = await asyncio.wait_for(person.rings.get(), 3)
        await asyncio.wait_for(line.over.wait(), 4)
        assert phone.sound_ms() > 200, "the caller heard it ringing"
        park = await parked(es, fs)
        assert park.variable("ivr_returned") == "transfer"
        assert park.variable("originate_disposition") in ("NO_ANSWER", "ALLOTTED_TIMEOUT")


async def test_closed_hours_say_so_and_hang_up(tmp_path: Path) -> None:
    async with running(tmp_path) as (fs, es), carrier(fs) as phone:
        call = asyncio.create_task(phone.call("1001"))
        uuid = (await parked(es, fs)).get("Unique-ID")
        await fs.api(f"uuid_setvar {uuid} ivr_notice_file {fs.conf}/sounds/nobody-en.wav")
        await fs.api(f"uuid_transfer {uuid} closed XML ivr")
        line = await call
        await asyncio.wait_for(line.over.wait(), 8)
        assert phone.sound_ms() > 2000


class Listener:
    """The worker's end of a stream: keeps what comes."""

    def __init__(self) -> None:
        self.extensions = ""
        self.texts: list[str] = []
        self.sizes: set[int] = set()
        self.over = asyncio.Event()
        self.close_code: int | None = None

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.extensions = request.headers.get("Sec-WebSocket-Extensions", "")
        ws = web.WebSocketResponse(compress=False)
        await ws.prepare(request)
        async for message in ws:
            if message.type is WSMsgType.TEXT:
                self.texts.append(message.data)
            else:
                self.sizes.add(len(message.data))
        self.close_code = ws.close_code
        self.over.set()
        return ws

    async def heard(self) -> bool:
        return bool(self.sizes)


@asynccontextmanager
async def listener() -> AsyncIterator[tuple[Listener, str]]:
    here, app = Listener(), web.Application()
    app.router.add_get("/call", here.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield here, f"ws://127.0.0.1:{runner.addresses[0][1]}/call"
    finally:
        await runner.cleanup()


async def test_a_stream_and_its_digits_and_the_end_of_both(tmp_path: Path) -> None:
    """No compression, no digit in the log, and `failed` takes the stream off the channel."""
    async with running(tmp_path) as (fs, es), carrier(fs) as phone, listener() as (worker, url):
        call = asyncio.create_task(phone.call("1001"))
        uuid = (await parked(es, fs)).get("Unique-ID")
        start = f'uuid_audio_stream {uuid} start {url} mono 8k {{"call_id":"{uuid}"}}'
        assert (await fs.api(start)).startswith("+OK")
        await fs.api(f"uuid_answer {uuid}")
        line = await call
        await fs.until(worker.heard)
        assert worker.sizes == {320}
        assert worker.extensions == ""
        await fs.api("fsctl loglevel debug")
        await fs.api(f'uuid_audio_stream {uuid} send_text {{"digit":"98761234"}}')
        await fs.until(lambda: _has(worker.texts, "98761234"))
        said = Whisper('it\'s "नमस्ते" \\n \\u0041 ' + "\U0001f600" * 400)
        await fs.api(f"uuid_audio_stream {uuid} send_text {argument(protocol.whisper(said))}")
        await fs.until(lambda: _has(worker.texts, "whisper"))
        assert json.loads(worker.texts[-1])["text"] == said.text
        await fs.api(f"uuid_recv_dtmf {uuid} 98761234")
        await fs.api(f"uuid_transfer {uuid} failed XML ivr")
        await asyncio.wait_for(worker.over.wait(), 3)
        await es.expect("PLAYBACK_START")
        assert not re.search(r"(?<!\d)9876", fs.log())  # a time of day may hold such digits
        await phone.hang_up(line)
        await es.expect("CHANNEL_HANGUP_COMPLETE")
        assert "UP" in await fs.api("status")


async def _has(texts: list[str], part: str) -> bool:
    return any(part in text for text in texts)
