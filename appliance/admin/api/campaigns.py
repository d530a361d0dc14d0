"""Campaigns over HTTP: made, filled, started, paused, cancelled; their results as CSV."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, File, Path, Query, UploadFile
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from appliance.access.actor import Actor
from appliance.access.roles import Permission
from appliance.admin.api.access import ConsoleOf, needs
from appliance.admin.csvtext import BYTE_ORDER_MARK, csv_lines
from appliance.admin.services import campaigns as service
from appliance.admin.services.campaigns import Added, Contacts, Preview, Summary, Whole
from appliance.errors import UserError
from appliance.outreach.campaigns import plan as limits
from appliance.outreach.campaigns.plan import Plan
from appliance.outreach.campaigns.states import Step
from appliance.store.campaigns import Campaign, CampaignState, ContactEntry, ContactState

router = APIRouter(prefix="/campaigns", tags=["Campaigns"])

Reader = Annotated[Actor, needs(Permission.CAMPAIGNS_READ)]
Editor = Annotated[Actor, needs(Permission.CAMPAIGNS_EDIT)]
CampaignId = Annotated[int, Path(ge=1, le=(1 << 63) - 1)]
Limit = Annotated[int, Query(ge=1, le=service.MOST_LISTED)]
Offset = Annotated[int, Query(ge=0, le=service.MOST_CONTACTS)]
States = Annotated[list[ContactState], Query(alias="state", max_length=6)]
Text = Annotated[str, Query(max_length=service.LONGEST_SEARCH_LETTERS)]
CSV_HEADING = ("number", "name", "state", "result", "tries", "last call", "call id")


class PlanBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=limits.LONGEST_NAME_LETTERS)
    agent_id: str = Field(min_length=1, max_length=64)
    hours: str = Field("", max_length=2000)
    """Such as `mon-fri 10:00-18:00`; empty: the site's calling hours, which hold in any case."""
    starts_at: AwareDatetime | None = None
    ends_at: AwareDatetime | None = None
    most_at_once: int = Field(5, ge=1, le=limits.MOST_AT_ONCE)
    capacity_share: float = Field(0.5, gt=0, le=1)
    """Of the places that callers leave free, so many it may use."""
    max_attempts: int = Field(3, ge=1, le=limits.MOST_ATTEMPTS)
    retry_after_s: int = Field(3600, ge=limits.RETRY_S[0], le=limits.RETRY_S[1])

    def plan(self) -> Plan:
        return Plan(**self.model_dump())


class Removed(BaseModel):
    contacts: int
    """Erased with it."""


@router.get("")
async def list_campaigns(
    console: ConsoleOf,
    actor: Reader,
    state: Annotated[list[CampaignState], Query(max_length=5)] = [],  # noqa: B006
    limit: Limit = 50,
    offset: Offset = 0,
) -> list[Summary]:
    """The campaigns that you may see: those that run, then the latest."""
    return await service.campaigns(console, actor, states=state, limit=limit, offset=offset)


@router.post("", status_code=201)
async def create_campaign(console: ConsoleOf, actor: Editor, body: PlanBody) -> Campaign:
    """Make a draft; add contacts, then start it."""
    return await service.create(console, actor, body.plan())


@router.post("/preview")
async def preview_contacts(
    console: ConsoleOf, actor: Editor, file: Annotated[UploadFile, File()]
) -> Preview:
    """What a list (CSV) holds and what is wrong with its rows; nothing is kept."""
    return await service.preview(console, actor, await read_upload(console, file))


@router.get("/{campaign_id}")
async def get_campaign(console: ConsoleOf, actor: Reader, campaign_id: CampaignId) -> Whole:
    """One campaign: its state, why it does not ring, contacts by state, results, expected end."""
    return await service.campaign(console, actor, campaign_id)


@router.put("/{campaign_id}")
async def change_campaign(
    console: ConsoleOf, actor: Editor, campaign_id: CampaignId, body: PlanBody
) -> Campaign:
    """Change a draft, or one that is paused."""
    return await service.change(console, actor, campaign_id, body.plan())


