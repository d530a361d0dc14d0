"""SIP messages without I/O: parse, read, change what a proxy must change, serialise (RFC 3261 §7).

Headers keep their order and their bytes; only what the proxy touches is rewritten. Bytes that are
no UTF-8 survive the round trip (surrogateescape).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace

from appliance.errors import ProtocolError

MAX_MESSAGE_BYTES = 16_384
MAX_HEADERS = 128
VERSION = "SIP/2.0"
DEFAULT_SIP_PORT = 5060

_COMPACT = {  # RFC 3261 §7.3.3
    "v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact",
    "l": "content-length", "c": "content-type", "s": "subject", "k": "supported",
    "e": "content-encoding", "r": "refer-to", "b": "referred-by",
}  # fmt: skip
_TOKEN = re.compile(r"[A-Za-z0-9.!%*_+`'~-]+")
_VIA = re.compile(
    r"SIP\s*/\s*2\.0\s*/\s*(?P<transport>[A-Za-z0-9]+)\s+"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)\s*(?::\s*(?P<port>\d{1,5}))?\s*(?P<rest>(?:;.*)?)",
    re.DOTALL | re.ASCII,
)
_URI = re.compile(
    r"(?P<scheme>sips?):(?:(?P<user>[^@;?<>\s]*)@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(?::(?P<port>\d{1,5}))?(?P<rest>[;?].*)?",
    re.IGNORECASE | re.DOTALL | re.ASCII,
)
_CSEQ = re.compile(r"\s*(\d{1,10})\s+([A-Za-z0-9.!%*_+`'~-]+)\s*", re.ASCII)
_CALL_ID = re.compile(r"[!-~]{1,256}", re.ASCII)
_PARAM = re.compile(r';((?:[^;"]|"(?:[^"\\]|\\.)*(?:"|\\?\Z))*)')
"""A quote that never ends takes the rest: searched for its end at each ``;``, it would cost the
square of a message's length (1.3 s of the proxy for one datagram)."""
_NEEDED = ("via", "from", "to", "call-id", "cseq")
_ONCE = frozenset(
    {"from", "to", "call-id", "cseq", "max-forwards", "content-length", "content-type"}
)
"""Two of one of these, and a parser behind us may read another message than we did (RFC 4475 §3.3.8,
§3.3.9); of two lengths it may also read another next message."""


@dataclass(frozen=True, slots=True)
class Headers:
    """Header fields in their order, as (name as written, value without folding)."""

    items: tuple[tuple[str, str], ...]

    def all(self, name: str) -> Iterator[str]:
        """Every value of the field ``name`` (lower case, long form), top first, lists not split."""
        return (value for key, value in self.items if _long(key) == name)

    def get(self, name: str) -> str:
        """The first value of ``name``, or an empty string."""
        return next(self.all(name), "")

    def listed(self, name: str) -> list[str]:
        """Every element of a comma-separated field (Via, Route, Record-Route), top first."""
        return [part for value in self.all(name) for part in split_list(value)]

    def with_listed(self, name: str, written: str, values: Iterable[str]) -> Headers:
        """The same with all fields ``name`` replaced, on top, by one field for each value."""
        rest = tuple(item for item in self.items if _long(item[0]) != name)
        return Headers(tuple((written, value) for value in values) + rest)

    def without(self, names: Collection[str]) -> Headers:
        """The same without the fields ``names`` (lower case, long form)."""
        return Headers(tuple(item for item in self.items if _long(item[0]) not in names))

    def with_value(self, name: str, written: str, value: str) -> Headers:
        """The same with one field ``name``, where it stood or at the end."""
        items, found = [], False
        for key, old in self.items:
            if _long(key) != name:
                items.append((key, old))
            elif not found:
                items.append((key, value))
                found = True
        if not found:
            items.append((written, value))
        return Headers(tuple(items))


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    uri: str
    headers: Headers
    body: bytes = b""

    @property
    def call_id(self) -> str:
        return self.headers.get("call-id")

    def serialise(self) -> bytes:
        """The bytes of the message, Content-Length set to the body's."""
        return _serialise(f"{self.method} {self.uri} {VERSION}", self.headers, self.body)

    def with_headers(self, headers: Headers) -> Request:
        return replace(self, headers=headers)


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    reason: str
    headers: Headers
    body: bytes = b""

    @property
    def call_id(self) -> str:
        return self.headers.get("call-id")

    @property
    def method(self) -> str:
        """The method of the request that it answers (from CSeq)."""
        return cseq(self.headers)[1]

    def serialise(self) -> bytes:
        """The bytes of the message, Content-Length set to the body's."""
        return _serialise(f"{VERSION} {self.status} {self.reason}", self.headers, self.body)

    def with_headers(self, headers: Headers) -> Response:
        return replace(self, headers=headers)


