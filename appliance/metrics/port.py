"""``GET /metrics`` for a process that has no HTTP port of its own: a thread, one client at a time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from appliance.metrics.access import may_read
from appliance.metrics.exposition import CONTENT_TYPE, Exporter

_log = logging.getLogger(__name__)

CLIENT_TIMEOUT_S = 5.0
"""Without a word from it, a client is left: the next one waits."""
WAITING_CLIENTS = 5
"""More are refused by the kernel."""


class MetricsPort:
    """The server, its thread, and their end."""

    def __init__(self, exporter: Exporter, host: str, secret: Callable[[], str]) -> None:
        self._exporter = exporter
        self._host = host
        self._secret = secret
        self._server: HTTPServer | None = None
        self._thread: threading.Thread | None = None

    def open(self, port: int) -> int:
        """Listen on ``port`` (0: none is wanted); returns the port. A port that is taken costs the
        metrics, never the process: it is told in the log, and 0 returned."""
        if not port:
            return 0
        try:
            self._server = _Server((self._host, port), self._handler())
        except OSError as e:
            _log.warning("! no metrics: %s:%d (%s)", self._host, port, e.strerror)
            return 0
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="metrics", daemon=True
        )
        self._thread.start()
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Stop listening."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join(CLIENT_TIMEOUT_S)
            self._server.server_close()
            self._server = None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        exporter, host, secret = self._exporter, self._host, self._secret

        class Handler(BaseHTTPRequestHandler):
            timeout = CLIENT_TIMEOUT_S

            def do_GET(self) -> None:
                if self.path.partition("?")[0] != "/metrics":
                    self.send_error(404)
                elif not may_read(host, self.headers.get("Authorization", ""), secret):
                    self.send_error(401)
                else:
                    self._tell(exporter.render())

            def _tell(self, body: bytes) -> None:
                self.send_response(200)
                self.send_header("Content-Type", CONTENT_TYPE)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Nobody wants a line a scrape."""

        return Handler


class _Server(HTTPServer):
    request_queue_size = WAITING_CLIENTS

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The border of a request."""
        _log.debug("! a scrape broke", exc_info=True)
