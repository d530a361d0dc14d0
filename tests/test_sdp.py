"""Which codec an offer leads to."""

from __future__ import annotations

import pytest

from appliance.telephony.sdp import chosen_codec, codec_names


def offer(formats: str, *lines: str, media: str = "audio") -> bytes:
    head = f"v=0\r\no=- 1 1 IN IP4 10.0.0.2\r\ns=-\r\nt=0 0\r\nm={media} 4000 RTP/AVP {formats}"
    return "\r\n".join((head, *lines, "")).encode()


@pytest.mark.parametrize(
    ("body", "codec"),
    [
        (offer("0 8 101", "a=rtpmap:101 telephone-event/8000"), "PCMU"),
        (offer("96 9 0", "a=rtpmap:96 opus/48000/2"), "G722"),
        (offer("97 0", "a=rtpmap:97 pcma/8000"), "PCMA"),
        (offer("18 3"), None),
        (offer("0", media="video") + b"m=audio 5000 RTP/AVP 8\r\n", "PCMA"),
        (b"", None),
        (b"\xff\xfem=audio", None),
    ],
)
def test_chosen_codec(body: bytes, codec: str | None) -> None:
    assert chosen_codec(body) == codec


def test_every_codec_of_an_offer_is_named_in_its_order() -> None:
    audio = b"m=audio 4000 RTP/AVP 18 8 96 101 77\r\na=rtpmap:96 opus/48000/2\r\n"
    body = b"v=0\r\n" + audio + b"a=rtpmap:101 telephone-event/8000\r\n"
    assert codec_names(body) == ["G729", "PCMA", "OPUS", "TELEPHONE-EVENT"]
    assert codec_names(b"\xff\xfe") == []