@dataclass(frozen=True, slots=True)
class Via:
    """One Via element (RFC 3261 §20.42); ``params`` in order, None for a flag such as rport."""

    transport: str
    host: str
    port: int | None
    params: tuple[tuple[str, str | None], ...] = ()

    def get(self, name: str) -> str | None:
        """Value of a parameter; an empty string for a flag, None when it is not there."""
        return next((value or "" for key, value in self.params if key == name), None)

    def with_param(self, name: str, value: str) -> Via:
        kept = tuple(param for param in self.params if param[0] != name)
        return replace(self, params=(*kept, (name, value)))

    def __str__(self) -> str:
        port = "" if self.port is None else f":{self.port}"
        params = "".join(f";{k}" if v is None else f";{k}={v}" for k, v in self.params)
        return f"{VERSION}/{self.transport} {self.host}{port}{params}"


@dataclass(frozen=True, slots=True)
class Uri:
    """A SIP URI: what routing needs of it."""

    scheme: str
    user: str
    host: str
    """Without the brackets of an IPv6 address."""
    port: int | None
    params: tuple[tuple[str, str | None], ...] = ()

    @property
    def transport(self) -> str:
        """``udp`` or ``tcp`` (lower case), as the URI asks; udp when it does not."""
        return next((v.lower() for k, v in self.params if k == "transport" and v), "udp")


def parse(data: bytes) -> Request | Response:
    """Read one whole message; what follows Content-Length is cut off (RFC 3261 §18.3).

    Raises ProtocolError with one sentence that says what is wrong.
    """
    if len(data) > MAX_MESSAGE_BYTES:
        raise ProtocolError(f"SIP message of {len(data)} bytes is over {MAX_MESSAGE_BYTES}")
    head, found, body = data.partition(b"\r\n\r\n")
    if not found:
        raise ProtocolError("SIP message has no end of headers")
    first, headers = _head(head)
    _check_single(headers)
    body = body[: _content_length(headers, len(body))]
    for name in _NEEDED:
        if not headers.get(name):
            raise ProtocolError(f"SIP message has no {name} header")
    for via in headers.listed("via"):
        parse_via(via)
    if not _CALL_ID.fullmatch(headers.get("call-id")):
        raise ProtocolError("SIP Call-ID header is malformed")
    number, method = cseq(headers)
    if first.startswith(VERSION + " "):
        return _response(first, headers, body)
    words = first.split(" ")
    if len(words) != 3 or words[2] != VERSION or not _TOKEN.fullmatch(words[0]) or not words[1]:
        raise ProtocolError("SIP start line is neither request nor response")
    if words[0] != method:
        raise ProtocolError(f"SIP method {words[0]} does not match CSeq {number} {method}")
    return Request(words[0], words[1], headers, body)


def parse_via(text: str) -> Via:
    """Read one Via element. Raises ProtocolError."""
    match = _VIA.fullmatch(text.strip())
    if not match:
        raise ProtocolError("SIP Via header is malformed")
    port = int(match["port"]) if match["port"] else None
    if port is not None and not 0 < port < 65536:
        raise ProtocolError("SIP Via port is out of range")
    return Via(match["transport"].upper(), match["host"], port, _params(match["rest"]))


def parse_uri(text: str) -> Uri:
    """Read a SIP URI, bare or as a name-addr (``"Bob" <sip:bob@host>;tag=1``).

    Raises ProtocolError for anything that is no sip: or sips: URI.
    """
    inside = re.search(r"<([^<>]*)>", text)
    match = _URI.fullmatch((inside[1] if inside else text).strip())
    if not match:
        raise ProtocolError("SIP URI is malformed")
    port = int(match["port"]) if match["port"] else None
    if port is not None and not 0 < port < 65536:
        raise ProtocolError("SIP URI port is out of range")
    rest = (match["rest"] or "").partition("?")[0]
    host = match["host"].strip("[]").lower()
    return Uri(match["scheme"].lower(), match["user"] or "", host, port, _params(rest))


def tag(address: str) -> str:
    """The tag of a From or To value, or an empty string."""
    after = address.rpartition(">")[2] if ">" in address else address
    return next((value or "" for key, value in _params(after) if key == "tag"), "")


def cseq(headers: Headers) -> tuple[int, str]:
    """CSeq as (number, method). Raises ProtocolError."""
    match = _CSEQ.fullmatch(headers.get("cseq"))
    if not match or int(match[1]) >= 2**32:
        raise ProtocolError("SIP CSeq header is malformed")
    return int(match[1]), match[2]


def split_list(value: str) -> list[str]:
    """Cut a field value at the commas that stand outside of quotes and angle brackets."""
    parts, start, quoted, depth, i = [], 0, False, 0, 0
    while i < len(value):
        char = value[i]
        if quoted and char == "\\":
            i += 1
        elif char == '"':
            quoted = not quoted
        elif not quoted and char == "<":
            depth += 1
        elif not quoted and char == ">":
            depth = max(0, depth - 1)
        elif not quoted and not depth and char == ",":
            parts.append(value[start:i].strip())
            start = i + 1
        i += 1
    parts.append(value[start:].strip())
    return [part for part in parts if part]


