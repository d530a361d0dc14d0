"""Whoever types commands on the box: the account that may read its secrets may do everything."""

from __future__ import annotations

import getpass

from appliance.access.actor import Actor
from appliance.access.roles import PERMISSIONS, Role


def actor_of_command() -> Actor:
    """The operator at the keyboard, as the audit log names them: ``command ACCOUNT``."""
    return Actor(
        name=f"command {_account()}",
        role=Role.OPERATOR,
        tenant=None,
        permissions=PERMISSIONS[Role.OPERATOR],
        via="command",
    )


def _account() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # an account without an entry: a container
        return "unknown"
