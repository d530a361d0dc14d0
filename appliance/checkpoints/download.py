"""Fetches one file by HTTP: goes on where it was cut, and checks what came.

What has come lies beside the target as ``.part``, and which version it is a part of (its ETag, or its
date) as ``.etag``. Both stay when the network breaks: another try, today or tomorrow, goes on there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from appliance.checkpoints.disk import in_words, require_room
from appliance.checkpoints.manifest import sha256_of
from appliance.errors import UserError, reason_of

_log = logging.getLogger(__name__)

TRIES = 5
"""In a row without a byte more."""
FIRST_PAUSE_S = 1.0
SILENCE_S = 60.0
"""A connection that brings nothing for so long is broken."""
CONNECT_S = 30.0
BLOCK_BYTES = 1 << 18
LOOK_AGAIN_BYTES = 64 << 20
"""Written between two looks at the room on the disk: a server need not say how much comes."""

Progress = Callable[[int, int], None]
"""Told of the bytes that are there, and of all (0: unknown)."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One file to be fetched, with what is known of it beforehand."""

    url: str
    target: Path
    size: int = 0
    """Bytes; 0: unknown."""
    sha256: str = ""


class Gone(UserError):
    """The server has no such file (404, 410), or its host is not there."""


class Refused(UserError):
    """The server wants an account, or a licence accepted (401, 403)."""


class _Again(Exception):
    """What broke may work at another try."""


class _TooLong(Exception):
    """More comes than was promised."""


def timeouts() -> aiohttp.ClientTimeout:
    """No limit on the whole, which may be 16 GB; on each part of it."""
    return aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENCE_S)


async def download(
    session: aiohttp.ClientSession, wanted: Wanted, progress: Progress, *, pause_s: float
) -> None:
    """Bring ``wanted`` to its target, whole and checked; at once where it is there already.

    Raises UserError: gone, refused, no network, no room, or not what was promised.
    """
    if wanted.target.exists():
        return
    wanted.target.parent.mkdir(parents=True, exist_ok=True)
    tries, there = 0, _size(_part(wanted))
    while True:
        try:
            await _once(session, wanted, progress)
            break
        except _TooLong as e:
            _forget(wanted)
            raise _wrong(wanted, f"it is longer than the {wanted.size} bytes promised") from e
        except (_Again, aiohttp.ClientError, TimeoutError, ConnectionError) as e:
            more = _size(_part(wanted)) > there
            tries, there = (1 if more else tries + 1), _size(_part(wanted))
            if tries >= TRIES or (isinstance(e, aiohttp.ClientConnectorError) and tries > 1):
                raise _broken(wanted, e) from e
            _log.info("! %s: %s; again", wanted.target.name, reason_of(e))
            await asyncio.sleep(pause_s * 2 ** (tries - 1))
    await asyncio.to_thread(_accept, wanted)


async def _once(session: aiohttp.ClientSession, wanted: Wanted, progress: Progress) -> None:
    part, etag = _part(wanted), _etag(wanted)
    have = _size(part)
    headers = {"Accept-Encoding": "identity"}  # ranges count the file's own bytes
    if have and etag.exists():
        headers |= {"Range": f"bytes={have}-", "If-Range": etag.read_text()}
    async with session.get(wanted.url, headers=headers) as response:
        if response.status == 416:  # all of it is there, or it has become shorter
            if wanted.size and have == wanted.size:
                return
            part.unlink()
            raise _Again("the part that was here does not fit any more")
        _check_status(response, wanted)
        goes_on = response.status == 206
        total = (response.content_length or 0) + (have if goes_on else 0)
        require_room(part.parent, (response.content_length or wanted.size))
        etag.unlink(missing_ok=True)
        if version := _version(response):
            etag.write_text(version)
        there = have if goes_on else 0
        look_at = there
        with part.open("ab" if goes_on else "wb") as out:
            async for block in response.content.iter_chunked(BLOCK_BYTES):
                if wanted.size and there + len(block) > wanted.size:
                    raise _TooLong
                if there >= look_at:
                    require_room(part.parent, 0)
                    look_at = there + LOOK_AGAIN_BYTES
                await asyncio.to_thread(_write, out.write, block)
                there += len(block)
                progress(there, total or wanted.size)
    if total and there != total:
        raise _Again(f"it ended at {in_words(there)} of {in_words(total)}")


def _version(response: aiohttp.ClientResponse) -> str:
    """What ``If-Range`` takes (RFC 9110 §13.1.5): a strong ETag, else the date; empty: neither."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified", "")


def _check_status(response: aiohttp.ClientResponse, wanted: Wanted) -> None:
    status = response.status
    if status in (200, 206):
        return
    where = f"{wanted.url} answers {status}"
    if status in (404, 410):
        raise Gone(f"{where}: it is not there any more.")
    if status in (401, 403):
        raise Refused(
            f"{where}: it is given to accounts only. Accept its licence on its page, make a token"
            " there and set HF_TOKEN; or bring a copy: ivr models pull NAME --from FOLDER."
        )
    if status in (408, 425, 429) or status >= 500:
        raise _Again(f"it answers {status}")
    raise UserError(f"{where}, which is neither the file nor a reason. Try later.")


def _write(write: Callable[[bytes], object], block: bytes) -> None:
    try:
        write(block)
    except OSError as e:
        raise UserError(
            f"What is fetched cannot be written: {e.strerror or e}. Make room; what is here stays."
        ) from e


def _accept(wanted: Wanted) -> None:
    """Check the size and the digest; then it gets its name."""
    part = _part(wanted)
    size = _size(part)
    problem = ""
    if wanted.size and size != wanted.size:
        problem = f"it has {size} bytes, and {wanted.size} were promised"
    elif wanted.sha256 and (found := sha256_of(part)) != wanted.sha256:
        problem = f"its SHA-256 is {found}, and {wanted.sha256} was promised"
    if problem:
        _forget(wanted)
        raise _wrong(wanted, problem)
    _etag(wanted).unlink(missing_ok=True)
    if not part.exists():
        part.touch()  # an empty file: nothing came, and nothing was to come
    part.rename(wanted.target)


def _forget(wanted: Wanted) -> None:
    _etag(wanted).unlink(missing_ok=True)
    _part(wanted).unlink(missing_ok=True)


def _wrong(wanted: Wanted, problem: str) -> UserError:
    return UserError(
        f"{wanted.url} brought a wrong file: {problem}. It is deleted; try again, and if that"
        " brings the same, do not use it."
    )


def _broken(wanted: Wanted, error: Exception) -> UserError:
    there = in_words(_size(_part(wanted)))
    if isinstance(error, aiohttp.ClientConnectorError):
        return Gone(
            f"{wanted.url} cannot be reached: {reason_of(error)}. Without internet: fetch it on"
            " another machine, bring it here, and say ivr models pull NAME --from FOLDER."
        )
    return UserError(
        f"{wanted.url} broke off again and again: {reason_of(error)}. {there} are here and stay:"
        " say the same again to go on from there."
    )


def _part(wanted: Wanted) -> Path:
    return wanted.target.with_name(f"{wanted.target.name}.part")


def _etag(wanted: Wanted) -> Path:
    return wanted.target.with_name(f"{wanted.target.name}.etag")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
