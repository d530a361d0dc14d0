"""Documents by URL from the operator's own network, and from nowhere else.

A URL is a way to make this machine ask another one: each host's name is resolved once, the address is
checked, and the connection goes to that address whatever the name says a moment later (no DNS
rebinding); redirects are followed by hand, with the same checks.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urljoin, urlsplit

import aiohttp

from appliance.addresses import Network, Pinned
from appliance.errors import UserError, reason_of
from appliance.knowledge.addresses import allowed_address
from appliance.knowledge.reading.clean import tidy
from appliance.knowledge.reading.document import RefusedDocumentError, UnreadableDocumentError

TIMEOUT_S = 60.0
CONNECT_TIMEOUT_S = 10.0
MOST_REDIRECTS = 3
CHUNK_BYTES = 64 * 1024
MOST_HEADER_BYTES = 16 * 1024
LONGEST_NAME_CHARS = 200
LONGEST_URL_CHARS = 2000
MOST_URLS = 10_000
"""Of one list."""
GONE = frozenset((404, 410))
AGAIN = frozenset((408, 425, 429))
"""Statuses below 500 that say: later."""
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_FILE_NAME = re.compile(r"filename\s*=\s*\"?([^\";]+)", re.IGNORECASE)


class GoneDocumentError(RefusedDocumentError):
    """The server says that there is no such document any more."""

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True, slots=True)
class Seen:
    """What a server said about the contents that we have: its ETag and Last-Modified headers."""

    etag: str = ""
    modified: str = ""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A document as its server sent it."""

    content: bytes
    media_type: str
    """As the server says, with its charset; the contents decide."""
    name: str
    """A file name, from the header or the URL."""
    seen: Seen = Seen()


async def fetch(
    url: str, networks: Sequence[Network], max_bytes: int, timeout_s: float = TIMEOUT_S
) -> Fetched:
    """The document at ``url``, from a server inside ``networks``.

    Raises RefusedDocumentError (address, scheme, size, the server says no) or UnreadableDocumentError
    (network, the server is in trouble): it may be tried again.
    """
    fetched = await fetch_changed(url, networks, max_bytes, Seen(), timeout_s)
    if fetched is None:
        raise UnreadableDocumentError(f"{shown(url)} answered that nothing changed, unasked.")
    return fetched


async def fetch_changed(
    url: str,
    networks: Sequence[Network],
    max_bytes: int,
    seen: Seen,
    timeout_s: float = TIMEOUT_S,
) -> Fetched | None:
    """As :func:`fetch`; None when the server says that nothing changed since ``seen``."""
    try:
        async with asyncio.timeout(timeout_s):
            return await _followed(url, networks, max_bytes, seen)
    except TimeoutError as e:
        raise UnreadableDocumentError(
            f"{shown(url)} did not come within {timeout_s:g} s; see whether its server is busy."
        ) from e
    except (aiohttp.ClientError, OSError, ValueError) as e:
        raise UnreadableDocumentError(
            f"{shown(url)} cannot be reached ({type(e).__name__}: {reason_of(e)[:200]})."
        ) from e


def url_list(text: str) -> list[str]:
    """The URLs of a list, one a line; empty lines and those from ``#`` on are comments.

    Raises UserError naming the first line that is none.
    """
    found: dict[str, None] = {}
    for number, line in enumerate(text.splitlines(), 1):
        url = re.split(r"(?:^|\s)#", line, maxsplit=1)[0].strip()
        if not url:
            continue
        try:
            check_url(url)
        except RefusedDocumentError as e:
            raise UserError(f"Line {number}: {e}") from e
        found[url] = None
    if len(found) > MOST_URLS:
        raise UserError(f"The list has more than {MOST_URLS:,} URLs; split it.")
    return list(found)


