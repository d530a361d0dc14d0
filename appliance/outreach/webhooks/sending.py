"""One attempt to deliver: to an address that may be asked, with a bound on what comes back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import aiohttp

from appliance import __version__
from appliance.addresses import Address, Network, Pinned, is_allowed, is_public, resolved
from appliance.errors import UserError, reason_of
from appliance.outreach.webhooks.signing import signatures

TIMEOUT_S = 10.0
"""Of a whole attempt: a receiver puts the message on a queue of its own and says 2xx."""
CONNECT_TIMEOUT_S = 4.0
MOST_ANSWER_BYTES = 8 * 1024
"""Of the answer's body that are read."""
KEPT_LETTERS = 500
MOST_HEADER_BYTES = 8 * 1024
LONGEST_URL_CHARS = 2000
GONE = 410
"""The receiver wants no more (Standard Webhooks: the endpoint is switched off)."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of one attempt."""

    status: int = 0
    """HTTP status; 0: there was no answer."""
    error: str = ""
    """Why it failed, in one sentence; empty: it was delivered."""
    answer: str = ""
    """The beginning of the answer's body, at most ``KEPT_LETTERS``."""
    took_ms: int = 0
    retry_after_s: float = 0.0
    """What the receiver asks for, with 429 or 503."""

    @property
    def delivered(self) -> bool:
        return not self.error


def check_url(url: str) -> tuple[str, int, bool]:
    """(host, port, whether it is TLS) of a URL that may be a webhook. Raises UserError."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as e:
        raise UserError("That is no URL; write https://host/path.") from e
    if parts.scheme not in ("http", "https") or not host or len(url) > LONGEST_URL_CHARS:
        raise UserError("That is no URL of a webhook; write https://host/path.")
    if parts.username is not None or parts.password is not None:
        raise UserError(
            "The URL holds a user name or password; check our signature instead, docs/webhooks.md."
        )
    if not url.isascii() or any(char.isspace() or ord(char) < 0x20 for char in url):
        raise UserError("The URL has spaces or letters that are not ASCII; write them as %20, …")
    tls = parts.scheme == "https"
    return host, port or (443 if tls else 80), tls


async def allowed(url: str, networks: Sequence[Network]) -> Address:
    """The address to connect to for ``url``. Raises UserError: it may go to no such address, or its
    name is not known now.

    To the public internet only by https; by http only inside ``admin.webhook_networks``, where the
    operator knows who listens.
    """
    host, port, tls = check_url(url)
    try:
        found = await resolved(host, port, CONNECT_TIMEOUT_S)
    except (OSError, UnicodeError, TimeoutError) as e:
        raise UserError(
            f"The name {host} is not known now; check it, and this machine's DNS."
        ) from e
    for address in found:
        if is_allowed(address, networks):
            return address
    public = [address for address in found if is_public(address)]
    if public and tls:
        return public[0]
    if public:
        raise UserError(
            f"{host} is on the public internet: what is said there by http anybody on the way can "
            "read. Write https://."
        )
    raise UserError(
        f"{host} is at a private address ({found[0]}). An operator may allow its network in "
        "admin.webhook_networks."
    )


async def send(
    url: str,
    networks: Sequence[Network],
    secrets: Sequence[str],
    message_id: str,
    body: bytes,
    *,
    timeout_s: float = TIMEOUT_S,
) -> Attempt:
    """POST ``body``, signed with each of ``secrets``; never raises but for being cancelled.

    Redirects are not followed: a receiver that was checked could lead anywhere else.
    """
    begun = time.monotonic()
    try:
        async with asyncio.timeout(timeout_s):
            found = await _asked(url, networks, secrets, message_id, body)
    except TimeoutError:
        found = Attempt(error=f"No answer within {timeout_s:g} s.")
    except UserError as e:
        found = Attempt(error=str(e))
    except (aiohttp.ClientError, OSError, ValueError) as e:
        reason = f"{type(e).__name__}: {reason_of(e)}"[:200]
        found = Attempt(error=f"The receiver cannot be reached ({reason}).")
    took_ms = round((time.monotonic() - begun) * 1000)
    return Attempt(found.status, found.error, found.answer, took_ms, found.retry_after_s)


async def _asked(
    url: str, networks: Sequence[Network], secrets: Sequence[str], message_id: str, body: bytes
) -> Attempt:
    address = await allowed(url, networks)
    at_s = int(time.time())
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"ivr-appliance/{__version__}",
        "Accept-Encoding": "identity",  # a few bytes that are packed may unpack to gigabytes
        "webhook-id": message_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": signatures(secrets, message_id, at_s, body),
    }
    connector = aiohttp.TCPConnector(
        resolver=Pinned(address), use_dns_cache=False, limit=1, force_close=True
    )
    async with (
        aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(sock_connect=CONNECT_TIMEOUT_S),
            max_field_size=MOST_HEADER_BYTES,
        ) as session,
        session.post(url, data=body, headers=headers, allow_redirects=False) as response,
    ):
        answer = await _beginning(response)
        return Attempt(response.status, _wrong(response.status), answer, 0, _retry_after(response))


def _wrong(status: int) -> str:
    if 200 <= status < 300:
        return ""
    if 300 <= status < 400:
        return f"Status {status}: a redirect, which is not followed; use the URL that it leads to."
    if status == GONE:
        return "Status 410: the receiver wants no more."
    return f"Status {status}."


async def _beginning(response: aiohttp.ClientResponse) -> str:
    """As much of the body as is kept; the rest is never read."""
    content = bytearray()
    try:
        async for chunk in response.content.iter_chunked(1024):
            content += chunk
            if len(content) >= MOST_ANSWER_BYTES:
                break
    except (aiohttp.ClientError, OSError):  # the status is what counts
        pass
    text = content[:MOST_ANSWER_BYTES].decode("utf-8", "replace")
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text)[:KEPT_LETTERS]


def _retry_after(response: aiohttp.ClientResponse) -> float:
    """Seconds; 0 where nothing was asked for, or nothing that can be read (RFC 9110 §10.2.3)."""
    asked = response.headers.get("Retry-After", "").strip()
    if response.status not in (429, 503) or not asked:
        return 0.0
    if asked.isascii() and asked.isdigit():
        return float(asked[:9])
    try:
        at = parsedate_to_datetime(asked)
    except (ValueError, TypeError):
        return 0.0
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())
