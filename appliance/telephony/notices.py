"""Spoken notices as files: what FreeSWITCH plays by itself, when no worker speaks.

A text is spoken once by a voice server and kept under a name made from what was said and how, so that
a notice is there before it is needed and survives every restart.
"""

from __future__ import annotations

import hashlib
import http.client
import logging
import os
import time
import wave
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import gevent
import orjson

from appliance.engines.key import KeyFor, headers_of, no_key
from appliance.events import Agent
from appliance.telephony import greenhttp

log = logging.getLogger(__name__)

RATE_HZ = 8000
CONNECT_TIMEOUT_S = 1.0
READ_TIMEOUT_S = 5.0
SOON_S = 2.0
"""For all of it, where a caller waits: their guard takes them elsewhere after 4 s."""
PATIENT_S = 20.0
"""Where nobody does."""
KEPT_S = 3600
"""What is in no row is a summary of what a caller said: an hour after it was spoken it goes."""
LARGEST_BYTES = RATE_HZ * 2 * 120
"""Two minutes: a notice is a sentence or two."""


class Notices:
    """Renders texts in an agent's voice to WAV files (8 kHz mono) in ``folder``."""

    def __init__(self, folder: Path, voice_urls: Sequence[str], key_for: KeyFor = no_key) -> None:
        self._folder = folder.resolve()
        self._urls = voice_urls
        self._key_for = key_for

    def path(self, text: str, agent: Agent) -> Path:
        """Where this notice lies, once it has been spoken."""
        said = "\0".join((agent.language, agent.voice, text))
        return self._folder / f"{hashlib.sha256(said.encode()).hexdigest()[:32]}.wav"

    def ready(self, text: str, agent: Agent) -> str:
        """Path of the file if it has been spoken, else an empty string. Waits for nothing."""
        path = self.path(text, agent)
        return str(path) if text and path.exists() else ""

    def render(self, text: str, agent: Agent, within_s: float = SOON_S) -> str:
        """Path of the file, spoken now if it was not before; empty when no server can, in time, or
        the disk takes none."""
        if not text or (known := self.ready(text, agent)):
            return known if text else ""
        try:
            with gevent.Timeout(within_s):
                if self._spoken(text, agent):
                    return str(self.path(text, agent))
        except gevent.Timeout:
            log.info("= a notice is not spoken within %.0f s", within_s)
        log.warning("! no voice server speaks a notice of %s", agent.name)
        return ""

    def sweep(self, kept: Collection[Path]) -> None:
        """Remove old files but for ``kept``: each transfer leaves a summary behind."""
        oldest_s = time.time() - KEPT_S
        for path in self._folder.glob("*.wav*"):
            try:
                if path not in kept and path.stat().st_mtime < oldest_s:
                    path.unlink()
            except OSError as e:
                log.warning("! a notice that nobody needs stays: %s", e)

    def _spoken(self, text: str, agent: Agent) -> bool:
        for url in self._urls:
            try:
                headers = headers_of(self._key_for(url))
                self._write(self.path(text, agent), _speak(url, headers, text, agent))
                return True
            except greenhttp.FAILURES as e:
                log.info("= a notice is not spoken by %s: %s", url, e)
        return False

    def _write(self, path: Path, audio: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        with wave.open(str(temporary), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE_HZ)
            file.writeframes(audio)
        temporary.chmod(0o644)  # FreeSWITCH is another user
        temporary.replace(path)


def _speak(url: str, headers: Mapping[str, str], text: str, agent: Agent) -> bytes:
    """docs/wires.md §3. Raises one of greenhttp.FAILURES."""
    body = orjson.dumps(
        {
            "model": "default",
            "input": text,
            "voice": agent.voice,
            "response_format": "pcm",
            "language": agent.language,
            "sample_rate": RATE_HZ,
        }
    )
    status, audio = greenhttp.ask(
        "POST", f"{url.rstrip('/')}/v1/audio/speech", body, connect_timeout_s=CONNECT_TIMEOUT_S,
        read_timeout_s=READ_TIMEOUT_S, most_bytes=LARGEST_BYTES, more=headers,
    )  # fmt: skip
    if status != http.client.OK:
        raise ValueError(f"status {status}")
    if not audio:
        raise ValueError("no audio")
    return audio[: len(audio) // 2 * 2]
