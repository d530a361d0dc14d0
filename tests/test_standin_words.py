"""How the stand-in cuts a command's words: as FreeSWITCH was seen to."""

from __future__ import annotations

import json
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.events import Whisper
from appliance.media import protocol
from appliance.telephony.freeswitch import argument
from tests.standin_words import plain_event, separate


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("u start x mono 8000 {} more words", ["u", "start", "x", "mono", "8000", "{} more words"]),
        ("u send_text {} tail", ["u", "send_text", "{}", "tail"]),
        (r"u send_text a\"b\\c\u0020d\te", ["u", "send_text", 'a"b\\c\\u0020d\te']),
        ("u send_text 'a b'c", ["u", "send_text", "a bc"]),
        ("u   stop", ["u", "stop"]),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert separate(text, 6) == words


@given(st.text(min_size=1, max_size=80).filter(lambda t: t.isprintable() and t.strip()))
def test_what_the_switch_writes_arrives(text: str) -> None:
    sent = argument(protocol.whisper(Whisper(text)))
    message = {"type": "whisper", "text": text}
    assert json.loads(separate(f"u start x mono 8000 {sent}", 6)[5]) == message
    assert json.loads(separate(f"u send_text {sent}", 6)[2]) == message


def test_an_event_holds_no_line_that_a_value_wrote() -> None:
    raw = plain_event({"Event-Name": "DTMF", "Name": "a\nFake: 1 % é"}, "body")
    head, _, rest = raw.partition(b"\n\n")
    assert int(dict(line.split(b": ") for line in head.splitlines())[b"Content-Length"]) == len(
        rest
    )
    inner, _, said = rest.partition(b"\n\n")
    found = dict(line.split(": ") for line in inner.decode().splitlines())
    assert unquote(found["Name"]) == "a\nFake: 1 % é"
    assert (found["Content-Length"], said) == ("4", b"body")
