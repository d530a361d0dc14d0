"""The event socket's client against a scripted server: hostile headers, silence, broken connections."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import quote

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import UserError
from appliance.telephony.eventsocket import DISCONNECTED, Event, EventSocket, SwitchError

PASSWORD = "secret"
Script = Callable[[socket.socket], None]


@contextmanager
def switch(script: Script, password: str = PASSWORD) -> Iterator[int]:
    """A server that logs the first client in and then does ``script``; its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            peer, _ = server.accept()
            with peer:
                peer.sendall(b"Content-Type: auth/request\n\n")
                given_password = _command(peer).removeprefix("auth ")
                right = given_password == password
                said = "+OK accepted" if right else "-ERR invalid"
                peer.sendall(f"Content-Type: command/reply\nReply-Text: {said}\n\n".encode())
                if right:
                    script(peer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        thread.join(5)


def _command(peer: socket.socket) -> str:
    data = b""
    while not data.endswith(b"\n\n"):
        piece = peer.recv(1)
        if not piece:
            return ""
        data += piece
    return data.decode().strip()


def api(peer: socket.socket, body: str) -> None:
    data = body.encode()
    peer.sendall(b"Content-Type: api/response\nContent-Length: %d\n\n" % len(data) + data)


def event(headers: dict[str, str], body: str = "") -> bytes:
    text = "".join(f"{name}: {quote(value)}\n" for name, value in headers.items())
    text += f"Content-Length: {len(body)}\n\n{body}" if body else "\n"
    return f"Content-Length: {len(text)}\nContent-Type: text/event-plain\n\n{text}".encode()


def idle(peer: socket.socket) -> None:
    """Until the client goes."""
    while peer.recv(1024):
        pass


def test_answers_come_in_the_order_of_their_commands() -> None:
    def script(peer: socket.socket) -> None:
        for _ in range(20):
            command = _command(peer)
            api(peer, f"+OK {command.removeprefix('api ')}")
        idle(peer)

    with switch(script) as port:
        link = EventSocket("127.0.0.1", port, PASSWORD)
        link.connect()
        asked = [gevent.spawn(link.command, f"api echo {n}") for n in range(20)]
        gevent.joinall(asked, timeout=20)
        assert [job.value for job in asked] == [f"+OK echo {n}" for n in range(20)]
        link.close()


def test_a_refusal_is_an_error_and_silence_is_one_too() -> None:
    def script(peer: socket.socket) -> None:
        _command(peer)
        api(peer, "-ERR No such channel!\n")
        _command(peer)
        late = _command(peer)  # the one before gets no answer until now
        api(peer, "+OK too late")
        api(peer, f"+OK {late}")
        idle(peer)

    with switch(script) as port:
        link = EventSocket("127.0.0.1", port, PASSWORD)
        link.connect()
        with pytest.raises(SwitchError, match="No such channel"):
            link.command("api uuid_kill x")
        with pytest.raises(SwitchError, match="did not answer api in time"):
            link.command("api slow", timeout_s=0.1)
        assert link.command("api next") == "+OK api next"  # each answer to its own command
        link.close()


def test_a_wrong_password_says_what_to_do() -> None:
    with switch(idle, password="another") as port:
        with pytest.raises(UserError, match="ivr switch configure"):
            EventSocket("127.0.0.1", port, PASSWORD).connect()


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(SwitchError, match="does not answer"):
        EventSocket("127.0.0.1", port, PASSWORD).connect()


def test_a_lost_connection_wakes_whoever_waits() -> None:
    def script(peer: socket.socket) -> None:
        _command(peer)  # and the connection ends without an answer

    with switch(script) as port:
        link = EventSocket("127.0.0.1", port, PASSWORD)
        link.connect()
        told: list[float] = []
        link.register_handle(DISCONNECTED, lambda _: told.append(time.monotonic()))
        with pytest.raises(SwitchError, match="is away"):
            link.command("api status")
        with gevent.Timeout(20):
            while not told:
                gevent.sleep(0.02)
        with pytest.raises(SwitchError):
            link.command("api status")
        link.close()


def test_a_caller_cannot_write_headers() -> None:
    name = "Mallory\nUnique-ID: another-call\nEvent-Name: CHANNEL_HANGUP_COMPLETE"
    body = '{"type":"hangup"}'

    def script(peer: socket.socket) -> None:
        headers = {"Event-Name": "CUSTOM", "Event-Subclass": "mod_audio_stream::json"}
        peer.sendall(event(headers | {"Unique-ID": "mine", "Caller-Caller-ID-Name": name}, body))
        idle(peer)

    with switch(script) as port:
        link = EventSocket("127.0.0.1", port, PASSWORD)
        seen: list[Event] = []
        link.register_handle("mod_audio_stream::json", seen.append)
        link.connect()
        with gevent.Timeout(20):
            while not seen:
                gevent.sleep(0.02)
        assert seen[0].get("Unique-ID") == "mine"
        assert seen[0].get("Caller-Caller-ID-Name") == name
        assert seen[0].body == body
        link.close()


def test_rubbish_ends_the_connection_and_nothing_else() -> None:
    for rubbish in (
        b"Content-Length: -5\n\n",
        b"Content-Length: 99999999999\n\n",
        b"\xff" * 70_000,
    ):

        def script(peer: socket.socket, rubbish: bytes = rubbish) -> None:
            peer.sendall(rubbish)
            time.sleep(0.2)

        with switch(script) as port:
            link = EventSocket("127.0.0.1", port, PASSWORD)
            link.connect()
            with gevent.Timeout(20):
                while link.connected:
                    gevent.sleep(0.02)
            link.close()


@given(st.dictionaries(st.from_regex(r"[A-Za-z-]{1,20}", fullmatch=True), st.text(max_size=80)))
def test_headers_are_what_was_sent(headers: dict[str, str]) -> None:
    head = "".join(f"{name}: {quote(value)}\n" for name, value in headers.items())
    assert Event(head).headers == headers
