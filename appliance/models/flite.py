"""English speech by flite, loaded as a library: first audio after about 20 ms, 80x real time.

The C library streams through a callback; ctypes lets go of the GIL while it works. Each phrase
has an utterance of its own with its own streaming settings, so phrases run side by side.
"""

from __future__ import annotations

import asyncio
import ctypes as c
import re
import threading
import unicodedata
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from appliance.errors import UserError
from appliance.models.engine import ModelOptions, VoiceInfo, offered
from appliance.models.model_watch import ModelWatch

LIBRARY = "libflite.so.1"
VOICES = ("slt", "rms", "awb", "kal16")
RATE_HZ = 16_000
CHUNK_SAMPLES = 480
"""30 ms: flite's own smallest piece of these voices."""
THREADS = 4
CAPACITY = 50
_CONTINUE, _STOP = 0, -1
LONGEST_TOKEN = 40
"""Letters; a longer one is no word, and flite would spell it for minutes."""

_GAINS_DB = {"slt": -6.0, "rms": 0.0, "awb": -1.5, "kal16": 6.0}
"""Measured active levels are -13.7, -19.7, -18.6 and -26.5 dBFS."""
_SENTENCE = re.compile(r"(?<=[.?!;])\s+")
_SIGNS = {"₹": " rupees ", "€": " euros ", "£": " pounds ", "’": "'", "‘": "'", "–": ", ",
          "—": ", ", "…": "... ", "“": '"', "”": '"', "°": " degrees "}  # fmt: skip


class _Wave(c.Structure):
    _fields_ = (
        ("type", c.c_char_p), ("sample_rate", c.c_int), ("num_samples", c.c_int),
        ("num_channels", c.c_int), ("samples", c.c_void_p),
    )  # fmt: skip


_OnAudio = c.CFUNCTYPE(c.c_int, c.POINTER(_Wave), c.c_int, c.c_int, c.c_int, c.c_void_p)


if TYPE_CHECKING:
    _WavePointer = c._Pointer[_Wave]
    _Tell = Callable[[bytes | None], None]


class _Streaming(c.Structure):
    """cst_audio_streaming_info of flite 2.2."""

    _fields_ = (
        ("min_buffsize", c.c_int), ("callback", _OnAudio), ("text", c.c_char_p),
        ("item", c.c_void_p), ("userdata", c.c_void_p),
    )  # fmt: skip


class _Utterance(c.Structure):
    _fields_ = (("features", c.c_void_p),)


def _load(name: str) -> c.CDLL:
    try:
        return c.CDLL(name, mode=c.RTLD_GLOBAL)
    except OSError as e:
        raise UserError(f"flite is not installed ({e}). Install it: apt-get install flite.") from e


def _library() -> c.CDLL:
    lib = _load(LIBRARY)
    utterance, streaming = c.POINTER(_Utterance), c.POINTER(_Streaming)
    for name, result, arguments in (
        ("new_utterance", utterance, []),
        ("delete_utterance", None, [utterance]),
        ("utt_init", utterance, [utterance, c.c_void_p]),
        ("utt_synth", c.c_void_p, [utterance]),
        ("new_audio_streaming_info", streaming, []),
        ("audio_streaming_info_val", c.c_void_p, [streaming]),
        ("feat_set", None, [c.c_void_p, c.c_char_p, c.c_void_p]),
        ("feat_set_string", None, [c.c_void_p, c.c_char_p, c.c_char_p]),
    ):
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    lib.flite_init()
    return lib


class FliteEngine:
    """flite's voices in this process; see :class:`~appliance.models.engine.TtsEngine`."""

    name = "flite"
    rate_hz = RATE_HZ
    identity = ""  # its first sound comes after 20 ms, 80 times as fast as it is heard
    watch: ModelWatch | None = None

    def __init__(self, options: ModelOptions | None = None) -> None:
        """Load the library and the voices. Raises UserError when they are not installed."""
        options = options or ModelOptions()
        known = tuple(VoiceInfo(voice, "en") for voice in VOICES)
        self.voices = offered(self.name, known, options.languages)
        self.capacity = options.capacity or CAPACITY
        self._lib = _library()
        self._voices = {voice: self._register(voice) for voice in VOICES}
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="flite")

    def _register(self, voice: str) -> int:
        register = _load(f"libflite_cmu_us_{voice}.so.1")[f"register_cmu_us_{voice}"]
        register.restype, register.argtypes = c.c_void_p, [c.c_void_p]
        return int(register(None))

    def has(self, voice: str) -> bool:
        return voice in self._voices

    def gain_db(self, voice: str) -> float:
        """What brings ``voice`` to the appliance's speech level."""
        return _GAINS_DB[voice]

    async def speak(self, text: str, voice: str) -> AsyncGenerator[bytes, None]:
        """Stream ``text`` sentence by sentence; closing the iterator stops the synthesis."""
        stopped = threading.Event()
        # Not bounded by a size but by the text: the server takes 2 000 letters, about 4 MB.
        chunks: asyncio.Queue[bytes | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def tell(chunk: bytes | None) -> None:
            loop.call_soon_threadsafe(chunks.put_nowait, chunk)

        def work() -> None:
            try:
                for sentence in sentences(text):
                    if not stopped.is_set():
                        self._synthesise(sentence, voice, tell, stopped)
            finally:
                tell(None)

        done = loop.run_in_executor(self._threads, work)
        try:
            while (chunk := await chunks.get()) is not None:
                yield chunk
            await done
        finally:
            stopped.set()

    def _synthesise(self, sentence: str, voice: str, tell: _Tell, stopped: threading.Event) -> None:
        """In a worker thread: one sentence through the C library."""

        def on_audio(wave: _WavePointer, start: int, size: int, _last: int, _info: int) -> int:
            if stopped.is_set():
                return _STOP
            tell(c.string_at(wave.contents.samples + 2 * start, 2 * size))
            return _CONTINUE

        callback = _OnAudio(on_audio)  # kept by this frame while C may call it
        utterance = self._lib.new_utterance()
        features = utterance.contents.features
        self._lib.feat_set_string(features, b"input_text", sentence.encode("ascii"))
        self._lib.utt_init(utterance, self._voices[voice])
        streaming = self._lib.new_audio_streaming_info()
        streaming.contents.min_buffsize = CHUNK_SAMPLES
        streaming.contents.callback = callback
        # The utterance owns the streaming info from here, and frees it.
        self._lib.feat_set(
            features, b"streaming_info", self._lib.audio_streaming_info_val(streaming)
        )
        if self._lib.utt_synth(utterance):
            self._lib.delete_utterance(utterance)
        elif not stopped.is_set():
            raise RuntimeError(f"flite could not speak {len(sentence)} letters")


def sentences(text: str) -> list[str]:
    """Text as ASCII sentences with something to say in each: a sentence is synthesised at once."""
    for sign, spoken in _SIGNS.items():
        text = text.replace(sign, spoken)
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    words = (word[:LONGEST_TOKEN] for word in plain.split())
    return [s for s in _SENTENCE.split(" ".join(words)) if re.search(r"[A-Za-z0-9]", s)]