class StreamFramer:
    """Cuts a TCP byte stream into messages by Content-Length (RFC 3261 §18.3).

    What it holds is bounded by MAX_MESSAGE_BYTES and one read.
    """

    def __init__(self) -> None:
        self._pending = bytearray()
        self._end: int | None = None
        """Of the message that has begun, once its headers are here: a body that comes byte by byte
        must not have them read as often."""

    @property
    def inside_message(self) -> bool:
        """True while a message has begun and not ended."""
        return bool(self._pending.strip(b"\r\n"))

    def feed(self, data: bytes) -> tuple[list[bytes], int]:
        """Take bytes as they come: (whole messages, number of keep-alives, RFC 5626 §3.5.1).

        Raises ProtocolError when the stream is no SIP; it cannot be resumed then.
        """
        self._pending += data
        messages: list[bytes] = []
        pings = 0
        while True:
            pings += self._strip_keepalives()
            end = self._message_end()
            if end is None:
                break
            messages.append(bytes(self._pending[:end]))
            del self._pending[:end]
            self._end = None
        if len(self._pending) > MAX_MESSAGE_BYTES:
            raise ProtocolError(f"SIP message over TCP is over {MAX_MESSAGE_BYTES} bytes")
        return messages, pings

    def _strip_keepalives(self) -> int:
        count = 0
        while self._pending.startswith(b"\r\n"):
            if self._pending.startswith(b"\r\n\r\n"):
                count += 1
                del self._pending[:4]
            elif b"\r\n\r\n".startswith(self._pending):
                break  # perhaps the first half of a keep-alive
            else:
                del self._pending[:2]
        return count

    def _message_end(self) -> int | None:
        if self._end is None:
            self._end = self._told_end()
        return self._end if self._end is not None and len(self._pending) >= self._end else None

    def _told_end(self) -> int | None:
        head_end = self._pending.find(b"\r\n\r\n", 0, MAX_MESSAGE_BYTES)
        if head_end <= 0:
            return None
        _, headers = _head(bytes(self._pending[:head_end]))
        _check_single(headers)
        text = headers.get("content-length").strip()
        if not re.fullmatch(r"\d{1,6}", text, re.ASCII):
            raise ProtocolError("SIP message over TCP has no good Content-Length")
        end = head_end + 4 + int(text)
        if end > MAX_MESSAGE_BYTES:
            raise ProtocolError(f"SIP message over TCP is over {MAX_MESSAGE_BYTES} bytes")
        return end


def _long(name: str) -> str:
    lower = name.lower()
    return _COMPACT.get(lower, lower)


def _head(head: bytes) -> tuple[str, Headers]:
    text = head.decode("utf-8", "surrogateescape")
    text = re.sub(r"\r\n[ \t]+", " ", text)  # folding, RFC 3261 §7.3.1
    lines = text.split("\r\n")
    if any(char in line for line in lines for char in "\r\n\0"):
        # A laxer parser downstream would take them for the end of the line.
        raise ProtocolError("SIP header holds a bare CR, LF or NUL")
    if len(lines) > MAX_HEADERS + 1:
        raise ProtocolError(f"SIP message has more than {MAX_HEADERS} headers")
    items = []
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not _TOKEN.fullmatch(name.rstrip()):
            raise ProtocolError("SIP header line is malformed")
        items.append((name.rstrip(), value.strip()))
    return lines[0], Headers(tuple(items))


def _check_single(headers: Headers) -> None:
    seen: set[str] = set()
    for key, _ in headers.items:
        name = _long(key)
        if name in seen:
            raise ProtocolError(f"SIP message has two {name} headers")
        if name in _ONCE:
            seen.add(name)


def _content_length(headers: Headers, present: int) -> int:
    text = headers.get("content-length").strip()
    if not text:
        return present
    if not re.fullmatch(r"\d{1,6}", text, re.ASCII) or int(text) > present:
        raise ProtocolError("SIP Content-Length does not match the body")
    return int(text)


def _response(first: str, headers: Headers, body: bytes) -> Response:
    match = re.fullmatch(r"SIP/2\.0 ([1-6]\d\d)(?: (.*))?", first, re.ASCII)
    if not match:
        raise ProtocolError("SIP status line is malformed")
    return Response(int(match[1]), match[2] or "", headers, body)


def _params(text: str) -> tuple[tuple[str, str | None], ...]:
    """``;a=1;b`` as (("a", "1"), ("b", None)); names in lower case; quoted values kept quoted."""
    params: list[tuple[str, str | None]] = []
    for part in _PARAM.findall(text):
        name, equals, value = part.partition("=")
        if name.strip():
            params.append((name.strip().lower(), value.strip() if equals else None))
    return tuple(params)


def _serialise(first: str, headers: Headers, body: bytes) -> bytes:
    headers = headers.with_value("content-length", "Content-Length", str(len(body)))
    lines = [first, *(f"{name}: {value}" for name, value in headers.items), "", ""]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + body
