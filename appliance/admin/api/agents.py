"""Agents over HTTP: the list, versions, the draft with its revision as ETag, publish and roll back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from appliance.access.actor import Actor
from appliance.access.roles import Permission
from appliance.admin.agents.diff import Change
from appliance.admin.api.access import ConsoleOf, needs
from appliance.admin.services import agents as service
from appliance.admin.services import choices, drafts
from appliance.admin.services.agents import LARGEST_VERSION, Published
from appliance.admin.services.choices import Choices
from appliance.admin.services.drafts import Edited, Outcome
from appliance.store.agent_views import AgentSummary, Version
from appliance.store.drafts import DraftConflictError

router = APIRouter(prefix="/agents", tags=["Agents"])

Reader = Annotated[Actor, needs(Permission.AGENTS_READ)]
Editor = Annotated[Actor, needs(Permission.AGENTS_EDIT)]
Publisher = Annotated[Actor, needs(Permission.AGENTS_PUBLISH)]
AgentId = Annotated[str, Path(max_length=64)]
Limit = Annotated[int, Query(ge=1, le=service.MOST_LISTED)]
Offset = Annotated[int, Query(ge=0, le=1_000_000)]
State = Annotated[str, Query(pattern=r"^(draft|[0-9]{1,9})$")]
IfMatch = Annotated[str, Header(max_length=40)]

LARGEST_REVISION = (1 << 31) - 1
_REVISION = re.compile(r'"?(\d{1,10})"?', re.ASCII)


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class NewAgent(Body):
    id: str = Field(max_length=64)
    name: str = Field(max_length=service.LONGEST_NAME_LETTERS)
    language: str = Field("en", max_length=20, pattern=r"^[A-Za-z0-9-]+$")
    copy_of: str = Field("", max_length=64)
    """Id of the agent that it begins as."""
    tenant: str = Field("", max_length=64)


class Fields(Body):
    fields: dict[str, Any]
    """Of an agent, as in its file; those left out get their defaults."""


class Publication(Body):
    revision: int = Field(ge=0, le=LARGEST_REVISION)
    """Of the draft, as it was read."""
    note: str = Field("", max_length=drafts.LONGEST_NOTE_LETTERS)


class Rollback(Body):
    version: int = Field(ge=1, le=LARGEST_VERSION)
    note: str = Field("", max_length=drafts.LONGEST_NOTE_LETTERS)


class Assignment(Body):
    tenant: str = Field(min_length=1, max_length=64)


class ProblemOut(BaseModel):
    severity: Literal["error", "warning"]
    field: str
    message: str


class Checked(BaseModel):
    problems: list[ProblemOut]


@router.get("")
async def list_agents(
    console: ConsoleOf,
    actor: Reader,
    search: Annotated[str, Query(max_length=100)] = "",
    limit: Limit = 50,
    offset: Offset = 0,
) -> list[AgentSummary]:
    """The agents that you may see, by name."""
    return await service.agents(console, actor, search=search, limit=limit, offset=offset)


@router.post("", status_code=201)
async def create_agent(console: ConsoleOf, actor: Editor, body: NewAgent) -> AgentSummary:
    """Make an agent with a draft: nobody is answered by it until it is published."""
    return await service.create(
        console, actor, body.id, body.name,
        language=body.language, copy_of=body.copy_of, tenant=body.tenant,
    )  # fmt: skip


@router.get("/{agent_id}")
async def get_agent(console: ConsoleOf, actor: Reader, agent_id: AgentId) -> AgentSummary:
    """One agent: its latest version, the state of its draft, its numbers."""
    return await service.agent(console, actor, agent_id)


@router.put("/{agent_id}/tenant")
async def assign_agent(
    console: ConsoleOf,
    actor: Annotated[Actor, needs(Permission.TENANTS_EDIT)],
    agent_id: AgentId,
    body: Assignment,
) -> AgentSummary:
    """Give an agent to another tenant, with its calls, numbers and knowledge base."""
    return await service.assign(console, actor, agent_id, body.tenant)


@router.get("/{agent_id}/choices")
async def get_choices(console: ConsoleOf, actor: Reader, agent_id: AgentId) -> Choices:
    """Voices, recognisers, models, knowledge bases, agents and queues that its fields may name."""
    return await choices.choices(console, actor, agent_id)


@router.get("/{agent_id}/versions")
async def list_versions(
    console: ConsoleOf, actor: Reader, agent_id: AgentId, limit: Limit = 50, offset: Offset = 0
) -> list[Version]:
    """What was published, the newest first."""
    return await service.versions(console, actor, agent_id, limit=limit, offset=offset)


@router.get("/{agent_id}/versions/{version}")
async def get_version(
    console: ConsoleOf,
    actor: Reader,
    agent_id: AgentId,
    version: Annotated[int, Path(ge=1, le=LARGEST_VERSION)],
) -> Published:
    """One version with all its fields."""
    return await service.version(console, actor, agent_id, version)


@router.get("/{agent_id}/diff")
async def get_diff(
    console: ConsoleOf,
    actor: Reader,
    agent_id: AgentId,
    before: Annotated[State, Query(alias="from")],
    after: Annotated[State, Query(alias="to")] = "draft",
) -> list[Change]:
    """What leads from one state to another; each a version (0: nothing) or `draft`."""
    return list(await drafts.changes(console, actor, agent_id, _state(before), _state(after)))


@router.get("/{agent_id}/draft")
async def get_draft(
    console: ConsoleOf, actor: Reader, agent_id: AgentId, response: Response
) -> Edited:
    """The draft, or, with revision 0, what a new one would begin from. ETag is the revision."""
    found = await drafts.read(console, actor, agent_id)
    response.headers["ETag"] = f'"{found.revision}"'
    return found


@router.put("/{agent_id}/draft", responses={412: {}, 428: {}})
async def put_draft(
    console: ConsoleOf,
    actor: Editor,
    agent_id: AgentId,
    body: Fields,
    response: Response,
    if_match: IfMatch = "",
) -> Edited:
    """Save the whole draft. `If-Match` is the ETag that you read (`"0"`: there was none); when
    somebody was quicker the answer is 412 and nothing is saved."""
    try:
        saved = await drafts.save(console, actor, agent_id, body.fields, _revision(if_match))
    except DraftConflictError as e:
        raise HTTPException(412, str(e)) from e
    response.headers["ETag"] = f'"{saved.revision}"'
    return saved


@router.delete("/{agent_id}/draft", status_code=204, responses={412: {}, 428: {}})
async def delete_draft(
    console: ConsoleOf, actor: Editor, agent_id: AgentId, if_match: IfMatch = ""
) -> None:
    """Discard the draft."""
    try:
        await drafts.discard(console, actor, agent_id, _revision(if_match))
    except DraftConflictError as e:
        raise HTTPException(412, str(e)) from e


@router.post("/{agent_id}/draft/check")
async def check_draft(console: ConsoleOf, actor: Reader, agent_id: AgentId) -> Checked:
    """All that is wrong with the draft, by itself and on this site; errors keep it from being
    published."""
    found = await drafts.problems(console, actor, agent_id)
    return Checked(
        problems=[ProblemOut(severity=p.severity, field=p.field, message=p.sentence) for p in found]
    )


@router.post("/{agent_id}/publish", responses={400: {}, 412: {}})
async def publish(
    console: ConsoleOf, actor: Publisher, agent_id: AgentId, body: Publication
) -> Outcome:
    """Make the draft the next version; calls that begin from now on get it."""
    try:
        return await drafts.publish(console, actor, agent_id, body.revision, body.note)
    except DraftConflictError as e:
        raise HTTPException(412, str(e)) from e


@router.post("/{agent_id}/rollback")
async def roll_back(
    console: ConsoleOf, actor: Publisher, agent_id: AgentId, body: Rollback
) -> Outcome:
    """Publish an old version again, as the next one."""
    return await drafts.roll_back(console, actor, agent_id, body.version, body.note)


@router.get(
    "/{agent_id}/sample", response_class=Response, responses={200: {"content": {"audio/wav": {}}}}
)
async def get_sample(
    console: ConsoleOf,
    actor: Editor,
    agent_id: AgentId,
    text: Annotated[str, Query(min_length=1, max_length=choices.LONGEST_SAMPLE_LETTERS)],
    voice: Annotated[str, Query(max_length=100)] = "",
    language: Annotated[str, Query(max_length=20)] = "",
) -> Response:
    """A text as a caller of the draft hears it: a WAV of 8 kHz that went through G.711."""
    given: Mapping[str, str] = {"voice": voice, "language": language}
    changed = {name: value for name, value in given.items() if value}
    audio = await choices.sample(console, actor, agent_id, text, changed)
    return Response(audio, media_type="audio/wav", headers={"cache-control": "no-store"})


def _revision(if_match: str) -> int:
    if not if_match:
        raise HTTPException(
            428, 'Send If-Match with the ETag of the draft that you read ("0": none).'
        )
    found = _REVISION.fullmatch(if_match.strip())
    if found is None or int(found[1]) > LARGEST_REVISION:
        raise HTTPException(412, "If-Match is no ETag of a draft.")
    return int(found[1])


def _state(text: str) -> int | Literal["draft"]:
    return drafts.DRAFT if text == drafts.DRAFT else int(text)
