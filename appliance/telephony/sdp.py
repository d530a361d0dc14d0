"""What we need to read of a session description (RFC 8866), without I/O."""

from __future__ import annotations

STATIC_NAMES = {"0": "PCMU", "8": "PCMA", "9": "G722"}
"""RFC 3551 §6."""
RATE_HZ = {"PCMU": 8000, "PCMA": 8000, "G722": 16000}
"""Of the audio itself; G.722's RTP clock says 8 000 for a slip made in 1996 (RFC 3551 §4.5.2)."""


def chosen_codec(body: bytes) -> str | None:
    """The first codec of the offer's audio line that we speak: pjsip's answer will take it.

    None when the offer has none of them.
    """
    names = dict(STATIC_NAMES)
    formats: list[str] = []
    for line in body.decode("utf-8", "replace").splitlines():
        if line.startswith("m=audio ") and not formats:
            formats = line.split()[3:]
        elif line.startswith("a=rtpmap:"):
            number, _, rest = line.removeprefix("a=rtpmap:").partition(" ")
            names[number] = rest.partition("/")[0].strip().upper()
    return next((names[f] for f in formats if names.get(f) in RATE_HZ), None)
