"""The browser leg's resamplers and its reading of offers: pure, no network."""

from __future__ import annotations

import numpy as np
import pytest

from appliance.admin.tryit.resampling import BROWSER_HZ, DELAY_MS, Decimator, Interpolator
from appliance.admin.tryit.webrtc import check_offer, with_packets_of
from appliance.audio import RATES_HZ, Samples
from appliance.errors import UserError


def tone(hz: float, rate_hz: int) -> Samples:
    at = np.arange(rate_hz)
    return (10_000 * np.sin(2 * np.pi * hz * at / rate_hz)).astype("<i2")


def through(work: Decimator | Interpolator, samples: Samples, size: int) -> Samples:
    return np.concatenate([work.feed(samples[i : i + size]) for i in range(0, len(samples), size)])


def level_db(samples: Samples) -> float:
    """Against the tone."""
    return float(20 * np.log10(max(samples[1000:].std(), 1e-9) / (10_000 / np.sqrt(2))))


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_speech_passes_and_what_would_fold_back_does_not(rate_hz: int) -> None:
    half = rate_hz / 2
    for hz in (100, 1000, 0.7 * half):
        assert abs(level_db(through(Decimator(rate_hz), tone(hz, BROWSER_HZ), 960))) < 0.5
        wide = through(Interpolator(rate_hz), tone(hz, rate_hz), rate_hz // 50)
        assert len(wide) == BROWSER_HZ and abs(level_db(wide)) < 0.5
        spectrum = np.abs(np.fft.rfft(wide[2400:] * np.hanning(BROWSER_HZ - 2400))) ** 2
        at = np.fft.rfftfreq(BROWSER_HZ - 2400, 1 / BROWSER_HZ)
        others = spectrum[np.abs(at - hz) > 30].sum() / spectrum.sum()
        assert 10 * np.log10(others + 1e-12) < -55  # its images
    for hz in (1.15 * half, 2 * half, 20_000):
        assert level_db(through(Decimator(rate_hz), tone(hz, BROWSER_HZ), 960)) < -45


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("size_ms", [10, 20, 40])
def test_a_frame_in_is_a_frame_out_and_little_later(rate_hz: int, size_ms: int) -> None:
    click = np.zeros(BROWSER_HZ // 10, "<i2")
    click[BROWSER_HZ // 50] = 20_000
    narrow = through(Decimator(rate_hz), click, BROWSER_HZ * size_ms // 1000)
    assert len(narrow) == rate_hz // 10
    assert int(np.argmax(narrow)) * 1000 / rate_hz == pytest.approx(20 + DELAY_MS, abs=0.15)
    click = np.zeros(rate_hz // 10, "<i2")
    click[rate_hz // 50] = 20_000
    wide = through(Interpolator(rate_hz), click, rate_hz * size_ms // 1000)
    assert int(np.argmax(wide)) * 1000 / BROWSER_HZ == pytest.approx(20 + DELAY_MS, abs=0.15)


def test_the_loudest_sound_does_not_wrap_around() -> None:
    square = np.where(np.arange(BROWSER_HZ) // 40 % 2, 32767, -32768).astype("<i2")
    narrow = through(Decimator(8000), square, 960)
    wide = through(Interpolator(8000), narrow, 160)
    for sound in (narrow, wide):
        assert np.abs(np.diff(sound.astype(int))).max() < 65_000


OFFER = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\n"


def test_an_offer_of_audio_with_or_without_data() -> None:
    check_offer(OFFER)
    check_offer(OFFER + "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n")
    for wrong in ("", OFFER * 2, OFFER + "m=video 9 RTP 1\r\n", OFFER.replace("audio", "message")):
        with pytest.raises(UserError):
            check_offer(wrong)


def test_the_answer_asks_for_short_packets_of_the_audio_alone() -> None:
    lines = with_packets_of(OFFER + "m=application 9 x\r\nc=y\r\n", 10).split("\r\n")
    assert lines[1:5] == [
        "m=audio 9 UDP/TLS/RTP/SAVPF 111",
        "c=IN IP4 0.0.0.0",
        "a=ptime:10",
        "a=mid:0",
    ]
    assert lines.count("a=ptime:10") == 1
