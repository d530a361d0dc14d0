"""``ivr retention`` and ``ivr erase``: how long what is kept of calls, and how it goes."""

from __future__ import annotations

import click

from appliance.commands.common import JSON, settings_of


@click.group()
def retention() -> None:
    """How long recordings, words and rows of calls are kept.

    Example: ivr retention show
    """


@retention.command("show")
@click.option(
    "--limit", type=click.IntRange(0, 1000), default=10, show_default=True, help="Past erasures."
)
@JSON
@click.pass_context
def retention_show(ctx: click.Context, limit: int, as_json: bool) -> None:
    """Show for how many days each agent keeps what, and what the last runs erased.

    Example: ivr retention show --limit 30
    """
    from appliance.ops import privacy as command

    command.print_retention(settings_of(ctx), limit, as_json=as_json)


@retention.command("run")
@click.option("--dry-run", is_flag=True, help="Only count what would be erased.")
@JSON
@click.pass_context
def retention_run(ctx: click.Context, dry_run: bool, as_json: bool) -> None:
    """Erase now what is too old, and look again. `ivr jobs` does so every night.

    Ends with status 1 when something is left.

    Example: ivr retention run --dry-run
    """
    from appliance.ops import privacy as command

    ctx.exit(command.run_retention(settings_of(ctx), dry_run=dry_run, as_json=as_json))


@click.group()
def erase() -> None:
    """Erase what is kept of somebody.

    Example: ivr erase caller +919876543210
    """


@erase.command("caller")
@click.argument("number")
@click.option("--by", "asked_by", default="", help="Who asked for it; kept with the proof.")
@click.option("--yes", is_flag=True, help="Do not ask whether that is meant.")
@JSON
@click.pass_context
def erase_caller(ctx: click.Context, number: str, asked_by: str, yes: bool, as_json: bool) -> None:
    """Erase every call from or to NUMBER: recordings, words, rows, calls still to be made.

    Its do-not-call entry stays. Ends with status 1 when something is left.

    Example: ivr erase caller +919876543210 --by "letter of 3 May" --yes
    """
    from appliance.ops import privacy as command

    if not yes and not as_json:
        click.confirm(f"Erase everything that is kept of {number}?", abort=True)
    ctx.exit(command.erase_caller(settings_of(ctx), number, asked_by, as_json=as_json))
