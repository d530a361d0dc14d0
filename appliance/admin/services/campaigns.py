"""Campaigns: lists of people that an agent rings, within the actor's tenant."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from appliance.access import audit
from appliance.access.actor import Actor, NotFoundError
from appliance.access.roles import Permission
from appliance.admin.console import Console
from appliance.admin.services.theirs import LARGEST_ID, agent_tenant
from appliance.errors import UserError
from appliance.outreach.campaigns.contacts import Contact, Problem, Sheet, read_contacts
from appliance.outreach.campaigns.loading import Loaded, load_contacts
from appliance.outreach.campaigns.plan import Plan, checked
from appliance.outreach.campaigns.progress import LOOK_BACK, Progress, progress
from appliance.outreach.campaigns.states import CHANGEABLE, Step
from appliance.outreach.campaigns.steps import step
from appliance.outreach.campaigns.window import Window, window_of
from appliance.settings import Settings
from appliance.store import campaigns as store
from appliance.store.campaigns import Campaign, CampaignState, ContactEntry, ContactState
from appliance.store.donotcall import on_do_not_call

MOST_LISTED = 200
LONGEST_SEARCH_LETTERS = 100
MOST_CONTACTS = 500_000
"""Of one campaign."""
PREVIEW_ROWS = 10
EXPORT_BATCH = 1000
NO_CAMPAIGN = "There is no such campaign."


@dataclass(frozen=True, slots=True)
class Summary:
    """A campaign in the list."""

    campaign: Campaign
    counts: Mapping[ContactState, int]
    total: int


@dataclass(frozen=True, slots=True)
class Whole:
    """A campaign on its page."""

    campaign: Campaign
    counts: Mapping[ContactState, int]
    total: int
    results: tuple[tuple[str, int], ...]
    """How the last calls to its contacts ended, and how many each."""
    progress: Progress
    rings_now: bool
    """Whether its hours hold now."""
    next_opening: datetime | None


@dataclass(frozen=True, slots=True)
class Preview:
    """A list before it is added."""

    rows: int
    good: int
    problems: tuple[Problem, ...]
    problem_count: int
    do_not_call: tuple[str, ...]
    """Numbers on the do-not-call list: the first thousand."""
    do_not_call_count: int
    first: tuple[Contact, ...]
    number_column: str
    name_column: str
    other_columns: tuple[str, ...]
    encoding: str


@dataclass(frozen=True, slots=True)
class Added:
    """What became of a list."""

    loaded: Loaded
    problems: tuple[Problem, ...]
    problem_count: int


@dataclass(frozen=True, slots=True)
class Contacts:
    """One page of contacts."""

    contacts: tuple[ContactEntry, ...]
    total: int


async def campaigns(
    console: Console,
    actor: Actor,
    *,
    states: Sequence[CampaignState] = (),
    limit: int = 50,
    offset: int = 0,
) -> list[Summary]:
    """Theirs: those that run, then the latest."""
    actor.require(Permission.CAMPAIGNS_READ)
    async with console.engine.connect() as connection:
        found = await store.list_campaigns(
            connection, actor.tenant, states=states,
            limit=min(max(limit, 1), MOST_LISTED), offset=max(offset, 0),
        )  # fmt: skip
        counts = await store.count_by_state(connection, [one.id for one in found])
    return [Summary(one, counts[one.id], sum(counts[one.id].values())) for one in found]


async def campaign(console: Console, actor: Actor, id_: int) -> Whole:
    """One of theirs. Raises NotFoundError."""
    actor.require(Permission.CAMPAIGNS_READ)
    now = datetime.now(UTC)
    async with console.engine.connect() as connection:
        found = await _theirs(connection, actor, id_)
        counts = (await store.count_by_state(connection, [id_]))[id_]
        results = await store.count_results(connection, id_)
        since = max(now - LOOK_BACK, found.running_since or now - LOOK_BACK)
        ended, first = await store.called_since(connection, id_, since)
    left = counts.get(ContactState.WAITING, 0) + counts.get(ContactState.QUEUED, 0)
    window = _window(console.settings, found)
    going = (
        progress(ended, first, left, window, now)
        if window is not None and found.state is CampaignState.RUNNING
        else Progress(None, None)
    )
    return Whole(
        found, counts, sum(counts.values()), tuple(results), going,
        window is not None and window.open_until(now) is not None,
        None if window is None else window.next_opening(now),
    )  # fmt: skip


async def create(console: Console, actor: Actor, plan: Plan) -> Campaign:
    """A draft, with nobody on its list yet. Raises UserError, NotFoundError: no such agent."""
    actor.require(Permission.CAMPAIGNS_EDIT)
    tenant = await agent_tenant(console, actor, plan.agent_id)
    values = checked(console.settings.switch, plan)
    async with console.engine.begin() as connection:
        id_ = await store.create_campaign(connection, {**values, "created_by": actor.name})
        made = await _theirs(connection, actor, id_)
        await audit.append(connection, actor, "campaign.create", str(id_), values, tenant)
    return made


async def change(console: Console, actor: Actor, id_: int, plan: Plan) -> Campaign:
    """Change a draft, or one that is paused. Raises UserError, NotFoundError."""
    actor.require(Permission.CAMPAIGNS_EDIT)
    tenant = await agent_tenant(console, actor, plan.agent_id)
    values = checked(console.settings.switch, plan)
    async with console.engine.begin() as connection:
        before = await _changeable(connection, actor, id_)
        if before.tenant != tenant:
            raise UserError("A campaign stays with its tenant: choose one of that tenant's agents.")
        await store.change_campaign(connection, id_, values)
        detail = {n: v for n, v in values.items() if getattr(before, n) != v}
        await audit.append(connection, actor, "campaign.change", str(id_), detail, tenant)
        return await _theirs(connection, actor, id_)


async def move(console: Console, actor: Actor, id_: int, what: Step) -> Campaign:
    """Start, pause or cancel. Raises UserError where its state does not allow it, NotFoundError."""
    actor.require(Permission.CAMPAIGNS_EDIT)
    if what is Step.FINISH:
        raise UserError("A campaign finishes by itself, when nobody is left to call.")
    async with console.engine.begin() as connection:
        found = await _theirs(connection, actor, id_, lock=True)
        why = f"Paused by {actor.name}." if what is Step.PAUSE else ""
        await step(connection, console.settings, found, what, why)
        await audit.append(connection, actor, f"campaign.{what}", str(id_), {}, found.tenant)
        return await _theirs(connection, actor, id_)


async def remove(console: Console, actor: Actor, id_: int) -> int:
    """Delete a campaign and erase its list; how many contacts that were. Calls that were made stay in
    the log. Raises UserError while it runs, NotFoundError."""
    actor.require(Permission.CAMPAIGNS_EDIT)
    async with console.engine.begin() as connection:
        found = await _at_rest(connection, actor, id_)
        count = await store.remove_campaign(connection, id_)
        detail = {"name": found.name, "contacts": count}
        await audit.append(connection, actor, "campaign.remove", str(id_), detail, found.tenant)
    return count


# --- the list -------------------------------------------------------------------------------------


async def preview(console: Console, actor: Actor, data: bytes) -> Preview:
    """What a list holds, before anything is kept. Raises UserError."""
    actor.require(Permission.CAMPAIGNS_EDIT)
    return await preview_of(console, actor, await read(console, actor, data))


async def read(console: Console, actor: Actor, data: bytes) -> Sheet:
    """The rows of a list (CSV). Raises UserError."""
    actor.require(Permission.CAMPAIGNS_EDIT)
    most = console.settings.admin.upload_mb
    if len(data) > most << 20:
        raise UserError(f"The list is over {most} MiB. Cut it into several.")
    return await asyncio.to_thread(read_contacts, data, console.settings.switch.country)


async def preview_of(console: Console, actor: Actor, sheet: Sheet) -> Preview:
    """The beginning of a list that was read, and who on it is not to be called."""
    actor.require(Permission.CAMPAIGNS_EDIT)
    async with console.engine.connect() as connection:
        barred = await on_do_not_call(connection, [c.number for c in sheet.contacts])
    return Preview(
        sheet.rows, len(sheet.contacts), sheet.problems, sheet.problem_count,
        tuple(sorted(barred)[:1000]), len(barred), sheet.contacts[:PREVIEW_ROWS],
        sheet.number_column, sheet.name_column, sheet.other_columns, sheet.encoding,
    )  # fmt: skip


async def add_contacts(console: Console, actor: Actor, id_: int, sheet: Sheet) -> Added:
    """Add a list that was read to a draft, or to a campaign that is paused. Rows with a problem are
    left out. Raises UserError, NotFoundError."""
    actor.require(Permission.CAMPAIGNS_EDIT)
    if not sheet.contacts:
        raise UserError("No row of the list can be called; nothing was added.")
    async with console.engine.begin() as connection:
        found = await _changeable(connection, actor, id_)
        there = await store.count_contacts(connection, id_)
        if there + len(sheet.contacts) > MOST_CONTACTS:
            raise UserError(
                f"A campaign has {MOST_CONTACTS:,} contacts at most. Make another campaign."
            )
        loaded = await load_contacts(connection, id_, sheet.contacts)
        detail = asdict(loaded) | {"rows": sheet.rows, "problems": sheet.problem_count}
        await audit.append(
            connection, actor, "campaign.contacts_add", str(id_), detail, found.tenant
        )
    return Added(loaded, sheet.problems, sheet.problem_count)


async def erase_contacts(console: Console, actor: Actor, id_: int) -> int:
    """Erase the whole list of a campaign that is at rest; how many. Raises as :func:`remove`."""
    actor.require(Permission.CAMPAIGNS_EDIT)
    async with console.engine.begin() as connection:
        found = await _at_rest(connection, actor, id_)
        count = await store.remove_contacts(connection, id_)
        detail = {"contacts": count}
        await audit.append(
            connection, actor, "campaign.contacts_erase", str(id_), detail, found.tenant
        )
    return count


async def contacts(
    console: Console,
    actor: Actor,
    id_: int,
    *,
    states: Sequence[ContactState] = (),
    text: str = "",
    limit: int = 50,
    offset: int = 0,
) -> Contacts:
    """A page of its contacts, in the order of the list; ``text``: in number, name or result."""
    actor.require(Permission.CAMPAIGNS_READ)
    text = text.replace("\0", "").strip()[:LONGEST_SEARCH_LETTERS]
    async with console.engine.connect() as connection:
        await _theirs(connection, actor, id_)
        found = await store.list_contacts(
            connection, id_, states=states, text=text,
            limit=min(max(limit, 1), MOST_LISTED), offset=min(max(offset, 0), MOST_CONTACTS),
        )  # fmt: skip
        total = await store.count_contacts(connection, id_, states=states, text=text)
    return Contacts(tuple(found), total)


async def export(
    console: Console,
    actor: Actor,
    id_: int,
    *,
    states: Sequence[ContactState] = (),
    text: str = "",
) -> AsyncIterator[list[ContactEntry]]:
    """All contacts that match, in batches; noted in the audit log, for numbers leave the box. Raises
    NotFoundError before the first batch."""
    actor.require(Permission.CAMPAIGNS_READ)
    async with console.engine.begin() as connection:
        found = await _theirs(connection, actor, id_)
        detail = {"states": [str(state) for state in states]}
        await audit.append(connection, actor, "campaign.export", str(id_), detail, found.tenant)
    return _batches(console, id_, states, text.replace("\0", "")[:LONGEST_SEARCH_LETTERS])


async def _batches(
    console: Console, id_: int, states: Sequence[ContactState], text: str
) -> AsyncIterator[list[ContactEntry]]:
    after = 0
    while True:
        async with console.engine.connect() as connection:
            batch = await store.list_contacts(
                connection, id_, states=states, text=text, after_id=after, limit=EXPORT_BATCH
            )
        if not batch:
            return
        yield batch
        after = batch[-1].id


# --- who may, and what is right -------------------------------------------------------------------


async def _theirs(
    connection: AsyncConnection, actor: Actor, id_: int, *, lock: bool = False
) -> Campaign:
    found = None
    if 0 < id_ <= LARGEST_ID:
        found = await store.read_campaign(connection, id_, actor.tenant, lock=lock)
    if found is None:
        raise NotFoundError(NO_CAMPAIGN)
    return found


async def _changeable(connection: AsyncConnection, actor: Actor, id_: int) -> Campaign:
    found = await _theirs(connection, actor, id_, lock=True)
    if found.state not in CHANGEABLE:
        hint = "Pause it first." if found.state is CampaignState.RUNNING else "Make a new one."
        raise UserError(f"A campaign that is {found.state} cannot be changed. {hint}")
    return found


async def _at_rest(connection: AsyncConnection, actor: Actor, id_: int) -> Campaign:
    found = await _theirs(connection, actor, id_, lock=True)
    if found.state is CampaignState.RUNNING:
        raise UserError("It runs. Cancel it first.")
    counts = (await store.count_by_state(connection, [id_]))[id_]
    if counts.get(ContactState.QUEUED):
        raise UserError("Some of its calls ring or talk still. Try again when they are over.")
    return found


def _window(settings: Settings, found: Campaign) -> Window | None:
    """None: its hours cannot be read any more."""
    switch = settings.switch
    try:
        return window_of(
            found.hours, switch.calling_hours, switch.timezone, found.starts_at, found.ends_at
        )
    except UserError:
        return None
