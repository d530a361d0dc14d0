"""``ivr doctor`` from the console: the last round of checks, and a new one."""

from __future__ import annotations

from appliance.access.actor import Actor
from appliance.access.roles import Permission
from appliance.admin.console import Console
from appliance.admin.rounds import Round
from appliance.ops.doctor.box import Box


def last(console: Console, actor: Actor) -> Round | None:
    """The last round; None: nobody has asked yet."""
    actor.require(Permission.SYSTEM_READ)
    return console.rounds.last


async def check(console: Console, actor: Actor) -> Round:
    """Look at everything now; seconds."""
    actor.require(Permission.SYSTEM_READ)
    return await console.rounds.look(Box(console.settings, console.http, console.engine))
