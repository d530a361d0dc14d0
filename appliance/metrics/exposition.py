"""What a process knows, as Prometheus's text format 0.0.4, written when somebody asks.

Written here and not by ``prometheus_client``, which takes 1.4 ms of CPU for the 430 lines of a worker
and as long again to be given them, on the event loop that owes every caller a frame each 20 ms. This
takes 0.6 ms (``python -m bench.telling``). ``process_*`` are the library's.
"""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

from appliance.metrics.buckets import Buckets
from appliance.metrics.catalogue import CATALOGUE

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MOST_SERIES = 2000
"""Lines of one metric: labels are bounded where they are made, and this is the bound of a mistake."""

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class Sink:
    """Takes the values of one scrape. A name that is not in the catalogue, or labels that are not
    its own, are a bug: KeyError."""

    def __init__(self) -> None:
        self._lines: dict[str, list[str]] = {}

    def put(self, name: str, value: float, **labels: object) -> None:
        """One value of a counter or a gauge."""
        lines = self._of(name, labels)
        if len(lines) < MOST_SERIES:
            lines.append(f"{name}{_braces(labels)} {_number(value)}\n")

    def histogram(self, name: str, buckets: Buckets, **labels: object) -> None:
        """One histogram; what is not counted yet is told as nought, so that rates begin there."""
        lines = self._of(name, labels)
        if len(lines) >= MOST_SERIES:
            return
        inside = ",".join(f'{key}="{_text(value)}"' for key, value in labels.items())
        start = f"{name}_bucket{{{inside}{',' if inside else ''}le="
        total = 0
        counts = list(buckets.counts)
        for edge, count in zip(buckets.edges, counts, strict=False):
            total += count
            lines.append(f'{start}"{_number(edge)}"}} {total}\n')
        total += counts[-1]
        lines.append(f'{start}"+Inf"}} {total}\n')
        braces = _braces(labels)
        lines.append(f"{name}_sum{braces} {_number(buckets.sum)}\n")
        lines.append(f"{name}_count{braces} {total}\n")

    def text(self) -> str:
        """All of it, each metric with its help and its kind."""
        parts = []
        for name, lines in self._lines.items():
            spec = CATALOGUE[name]
            parts.append(f"# HELP {name} {spec.help}\n# TYPE {name} {spec.kind.value}\n")
            parts += lines
        return "".join(parts)

    def _of(self, name: str, labels: dict[str, object]) -> list[str]:
        lines = self._lines.get(name)
        if lines is None:
            if set(CATALOGUE[name].labels) != set(labels):
                raise KeyError(f"{name} has the labels {CATALOGUE[name].labels}")
            lines = self._lines[name] = []
        return lines


Source = Callable[[Sink], None]
"""Puts what one part of the process knows; called at each scrape, and must not wait."""


class Exporter:
    """Everything that one process tells."""

    def __init__(self) -> None:
        self._sources: list[Source] = []
        self._registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self._registry)

    def add(self, source: Source) -> None:
        """Ask ``source`` too, from now on."""
        self._sources.append(source)

    def render(self) -> bytes:
        """The text of one scrape."""
        sink = Sink()
        for source in self._sources:
            source(sink)
        return sink.text().encode() + generate_latest(self._registry)


def _braces(labels: dict[str, object]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{key}="{_text(value)}"' for key, value in labels.items()) + "}"


def _text(value: object) -> str:
    return str(value).translate(_ESCAPES)


def _number(value: float) -> str:
    return repr(float(value)) if isinstance(value, float) else str(int(value))
