"""SIP as a caller needs it (RFC 3261), without I/O; written apart from the appliance's own parser,
so that a rehearsal is an independent peer of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_SHORT = {"v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "l": "content-length"}
_URI = re.compile(r"<(sips?:[^>]+)>|^(sips?:[^;,\s]+)")
_HOST = re.compile(r"sips?:(?:[^@]*@)?([^:;>]+)(?::(\d+))?")
_TAG = re.compile(r";\s*tag=([^;,\s]+)")


@dataclass(frozen=True, slots=True)
class SipMessage:
    """A parsed request or response; headers by lower-case name, in order."""

    method: str
    """Empty for a response."""
    status: int
    """0 for a request."""
    headers: dict[str, list[str]]
    body: str

    def first(self, name: str) -> str:
        """The first header of that name, or an empty text."""
        return next(iter(self.headers.get(name, [])), "")

    @property
    def cseq(self) -> tuple[int, str]:
        """CSeq's number and method."""
        number, _, method = self.first("cseq").partition(" ")
        return int(number or 0), method.strip()

    @property
    def to_tag(self) -> str:
        found = _TAG.search(self.first("to"))
        return found[1] if found else ""


def parse(datagram: bytes) -> SipMessage:
    """Read one datagram. Raises ValueError when it is no SIP message."""
    head, _, body = datagram.decode(errors="replace").partition("\r\n\r\n")
    start, *lines = head.split("\r\n")
    words = start.split(" ", 2)
    if len(words) != 3:
        raise ValueError(f"not a SIP start line: {start!r}")
    headers: dict[str, list[str]] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            key = name.strip().lower()
            headers.setdefault(_SHORT.get(key, key), []).append(value.strip())
    if words[0] == "SIP/2.0":
        return SipMessage("", int(words[1]), headers, body)
    return SipMessage(words[0], 0, headers, body)


def routes(values: list[str]) -> list[str]:
    """The entries of Record-Route headers, one ``<sip:…>`` each, in order."""
    return [entry.strip() for value in values for entry in value.split(",") if entry.strip()]


def uri_of(value: str) -> str:
    """The URI inside a Contact or Route value. Raises ValueError when there is none."""
    found = _URI.search(value.strip())
    if not found:
        raise ValueError(f"no SIP URI in {value!r}")
    return found[1] or found[2]


def address_of(uri: str) -> tuple[str, int]:
    """Where a SIP URI (with an address, not a name) is reached."""
    found = _HOST.search(uri)
    if not found:
        raise ValueError(f"no host in {uri!r}")
    return found[1], int(found[2] or 5060)


def request(method: str, uri: str, headers: list[tuple[str, str]], body: str = "") -> bytes:
    """A request's bytes; Content-Length is added."""
    lines = [f"{method} {uri} SIP/2.0", *(f"{name}: {value}" for name, value in headers)]
    return _message(lines, body)


def response(to: SipMessage, status: int, reason: str, extra: list[tuple[str, str]]) -> bytes:
    """The answer to a request: its Via, From, To, Call-ID and CSeq come back."""
    lines = [f"SIP/2.0 {status} {reason}"]
    for name in ("via", "record-route", "from", "to", "call-id", "cseq"):
        lines += [f"{name.title()}: {value}" for value in to.headers.get(name, [])]
    return _message([*lines, *(f"{name}: {value}" for name, value in extra)], "")


def _message(lines: list[str], body: str) -> bytes:
    head = "\r\n".join([*lines, f"Content-Length: {len(body.encode())}"])
    return f"{head}\r\n\r\n{body}".encode()


def offer(host: str, rtp_port: int) -> str:
    """SDP for G.711 µ-law and RFC 4733 events."""
    return (
        f"v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
        f"m=audio {rtp_port} RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\n"
        "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n"
    )


def media_address(sdp: str) -> tuple[str, int]:
    """Where the other side wants its RTP. Raises ValueError: no µ-law audio in the answer."""
    host = re.search(r"^c=IN IP4 (\S+)", sdp, re.MULTILINE)
    media = re.search(r"^m=audio (\d+) RTP/AVP ([\d ]+)", sdp, re.MULTILINE)
    if not host or not media or media[1] == "0" or "0" not in media[2].split():
        raise ValueError("the SDP answer has no G.711 µ-law audio")
    return host[1], int(media[1])
