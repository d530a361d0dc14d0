"""What we say to FreeSWITCH: the only file that knows its commands, variables and events.

Facts measured on 1.10.12 with the MIT edition of mod_audio_stream, which this stands on:

* ``uuid_audio_stream`` splits its arguments on spaces and eats quotes and backslash escapes, so
  ``media.protocol`` writes every such character as ``\\u00XX``.
* The metadata of ``uuid_audio_stream start`` is lost when the websocket opens before the module has put
  its bug on the channel (about one call in ten), so the offer goes by ``send_text`` on ``::connect``.
* Unicast is set once in a channel's time in ``park``; a second request is ignored, and the first
  address goes on working for whoever sends there. Leaving ``park`` ends it.
* It must only be asked for on a parked channel that has media (answered, or with early media): on one
  without, FreeSWITCH 1.10.12 aborts by an assertion, with every call on it. The dialplan
  therefore says ``pre_answer`` before each ``park``.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import gevent
import orjson
from gevent.event import Event as Signal

from appliance.telephony.eventsocket import EventSocket, SwitchError

log = logging.getLogger(__name__)

XML_READ = "RELOADXML"
"""It has read its configuration again: by our order, or by a person's ``reloadxml``."""
EVENTS = (
    "CHANNEL_PARK CHANNEL_ANSWER CHANNEL_BRIDGE CHANNEL_HANGUP_COMPLETE CHANNEL_ORIGINATE"
    f" CHANNEL_HOLD CHANNEL_UNHOLD DTMF PLAYBACK_STOP BACKGROUND_JOB {XML_READ}"
)
STREAM_CONNECT = "mod_audio_stream::connect"
STREAM_JSON = "mod_audio_stream::json"
STREAM_ERROR = "mod_audio_stream::error"
STREAM_DISCONNECT = "mod_audio_stream::disconnect"
GATEWAY_STATE = "sofia::gateway_state"
GATEWAY_GONE = "sofia::gateway_delete"
SUBCLASSES = (
    STREAM_CONNECT, STREAM_JSON, STREAM_ERROR, STREAM_DISCONNECT, GATEWAY_STATE, GATEWAY_GONE
)  # fmt: skip
STREAM_BUG = "audio_stream"
"""mod_audio_stream's name in ``uuid_buglist``."""
FETCHED = "ivr_fetched"
"""Variable of a person's channel that a live call has rung; it waits in ``park`` for the caller."""
TRUNK_PROFILE = "trunks"
NO_REPLY = "no reply"
"""Of a command whose answer is empty."""
NO_GATEWAY = "no such gateway"
LONG_COMMAND_S = 10.0
GONE_S = 10.0
"""For a gateway to go; it takes two looks."""

_UUID = re.compile(r"[0-9A-Za-z-]{8,64}")
_WORD = re.compile(r"[0-9A-Za-z_.+-]{1,64}")
_UNSAFE = re.compile(r"[ \t\r\n']|\\(?!u[0-9a-f]{4})")
"""What an argument would be split at, or lose."""


def argument(message: bytes) -> str:
    """A message that ``media.protocol`` wrote, as one argument of an API command."""
    text = message.decode()
    if _UNSAFE.search(text):
        raise SwitchError("a message that FreeSWITCH would change")
    return text


def cause_of(result: str) -> str:
    """Why ``originate`` failed, of its result ``-ERR CAUSE``, in Q.850 words."""
    return result.removeprefix("-ERR").strip() or "NO_ANSWER"


def value(text: str) -> str:
    """``text`` fit for a channel variable: FreeSWITCH expands ``${…}`` in what it expands, and
    commas, quotes and semicolons end values."""
    kept = (c if c.isascii() and (c.isalnum() or c in "+@.:/_-#*") else "_" for c in text)
    return "".join(kept)[:256]


