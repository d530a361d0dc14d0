"""``/tenants``: the operator's customers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from appliance.access.actor import Actor
from appliance.access.roles import Permission
from appliance.admin.api.access import ConsoleOf, needs
from appliance.admin.services import tenants

router = APIRouter(prefix="/tenants", tags=["tenants"])

Operator = Annotated[Actor, needs(Permission.TENANTS_EDIT)]
Id = Annotated[str, Path(min_length=1, max_length=40)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
MOST_ASSIGNED = 200


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewTenant(_Body):
    """A customer to be made."""

    id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
    name: Name


class NewName(_Body):
    """What people see."""

    name: Name


class Assignment(_Body):
    """What goes to a tenant together."""

    agents: Annotated[
        list[Annotated[str, Field(max_length=64)]], Field(max_length=MOST_ASSIGNED)
    ] = []
    bases: Annotated[
        list[Annotated[str, Field(max_length=200)]], Field(max_length=MOST_ASSIGNED)
    ] = []


class ShownTenant(BaseModel):
    """A customer, and how much is theirs."""

    model_config = ConfigDict(from_attributes=True)
    id: str
    name: str
    created_at: datetime
    users: int
    agents: int
    bases: int


@router.get("", summary="List tenants")
async def list_tenants(console: ConsoleOf, actor: Operator) -> list[ShownTenant]:
    """By id."""
    found = await tenants.list_tenants(console, actor)
    return [ShownTenant.model_validate(one) for one in found]


@router.post("", status_code=201, summary="Make a tenant")
async def create_tenant(console: ConsoleOf, actor: Operator, body: NewTenant) -> ShownTenant:
    """Its id stays; its name may change."""
    made = await tenants.create_tenant(console, actor, body.id, body.name)
    return ShownTenant.model_validate(made)


@router.put("/{tenant}", summary="Rename a tenant")
async def rename_tenant(
    console: ConsoleOf, actor: Operator, tenant: Id, body: NewName
) -> ShownTenant:
    """What people see."""
    renamed = await tenants.rename_tenant(console, actor, tenant, body.name)
    return ShownTenant.model_validate(renamed)


@router.post("/{tenant}/assign", summary="Give agents and knowledge bases to a tenant")
async def assign(console: ConsoleOf, actor: Operator, tenant: Id, body: Assignment) -> ShownTenant:
    """All of them or none: an agent goes with its base and with the agents of its language menu."""
    given = await tenants.assign(console, actor, tenant, body.agents, body.bases)
    return ShownTenant.model_validate(given)
