"""``ivr postgres``, ``ivr redis``: the embedded servers, each by itself."""

from __future__ import annotations

import click

from appliance.commands.common import start
from appliance.errors import UserError


@click.command()
@click.pass_context
def postgres(ctx: click.Context) -> None:
    """Run the embedded Postgres in the foreground.

    For a unit of its own; `ivr up` runs it by itself. Its port is database.embedded_port.

    Example: ivr postgres
    """
    from appliance.ops.keeping import alone as process
    from appliance.ops.processes import postgres_program

    settings = start(ctx, "postgres")
    if settings.database.url:
        raise UserError(
            "database.url names a server: there is none to run here. Empty it to use the embedded one."
        )
    process.run(postgres_program(settings))


@click.command()
@click.pass_context
def redis(ctx: click.Context) -> None:
    """Run the embedded Redis in the foreground.

    For a unit of its own; `ivr up` runs it by itself. Its port is redis.embedded_port.

    Example: ivr redis
    """
    from appliance.ops.keeping import alone as process
    from appliance.ops.processes import redis_program

    settings = start(ctx, "redis")
    if settings.redis.url:
        raise UserError(
            "redis.url names a server: there is none to run here. Empty it to use the embedded one."
        )
    process.run(redis_program(settings))
