"""Keeps one child of the supervisor running: starts it, hears it, starts it again, ends it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from enum import Enum, auto

from appliance.errors import UserError
from appliance.ops.keeping import child as trampoline
from appliance.ops.keeping.program import Program
from appliance.telemetry import environment_of_children

_log = logging.getLogger(__name__)

FIRST_DELAY_S = 0.2
LONGEST_DELAY_S = 10.0
STEADY_S = 60.0
"""A child that ran this long is started again without back-off."""
PROBE_EVERY_S = 0.1
ABORT_S = 3.0
LAST_WORDS_S = 0.5
"""For what a dead child said to be read; grandchildren may hold its pipe open for longer."""
LAST_LINES = 12
"""Kept of each child, for the message of a start that failed."""
LINE_BYTES = 1 << 16
"""A longer line is passed on in pieces."""
USER_ERROR_STATUS = 2
"""Of a process that told a person what to mend: starting it again changes nothing."""
_GRAVE = ("WARNING:", "ERROR:", "FATAL:", "PANIC:")
"""Of Postgres; other lines may hold callers' words (DETAIL, STATEMENT) or are chatter (LOG)."""
_NOT_GRAVE = "the database system is"
"""Starting up or shutting down: the answer to our own probes."""


class State(Enum):
    """Where one child stands."""

    NEW = auto()
    PREPARING = auto()
    RUNNING = auto()
    BACKING_OFF = auto()
    STOPPING = auto()
    STOPPED = auto()


