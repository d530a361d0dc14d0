"""``/flags``: the review queue."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from appliance.access.actor import Actor
from appliance.access.roles import Permission
from appliance.admin.api.access import ConsoleOf, needs
from appliance.admin.services import flag_fixes, flags
from appliance.events import Severity
from appliance.store.flags import FlagState, ReviewedFlag, Wanted

router = APIRouter(prefix="/flags", tags=["flags"])

Reader = Annotated[Actor, needs(Permission.FLAGS_READ)]
Reviewer = Annotated[Actor, needs(Permission.FLAGS_DECIDE)]
Ruler = Annotated[Actor, needs(Permission.RULES_EDIT)]
Listener = Annotated[Actor, needs(Permission.RECORDINGS_LISTEN)]
Id = Annotated[str, Path(min_length=1, max_length=128)]
Word = Annotated[str, Query(max_length=200)]
Note = Annotated[str, StringConstraints(max_length=2000)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Shown(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class Decision(_Body):
    """What a person decides, and how the flag stood when they looked at it."""

    state: FlagState
    note: Note = ""
    seen: FlagState = "open"


class NewFlag(_Body):
    """An answer of a call that was wrong."""

    call_id: Annotated[str, StringConstraints(min_length=1, max_length=128)]
    turn: Annotated[int, Field(ge=0, le=1_000_000)]
    note: Note = ""
    severity: Severity = "medium"


class Correction(_Body):
    """The right answer to a flag's question."""

    answer: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000)]
    question: Annotated[str, StringConstraints(max_length=300)] = ""
    """If it is not the flag's own."""


class RuleChange(_Body):
    """Other words of the rule that raised a flag; empty: it is switched off."""

    text: Annotated[str, StringConstraints(max_length=300)] = ""


class Passage(_Shown):
    id: str
    document: str
    heading: str
    text: str
    score: float
    page: int | None
    cited: bool


class Finding(_Shown):
    rule: str
    category: str
    severity: str
    action: str
    phrase: str


class Answered(_Shown):
    answer: str
    source: str
    passages: list[Passage]
    findings: list[Finding]
    agent_version: int
    knowledge_version: int
    failure: str


class Retest(_Shown):
    at: datetime
    by: str
    fix: str
    before: Answered
    after: Answered


class Flag(_Shown):
    id: str
    at: datetime
    call_id: str
    turn: int
    agent_id: str
    agent_version: int
    knowledge: str
    knowledge_version: int
    found_by: str
    side: str
    rule: str
    category: str
    severity: str
    action: str
    phrase: str
    question: str
    answer: str
    begin_ms: int | None
    end_ms: int | None


class Reviewed(_Shown):
    flag: Flag
    state: FlagState
    decided_by: str
    decided_at: datetime | None
    note: str
    retest: Retest | None


class Queue(BaseModel):
    flags: list[Reviewed]
    total: int


class Count(_Shown):
    day: date
    agent_id: str
    rule: str
    category: str
    severity: str
    state: str
    flags: int


class Turned(BaseModel):
    said: str
    heard: str


class FlagInFull(BaseModel):
    reviewed: Reviewed
    earlier: list[Turned]
    passages: list[Passage]
    has_recording: bool
    may_change_rule: bool


class Decided(BaseModel):
    reviewed: Reviewed
    withdrawn: int
    """Cached answers that are no longer said."""


def _wanted(
    state: Annotated[Literal["", "open", "confirmed", "dismissed"], Query()] = "open",
    severity: Annotated[Literal["", "low", "medium", "high"], Query()] = "",
    category: Word = "",
    agent_id: Word = "",
    rule: Word = "",
    found_by: Annotated[Literal["", "guard", "moderation", "golden", "person"], Query()] = "",
    side: Annotated[Literal["", "agent", "caller"], Query()] = "",
    call_id: Word = "",
    since: datetime | None = None,
    until: datetime | None = None,
) -> Wanted:
    return Wanted(
        state=state, severity=severity, category=category, agent_id=agent_id, rule=rule,
        found_by=found_by, side=side, call_id=call_id, since=since, until=until,
    )  # fmt: skip


