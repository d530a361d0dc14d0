"""A caller for the demo and the tests: one real SIP call, driven by JSON lines.

    python -m appliance.telephony.caller --to sip:1001@127.0.0.1:5060 --record call.wav

stdin: ``{"do":"play","file":"q.wav"}`` (8 or 16 kHz mono), ``{"do":"dtmf","digits":"5"}``,
``{"do":"hold"}``, ``{"do":"resume"}``, ``{"do":"hangup"}``, ``{"do":"exit"}``. stdout: events
``answered``, ``playing``, ``played``, ``sound``, ``quiet``, ``ended``, ``error``, ``exit``; their
``ms`` count on the call's media clock, which is also the recording's: left what the caller said,
right what it heard, one frame of each for every tick of one bridge. CallerControl
(callercontrol.py) drives this process from asyncio.
"""

from __future__ import annotations

import logging
import os
import queue
import sys
import threading
import time
import wave
from collections import deque
from pathlib import Path
from typing import Any

import click
import numpy as np
import orjson
import pjsua2 as pj

from appliance.audio import (
    FRAME_MS,
    double_rate,
    frame_bytes,
    halve_rate,
    level_db,
    read_wav,
    write_wav,
)
from appliance.telephony.pjlib import FramePort, choose_codecs, private_stdout, start_library
from appliance.telephony.sdp import RATE_HZ

SOUND_DB = -45.0
"""A louder frame is sound, as in audio.sound_spans."""
QUIET_MS = 300
"""This long without sound makes quiet."""
HANGUP_WAIT_S = 3.0


class Ear:
    """Both sides of the call on one clock: frame n of ``said`` and of ``heard`` are the same 20 ms.

    Called by the bridge's thread: ``take`` and then ``give`` in each tick.
    """

    def __init__(self, rate_hz: int, events: queue.SimpleQueue[dict[str, Any]]) -> None:
        self.rate_hz = rate_hz
        self._events = events
        self._silence = bytes(frame_bytes(rate_hz))
        self._said: list[bytes] = []
        self._heard: list[bytes] = []
        self._script: deque[tuple[str, list[bytes]]] = deque()
        self._mark: int | None = None
        self._last_sound: int | None = None
        self._lock = threading.Lock()

    @property
    def now_ms(self) -> int:
        return len(self._said) * FRAME_MS

    def play(self, file: str, pcm: bytes) -> None:
        """Say this after what is being said already."""
        size = len(self._silence)
        padded = pcm + bytes(-len(pcm) % size)
        frames = [padded[i : i + size] for i in range(0, len(padded), size)]
        with self._lock:
            self._script.append((file, frames))

    def take(self) -> bytes:
        """The next 20 ms that the caller says."""
        frame = self._silence
        with self._lock:
            if self._script:
                file, frames = self._script[0]
                if self._mark is None:
                    self._mark = 0
                    self._events.put({"event": "playing", "file": file, "ms": self.now_ms})
                if self._mark < len(frames):
                    frame = frames[self._mark]
                    self._mark += 1
                if self._mark >= len(frames):
                    self._script.popleft()
                    self._mark = None
                    done_ms = self.now_ms + FRAME_MS
                    self._events.put({"event": "played", "file": file, "ms": done_ms})
        self._said.append(frame)
        return frame

    def give(self, frame: bytes) -> None:
        """20 ms heard, in the tick of the last ``take``."""
        while len(self._heard) < len(self._said) - 1:
            self._heard.append(self._silence)
        if len(self._heard) < len(self._said):
            self._heard.append(frame)
            self._listen(frame, len(self._heard) - 1)

    def _listen(self, frame: bytes, tick: int) -> None:
        if level_db(np.frombuffer(frame, "<i2")) > SOUND_DB:
            if self._last_sound is None:
                self._events.put({"event": "sound", "ms": tick * FRAME_MS})
            self._last_sound = tick
        elif self._last_sound is not None:
            if (tick - self._last_sound) * FRAME_MS >= QUIET_MS:
                self._events.put({"event": "quiet", "ms": (self._last_sound + 1) * FRAME_MS})
                self._last_sound = None

    def save(self, path: Path) -> None:
        """Write the stereo WAV."""
        ticks = len(self._said)
        heard = self._heard[:ticks] + [self._silence] * (ticks - len(self._heard))
        write_wav(path, [b"".join(self._said[:ticks]), b"".join(heard)], self.rate_hz)


class _Call(pj.Call):
    def __init__(
        self, account: Any, port: FramePort, ear: Ear, events: queue.SimpleQueue[dict[str, Any]]
    ) -> None:
        super().__init__(account)
        self._port, self._ear, self._events = port, ear, events

    def onCallState(self, prm: Any) -> None:
        try:
            info = self.getInfo()
            if info.state == pj.PJSIP_INV_STATE_CONFIRMED:
                self._events.put({"event": "answered", "ms": self._ear.now_ms})
            elif info.state == pj.PJSIP_INV_STATE_DISCONNECTED:
                cause = f"{info.lastStatusCode} {info.lastReason}"
                self._events.put({"event": "ended", "cause": cause, "ms": self._ear.now_ms})
        except Exception as e:  # C++ above
            self._events.put({"event": "error", "message": repr(e)})

    def onStreamDestroyed(self, prm: Any) -> None:
        self._port.outlast_tick()

    def onCallMediaState(self, prm: Any) -> None:
        try:
            info = self.getInfo()
            if info.media and info.media[0].status == pj.PJSUA_CALL_MEDIA_ACTIVE:
                audio = self.getAudioMedia(-1)
                audio.startTransmit(self._port)
                self._port.startTransmit(audio)
        except Exception as e:  # C++ above
            self._events.put({"event": "error", "message": repr(e)})


