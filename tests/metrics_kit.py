"""What a process tells Prometheus, read by Prometheus's own parser; and a collector of traces."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from prometheus_client.parser import text_string_to_metric_families

from appliance.metrics.catalogue import CATALOGUE, series_of

ENGINES = ("stt", "tts", "turn", "embed", "rerank")
Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Scrape:
    """One look at ``GET /metrics``."""

    values: dict[tuple[str, Labels], float]
    kinds: dict[str, str]

    def value(self, name: str, **labels: str) -> float:
        """Of the one series with exactly these labels; 0: there is none."""
        return self.values.get((name, frozenset(labels.items())), 0.0)

    def total(self, name: str, **labels: str) -> float:
        """Of all series that have at least these labels."""
        wanted = frozenset(labels.items())
        return sum(v for (n, of), v in self.values.items() if n == name and wanted <= of)

    @property
    def names(self) -> set[str]:
        return {name for name, _ in self.values}


def parsed(text: str) -> Scrape:
    """Raises ValueError where it is not Prometheus's format."""
    values: dict[tuple[str, Labels], float] = {}
    kinds = {}
    for family in text_string_to_metric_families(text):
        kinds[family.name] = family.type
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in values, f"{key} is told twice"
            values[key] = sample.value
    return Scrape(values, kinds)


def scrape(url: str, token: str = "") -> Scrape:
    """Ask a process. Blocks."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(url + "/metrics", headers=headers)
    with urllib.request.urlopen(request, timeout=5) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return parsed(answer.read().decode())


def status_of(url: str, token: str = "") -> int:
    """What the process answers to whoever asks. Blocks."""
    try:
        scrape(url, token)
    except urllib.error.HTTPError as e:
        with e:
            return e.code
    return 200


def assert_known(found: Scrape, process: str, without: frozenset[str] = frozenset()) -> None:
    """All that is told is in the catalogue, and all that the catalogue has of the process is told."""
    known = {name for metric in CATALOGUE.values() for name in series_of(metric)}
    strange = {n for n in found.names if n not in known and not n.startswith("process_")}
    assert not strange
    assert "process_resident_memory_bytes" in found.names
    kind = "engine servers" if process in ENGINES else process
    of = [m for m in CATALOGUE.values() if m.of == "all" or kind in m.of.split(", ")]
    missing = {m.name for m in of if not set(series_of(m)) <= found.names} - without
    assert not missing, missing
    assert found.total("ivr_build_info", process=process) == 1


@dataclass
class Collector:
    """What an OpenTelemetry collector was sent."""

    url: str
    spans: list[Span] = field(default_factory=list)
    services: set[str] = field(default_factory=set)

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]


def facts(span: Span) -> dict[str, Any]:
    """Its attributes."""
    found = {}
    for item in span.attributes:
        kind = item.value.WhichOneof("value")
        found[item.key] = getattr(item.value, kind) if kind else None
    return found


@contextmanager
def collector() -> Iterator[Collector]:
    """A receiver of OTLP over HTTP, as OpenTelemetry's protobuf has it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.headers["Content-Type"] == "application/x-protobuf"
            body = self.rfile.read(int(self.headers["Content-Length"]))
            request = ExportTraceServiceRequest.FromString(body)
            for resource in request.resource_spans:
                of = {a.key: a.value.string_value for a in resource.resource.attributes}
                found.services.add(of["service.name"])
                for scope in resource.scope_spans:
                    found.spans += scope.spans
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    found = Collector(f"http://127.0.0.1:{server.server_address[1]}/v1/traces")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
