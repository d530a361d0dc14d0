"""``ivr campaign``: lists of people that an agent rings."""

from __future__ import annotations

import click

from appliance.commands.common import JSON, settings_of

_ID = click.argument("campaign_id", metavar="ID", type=click.IntRange(1, (1 << 63) - 1))


@click.group()
def campaign() -> None:
    """Look at campaigns, start, pause and cancel them; the console makes them.

    Example: ivr campaign list
    """


@campaign.command("list")
@click.option(
    "--state", "states", multiple=True,
    type=click.Choice(["draft", "running", "paused", "done", "cancelled"]),
    help="Only those; repeatable.",
)  # fmt: skip
@JSON
@click.pass_context
def campaign_list(ctx: click.Context, states: tuple[str, ...], as_json: bool) -> None:
    """List the campaigns: those that run first.

    Example: ivr campaign list --state running
    """
    from appliance.ops import campaigns as command

    command.print_campaigns(settings_of(ctx), list(states), as_json=as_json)


@campaign.command("show")
@_ID
@JSON
@click.pass_context
def campaign_show(ctx: click.Context, campaign_id: int, as_json: bool) -> None:
    """Show one campaign: its state, its contacts by state, how their calls ended.

    Example: ivr campaign show 12
    """
    from appliance.ops import campaigns as command

    command.print_campaign(settings_of(ctx), campaign_id, as_json=as_json)


@campaign.command("start")
@_ID
@JSON
@click.pass_context
def campaign_start(ctx: click.Context, campaign_id: int, as_json: bool) -> None:
    """Start a campaign, or let it go on after a pause.

    Example: ivr campaign start 12
    """
    _move(ctx, campaign_id, "start", as_json)


@campaign.command("pause")
@_ID
@JSON
@click.pass_context
def campaign_pause(ctx: click.Context, campaign_id: int, as_json: bool) -> None:
    """Begin no new call of a campaign; those that ring or talk go on.

    Example: ivr campaign pause 12
    """
    _move(ctx, campaign_id, "pause", as_json)


@campaign.command("cancel")
@_ID
@JSON
@click.pass_context
def campaign_cancel(ctx: click.Context, campaign_id: int, as_json: bool) -> None:
    """Call nobody of a campaign any more, for good.

    Example: ivr campaign cancel 12
    """
    _move(ctx, campaign_id, "cancel", as_json)


def _move(ctx: click.Context, campaign_id: int, what: str, as_json: bool) -> None:
    from appliance.ops import campaigns as command
    from appliance.outreach.campaigns.states import Step

    command.move(settings_of(ctx), campaign_id, Step(what), as_json=as_json)
