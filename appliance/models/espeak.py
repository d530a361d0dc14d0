"""Speech by espeak-ng: English and twelve Indian languages, robotic, first audio in about 10 ms.

espeak-ng is GPL-3: it runs as a program of its own, one process a phrase, and is never loaded
into ours. The text goes in by stdin, so that nothing a caller says can become an option.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import struct
from collections.abc import AsyncGenerator

from appliance.errors import UserError
from appliance.models.engine import ModelOptions, VoiceInfo, offered
from appliance.models.model_watch import ModelWatch

PROGRAM = "espeak-ng"
LANGUAGES = ("en", "hi", "ta", "te", "bn", "mr", "gu", "kn", "ml", "pa", "or", "as", "ur")
RATE_HZ = 22_050
HEADER_BYTES = 44
CHUNK_BYTES = 4096
PROCESSES = 4
CAPACITY = 50
CHUNK_TIMEOUT_S = 5.0
WORDS_PER_MINUTE = 160
GAIN_DB = -1.0
"""Measured active level of its voices: -18.0 to -19.8 dBFS."""
_VARIANT = re.compile(r"\+(m[1-8]|f[1-5])")


class EspeakEngine:
    """espeak-ng's voices; see :class:`~appliance.models.engine.TtsEngine`."""

    name = "espeak"
    rate_hz = RATE_HZ
    identity = ""  # its first sound comes after 10 ms, 1000 times as fast as it is heard
    watch: ModelWatch | None = None

    def __init__(self, options: ModelOptions | None = None) -> None:
        """Raises UserError when espeak-ng is not installed."""
        options = options or ModelOptions()
        known = tuple(VoiceInfo(code, code) for code in LANGUAGES)
        self.voices = offered(self.name, known, options.languages)
        self.capacity = options.capacity or CAPACITY
        program = shutil.which(PROGRAM)
        if program is None:
            raise UserError("espeak-ng is not installed. Install it: apt-get install espeak-ng.")
        self._program = program
        self._slots = asyncio.Semaphore(PROCESSES)

    def has(self, voice: str) -> bool:
        """A language, with one of espeak's variants if you like: ``hi``, ``hi+f3``, ``en+m2``."""
        language, variant = voice[:2], voice[2:]
        return any(language == known.id for known in self.voices) and (
            not variant or bool(_VARIANT.fullmatch(variant))
        )

    def gain_db(self, voice: str) -> float:
        """What brings ``voice`` to the appliance's speech level."""
        return GAIN_DB

    async def speak(self, text: str, voice: str) -> AsyncGenerator[bytes, None]:
        """Stream ``text``; closing the iterator kills the program."""
        async with self._slots:
            child = await asyncio.create_subprocess_exec(
                self._program, "--stdout", "--stdin", "-b", "1", "-s", str(WORDS_PER_MINUTE),
                "-v", voice,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
            try:
                async for chunk in _wav_data(child, text):
                    yield chunk
            finally:
                if child.returncode is None:
                    child.kill()
                    await child.wait()


async def _wav_data(child: asyncio.subprocess.Process, text: str) -> AsyncGenerator[bytes, None]:
    """Give the program its text and yield whole samples of its WAV stream, without the header."""
    assert child.stdin and child.stdout
    child.stdin.write(text.encode())
    child.stdin.close()
    async with asyncio.timeout(CHUNK_TIMEOUT_S):
        try:
            header = await child.stdout.readexactly(HEADER_BYTES)
        except asyncio.IncompleteReadError as e:
            if e.partial == b"" and await child.wait() == 0:
                return  # nothing in the text can be spoken
            raise RuntimeError(f"espeak-ng gave no audio (status {child.returncode})") from e
    (rate_hz,) = struct.unpack_from("<I", header, 24)
    if rate_hz != RATE_HZ:
        raise RuntimeError(f"espeak-ng speaks at {rate_hz} Hz and not at {RATE_HZ}")
    odd = b""
    while True:
        async with asyncio.timeout(CHUNK_TIMEOUT_S):
            data = odd + await child.stdout.read(CHUNK_BYTES)
        if len(data) == len(odd):
            break
        whole = len(data) // 2 * 2
        odd = data[whole:]
        yield data[:whole]
    async with asyncio.timeout(CHUNK_TIMEOUT_S):
        if await child.wait():
            raise RuntimeError(f"espeak-ng ended with status {child.returncode}")
