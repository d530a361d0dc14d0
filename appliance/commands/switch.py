"""``ivr switch``: call control of FreeSWITCH, and FreeSWITCH's configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import orjson

from appliance.commands.common import JSON, start


@click.group(invoke_without_command=True)
@click.pass_context
def switch(ctx: click.Context) -> None:
    """Control FreeSWITCH's calls: trunks, numbers, transfers.

    Where FreeSWITCH is, who answers and how many calls are taken are settings: [switch].

    Example: ivr switch
    """
    if ctx.invoked_subcommand is None:
        from appliance.access import tolls
        from appliance.telephony import control as process

        process.run(start(ctx, "switch"), tolls.write)


@switch.command("configure")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--address", metavar="A", help="Own IP address for SIP and audio. Default: the machine's first."
)
@click.option(
    "--external-address", metavar="A", help="Behind NAT: the IP address that carriers see."
)
@click.option(
    "--sip-port", type=int, metavar="N", help="For trunks; TLS on the next. Default: 5060."
)
@click.option(
    "--phones-port", type=int, metavar="N", help="For telephones; TLS on the next. Default: 5070."
)
@click.option("--rtp-ports", metavar="A-B", help="For audio, two a leg. Default: 16384-32766.")
@click.option(
    "--domain", metavar="D", help="SIP domain of our own telephones. Default: ivr.internal."
)
@click.option(
    "--tls-certificates",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Offer TLS with its agent.pem; cafile.pem checks others.",
)
@click.option(
    "--failure-dial",
    metavar="DIAL",
    help="Dial string of the person who takes calls when all else fails.",
)
@click.option(
    "--sessions-per-second", type=int, metavar="N", help="Most new legs a second. Default: 50."
)
@click.option(
    "--group", metavar="NAME", help="Unix group that FreeSWITCH runs in, to read DIR/site."
)
@JSON
@click.pass_context
def switch_configure(
    ctx: click.Context, /, folder: Path, rtp_ports: str | None, as_json: bool, **given: Any
) -> None:
    """Write FreeSWITCH's configuration to DIR; again: repair or upgrade it.

    What an option does not say stays as it was. Trunks and telephones, in DIR/site, stay.

    \b
    Example: ivr switch configure /etc/freeswitch --external-address 203.0.113.7
    """
    from appliance.telephony import site

    ports = None if rtp_ports is None else site.port_range(rtp_ports)
    made = site.configure(ctx.obj(), folder, site.Options(rtp_ports=ports, **given))
    shown = made.summary()
    if as_json:
        click.echo(orjson.dumps(shown))
    else:
        click.echo("".join(f"{name:18} {value}\n" for name, value in shown.items()), nl=False)
        click.echo(f"Start it: freeswitch -nonat -conf {folder.resolve()}")
