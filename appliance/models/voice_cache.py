"""Sound of phrases that are said again and again: the greeting, the apology, "please hold".

Two tiers. In memory, least recently used first out. On disk, for a server that is started anew: a
phrase is written when it is asked for a second time, so what is said once (a caller's name, a
balance) never gets there. Names of files are digests; a file that is damaged, half written or not
ours counts as none.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import time
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from appliance.files import write_whole

_log = logging.getLogger(__name__)

MEMORY_BYTES = 64 << 20
"""Over an hour of speech at 8 kHz."""
DISK_BYTES = 512 << 20
MOST_PHRASE_BYTES = 1 << 20
"""65 s at 8 kHz, 11 s at 48 kHz; longer ones are not kept."""
LONGEST_TEXT = 160
"""Letters: the fixed phrases of agents are one or two sentences."""
READ_TIMEOUT_S = 0.05
"""A disk that takes longer is slower than speaking."""
MOST_WRITES_WAITING = 16
"""When so many wait, the disk is slow: further phrases stay in memory only."""
PRUNE_SHARE = 0.9
"""A full disk tier is cut to this, so that not each write has to look at all files."""
SUFFIX = ".l16"
_MAGIC = b"IVRVOICE1\n"
_DIGEST_BYTES = 32
_ABANDONED_S = 60.0
"""A half-written file this old has no writer any more."""


def key(parts: Sequence[str | int]) -> str:
    """What names the sound of: checkpoint, voice, rate, text."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()


class VoiceCache:
    """See the module; lives on the event loop, its disk work in a thread of its own."""

    def __init__(
        self,
        folder: Path,
        memory_bytes: int = MEMORY_BYTES,
        disk_bytes: int = DISK_BYTES,
    ) -> None:
        """``folder`` is made when something is written to it; it may be shared by servers."""
        self._folder = folder
        self._memory_bytes = memory_bytes
        self._disk_bytes = disk_bytes
        self._sounds: OrderedDict[str, bytes] = OrderedDict()
        self._held = 0
        self._on_disk: set[str] = set()
        """Keys of ``_sounds`` that need no writing."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="voice-cache")
        self._writing: set[asyncio.Future[None]] = set()

    async def get(self, name: str) -> bytes | None:
        """The sound under a :func:`key`, from memory or disk."""
        if (pcm := self._sounds.get(name)) is not None:
            self._sounds.move_to_end(name)
            self._write_once(name, pcm)
            return pcm
        reading = asyncio.get_running_loop().run_in_executor(self._thread, self._read, name)
        try:
            pcm = await asyncio.wait_for(reading, READ_TIMEOUT_S)
        except TimeoutError:
            return None
        if pcm is not None:
            self._on_disk.add(name)
            self._hold(name, pcm)
        return pcm

    def put(self, name: str, pcm: bytes) -> None:
        """Keep the sound of a phrase that was just spoken to its end."""
        if 0 < len(pcm) <= min(MOST_PHRASE_BYTES, self._memory_bytes):
            self._hold(name, pcm)

    async def flushed(self) -> None:
        """Wait for the writes under way."""
        if self._writing:
            await asyncio.wait(set(self._writing), timeout=1.0)

    def _hold(self, name: str, pcm: bytes) -> None:
        self._held += len(pcm) - len(self._sounds.pop(name, b""))
        self._sounds[name] = pcm
        while self._held > self._memory_bytes:
            oldest, dropped = self._sounds.popitem(last=False)
            self._held -= len(dropped)
            self._on_disk.discard(oldest)

    def _write_once(self, name: str, pcm: bytes) -> None:
        if name in self._on_disk or len(self._writing) >= MOST_WRITES_WAITING:
            return
        self._on_disk.add(name)
        writing = asyncio.get_running_loop().run_in_executor(self._thread, self._write, name, pcm)
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)

    # In the thread.

    def _read(self, name: str) -> bytes | None:
        path = self._folder / (name + SUFFIX)
        try:
            if path.stat().st_size > MOST_PHRASE_BYTES + len(_MAGIC) + _DIGEST_BYTES:
                raise ValueError("too large")
            data = path.read_bytes()
            pcm = _opened(data)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as e:
            _log.warning("! a cached phrase is damaged (%s); it is spoken again", e)
            with suppress(OSError):
                path.unlink()
            return None
        with suppress(OSError):
            os.utime(path)  # the least recently used are pruned
        return pcm

    def _write(self, name: str, pcm: bytes) -> None:
        path = self._folder / (name + SUFFIX)
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_whole(path, _MAGIC + hashlib.sha256(pcm).digest() + pcm)
            self._prune()
        except OSError as e:
            _log.warning("! a phrase cannot be kept on disk: %s", e.strerror)

    def _prune(self) -> None:
        """Hold the bound, whoever wrote the files."""
        files = []
        for entry in os.scandir(self._folder):
            with suppress(FileNotFoundError):
                status = entry.stat()
                files.append((status.st_mtime, status.st_size, entry.path))
        total = sum(size for _, size, _ in files)
        target = total if total <= self._disk_bytes else self._disk_bytes * PRUNE_SHARE
        abandoned = time.time() - _ABANDONED_S
        for mtime, size, path in sorted(files):
            if total > target or (not path.endswith(SUFFIX) and mtime < abandoned):
                with suppress(OSError):
                    os.unlink(path)
                total -= size


def _opened(data: bytes) -> bytes:
    """The sound in a file. Raises ValueError for anything but what we wrote."""
    start = len(_MAGIC) + _DIGEST_BYTES
    pcm = data[start:]
    if data[: len(_MAGIC)] != _MAGIC or len(pcm) % 2 or not pcm:
        raise ValueError("not a phrase")
    if hashlib.sha256(pcm).digest() != data[len(_MAGIC) : start]:
        raise ValueError("wrong digest")
    return pcm
