"""``ivr backup``: make backups, prove them, bring one back."""

from __future__ import annotations

from pathlib import Path

import click

from appliance.commands.common import JSON, note_or_say, settings_of, tell_children

IDENTITY = click.option(
    "--identity", type=click.Path(path_type=Path), help="The file that `ivr backup key` made."
)
UNSEALED = click.option(
    "--unsealed", is_flag=True, help="Take a backup although nothing proves who made it."
)


@click.group()
def backup() -> None:
    """Encrypted backups of everything that this box knows.

    Example: ivr backup create
    """


@backup.command("key")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Write the identity there, not to the screen."
)
@click.option("--replace", is_flag=True, help="A new key; backups of the old one need the old.")
@JSON
@click.pass_context
def backup_key(ctx: click.Context, out: Path | None, replace: bool, as_json: bool) -> None:
    """Make the pair of keys: this box keeps the public one, you keep the identity elsewhere.

    Whoever has the identity reads every backup; without it nobody does, this box included.

    Example: ivr backup key --out /media/usb/ivr-backup-identity.txt
    """
    from appliance.ops.backup import command

    settings = settings_of(ctx)
    command.print_key(settings, out, replace=replace, as_json=as_json)
    note_or_say(settings, "backup.key", "new")


@backup.command("create")
@click.option("--scheduled", is_flag=True, help="Only if today has none yet: for timers.")
@click.option(
    "--drill/--no-drill",
    default=None,
    help="Restore it into a scratch database; else backup.drill.",
)
@click.option(
    "--with-models/--without-models",
    "models",
    default=None,
    help="Weights too; else backup.models.",
)
@JSON
@click.pass_context
def backup_create(
    ctx: click.Context, scheduled: bool, drill: bool | None, models: bool | None, as_json: bool
) -> None:
    """Make a backup now, while calls go on; older ones go as the settings say.

    Database, recordings, announcements, settings, secrets, and what models there are. Ends with
    status 1 when the drill found the dump wanting, 2 when there is no backup.

    Example: ivr backup create --drill
    """
    from appliance.ops.backup import command
    from appliance.ops.backup.create import Wanted

    tell_children(ctx)
    wanted = Wanted(scheduled, drill, models)
    ctx.exit(command.print_create(settings_of(ctx), wanted, as_json=as_json))


@backup.command("list")
@JSON
@click.pass_context
def backup_list(ctx: click.Context, as_json: bool) -> None:
    """List the backups, the oldest first.

    Example: ivr backup list
    """
    from appliance.ops.backup import command

    command.print_list(settings_of(ctx), as_json=as_json)


@backup.command("verify")
@click.argument("name", default="")
@IDENTITY
@UNSEALED
@JSON
@click.pass_context
def backup_verify(
    ctx: click.Context, name: str, identity: Path | None, unsealed: bool, as_json: bool
) -> None:
    """Prove a backup, the newest or NAME (or its folder).

    Without --identity: that everything lies there as it was written. With it: that all of it is read
    again, restored into a scratch database, migrated, and the same, table by table and file by
    file. Ends with status 1 when something is not.

    Example: ivr backup verify --identity /media/usb/ivr-backup-identity.txt
    """
    from appliance.ops.backup import command

    status = command.print_verify(
        settings_of(ctx), name, identity, unsealed=unsealed, as_json=as_json
    )
    ctx.exit(status)


@backup.command("restore")
@click.argument("name", default="")
@click.option(
    "--identity", type=click.Path(path_type=Path), required=True,
    help="The file that `ivr backup key` made.",
)  # fmt: skip
@click.option("--replace", is_flag=True, help="Take aside what is on this box first.")
@click.option("--keep-settings", is_flag=True, help="Leave the settings file of this box alone.")
@UNSEALED
@click.option("--yes", is_flag=True, help="Do not ask whether that is meant.")
@JSON
@click.pass_context
def backup_restore(
    ctx: click.Context,
    name: str,
    identity: Path,
    replace: bool,
    keep_settings: bool,
    unsealed: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Make this box what the newest backup, or NAME (or its folder), says.

    The appliance must be stopped. Nothing is touched before all of the backup is proven; a box that is
    not empty needs --replace. Killed, it is run again.

    Example: ivr backup restore /media/usb/ivr/20261121T023000Z --identity /media/usb/identity.txt
    """
    from appliance.ops.backup import command, keys
    from appliance.ops.backup.owner import as_owner_of
    from appliance.ops.backup.restore import Wanted
    from appliance.ops.backup.running import database_runs

    tell_children(ctx)
    if replace and not yes and not as_json:
        click.confirm(
            "Take aside what is on this box, and put the backup in its place?", abort=True
        )
    wanted = Wanted(
        name, keys.read_identity(identity), replace, unsealed, keep_settings=keep_settings
    )
    settings = settings_of(ctx)
    command.print_restore(settings, wanted, as_json=as_json)
    with as_owner_of(settings.data_dir), database_runs(settings):
        note_or_say(settings, "backup.restore", name or "newest")


@backup.command("prune")
@JSON
@click.pass_context
def backup_prune(ctx: click.Context, as_json: bool) -> None:
    """Remove what need not stay: backup.daily, weekly and monthly. `create` does so too.

    Example: ivr backup prune
    """
    from appliance.ops.backup import command

    command.print_prune(settings_of(ctx), as_json=as_json)
