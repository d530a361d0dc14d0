"""Draws what `ivr top` sees, for any width and height from 80 by 24 on. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from appliance.ops.top.state import CallLine, Snapshot, Sort, WorkerLine, ordered

GIB = 1 << 30
SLOW_MS = 1200
"""A gap from which on it is shown red; orange from two thirds of it."""
LATE_SHARE = 0.005
LONGEST_PLACE = 12
BUSY = 0.9
_SEVERITY = {"critical": "bold red", "warning": "yellow", "notice": "cyan"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What was typed."""

    sort: Sort = Sort.LONGEST
    wanted: str = ""
    """Only calls with this in them."""
    typing: bool = False
    """The filter is being typed."""


def draw(seen: Snapshot, asked: Asked, width: int, height: int) -> RenderableType:
    """The whole screen: the head, what is wrong, parts side by side, and as many calls as there is
    room for."""
    head, foot = _head(seen), _foot(asked, width)
    wrong = list(_alarms(seen, most=3))
    left = [_workers(seen), _stages(seen)]
    right = [_trunks(seen), _pools(seen), _queues(seen)]
    rows = max(_rows_of(left), _rows_of([table for table in right if table.row_count]))
    side = Table.grid(expand=True, padding=(0, 1))
    side.add_column(ratio=5)
    side.add_column(ratio=3)
    side.add_row(Group(*left), Group(*(table for table in right if table.row_count)))
    taken = 1 + len(wrong) + rows + 2 + 1
    calls = _calls(seen, asked, max(1, height - taken))
    return Group(head, *wrong, side, calls, foot)


def _rows_of(tables: Iterable[Table]) -> int:
    return sum(table.row_count + 1 for table in tables)


def _head(seen: Snapshot) -> Text:
    machine = seen.machine
    live, limit = sum(w.calls for w in seen.workers), sum(w.limit for w in seen.workers)
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(f"ivr {seen.at}  ", "bold")
    line.append(
        f"calls {live}/{limit}", "bold green" if live < BUSY * max(1, limit) else "bold red"
    )
    line.append(f"  cpu {machine.cpu:4.0%}", "red" if machine.cpu > BUSY else "")
    line.append(f" load {machine.load:.1f}/{machine.cores}")
    line.append(f"  mem {machine.memory_used / GIB:.1f}/{machine.memory / GIB:.0f}G")
    tight = machine.disk and machine.disk_free < 0.1 * machine.disk
    line.append(f"  disk {machine.disk_free / GIB:.0f}G free", "red" if tight else "")
    if seen.switch != "none":
        line.append(f"  switch {seen.switch}", "" if seen.switch == "freeswitch" else "red")
    return line


def _alarms(seen: Snapshot, most: int) -> Iterable[Text]:
    for alarm in seen.alarms[:most]:
        line = Text(no_wrap=True, overflow="ellipsis")
        line.append(f"{alarm.severity} ", _SEVERITY.get(alarm.severity, ""))
        line.append(alarm.what)
        yield line
    if len(seen.alarms) > most:
        yield Text(f"and {len(seen.alarms) - most} more: ivr doctor", "dim")