Filters = Annotated[Wanted, Depends(_wanted)]


@router.get("")
async def list_flags(
    console: ConsoleOf,
    actor: Reader,
    wanted: Filters,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    offset: Annotated[int, Query(ge=0, le=10_000)] = 0,
) -> Queue:
    """The queue: the gravest first, and of equals the newest. ``total`` is counted up to 10 000."""
    found = await flags.queue(console, actor, wanted, limit=limit, offset=offset)
    return Queue(flags=[_reviewed(one) for one in found.flags], total=found.total)


@router.post("", status_code=201)
async def add_flag(console: ConsoleOf, actor: Reviewer, body: NewFlag) -> Reviewed:
    """Put an answer of a call into the queue by hand."""
    return _reviewed(
        await flags.flag_turn(console, actor, body.call_id, body.turn, body.note, body.severity)
    )


@router.get("/counts")
async def count_flags(console: ConsoleOf, actor: Reader, wanted: Filters) -> list[Count]:
    """How many flags each day had, by agent, rule, severity and state; the last 30 days unless
    ``since`` says otherwise."""
    return [Count.model_validate(one) for one in await flags.counts(console, actor, wanted)]


@router.get("/{flag_id}")
async def show_flag(console: ConsoleOf, actor: Reader, flag_id: Id) -> FlagInFull:
    """One flag with its question, answer, passages and retest."""
    shown = await flags.show(console, actor, flag_id)
    view = shown.view
    return FlagInFull(
        reviewed=_reviewed(view.reviewed),
        earlier=[Turned(said=said, heard=heard) for said, heard in view.earlier],
        passages=[Passage.model_validate(one) for one in (view.turn.passages if view.turn else ())],
        has_recording=bool(view.recording) and view.reviewed.flag.begin_ms is not None,
        may_change_rule=shown.may_change_rule,
    )


@router.post("/{flag_id}/decision")
async def decide(console: ConsoleOf, actor: Reviewer, flag_id: Id, body: Decision) -> Decided:
    """Confirm, dismiss or reopen a flag; refused when somebody else has decided meanwhile."""
    decided = await flags.decide(console, actor, flag_id, body.state, body.note, seen=body.seen)
    return Decided(reviewed=_reviewed(decided.reviewed), withdrawn=decided.withdrawn)


@router.post("/{flag_id}/retest")
async def retest(console: ConsoleOf, actor: Reviewer, flag_id: Id) -> Reviewed:
    """Ask the flag's question again, of agent, knowledge and rules as they are now."""
    return _reviewed(await flag_fixes.retest(console, actor, flag_id))


@router.post("/{flag_id}/correction")
async def correct(console: ConsoleOf, actor: Reviewer, flag_id: Id, body: Correction) -> Reviewed:
    """Put the right answer into the knowledge, and ask again."""
    return _reviewed(await flag_fixes.correct(console, actor, flag_id, body.answer, body.question))


@router.post("/{flag_id}/rule")
async def change_rule(console: ConsoleOf, actor: Ruler, flag_id: Id, body: RuleChange) -> Reviewed:
    """Change the site's rule that raised a flag, or switch it off, and ask again."""
    return _reviewed(await flag_fixes.change_rule(console, actor, flag_id, body.text))


@router.get(
    "/{flag_id}/excerpt",
    response_class=Response,
    responses={200: {"content": {"audio/wav": {}}}},
)
async def excerpt(console: ConsoleOf, actor: Listener, flag_id: Id) -> Response:
    """The sound of a flag's place with 5 s on both sides, as WAV; who listens is logged."""
    sound = await flag_fixes.excerpt(console, actor, flag_id)
    return Response(
        sound.wav,
        media_type="audio/wav",
        headers={
            "Cache-Control": "private, no-store",
            "X-Content-Type-Options": "nosniff",
            "X-Begin-Ms": str(sound.begin_ms),
            "X-End-Ms": str(sound.end_ms),
        },
    )


def _reviewed(one: ReviewedFlag) -> Reviewed:
    return Reviewed.model_validate(one)
