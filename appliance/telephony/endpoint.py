"""One pjsua2 child process of ``ivr sip``: up to four calls between SIP/RTP and the workers.

The parent (sip.py) starts it, sends its configuration as the first JSON line on stdin, and reads
``{"event": "ready"|"started"|"ended", …}`` lines from stdout; end of stdin ends the process. PJSIP
aborts a process when it errs, so nothing else lives here, and it leaves by ``os._exit``.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import orjson
import pjsua2 as pj
import uvloop

from appliance import __version__
from appliance.errors import ProtocolError
from appliance.events import Dtmf, Hangup
from appliance.telemetry import CallLog, configure
from appliance.telephony.mediabridge import Caller, MediaBridge, WorkerRefused
from appliance.telephony.pjlib import FramePort, choose_codecs, private_stdout, start_library
from appliance.telephony.sdp import RATE_HZ, chosen_codec
from appliance.telephony.sipmessage import Request, parse, parse_uri

_log = logging.getLogger(__name__)

BRIDGE_HZ = 16000
"""Wide enough for G.722; G.711 calls are resampled at their ports."""
RTP_PORTS = 100
RTP_CHECK_S = 5.0
HANGUP_TIMEOUT_S = 40.0
"""From our BYE to the end of its transaction (64 × T1 = 32 s) and some."""
REFUSED_LINGER_S = 1.0
DTMF_IS_END = 2
"""PJMEDIA_STREAM_DTMF_IS_END, which the Python module leaves out."""
DEFAULT_KEY_MS = 100
"""Of a key reported by SIP INFO without its duration."""
Q850_FAILURE = 41
"""Temporary failure, for the Reason header (RFC 3326) of a call that we had to end."""


@dataclass(frozen=True, slots=True)
class ChildConfig:
    """What the parent tells a child."""

    name: str
    host: str
    """Address of RTP, and of the Contact."""
    public: str
    """``host:port`` of the proxy towards callers."""
    proxy: str
    """``host:port`` of the proxy's inner socket; only it may call."""
    rtp_port: int
    worker_urls: tuple[str, ...]
    secret: str
    silent_rtp_s: float
    """A call without RTP for so long is hung up."""
    log_level: str
    log_json: bool


class CallState(Enum):
    OFFERED = auto()
    """Looking for a worker; the caller hears ringing."""
    ANSWERED = auto()
    ENDING = auto()
    """We sent BYE or a refusal."""
    OVER = auto()


class _RefusedError(Exception):
    """An INVITE that is answered with ``status``."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


Post = Callable[[Callable[["LiveCall"], None]], None]
"""Has an event handled by its call, on the loop."""


class _PjCall(pj.Call):
    """pjsua2's callbacks, handed to the loop; nothing may be raised or waited for in them."""

    def __init__(self, account: Any, call_id: int, post: Post) -> None:
        super().__init__(account, call_id)
        self._post = post

    def onCallState(self, prm: Any) -> None:
        try:
            info = self.getInfo()  # kept: its members die with it
            if info.state == pj.PJSIP_INV_STATE_DISCONNECTED:
                status, reason = int(info.lastStatusCode), str(info.lastReason)
                self._post(lambda call: call.on_disconnected(status, reason))
        except Exception:  # C++ above
            _log.exception("! call state was not handled")

    def onCallMediaState(self, prm: Any) -> None:
        try:
            self._post(LiveCall.on_media)
        except Exception:  # C++ above
            _log.exception("! media state was not handled")

    def onDtmfEvent(self, prm: Any) -> None:
        try:
            if prm.flags & DTMF_IS_END:
                digit, duration_ms = str(prm.digit), int(prm.duration)
                self._post(lambda call: call.on_key(digit, duration_ms))
        except Exception:  # C++ above
            _log.exception("! a key was not handled")


