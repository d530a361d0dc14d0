"""What other processes tell, read: values by name and labels, and quantiles between two looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at ``GET /metrics`` of one process."""

    values: Mapping[tuple[str, Labels], float]

    def value(self, name: str, **labels: str) -> float:
        """Of all series that have at least these labels, together; 0: there is none."""
        wanted = frozenset(labels.items())
        return sum(v for (n, of), v in self.values.items() if n == name and wanted <= of)

    def labels(self, name: str, label: str) -> list[str]:
        """The values of a label, sorted."""
        return sorted({dict(of)[label] for n, of in self.values if n == name and label in dict(of)})

    def quantile(
        self, name: str, share: float, before: Reading | None, **labels: str
    ) -> float | None:
        """Of a histogram, among what was observed since ``before`` (None: since the start of that
        process), as the upper edge of its bucket, in the metric's unit; None: nothing was observed."""
        counts = self._cumulated(name, labels)
        if before is not None:
            earlier = before._cumulated(name, labels)
            if all(count >= earlier.get(edge, 0.0) for edge, count in counts.items()):
                counts = {edge: count - earlier.get(edge, 0.0) for edge, count in counts.items()}
        total = counts.get(float("inf"), 0.0)
        if not total:
            return None
        edges = sorted(counts)
        found = next(edge for edge in edges if counts[edge] >= share * total)
        return found if found != float("inf") else edges[-2]

    def _cumulated(self, name: str, labels: Mapping[str, str]) -> dict[float, float]:
        wanted = frozenset(labels.items())
        found: dict[float, float] = {}
        for (series, of), value in self.values.items():
            if series == f"{name}_bucket" and wanted <= of:
                edge = float(dict(of)["le"])
                found[edge] = found.get(edge, 0.0) + value
        return found


def read(text: str) -> Reading:
    """Prometheus's text. Raises ValueError where it is none."""
    return Reading({
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    })  # fmt: skip
