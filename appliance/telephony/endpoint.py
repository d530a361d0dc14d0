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
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import pjsua2 as pj
import uvloop

from appliance import __version__
from appliance.errors import ProtocolError
from appliance.telemetry import configure
from appliance.telephony.childconfig import RTP_PORTS, ChildConfig
from appliance.telephony.livecall import CallsOver, LiveCall, PjCall
from appliance.telephony.mediabridge import Caller
from appliance.telephony.pjlib import MAX_CALLS, Ports, choose_codecs, private_stdout, start_library
from appliance.telephony.sdp import RATE_HZ, chosen_codec
from appliance.telephony.sipmessage import Request, Response, parse, parse_uri, parse_via

_log = logging.getLogger(__name__)

BRIDGE_HZ = 16000
"""Wide enough for G.722; G.711 calls are resampled at their ports."""


class _RefusedError(Exception):
    """An INVITE that is answered with ``status``."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Account(pj.Account):
    def __init__(self, switchboard: Switchboard) -> None:
        super().__init__()
        self._switchboard = switchboard

    def onIncomingCall(self, prm: Any) -> None:
        try:
            self._switchboard.incoming_on_pj_thread(self, prm)
        except Exception:  # C++ above
            _log.exception("! an INVITE was not handled")


class Switchboard:
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
        self._hangups = ThreadPoolExecutor(
            MAX_CALLS, initializer=self._endpoint.libRegisterThread, initargs=("hangups",)
        )
        self._calls_over = CallsOver()
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

        pj_call = PjCall(account, prm.callId, post, self._calls_over)
        text = str(prm.rdata.wholeMsg)
        source = str(prm.rdata.srcAddress)
        sip_call_id = str(pj_call.getInfo().callIdString)

        def begin() -> None:
            call = self._begin(pj_call, sip_call_id, text, source)
            if call:
                calls.append(call)

        self._loop.call_soon_threadsafe(begin)

    def _begin(self, pj_call: PjCall, sip_call_id: str, text: str, source: str) -> LiveCall | None:
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

    def _admit(self, pj_call: PjCall, sip_call_id: str, text: str, source: str) -> LiveCall:
        if source != self.config.proxy:
            raise _RefusedError(403, f"{source} is not our proxy")
        call = LiveCall(
            self.config,
            self.ports,
            self._hangups,
            self._calls_over,
            self.tell,
            pj_call,
            sip_call_id,
            _read_invite(text),
        )
        task = self._loop.create_task(call.run())
        self._calls[task] = call
        task.add_done_callback(self._done)
        return call

    def _refuse(self, pj_call: PjCall, sip_call_id: str, status: int) -> None:
        prm = pj.CallOpParam()
        prm.statusCode = status
        try:
            pj_call.hangup(prm)
        except pj.Error as e:
            _log.warning("! refusal failed: %s", e.info())
        if pj_call.over:
            self._calls_over.keep(pj_call)
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
    call_id, rate_hz = str(uuid.uuid4()), RATE_HZ[codec]
    return Caller(call_id, _clean(dialled), _clean(caller), rate_hz, _peer_of(invite))


def _peer_of(invite: Request | Response) -> str:
    """Where the caller's SIP came from, as our proxy noted on its Via; empty when it did not."""
    try:
        token = parse_via(invite.headers.listed("via")[0]).get("flow") or ""
        return bytes.fromhex(token).decode().split(" ")[1]
    except (ProtocolError, ValueError, IndexError):
        return ""


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
    switchboard = Switchboard(config, out_fd)
    switchboard.tell({"event": "ready", "port": switchboard.sip_port})
    while await parent.readline():
        pass
    await switchboard.stop()


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