def check_url(url: str) -> tuple[str, int]:
    """(host, port) of a URL that may be read. Raises RefusedDocumentError."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as e:
        raise RefusedDocumentError(f"{shown(url)} is no URL; write http://host/path.") from e
    if parts.scheme not in ("http", "https") or not host or len(url) > LONGEST_URL_CHARS:
        raise RefusedDocumentError(
            f"{shown(url)} is no URL to read documents from; write http://host/path or https://…"
        )
    if parts.username is not None or parts.password is not None:
        raise RefusedDocumentError(
            f"{shown(url)} holds a user name or password; let the server know this machine's address "
            "instead."
        )
    if any(char.isspace() or ord(char) < 0x20 for char in url):
        raise RefusedDocumentError(f"{shown(url)} has spaces in it; write them as %20.")
    return host, port or (443 if parts.scheme == "https" else 80)


def shown(url: str) -> str:
    """``url`` as it may be shown: without user, password and query."""
    plain = re.sub(r"//[^/@?#]*@", "//", url.partition("?")[0])
    return tidy(plain)[:LONGEST_NAME_CHARS]


async def _followed(
    url: str, networks: Sequence[Network], max_bytes: int, seen: Seen
) -> Fetched | None:
    for _ in range(MOST_REDIRECTS + 1):
        found = await _asked(url, networks, max_bytes, seen)
        if not isinstance(found, str):
            return found
        target = urljoin(url, found)
        if _is_tls(url) and not _is_tls(target):
            raise RefusedDocumentError(f"{shown(url)} leads from https to http; use its new URL.")
        url = target
    raise RefusedDocumentError(
        f"{shown(url)} is reached by more than {MOST_REDIRECTS} redirects; use the URL they lead to."
    )


def _is_tls(url: str) -> bool:
    return url[:6].lower() == "https:"


async def _asked(
    url: str, networks: Sequence[Network], max_bytes: int, seen: Seen
) -> Fetched | str | None:
    """The document; a URL to ask instead; None for no change."""
    host, port = check_url(url)
    address = await allowed_address(host, port, networks, CONNECT_TIMEOUT_S)
    # compressed answers are not asked for: a few bytes of one may unpack to gigabytes
    headers = {"Accept-Encoding": "identity", "User-Agent": "ivr-appliance"}
    if seen.etag:
        headers["If-None-Match"] = seen.etag
    if seen.modified:
        headers["If-Modified-Since"] = seen.modified
    connector = aiohttp.TCPConnector(resolver=Pinned(address), use_dns_cache=False, limit=1)
    async with aiohttp.ClientSession(
        connector=connector,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(sock_connect=CONNECT_TIMEOUT_S),
        max_field_size=MOST_HEADER_BYTES,
    ) as session:
        async with session.get(url, headers=headers, allow_redirects=False) as response:
            if response.status in _REDIRECTS:
                return _location(response, url)
            if response.status == 304:
                return None
            _check_answer(response, url, max_bytes)
            return Fetched(
                await _body(response, url, max_bytes),
                response.headers.get("Content-Type", ""),
                _name(response, url),
                Seen(
                    response.headers.get("ETag", "")[:LONGEST_NAME_CHARS],
                    response.headers.get("Last-Modified", "")[:LONGEST_NAME_CHARS],
                ),
            )


def _location(response: aiohttp.ClientResponse, url: str) -> str:
    target = response.headers.get("Location", "")
    if not target:
        raise RefusedDocumentError(f"{shown(url)} answers with a redirect to nowhere.")
    return target


def _check_answer(response: aiohttp.ClientResponse, url: str, max_bytes: int) -> None:
    status = response.status
    if status >= 500 or status in AGAIN:
        raise UnreadableDocumentError(
            f"{shown(url)} answers with status {status}; it is tried again."
        )
    if status != 200:
        why = (
            f"{shown(url)} answers with status {status}; open it in a browser, and correct the URL."
        )
        raise GoneDocumentError(why, status) if status in GONE else RefusedDocumentError(why)
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise RefusedDocumentError(
            f"{shown(url)} comes packed ({encoding[:20]}) though it was asked for plain; "
            "have its server send it unpacked."
        )
    if (response.content_length or 0) > max_bytes:
        raise _too_large(url, max_bytes)


async def _body(response: aiohttp.ClientResponse, url: str, max_bytes: int) -> bytes:
    content = bytearray()
    async for chunk in response.content.iter_chunked(CHUNK_BYTES):
        content += chunk
        if len(content) > max_bytes:
            raise _too_large(url, max_bytes)
    return bytes(content)


def _too_large(url: str, max_bytes: int) -> RefusedDocumentError:
    return RefusedDocumentError(
        f"{shown(url)} is larger than {max_bytes / 1e6:.0f} MB; split it, or raise "
        "knowledge.max_document_mb."
    )


def _name(response: aiohttp.ClientResponse, url: str) -> str:
    """A file name without folders: from the header, from the path, or the host's."""
    said = _FILE_NAME.search(response.headers.get("Content-Disposition", ""))
    name = said[1] if said else unquote(urlsplit(url).path)
    name = re.split(r"[/\\]", name.rstrip("/"))[-1]
    return tidy(name)[:LONGEST_NAME_CHARS] or urlsplit(url).hostname or "page"
