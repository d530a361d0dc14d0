"""Drives a caller process (caller.py) from asyncio; imports no pjsua2 itself."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson

EXIT_TIMEOUT_S = 6.0
LINE_BYTES = 1 << 16


class CallerControl:
    """One caller, one call: ``async with await CallerControl.ring(...) as caller``."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.seen: list[dict[str, Any]] = []
        """Every event so far."""

    @classmethod
    async def ring(
        cls,
        to: str,
        *,
        record: Path | None = None,
        transport: str = "udp",
        codec: str = "PCMU",
        number: str = "",
    ) -> CallerControl:
        """Start the process and place the call to ``to`` (``sip:1001@127.0.0.1:5060``).

        ``number``: the caller's own, as the other side sees it.
        """
        arguments = ["--to", to, "--transport", transport, "--codec", codec]
        if record:
            arguments += ["--record", str(record)]
        if number:
            arguments += ["--number", number]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "appliance.telephony.caller",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LINE_BYTES,
        )
        return cls(process)

    async def __aenter__(self) -> CallerControl:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """The caller's events as they come, until its process ends. One reader at a time."""
        assert self._process.stdout
        while line := await self._process.stdout.readline():
            event: dict[str, Any] = orjson.loads(line)
            self.seen.append(event)
            yield event

    async def wait_for(self, name: str, timeout_s: float = 10.0) -> dict[str, Any]:
        """The next event ``name``; those before it are in ``seen``.

        Raises TimeoutError, or EOFError when the process ended first.
        """
        async with asyncio.timeout(timeout_s):
            async for event in self.events():
                if event["event"] == name:
                    return event
        raise EOFError(f"the caller ended without {name!r}: {self.seen}")

    async def play(self, file: Path) -> None:
        """Say a WAV file (8 or 16 kHz, 16 bit, mono) after what is being said."""
        await self._command({"do": "play", "file": str(file)})

    async def press(self, digits: str) -> None:
        """Press keys (RFC 4733)."""
        await self._command({"do": "dtmf", "digits": digits})

    async def hold(self) -> None:
        """Put the other side on hold (re-INVITE, sendonly)."""
        await self._command({"do": "hold"})

    async def resume(self) -> None:
        """Take it off hold."""
        await self._command({"do": "resume"})

    async def hang_up(self) -> None:
        """End the call."""
        await self._command({"do": "hangup"})

    def vanish(self) -> None:
        """End without a word, as a telephone does that loses its network: no BYE, no recording."""
        self._process.kill()

    async def close(self) -> None:
        """Hang up if need be, let it write its recording, and wait for its end."""
        if self._process.returncode is None:
            try:
                await self._command({"do": "exit"})
                async with asyncio.timeout(EXIT_TIMEOUT_S):
                    async for _ in self.events():
                        pass
                    await self._process.wait()
            except (TimeoutError, ConnectionError):
                self._process.kill()
        await self._process.wait()

    async def _command(self, command: dict[str, object]) -> None:
        assert self._process.stdin
        self._process.stdin.write(orjson.dumps(command) + b"\n")
        await self._process.stdin.drain()
