"""What Whisper makes up is dropped; what callers say is not."""

from __future__ import annotations

import pytest

from appliance.models.engine import Words
from appliance.models.guards import Decoded, compression, without_loops, words_of

SPOKEN_MS = 2000


@pytest.mark.parametrize(
    ("decoded", "words"),
    [
        (Decoded("Thank you.", -1.4, 0.9), Words("", 0.0)),  # silence
        (Decoded("Thank you.", -0.3, 0.9), Words("Thank you.", 0.741)),  # sure of the words
        (Decoded("mumble", -1.4, 0.2), Words("mumble", 0.247)),  # noisy speech
        (Decoded("", -0.1, 0.0), Words("", 0.0)),
        (Decoded("yes", 0.01, 0.0), Words("yes", 1.0)),
    ],
)
def test_what_whisper_makes_up_in_silence_is_dropped(decoded: Decoded, words: Words) -> None:
    assert words_of(decoded, "en", SPOKEN_MS) == words


@pytest.mark.parametrize(
    ("text", "language", "sound_ms", "kept"),
    [
        ("Thank you.", "en", 80, False),
        ("Thank you.", "en", 600, True),  # a caller says so
        ("Thanks for watching!", "hi", 80, False),
        ("धन्यवाद।", "hi", 80, False),
        ("धन्यवाद।", "hi", 500, True),
        ("धन्यवाद।", "ta", 80, True),  # not what it makes up there
        ("No.", "en", 80, True),
    ],
)
def test_subtitles_need_sound(text: str, language: str, sound_ms: int, kept: bool) -> None:
    assert words_of(Decoded(text, -0.2, 0.1), language, sound_ms).text == (text if kept else "")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("no, no, no, no", "no, no, no, no"),
        ("my bill bill bill bill bill bill", "my bill"),
        ("I see. " * 5 + "So what", "I see. So what"),
        ("zero 9 9 9 9 9 9 4", "zero 9 9 9 9 9 9 4"),
        ("- - - - - - yes", "- yes"),
        ("क्या है " * 9, "क्या है"),
        ("", ""),
    ],
)
def test_loops_are_said_once(text: str, kept: str) -> None:
    assert without_loops(text) == kept


@pytest.mark.parametrize(
    "text",
    [
        "my broadband connection has been down since yesterday evening and nobody answers",
        "हाँ जी मेरा नाम राहुल शर्मा है और मैं पुणे में रहता हूँ मुझे नया कनेक्शन चाहिए कृपया बताइए कि "
        "उसका खर्च कितना होगा और कितने दिन में लगेगा",
        "எனக்கு புதிய இணைப்பு வேண்டும் அதற்கு எவ்வளவு செலவாகும் எத்தனை நாட்களில் கிடைக்கும்",
        "no no no, I said no, no internet, no phone, nothing at all, no",
        "9 8 7 6 5 5 5 5 5 5 9 8 7 6 5 5 5 5 5 5",
    ],
)
def test_speech_does_not_compress(text: str) -> None:
    assert compression(text) < 2
    assert words_of(Decoded(text, -0.2, 0.0), "hi", SPOKEN_MS).text == text


def test_a_loop_with_variations_is_dropped() -> None:
    looping = (
        "so I think so I was so I think so so I was so I think so I was so I so I think so " * 3
    )
    assert compression(looping) > 2.4
    assert words_of(Decoded(looping, -0.2, 0.0), "en", SPOKEN_MS) == Words("", 0.0)
