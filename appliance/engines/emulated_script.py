"""What the emulated callers say, and where in it a piece of received audio stands.

The emulated recogniser transcribes nothing: it knows every recording that a rehearsal's callers
play, with the end of each word, and finds by cross-correlation which of them it is hearing and
how far the caller has come. So it needs no order of utterances, survives G.711, and knows nothing
that a real recogniser could not know from the same audio.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson
from numpy.typing import NDArray

from appliance.audio import halve_rate, read_wav
from appliance.errors import UserError

LOCATE_HZ = 2000
"""Audio is compared at 2 kHz: pitch and first formant tell utterances apart, and one search
through half a minute of script stays under 1 ms."""
_SOUND_DB = -45.0
_WORD = re.compile(r"[\w']+")

Track = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Word:
    """One spoken word; ``end_ms`` counts from the beginning of its recording."""

    text: str
    end_ms: int


@dataclass(frozen=True, slots=True)
class Utterance:
    """One recording that callers play: 16 kHz mono WAV whose speech ends with the file."""

    id: str
    text: str
    answer: str
    """What the emulated language model replies to it."""
    wav: Path
    words: tuple[Word, ...]

    def pcm(self, rate_hz: int) -> bytes:
        """The recording as L16 at 8 000 or 16 000 Hz."""
        channels, recorded_hz = read_wav(self.wav)
        if recorded_hz == rate_hz:
            return channels[0]
        if (recorded_hz, rate_hz) != (16000, 8000):
            raise UserError(f"{self.wav} has {recorded_hz} Hz; record it at 16000 Hz.")
        return halve_rate(np.frombuffer(channels[0], "<i2")).tobytes()


@dataclass(frozen=True, slots=True)
class Script:
    """Everything that the callers of a rehearsal may say, and the answers to it."""

    utterances: tuple[Utterance, ...]
    default_answer: str

    def answer_to(self, message: str) -> str:
        """The scripted answer to a caller's message, whole or still growing.

        The utterance that shares the most words with ``message`` decides; none in common: the
        default answer.
        """
        said = set(_words(message))
        if not said:
            return self.default_answer
        best, score = self.default_answer, 0.0
        for utterance in self.utterances:
            own = set(_words(utterance.text))
            shared = len(own & said) / len(own)
            if shared > score:
                best, score = utterance.answer, shared
        return best


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]


def load_script(path: Path) -> Script:
    """Read a script file (``bench/script.py`` makes one); recordings lie beside it.

    Raises UserError when the file or a recording is missing or not of this form.
    """
    try:
        raw = orjson.loads(path.read_bytes())
        utterances = tuple(
            Utterance(
                id=item["id"],
                text=item["text"],
                answer=item["answer"],
                wav=path.parent / item["wav"],
                words=tuple(Word(text, int(end_ms)) for text, end_ms in item["words"]),
            )
            for item in raw["utterances"]
        )
        script = Script(utterances, raw["default_answer"])
    except FileNotFoundError as e:
        raise UserError(
            f"There is no script {path}. Make one: python -m appliance.rehearsal.script."
        ) from e
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as e:
        raise UserError(f"{path} is not a script of utterances: {e!r}.") from e
    for utterance in script.utterances:
        if not utterance.wav.exists():
            raise UserError(f"The script {path} names {utterance.wav}, which does not exist.")
    return script


@dataclass(frozen=True, slots=True)
class Place:
    """Where a piece of audio stands: its last sample is ``end_ms`` into ``utterance``."""

    utterance: Utterance
    end_ms: int
    likeness: float
    """Normalised cross-correlation, 1 for the very same audio."""


class Locator:
    """Finds received audio in the script's recordings."""

    def __init__(self, script: Script) -> None:
        self._script = script
        pad = np.zeros(LOCATE_HZ // 2, np.float32)
        pieces: list[Track] = [pad]
        self._starts: list[int] = []
        length = len(pad)
        for utterance in script.utterances:
            track = to_track(utterance.pcm(16000), 16000)
            self._starts.append(length)
            pieces += [track, pad]
            length += len(track) + len(pad)
        whole = np.concatenate(pieces)
        self._length = length
        self._size = 1 << (length + LOCATE_HZ).bit_length()
        self._spectrum = np.fft.rfft(whole, self._size)
        self._energy = np.concatenate(([0.0], np.cumsum(whole.astype(np.float64) ** 2)))

    def find(self, piece: Track) -> Place | None:
        """The best place of ``piece`` (at 2 kHz, 0.1-1 s); None when it is silent."""
        own = float(np.sum(piece.astype(np.float64) ** 2))
        if own <= 0.0:
            return None
        spectrum = self._spectrum * np.conj(np.fft.rfft(piece, self._size))
        starts = self._length - len(piece)
        product = np.fft.irfft(spectrum, self._size)[:starts]
        window = self._energy[len(piece) : len(piece) + starts] - self._energy[:starts]
        # A window far weaker than the piece cannot be it; the floor keeps 0/0 out.
        likeness = product / np.sqrt(np.maximum(window, own * 0.05) * own)
        at = int(np.argmax(likeness))
        end = at + len(piece)
        index = max(int(np.searchsorted(self._starts, end, side="right")) - 1, 0)
        end_ms = (end - self._starts[index]) * 1000 // LOCATE_HZ
        return Place(self._script.utterances[index], end_ms, float(likeness[at]))


def to_track(pcm: bytes, rate_hz: int) -> Track:
    """L16 at 8 000 or 16 000 Hz as a 2 kHz float track for :class:`Locator`."""
    step = rate_hz // LOCATE_HZ
    samples = np.frombuffer(pcm, "<i2")
    whole = samples[: len(samples) // step * step].reshape(-1, step)
    track: Track = whole.mean(axis=1, dtype=np.float32)
    return track


def is_sound(track: Track) -> bool:
    """Whether a 2 kHz track is louder than room noise (-45 dBFS)."""
    if len(track) == 0:
        return False
    return bool(np.dot(track, track) > len(track) * (32768 * 10 ** (_SOUND_DB / 20)) ** 2)
