"""What we need to read of a session description (RFC 8866), without I/O."""

from __future__ import annotations

STATIC_NAMES = {"0": "PCMU", "3": "GSM", "4": "G723", "8": "PCMA", "9": "G722", "18": "G729"}
"""RFC 3551 §6."""
RATE_HZ = {"PCMU": 8000, "PCMA": 8000, "G722": 16000}
"""Of the audio itself; G.722's RTP clock says 8 000 for a slip made in 1996 (RFC 3551 §4.5.2)."""


def codec_names(body: bytes) -> list[str]:
    """Names of the formats of the first audio line, in its order; unknown ones are left out."""
    names = dict(STATIC_NAMES)
    formats: list[str] = []
    for line in body.decode("utf-8", "replace").splitlines():
        if line.startswith("m=audio ") and not formats:
            formats = line.split()[3:]
        elif line.startswith("a=rtpmap:"):
            number, _, rest = line.removeprefix("a=rtpmap:").partition(" ")
            names[number] = rest.partition("/")[0].strip().upper()
    return [names[number] for number in formats if names.get(number)]


def chosen_codec(body: bytes) -> str | None:
    """The first codec of the offer's audio line that we speak: pjsip's answer will take it.

    None when the offer has none of them.
    """
    return next((name for name in codec_names(body) if name in RATE_HZ), None)
