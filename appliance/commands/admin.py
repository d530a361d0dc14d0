"""``ivr admin``: the console and the API."""

from __future__ import annotations

import click

from appliance.commands.common import start


@click.command()
@click.pass_context
def admin(ctx: click.Context) -> None:
    """Serve the console and its REST API over HTTPS.

    Where, with which certificate, and how long people stay logged in are settings: [admin]. The first
    person is made with `ivr users create`.

    Example: ivr admin
    """
    from appliance.admin import server as process

    process.run(start(ctx, "admin"))
