"""Pure tones in a telephone line: the beep of an answering machine, a fax, an operator's signal.

A tone is one frequency of steady level. What sounds like one and is none is told apart by two things:
energy beside the peak of the spectrum (DTMF, chords, vowels), and a level that beats within the 20 ms
of a frame (ringing and dial tones are two frequencies 40-90 Hz apart, which no spectrum of 20 ms can
separate; so is a low voice, whose pitch shows as a beat).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from appliance.audio import FRAME_MS, Samples

RATE_HZ = 8000
FRAME_SAMPLES = RATE_HZ * FRAME_MS // 1000
LOWEST_HZ, HIGHEST_HZ = 330.0, 2260.0
QUIETEST_DB = -48.0
SHORTEST_FRAMES = 5
"""Whole frames that surely lie in a tone of 120 ms, wherever it begins."""
SOUNDING_FRAMES = 3
"""So many make a tone of a sound that may become one."""
PURITY = 0.88
"""Share of the frame's energy within 94 Hz of the peak: a tone 9 dB over everything else."""
BEAT = 2.8
"""Ratio of the loudest to the quietest 5 ms of a frame (4.5 dB); two equal tones have over 10."""
DRIFT_DB = 6.0
"""How far the level of one tone may change in all (a fax's is modulated by 3.5 dB)."""
DRIFT_HZ = 15.0
HOLE_EVERY_FRAMES = 10
"""How often one spoilt frame may stand in a tone; one in two is a beat."""
SETTLE_FRAMES = 4
"""So long after a tone another one still belongs to the same signal."""
MOST_TONES = 8
"""Of one signal; a melody's later notes are not kept."""

_FFT = 256
_BIN_HZ = RATE_HZ / _FFT
_WIDTH_BINS = 3
_FIRST_BIN = 3
_WINDOW = np.hanning(FRAME_SAMPLES).astype(np.float32)
_QUIETEST = 32768.0**2 * 10 ** (QUIETEST_DB / 10)


@dataclass(frozen=True, slots=True)
class Tone:
    """One tone that was heard: its frequency and length."""

    hz: float
    ms: int


class Tones:
    """Finds tones in 20 ms frames of 8 kHz audio."""

    def __init__(self) -> None:
        self._hz = 0.0
        self._frames = 0
        self._db = (0.0, 0.0)
        self._missed = False
        self._next_hole = 0
        self._signal: list[Tone] = []
        self._since = 0

    @property
    def sounding(self) -> Tone | None:
        """The tone that sounds now, or that has this very moment ended."""
        if self._frames < SOUNDING_FRAMES:
            return None
        return Tone(self._hz, self._frames * FRAME_MS)

    def feed(self, frame: Samples) -> tuple[Tone, ...]:
        """Take the next frame (160 samples); returns the tones of a signal that is over, else ().

        Tones that follow each other within 80 ms are one signal.
        """
        found = _tone_of(frame)
        if found is not None and self._goes_on(*found):
            self._extend(*found)
            return ()
        if found is None and self._frames > self._next_hole and not self._missed:
            self._missed = True  # one frame lost or spoilt by the network is no end
            self._next_hole = self._frames + HOLE_EVERY_FRAMES
            return ()
        self._end()
        if found is not None:
            self._begin(*found)
        return self._settled()

    def _goes_on(self, hz: float, db: float) -> bool:
        low, high = min(db, self._db[0]), max(db, self._db[1])
        return bool(self._frames) and abs(hz - self._hz) <= DRIFT_HZ and high - low <= DRIFT_DB

    def _begin(self, hz: float, db: float) -> None:
        self._hz, self._frames, self._db, self._missed = hz, 1, (db, db), False

    def _extend(self, hz: float, db: float) -> None:
        self._frames += 1 + self._missed
        self._hz += (hz - self._hz) / self._frames
        self._db = min(db, self._db[0]), max(db, self._db[1])
        self._missed = False

    def _end(self) -> None:
        if self._frames >= SHORTEST_FRAMES and len(self._signal) < MOST_TONES:
            self._signal.append(Tone(self._hz, self._frames * FRAME_MS))
            self._since = 0
        self._frames, self._missed, self._next_hole = 0, False, 0

    def _settled(self) -> tuple[Tone, ...]:
        self._since += 1
        if self._since < SETTLE_FRAMES or self._frames >= SOUNDING_FRAMES:
            return ()
        signal, self._signal = tuple(self._signal), []
        return signal


def _tone_of(frame: Samples) -> tuple[float, float] | None:
    """Frequency (Hz) and level (dB) of a frame that is one pure tone, or None."""
    wave = frame.astype(np.float32)
    quarters = np.square(wave).reshape(4, -1).mean(axis=1)
    low, high = float(quarters.min()), float(quarters.max())
    if low < _QUIETEST or high > low * BEAT:
        return None
    power = np.square(np.abs(np.fft.rfft(wave * _WINDOW, _FFT)))
    peak = int(power[_FIRST_BIN:-1].argmax()) + _FIRST_BIN
    near = power[max(peak - _WIDTH_BINS, _FIRST_BIN) : peak + _WIDTH_BINS + 1].sum()
    if near < PURITY * power[_FIRST_BIN:].sum():
        return None
    hz = (peak + _peak_offset(power[peak - 1 : peak + 2])) * _BIN_HZ
    if not LOWEST_HZ <= hz <= HIGHEST_HZ:
        return None
    return hz, 10 * float(np.log10(quarters.mean()))


def _peak_offset(around: Samples) -> float:
    """Where between three bins the peak lies, in bins from the middle one (a parabola in dB)."""
    left, middle, right = np.log(np.maximum(around, 1e-9))
    bend = float(left - 2 * middle + right)
    return float(left - right) / 2 / bend if bend < 0 else 0.0
