"""``ivr flags``: the review queue at the keyboard."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from rich.table import Table
from rich.text import Text
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.access import commandline
from appliance.access.commandline import Act, also
from appliance.errors import UserError
from appliance.events import Flag, Severity
from appliance.ops.calls import parse_since
from appliance.ops.console import (
    console_here,
    passage_line,
    plain,
    print_json,
    print_table,
    short,
    who,
)
from appliance.privacy.recordings import path_of
from appliance.review import flags as review
from appliance.review.excerpt import cut
from appliance.review.flags import Decided, FlagView
from appliance.settings import Settings
from appliance.store import flags as store
from appliance.store.calls import read_call
from appliance.store.database import answer
from appliance.store.flags import Answered, Retest, ReviewedFlag, Wanted

QUERY_S = 10.0
ID_SHOWN = 8
SEVERITY_STYLES = {"high": "bold red", "medium": "yellow", "low": "dim"}
Decision = Literal["confirm", "dismiss", "reopen"]


def print_flags(
    settings: Settings, wanted: Wanted, since: str, limit: int, *, as_json: bool
) -> None:
    """The queue, the gravest first."""
    wanted = _since(wanted, since)
    found = answer(settings, lambda e: store.list_flags(e, wanted, limit=limit), QUERY_S)
    if as_json:
        print_json({"flags": found})
        return
    rows = (
        (
            *(one.flag.id[:ID_SHOWN], f"{one.flag.at.astimezone():%m-%d %H:%M}"),
            *(one.flag.severity, one.state, one.flag.agent_id, one.flag.side, one.flag.rule),
            short(one.flag.phrase),
        )
        for one in found
    )
    names = ("flag", "when", "severity", "state", "agent", "side", "rule", "phrase")
    print_table(names, rows, "Nothing to look at.")


def print_trends(settings: Settings, wanted: Wanted, since: str, by: str, *, as_json: bool) -> None:
    """How many flags a day, an agent or a rule had, by what became of them."""
    wanted = _since(wanted, since)
    zone = settings.switch.timezone
    counts = answer(settings, lambda e: store.count_flags(e, wanted, zone), QUERY_S)
    if as_json:
        print_json({"counts": counts})
        return
    totals: dict[str, dict[str, int]] = {}
    for one in counts:
        row = totals.setdefault(str(getattr(one, "agent_id" if by == "agent" else by)), {})
        row[one.state] = row.get(one.state, 0) + one.flags
    rows = [
        (key, sum(row.values()), *(row.get(state, 0) for state in store.STATES))
        for key, row in totals.items()
    ]
    print_table((by, "flags", *store.STATES), rows, "No flags.")


def print_flag(settings: Settings, prefix: str, *, as_json: bool) -> None:
    """One flag with its question, answer, passages, place and retest."""
    view = answer(settings, lambda engine: review.show(engine, prefix), QUERY_S)
    if as_json:
        print_json({"flag": view, "audio_command": _audio_command(view)})
    else:
        _show(view)


def decide(
    settings: Settings, decision: Decision, prefix: str, by: str, note: str, *, as_json: bool
) -> None:
    """Confirm, dismiss or reopen a flag."""
    verb = {"confirm": review.confirm, "dismiss": review.dismiss, "reopen": review.reopen}[decision]

    async def work(engine: AsyncEngine) -> Decided:
        flag = (await review.show(engine, prefix)).reviewed.flag
        line = also(_act(f"flag.{decision}", flag))
        return await verb(engine, flag.id, who(by), note, also=line)

    decided = answer(settings, work, QUERY_S)
    if as_json:
        print_json({"flag": decided.reviewed, "withdrawn": decided.withdrawn})
        return
    reviewed = decided.reviewed
    print(
        f"Flag {reviewed.flag.id[:ID_SHOWN]} is {reviewed.state}, by {plain(reviewed.decided_by)}."
    )
    if decided.withdrawn:
        print(f"{decided.withdrawn} cached answers are no longer said.")


def add(
    settings: Settings,
    call: str,
    turn: int,
    by: str,
    note: str,
    severity: Severity,
    *,
    as_json: bool,
) -> None:
    """Put an answer of a call into the queue by hand."""

    async def work(engine: AsyncEngine) -> ReviewedFlag:
        found, _ = await read_call(engine, call)
        act = Act("flag.add", found.call_id, {"turn": turn}, agent=found.agent_id)
        return await review.flag_turn(
            engine, found.call_id, turn, who(by), note, severity, also=also(act)
        )

    added = answer(settings, work, QUERY_S)
    if as_json:
        print_json({"flag": added})
    else:
        print(f"Flag {added.flag.id[:ID_SHOWN]}: {plain(short(added.flag.phrase))}")


def retest(settings: Settings, prefix: str, by: str, *, as_json: bool) -> None:
    """Ask a flag's question again, and show both answers."""

    async def work(engine: AsyncEngine) -> ReviewedFlag:
        flag = (await review.show(engine, prefix)).reviewed.flag
        await commandline.note(engine, _act("flag.retest", flag))
        return await review.retest(engine, settings, flag.id, who(by))

    _tell_retest(answer(settings, work), as_json=as_json)


