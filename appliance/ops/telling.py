"""What ``ivr up`` and ``ivr pools`` tell Prometheus: which processes run, and how many are wanted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from appliance.metrics.exposition import Sink
from appliance.metrics.looplag import LoopLag
from appliance.metrics.machine import disk
from appliance.metrics.port import MetricsPort
from appliance.metrics.process import exporter_of
from appliance.ops.keeping.keeper import Keeper
from appliance.ops.keeping.servergroup import ServerGroup
from appliance.settings import METRICS_SECRET, Settings


def metrics_port(
    settings: Settings,
    process: str,
    keepers: Callable[[], Sequence[Keeper]],
    groups: Sequence[ServerGroup],
    lag: LoopLag,
) -> MetricsPort:
    """The port of ``up`` or ``pools``, not yet open. ``keepers``: of the programs beside the pools."""
    exporter = exporter_of(process, lag)
    exporter.add(lambda sink: _keepers(sink, keepers(), groups))
    exporter.add(lambda sink: _pools(sink, groups))
    exporter.add(disk(settings.data_dir, settings.spool_dir))
    return MetricsPort(exporter, settings.metrics.host, partial(settings.secret, METRICS_SECRET))


def _keepers(sink: Sink, keepers: Sequence[Keeper], groups: Sequence[ServerGroup]) -> None:
    for keeper in list(keepers):
        name = keeper.program.name
        sink.put("ivr_child_up", keeper.pid is not None, program=name)
        sink.put("ivr_child_starts_total", keeper.starts, program=name)
    for group in groups:
        for member in group.members:
            name = member.program.name
            sink.put("ivr_child_starts_total", member.keeper.starts, program=name)


def _pools(sink: Sink, groups: Sequence[ServerGroup]) -> None:
    for group in groups:
        run, pool = group.group.run, group.group.name
        states = Counter(member.standing.value for member in group.members)
        for state in ("starting", "warm", "lost", "draining"):
            sink.put("ivr_pool_servers", states[state], pool=pool, state=state)
        sink.put("ivr_pool_wanted", group.wanted, pool=pool)
        sink.put("ivr_pool_least", run.least, pool=pool)
        sink.put("ivr_pool_most", run.most, pool=pool)
        sink.put("ivr_pool_in_flight", group.in_flight, pool=pool)
        sink.put("ivr_pool_capacity", group.capacity, pool=pool)
