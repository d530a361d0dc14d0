"""One call in a pjsua2 child, from INVITE to its end: SIP on one side, a worker on the other."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from enum import Enum, auto
from ipaddress import IPv4Address
from typing import Any

import pjsua2 as pj

from appliance.events import Dtmf, Hangup
from appliance.media.workerlink import WorkerRefused
from appliance.telemetry import CallLog
from appliance.telephony.childconfig import ChildConfig
from appliance.telephony.mediabridge import Caller, MediaBridge
from appliance.telephony.pjlib import MAX_CALLS, FramePort, Ports
from appliance.telephony.rtpguard import admit

_log = logging.getLogger(__name__)

RTP_CHECK_S = 5.0
HANGUP_TIMEOUT_S = 40.0
"""From our BYE to the end of its transaction (64 × T1 = 32 s) and some."""
DTMF_IS_END = 2
"""PJMEDIA_STREAM_DTMF_IS_END, which the Python module leaves out."""
DEFAULT_KEY_MS = 100
"""Of a key reported by SIP INFO without its duration."""
Q850_FAILURE = 41
"""Temporary failure, for the Reason header (RFC 3326) of a call that we had to end."""

Tell = Callable[[dict[str, object]], None]
"""One JSON line to the parent."""


class CallState(Enum):
    OFFERED = auto()
    """Looking for a worker; the caller hears ringing."""
    ANSWERED = auto()
    ENDING = auto()
    """We sent BYE or a refusal."""
    OVER = auto()


Post = Callable[[Callable[["LiveCall"], None]], None]
"""Has an event handled by its call, on the loop."""


class CallsOver:
    """Calls that are over, kept until they can be destroyed.

    pjsua2 numbers its calls, and gives a number to the next call as soon as one is over. The destructor
    of a call goes by its number, and would hang up whoever has it by then: it may run at one moment
    alone, while a later call of that number has just ended, and before that number is free again.
    """

    def __init__(self) -> None:
        self._kept: tuple[deque[PjCall], ...] = tuple(deque() for _ in range(MAX_CALLS))

    def keep(self, call: PjCall) -> None:
        """A call that is over; on the loop."""
        self._kept[call.number].append(call)

    def destroy(self, number: int) -> None:
        """In the callback that says that a call of this number has ended."""
        kept = self._kept[number]
        while kept:
            kept.popleft()


class PjCall(pj.Call):
    """pjsua2's callbacks, handed to the loop; nothing may be raised in them, nor anything be
    waited for but a tick of the bridge."""

    def __init__(self, account: Any, number: int, post: Post, over: CallsOver) -> None:
        super().__init__(account, number)
        self.number = number
        self._post = post
        self._calls_over = over
        self.over = False
        """Nothing may be asked of it any more: its number may be another's by now."""
        self.port: FramePort | None = None
        """What the call is heard and spoken by, once it is answered."""

    def onStreamDestroyed(self, prm: Any) -> None:
        if self.port:
            self.port.outlast_tick()

    def onCallState(self, prm: Any) -> None:
        try:
            info = self.getInfo()  # kept: its members die with it
            if info.state == pj.PJSIP_INV_STATE_DISCONNECTED:
                self.over = True
                self._calls_over.destroy(self.number)
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


def _place(name: str) -> tuple[str, int]:
    """``127.0.0.1:23000``, as pjsua2 names a socket. Raises ValueError."""
    host, _, port = name.rpartition(":")
    return host, int(port)


def _host_of(name: str) -> IPv4Address | None:
    """The address of ``host`` or ``host:port``; None for what is none, and for 0.0.0.0."""
    try:
        host = IPv4Address(name.partition(":")[0])
    except ValueError:
        return None
    return None if host.is_unspecified else host