class LiveCall:
    """One call, from INVITE to its end; lives on the loop."""

    def __init__(self, desk: Desk, pj_call: _PjCall, sip_call_id: str, caller: Caller) -> None:
        self._desk = desk
        self._pj: _PjCall | None = pj_call
        self.sip_call_id = sip_call_id
        self._caller = caller
        self._log = CallLog(__name__, caller.call_id)
        self._state = CallState.OFFERED
        self._bridge = MediaBridge(caller, desk.config.secret, self._worker_ended)
        self._port: FramePort | None = None
        self._over: asyncio.Future[Hangup] = asyncio.get_running_loop().create_future()
        self._wish: asyncio.Future[tuple[str, bool]] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Carry the call to its end."""
        self._log.info(
            "< INVITE %s from %s, %d Hz, Call-ID %s",
            self._caller.did,
            self._caller.caller,
            self._caller.rate_hz,
            self.sip_call_id,
        )
        hangup = Hangup("NORMAL_TEMPORARY_FAILURE")
        try:
            await self._answer_and_carry()
            hangup = await asyncio.wait_for(asyncio.shield(self._over), HANGUP_TIMEOUT_S)
        except TimeoutError:
            self._log.error("! no end to our BYE")
        finally:
            self._state = CallState.OVER
            self._bridge.close(hangup)
            if self._port:
                self._port.attach(None, None)
                self._desk.ports.give_back(self._port, self._caller.rate_hz)
            self._pj = None  # its C++ part goes here, on the loop, never in a callback
            self._log.info("= over: %s", hangup.cause)

    async def _answer_and_carry(self) -> None:
        try:
            if await self._find_worker():
                await self._carry()
        except Exception:  # the border of a call: the others go on
            self._log.exception("! the call failed")
            self._hang_up(500, "NORMAL_TEMPORARY_FAILURE")

    async def _find_worker(self) -> bool:
        """Ring, and offer the call to the workers. False: refused, or the caller gave up."""
        self._answer(180)
        search = asyncio.ensure_future(self._bridge.connect(self._desk.config.worker_urls))
        await asyncio.wait((search, self._over), return_when=asyncio.FIRST_COMPLETED)
        if self._over.done():
            search.cancel()
            await asyncio.gather(search, return_exceptions=True)
            return False
        try:
            search.result()
        except WorkerRefused as e:
            self._log.warning("> 503: %s", e)
            self._hang_up(503)
            return False
        self._port = self._desk.ports.take(self._caller.rate_hz)
        self._port.attach(self._bridge.take, self._bridge.give)
        self._answer(200)
        self._state = CallState.ANSWERED
        return True

    async def _carry(self) -> None:
        watch = asyncio.ensure_future(self._watch_rtp())
        await asyncio.wait((self._wish, self._over), return_when=asyncio.FIRST_COMPLETED)
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
        if self._over.done():
            return
        cause, clean = self._wish.result()
        if clean:
            await self._bridge.play_out()
        if not self._over.done():
            self._log.info("> BYE (%s)", cause)
            self._hang_up(200 if clean else 500, cause)

    async def _watch_rtp(self) -> None:
        """Ends a call whose caller sends no RTP at all; one on hold may be silent."""
        seen, silent_s = -1, 0.0
        step_s = min(RTP_CHECK_S, self._desk.config.silent_rtp_s / 2)
        while True:
            await asyncio.sleep(step_s)
            packets = self._received_packets()
            silent_s = 0.0 if packets is None or packets != seen else silent_s + step_s
            seen = seen if packets is None else packets
            if silent_s >= self._desk.config.silent_rtp_s:
                self._log.warning("! no RTP from the caller for %.0f s", silent_s)
                self._worker_ended("MEDIA_TIMEOUT", False)
                return

    def _received_packets(self) -> int | None:
        """RTP packets so far; None while the caller holds."""
        try:
            assert self._pj is not None
            info = self._pj.getInfo()
            if info.media[0].status != pj.PJSUA_CALL_MEDIA_ACTIVE:
                return None
            return int(self._pj.getStreamStat(0).rtcp.rxStat.pkt)
        except (pj.Error, IndexError):
            return None

    # -- events, on the loop -------------------------------------------------------------------

    def on_disconnected(self, status: int, reason: str) -> None:
        """SIP says that the call is over."""
        if self._over.done():
            return
        self._desk.tell({"event": "ended", "sip_call_id": self.sip_call_id})
        if self._state is CallState.ENDING and self._wish.done():
            cause = self._wish.result()[0]
        elif self._state is CallState.OFFERED:
            cause = "ORIGINATOR_CANCEL" if status == 487 else "NORMAL_TEMPORARY_FAILURE"
        else:
            cause = "NORMAL_CLEARING" if status < 300 else "NORMAL_TEMPORARY_FAILURE"
        self._log.info("< end: %d %s", status, reason)
        self._over.set_result(Hangup(cause))

    def on_media(self) -> None:
        """Media began or changed (answer, hold, re-INVITE): connect the port again."""
        if self._pj is None or self._port is None or self._over.done():
            return
        try:
            info = self._pj.getInfo()
            usable = (pj.PJSUA_CALL_MEDIA_ACTIVE, pj.PJSUA_CALL_MEDIA_REMOTE_HOLD)
            if not info.media or info.media[0].status not in usable:
                return
            audio = self._pj.getAudioMedia(-1)
            audio.startTransmit(self._port)
            self._port.startTransmit(audio)
        except pj.Error as e:
            self._log.warning("! media not connected: %s", e.info())

    def on_key(self, digit: str, duration_ms: int) -> None:
        """A key was released (RFC 4733) or reported (SIP INFO)."""
        self._log.info("< key")
        self._bridge.press(Dtmf(digit, duration_ms if duration_ms > 0 else DEFAULT_KEY_MS))

    def _worker_ended(self, cause: str, clean: bool) -> None:
        if not self._wish.done():
            self._wish.set_result((cause, clean))

    def shut(self) -> None:
        """End it at once: the process stops."""
        self._hang_up(503)

    # -- pjsua2 --------------------------------------------------------------------------------

    def _answer(self, status: int) -> None:
        prm = pj.CallOpParam()
        prm.statusCode = status
        try:
            if self._pj:
                self._pj.answer(prm)
        except pj.Error as e:
            self._log.warning("! %d was not sent: %s", status, e.info())

    def _hang_up(self, status: int, cause: str = "") -> None:
        if self._pj is None or self._state is CallState.OVER:
            return
        self._state = CallState.ENDING
        prm = pj.CallOpParam()
        prm.statusCode = status
        if status == 500:
            header = pj.SipHeader()
            header.hName = "Reason"
            header.hValue = f'Q.850;cause={Q850_FAILURE};text="{cause}"'
            prm.txOption.headers.append(header)
        try:
            self._pj.hangup(prm)
        except pj.Error as e:
            self._log.warning("! hang-up failed: %s", e.info())


class Ports:
    """The bridge's Python ports, kept for reuse: destroying one races with the bridge's thread."""

    def __init__(self) -> None:
        self._free: dict[int, list[FramePort]] = {rate: [] for rate in (8000, 16000)}
        self._made = 0

    def take(self, rate_hz: int) -> FramePort:
        if self._free[rate_hz]:
            return self._free[rate_hz].pop()
        self._made += 1
        return FramePort(f"call{self._made}", rate_hz)

    def give_back(self, port: FramePort, rate_hz: int) -> None:
        self._free[rate_hz].append(port)


class _Account(pj.Account):
    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk

    def onIncomingCall(self, prm: Any) -> None:
        try:
            self._desk.incoming_on_pj_thread(self, prm)
        except Exception:  # C++ above
            _log.exception("! an INVITE was not handled")


class Desk:
    """The process: pjsua2, its account, and the live calls."""

    def __init__(self, config: ChildConfig, out_fd: int) -> None:
        self.config = config
        self.ports = Ports()
        self._out_fd = out_fd
        self._loop = asyncio.get_running_loop()
        self._calls: dict[asyncio.Task[None], LiveCall] = {}
        self._endpoint = start_library(bridge_hz=BRIDGE_HZ, agent=f"ivr/{__version__}")
        choose_codecs(self._endpoint)
        transport = pj.TransportConfig()
        transport.port = 0
        transport.boundAddress = "127.0.0.1"
        number = self._endpoint.transportCreate(pj.PJSIP_TRANSPORT_UDP, transport)
        self._endpoint.libStart()
        self._endpoint.audDevManager().setNullDev()
        address = self._endpoint.transportGetInfo(number).localName
        self.sip_port = int(address.rpartition(":")[2])
        self._account = _Account(self)
        self._account.create(self._account_config())

    def _account_config(self) -> Any:
        account = pj.AccountConfig()
        account.idUri = f"sip:ivr@{self.config.public}"
        account.sipConfig.contactForced = f"<sip:ivr@{self.config.public}>"
        account.natConfig.contactRewriteUse = 0
        account.natConfig.viaRewriteUse = 0
        account.natConfig.sdpNatRewriteUse = 0
        rtp = account.mediaConfig.transportConfig
        rtp.port = self.config.rtp_port
        rtp.portRange = RTP_PORTS - 1
        rtp.boundAddress = rtp.publicAddress = self.config.host
        return account

    def tell(self, event: dict[str, object]) -> None:
        """One JSON line to the parent."""
        try:
            os.write(self._out_fd, orjson.dumps(event) + b"\n")
        except OSError:  # the parent is gone; end of stdin will end us
            _log.warning("! the parent does not listen")

    def incoming_on_pj_thread(self, account: _Account, prm: Any) -> None:
        """An INVITE; called by pjsua2 on its own thread."""
        calls: list[LiveCall] = []

        def post(event: Callable[[LiveCall], None]) -> None:
            def deliver() -> None:
                if calls:
                    event(calls[0])

            self._loop.call_soon_threadsafe(deliver)

        pj_call = _PjCall(account, prm.callId, post)
        text = str(prm.rdata.wholeMsg)
        source = str(prm.rdata.srcAddress)
        sip_call_id = str(pj_call.getInfo().callIdString)

        def begin() -> None:
            call = self._begin(pj_call, sip_call_id, text, source)
            if call:
                calls.append(call)

        self._loop.call_soon_threadsafe(begin)

    def _begin(self, pj_call: _PjCall, sip_call_id: str, text: str, source: str) -> LiveCall | None:
        self.tell({"event": "started", "sip_call_id": sip_call_id})
        try:
            return self._admit(pj_call, sip_call_id, text, source)
        except _RefusedError as e:
            _log.warning("> %d: %s", e.status, e)
            self._refuse(pj_call, sip_call_id, e.status)
        except Exception:  # the border of a call
            _log.exception("! an INVITE was not handled")
            self._refuse(pj_call, sip_call_id, 500)
        return None

    def _admit(self, pj_call: _PjCall, sip_call_id: str, text: str, source: str) -> LiveCall:
        if source != self.config.proxy:
            raise _RefusedError(403, f"{source} is not our proxy")
        call = LiveCall(self, pj_call, sip_call_id, _read_invite(text))
        task = self._loop.create_task(call.run())
        self._calls[task] = call
        task.add_done_callback(self._done)
        return call

    def _refuse(self, pj_call: _PjCall, sip_call_id: str, status: int) -> None:
        prm = pj.CallOpParam()
        prm.statusCode = status
        try:
            pj_call.hangup(prm)
        except pj.Error as e:
            _log.warning("! refusal failed: %s", e.info())
        self._loop.call_later(REFUSED_LINGER_S, _forget, pj_call)
        self.tell({"event": "ended", "sip_call_id": sip_call_id})

    def _done(self, task: asyncio.Task[None]) -> None:
        call = self._calls.pop(task)
        if not task.cancelled() and task.exception():
            _log.error("! the end of call %s failed", call.sip_call_id, exc_info=task.exception())

    async def stop(self) -> None:
        """Hang up what is live; a second for it, then the process may go."""
        for call in self._calls.values():
            call.shut()
        if self._calls:
            await asyncio.wait(set(self._calls), timeout=1.0)


def _forget(pj_call: _PjCall) -> None:
    """Holds a refused call's object until its transaction is over."""


