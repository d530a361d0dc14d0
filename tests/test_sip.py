"""`ivr sip` as a process: SIGTERM drains, bad addresses stop the start with one sentence."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import pytest
from sipkit import free_port, media_worker, options, sip_office, sip_settings, until_ready

from appliance.errors import UserError
from appliance.rehearsal.conversation import Line
from appliance.rehearsal.sip_caller import SipCall, SipPlan, SipSocket
from appliance.telephony.callercontrol import CallerControl
from appliance.telephony.sip import serve
from tests.process_kit import children_of

pytestmark = pytest.mark.sip
BUSY = "INVITE was answered 503"
TRUNKS = ("127.0.0.1/32",)


async def ivr_sip(folder: Path, port: int, **sip: str) -> asyncio.subprocess.Process:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("IVR_")}
    environment |= {"IVR_DATA_DIR": str(folder), "IVR_SIP__PORT": str(port)}
    environment |= {f"IVR_SIP__{key.upper()}": value for key, value in sip.items()}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "appliance", "sip",
        env=environment, cwd=Path(__file__).parent.parent, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def test_sigterm_refuses_new_calls_and_waits_for_live_ones(tmp_path: Path) -> None:
    async with media_worker(tmp_path) as worker:
        ports = sip_settings(tmp_path, (worker.url,)).sip
        process = await ivr_sip(
            tmp_path, ports.port, processes="1", rtp_port=str(ports.rtp_port),
            worker_urls=f'["{worker.url}"]',
        )  # fmt: skip
        to = f"sip:1001@127.0.0.1:{ports.port}"
        await until_ready(ports.port)
        live = await CallerControl.ring(to)
        await live.wait_for("answered")
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            while not (await options(ports.port, 0.3)).startswith(b"SIP/2.0 503"):
                await asyncio.sleep(0.02)
        async with await CallerControl.ring(to) as late:
            assert (await late.wait_for("ended"))["cause"].startswith("503")
        stream = await worker.stream(0)
        frames = stream.frames
        await asyncio.sleep(0.2)
        assert stream.frames > frames and process.returncode is None
        await live.hang_up()
        await live.wait_for("ended")
        _, log = await asyncio.wait_for(process.communicate(), 20)
        assert process.returncode == 0
        assert stream.texts == [{"type": "hangup", "cause": "NORMAL_CLEARING"}]
        assert b"Traceback" not in log
        await live.close()


async def test_children_go_when_their_parent_is_killed(tmp_path: Path) -> None:
    ports = sip_settings(tmp_path, ()).sip
    process = await ivr_sip(
        tmp_path, ports.port, processes="2", rtp_port=str(ports.rtp_port),
    )  # fmt: skip
    await until_ready(ports.port)
    children = children_of(process.pid)
    assert len(children) == 2
    process.kill()
    await asyncio.wait_for(process.communicate(), 20)
    async with asyncio.timeout(10):
        while any(is_running(pid) for pid in children):
            await asyncio.sleep(0.02)


async def test_a_call_that_is_over_takes_no_other_with_it(tmp_path: Path) -> None:
    """pjsua2 gives the number of a call that is over to the next one at once: telephones that ring
    again and again are answered each time, no line is lost, and the process lives on."""
    seats, times, quiet = 3, 30, Line("quiet", (bytes(320),))
    async with (
        media_worker(tmp_path) as worker,
        sip_office(settings := sip_settings(tmp_path, (worker.url,), trunks=TRUNKS)) as office,
    ):
        loop = asyncio.get_running_loop()
        _, sip = await loop.create_datagram_endpoint(SipSocket, local_addr=("127.0.0.1", 0))
        plan = SipPlan(f"sip:1001@127.0.0.1:{settings.sip.port}", 1, 0)

        async def ring(number: int) -> str:
            call = SipCall(plan, number, [quiet], sip)
            await call.connect()
            return (await call.hang_up()).error

        async def sit(seat: int) -> list[str]:
            errors = []
            for time in range(times):
                while (error := await ring(times * seat + time)) == BUSY:
                    await asyncio.sleep(0.02)  # its line is busy for a moment after its own call
                errors.append(error)
            return errors

        pids = children_of(os.getpid())
        async with asyncio.timeout(60):
            errors = await asyncio.gather(*(sit(seat) for seat in range(seats)))
        sip.close()
        assert errors == [[""] * times] * seats
        assert len(worker.streams) == seats * times
        assert children_of(os.getpid()) == pids
        async with asyncio.timeout(10):
            while office.calls_in_use:
                await asyncio.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_an_address_in_use_stops_the_start_with_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = await ivr_sip(tmp_path, taken.getsockname()[1])
        _, log = await asyncio.wait_for(process.communicate(), 10)
    assert process.returncode == 2
    assert b"Cannot serve SIP on 127.0.0.1" in log and b"Traceback" not in log


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "sip.example"])
async def test_a_host_that_cannot_stand_in_the_sdp_is_refused(tmp_path: Path, host: str) -> None:
    settings = sip_settings(tmp_path, (), host=host, port=free_port())
    with pytest.raises(UserError, match=r"sip\.host"):
        await serve(settings)
