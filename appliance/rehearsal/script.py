"""Makes the callers' recordings and their script once, with flite (voice awb).

``python -m appliance.rehearsal.script FOLDER`` writes one 16 kHz WAV an utterance and
``script.json``. Every recording begins and ends with its speech, to the millisecond, so that the
end of the file is the end of the caller's turn.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import orjson

from appliance.audio import halve_rate, read_wav, sound_spans, write_wav
from appliance.errors import UserError

VOICE = "awb"
FLITE_TIMEOUT_S = 30
_PAUSE = "pau"
_EDGE_DB = -42.0
"""Speech begins and ends where 5 ms windows pass this level."""

CONVERSATION: tuple[tuple[str, str, str], ...] = (
    # id, what the caller asks, what the language model answers (15-25 words, as on a telephone)
    (
        "hours",
        "What are your opening hours on Saturday?",
        "On Saturday we are open from nine in the morning until two. "
        "On other weekdays we close at six.",
    ),
    (
        "refund",
        "How long does a refund take to reach my account?",
        "Refunds usually reach your account within five to seven working days. "
        "You will get a message as soon as it is sent.",
    ),
    (
        "speak",
        "Can I speak to someone about my bill?",
        "Yes, of course, I can help you with your bill. Which month would you like to talk about?",
    ),
    (
        "router",
        "The red light on my router keeps blinking.",
        "A blinking red light means that the router has lost its line. "
        "Please switch it off, wait ten seconds, and switch it on again.",
    ),
    (
        "late",
        "Do I have to pay a fee when the payment is late?",
        "There is a late fee of fifty rupees after a grace period of five days. "
        "It appears on your next bill.",
    ),
    (
        "plan",
        "Can I change my plan in the middle of the month?",
        "Yes, you can change your plan on any day of the month. "
        "The price is then worked out day by day.",
    ),
    (
        "address",
        "Where is your nearest office?",
        "Our nearest office is at number twelve on Station Road. "
        "It is next to the post office, on the ground floor.",
    ),
    (
        "cancel",
        "I want to cancel my old connection.",
        "I am sorry to hear that you would like to leave us. "
        "We need thirty days of notice, and there is no fee.",
    ),
)
DEFAULT_ANSWER = "Could you please tell me a little more about that? I would like to help you."


def make(folder: Path) -> Path:
    """Write the recordings and ``script.json`` into ``folder``; its path. Done before: no-op.

    Raises UserError when flite is not installed or fails.
    """
    path = folder / "script.json"
    content = orjson.dumps([VOICE, CONVERSATION, DEFAULT_ANSWER])
    stamp = folder / ".made_from"
    if path.exists() and stamp.exists() and stamp.read_bytes() == content:
        return path
    folder.mkdir(parents=True, exist_ok=True)
    utterances = []
    for id_, text, answer in CONVERSATION:
        words = _record(text, folder / f"{id_}.wav")
        utterances.append(
            {"id": id_, "text": text, "answer": answer, "wav": f"{id_}.wav", "words": words}
        )
    whole = {"voice": VOICE, "utterances": utterances, "default_answer": DEFAULT_ANSWER}
    path.write_bytes(orjson.dumps(whole, option=orjson.OPT_INDENT_2))
    stamp.write_bytes(content)
    return path


def _record(text: str, wav: Path) -> list[tuple[str, int]]:
    """Speak ``text`` into ``wav``, trimmed; its words with their ends in ms."""
    segments = _segments(_flite("-psdur", "-t", text, "-o", str(wav)))
    channels, rate_hz = read_wav(wav)
    # Judged in the telephone's band: a final "s" that 8 kHz loses is not heard by anyone.
    narrow = halve_rate(np.frombuffer(channels[0], "<i2")).tobytes()
    spans = sound_spans(narrow, rate_hz // 2, floor_db=_EDGE_DB, bridge_ms=10_000, window_ms=5)
    start_ms, end_ms = spans[0]
    pcm = channels[0][start_ms * rate_hz // 500 : end_ms * rate_hz // 500]
    write_wav(wav, [pcm], rate_hz)
    length_ms = end_ms - start_ms
    ends = _word_ends(text.split(), segments, length_ms, start_ms)
    return [(word, end) for word, end in zip(text.split(), ends, strict=True)]


def _word_ends(
    words: list[str], segments: list[tuple[str, float]], length_ms: int, start_ms: int
) -> list[int]:
    """End of each word in ms: by flite's own segments, else shared out by letters."""
    voiced = [end for name, end in segments if name != _PAUSE]
    counts = [sum(name != _PAUSE for name, _ in _segments(_speak_alone(w))) for w in words]
    if sum(counts) == len(voiced):
        ends = [voiced[i - 1] * 1000 - start_ms for i in np.cumsum(counts)]
    else:
        letters = np.cumsum([len(word) + 1 for word in words])
        ends = [length_ms * n / letters[-1] for n in letters]
    whole = [max(0, min(length_ms, round(end))) for end in ends]
    whole[-1] = length_ms
    return whole


def _speak_alone(word: str) -> str:
    return _flite("-psdur", "-t", word, "-o", "none")


def _segments(listing: str) -> list[tuple[str, float]]:
    """flite's ``-psdur`` line: segment names with their ends in seconds."""
    pairs = (item.rsplit(":", 1) for item in listing.split())
    return [(name, float(end)) for name, end in pairs]


def _flite(*arguments: str) -> str:
    command = ["flite", "-voice", VOICE, *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=FLITE_TIMEOUT_S
        )
    except FileNotFoundError as e:
        raise UserError("flite is not installed: apt-get install flite.") from e
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as e:
        raise UserError(f"flite could not speak: {e}.") from e
    return done.stdout


if __name__ == "__main__":
    print(make(Path(sys.argv[1])))
