"""``ivr firewall``: what may reach this box from outside."""

from __future__ import annotations

import click
import orjson

from appliance.commands.common import JSON, note_or_say, settings_of


@click.group()
def firewall() -> None:
    """Say what may reach this box from outside: nftables.

    SIP from trunks and telephones, audio, the console, SSH; nothing else. Networks are settings:
    [firewall]; those of trunks are FreeSWITCH's own.

    Example: ivr firewall show
    """


@firewall.command()
@JSON
@click.pass_context
def show(ctx: click.Context, as_json: bool) -> None:
    """Print the rules, for `nft -f`; nothing is changed.

    Example: ivr firewall show >/tmp/ivr.nft
    """
    from appliance.ops import firewall as command

    planned = command.plan(settings_of(ctx))
    text = command.render(planned)
    click.echo(orjson.dumps(planned.summary()) if as_json else text, nl=as_json)


@firewall.command()
@click.option("--yes", is_flag=True, help="Keep the rules without asking.")
@click.option(
    "--wait",
    type=click.IntRange(5, 600),
    default=60,
    show_default=True,
    help="Seconds to say that you can still get in.",
)
@click.pass_context
def apply(ctx: click.Context, yes: bool, wait: int) -> None:
    """Put the rules in force, now and at every boot. For root.

    Unless told within --wait seconds that they shall stay, what was before is put back: nobody is
    locked out.

    Example: ivr firewall apply
    """
    from appliance.ops import firewall as rules
    from appliance.ops import firewallchange as command

    settings = settings_of(ctx)
    text = rules.render(rules.plan(settings))
    command.apply(text, wait_s=0 if yes else wait)
    note_or_say(settings, "firewall.apply", "nftables")


@firewall.command()
@click.pass_context
def jail(ctx: click.Context) -> None:
    """Print fail2ban's jails of SIP and the console; its filters come with the release.

    \b
    Example: ivr firewall jail >/etc/fail2ban/jail.d/ivr.conf
    """
    from appliance.ops import fail2ban as command

    click.echo(command.render(settings_of(ctx)), nl=False)


@firewall.command()
@click.pass_context
def remove(ctx: click.Context) -> None:
    """Take our rules away, for good. For root.

    Example: ivr firewall remove
    """
    from appliance.ops import firewall as command

    settings = settings_of(ctx)
    command.remove()
    note_or_say(settings, "firewall.remove", "nftables")
    click.echo("Our rules are gone: what listens is reached, unless rules of others forbid it.")
