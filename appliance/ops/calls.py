"""``ivr calls``: the journal as a person reads it, or as JSON."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from rich.table import Table
from rich.text import Text

from appliance.errors import UserError
from appliance.events import CallRecord, Turn
from appliance.ops.console import console_here, passage_line, print_json
from appliance.rehearsal.timeline import bar, slowest, spans
from appliance.settings import Settings
from appliance.store.calls import CallSummary, list_calls, read_call
from appliance.store.database import answer

QUERY_TIMEOUT_S = 10.0
ID_SHOWN = 8

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_STAGE_STYLES = {
    "hear": "cyan",
    "floor": "yellow",
    "search": "green",
    "write": "magenta",
    "phrase": "blue",
    "voice": "red",
    "out": "white",
}
T = TypeVar("T")


def parse_since(text: str, now: datetime) -> datetime:
    """``30m``, ``2h``, ``7d``, ``1w`` before ``now``, or an ISO time (local without a zone).

    Raises UserError.
    """
    if found := re.fullmatch(r"(\d{1,6})([mhdw])", text.strip()):
        return now - timedelta(**{_UNITS[found[2]]: int(found[1])})
    try:
        return datetime.fromisoformat(text.strip()).astimezone()
    except ValueError as e:
        raise UserError(
            f"--since {text!r} is no time. Write 30m, 2h, 7d, or a date such as 2026-11-20."
        ) from e


def print_calls(
    settings: Settings, *, limit: int, agent: str | None, since: str | None, as_json: bool
) -> None:
    """Print the latest calls, newest first. Raises UserError when the database does not answer."""
    now = datetime.now(UTC)
    start = parse_since(since, now) if since else None
    found = answer(
        settings, lambda e: list_calls(e, limit=limit, agent_id=agent, since=start), QUERY_TIMEOUT_S
    )
    if as_json:
        print_json({"calls": found})
        return
    console = console_here()
    if not found:
        console.print("No calls." if not (agent or since) else "No such calls.")
        return
    console.print(_calls_table(found, now))


def print_call(settings: Settings, prefix: str, *, as_json: bool) -> None:
    """Print one call, turn by turn. Raises UserError for an unknown id or a lost database."""
    call, turns = answer(settings, lambda engine: read_call(engine, prefix), QUERY_TIMEOUT_S)
    if as_json:
        print_json({"call": call, "turns": turns})
        return
    console = console_here()
    console.print(_heading(call, len(turns)))
    if turns and not any(turn.said or turn.reply or turn.heard for turn in turns):
        console.print("What was said in it has been erased.", style="yellow")
    for turn in turns:
        console.print()
        console.print(_turn(turn, call))


def _calls_table(found: list[CallSummary], now: datetime) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("call", "when", "caller", "number", "agent"):
        table.add_column(name, no_wrap=True)
    for name in ("turns", "length", "gap p50", "gap p95"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("ended by", no_wrap=True)
    for item in found:
        call = item.call
        table.add_row(
            _plain(call.call_id[:ID_SHOWN]),
            _when(call.started_at),
            _plain(call.caller),
            _plain(call.did),
            _plain(f"{call.agent_id}.{call.agent_version}"),
            str(call.turns),
            _length(call, now),
            _ms(item.gap_p50_ms),
            _ms(item.gap_p95_ms),
            _plain(_end(call)),
        )
    return table


def _heading(call: CallRecord, turns: int) -> Text:
    now = datetime.now(UTC)
    text = Text()
    text.append(f"Call {_safe(call.call_id)}\n", "bold")
    text.append(f"{_when(call.started_at)}, {_safe(call.caller)} to {_safe(call.did)}, ")
    text.append(f"agent {_safe(call.agent_id)}.{call.agent_version} ({_safe(call.language)}), ")
    text.append(f"{_length(call, now)} long, {turns} turns, ")
    text.append(f"{_end(call)}" if call.ended_at is None else f"ended by {_end(call)}")
    if call.part > 1:
        text.append(f", carried by {call.part} workers one after the other")
    if call.late_frames:
        text.append(f", {call.late_frames} late frames", "yellow")
    if call.direction == "out":
        who, _, sign = call.answered_by.partition(":")
        answered = f"{_safe(who)} ({_safe(sign)})" if who else "nobody yet"
        text.append(f"\nmade by us, answered by {answered}")
    if call.transferred_to:
        text.append(f"\ntransfer to {_safe(call.transferred_to)}: {_safe(call.summary)}")
    if call.continues:
        text.append(f"\ngoes on with call {_safe(call.continues)}, which was cut off")
    if call.facts:
        facts = "; ".join(f"{_safe(name)}: {_safe(fact)}" for name, fact in call.facts.items())
        text.append(f"\nfacts {facts}")
    if call.memory:
        memory = " / ".join(_safe(line) for line in call.memory.splitlines())
        text.append(f"\nsummary of turns up to {call.remembered}: {memory}")
    if call.recording:
        text.append(f"\nrecording {_safe(call.recording)}")
    return text


def _turn(turn: Turn, call: CallRecord) -> Text:
    after = turn.at - call.started_at
    text = Text()
    text.append(f"{turn.index:>3}  {_clock(after)}  ", "bold")
    text.append(_turn_facts(turn) + "\n", "dim")
    if turn.said:
        text.append(f"     said     {_safe(turn.said)}\n")
    text.append(f"     heard    {_safe(turn.heard) or '(nothing)'}\n", "green")
    if unheard := _unheard(turn):
        text.append(f"     unheard  {_safe(unheard)}\n", "dim")
    for passage in turn.passages:
        text.append(f"     passage {passage_line(passage)}\n", "cyan")
    if turn.failure:
        text.append(f"     trouble  {_safe(turn.failure)}\n", "red")
    text.append_text(_stage_bar(turn))
    text.rstrip()
    return text


def _turn_facts(turn: Turn) -> str:
    facts: list[str] = [turn.source]
    if turn.gap_ms is not None:
        facts.append(f"gap {turn.gap_ms} ms")
    if turn.barged_in:
        facts.append("barged in")
    if turn.kept_speculation:
        facts.append("speculation kept")
    if turn.stages.speculations_dropped:
        facts.append(f"{turn.stages.speculations_dropped} speculations dropped")
    return ", ".join(facts)


def _unheard(turn: Turn) -> str:
    reply, heard = turn.reply.strip(), turn.heard.strip()
    return reply[len(heard) :].strip() if reply.startswith(heard) else ""


def _stage_bar(turn: Turn) -> Text:
    parts = spans(turn.stages)
    worst = slowest(parts)
    text = Text()
    if worst is None:
        return text
    text.append("     stages   ")
    for span, columns in bar(parts):
        text.append(span.stage[0].upper() * columns, _STAGE_STYLES[span.stage])
    text.append(f"  {sum(span.ms for span in parts)} ms\n              ")
    for span in parts:
        text.append(f"{span.stage} {span.ms}", _STAGE_STYLES[span.stage])
        text.append(" · " if span is not parts[-1] else f"   slowest: {worst.stage}\n")
    return text


def _end(call: CallRecord) -> str:
    if call.ended_at is None:
        return "live"
    if call.ended_by == "system" and call.cause:
        return f"system ({call.cause})"
    return call.ended_by or call.cause or "?"


def _length(call: CallRecord, now: datetime) -> str:
    return _clock((call.ended_at or now) - call.started_at)


def _clock(span: timedelta) -> str:
    minutes, seconds = divmod(max(0, round(span.total_seconds())), 60)
    return f"{minutes}:{seconds:02d}"


def _when(at: datetime) -> str:
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"


def _plain(text: str) -> Text:
    return Text(_safe(text))


def _safe(text: str) -> str:
    """Callers choose what stands in some fields: nothing there may steer a terminal."""
    return "".join(c if c.isprintable() else "·" for c in text)
