"""One request at a time, beside the other greenlets, to servers that may be broken."""

from __future__ import annotations

import gevent
import pytest
from gevent.server import StreamServer
from gevent.socket import socket

from appliance.telephony import greenhttp

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


class Server:
    """Answers every connection with the same bytes; keeps what it was asked."""

    def __init__(self, answer: bytes, stays_s: float = 0.0) -> None:
        self.asked = b""
        self._answer, self._stays_s = answer, stays_s
        self._server = StreamServer(("127.0.0.1", 0), self._serve)
        self._server.start()
        self.url = f"ws://127.0.0.1:{self._server.server_port}"

    def _serve(self, connection: socket, _: object) -> None:
        self.asked = connection.recv(65536)
        connection.sendall(self._answer)
        gevent.sleep(self._stays_s)

    def stop(self) -> None:
        self._server.stop(timeout=0)


def ask(server: Server, path: str = "/x?a=1", body: bytes | None = None) -> tuple[int, bytes]:
    try:
        return greenhttp.ask(
            "POST" if body else "GET", server.url + path, body,
            connect_timeout_s=1, read_timeout_s=0.3, most_bytes=4,
        )  # fmt: skip
    finally:
        server.stop()


def test_status_and_body_cut_at_its_limit() -> None:
    server = Server(OK)
    assert ask(server, body=b"{}") == (200, b"hell")
    assert server.asked.startswith(b"POST /x?a=1 HTTP/1.1\r\n") and server.asked.endswith(b"{}")
    assert b"application/json" in server.asked
    assert ask(Server(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")) == (503, b"")


@pytest.mark.parametrize("answer", [b"", b"SIP/2.0 200 OK\r\n\r\n"])
def test_no_answer_is_a_failure(answer: bytes) -> None:
    with pytest.raises(greenhttp.FAILURES):
        ask(Server(answer))


def test_a_server_that_says_nothing_holds_up_nobody_else() -> None:
    ticks = []

    def tick() -> None:
        while True:
            ticks.append(1)
            gevent.sleep(0.02)

    beside = gevent.spawn(tick)
    with pytest.raises(greenhttp.FAILURES):
        ask(Server(b"", stays_s=5))
    beside.kill()
    assert len(ticks) > 5


def test_nobody_there() -> None:
    server = Server(OK)
    server.stop()
    with pytest.raises(greenhttp.FAILURES):
        ask(server)
