"""The wire to FreeSWITCH's event socket: greenswitch's client, with its input made safe.

greenswitch 0.0.19 decodes a whole event before it splits it into lines, so that a caller whose name
holds ``%0A`` could write headers of their own; it waits for ever for an answer, leaves waiting
greenlets behind when the connection breaks, and spins at the end of a stream. What is overridden here
is exactly that: reading, and waiting.
"""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import unquote

import gevent
from gevent import socket
from gevent.event import AsyncResult
from gevent.lock import RLock
from greenswitch.esl import ESLEvent, InboundESL, NotConnectedError

from appliance.errors import UserError

COMMAND_TIMEOUT_S = 3.0
CONNECT_TIMEOUT_S = 3.0
LONGEST_LINE_BYTES = 64 * 1024
LONGEST_BODY_BYTES = 4 * 1024 * 1024
"""``show channels`` of some thousand channels."""
DISCONNECTED = "DISCONNECT"
"""greenswitch's name for the handler of a lost connection."""


class SwitchError(Exception):
    """FreeSWITCH is away, silent, or refused a command; the message says which."""


class Event(ESLEvent):
    """One event: ``headers`` decoded one by one, so that none can hold another; ``body`` text."""

    def __init__(self, head: str, body: str = "") -> None:
        self.headers = _headers(head)
        self.body = body
        self.data = body

    @classmethod
    def of(cls, headers: dict[str, str]) -> Event:
        """An event made from headers that are decoded already."""
        event = cls("")
        event.headers = dict(headers)
        return event

    def get(self, name: str, default: str = "") -> str:
        """Header ``name``, or ``default``."""
        return self.headers.get(name, default)

    def whole(self, name: str) -> int:
        """Header ``name`` as a number; 0 when it is none."""
        text = self.get(name)
        return int(text) if text.isdecimal() else 0


def _headers(head: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in head.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            found[name.strip()] = unquote(value.strip(), errors="replace")
    return found


class EventSocket(InboundESL):
    """One connection. ``register_handle`` (greenswitch's) names who gets which event."""

    def __init__(self, host: str, port: int, password: str) -> None:
        super().__init__(host, port, password, timeout=CONNECT_TIMEOUT_S)
        self._commands_sent: list[AsyncResult[Event]] = []
        self._sending = RLock()

    def connect(self) -> None:
        """Connect and log in. Raises SwitchError, or UserError for a wrong password."""
        try:
            with gevent.Timeout(2 * CONNECT_TIMEOUT_S):
                super().connect()
        except ValueError as e:
            self.close()
            raise UserError(
                "FreeSWITCH refuses the event socket's password. Run `ivr switch configure` again for"
                " its configuration folder, and restart FreeSWITCH."
            ) from e
        except (OSError, NotConnectedError, gevent.Timeout) as e:
            self.close()
            raise SwitchError(f"the event socket {self.host}:{self.port} does not answer") from e

    def command(self, text: str, timeout_s: float = COMMAND_TIMEOUT_S) -> str:
        """Send one command and return its answer. Raises SwitchError: no connection, no answer
        in time, or an answer that begins with ``-``."""
        answer: AsyncResult[Event] = AsyncResult()
        try:
            with self._sending:  # a long command is sent in pieces: no other in between
                if not self.connected:
                    raise NotConnectedError
                self._commands_sent.append(answer)
                self.sock.sendall(f"{text}\n\n".encode())
            reply = answer.get(timeout=timeout_s)
        except (OSError, NotConnectedError) as e:
            raise SwitchError("FreeSWITCH is away") from e
        except gevent.Timeout as e:
            raise SwitchError(f"FreeSWITCH did not answer {text.split()[0]} in time") from e
        said = reply.data.strip() if reply else ""
        if said.startswith("-"):
            raise SwitchError(said)
        return said

    def send(self, data: str) -> ESLEvent:
        """greenswitch's own commands (``auth``): the answer as an event."""
        answer: AsyncResult[Event] = AsyncResult()
        self._commands_sent.append(answer)
        self.sock.sendall(f"{data}\n\n".encode())
        return answer.get(timeout=COMMAND_TIMEOUT_S)

    def close(self) -> None:
        """Drop the connection; whoever waits for an answer gets SwitchError."""
        self._run = False
        self.connected = False
        if hasattr(self, "sock"):
            with suppress(OSError):
                self.sock.shutdown(socket.SHUT_RDWR)  # wakes the reader, who closes its file
            self.sock.close()
        self._fail_waiting()

    def receive_events(self) -> None:
        """Read until the connection ends (greenswitch's reading greenlet)."""
        try:
            while self._run:
                event = self._read()
                if event is None:
                    break
                self.handle_event(event)
        except (OSError, ValueError, IndexError):
            pass  # what cannot be read any more is a lost connection
        finally:
            self.sock_file.close()
            was_connected, self.connected = self.connected, False
            self._auth_request_event.set()
            self._fail_waiting()
            if was_connected and self._run:
                self._esl_event_queue.put(Event("Content-Type: text/disconnect-notice"))

    def handle_event(self, event: Event) -> None:
        """Give one message to whom it belongs."""
        match event.get("Content-Type"):
            case "auth/request":
                self._auth_request_event.set()
            case "command/reply":
                event.data = event.get("Reply-Text")
                self._commands_sent.pop(0).set(event)
            case "api/response":
                self._commands_sent.pop(0).set(event)
            case "text/event-plain":
                head, _, body = event.body.partition("\n\n")
                self._esl_event_queue.put(Event(head, body))
            case "text/rude-rejection" | "text/disconnect-notice":
                raise ValueError("FreeSWITCH ends the connection")

    def _read(self) -> Event | None:
        lines: list[str] = []
        while True:
            line = self.sock_file.readline(LONGEST_LINE_BYTES)
            if not line.endswith(b"\n"):
                return None
            if line == b"\n":
                break
            lines.append(line.decode("utf-8", "replace"))
        event = Event("".join(lines))
        length = int(event.get("Content-Length", "0"))
        if not 0 <= length <= LONGEST_BODY_BYTES:
            raise ValueError(f"a body of {length} bytes")
        if length:
            body = self.sock_file.read(length)
            if len(body) < length:
                return None
            event.body = event.data = body.decode("utf-8", "replace")
        return event

    def _fail_waiting(self) -> None:
        waiting, self._commands_sent = self._commands_sent, []
        for answer in waiting:
            answer.set_exception(NotConnectedError())