class CallerProcess:
    """The process's parts: pjsua2, one call, the JSON lines both ways."""

    def __init__(self, number: str, transport: str, codec: str, out_fd: int) -> None:
        rate_hz = RATE_HZ[codec]
        self._events: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._out_fd = out_fd
        self._over = threading.Event()
        threading.Thread(target=self._report, daemon=True).start()
        self._endpoint = start_library(bridge_hz=rate_hz, agent="ivr-caller")
        choose_codecs(self._endpoint, codec)
        config = pj.TransportConfig()
        config.boundAddress = "127.0.0.1"
        kinds = {"udp": pj.PJSIP_TRANSPORT_UDP, "tcp": pj.PJSIP_TRANSPORT_TCP}
        local = self._endpoint.transportCreate(kinds[transport], config)
        self._endpoint.libStart()
        self._endpoint.audDevManager().setNullDev()
        self._suffix = ";transport=tcp" if transport == "tcp" else ""
        where = self._endpoint.transportGetInfo(local).localName
        account = pj.AccountConfig()
        account.idUri = f"sip:{number}@{where}"
        rtp = account.mediaConfig.transportConfig
        rtp.boundAddress = rtp.publicAddress = "127.0.0.1"
        rtp.port = 0  # any: several callers run at once, and the default is 4000 for each
        self._account = pj.Account()
        self._account.create(account)
        self._ear = Ear(rate_hz, self._events)
        self._port = FramePort("caller", rate_hz, self._ear.take, self._ear.give)
        self._call: _Call | None = None

    def ring(self, to: str) -> None:
        """Place the call."""
        self._call = _Call(self._account, self._port, self._ear, self._events)
        self._call.makeCall(to + self._suffix, pj.CallOpParam(True))

    def obey(self, command: dict[str, Any]) -> bool:
        """Do one command; False when it was ``exit``."""
        match command.get("do"):
            case "play":
                self._play(command["file"])
            case "dtmf" if self._call:
                self._call.dialDtmf(command["digits"])
            case "hold" if self._call:
                self._call.setHold(pj.CallOpParam(True))
            case "resume" if self._call:
                again = pj.CallOpParam(True)
                again.opt.flag = pj.PJSUA_CALL_UNHOLD
                self._call.reinvite(again)
            case "hangup":
                self._hang_up()
            case "exit":
                return False
            case other:
                self._events.put({"event": "error", "message": f"unknown command {other!r}"})
        return True

    def finish(self, record: Path | None) -> None:
        """End the call if it lives, and write the recording."""
        self._hang_up()
        self._over.wait(HANGUP_WAIT_S)
        if record:
            self._ear.save(record)
        self._events.put({"event": "exit", "recording": str(record or "")})
        time.sleep(0.05)  # the reporter's last line

    def complain(self, message: str) -> None:
        """Report a command that could not be done."""
        self._events.put({"event": "error", "message": message})

    def _play(self, file: str) -> None:
        channels, rate_hz = read_wav(Path(file))
        pcm = channels[0]
        if rate_hz != self._ear.rate_hz:
            samples = np.frombuffer(pcm, "<i2")
            if rate_hz == 2 * self._ear.rate_hz:
                pcm = halve_rate(samples).tobytes()
            elif 2 * rate_hz == self._ear.rate_hz:
                pcm = double_rate(samples).tobytes()
            else:
                raise ValueError(f"{file} is {rate_hz} Hz; 8000 or 16000 is needed")
        self._ear.play(file, pcm)

    def _hang_up(self) -> None:
        if self._call and not self._over.is_set():
            try:
                self._call.hangup(pj.CallOpParam())
            except pj.Error as e:
                self._events.put({"event": "error", "message": str(e.info())})

    def _report(self) -> None:
        while True:
            event = self._events.get()
            os.write(self._out_fd, orjson.dumps(event) + b"\n")
            if event["event"] == "ended":
                self._over.set()


def _converse(process: CallerProcess) -> None:
    for line in sys.stdin:
        try:
            if not process.obey(orjson.loads(line)):
                return
        except (ValueError, KeyError, OSError, EOFError, wave.Error, pj.Error) as e:
            message = e.info() if isinstance(e, pj.Error) else str(e)
            process.complain(message)


@click.command()
@click.option("--to", required=True, help="SIP address to call.")
@click.option("--record", type=click.Path(path_type=Path), help="Stereo WAV to write.")
@click.option("--transport", type=click.Choice(["udp", "tcp"]), default="udp")
@click.option("--codec", type=click.Choice(list(RATE_HZ)), default="PCMU")
@click.option("--number", default="+919800000001", help="Who calls, as the other side sees it.")
def main(to: str, record: Path | None, transport: str, codec: str, number: str) -> None:
    """Place one SIP call and take part in it as told on stdin.

    Example: python -m appliance.telephony.caller --to sip:1001@127.0.0.1:5060 --record call.wav
    """
    logging.basicConfig(level="WARNING", stream=sys.stderr)
    out_fd = private_stdout()
    status = 0
    try:
        process = CallerProcess(number, transport, codec, out_fd)
        process.ring(to)
        _converse(process)
        process.finish(record)
    except Exception:  # the border of the process: pjsua2 would abort at a normal exit
        logging.getLogger(__name__).exception("! caller failed")
        status = 1
    finally:
        os._exit(status)


if __name__ == "__main__":
    main()
