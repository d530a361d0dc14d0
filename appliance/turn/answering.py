"""Who has answered a call that we made: a person, an answering machine, or nobody can say.

A person says a word or two and waits. A machine recites, or beeps. Everything is counted in the
callee's audio from the moment they answered; words play no part, so it works in every language.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from appliance.audio import FRAME_MS, halve_rate, level_db
from appliance.turn.tones import RATE_HZ, Tone, Tones

CLICK_MS = 120
"""Speech shorter than this in all is a click or a breath, not a greeting."""
SHORT_MS, SHORT_WAIT_MS = 1200, 600
"""After a greeting this short, so much silence makes it a person's: they wait for us."""
WAIT_MS = 900
"""After a longer one: a machine's "Hello." may be followed by a breath and the rest."""
LONG_MS, LONG_SHARE = 2800, 0.6
"""A greeting this long, so much of it speech, is recited."""
SILENCE_MS = 3000
LOUD_DB = -42.0
"""Sound above this level is not silence, whatever it is."""
UNCLEAR_MS, UNCLEAR_SPEAKING_MS = 6000, 9000
"""When we give up; later if they are in mid-greeting, which decides by itself soon."""
LONGEST_BEEP_MS = 2000
"""A tone longer than this is the line's or a fax's."""
PROGRESS_HZ = (390.0, 460.0)
"""Ringing, busy and dial tones of Europe and India (ITU-T E.180) lie here, and beeps seldom do: one
counts only behind speech, and when it is shorter than any ringing."""
LONGEST_PROGRESS_BEEP_MS = 700
FAX_CALLS_HZ, FAX_CALLS_MS = (1060.0, 1140.0), (400, 620)
"""CNG: 1 100 Hz for half a second (ITU-T T.30)."""
FAX_ANSWERS_HZ, FAX_ANSWERS_MS = (2080.0, 2120.0), 1400
"""CED: 2 100 Hz for 2.6 s and more (ITU-T T.30, V.25)."""
INTERCEPT_HZ = ((890.0, 1010.0), (1340.0, 1460.0), (1740.0, 1820.0))
"""The three rising tones before an operator's announcement (ITU-T E.180 special information tone);
telephone companies use two values of each."""

Who = Literal["human", "machine", "uncertain"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Who answered and what told: ``short greeting``, ``long greeting``, ``beep``, ``fax``,
    ``intercept``, ``silence`` or ``unclear``. ``beep``: a message may be left from now on."""

    who: Who
    sign: str
    beep: bool = False


class Answering:
    """Listens to one callee."""

    def __init__(self, rate_hz: int) -> None:
        self._halve = rate_hz == 2 * RATE_HZ
        self._tones = Tones()
        self._verdict: Verdict | None = None
        self._beeped = False
        self._now_ms = 0
        self._voiced_ms = 0
        self._voice_start_ms = 0
        self._voice_end_ms = 0
        self._sound_end_ms = 0

    def feed(self, frame: bytes, speech: bool) -> Verdict | None:
        """Take the callee's next 20 ms (L16); ``speech``: the voice activity detector hears some.

        Returns the verdict once. After it, unless it was ``human``, returns a beep once:
        ``Verdict("machine", "beep", True)``, about 0.1 s after the beep's end.
        """
        self._now_ms += FRAME_MS
        samples = np.frombuffer(frame, "<i2")
        if self._halve:
            samples = halve_rate(samples)
        signal = self._tones.feed(samples)
        verdict = self._told_by(signal)
        if self._verdict is not None:
            return self._later(verdict)
        self._count(speech, level_db(samples) > LOUD_DB)
        self._verdict = verdict or self._long_tone() or self._greeting() or self._nothing()
        self._beeped = self._verdict is not None and self._verdict.beep
        return self._verdict

    def _later(self, verdict: Verdict | None) -> Verdict | None:
        assert self._verdict is not None
        if verdict is None or not verdict.beep or self._beeped or self._verdict.who == "human":
            return None
        self._beeped = True
        return verdict

    def _count(self, speech: bool, loud: bool) -> None:
        toned = self._tones.sounding is not None
        if speech and not toned:
            if not self._voiced_ms:
                self._voice_start_ms = self._now_ms - FRAME_MS
            self._voiced_ms += FRAME_MS
            self._voice_end_ms = self._now_ms
        if speech or toned or loud:
            self._sound_end_ms = self._now_ms

    def _greeting(self) -> Verdict | None:
        length_ms = self._voice_end_ms - self._voice_start_ms
        silent_ms = self._now_ms - self._voice_end_ms
        if self._voiced_ms < CLICK_MS:
            return None
        if length_ms >= LONG_MS and self._voiced_ms >= LONG_SHARE * length_ms:
            return Verdict("machine", "long greeting")
        if silent_ms >= (SHORT_WAIT_MS if length_ms <= SHORT_MS else WAIT_MS):
            return Verdict("human", "short greeting")
        return None

    def _nothing(self) -> Verdict | None:
        if self._now_ms - self._sound_end_ms >= SILENCE_MS:
            return Verdict("uncertain", "silence")
        greeting = self._voiced_ms >= CLICK_MS
        if self._now_ms >= (UNCLEAR_SPEAKING_MS if greeting else UNCLEAR_MS):
            return Verdict("uncertain", "unclear")
        return None

    def _long_tone(self) -> Verdict | None:
        tone = self._tones.sounding
        if tone is None or not _within(tone.hz, FAX_ANSWERS_HZ) or tone.ms < FAX_ANSWERS_MS:
            return None
        return Verdict("machine", "fax")

    def _told_by(self, signal: tuple[Tone, ...]) -> Verdict | None:
        """What a signal of tones that is just over says of who sent it."""
        if len(signal) == len(INTERCEPT_HZ):
            rising = zip(signal, INTERCEPT_HZ, strict=True)
            if all(_within(tone.hz, band) for tone, band in rising):
                return Verdict("machine", "intercept")
        if len(signal) != 1:
            return None  # a melody, of which a person's line may play one
        (tone,) = signal
        if _within(tone.hz, FAX_CALLS_HZ) and FAX_CALLS_MS[0] <= tone.ms <= FAX_CALLS_MS[1]:
            return Verdict("machine", "fax")
        return Verdict("machine", "beep", True) if self._is_beep(tone) else None

    def _is_beep(self, tone: Tone) -> bool:
        if _within(tone.hz, PROGRESS_HZ):
            return self._voiced_ms >= CLICK_MS and tone.ms < LONGEST_PROGRESS_BEEP_MS
        return tone.ms <= LONGEST_BEEP_MS


def _within(hz: float, band: tuple[float, float]) -> bool:
    return band[0] <= hz <= band[1]
