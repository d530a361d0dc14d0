"""Who answered: greetings by real voices, tones of every kind, through G.711 at many levels."""

from __future__ import annotations

import shutil
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.audio import FRAME_MS, double_rate, frame_bytes
from appliance.turn.answering import Answering, Verdict
from appliance.turn.tones import Tone, Tones
from bench import answering as corpus
from bench.answering import RATE_HZ, Wave, line, modulated, music, quiet, scaled, speech, tones

SIZE = frame_bytes(RATE_HZ)
BEEP = Verdict("machine", "beep", True)
needs_voices = pytest.mark.skipif(
    not (shutil.which("flite") and shutil.which("espeak-ng")), reason="no flite or no espeak-ng"
)


def frames_of(pcm: bytes, size: int = SIZE) -> list[bytes]:
    return [pcm[at : at + size] for at in range(0, len(pcm) - size + 1, size)]


def heard_in(
    sound: Wave, *speaking: tuple[int, int], db: float = -20.0, noise_db: float = -65.0
) -> list[tuple[int, Verdict]]:
    """What is told of ``sound``, and when (ms), with speech heard in the spans given (ms)."""
    answering, told = Answering(RATE_HZ), []
    for number, frame in enumerate(frames_of(line(sound, db, noise_db))):
        at_ms = number * FRAME_MS
        verdict = answering.feed(frame, any(begin <= at_ms < end for begin, end in speaking))
        if verdict is not None:
            told.append((at_ms + FRAME_MS, verdict))
    return told


