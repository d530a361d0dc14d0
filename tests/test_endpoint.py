"""Real SIP calls through `ivr sip`: pjsua2 callers and sipp, to a real websocket worker."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
from pathlib import Path

import numpy as np
import pytest
from sipkit import (
    free_port,
    media_worker,
    options,
    sip_office,
    sip_settings,
    tone,
    tone_file,
    until_ready,
)

from appliance.audio import frame_bytes, read_wav, sound_spans, write_wav
from appliance.events import Dtmf, Offer
from appliance.media.server import MediaServer, Stream
from appliance.settings import Settings
from appliance.telephony.callercontrol import CallerControl
from appliance.telephony.sip import SipOffice

pytestmark = pytest.mark.sip


def where(office_port: int, number: str = "1001") -> str:
    return f"sip:{number}@127.0.0.1:{office_port}"


def echo_delays(wav: Path) -> list[int]:
    """For each sound that the caller made: ms until it came back."""
    (said, heard), rate_hz = read_wav(wav)
    spans = [sound_spans(c, rate_hz, bridge_ms=100, window_ms=5) for c in (said, heard)]
    return [back - there for (there, _), (back, _) in zip(*spans, strict=True)]


@pytest.mark.parametrize(
    ("transport", "codec", "rate_hz"),
    [("udp", "PCMU", 8000), ("tcp", "PCMA", 8000), ("udp", "G722", 16000), ("tcp", "PCMU", 8000)],
)
async def test_call_echo_and_keys(tmp_path: Path, transport: str, codec: str, rate_hz: int) -> None:
    wav = tmp_path / "call.wav"
    async with media_worker(tmp_path) as worker:
        settings = sip_settings(tmp_path, (worker.url,))
        async with sip_office(settings):
            async with await CallerControl.ring(
                where(settings.sip.port), record=wav, transport=transport, codec=codec
            ) as caller:
                await caller.wait_for("answered")
                stream = await worker.stream()
                assert (stream.offer["did"], stream.offer["rate"]) == ("1001", rate_hz)
                await asyncio.sleep(0.2)
                for _ in range(2):
                    await caller.play(tone_file(tmp_path / "tone.wav", 200, rate_hz))
                    await caller.wait_for("quiet")
                await caller.press("5#")
                await asyncio.sleep(0.7)
                await caller.hang_up()
                assert (await caller.wait_for("ended"))["cause"].startswith("200")
            await asyncio.wait_for(stream.over.wait(), 10)
    keys = [t for t in stream.texts if t["type"] == "dtmf"]
    assert [k["digit"] for k in keys] == ["5", "#"]
    assert all(40 <= k["duration_ms"] <= 400 for k in keys)
    assert stream.texts[-1] == {"type": "hangup", "cause": "NORMAL_CLEARING"}
    assert stream.sizes == {frame_bytes(rate_hz)}
    delays = echo_delays(wav)
    assert len(delays) == 2 and max(delays) <= 600  # 50-90 ms on a quiet machine


class EchoDoor:
    """A worker's desk that takes every call and repeats what it hears."""

    def __init__(self) -> None:
        self.keys: list[Dtmf] = []
        self.over = asyncio.Event()
        self.cause = ""
        self._stream: Stream | None = None

    def refusal(self, call_id: str, part: int = 0) -> str:
        return ""

    def holds(self, call_id: str) -> bool:
        return False

    def admit(self, offer: Offer, stream: Stream) -> EchoDoor:
        self._stream = stream
        stream.answer()
        return self

    def health(self) -> dict[str, object]:
        return {"status": "ok", "calls": 0, "capacity": 1}

    def watch(self, watcher: object) -> None: ...

    def unwatch(self, watcher: object) -> None: ...

    def on_audio(self, frame: bytes) -> None:
        assert self._stream
        self._stream.play(frame)

    def on_dtmf(self, key: Dtmf) -> None:
        self.keys.append(key)

    def on_hangup(self, cause: str) -> None:
        self.cause = cause
        self.over.set()


