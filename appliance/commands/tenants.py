"""``ivr tenants``: the operator's customers."""

from __future__ import annotations

import click

from appliance.commands.common import JSON, settings_of


@click.group()
def tenants() -> None:
    """The customers whose agents, calls and knowledge are kept apart.

    Example: ivr tenants list
    """


@tenants.command("list")
@JSON
@click.pass_context
def tenants_list(ctx: click.Context, as_json: bool) -> None:
    """List tenants, and how many people, agents and knowledge bases each has.

    Example: ivr tenants list
    """
    from appliance.ops import tenants as command

    command.print_tenants(settings_of(ctx), as_json=as_json)


@tenants.command("create")
@click.argument("tenant")
@click.option("--name", default="", help="As people see it; else the id.")
@JSON
@click.pass_context
def tenants_create(ctx: click.Context, tenant: str, name: str, as_json: bool) -> None:
    """Make the tenant TENANT (letters a-z, digits, dashes).

    Example: ivr tenants create north --name "North Bank"
    """
    from appliance.ops import tenants as command

    command.create(settings_of(ctx), tenant, name, as_json=as_json)


@tenants.command("rename")
@click.argument("tenant")
@click.argument("name")
@JSON
@click.pass_context
def tenants_rename(ctx: click.Context, tenant: str, name: str, as_json: bool) -> None:
    """Give TENANT another NAME; its id stays.

    Example: ivr tenants rename north "Northern Bank"
    """
    from appliance.ops import tenants as command

    command.rename(settings_of(ctx), tenant, name, as_json=as_json)


@tenants.command("assign")
@click.argument("tenant")
@click.option("--agent", "agents", multiple=True, help="Id of an agent; repeatable.")
@click.option("--base", "bases", multiple=True, help="Name of a knowledge base; repeatable.")
@JSON
@click.pass_context
def tenants_assign(
    ctx: click.Context,
    tenant: str,
    agents: tuple[str, ...],
    bases: tuple[str, ...],
    as_json: bool,
) -> None:
    """Give agents, with their numbers and calls, and knowledge bases to TENANT.

    What belongs together (an agent, its base, the agents of its language menu) goes together.

    Example: ivr tenants assign north --agent loans --base loans
    """
    from appliance.ops import tenants as command

    command.assign(settings_of(ctx), tenant, agents, bases, as_json=as_json)