def fix(
    settings: Settings,
    prefix: str,
    text: str,
    question: str,
    rule_off: bool,
    rule_text: str,
    by: str,
    *,
    as_json: bool,
) -> None:
    """Correct the knowledge or the rule from a flag, and show the answer before and after."""
    if sum((bool(text), rule_off, bool(rule_text))) != 1:
        raise UserError("Say one of --answer, --rule-off and --rule-text: what is to be mended.")
    if question and not text:
        raise UserError("--question goes with --answer: it says what that answers.")

    async def work(engine: AsyncEngine) -> ReviewedFlag:
        flag = (await review.show(engine, prefix)).reviewed.flag
        if text:
            await commandline.note(engine, _act("flag.correct", flag))
            return await review.fix_answer(engine, settings, flag.id, text, who(by), question)
        line = also(_act("rule.change", flag, {"rule": flag.rule, "after": rule_text or None}))
        return await review.fix_rule(engine, settings, flag.id, who(by), rule_text, also=line)

    _tell_retest(answer(settings, work), as_json=as_json)


def save_audio(settings: Settings, prefix: str, out: Path, *, as_json: bool) -> None:
    """Cut the place of a flag out of its recording."""
    view = answer(settings, lambda engine: review.show(engine, prefix), QUERY_S)
    flag = view.reviewed.flag
    commandline.noting(
        settings, Act("recording.download", flag.call_id, {"flag": flag.id}, agent=flag.agent_id)
    )
    if not view.recording:
        raise UserError(f"Flag {flag.id[:ID_SHOWN]} has no recording.")
    if flag.begin_ms is None or flag.end_ms is None:
        raise UserError(f"It is not known where in {view.recording} that was said.")
    recording = path_of(settings.recordings_dir, view.recording)
    if recording is None:
        raise UserError(f"{view.recording} is not in the recordings folder.")
    excerpt = cut(recording, flag.begin_ms, flag.end_ms, out)
    if as_json:
        print_json({"file": str(out), "begin_ms": excerpt.begin_ms, "end_ms": excerpt.end_ms})
    else:
        print(
            f"{out}: {excerpt.begin_ms / 1000:.1f} s to {excerpt.end_ms / 1000:.1f} s of the call."
        )


def _act(action: str, flag: Flag, detail: dict[str, str | None] | None = None) -> Act:
    facts = {"agent": flag.agent_id, **(detail or {})}
    return Act(action, flag.id, facts, agent=flag.agent_id)


def _since(wanted: Wanted, since: str) -> Wanted:
    if not since:
        return wanted
    fields = {name: getattr(wanted, name) for name in Wanted.__slots__}
    return Wanted(**{**fields, "since": parse_since(since, datetime.now(UTC))})


