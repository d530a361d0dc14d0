"""The worker's side of one call, without SIP: token, choice of worker, answer, hang-up, datagrams."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sipkit import media_worker, tone

from appliance.events import Dtmf, Hangup
from appliance.media.workerlink import WorkerRefused
from appliance.settings import Settings
from appliance.telephony import mediabridge
from appliance.telephony.mediabridge import (
    Caller,
    MediaBridge,
    order_workers,
)

pytestmark = pytest.mark.server
CALLER = Caller("5f6a1c1e-0000-4000-8000-000000000001", "1001", "+91 98", 8000)
SILENCE = bytes(320)


class Ends:
    def __init__(self) -> None:
        self.seen: list[tuple[str, bool]] = []
        self.any = asyncio.Event()

    def __call__(self, cause: str, clean: bool) -> None:
        self.seen.append((cause, clean))
        self.any.set()


def bridge_for(folder: Path, ends: Ends) -> MediaBridge:
    return MediaBridge(CALLER, Settings(data_dir=folder).secret("media"), ends)


async def test_a_call_from_offer_to_hangup(tmp_path: Path) -> None:
    ends = Ends()
    async with media_worker(tmp_path) as worker:
        bridge = bridge_for(tmp_path, ends)
        await bridge.connect([worker.url])
        stream = await worker.stream()
        assert stream.offer["caller"] == "+9198"  # mod_audio_stream's rule: no space
        frame = tone(20)
        for _ in range(3):
            bridge.give(frame)
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        heard = [bridge.take() for _ in range(3)]
        assert heard == [frame] * 3
        bridge.press(Dtmf("5", 120))
        await stream.send(type="nonsense")
        await stream.ws.send_str("{not json")
        await stream.ws.send_bytes(b"what")
        await stream.send(type="hangup", cause="USER_BUSY")
        await asyncio.wait_for(ends.any.wait(), 10)
        bridge.close(Hangup("USER_BUSY"))
        bridge.close(Hangup("AGAIN"))
        await asyncio.wait_for(stream.over.wait(), 10)
        assert bridge.take() == SILENCE  # the bridge's thread may come once more
    assert ends.seen == [("USER_BUSY", True)]
    assert stream.ws.close_code == 1000
    assert stream.texts == [
        {"type": "dtmf", "digit": "5", "duration_ms": 120},
        {"type": "hangup", "cause": "USER_BUSY"},
    ]


async def test_a_transfer_is_declined_and_the_call_goes_on(tmp_path: Path) -> None:
    ends = Ends()
    async with media_worker(tmp_path) as worker:
        bridge = bridge_for(tmp_path, ends)
        await bridge.connect([worker.url])
        stream = await worker.stream()
        await stream.send(type="transfer", to="1002", mode="attended", reason="key", summary="Hi.")
        await stream.send(type="summary", text="They want a refund.")
        async with asyncio.timeout(10):
            while not stream.texts:
                await asyncio.sleep(0.005)
        assert stream.texts == [{"type": "transfer_failed", "cause": "FACILITY_NOT_IMPLEMENTED"}]
        assert not ends.seen
        bridge.close(Hangup("NORMAL_CLEARING"))


async def test_a_broken_websocket_is_no_clean_end(tmp_path: Path) -> None:
    ends = Ends()
    async with media_worker(tmp_path) as worker:
        bridge = bridge_for(tmp_path, ends)
        await bridge.connect([worker.url])
        await (await worker.stream()).ws.close()
        await asyncio.wait_for(ends.any.wait(), 10)
        bridge.close(Hangup("X"))
    assert ends.seen == [("NORMAL_TEMPORARY_FAILURE", False)]


async def test_least_busy_first_and_the_unfit_last(tmp_path: Path) -> None:
    async with media_worker(tmp_path) as one, media_worker(tmp_path) as two:
        one.calls, two.calls = 5, 2
        urls = [f"{one.url}", "ws://127.0.0.1:1", two.url]
        assert await order_workers(urls) == [two.url, one.url, "ws://127.0.0.1:1"]
        two.calls = 100
        assert (await order_workers(urls))[0] == one.url


async def test_refusals_lead_to_the_next_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mediabridge, "ANSWER_TIMEOUT_S", 0.2)
    async with (
        media_worker(tmp_path) as full,
        media_worker(tmp_path) as mute,
        media_worker(tmp_path / "other secret") as stranger,
        media_worker(tmp_path) as good,
    ):
        full.refuse, mute.answers, good.calls = True, False, 9
        bridge = bridge_for(tmp_path, Ends())
        await bridge.connect([full.url, mute.url, stranger.url, good.url])
        await good.stream()
        await asyncio.wait_for((await mute.stream()).over.wait(), 10)
        bridge.close(Hangup("NORMAL_CLEARING"))


async def test_nobody_takes_the_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for wait in ("CONNECT_TIMEOUT_S", "ANSWER_TIMEOUT_S", "SEARCH_TIMEOUT_S"):
        monkeypatch.setattr(mediabridge, wait, 60.0)  # there is nobody whom one could wait for
    bridge = bridge_for(tmp_path, Ends())
    with pytest.raises(WorkerRefused, match="cannot connect"):
        await asyncio.wait_for(bridge.connect(["ws://127.0.0.1:1", "ws://127.0.0.1:2"]), 10)
    bridge.close(Hangup("X"))
