"""``ivr models``: the checkpoints that the engine servers load."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from appliance.commands.common import JSON, settings_of
from appliance.errors import UserError


@click.group()
def models() -> None:
    """Fetch, convert, check and plan the models that engine servers load.

    Example: ivr models list
    """


@models.command("list")
@click.option("--here", is_flag=True, help="Only those that are here.")
@JSON
@click.pass_context
def models_list(ctx: click.Context, here: bool, as_json: bool) -> None:
    """List the models that are here, and those that could be.

    Example: ivr models list --here
    """
    from appliance.ops import models as command

    command.print_models(settings_of(ctx), here_only=here, as_json=as_json)


@models.command("pull")
@click.argument("names", nargs=-1, required=True)
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path),
    metavar="FOLDER|ARCHIVE",
    help="What was brought here, instead of the internet.",
)
@click.option("--again", is_flag=True, help="Even if it is here.")
@JSON
@click.pass_context
def models_pull(
    ctx: click.Context, names: tuple[str, ...], source: Path | None, again: bool, as_json: bool
) -> None:
    """Fetch the models NAMES; say it again after a break, and it goes on there.

    HF_ENDPOINT names another hub, HF_TOKEN an account of it.

    Example: ivr models pull indicwhisper-hi indic-tts-hi
    """
    from appliance.ops import models_pull as command

    command.pull(settings_of(ctx), names, source=source, again=again, as_json=as_json)


@models.command("remove")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@JSON
@click.pass_context
def models_remove(ctx: click.Context, name: str, yes: bool, as_json: bool) -> None:
    """Delete the model NAME from this machine; not one that the settings name.

    Example: ivr models remove indicwhisper-hi
    """
    from appliance.checkpoints.disk import in_words
    from appliance.ops import models as command

    settings = settings_of(ctx)
    here = command.removable(settings, name)
    if not yes:
        if not sys.stdin.isatty():
            raise UserError(f"Nobody is there to be asked. Say so: ivr models remove {name} --yes")
        click.confirm(f"Delete {name}, {in_words(here.size)}, in {here.folder}?", abort=True)
    command.remove(settings, name, as_json=as_json)