class FreeSwitch:
    """Commands over the event socket at hand. Every method may raise SwitchError."""

    def __init__(self) -> None:
        self._attached: EventSocket | None = None
        self._leaving: dict[str, Signal] = {}
        """Gateways that FreeSWITCH was told to end, and when each is gone."""

    def attach(self, link: EventSocket | None) -> None:
        """Send commands over ``link`` from now on; None: FreeSWITCH is away."""
        self._attached = link

    @property
    def attached(self) -> bool:
        """Whether there is a FreeSWITCH to talk to."""
        return self._attached is not None

    @property
    def _link(self) -> EventSocket:
        if self._attached is None:
            raise SwitchError("FreeSWITCH is away")
        return self._attached

    def subscribe(self) -> None:
        """Ask for the events that call control needs, and no other."""
        self._link.command(f"event plain {EVENTS} CUSTOM {' '.join(SUBCLASSES)}")

    # --- one channel ------------------------------------------------------------------------------

    def set_variables(self, uuid: str, values: Mapping[str, str]) -> None:
        """Set channel variables; an empty value unsets."""
        pairs = ";".join(f"{_word(name)}={value(text)}" for name, text in values.items())
        self._api(f"uuid_setvar_multi {_uuid(uuid)} {pairs}")

    def set_dial_string(self, uuid: str, name: str, dial_string: str) -> None:
        """Set a variable to a dial string that ``telephony.destinations`` made."""
        self._api(f"uuid_setvar {_uuid(uuid)} {_word(name)} {_dial(dial_string)}")

    def start_stream(self, uuid: str, url: str, rate_hz: int, token: str) -> None:
        """Stream the caller's audio to a worker: ``STREAM_CONNECT`` or ``STREAM_ERROR`` follows."""
        headers = orjson.dumps({"Authorization": f"Bearer {token}"}).decode()
        self._api(f"uuid_setvar {_uuid(uuid)} STREAM_EXTRA_HEADERS {headers}")
        self._api(f"uuid_audio_stream {uuid} start {url} mono {rate_hz}")

    def stop_stream(self, uuid: str) -> None:
        """End the stream; None there is no error."""
        try:
            self._api(f"uuid_audio_stream {_uuid(uuid)} stop")
        except SwitchError as e:
            if "-ERR" not in str(e):
                raise

    def tell_worker(self, uuid: str, message: bytes) -> None:
        """Send a control message through the call's own websocket."""
        self._api(f"uuid_audio_stream {_uuid(uuid)} send_text {argument(message)}")

    def is_streaming(self, uuid: str) -> bool:
        """Whether the stream is still on the channel."""
        return f"<function>{STREAM_BUG}</function>" in self._api(f"uuid_buglist {_uuid(uuid)}")

    def unicast(self, uuid: str, host: str, port: int, mirror_port: int) -> None:
        """Speak to the caller whatever L16 datagrams come to ``host:port``. FreeSWITCH sends the
        caller's audio to ``mirror_port``, where nobody reads it."""
        self._link.command(
            f"sendmsg {_uuid(uuid)}\ncall-command: unicast\nlocal-ip: {host}\nlocal-port: {port}\n"
            f"remote-ip: {host}\nremote-port: {mirror_port}\ntransport: udp"
        )

    def answer(self, uuid: str) -> None:
        """200 OK, by the channel's own thread; CHANNEL_ANSWER tells when.

        ``uuid_answer`` would do it in ours, and about one in 150 of those ends in a deadlock with the
        channel's first frame, which takes the scheduler, and every guard, with it.
        """
        self._link.command(
            f"sendmsg {_uuid(uuid)}\ncall-command: execute\nexecute-app-name: answer"
        )

    def kill(self, uuid: str, cause: str) -> None:
        """End a channel; an unanswered one is refused with the SIP status of ``cause``."""
        self._api(f"uuid_kill {_uuid(uuid)} {_word(cause)}")

    def dismiss(self, uuid: str) -> None:
        """End the channel of somebody whom nobody waits for any more; gone already is no error."""
        with suppress(SwitchError):
            self.kill(uuid, "ORIGINATOR_CANCEL")

    def guard(self, uuid: str, seconds: int) -> None:
        """Let the caller go to ``failed`` in ``seconds`` unless this is said again."""
        self.unguard(uuid)
        self._api(f"sched_transfer +{seconds} {_uuid(uuid)} failed XML ivr")

    def unguard(self, uuid: str) -> None:
        """Take the guard away."""
        try:
            self._api(f"sched_del {_uuid(uuid)}")
        except SwitchError as e:
            if "-ERR" not in str(e):
                raise  # no such task is no error

    def transfer(self, uuid: str, extension: str) -> None:
        """Send a channel to an extension of our own dialplan."""
        self._api(f"uuid_transfer {_uuid(uuid)} {_word(extension)} XML ivr")

    def record(self, uuid: str, path: str) -> None:
        """Record both sides, caller left, until the channel ends; asked of a parked channel.

        By its own thread: ``uuid_record`` works beside it, and where the caller hangs up in the same
        tens of milliseconds, the channel waits for its recorder for ever and is never freed (1.10.12).
        """
        self._api(f"uuid_setvar {_uuid(uuid)} RECORD_STEREO true")
        self._link.command(
            f"sendmsg {_uuid(uuid)}\ncall-command: execute\nexecute-app-name: record_session\n"
            f"execute-app-arg: {_path(path)}"
        )

    def play(self, uuid: str, path: str) -> None:
        """Play a file to a parked channel that no unicast speaks to."""
        self._api(f"uuid_broadcast {_uuid(uuid)} {_path(path)} aleg")

    def bridge(self, one: str, other: str) -> None:
        """Connect two channels with each other."""
        self._api(f"uuid_bridge {_uuid(one)} {_uuid(other)}", LONG_COMMAND_S)

    def variables(self, uuid: str) -> dict[str, str]:
        """Everything FreeSWITCH knows of a channel, as in an event's headers."""
        found: dict[str, Any] = json.loads(self._api(f"uuid_dump {_uuid(uuid)} json"))
        return {name: str(text) for name, text in found.items()}

    def channels(self) -> list[str]:
        """UUIDs of all live channels."""
        found = json.loads(self._api("show channels as json", LONG_COMMAND_S))
        return [str(row["uuid"]) for row in found.get("rows", [])]

    def exists(self, uuid: str) -> bool:
        """Whether the channel is live now; :meth:`channels` may not tell for a moment."""
        try:
            self._api(f"uuid_dump {_uuid(uuid)} json")
        except SwitchError as e:
            if "-ERR" not in str(e):
                raise
            return False
        return True

    # --- calls we make ----------------------------------------------------------------------------

    def originate(
        self, dial_string: str, variables: Mapping[str, str], then: str, timeout_s: int
    ) -> str:
        """Ring ``dial_string`` in the background; the job's id. ``then`` is what an answered leg does.

        The result comes as BACKGROUND_JOB: ``+OK UUID`` or ``-ERR CAUSE``."""
        pairs = {name: value(text) for name, text in variables.items()}
        pairs |= {"originate_timeout": str(timeout_s), "ignore_early_media": "true"}
        listed = ",".join(f"{_word(name)}={text}" for name, text in pairs.items())
        reply = self._link.command(f"bgapi originate {{{listed}}}{_dial(dial_string)} {then}")
        return reply.rpartition(" ")[2]

    # --- the whole switch -------------------------------------------------------------------------

    def reload(self, removed: Sequence[str], changed: Sequence[str] = ()) -> None:
        """Take in what was written to ``site``: gateways, addresses, telephones.

        FreeSWITCH ends a gateway's registration at its next look, once a second where it has the
        time, and tells when the gateway is gone: a changed one comes after that, or the end of the
        old registration would end the new one, whose Contact is the same.
        """
        self._api("reloadxml", LONG_COMMAND_S)
        self._api("reloadacl", LONG_COMMAND_S)
        self._leaving = {name: Signal() for name in (*removed, *changed)}
        killed = {name for name in self._leaving if self._kill_gateway(name)}
        going = [self._leaving[name] for name in changed if name in killed]
        if len(gevent.wait(going, timeout=GONE_S)) < len(going):
            log.warning("! FreeSWITCH does not end what it registered of %s", ", ".join(changed))
        self._leaving = {}
        self._api(f"sofia profile {TRUNK_PROFILE} rescan", LONG_COMMAND_S)

    def on_gateway_gone(self, name: str) -> None:
        """FreeSWITCH has told so (:data:`GATEWAY_GONE`)."""
        if leaving := self._leaving.get(name):
            leaving.set()

    def _kill_gateway(self, name: str) -> bool:
        """Whether there was one: of a reload that broke off, some are gone."""
        try:
            self._api(f"sofia profile {TRUNK_PROFILE} killgw {_word(name)}")
        except SwitchError as e:
            if NO_GATEWAY in str(e):
                return False
            raise
        return True

    def gateway(self, name: str) -> dict[str, str]:
        """One gateway's state, names as ``sofia status gateway`` prints them; empty: unknown."""
        said = self._api(f"sofia status gateway {TRUNK_PROFILE}::{_word(name)}")
        pairs = (line.partition("\t") for line in said.splitlines())
        return {name.strip(): text.strip() for name, tab, text in pairs if tab}

    def domain(self) -> str:
        """The realm our telephones register in."""
        return self._api("global_getvar domain")

    def failure_dial(self) -> str:
        """Whom FreeSWITCH rings by itself when nobody else can help; empty: nobody."""
        try:
            return self._api("global_getvar ivr_failure_dial").strip()
        except SwitchError as e:
            if NO_REPLY in str(e):  # so an empty variable is told
                return ""
            raise

    def _api(self, command: str, timeout_s: float = 3.0) -> str:
        if "\n" in command:
            raise SwitchError("a command that holds a line break")
        return self._link.command(f"api {command}", timeout_s)


def _uuid(text: str) -> str:
    if not _UUID.fullmatch(text):
        raise SwitchError(f"{text!r:.80} is no channel")
    return text


def _word(text: str) -> str:
    if not _WORD.fullmatch(text):
        raise SwitchError(f"{text!r:.80} is no word for FreeSWITCH")
    return text


def _dial(text: str) -> str:
    if any(c in text for c in "\n'$\\"):
        raise SwitchError("a dial string that holds a quote or an expansion")
    return text


def _path(text: str) -> str:
    if not re.fullmatch(r"/[\w./-]+", text, re.ASCII):
        raise SwitchError(f"{text!r:.200} is no path for FreeSWITCH; keep data_dir free of spaces")
    return text
