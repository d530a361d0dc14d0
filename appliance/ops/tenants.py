"""``ivr tenants``: the operator's customers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from appliance.access import tenants
from appliance.access.commandline import actor_of_command
from appliance.errors import UserError
from appliance.ops.console import plain, print_json, print_table
from appliance.settings import Settings
from appliance.store.database import answer

TIMEOUT_S = 30.0


def print_tenants(settings: Settings, *, as_json: bool) -> None:
    """By id."""
    found = answer(settings, tenants.list_all, TIMEOUT_S)
    if as_json:
        print_json({"tenants": [dataclasses.asdict(one) for one in found]})
        return
    print_table(
        ("tenant", "name", "people", "agents", "bases"),
        [(one.id, one.name, one.users, one.agents, one.bases) for one in found],
        "No tenants.",
    )


def create(settings: Settings, tenant: str, name: str, *, as_json: bool) -> None:
    """Raises UserError."""
    actor = actor_of_command()
    answer(settings, lambda engine: tenants.create(engine, actor, tenant, name), TIMEOUT_S)
    _tell("created", tenant, f"Tenant {tenant} made.", as_json)


def rename(settings: Settings, tenant: str, name: str, *, as_json: bool) -> None:
    """Raises UserError."""
    actor = actor_of_command()
    answer(settings, lambda engine: tenants.rename(engine, actor, tenant, name), TIMEOUT_S)
    _tell("renamed", tenant, f"Tenant {tenant} is called {name} now.", as_json)


def assign(
    settings: Settings, tenant: str, agents: Sequence[str], bases: Sequence[str], *, as_json: bool
) -> None:
    """Raises UserError."""
    if not agents and not bases:
        raise UserError("Name what to give: --agent ID, --base NAME.")
    actor = actor_of_command()
    answer(settings, lambda engine: tenants.assign(engine, actor, tenant, agents, bases), TIMEOUT_S)
    given = ", ".join([f"agent {one}" for one in agents] + [f"base {one}" for one in bases])
    _tell("assigned", tenant, f"Tenant {tenant} has {given} now.", as_json)


def _tell(action: str, tenant: str, sentence: str, as_json: bool) -> None:
    if as_json:
        print_json({"action": action, "tenant": tenant})
    else:
        print(plain(sentence))