def babble(ms: int) -> Wave:
    """Sound that is no tone, where the detector's word is all that counts."""
    return scaled(np.random.default_rng(ms).normal(0, 1, ms * RATE_HZ // 1000), -20)


def alaw(pcm: bytes) -> bytes:
    """Through A-law (ITU-T G.711 table 1a: 13 bit magnitudes, segments by their leading bit)."""
    samples = np.frombuffer(pcm, "<i2").astype(np.int32)
    magnitude = np.abs(samples) >> 4  # 12 bit
    segment = np.maximum(np.floor(np.log2(np.maximum(magnitude, 1))).astype(int) - 4, 0)
    step = 1 << np.maximum(segment - 1, 0) + 1
    middle = (magnitude // step * step + step // 2) << 4
    return (np.sign(samples) * middle).clip(-32768, 32767).astype("<i2").tobytes()


# --- greetings ------------------------------------------------------------------------------------


@pytest.mark.parametrize("said_ms", [200, 400, 800, 1200])
def test_a_short_greeting_and_silence_is_a_person_soon(said_ms: int) -> None:
    sound = np.concatenate((quiet(400), babble(said_ms), quiet(3000)))
    ((at_ms, verdict),) = heard_in(sound, (400, 400 + said_ms))
    assert verdict == Verdict("human", "short greeting")
    assert 500 <= at_ms - (400 + said_ms) <= 700


def test_a_greeting_of_two_seconds_waits_a_little_longer() -> None:
    sound = np.concatenate((babble(2000), quiet(3000)))
    ((at_ms, verdict),) = heard_in(sound, (0, 2000))
    assert verdict.who == "human" and 2800 <= at_ms <= 3000


@pytest.mark.parametrize("pause_ms", [0, 200, 500])
def test_a_long_greeting_is_a_machine_before_it_ends(pause_ms: int) -> None:
    begin_ms = 600 + pause_ms
    sound = np.concatenate((babble(600), quiet(pause_ms), babble(6000)))
    ((at_ms, verdict),) = heard_in(sound, (0, 600), (begin_ms, begin_ms + 6000))
    assert verdict == Verdict("machine", "long greeting")
    assert 2500 <= at_ms <= 3000


def test_silence_is_uncertain_after_three_seconds_and_a_click_is_silence() -> None:
    assert heard_in(quiet(9000)) == [(3000, Verdict("uncertain", "silence"))]
    ((at_ms, verdict),) = heard_in(quiet(9000), (500, 580))
    assert verdict.sign == "silence" and at_ms == 3580


def test_noise_that_is_no_speech_is_unclear_after_six_seconds() -> None:
    assert heard_in(babble(9000)) == [(6000, Verdict("uncertain", "unclear"))]


def test_who_begins_to_speak_late_is_heard_out() -> None:
    sound = np.concatenate((babble(5800), babble(400), quiet(3000)))
    ((at_ms, verdict),) = heard_in(sound, (5700, 6200))
    assert verdict == Verdict("human", "short greeting") and at_ms == 6800


def test_scattered_syllables_are_unclear_in_the_end() -> None:
    spans = [(at, at + 100) for at in range(0, 12_000, 600)]
    ((at_ms, verdict),) = heard_in(babble(12_000), *spans)
    assert (verdict.sign, at_ms) == ("unclear", 9000)


# --- beeps ----------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(
    hz=st.floats(350, 2200).filter(lambda hz: not 385 <= hz <= 465 and not 1050 <= hz <= 1150),
    ms=st.integers(140, 1370),
    db=st.floats(-40, -10),
    before_ms=st.integers(300, 700),
    law=st.sampled_from(("u", "a")),
)
def test_any_beep_is_told_of_once_at_its_end(
    hz: float, ms: int, db: float, before_ms: int, law: str
) -> None:
    sound = np.concatenate((quiet(before_ms), tones(ms, hz), quiet(3600)))
    pcm = line(sound, db, min(-60, db - 15))
    answering, told = Answering(RATE_HZ), []
    for number, frame in enumerate(frames_of(alaw(pcm) if law == "a" else pcm)):
        verdict = answering.feed(frame, False)
        if verdict is not None:
            told.append((number * FRAME_MS + FRAME_MS, verdict))
    assert [verdict for _, verdict in told] == [BEEP]
    assert 0 <= told[0][0] - (before_ms + ms) <= 200


@pytest.mark.parametrize("hz", [350, 620, 1000, 2200])
def test_a_beep_of_120_ms_is_enough(hz: float) -> None:
    for offset_ms in range(0, 20, 3):
        sound = np.concatenate((quiet(500 + offset_ms), tones(124, hz), quiet(2000)))
        assert [v for _, v in heard_in(sound)] == [BEEP], offset_ms


def test_a_beep_of_80_ms_is_a_click() -> None:
    sound = np.concatenate((quiet(500), tones(80, 1000), quiet(3500)))
    assert [v.sign for _, v in heard_in(sound)] == ["silence"]


@pytest.mark.parametrize("hz", [440, 1000])
def test_after_a_long_greeting_the_beep_follows_once(hz: float) -> None:
    beeps = np.concatenate((tones(300, hz), quiet(500), tones(300, hz), quiet(500)))
    sound = np.concatenate((babble(4000), quiet(600), beeps))
    told = heard_in(sound, (0, 4000), (4600, 4980))  # the detector takes the beep for speech
    assert [v for _, v in told] == [Verdict("machine", "long greeting"), BEEP]
    assert 4900 <= told[1][0] <= 5100


def test_silence_then_a_beep_is_a_machine_after_all_but_a_person_stays_one() -> None:
    silent = np.concatenate((quiet(3500), tones(300, 1000), quiet(500)))
    assert [v for _, v in heard_in(silent)] == [Verdict("uncertain", "silence"), BEEP]
    person = np.concatenate((babble(500), quiet(1500), tones(300, 1000), quiet(500)))
    assert [v.who for _, v in heard_in(person, (0, 500))] == ["human"]


def test_a_beep_in_which_one_frame_was_lost_is_one_beep() -> None:
    beep = tones(300, 1000)
    beep[8 * 140 : 8 * 160] = 0
    sound = np.concatenate((quiet(400), beep, quiet(1000)))
    assert [v for _, v in heard_in(sound)] == [BEEP]


def test_wideband_calls_are_judged_alike() -> None:
    narrow = line(np.concatenate((quiet(400), tones(300, 1000), quiet(1000))), -20, -65)
    wide = double_rate(np.frombuffer(narrow, "<i2")).tobytes()
    answering = Answering(16000)
    told = [answering.feed(frame, False) for frame in frames_of(wide, frame_bytes(16000))]
    assert [v for v in told if v] == [BEEP]


# --- what is no beep ------------------------------------------------------------------------------

RINGING = {
    "USA": (tones(2000, 440, 480), 4000),
    "UK": (tones(400, 400, 450), 200),
    "Europe": (tones(1000, 425), 4000),
    "India": (modulated(400, 400, 25), 200),
    "Japan": (modulated(1000, 400, 16), 2000),
    "dial tone": (tones(3000, 350, 440), 0),
    "busy, USA": (tones(500, 480, 620), 500),
    "busy, Europe": (tones(500, 425), 500),
    "call waiting, USA": (tones(300, 440), 9700),
}


@pytest.mark.parametrize("name", RINGING)
@pytest.mark.parametrize("db", [-10.0, -20.0, -36.0])
@pytest.mark.parametrize("offset_ms", [0, 7])
def test_ringing_and_busy_tones_are_no_beep(name: str, db: float, offset_ms: int) -> None:
    piece, off_ms = RINGING[name]
    once = np.concatenate((piece, quiet(off_ms)))
    sound = np.concatenate((quiet(offset_ms), np.tile(once, 1 + 9 * 8000 // len(once))))
    assert [v.who for _, v in heard_in(sound, db=db)] == ["uncertain"]


@pytest.mark.parametrize("low", [697, 770, 852, 941])
@pytest.mark.parametrize("high", [1209, 1336, 1477, 1633])
def test_keys_are_no_beep(low: float, high: float) -> None:
    key = tones(200, low) + tones(200, high) * 10 ** (-4 / 20)  # the twist that phones may have
    sound = np.concatenate((quiet(400), key, quiet(4000)))
    assert [v.who for _, v in heard_in(sound)] == ["uncertain"]


@pytest.mark.parametrize("seed", range(3))
def test_music_is_no_beep(seed: int) -> None:
    assert [v.sign for _, v in heard_in(music(seed))] == ["unclear"]


def test_a_melody_of_pure_tones_is_no_beep() -> None:
    notes = [tones(300, 523 * 2 ** (step / 12)) for step in (0, 4, 7, 12, 7, 4, 0, 4, 7, 12, 7, 4)]
    sound = np.concatenate((*notes, *notes))
    assert [v.sign for _, v in heard_in(sound)] == ["unclear"]


@pytest.mark.parametrize("hz", [(950, 1400, 1800), (914, 1371, 1777), (985, 1429, 1777)])
def test_the_tones_before_an_announcement_are_a_machine_and_no_beep(
    hz: tuple[float, float, float],
) -> None:
    sound = np.concatenate((quiet(300), *[tones(330, f) for f in hz], quiet(2000)))
    assert [v for _, v in heard_in(sound)] == [Verdict("machine", "intercept")]


def test_a_fax_is_a_machine_without_a_beep() -> None:
    calling = np.concatenate((quiet(500), tones(500, 1100), quiet(2000)))
    assert [v for _, v in heard_in(calling)] == [Verdict("machine", "fax")]
    t = np.arange(3 * RATE_HZ) / RATE_HZ
    reversals = np.where((t // 0.45) % 2 < 1, 1, -1)  # ITU-T V.8 ANSam
    answer = np.sin(2 * np.pi * 2100 * t) * reversals * (1 + 0.2 * np.sin(2 * np.pi * 15 * t))
    answering = np.concatenate((quiet(500), scaled(answer, -20), quiet(500)))
    told = heard_in(answering)
    assert [v for _, v in told] == [Verdict("machine", "fax")]
    assert heard_in(np.concatenate((quiet(400), tones(3000, 2100))))[0][0] <= 1900


def test_a_tone_without_end_is_unclear() -> None:
    assert [v.sign for _, v in heard_in(tones(9000, 1004))] == ["unclear"]


@needs_voices
@pytest.mark.parametrize("voice", corpus.VOICES)
def test_no_voice_beeps(voice: str) -> None:
    for text in corpus.LONG:
        finder = Tones()
        for frame in frames_of(line(speech(text, voice), -20, -65)):
            assert finder.feed(np.frombuffer(frame, "<i2")) == (), text


# --- the parts ------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.floats(340, 2250), st.floats(-40, -10))
def test_the_frequency_is_measured_to_a_few_hz(hz: float, db: float) -> None:
    finder, found = Tones(), []
    sound = np.concatenate((tones(300, hz), quiet(300)))
    for frame in frames_of(line(sound, db, min(-60, db - 20))):
        found += finder.feed(np.frombuffer(frame, "<i2"))
    (tone,) = found
    assert abs(tone.hz - hz) < 8 and 240 <= tone.ms <= 320


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=SIZE, max_size=SIZE), st.booleans(), st.integers(1, 60))
@pytest.mark.filterwarnings("error")
def test_any_audio_is_taken(frame: bytes, speaking: bool, count: int) -> None:
    answering = Answering(RATE_HZ)
    verdicts = [answering.feed(frame, speaking) for _ in range(count)]
    assert len([v for v in verdicts if v]) <= 2


@pytest.mark.parametrize("value", [0, 1, -32768, 32767])
def test_constant_and_clipped_audio_is_taken(value: int) -> None:
    finder = Tones()
    frame = np.full(160, value, np.int16)
    assert all(finder.feed(frame) == () for _ in range(20)) and finder.sounding is None


def test_tone_is_told_while_it_sounds() -> None:
    finder = Tones()
    for frame in frames_of(line(tones(400, 700), -20, -65)):
        finder.feed(np.frombuffer(frame, "<i2"))
    assert isinstance(finder.sounding, Tone) and finder.sounding.ms >= 360
    assert abs(finder.sounding.hz - 700) < 5


def test_alaw_here_is_alaw() -> None:
    """The test's own codec has A-law's signal-to-noise of 37 dB and finer steps at low level."""
    for db in (-10.0, -30.0):
        sound = scaled(tones(500, 1000), db)
        pcm = sound.astype("<i2").tobytes()
        error = np.frombuffer(alaw(pcm), "<i2").astype(float) - sound
        assert 34 < 10 * np.log10(np.mean(sound**2) / np.mean(error**2)) < 42


# --- the corpus -----------------------------------------------------------------------------------


@cache
def results() -> list[tuple[corpus.Case, corpus.Outcome]]:
    return corpus.run(every=7)


@needs_voices
def test_over_the_corpus_nearly_everything_is_right() -> None:
    print(corpus.table(results()))
    wrong = [
        (case.kind, outcome)
        for case, outcome in results()
        if not corpus.is_right(case, outcome) and case.kind not in corpus.HARD
    ]
    assert len(wrong) <= len(results()) // 50, wrong


@needs_voices
def test_a_person_is_known_within_a_second() -> None:
    waits = corpus.waits_ms(results())
    assert len(waits) >= 30 and np.median(waits) <= 850 and waits[int(len(waits) * 0.9)] <= 1100