class LiveCall:
    """One call, from INVITE to its end; lives on the loop."""

    def __init__(
        self,
        config: ChildConfig,
        ports: Ports,
        hangups: ThreadPoolExecutor,
        over: CallsOver,
        tell: Tell,
        pj_call: PjCall,
        sip_call_id: str,
        caller: Caller,
    ) -> None:
        self._config, self._ports, self._tell = config, ports, tell
        self._hangups, self._calls_over = hangups, over
        self._hanging_up: asyncio.Future[None] | None = None
        self._pj: PjCall | None = pj_call
        self.sip_call_id = sip_call_id
        self._caller = caller
        self._log = CallLog(__name__, caller.call_id)
        self._state = CallState.OFFERED
        self._bridge = MediaBridge(caller, config.secret, self._worker_ended)
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
            if self._port:  # first: the bridge's thread must not read a socket that is closed
                self._port.attach(None, None)
                self._ports.give_back(self._port, self._caller.rate_hz)
            self._bridge.close(hangup)
            if self._hanging_up:
                await asyncio.wait({self._hanging_up}, timeout=HANGUP_TIMEOUT_S)
            self._let_go()
            self._log.info("= over: %s", hangup.cause)
            self._tell({"event": "ended", "sip_call_id": self.sip_call_id})

    def _let_go(self) -> None:
        pj_call, self._pj = self._pj, None
        if pj_call and pj_call.over:  # else its number is still its own
            self._calls_over.keep(pj_call)

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
        search = asyncio.ensure_future(self._bridge.connect(self._config.worker_urls))
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
        self._port = self._ports.take(self._caller.rate_hz)
        if self._pj:
            self._pj.port = self._port
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
        step_s = min(RTP_CHECK_S, self._config.silent_rtp_s / 2)
        while True:
            await asyncio.sleep(step_s)
            packets = self._received_packets()
            silent_s = 0.0 if packets is None or packets != seen else silent_s + step_s
            seen = seen if packets is None else packets
            if silent_s >= self._config.silent_rtp_s:
                self._log.warning("! no RTP from the caller for %.0f s", silent_s)
                self._worker_ended("MEDIA_TIMEOUT", False)
                return

    def _received_packets(self) -> int | None:
        """RTP packets so far; None while the caller holds."""
        if (pj_call := self._asked()) is None:
            return None
        try:
            info = pj_call.getInfo()
            if info.media[0].status != pj.PJSUA_CALL_MEDIA_ACTIVE:
                return None
            return int(pj_call.getStreamStat(0).rtcp.rxStat.pkt)
        except (pj.Error, IndexError):
            return None

    # -- events, on the loop -------------------------------------------------------------------

    def on_disconnected(self, status: int, reason: str) -> None:
        """SIP says that the call is over."""
        if self._over.done():
            return
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
        pj_call = self._asked()
        if pj_call is None or self._port is None:
            return
        try:
            info = pj_call.getInfo()
            usable = (pj.PJSUA_CALL_MEDIA_ACTIVE, pj.PJSUA_CALL_MEDIA_REMOTE_HOLD)
            if not info.media or info.media[0].status not in usable:
                return
            audio = pj_call.getAudioMedia(-1)
            audio.startTransmit(self._port)
            self._port.startTransmit(audio)
        except pj.Error as e:
            self._log.warning("! media not connected: %s", e.info())
            return
        if self._config.strict_rtp:
            self._guard_rtp(pj_call)

    def _guard_rtp(self, pj_call: PjCall) -> None:
        """Hear nobody but the caller; a re-INVITE may have named another address of theirs."""
        try:
            own = pj_call.getMedTransportInfo(0)
            names = (str(pj_call.getStreamInfo(0).remoteRtpAddress), self._caller.peer)
            hosts = [host for host in map(_host_of, names) if host is not None]
            found = [admit(_place(str(n)), hosts) for n in (own.localRtpName, own.localRtcpName)]
        except (pj.Error, OSError, ValueError) as e:
            self._log.warning("! RTP of strangers is not kept out: %s", e)
            return
        if not all(found):
            self._log.warning("! RTP of strangers is not kept out: its socket was not found")

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

    def _asked(self) -> PjCall | None:
        """pjsua2's call, while it may be asked for anything."""
        return self._pj if self._pj and not self._pj.over else None

    def _answer(self, status: int) -> None:
        prm = pj.CallOpParam()
        prm.statusCode = status
        try:
            if pj_call := self._asked():
                pj_call.answer(prm)
        except pj.Error as e:
            self._log.warning("! %d was not sent: %s", status, e.info())

    def _hang_up(self, status: int, cause: str = "") -> None:
        if self._state is CallState.OVER:
            return
        self._state = CallState.ENDING
        prm = pj.CallOpParam()
        prm.statusCode = status
        if status == 500:
            header = pj.SipHeader()
            header.hName = "Reason"
            header.hValue = f'Q.850;cause={Q850_FAILURE};text="{cause}"'
            prm.txOption.headers.append(header)
        loop = asyncio.get_running_loop()
        self._hanging_up = loop.run_in_executor(self._hangups, self._hang_up_now, prm)

    def _hang_up_now(self, prm: Any) -> None:
        """Waits for the bridge, so not on the loop."""
        try:
            if pj_call := self._asked():
                pj_call.hangup(prm)
        except pj.Error as e:
            self._log.warning("! hang-up failed: %s", e.info())