async def test_the_workers_own_media_server_fits(tmp_path: Path) -> None:
    door = EchoDoor()
    server = MediaServer(door, Settings(data_dir=tmp_path).secret("media"))
    port = await server.start("127.0.0.1", 0)
    urls = (f"ws://127.0.0.1:{port}", "ws://127.0.0.1:1")  # two, so that /health is asked
    settings = sip_settings(tmp_path, urls)
    async with (
        sip_office(settings),
        await CallerControl.ring(where(settings.sip.port)) as caller,
    ):
        await caller.wait_for("answered")
        await asyncio.sleep(0.2)
        await caller.play(tone_file(tmp_path / "tone.wav", 200))
        await caller.wait_for("quiet")
        await caller.press("7")
        await asyncio.sleep(0.5)
        await caller.hang_up()
        await asyncio.wait_for(door.over.wait(), 10)
    server.close()
    assert [key.digit for key in door.keys] == ["7"]
    assert door.cause == "NORMAL_CLEARING"


async def test_goodbye_is_heard_to_its_last_sample(tmp_path: Path) -> None:
    wav = tmp_path / "call.wav"
    async with media_worker(tmp_path) as worker:
        worker.echoes = False
        settings = sip_settings(tmp_path, (worker.url,))
        async with sip_office(settings):
            async with await CallerControl.ring(where(settings.sip.port), record=wav) as caller:
                await caller.wait_for("answered")
                stream = await worker.stream()
                speech, size = tone(600), frame_bytes(8000)
                loop = asyncio.get_running_loop()
                begin = loop.time()
                for n in range(len(speech) // size):
                    stream.say(speech[n * size : (n + 1) * size])
                    await asyncio.sleep(begin + (n + 1) * 0.02 - loop.time())
                await stream.send(type="hangup", cause="NORMAL_CLEARING")
                ended = await caller.wait_for("ended")
            await asyncio.wait_for(stream.over.wait(), 10)
    (_, heard), rate_hz = read_wav(wav)
    (start, end), *_ = sound_spans(heard, rate_hz)
    assert end - start >= 590
    assert ended["ms"] - end < 500  # and the line is not held open for long


async def test_greeting_said_at_once_is_heard_whole(tmp_path: Path) -> None:
    wav = tmp_path / "call.wav"
    async with media_worker(tmp_path) as worker:
        worker.echoes = False
        worker.answers = False
        settings = sip_settings(tmp_path, (worker.url,))
        async with sip_office(settings):
            async with await CallerControl.ring(where(settings.sip.port), record=wav) as caller:
                stream = await worker.stream()
                await stream.send(type="answer")
                speech, size = tone(600), frame_bytes(8000)
                loop = asyncio.get_running_loop()
                begin = loop.time()
                for n in range(len(speech) // size):
                    stream.say(speech[n * size : (n + 1) * size])
                    await asyncio.sleep(begin + (n + 1) * 0.02 - loop.time())
                await caller.wait_for("quiet")
    (_, heard), rate_hz = read_wav(wav)
    (start, end), *_ = sound_spans(heard, rate_hz)
    assert end - start >= 590


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_hold_and_resume(tmp_path: Path, transport: str) -> None:
    async with media_worker(tmp_path) as worker:
        settings = sip_settings(tmp_path, (worker.url,))
        async with sip_office(settings, silent_rtp_s=0.6):
            async with await CallerControl.ring(
                where(settings.sip.port), transport=transport
            ) as caller:
                await caller.wait_for("answered")
                stream = await worker.stream()
                await caller.hold()
                await asyncio.sleep(1.2)  # no RTP comes, but a caller who holds may be silent
                frames = stream.frames
                assert frames >= 50  # the call's clock goes on
                await caller.resume()
                await asyncio.sleep(0.3)
                await caller.play(tone_file(tmp_path / "tone.wav", 200))
                await caller.wait_for("sound")


@pytest.mark.skipif(shutil.which("sipp") is None, reason="sipp is not installed")
async def test_a_caller_without_rtp_hears_and_is_hung_up_in_the_end(tmp_path: Path) -> None:
    async with media_worker(tmp_path) as worker:
        settings = sip_settings(tmp_path, (worker.url,))
        async with sip_office(settings, silent_rtp_s=1.0) as office:
            await sipp(
                settings.sip.port, tmp_path, "-sf", write_scenario(tmp_path, WAITING), "-m", "1",
                "-mp", str(settings.sip.rtp_port + 150),
            )  # fmt: skip
            await no_calls(office)
    (stream,) = worker.streams
    assert 40 <= stream.frames <= 120
    assert stream.texts == [
        {"type": "dtmf", "digit": "8", "duration_ms": 160},  # by SIP INFO
        {"type": "hangup", "cause": "MEDIA_TIMEOUT"},
    ]


async def test_nobody_answers_is_503(tmp_path: Path) -> None:
    async with media_worker(tmp_path) as busy, media_worker(tmp_path) as gone:
        busy.refuse = True
        await gone.close()
        settings = sip_settings(tmp_path, (busy.url, gone.url))
        async with (
            sip_office(settings) as office,
            await CallerControl.ring(where(settings.sip.port)) as caller,
        ):
            assert (await caller.wait_for("ended"))["cause"].startswith("503")
            await no_calls(office)


async def test_the_least_busy_worker_is_asked_first_and_the_next_when_it_refuses(
    tmp_path: Path,
) -> None:
    async with media_worker(tmp_path) as first, media_worker(tmp_path) as second:
        first.calls = 7
        settings = sip_settings(tmp_path, (first.url, second.url))
        async with sip_office(settings):
            async with await CallerControl.ring(where(settings.sip.port)) as caller:
                await caller.wait_for("answered")
                await second.stream()
            second.refuse = True
            async with await CallerControl.ring(where(settings.sip.port)) as caller:
                await caller.wait_for("answered")
                await first.stream()


async def test_caller_who_gives_up_while_ringing(tmp_path: Path) -> None:
    async with media_worker(tmp_path) as worker:
        worker.answers = False
        settings = sip_settings(tmp_path, (worker.url,))
        async with (
            sip_office(settings) as office,
            await CallerControl.ring(where(settings.sip.port)) as caller,
        ):
            stream = await worker.stream()
            await caller.hang_up()
            assert (await caller.wait_for("ended"))["cause"].startswith("487")
            await asyncio.wait_for(stream.over.wait(), 10)
            await no_calls(office)


async def test_worker_that_dies_ends_the_call_and_leaves_the_other(tmp_path: Path) -> None:
    async with media_worker(tmp_path) as worker:
        settings = sip_settings(tmp_path, (worker.url,))
        async with sip_office(settings):
            first = await CallerControl.ring(where(settings.sip.port))
            await first.wait_for("answered")
            second = await CallerControl.ring(where(settings.sip.port))
            await second.wait_for("answered")
            victim = await worker.stream(0)
            assert victim.ws._req is not None and victim.ws._req.transport is not None
            victim.ws._req.transport.abort()
            await first.wait_for("ended")
            frames = worker.streams[1].frames
            await asyncio.sleep(0.3)
            assert worker.streams[1].frames > frames + 10
            await first.close()
            await second.close()


async def test_forbidden_network_gets_no_answer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = sip_settings(tmp_path, ("ws://127.0.0.1:1",), allow=("10.0.0.0/8",))
    async with sip_office(settings, ready=False):
        assert await options(settings.sip.port, 0.3) == b""
        reader, writer = await asyncio.open_connection("127.0.0.1", settings.sip.port)
        with contextlib.suppress(ConnectionError):
            writer.write(b"OPTIONS sip:x SIP/2.0\r\n")
            assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
    lines = [r.getMessage() for r in caplog.records if "sip.allow" in r.getMessage()]
    assert lines == ["! sip: refused a network that is not in sip.allow from 127.0.0.1"]


async def test_rubbish_on_the_wire_disturbs_nobody(tmp_path: Path) -> None:
    settings = sip_settings(tmp_path, ("ws://127.0.0.1:1",))
    async with sip_office(settings):
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            for rubbish in (
                b"\0" * 1500,
                os.urandom(900),
                b"INVITE \r\n\r\n",
                b"SIP/2.0 200 OK\r\n\r\n",
            ):
                sock.sendto(rubbish, ("127.0.0.1", settings.sip.port))
        reader, writer = await asyncio.open_connection("127.0.0.1", settings.sip.port)
        writer.write(b"\r\n\r\n")
        assert await asyncio.wait_for(reader.readexactly(2), 10) == b"\r\n"
        writer.write(os.urandom(40_000))
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
        await until_ready(settings.sip.port)


ODD_INVITE = (
    b"INVITE sip:10%2001@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:@;branch=z9hG4bKodd;rport\r\n"
    b'From: "Ren\xe9 \xf0\x9f\x93\x9e" <sip:ren@127.0.0.1>;tag=1\r\nTo: <sip:1001@127.0.0.1>\r\n'
    b"Call-ID: odd\r\nCSeq: 1 INVITE\r\nContact: <sip:r@127.0.0.1:@>\r\nX-Odd: \xff\xfe\r\n"
    b"Content-Type: application/sdp\r\n"
)
SDP = (
    b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    b"m=audio 4000 RTP/AVP 0\r\n"
)


async def final_reply(port: int, invite: bytes, body: bytes) -> bytes:
    """Send an INVITE by hand; the first response that is final."""
    loop = asyncio.get_running_loop()
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        head = invite.replace(b":@", b":%d" % sock.getsockname()[1])
        head += b"Content-Length: %d\r\n\r\n" % len(body)
        await loop.sock_sendto(sock, head + body, ("127.0.0.1", port))
        while True:
            reply = await asyncio.wait_for(loop.sock_recv(sock, 4096), 6)
            if not reply.startswith(b"SIP/2.0 1"):
                return reply


async def test_an_invite_with_odd_bytes_is_a_call(tmp_path: Path) -> None:
    async with media_worker(tmp_path) as worker:
        settings = sip_settings(tmp_path, (worker.url,))
        async with sip_office(settings):
            reply = await final_reply(settings.sip.port, ODD_INVITE, SDP)
            assert reply.startswith(b"SIP/2.0 200")
            assert (await worker.stream()).offer["caller"] == "ren"


@pytest.mark.parametrize(
    ("old", "new", "body", "status"),
    [
        (b"", b"", SDP.replace(b"AVP 0", b"AVP 18"), b"488"),
        (b"", b"", b"\xff\x00rubbish", b"400"),
        (b"<sip:ren@", b"<sip:ren\xe9@", SDP, b"400"),  # pjsip drops it without a word
    ],
)
async def test_an_invite_that_cannot_be_a_call_is_refused_and_holds_no_slot(
    tmp_path: Path, old: bytes, new: bytes, body: bytes, status: bytes
) -> None:
    settings = sip_settings(tmp_path, ("ws://127.0.0.1:1",))
    async with sip_office(settings) as office:
        reply = await final_reply(settings.sip.port, ODD_INVITE.replace(old, new), body)
        assert reply.startswith(b"SIP/2.0 " + status)
        await no_calls(office)


@pytest.mark.parametrize(("codec", "rate_hz"), [("PCMU", 8000), ("G722", 16000)])
async def test_the_speech_band_passes_flat_both_ways(
    tmp_path: Path, codec: str, rate_hz: int
) -> None:
    noise = np.random.default_rng(1).normal(size=rate_hz) * 3000
    write_wav(tmp_path / "noise.wav", [noise.astype("<i2").tobytes()], rate_hz)
    async with media_worker(tmp_path) as worker:
        settings = sip_settings(tmp_path, (worker.url,))
        async with (
            sip_office(settings),
            await CallerControl.ring(
                where(settings.sip.port), codec=codec, record=tmp_path / "call.wav"
            ) as caller,
        ):
            await caller.wait_for("answered")
            await asyncio.sleep(0.3)
            await caller.play(tmp_path / "noise.wav")
            await caller.wait_for("quiet")
            await caller.close()
    (said, heard), _ = read_wav(tmp_path / "call.wav")
    for low, high in ((300, 1000), (1000, 2000), (2000, 3000), (3000, 3400)):
        there, back = (band_db(c, rate_hz, low, high) for c in (said, heard))
        assert abs(back - there) < 1.5, (low, high)


def band_db(pcm: bytes, rate_hz: int, low_hz: int, high_hz: int) -> float:
    """Energy of the middle of the first sound between two frequencies."""
    start, end = sound_spans(pcm, rate_hz)[0]
    samples = np.frombuffer(pcm, "<i2")[
        (start + 100) * rate_hz // 1000 : (end - 100) * rate_hz // 1000
    ]
    blocks = samples[: len(samples) // 256 * 256].reshape(-1, 256) * np.hanning(256)
    power = np.mean(np.abs(np.fft.rfft(blocks, axis=1)) ** 2, axis=0)
    hz = np.fft.rfftfreq(256, 1 / rate_hz)
    return float(10 * np.log10(power[(hz >= low_hz) & (hz < high_hz)].sum()))


async def no_calls(office: SipOffice, timeout_s: float = 10.0) -> None:
    async with asyncio.timeout(timeout_s):
        while office.calls_in_use:
            await asyncio.sleep(0.02)


async def test_six_calls_share_two_children_and_a_killed_one_takes_only_its_own(
    tmp_path: Path,
) -> None:
    async with media_worker(tmp_path) as worker:
        settings = sip_settings(tmp_path, (worker.url,), processes=2)
        async with sip_office(settings) as office:
            await both_ready(office)
            callers = [await CallerControl.ring(where(settings.sip.port)) for _ in range(6)]
            for caller in callers:
                await caller.wait_for("answered")
            assert office.calls_in_use == 6
            async with asyncio.timeout(10):
                while not all(s.frames for s in worker.streams):
                    await asyncio.sleep(0.02)
            pid = office.children[0].pid
            assert pid
            os.kill(pid, signal.SIGKILL)
            ended = [c async for c in _who_ended(callers, 3)]
            assert len(ended) == 3
            async with asyncio.timeout(20):
                while office.calls_in_use != 3 or len(office.children_ready) < 2:
                    await asyncio.sleep(0.05)
            alive = [s for s in worker.streams if not s.over.is_set()]
            assert len(alive) == 3
            frames = [s.frames for s in alive]
            again = await CallerControl.ring(where(settings.sip.port))
            await again.wait_for("answered")
            assert all(s.frames > f for s, f in zip(alive, frames, strict=True))
            for caller in (*callers, again):
                await caller.close()
            await no_calls(office)


async def both_ready(office: SipOffice) -> None:
    async with asyncio.timeout(10):
        while len(office.children_ready) < 2:
            await asyncio.sleep(0.02)


async def _who_ended(callers: list[CallerControl], count: int):  # type: ignore[no-untyped-def]
    waits = {asyncio.ensure_future(c.wait_for("ended", 10)) for c in callers}
    for done in asyncio.as_completed(waits):
        try:
            yield await done
        except TimeoutError:
            continue
        count -= 1
        if not count:
            break
    for wait in waits:
        wait.cancel()
    await asyncio.gather(*waits, return_exceptions=True)


async def test_the_fifth_call_of_one_child_gets_503_and_a_freed_slot_is_used(
    tmp_path: Path,
) -> None:
    async with media_worker(tmp_path) as worker:
        settings = sip_settings(tmp_path, (worker.url,))
        async with sip_office(settings) as office:
            callers = [await CallerControl.ring(where(settings.sip.port)) for _ in range(4)]
            for caller in callers:
                await caller.wait_for("answered")
            async with await CallerControl.ring(where(settings.sip.port)) as fifth:
                assert (await fifth.wait_for("ended"))["cause"].startswith("503")
            await callers.pop().close()
            async with await CallerControl.ring(where(settings.sip.port)) as again:
                await again.wait_for("answered")
                assert office.calls_in_use == 4
            for caller in callers:
                await caller.close()


# -- sipp, an independent peer -----------------------------------------------------------------

needs_sipp = pytest.mark.skipif(shutil.which("sipp") is None, reason="sipp is not installed")


async def sipp(port: int, folder: Path, *arguments: str) -> str:
    """Run sipp against us; its screen, after asserting that it was content."""
    process = await asyncio.create_subprocess_exec(
        "sipp", f"127.0.0.1:{port}", "-i", "127.0.0.1", "-p", str(free_port()),
        "-trace_err", "-timeout", "15s", "-timeout_error", *arguments,
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await asyncio.wait_for(process.communicate(), 20)
    text = output.decode("utf-8", "replace")
    assert process.returncode == 0, text[-3000:]
    return text


@needs_sipp
@pytest.mark.parametrize("transport", ["u1", "t1"])
async def test_sipp_calls(tmp_path: Path, transport: str) -> None:
    async with media_worker(tmp_path) as worker:
        settings = sip_settings(tmp_path, (worker.url,))
        async with sip_office(settings) as office:
            await sipp(
                settings.sip.port, tmp_path, "-sn", "uac", "-t", transport, "-s", "1002",
                "-m", "6", "-r", "5", "-l", "3", "-d", "300", "-mp", str(settings.sip.rtp_port + 150),
            )  # fmt: skip
            await no_calls(office)
    assert len(worker.streams) == 6
    assert {s.offer["did"] for s in worker.streams} == {"1002"}


OPTIONS = """<send retrans="500"><![CDATA[

      OPTIONS sip:[remote_ip]:[remote_port] SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
      Max-Forwards: 70
      From: <sip:pbx@[local_ip]>;tag=[call_number]
      To: <sip:[remote_ip]:[remote_port]>
      Call-ID: [call_id]
      CSeq: 1 OPTIONS
      Content-Length: 0

]]></send><recv response="200"/>"""

WAITING = """<send retrans="500"><![CDATA[

      INVITE sip:1001@[remote_ip]:[remote_port] SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
      Max-Forwards: 70
      From: <sip:sipp@[local_ip]:[local_port]>;tag=[call_number]
      To: <sip:1001@[remote_ip]:[remote_port]>
      Call-ID: [call_id]
      CSeq: 1 INVITE
      Contact: <sip:sipp@[local_ip]:[local_port]>
      Content-Type: application/sdp
      Content-Length: [len]

      v=0
      o=- 1 1 IN IP4 [local_ip]
      s=-
      c=IN IP4 [media_ip]
      t=0 0
      m=audio [media_port] RTP/AVP 0
      a=rtpmap:0 PCMU/8000

]]></send>
<recv response="100" optional="true"/><recv response="180" optional="true"/>
<recv response="200" rrs="true"/>
<send><![CDATA[

      ACK [next_url] SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
      [routes]
      Max-Forwards: 70
      From: <sip:sipp@[local_ip]:[local_port]>;tag=[call_number]
      To: <sip:1001@[remote_ip]:[remote_port]>[peer_tag_param]
      Call-ID: [call_id]
      CSeq: 1 ACK
      Content-Length: 0

]]></send>
<send><![CDATA[

      INFO [next_url] SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
      [routes]
      Max-Forwards: 70
      From: <sip:sipp@[local_ip]:[local_port]>;tag=[call_number]
      To: <sip:1001@[remote_ip]:[remote_port]>[peer_tag_param]
      Call-ID: [call_id]
      CSeq: 2 INFO
      Content-Type: application/dtmf-relay
      Content-Length: [len]

      Signal=8
      Duration=160
]]></send>
<recv response="200"/>
<recv request="BYE"><action>
  <ereg regexp="Q.850;cause=41" search_in="hdr" header="Reason:" check_it="true" assign_to="1"/>
</action></recv>
<Reference variables="1"/>
<send><![CDATA[

      SIP/2.0 200 OK
      [last_Via:]
      [last_From:]
      [last_To:]
      [last_Call-ID:]
      [last_CSeq:]
      Content-Length: 0

]]></send>"""


def write_scenario(folder: Path, steps: str) -> str:
    path = folder / "scenario.xml"
    path.write_text(f'<?xml version="1.0"?><scenario name="test">{steps}</scenario>')
    return path.name


@needs_sipp
@pytest.mark.parametrize("transport", ["u1", "t1"])
async def test_sipp_options(tmp_path: Path, transport: str) -> None:
    scenario = write_scenario(tmp_path, OPTIONS)
    settings = sip_settings(tmp_path, ("ws://127.0.0.1:1",))
    async with sip_office(settings):
        await sipp(settings.sip.port, tmp_path, "-sf", scenario, "-t", transport, "-m", "3")
