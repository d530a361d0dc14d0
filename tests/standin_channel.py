"""One channel of the stand-in: what it does, what is attached to it, what it tells."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import time
import uuid as uuids
import wave
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from appliance.audio import double_rate, write_wav
from tests.standin_dialplan import Action, expand
from tests.standin_party import FRAME_BYTES, FRAME_S, Party
from tests.standin_stream import Stream

if TYPE_CHECKING:
    from tests.freeswitch_standin import Standin

SIP_OF_CAUSE = {
    "UNALLOCATED_NUMBER": 404, "USER_BUSY": 486, "CALL_REJECTED": 603, "NORMAL_CLEARING": 480,
    "NORMAL_TEMPORARY_FAILURE": 503, "SWITCH_CONGESTION": 503, "ORIGINATOR_CANCEL": 487,
}  # fmt: skip
CAUSE_OF_SIP = {
    404: "UNALLOCATED_NUMBER", 480: "NO_USER_RESPONSE", 486: "USER_BUSY", 603: "CALL_REJECTED",
    503: "NORMAL_TEMPORARY_FAILURE", 487: "ORIGINATOR_CANCEL",
}  # fmt: skip
Q850 = {
    "UNALLOCATED_NUMBER": 1, "NORMAL_CLEARING": 16, "USER_BUSY": 17, "NO_USER_RESPONSE": 18,
    "NO_ANSWER": 19, "CALL_REJECTED": 21, "NORMAL_TEMPORARY_FAILURE": 41, "SWITCH_CONGESTION": 42,
    "NORMAL_UNSPECIFIED": 31, "ORIGINATOR_CANCEL": 16, "ALLOTTED_TIMEOUT": 16, "LOSE_RACE": 16,
}  # fmt: skip
UNICAST_STARTS_S = 0.02
"""The channel looks for commands once a frame."""
NARROW_HZ = 8000


class Unicast:
    """A UDP port whose datagrams the far end hears; the far end's audio goes back."""

    def __init__(self, headers: Mapping[str, str], hear: Callable[[bytes], None]) -> None:
        self._hear = hear
        self._mirror = (headers["remote-ip"], int(headers["remote-port"]))
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind((headers["local-ip"], int(headers["local-port"])))
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._readable)

    def mirror(self, pcm: bytes) -> None:
        with contextlib.suppress(OSError):
            self._socket.sendto(pcm, self._mirror)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._socket.close()

    def _readable(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                self._hear(self._socket.recv(4096))


class Recording:
    """``uuid_record``: what the far end says left, what it hears right; or both on one."""

    def __init__(self, path: Path, stereo: bool) -> None:
        self.path = path
        self._stereo = stereo
        self._sides = (bytearray(), bytearray())
        self._heard = bytearray()
        self.write()

    def hear(self, pcm: bytes) -> None:
        self._heard += pcm

    def tick(self, said: bytes) -> None:
        """20 ms later."""
        self._sides[0].extend(said)
        self._sides[1].extend(bytes(self._heard[:FRAME_BYTES]).ljust(FRAME_BYTES, b"\0"))
        del self._heard[:FRAME_BYTES]

    def write(self) -> None:
        """Raises OSError: no such folder."""
        left, right = (bytes(side) for side in self._sides)
        write_wav(self.path, [left, right] if self._stereo else [left], NARROW_HZ)


class Channel:
    """A leg. Its task follows the dialplan; everything else is done to it."""

    def __init__(
        self, switch: Standin, party: Party, *, direction: str, context: str, destination: str,
        variables: Mapping[str, str] = {}, uuid: str = "",
    ) -> None:  # fmt: skip
        self.uuid = uuid or str(uuids.uuid4())
        self.party = party
        self.variables = dict(variables)
        self.destination, self.context = destination, context
        self.partner: Channel | None = None
        self.stream: Stream | None = None
        self.recordings: dict[str, Recording] = {}
        self.listeners: list[Party] = []
        """Supervisors who eavesdrop."""
        self.over = asyncio.Event()
        self.answer_state = "ringing"
        self._switch = switch
        self._direction = direction
        self._times = {"Created": _now_us(), "Answered": 0, "Hangup": 0}
        self._guards: list[asyncio.TimerHandle] = []
        self._unicast: Unicast | None = None
        self._outlived: list[Unicast] = []
        self._parked = False
        self._orders: asyncio.Queue[str] = asyncio.Queue(64)  # files to broadcast; full: a fault
        self._keys: asyncio.Queue[str] = asyncio.Queue(64)
        self._application = ""
        self._state = "CS_INIT"
        self._call_state = "DOWN"
        self._hearing = bytearray()
        self._task: asyncio.Task[None] | None = None
        self._ticks = asyncio.create_task(self._tick_for_ever())
        party.pressed, party.hung_up, party.on_hold = self._on_key, self._on_bye, self._on_hold
        switch.channels[self.uuid] = self

    # --- what is told -----------------------------------------------------------------------------

    def headers(self) -> dict[str, str]:
        """As an event has them."""
        number, us = self.party.number, self._times
        found = {
            "Channel-State": self._state,
            "Channel-Call-State": self._call_state,
            "Channel-Name": f"sofia/trunks/{number}",
            "Unique-ID": self.uuid,
            "Call-Direction": self._direction,
            "Answer-State": self.answer_state,
            "Caller-Direction": self._direction,
            "Caller-Caller-ID-Name": number,
            "Caller-Caller-ID-Number": number,
            "Caller-Network-Addr": "127.0.0.1",
            "Caller-Destination-Number": self.destination,
            "Caller-Unique-ID": self.uuid,
            "Caller-Context": self.context,
            **{f"Caller-Channel-{name}-Time": str(value) for name, value in us.items()},
        }
        if self.answer_state in ("early", "answered") or us["Answered"]:
            found |= {"Channel-Read-Codec-Name": "PCMU", "Channel-Read-Codec-Rate": "8000"}
        if self.partner is not None:
            found["Other-Leg-Unique-ID"] = self.partner.uuid
        own = self.variables | {"uuid": self.uuid, "sofia_profile_name": "trunks"}
        own |= {"current_application": self._application} if self._application else {}
        return found | {f"variable_{name}": value for name, value in own.items()}

    def fire(self, name: str, extra: Mapping[str, str] | None = None, body: str = "") -> None:
        """Tell everybody who subscribed; ``name`` with ``::`` is a custom event."""
        kind = {"Event-Name": "CUSTOM", "Event-Subclass": name} if "::" in name else None
        self._switch.fire((kind or {"Event-Name": name}) | self.headers() | dict(extra or {}), body)

    def bugs(self) -> str:
        """The answer of ``uuid_buglist``."""
        named = [("audio_stream", "N/A")] if self.stream else []
        named += [("session_record", path) for path in self.recordings]
        named += [("eavesdrop", self.uuid)] * len(self.listeners)
        found = "".join(
            f" <media-bug>\n  <function>{function}</function>\n  <target>{target}</target>\n"
            "  <thread-locked>0</thread-locked>\n </media-bug>\n"
            for function, target in named
        )
        return f"<media-bugs>\n{found}</media-bugs>\n"

    # --- what is done to it -----------------------------------------------------------------------

    def transfer(self, destination: str, context: str) -> None:
        """Leave what it does and follow the dialplan there."""
        self._follow(self._enter, destination, context)

    def follow(self, actions: list[Action]) -> None:
        """Do these instead, and then hang up."""
        self._follow(self._execute, actions)

    def bridge_to(self, other: Channel) -> None:
        """``uuid_bridge``."""
        for channel in (self, other):
            channel._stop_task()
            channel._state = "CS_EXECUTE"
        self._connect(other)

    def guard(self, seconds: int, destination: str, context: str) -> None:
        """``sched_transfer``: on the whole second of the clock, as the scheduler does."""
        wait_s = seconds - time.time() % 1
        loop = asyncio.get_running_loop()
        self._guards.append(loop.call_later(wait_s, self.transfer, destination, context))

    def unguard(self) -> int:
        """``sched_del``; how many there were."""
        waiting = [
            guard for guard in self._guards if guard.when() > asyncio.get_running_loop().time()
        ]
        live = [guard for guard in waiting if not guard.cancelled()]
        for guard in live:
            guard.cancel()
        self._guards.clear()
        return len(live)

    def set(self, name: str, value: str) -> None:
        """A channel variable; an empty value unsets it."""
        if value:
            self.variables[name] = value
        else:
            self.variables.pop(name, None)

    def answer(self) -> None:
        if not self._times["Answered"]:
            self._times["Answered"] = _now_us()
            self.answer_state = "answered"
            self.party.answer()
            self.fire("CHANNEL_ANSWER")
            self._call_state = "ACTIVE"

    def start_stream(self, url: str, rate_hz: int, metadata: str) -> bool:
        """``uuid_audio_stream start``; False: there is a stream on it already."""
        if self.stream is not None:
            return False
        self._pre_answer()
        self._stream_hz = rate_hz
        headers = self.variables.get("STREAM_EXTRA_HEADERS", "")
        self.stream = Stream(url, headers, metadata, self._on_stream, self._lose_stream)
        return True

    async def stop_stream(self) -> bool:
        stream, self.stream = self.stream, None
        if stream is not None:
            await stream.stop()
        return stream is not None

    def unicast(self, headers: Mapping[str, str]) -> None:
        """``sendmsg unicast``: from the next frame on."""
        if not self._parked:
            self._switch.faults.append(f"unicast on {self.uuid}, which is not parked")
        asyncio.get_running_loop().call_later(UNICAST_STARTS_S, self._begin_unicast, headers)

    def broadcast(self, file: str) -> None:
        """``uuid_broadcast``: play while parked."""
        self._orders.put_nowait(file)

    def record(self, path: str) -> bool:
        stereo = self.variables.get("RECORD_STEREO") == "true"
        try:
            self.recordings[path] = Recording(Path(path), stereo)
        except OSError:
            return False
        self.fire("RECORD_START", {"Record-File-Path": path})
        return True

    def stop_record(self, path: str) -> bool:
        recording = self.recordings.pop(path, None)
        if recording is not None:
            recording.write()
            self.fire("RECORD_STOP", {"Record-File-Path": path})
        return recording is not None

    def hear(self, pcm: bytes) -> None:
        """The far end hears 20 ms."""
        if self.answer_state in ("early", "answered"):
            self.party.hear(pcm)
        for recording in self.recordings.values():
            recording.hear(pcm)
        self._hearing += pcm

    def hangup(self, cause: str, by: str = "", *, status: int = 0) -> None:
        """End it. ``by``: the disposition, where it is not of our own doing."""
        if self.over.is_set():
            return
        self.over.set()
        was, self.answer_state = self.answer_state, "hangup"
        ours = "send_bye" if was == "answered" else "send_cancel"
        if self._direction == "inbound" and was != "answered":
            ours = "send_refuse"
        self.variables["sip_hangup_disposition"] = by or ours
        if status:
            self.variables["sip_term_status"] = str(status)
        self.fire("CHANNEL_HANGUP", {"Hangup-Cause": cause})
        self._stop_task()
        self._end_media()
        self._times["Hangup"] = _now_us()
        self._state, self._call_state = "CS_REPORTING", "HANGUP"
        code = str(Q850.get(cause, 31))
        self.variables |= {"hangup_cause": cause, "hangup_cause_q850": code}
        self.variables |= {"rtp_audio_in_packet_count": str(self._ticked)}
        self.variables |= {"rtp_audio_out_packet_count": str(len(self.party.frames))}
        self.fire("CHANNEL_HANGUP_COMPLETE", {"Hangup-Cause": cause})
        self._switch.channels.pop(self.uuid, None)
        self.party.end(SIP_OF_CAUSE.get(cause, 480), cause)
        partner, self.partner = self.partner, None
        if partner is not None:
            partner.partner = None
            partner.hangup("NORMAL_CLEARING")

    # --- the dialplan -----------------------------------------------------------------------------

    async def _enter(self, destination: str, context: str) -> None:
        self._state = "CS_EXECUTE"
        self.destination, self.context = destination, context
        await self._execute(self._switch.dialplan.route(context, destination, self._value))

    async def _execute(self, actions: list[Action]) -> None:
        self._state = "CS_EXECUTE"
        self._call_state = "ACTIVE" if self.answer_state == "answered" else "EARLY"
        await self._do_all(actions)
        self.hangup("NORMAL_CLEARING")

    async def _do_all(self, actions: list[Action]) -> None:
        for action in actions:
            self._application = action.app
            await self._do(action.app, expand(action.data, self._value))

    async def _do(self, app: str, data: str) -> None:
        """What takes time; the rest at once."""
        match app:
            case "sleep":
                await asyncio.sleep(int(data) / 1000)
            case "playback":
                await self._play(data)
            case "play_and_get_digits":
                await self._ask_digits(data)
            case "park":
                await self._park()
            case "bridge":
                await self._ring_and_bridge(data)
            case "execute_extension":
                destination, _, context = data.split()
                route = self._switch.dialplan.route(context, destination, self._value)
                await self._do_all(route)
            case "remove_bugs":
                await self.stop_stream()
            case "transfer":
                destination, _, context = data.split()
                await self._enter(destination, context)
            case "eavesdrop":
                await self._eavesdrop(data)
            case _:
                self.do_at_once(app, data)

    def do_at_once(self, app: str, data: str) -> None:
        """An application that takes no time; also by ``sendmsg execute``."""
        match app:
            case "set" | "export":
                # an export with nolocal is for the legs that we ring, not for ours
                self.set(*data.partition("=")[::2])
            case "unset":
                self.set(data, "")
            case "sched_cancel":
                self.unguard()
            case "sched_transfer":
                after, destination, _, context = data.split()
                self.guard(int(after), destination, context)
            case "answer":
                self.answer()
            case "hangup":
                self.hangup(data or "NORMAL_CLEARING")
            case "pre_answer":
                self._pre_answer()
            case "record_session":
                self.record(data)
            case "ring_ready":
                pass
            case _:
                self._switch.faults.append(f"the stand-in knows no application {app}")

    async def _park(self) -> None:
        self._pre_answer()
        limit, _, cause = self.variables.pop("park_timeout", "").partition(":")
        self._parked = True
        self.fire("CHANNEL_PARK")
        try:
            async with asyncio.timeout(int(limit) if limit else None):
                while True:
                    file = await self._orders.get()
                    self._end_unicast()
                    self._application = "playback"
                    await self._play(file)
                    self._application = "park"
        except TimeoutError:
            self.hangup(cause or "NORMAL_CLEARING")

    async def _play(self, file: str) -> str:
        """Returns the key that broke it off, if ``playback_terminators`` let it."""
        self._pre_answer()
        pcm = sound_of(file)
        self.fire("PLAYBACK_START", {"Playback-File-Path": file})
        key, begun_s = "", time.monotonic()
        terminated = self.variables.get("playback_terminators", "none") != "none"
        for n in range(0, len(pcm), FRAME_BYTES):
            self.hear(pcm[n : n + FRAME_BYTES].ljust(FRAME_BYTES, b"\0"))
            await asyncio.sleep(
                max(0, begun_s + (n // FRAME_BYTES + 1) * FRAME_S - time.monotonic())
            )
            if not self._keys.empty() and (terminated or self._application.startswith("play_and")):
                key = self._keys.get_nowait()
                break
        status = "break" if key else "done"
        self.fire("PLAYBACK_STOP", {"Playback-Status": status, "Playback-File-Path": file})
        return key

    async def _ask_digits(self, data: str) -> None:
        _, _, tries, timeout_ms, _, file, invalid, name, expression, *_ = data.split(" ")
        while not self._keys.empty():
            self._keys.get_nowait()
        for _ in range(int(tries)):
            key = await self._play(file)
            with contextlib.suppress(TimeoutError):
                key = key or await asyncio.wait_for(self._keys.get(), int(timeout_ms) / 1000)
            if key and re.search(expression, key):
                self.set(name, key)
                return
            await self._play(invalid)

    async def _ring_and_bridge(self, dial: str) -> None:
        exported = {
            name.removeprefix("nolocal:"): value
            for name, value in self.variables.items()
            if name.startswith("nolocal:")
        } | {"originator": self.uuid}
        limit_s = int(self.variables.get("call_timeout", "60"))
        result, other = await self._switch.ring(dial, exported, limit_s, self)
        self.variables["originate_disposition"] = result
        if other is not None:
            self._connect(other)
            await self.over.wait()

    async def _eavesdrop(self, uuid: str) -> None:
        target = self._switch.channels.get(uuid)
        if target is None:
            return
        target.listeners.append(self.party)
        await target.over.wait()

    def _connect(self, other: Channel) -> None:
        self.partner, other.partner = other, self
        self._call_state = other._call_state = "ACTIVE"
        self.fire(
            "CHANNEL_BRIDGE", {"Bridge-A-Unique-ID": self.uuid, "Bridge-B-Unique-ID": other.uuid}
        )

    # --- inside -----------------------------------------------------------------------------------

    _stream_hz = NARROW_HZ
    _ticked = 0

    def _follow(self, work: Callable[..., object], *args: object) -> None:
        self._stop_task()
        if not self.over.is_set():
            self._task = asyncio.create_task(self._guarded(work, *args))

    async def _guarded(self, work: Callable[..., object], *args: object) -> None:
        try:
            await work(*args)  # type: ignore[misc]
        except Exception as e:
            self._switch.faults.append(f"{self.uuid}: {e!r}")
            raise

    def _stop_task(self) -> None:
        if self._parked:
            self._parked = False
            self.fire("CHANNEL_UNPARK")
            self._end_unicast()
        task, self._task = self._task, None
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    def _pre_answer(self) -> None:
        if self.answer_state == "ringing":
            self.answer_state, self._call_state = "early", "EARLY"

    def _value(self, name: str) -> str:
        if name == "uuid":
            return self.uuid
        return self.variables.get(name, self._switch.variables.get(name, ""))

    def _begin_unicast(self, headers: Mapping[str, str]) -> None:
        if not self._parked:
            return
        first = self._unicast is None
        with contextlib.suppress(OSError):  # a port that somebody has: only the log tells
            # a second is deaf, and is what ends with park, so that the first goes on
            made = Unicast(headers, self.hear if first else lambda pcm: None)
            self._outlived += [] if self._unicast is None else [self._unicast]
            self._unicast = made

    def _end_unicast(self) -> None:
        if self._unicast is not None:
            self._unicast.close()
            self._unicast = None

    def _on_stream(self, kind: str, body: str) -> None:
        self.fire(f"mod_audio_stream::{kind}", body=body)

    def _lose_stream(self) -> None:
        self.stream = None

    def _on_key(self, key: str, duration_ms: int) -> None:
        samples = str(duration_ms * NARROW_HZ // 1000)
        self.fire("DTMF", {"DTMF-Digit": key, "DTMF-Duration": samples, "DTMF-Source": "RTP"})
        if not self._parked:
            self._keys.put_nowait(key)

    def _on_hold(self, on: bool) -> None:
        self._call_state = "HELD" if on else "UNHELD"
        self.fire("CHANNEL_HOLD" if on else "CHANNEL_UNHOLD")
        self._call_state = self._call_state if on else "ACTIVE"

    def _on_bye(self) -> None:
        if self.answer_state == "answered":
            self.hangup("NORMAL_CLEARING", "recv_bye", status=200)
        elif self._direction == "inbound":
            self.hangup("ORIGINATOR_CANCEL", "recv_cancel", status=487)
        else:
            self.hangup("CALL_REJECTED", "recv_refuse", status=603)

    def _end_media(self) -> None:
        self._ticks.cancel()
        self.unguard()
        for unicast in self._outlived:
            unicast.close()
        for path in list(self.recordings):
            self.stop_record(path)
        if self.stream is not None:
            self._switch.spawn(self.stop_stream())

    async def _tick_for_ever(self) -> None:
        begun_s = time.monotonic()
        while True:
            self._ticked += 1
            await asyncio.sleep(max(0, begun_s + self._ticked * FRAME_S - time.monotonic()))
            self._tick()

    def _tick(self) -> None:
        said = self.party.frame()
        if self.stream is not None and self.answer_state in ("early", "answered"):
            self.stream.audio(said if self._stream_hz == NARROW_HZ else _wide(said))
        if self.partner is not None:
            self.partner.hear(said)
        if self._unicast is not None:
            self._unicast.mirror(said)
        for recording in self.recordings.values():
            recording.tick(said)
        heard = bytes(self._hearing[:FRAME_BYTES]).ljust(FRAME_BYTES, b"\0")
        del self._hearing[:FRAME_BYTES]
        for listener in self.listeners:
            listener.hear(_mixed(said, heard))


def sound_of(file: str) -> bytes:
    """L16 at 8 kHz of what FreeSWITCH would play; nothing where there is no such file."""
    if file.startswith("file_string://"):
        return b"".join(sound_of(one) for one in file.removeprefix("file_string://").split("!"))
    if file.startswith("tone_stream://L=-1;"):  # a minute is for ever here
        ring = 4000 * np.sin(np.arange(NARROW_HZ // 2) * (2 * np.pi * 425 / NARROW_HZ))
        return (ring.astype("<i2").tobytes() + bytes(NARROW_HZ * 4)) * 24
    if file.startswith("silence_stream://"):
        ms = int(file.removeprefix("silence_stream://").partition(",")[0])
        return bytes(ms * NARROW_HZ // 1000 * 2)
    try:
        with wave.open(file) as source:
            assert source.getframerate() == NARROW_HZ, f"{file} is not at 8 kHz"
            pcm: bytes = source.readframes(source.getnframes())
            return pcm
    except (OSError, wave.Error, EOFError):
        return b""


def _wide(pcm: bytes) -> bytes:
    wide: bytes = double_rate(np.frombuffer(pcm, "<i2")).tobytes()
    return wide


def _mixed(one: bytes, other: bytes) -> bytes:
    total = np.frombuffer(one, "<i2").astype(int) + np.frombuffer(other, "<i2")
    mixed: bytes = np.clip(total, -32768, 32767).astype("<i2").tobytes()
    return mixed


def _now_us() -> int:
    return time.time_ns() // 1000
