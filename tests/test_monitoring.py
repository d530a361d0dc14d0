"""What is shipped for Prometheus and Grafana, held against what the processes tell."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from appliance.metrics.catalogue import CATALOGUE, series_of
from appliance.settings import Settings

ROOT = Path(__file__).parent.parent
MONITORING = ROOT / "monitoring"
DASHBOARDS = sorted((MONITORING / "grafana").glob("*.json"))
RULES = MONITORING / "alerts" / "ivr.yml"
PROCESS = {
    "process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds",
    "process_max_fds",
}  # fmt: skip
"""Of prometheus_client (tests/metrics_kit.py sees that they are there)."""
SERIES = {name: metric for metric in CATALOGUE.values() for name in series_of(metric)}
_NAME = re.compile(r"\b(ivr_[a-z0-9_]+|process_[a-z_]+)\b")
_SELECTOR = re.compile(r"\b(ivr_[a-z0-9_]+)\{([^}]*)\}")
_BY = re.compile(r"\bby \(([^)]*)\)")
OF_PROMETHEUS = {"le", "job", "instance"}


def panels(board: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for panel in board["panels"]:
        yield panel
        yield from panels(panel) if "panels" in panel else ()


def rules() -> list[dict[str, Any]]:
    return [r for group in yaml.safe_load(RULES.read_text())["groups"] for r in group["rules"]]


def queries() -> list[tuple[str, str]]:
    found = [(rule["alert"], rule["expr"]) for rule in rules()]
    for path in DASHBOARDS:
        board = orjson.loads(path.read_bytes())
        for panel in panels(board):
            found += [(f"{path.stem}: {panel['title']}", t["expr"]) for t in panel["targets"]]
    return found


@pytest.mark.parametrize(("where", "query"), queries())
def test_a_query_names_what_is_told_with_labels_that_it_has(where: str, query: str) -> None:
    names = set(_NAME.findall(query))
    assert names or "up{" in query
    assert names <= SERIES.keys() | PROCESS, names - SERIES.keys()
    for name, inside in _SELECTOR.findall(query):
        used = {part.split("=")[0].rstrip("!") for part in re.findall(r"\w+!?=~?", inside)}
        assert used <= {*SERIES[name].labels, *OF_PROMETHEUS}, (name, used)
    known = {label for name in names & SERIES.keys() for label in SERIES[name].labels}
    for labels in _BY.findall(query):
        used = {label.strip() for label in labels.split(",")}
        assert used <= known | OF_PROMETHEUS, used


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_is_one_that_grafana_takes(path: Path) -> None:
    board = orjson.loads(path.read_bytes())
    assert board["uid"] == f"ivr-{path.stem}" and board["title"].startswith("IVR")
    found = list(panels(board))
    assert len({panel["id"] for panel in found}) == len(found) >= 10
    places = set()
    for panel in found:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & places, panel["title"]
        places |= cells
        assert panel["datasource"]["uid"] == "${DS}"
        legend = {
            label for t in panel["targets"] for label in re.findall(r"{{(\w+)}}", t["legendFormat"])
        }
        for target in panel["targets"]:
            names = set(_NAME.findall(target["expr"])) & SERIES.keys()
            labels = {label for name in names for label in SERIES[name].labels}
            used = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            assert used <= labels | OF_PROMETHEUS, panel["title"]
        assert legend or len(panel["targets"]) >= 1


def test_every_rule_says_what_to_do() -> None:
    assert len({rule["alert"] for rule in rules()}) == len(rules()) >= 25
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["summary"].endswith(".")
        assert len(rule["annotations"]["runbook"]) > 20


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (prometheus) is missing")
@pytest.mark.parametrize("check", [["check", "rules", str(RULES)]])
def test_prometheus_takes_the_rules(check: list[str]) -> None:
    said = subprocess.run(["promtool", *check], capture_output=True, text=True, timeout=30)
    assert said.returncode == 0, said.stdout + said.stderr


def test_prometheus_asks_where_the_processes_listen() -> None:
    config = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    assert config["rule_files"] == ["alerts/ivr.yml"]
    asked = {
        int(target.rpartition(":")[2])
        for job in config["scrape_configs"]
        for place in job["static_configs"]
        for target in place["targets"]
    }
    s = Settings()
    ports = {s.worker.port, s.switch.api_port, s.admin.port}
    ports |= {s.metrics.sip_port, s.metrics.jobs_port, s.metrics.up_port, s.metrics.pools_port}
    ports |= {place.port for stage in s.engines.stages().values() for place in stage.places()}
    assert ports <= asked


def test_the_page_has_every_metric() -> None:
    """The table of docs/observability.md is this one: `python -m tests.metrics_table` writes it."""
    from tests.metrics_table import table

    assert table() in (ROOT / "docs" / "observability.md").read_text()
