"""``ivr extensions``: the operators' own telephones."""

from __future__ import annotations

import click

from appliance.commands.common import JSON, settings_of


@click.group(invoke_without_command=True)
@JSON
@click.pass_context
def extensions(ctx: click.Context, as_json: bool) -> None:
    """List the operators' own telephones.

    Example: ivr extensions
    """
    if ctx.invoked_subcommand is None:
        from appliance.ops import extensions as command

        command.print_extensions(settings_of(ctx), as_json=as_json)


@extensions.command("add")
@click.argument("extension")
@click.option("--name", default="", help="Whose it is.")
@JSON
@click.pass_context
def extensions_add(ctx: click.Context, extension: str, name: str, as_json: bool) -> None:
    """Add the telephone EXTENSION (2 to 6 digits), or give it a new password.

    The password is made here, shown once, and not kept.

    Example: ivr extensions add 1001 --name Reception
    """
    from appliance.ops import extensions as command

    command.add(settings_of(ctx), extension, name, as_json=as_json)


@extensions.command("remove")
@click.argument("extension")
@JSON
@click.pass_context
def extensions_remove(ctx: click.Context, extension: str, as_json: bool) -> None:
    """Remove the telephone EXTENSION.

    Example: ivr extensions remove 1001
    """
    from appliance.ops import extensions as command

    command.remove(settings_of(ctx), extension, as_json=as_json)