def _table(first: str, **columns: int) -> Table:
    """``columns``: each with the width that it is never narrower than; the first gives way."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="reverse")
    table.add_column(first, no_wrap=True, overflow="ellipsis")
    for name, width in columns.items():
        table.add_column(
            name.replace("_", " "), justify="right", no_wrap=True, overflow="ellipsis",
            min_width=max(width, len(name)),
        )  # fmt: skip
    return table


def _workers(seen: Snapshot) -> Table:
    table = _table("worker", calls=6, p50=4, p95=4, late=4, lag=3, rows=4, mem=4)
    for worker in seen.workers:
        name = _short(worker.url)
        if worker.status == "away":
            table.add_row(Text(name, "red"), Text("away", "red"), *[""] * 6)
            continue
        table.add_row(
            Text(name, "" if worker.status == "ok" else "yellow"),
            _places(worker),
            _seconds(worker.gap_p50_s),
            _seconds(worker.gap_p95_s),
            Text(f"{worker.late_share:.1%}", "red" if worker.late_share > LATE_SHARE else ""),
            _seconds(worker.lag_p99_s),
            str(worker.journal_behind),
            f"{worker.resident_bytes / (1 << 20):.0f}M",
        )
    return table


def _places(worker: WorkerLine) -> Text:
    full = worker.calls >= BUSY * max(1, worker.limit)
    return Text(f"{worker.calls}/{worker.limit}", "yellow" if full or worker.why else "")


def _stages(seen: Snapshot) -> Table:
    table = _table("stage", up=4, busy=7, p95=4)
    for stage in seen.stages:
        busy = f"{stage.in_flight}/{stage.capacity or '?'}"
        full = stage.capacity and stage.in_flight >= BUSY * stage.capacity
        table.add_row(
            stage.name,
            Text(f"{stage.up}/{stage.servers}", "red" if stage.up < stage.servers else ""),
            Text(busy, "yellow" if full else ""),
            _seconds(stage.first_answer_p95_s),
        )
    return table


def _trunks(seen: Snapshot) -> Table:
    table = _table("trunk", calls=5, state=6)
    for trunk in seen.trunks[:6]:
        most = f"/{trunk.max_calls}" if trunk.max_calls else ""
        style = "" if trunk.up else "red" if trunk.enabled else "dim"
        table.add_row(Text(trunk.name, style), f"{trunk.calls}{most}", Text(trunk.state, style))
    return table


def _pools(seen: Snapshot) -> Table:
    table = _table("pool", warm=2, want=4)
    for pool in seen.pools[:6]:
        warm, lost = pool.states.count("warm"), pool.states.count("lost")
        style = "red" if lost else "yellow" if warm < pool.wanted else ""
        table.add_row(pool.name, Text(f"{warm}", style), f"{pool.wanted}/{pool.most}")
    return table


def _queues(seen: Snapshot) -> Table:
    table = _table("queue", items=5, of=5)
    for queue in seen.queues[:4]:
        style = "red" if queue.items > 0.8 * queue.limit else ""
        table.add_row(queue.name, Text(str(queue.items), style), str(queue.limit))
    return table


def _calls(seen: Snapshot, asked: Asked, room: int) -> Table:
    table = _table("call", agent=10, lang=2, way=3, doing=9, time=5, turns=3, last_gaps_in_ms=20)
    found = ordered(seen.calls, asked.sort, asked.wanted)
    for call in found[:room]:
        table.add_row(
            call.call_id[:8], call.agent[:16], call.language, call.direction, call.doing.value,
            f"{int(call.seconds) // 60}:{int(call.seconds) % 60:02d}", str(call.turns), _gaps(call),
        )  # fmt: skip
    if len(found) > room and table.row_count:
        table.caption = f"{len(found) - room} more"
    return table


def _gaps(call: CallLine) -> Text:
    line = Text()
    for gap in call.gaps_ms[-4:]:
        style = "red" if gap > SLOW_MS else "yellow" if gap > SLOW_MS * 2 // 3 else ""
        line.append(f"{gap:5d}", style)
    return line


def _foot(asked: Asked, width: int) -> Text:
    if asked.typing:
        return Text(f"filter: {asked.wanted}_"[:width], "reverse")
    wanted = f"  filter: {asked.wanted}" if asked.wanted else ""
    keys = f"q quit  s sort ({asked.sort.value})  f filter{wanted}"
    return Text(keys, "dim", no_wrap=True, overflow="ellipsis")


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value * 1000:.0f}"


def _short(url: str) -> str:
    """The port, and of another machine's worker the end of its address."""
    place = url.partition("://")[2].replace("127.0.0.1", "")
    return place if len(place) <= LONGEST_PLACE else "…" + place[1 - LONGEST_PLACE :]
