"""Reads RFC 4475's messages (tests/torture/) as the bytes that they are on the wire."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "torture"
FILES = ("valid.txt", "invalid.txt", "semantics.txt")
_HEAD = re.compile(r"== (?P<section>\S+) (?P<name>\S+) (?P<transport>UDP|TCP) (?P<expected>\S+)")
_ONE_LINE = re.compile(r"<allOneLine>\n(.*?)\n</allOneLine>", re.DOTALL)
_REPEAT = re.compile(r"<repeat count=(\d+)>(.*?)</repeat>")
_SDP = re.compile(r"<sdp ([\d.]+)>\n")
_HEX = re.compile(rb"<hex>([0-9A-F]+)</hex>")


@dataclass(frozen=True)
class Torture:
    """One message; ``expected`` is ``call``, ``silence`` or a status."""

    section: str
    name: str
    transport: str
    expected: str
    text: str

    def wire(self, media: str = "") -> bytes:
        """The bytes; ``media``: an address in place of the one that its SDP names, so that no test
        sends audio to anybody. The length that its header told rightly stays right."""
        text = _ONE_LINE.sub(lambda m: m[1].replace("\n", ""), self.text)
        text = _REPEAT.sub(lambda m: m[2] * int(m[1]), text)
        told = _SDP.search(text)
        if told:
            body, own = sdp(told[1]), sdp(media or told[1])
            text = text.replace(told[0], own)
            if media:
                length = str(len(body.replace("\n", "\r\n")))
                new = str(len(own.replace("\n", "\r\n")))
                text = re.sub(rf"(?im)^((?:content-length|l)\s*: *){length}$", rf"\g<1>{new}", text)
        raw = text.replace("\n", "\r\n").encode()
        return _HEX.sub(lambda m: bytes.fromhex(m[1].decode()), raw)


def sdp(address: str) -> str:
    """The body of most of the RFC's messages."""
    return (
        f"v=0\no=mhandley 29739 7272939 IN IP4 {address}\ns=-\nc=IN IP4 {address}\nt=0 0\n"
        "m=audio 49217 RTP/AVP 0 12\nm=video 3227 RTP/AVP 31\na=rtpmap:31 LPC\n"
    )


def messages() -> list[Torture]:
    """All of them, in the RFC's order."""
    found = []
    for name in FILES:
        text = (FOLDER / name).read_text()
        heads = list(_HEAD.finditer(text))
        ends = [head.start() for head in heads[1:]] + [len(text)]
        for head, end in zip(heads, ends, strict=True):
            found.append(Torture(**head.groupdict(), text=text[head.end() + 1 : end]))
    return found
