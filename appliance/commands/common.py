"""What every file of commands needs: the settings, the log, options that many have."""

from __future__ import annotations

import os
from typing import Any

import click

from appliance import readiness
from appliance.errors import UserError
from appliance.settings import Settings
from appliance.telemetry import configure

JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object.")
BY = click.option("--by", default="", help="Your name, instead of the account's.")
AGENT = click.option("--agent", default="", help="Only of this agent.")


def start(ctx: click.Context, process: str) -> Settings:
    """The settings, for a command that is a process of that name: it logs as they say."""
    settings: Settings = ctx.obj()
    configure(process, level=settings.log.level, json=settings.log.json_lines)
    readiness.take()  # before there is any child
    return settings


def settings_of(ctx: click.Context) -> Settings:
    """The settings, for a command that answers a person: the log tells them of trouble only."""
    settings: Settings = ctx.obj()
    configure("ivr", level="WARNING", json=settings.log.json_lines)
    return settings


def tell_children(ctx: click.Context) -> None:
    """Have the processes that this one starts read the same settings file."""
    if (file := ctx.find_root().params.get("file")) is not None:
        os.environ["IVR_SETTINGS"] = str(file.absolute())


def note(settings: Settings, action: str, subject: str, **detail: Any) -> None:
    """Into the audit log, before it is done. Raises UserError: it cannot be written down."""
    from appliance.access.commandline import Act, noting

    noting(settings, Act(action, subject, detail))


def note_or_say(settings: Settings, action: str, subject: str, **detail: Any) -> None:
    """As :func:`note`, of what a box without its database must be able to do, too.

    Root is the owner of the data meanwhile: only as such does Postgres let it in (peer), and no secret
    that is made by the way is one that its owner cannot read.
    """
    from appliance.access.commandline import Act, noting
    from appliance.ops.backup.owner import as_owner_of

    try:
        with as_owner_of(settings.data_dir):
            noting(settings, Act(action, subject, detail))
    except (UserError, OSError) as e:
        click.echo(f"! Not in the audit log: {e}", err=True)
