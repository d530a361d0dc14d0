"""The line between one channel and the worker on it: the caller's audio there, the agent's back.

The stream (``uuid_audio_stream``) is new with each worker; unicast, by which a worker speaks, is set
once in a channel's time in ``park`` and serves all of them. Lives in the greenlet of its call; every
method that speaks to FreeSWITCH may raise SwitchError.
"""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import datetime
from typing import Literal

from appliance.events import Offer
from appliance.media import protocol, token
from appliance.telephony.eventsocket import Event, SwitchError
from appliance.telephony.facts import Facts
from appliance.telephony.office import Office

NARROW_HZ, WIDE_HZ = 8000, 16000
Resumed = Literal["", "worker", "transfer"]


class Line:
    """Which worker is on a call, and how it hears and speaks."""

    def __init__(self, call_id: str, office: Office) -> None:
        self.worker = ""
        """URL of the worker; empty: none."""
        self.part = 0
        """How many workers have carried the call, or were to."""
        self._call_id = call_id
        self._office = office
        self._fs = office.freeswitch
        self._rate_hz = NARROW_HZ
        self._has_media = False
        self._port: int | None = None
        """Of unicast, while the channel is parked."""
        self._offer = b""
        """Due to the worker as soon as its websocket is open."""

    def parked(self, event: Event) -> None:
        """The channel is in ``park``: what unicast it had ended when it left."""
        rate = event.get("Channel-Read-Codec-Rate", "8000")
        self._rate_hz = NARROW_HZ if rate == "8000" else WIDE_HZ
        self._has_media = event.get("Answer-State") in ("early", "answered")
        self.close()

    def adopt(self, event: Event, *, talks: bool) -> None:
        """As a channel's variables tell; ``talks``: its worker is on it, as far as we know."""
        self.worker = event.get("variable_ivr_worker") if talks else ""
        self.part = event.whole("variable_ivr_part")
        self._port = event.whole("variable_ivr_playback") or None
        self._rate_hz = event.whole("variable_ivr_rate") or NARROW_HZ
        self._has_media = True

    def take(self, url: str, *, new_part: bool) -> None:
        """The call is this worker's now, until :meth:`drop` or :meth:`leave`."""
        self.worker = url
        self.part += new_part

    def offer(self, facts: Facts, recording: str, resumed: Resumed, started_at: datetime) -> None:
        """Connect to the worker; it is told of the call by :meth:`connected`."""
        port = self._speak_port()
        offer = Offer(
            call_id=self._call_id,
            did=facts.did,
            caller=facts.caller,
            rate_hz=self._rate_hz,
            playback=(self._office.ports.host, port),
            agent=facts.agent,
            direction="out" if facts.direction == "out" else "in",
            recording=recording,
            part=self.part,
            resumed=resumed,
        )
        self._remember(facts, port, started_at)
        bearer = token.make(self._office.media_secret, self._call_id, time.time())
        self._offer = protocol.offer(offer)
        self._fs.start_stream(self._call_id, f"{self.worker}/call", self._rate_hz, bearer)

    def connected(self) -> None:
        """The websocket is open: the offer goes first."""
        self.tell(self._offer)

    def tell(self, message: bytes) -> None:
        """Send the worker a message; without one nobody hears it."""
        if self.worker:
            self._fs.tell_worker(self._call_id, message)

    def is_held(self) -> bool | None:
        """Whether the worker still carries the call; None: its stream is gone, or it is silent."""
        if not self._fs.is_streaming(self._call_id):
            return None
        return self._office.workers.holds(self.worker, self._call_id)

    def drop(self) -> str:
        """The worker is not on it any more, and knows; its URL."""
        url, self.worker = self.worker, ""
        return url

    def leave(self, cause: str) -> None:
        """Say goodbye to the worker, if there is one, and end the stream."""
        if self.worker:
            with suppress(SwitchError):  # its stream broke just now
                self.tell(protocol.hangup(cause))
            self.worker = ""
            self._fs.stop_stream(self._call_id)

    def close(self) -> None:
        """Give the port of unicast back."""
        if self._port is not None:
            self._office.ports.give_back(self._port)
            self._port = None

    def _speak_port(self) -> int:
        if not self._has_media:
            raise SwitchError("the channel has no media yet; is our dialplan in force?")
        ports = self._office.ports
        if self._port is None:
            self._port = ports.take()
            if self._port is None:
                raise SwitchError("no UDP port is left for playback; raise switch.playback_ports")
            self._fs.unicast(self._call_id, ports.host, self._port, ports.mirror)
        return self._port

    def _remember(self, facts: Facts, port: int, started_at: datetime) -> None:
        """What an ``ivr switch`` that is started anew reads from the channel."""
        self._fs.set_variables(
            self._call_id,
            {
                "ivr_state": "talking",
                "ivr_agent": facts.agent,
                "ivr_did": facts.did,
                "ivr_caller": facts.caller,
                "ivr_trunk": facts.trunk,
                "ivr_direction": facts.direction,
                "ivr_outbound": facts.outbound,
                "ivr_worker": self.worker,
                "ivr_playback": str(port),
                "ivr_part": str(self.part),
                "ivr_rate": str(self._rate_hz),
                "ivr_started": str(int(started_at.timestamp())),
                "hangup_after_bridge": "true",
            },
        )