class Keeper:
    """One child. :meth:`keep` runs as a task for as long as the supervisor wants the child."""

    def __init__(self, program: Program, output: Callable[[bytes], None]) -> None:
        """``output`` takes the child's log lines, whole, with their line ends."""
        self.program = program
        self._output = output
        self._state = State.NEW
        self._process: asyncio.subprocess.Process | None = None
        self._listening: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._stopped = asyncio.Event()
        self._last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self._failure = ""
        self._hopeless = False
        self._spawned_s = 0.0
        self.starts = 0
        """How often the child was started."""

    @property
    def spawned_s(self) -> float:
        """When the running child was started, in ``time.monotonic`` seconds."""
        return self._spawned_s

    @property
    def pid(self) -> int | None:
        """Of the running child."""
        return self._process.pid if self._process and self._state is State.RUNNING else None

    async def keep(self) -> None:
        """Run the child again and again until :meth:`stop`."""
        delay_s = FIRST_DELAY_S
        while not self._stopping.is_set():
            began = time.monotonic()
            await self._once()
            if self._stopping.is_set():
                break
            if time.monotonic() - began > STEADY_S:
                delay_s = FIRST_DELAY_S
            self._state = State.BACKING_OFF
            _log.error("! %s %s; again in %.1f s", self.program.name, self._failure, delay_s)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay_s)
            delay_s = min(delay_s * 2, LONGEST_DELAY_S)
        self._state = State.STOPPED
        self._stopped.set()

    async def healthy(self) -> None:
        """Wait until the child, just started for the first time, answers its probe.

        Raises UserError, with its last words, when it does not in ``start_timeout_s``.
        """
        deadline = time.monotonic() + self.program.start_timeout_s
        while not (self._state is State.RUNNING and await self.program.ready()):
            if self._hopeless or time.monotonic() > deadline:
                raise UserError(self._why())
            await asyncio.sleep(PROBE_EVERY_S)
        _log.info("= %s is up (pid %s)", self.program.name, self.pid)

    def replace(self, why: str) -> None:
        """Kill the child, which does no more what it should: :meth:`keep` starts it again."""
        if self._state is State.RUNNING:
            _log.error("! %s %s: it is killed and started again", self.program.name, why)
            self._signal(signal.SIGKILL, whole_group=True)

    async def stop(self, at_once: asyncio.Event) -> None:
        """Ask the child to end, wait while it drains, then insist; ``at_once`` cuts that short."""
        self._stopping.set()
        if self._state is State.RUNNING:
            self._state = State.STOPPING
            self._signal(self.program.stop_signal)
        if await self._ends(self.program.stop_timeout_s, at_once):
            return
        if not at_once.is_set():
            _log.error("! %s did not end in %g s", self.program.name, self.program.stop_timeout_s)
        for number in (self.program.abort_signal, signal.SIGKILL):
            self._signal(number, whole_group=number == signal.SIGKILL)
            if await self._ends(ABORT_S, asyncio.Event()):
                return

    async def _ends(self, timeout_s: float, at_once: asyncio.Event) -> bool:
        """Whether :meth:`keep` ended in time, and before ``at_once``."""
        waits = {asyncio.ensure_future(e.wait()) for e in (self._stopped, at_once)}
        await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        return self._stopped.is_set()

    async def _once(self) -> None:
        """Prepare the child, run it to its end, and note why it ended."""
        try:
            if not await self._start():
                return
        except (UserError, OSError, subprocess.SubprocessError) as e:
            self._failure, self._hopeless = f"cannot start: {e}", isinstance(e, UserError)
            return
        assert self._process is not None
        status = await self._process.wait()
        if self._listening is not None:
            await asyncio.wait({self._listening}, timeout=LAST_WORDS_S)
        self._failure = _ended_by(status)
        self._hopeless = status == USER_ERROR_STATUS

    async def _start(self) -> bool:
        """Whether there is a child now; none when we were told to stop meanwhile."""
        self._state = State.PREPARING
        if self.program.prepare is not None:
            await asyncio.to_thread(self.program.prepare)
        if self._stopping.is_set():
            return False
        reading, writing = os.pipe()
        try:
            self._process = await self._spawn(writing)
            self._spawned_s = time.monotonic()
            self.starts += 1
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        self._listening = asyncio.create_task(self._listen(reading))
        self._state = State.RUNNING
        if self._stopping.is_set():  # asked while we started it
            self._signal(self.program.stop_signal)
        return True

    async def _spawn(self, output: int) -> asyncio.subprocess.Process:
        account = self.program.account
        ids = ("-", "-") if account is None or account.uid is None else (account.uid, account.gid)
        # Forked by the main thread, which lives as long as we do: the kernel's signal at a
        # parent's death comes at the death of the forking thread.
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", trampoline.__file__, str(os.getpid())),
            *(str(int(self.program.death_signal)), *map(str, ids)),
            *self.program.command(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,  # our own stdout is for people and scripts
            stderr=output,
            env={
                **(account.environment if account else os.environ),
                **environment_of_children(),
                **self.program.environment,
            },
        )

    async def _listen(self, pipe: int) -> None:
        """Pass on what the child says, until it and its own children say no more.

        Beside the wait for its end: a grandchild that lingers must not hold up the next start.
        """
        stream = asyncio.StreamReader(limit=LINE_BYTES)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(pipe, "rb")
        )
        rest = b""
        with contextlib.closing(transport):
            while data := await stream.read(LINE_BYTES):
                *lines, rest = (rest + data).split(b"\n")
                if len(rest) > LINE_BYTES:
                    lines, rest = [*lines, rest], b""
                for line in lines:
                    self._line(line)
        if rest:
            self._line(rest)

    def _line(self, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip()
        self._last_lines.append(text)
        if self.program.logs_like_us:
            self._output(line + b"\n")
        elif any(word in text for word in _GRAVE) and _NOT_GRAVE not in text:
            _log.warning("! %s: %s", self.program.name, text)
        else:
            _log.debug("= %s: %s", self.program.name, text)

    def _signal(self, number: signal.Signals, *, whole_group: bool = False) -> None:
        if self._process is None or self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            if whole_group:
                os.killpg(self._process.pid, number)  # it leads a session of its own
            else:
                self._process.send_signal(number)

    def _why(self) -> str:
        words = "\n".join(f"    {line}" for line in self._last_lines) or "    (nothing)"
        state = self._failure or "does not answer"
        limit = "" if self._hopeless else f" in {self.program.start_timeout_s:g} s"
        return (
            f"{self.program.name} did not come up{limit}: it {state}. Its last words:\n{words}\n"
            f"{self.program.remedy}"
        )


def _ended_by(status: int) -> str:
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with status {status}"
