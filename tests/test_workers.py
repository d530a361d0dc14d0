"""Which worker takes the next call: real HTTP servers that say how busy they are."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import gevent

from appliance.telephony.workers import Workers


@contextmanager
def worker(health: dict[str, object], status: int = 200) -> Iterator[str]:
    """A worker's ``/health``; its media URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _, _, call = self.path.partition("?call=")
            body = json.dumps(health | ({"holds": call == "mine"} if call else {})).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"ws://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def asked(workers: Workers, until: Callable[[], object]) -> None:
    """Let them be asked until it shows."""
    job = gevent.spawn(workers.run)
    with gevent.Timeout(5):
        while not until():
            gevent.sleep(0.02)
    job.kill()


def healthy(workers: Workers) -> int:
    return sum(bool(state["healthy"]) for state in workers.states())


def test_the_one_with_most_room_and_then_the_other() -> None:
    busy = {"status": "ok", "calls": 8, "capacity": 10}
    idle = {"status": "ok", "calls": 1, "capacity": 4}
    with worker(busy) as one, worker(idle) as two:
        workers = Workers((one, two))
        assert workers.pick() is None  # nobody has been asked yet
        asked(workers, lambda: healthy(workers) == 2)
        assert [workers.pick() for _ in range(5)] == [two, two, two, one, one]
        assert workers.pick() is None  # full
        assert workers.pick(but=(one,)) is None


def test_one_that_failed_is_only_taken_for_want_of_others() -> None:
    room = {"status": "ok", "calls": 0, "capacity": 100}
    with worker(room) as one, worker(room) as two:
        workers = Workers((one, two))
        asked(workers, lambda: healthy(workers) == 2)
        workers.failed(one)
        assert [workers.pick() for _ in range(3)] == [two, two, two]
        assert workers.pick(but=(two,)) == one


def test_those_that_drain_lie_or_are_away_take_nothing() -> None:
    draining = {"status": "draining", "calls": 0, "capacity": 10}
    with worker(draining, 503) as one, worker({"status": "ok", "calls": "many"}) as two:
        workers = Workers((one, two, "ws://127.0.0.1:9"))
        job = gevent.spawn(workers.run)
        gevent.sleep(0.5)
        job.kill()
        assert workers.pick() is None and healthy(workers) == 0


def test_whether_it_holds_a_call() -> None:
    with worker({"status": "ok", "calls": 1, "capacity": 2}) as one:
        workers = Workers((one,))
        assert workers.holds(one, "mine") is True
        assert workers.holds(one, "another") is False
        assert workers.holds("ws://127.0.0.1:9", "mine") is None