def _read_invite(text: str) -> Caller:
    """What the worker is told of an INVITE.

    Raises _RefusedError when we share no codec with it, or it is no INVITE.
    """
    try:
        invite = parse(text.encode("utf-8", "surrogateescape"))
        dialled = parse_uri(invite.uri).user if isinstance(invite, Request) else ""
        dialled = dialled or parse_uri(invite.headers.get("to")).user
    except ProtocolError as e:
        raise _RefusedError(400, str(e)) from e
    codec = chosen_codec(invite.body) if invite.body else "PCMU"
    if codec is None:
        raise _RefusedError(488, "the offer has none of PCMU, PCMA, G722")
    try:
        caller = parse_uri(invite.headers.get("from")).user
    except ProtocolError:
        caller = ""  # a tel: URI or anonymous: the call is still a call
    return Caller(str(uuid.uuid4()), _clean(dialled), _clean(caller), RATE_HZ[codec])


def _clean(user: str) -> str:
    """A number as the worker may log it: no control characters, bounded."""
    return "".join(char for char in user if char.isprintable() and not char.isspace())[:64]


async def _lines_of_parent() -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=1 << 16)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def _serve(out_fd: int) -> None:
    parent = await _lines_of_parent()
    first = await parent.readline()
    if not first:
        return
    fields = orjson.loads(first)
    fields["worker_urls"] = tuple(fields["worker_urls"])
    config = ChildConfig(**fields)
    configure(config.name, level=config.log_level, json=config.log_json)
    desk = Desk(config, out_fd)
    desk.tell({"event": "ready", "port": desk.sip_port})
    while await parent.readline():
        pass
    await desk.stop()


def main() -> None:
    """Run one child."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the parent drains; we end with it
    out_fd = private_stdout()
    status = 0
    try:
        uvloop.run(_serve(out_fd))
    except BaseException:  # the border of the process: whatever it was, leave by _exit
        logging.getLogger(__name__).exception("! sip child failed")
        status = 1
    finally:
        logging.shutdown()
        os._exit(status)


if __name__ == "__main__":
    main()