def _tell_retest(reviewed: ReviewedFlag, *, as_json: bool) -> None:
    if as_json:
        print_json({"flag": reviewed})
        return
    console = console_here()
    if reviewed.retest is not None:
        console.print(_sides(reviewed.retest))
    if reviewed.state == "open":
        print(f"If that is right now: `ivr flags confirm {reviewed.flag.id[:ID_SHOWN]}`.")


def _show(view: FlagView) -> None:
    reviewed, flag = view.reviewed, view.reviewed.flag
    console = console_here()
    head = Text(f"Flag {flag.id[:16]}  ", "bold")
    head.append(flag.severity, SEVERITY_STYLES[flag.severity])
    head.append(f"  {plain(flag.rule)} ({plain(flag.category)}), {flag.side}, {flag.action}\n")
    head.append(f"{flag.at.astimezone():%Y-%m-%d %H:%M}, found by {flag.found_by}, agent ")
    head.append(f"{flag.agent_id}.{flag.agent_version}, knowledge {flag.knowledge or 'none'}")
    head.append(f".{flag.knowledge_version}\n{_state(reviewed)}\n")
    console.print(head)
    for said, heard in view.earlier[-3:]:
        console.print(Text(f"  before    {plain(said)} → {plain(heard)}", "dim"))
    console.print(Text(f"  question  {plain(flag.question)}"))
    console.print(Text(f"  answer    {plain(flag.answer)}", "green"))
    console.print(Text(f"  phrase    {plain(flag.phrase)}", SEVERITY_STYLES[flag.severity]))
    for passage in view.turn.passages if view.turn else ():
        console.print(Text(f"  passage   {passage_line(passage)}", "cyan"))
    if view.call is not None:
        console.print(f"  call      {plain(view.call.call_id)}, turn {flag.turn}{_place(view)}")
    if command := _audio_command(view):
        console.print(f"  listen    {command}")
    if reviewed.retest is not None:
        console.print(_sides(reviewed.retest))


def _state(reviewed: ReviewedFlag) -> str:
    if reviewed.state == "open" and not reviewed.decided_by:
        return "open"
    when = f"{reviewed.decided_at.astimezone():%Y-%m-%d %H:%M}" if reviewed.decided_at else "?"
    note = f": {plain(reviewed.note)}" if reviewed.note else ""
    return f"{reviewed.state} by {plain(reviewed.decided_by)}, {when}{note}"


def _place(view: FlagView) -> str:
    flag = view.reviewed.flag
    if flag.begin_ms is None or flag.end_ms is None:
        return ""
    return (
        f", {flag.begin_ms / 1000:.1f} s to {flag.end_ms / 1000:.1f} s of {view.recording or 'it'}"
    )


def _audio_command(view: FlagView) -> str:
    flag = view.reviewed.flag
    if not view.recording or flag.begin_ms is None:
        return ""
    return f"ivr flags audio {flag.id[:16]} flag.wav"


def _sides(retest: Retest) -> Table:
    """Both answers beside each other."""
    table = Table(title=plain(retest.fix) or "Asked again", show_lines=True)
    for name, one in (("before", retest.before), ("after", retest.after)):
        table.add_column(f"{name}: agent {one.agent_version}, knowledge {one.knowledge_version}")
    table.add_row(*(Text(plain(one.answer)) for one in (retest.before, retest.after)))
    table.add_row(*(Text(_passages(one)) for one in (retest.before, retest.after)))
    table.add_row(*(Text(_findings(one)) for one in (retest.before, retest.after)))
    return table


def _passages(one: Answered) -> str:
    return "\n".join(passage_line(passage) for passage in one.passages) or "no passage"


def _findings(one: Answered) -> str:
    found = [
        f"{finding.rule} ({finding.severity}): {short(finding.phrase)}" for finding in one.findings
    ]
    if one.failure:
        found.append(one.failure)
    return plain("; ".join(found)) or "nothing found"