@router.delete("/{campaign_id}")
async def remove_campaign(console: ConsoleOf, actor: Editor, campaign_id: CampaignId) -> Removed:
    """Delete it and erase its list. Its calls stay in the log."""
    return Removed(contacts=await service.remove(console, actor, campaign_id))


@router.post("/{campaign_id}/start")
async def start_campaign(console: ConsoleOf, actor: Editor, campaign_id: CampaignId) -> Campaign:
    """Start it, or go on after a pause."""
    return await service.move(console, actor, campaign_id, Step.START)


@router.post("/{campaign_id}/pause")
async def pause_campaign(console: ConsoleOf, actor: Editor, campaign_id: CampaignId) -> Campaign:
    """Begin no new call; those that ring or talk go on."""
    return await service.move(console, actor, campaign_id, Step.PAUSE)


@router.post("/{campaign_id}/cancel")
async def cancel_campaign(console: ConsoleOf, actor: Editor, campaign_id: CampaignId) -> Campaign:
    """Call nobody any more, for good."""
    return await service.move(console, actor, campaign_id, Step.CANCEL)


@router.get("/{campaign_id}/contacts")
async def list_contacts(
    console: ConsoleOf,
    actor: Reader,
    campaign_id: CampaignId,
    state: States = [],  # noqa: B006
    text: Text = "",
    limit: Limit = 50,
    offset: Offset = 0,
) -> Contacts:
    """Its contacts in the order of the list; `text`: in number, name or result."""
    return await service.contacts(
        console, actor, campaign_id, states=state, text=text, limit=limit, offset=offset
    )


@router.post("/{campaign_id}/contacts")
async def add_contacts(
    console: ConsoleOf, actor: Editor, campaign_id: CampaignId, file: Annotated[UploadFile, File()]
) -> Added:
    """Add a list (CSV, 100 000 rows at most) to a draft, or to a campaign that is paused."""
    sheet = await service.read(console, actor, await read_upload(console, file))
    return await service.add_contacts(console, actor, campaign_id, sheet)


@router.delete("/{campaign_id}/contacts")
async def erase_contacts(console: ConsoleOf, actor: Editor, campaign_id: CampaignId) -> Removed:
    """Erase its whole list."""
    return Removed(contacts=await service.erase_contacts(console, actor, campaign_id))


@router.get(
    "/{campaign_id}/contacts.csv",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/csv": {}}}},
)
async def export_contacts(
    console: ConsoleOf,
    actor: Reader,
    campaign_id: CampaignId,
    state: States = [],  # noqa: B006
    text: Text = "",
) -> StreamingResponse:
    """Contacts and results as CSV, safe to open in a spreadsheet."""
    batches = await service.export(console, actor, campaign_id, states=state, text=text)
    return StreamingResponse(
        _lines(batches),
        media_type="text/csv; charset=utf-8",
        headers={"content-disposition": f'attachment; filename="campaign-{campaign_id}.csv"'},
    )


async def _lines(batches: AsyncIterator[list[ContactEntry]]) -> AsyncIterator[bytes]:
    names: list[str] | None = None
    async for batch in batches:
        if names is None:  # the other columns of the list, as the first thousand name them
            names = list(dict.fromkeys(name for entry in batch for name in entry.fields))
            yield BYTE_ORDER_MARK.encode() + csv_lines([(*CSV_HEADING, *names)])
        yield csv_lines(
            (
                e.number, e.name, str(e.state), e.result, e.attempts, _moment(e.called_at), e.call_id,
                *(e.fields.get(name, "") for name in names),
            )
            for e in batch
        )  # fmt: skip
    if names is None:
        yield BYTE_ORDER_MARK.encode() + csv_lines([CSV_HEADING])


def _moment(at: datetime | None) -> str:
    return "" if at is None else at.isoformat(timespec="seconds")


async def read_upload(console: ConsoleOf, file: UploadFile) -> bytes:
    """The whole of an upload. Raises UserError over ``admin.upload_mb``."""
    most = console.settings.admin.upload_mb << 20
    data = await file.read(most + 1)
    if len(data) > most:
        raise UserError(f"The file is over {console.settings.admin.upload_mb} MiB; cut it.")
    return data
