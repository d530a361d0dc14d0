"""Follows a roster of engine servers that come and go (docs/wires.md §7)."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterable, Mapping

import aiohttp
import orjson

from appliance.engines.http import read_at_most
from appliance.engines.pool import Pool

log = logging.getLogger(__name__)

ASK_EVERY_S = 1.0
ASK_TIMEOUT_S = 2.0
LARGEST_ANSWER_BYTES = 1 << 20
MOST_SERVERS = 512
"""Of one stage: every worker asks each of them for its health once a second. A longer list is no
list of ours."""
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_ADDRESS = re.compile(
    rf"(?:ws|http)s?://(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:.]{{2,45}}\])(?::(\d{{1,5}}))?(?:/[\w./-]*)?",
    re.ASCII,
)
"""Scheme, name or IP address, port, path: nobody's password, and nothing that a resolver chokes on."""
LONGEST_ADDRESS = 253
LAST_PORT = 65535


class Roster:
    """Asks once a second who is there, and tells each stage's pool; the last answer holds."""

    def __init__(self, url: str, pools: Iterable[Pool], http: aiohttp.ClientSession) -> None:
        self._url = url
        self._pools = {pool.stage: pool for pool in pools}
        self._http = http
        self._trouble = ""
        """Told already."""

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            await self.ask()
            await asyncio.sleep(ASK_EVERY_S)

    async def ask(self) -> bool:
        """Ask once. Whether there was an answer to follow."""
        timeout = aiohttp.ClientTimeout(total=ASK_TIMEOUT_S)
        try:
            # A roster that sends us elsewhere is not the one of the settings.
            asking = self._http.get(self._url, timeout=timeout, allow_redirects=False)
            async with asking as response:
                if response.status != 200:
                    raise ValueError(f"status {response.status}")
                body = await read_at_most(response, LARGEST_ANSWER_BYTES)
            named = read_roster(body)
        except (aiohttp.ClientError, TimeoutError, ValueError) as e:
            self._tell(str(e) or type(e).__name__)
            return False
        self._tell("")
        for stage, pool in self._pools.items():
            pool.follow(named.get(stage, ()))
        return True

    def _tell(self, trouble: str) -> None:
        if trouble and not self._trouble:
            log.warning("! the roster %s: %s; the last one holds", self._url, trouble)
        elif self._trouble and not trouble:
            log.info("= the roster answers again")
        self._trouble = trouble


def read_roster(body: bytes) -> Mapping[str, tuple[str, ...]]:
    """Stage → addresses. Raises ValueError for what is no roster: a broken one moves no server."""
    said = orjson.loads(body)
    if not isinstance(said, dict):
        raise ValueError("the answer is no JSON object")
    for stage, urls in said.items():
        if not isinstance(urls, list) or len(urls) > MOST_SERVERS:
            raise ValueError(f"{stage!r} is no list of servers")
        if wrong := [url for url in urls if not _is_address(url)]:
            raise ValueError(f"{str(wrong[0])[:80]!r} is no address of a server")
    return {stage: tuple(urls) for stage, urls in said.items()}


def _is_address(url: object) -> bool:
    if not isinstance(url, str) or len(url) > LONGEST_ADDRESS:
        return False
    found = _ADDRESS.fullmatch(url)
    return found is not None and 0 < int(found[1] or 80) <= LAST_PORT
