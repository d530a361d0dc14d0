"""The SIP endpoint of the tests: two of them with each other, and with a real FreeSWITCH."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from appliance.audio import level_db, silence
from appliance.rehearsal.sip_message import parse, request
from tests.freeswitch_kit import HOST, freeswitch, needs_freeswitch
from tests.pace_kit import Late, on_time
from tests.peeraudio import alaw_decode, alaw_encode
from tests.sippeer import Answer, Refuse, Ring, State, peer
from tests.tinyserver import until

RATE_HZ = 8000
TONE = (8000 * np.sin(2 * np.pi * 440 * np.arange(RATE_HZ // 2) / RATE_HZ)).astype("<i2").tobytes()
"""Half a second of 440 Hz."""


def loud_ms(pcm: bytes) -> int:
    frames = np.frombuffer(pcm, "<i2")
    return sum(
        20 for at in range(0, len(frames) - 159, 160) if level_db(frames[at : at + 160]) > -30
    )


def loud(frames: Sequence[tuple[float, bytes]]) -> list[float]:
    """When those of ``frames`` came that are loud."""
    return [at for at, pcm in frames if level_db(np.frombuffer(pcm, "<i2")) > -30]


def test_alaw_is_that_of_g711() -> None:
    assert np.frombuffer(alaw_decode(bytes([0xD5, 0x55, 0xAA, 0x2A])), "<i2").tolist() == [
        8, -8, 32256, -32256,
    ]  # fmt: skip
    coded = bytes(range(256))
    assert alaw_encode(alaw_decode(coded)) == coded


@pytest.mark.sip
@pytest.mark.parametrize("codecs", [(0,), (8,)])
async def test_two_peers_talk(codecs: tuple[int, ...]) -> None:
    async with peer("127.0.0.1") as one, peer("127.0.0.2", user="5001") as two:
        one.codecs = codecs
        two.policy = Answer()
        call = await one.ring(two.uri, number="+919800000001")
        other = await two.incoming()
        assert (call.answered, call.status, call.provisional) == (True, 200, [180])
        assert (other.to_user, other.from_user) == ("5001", "+919800000001")

        async def late() -> Late:
            before = len(other.frames)
            begun_s = time.monotonic()
            done_s = call.play(TONE)
            await asyncio.sleep(done_s - begun_s + 0.1)
            await until(lambda: len(loud(other.frames[before:])) >= 25)
            found = loud(other.frames[before:])
            assert len(found) <= 26
            return {"sound": (found[0] - begun_s) * 1000}

        await on_time(late, early_ms=0, late_ms=60)
        assert loud_ms(call.heard()) == 0
        assert other.audio.lost == call.audio.lost == 0
        await other.hang_up()
        assert await call.ended() == "them"
        assert await other.ended() == "us"


@pytest.mark.sip
async def test_keys_by_rtp_and_a_silent_gap() -> None:
    async with peer("127.0.0.1") as one, peer("127.0.0.2") as two:
        two.policy = Answer()
        call = await one.ring(two.uri)
        other = await two.incoming()
        await call.press("10")
        await call.press("#", info=True)
        assert other.audio.keys == "10"
        assert [m.body for m in two.seen if m.method == "INFO"] == ["Signal=#\r\nDuration=120\r\n"]
        call.audio.sending = False
        await asyncio.sleep(0.3)
        call.audio.sending = True
        call.play(TONE)
        await asyncio.sleep(0.6)

        def behind_s() -> float:
            return time.monotonic() - other.audio.begun_s - len(other.heard()) / 2 / RATE_HZ

        await until(lambda: abs(behind_s()) < 0.1)  # 0.3 s, if the gap were left out


@pytest.mark.sip
async def test_refusals_and_cancel() -> None:
    async with peer("127.0.0.1") as one, peer("127.0.0.2") as two:
        two.policies = {"busy": Refuse(486), "away": Refuse(480, after_s=0.1), "mute": Ring()}
        at = f"@{two.host}:{two.port}"
        assert (await one.ring("sip:busy" + at)).status == 486
        away = await one.ring("sip:away" + at)
        assert (away.status, away.state, away.ended_by) == (480, State.OVER, "them")
        mute = await one.ring("sip:mute" + at, timeout_s=0.3)
        assert (mute.status, mute.ended_by, mute.answered) == (487, "us", False)
        rung = [await two.incoming() for _ in range(3)][2]
        assert await rung.ended() == "them"
        by_hand = one.dial("sip:mute" + at)
        await by_hand.rings()
        await (await two.incoming()).answer()
        assert await by_hand.final() == 200


@pytest.mark.sip
async def test_hold_and_resume() -> None:
    async with peer("127.0.0.1") as one, peer("127.0.0.2") as two:
        two.policy = Answer()
        call = await one.ring(two.uri)
        other = await two.incoming()
        assert await call.hold() == 200
        assert (other.held, call.held) == (True, False)
        assert await call.resume() == 200
        assert not other.held
        assert await other.hold("inactive") == 200
        assert call.held
        assert not call.audio.sending
        assert await other.resume() == 200
        assert call.audio.sending
        assert (other.reinvites, call.reinvites) == (2, 2)


@pytest.mark.sip
async def test_options_and_strangers() -> None:
    async with peer("127.0.0.1") as one, peer("127.0.0.2") as two:
        two.send(b"\r\n\r\n", (one.host, one.port))
        for method, status in (("OPTIONS", 200), ("SUBSCRIBE", 405)):
            branch = f"z9hG4bK{method}"
            headers = [
                ("Via", f"SIP/2.0/UDP {two.host}:{two.port};branch={branch}"),
                ("From", "<sip:a@b>;tag=1"), ("To", "<sip:c@d>"),
                ("Call-ID", method), ("CSeq", f"1 {method}"),
            ]  # fmt: skip
            data = request(method, one.uri, headers)
            answer = await two.transact(data, branch, (one.host, one.port), None, 2.0)
            assert answer.status == status
        assert parse(data).method == "SUBSCRIBE"


@pytest.mark.sip
@pytest.mark.server
@needs_freeswitch
async def test_digest_keys_hold_and_audio_with_freeswitch(tmp_path: Path) -> None:
    async with freeswitch(tmp_path) as fs, peer("127.0.0.1") as phone, peer("127.0.0.2") as carrier:
        await fs.add_phone("2001", "secret")
        await fs.add_trunk("carrier", carrier.host, carrier.port)
        server, at = (HOST, fs.phones_port), f"{HOST}:{fs.phones_port}"
        assert await phone.register("2001", "wrong", fs.domain, server) == 403
        assert await phone.register("2001", "secret", fs.domain, server) == 200
        events = await fs.connect()
        await events.subscribe("CHANNEL_PARK", "CHANNEL_HOLD", "CHANNEL_UNHOLD", "DTMF")

        number = f"sip:1001@{at}"
        refused = await phone.ring(number, "2001", domain=fs.domain, login=("2001", "wrong"))
        assert refused.status == 403
        ringing = phone.dial(number, "2001", domain=fs.domain, login=("2001", "secret"))
        parked = await events.expect("CHANNEL_PARK")
        assert (await fs.api(f"uuid_answer {parked.get('Unique-ID')}")).startswith("+OK")
        assert await ringing.final() == 200
        await ringing.press("5")
        assert (await events.expect("DTMF")).get("DTMF-Digit") == "5"
        await ringing.press("7", info=True)
        assert (await events.expect("DTMF")).get("DTMF-Digit") == "7"
        assert await ringing.hold() == 200
        await events.expect("CHANNEL_HOLD")
        assert await ringing.resume() == 200
        await events.expect("CHANNEL_UNHOLD")

        # the switch rings the phone and the carrier, and connects them
        carrier.policy = phone.policy = Answer()
        to = "{origination_caller_id_number=2001}sofia/gateway/carrier/+919812345678"
        dial = f"user/2001@{fs.domain} &bridge({to})"
        assert (await fs.api(f"originate {dial}")).startswith("+OK")
        near, far = await phone.incoming(), await carrier.incoming()
        assert far.to_user == "+919812345678"
        await far.final()
        far.play(silence(200, RATE_HZ) + TONE)
        await asyncio.sleep(1.0)
        assert loud_ms(near.heard()) in range(460, 521)
        await near.hang_up()
        assert await far.ended() == "them"
        assert (far.cause_code, far.cause) == (16, "NORMAL_CLEARING")
        await ringing.hang_up()
        assert await phone.unregister() == 200
        await events.close()
