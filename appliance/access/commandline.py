"""Whoever types commands on the box, and what the audit log has of it.

The account that may read the box's secrets may do everything; so a command asks for no permission, and
writes down what was done: in the transaction of the change (:func:`changing`, :func:`also`), or before
what no transaction holds (:func:`noting`): what cannot be written down is not done.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from appliance.access import audit
from appliance.access.actor import Actor
from appliance.access.roles import PERMISSIONS, Role
from appliance.settings import Settings
from appliance.store.database import in_database
from appliance.store.tenancy import owner_of

LONGEST_ACCOUNT_LETTERS = 64
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Act:
    """A change made from the shell, as :func:`audit.append` writes it. Never a secret or a caller's
    words."""

    action: str
    subject: str
    detail: Mapping[str, Any] = field(default_factory=dict)
    tenant: str | None = None
    agent: str = ""
    """Whose tenant's matter it is, where ``tenant`` does not say so."""
    base: str = ""
    """The same, for a knowledge base."""


def actor_of_command() -> Actor:
    """The operator at the keyboard, as the audit log names them: ``shell:ACCOUNT``."""
    return Actor(
        name=f"shell:{_account()}",
        role=Role.OPERATOR,
        tenant=None,
        permissions=PERMISSIONS[Role.OPERATOR],
        via="command",
    )


def changing(
    settings: Settings, work: Callable[[Connection], T], act: Callable[[T], Act] | Act
) -> T:
    """``work`` and the row that tells of it, in one transaction. Raises as :func:`in_database`."""

    def both(connection: Connection) -> T:
        done = work(connection)
        write(connection, act if isinstance(act, Act) else act(done))
        return done

    return in_database(settings, both)


def noting(settings: Settings, act: Act) -> None:
    """Write the row now. Raises UserError where the database does not answer."""
    in_database(settings, lambda connection: write(connection, act))


async def note(engine: AsyncEngine, act: Act) -> None:
    """As :func:`noting`, with a database that is open."""
    async with engine.begin() as connection:
        await connection.run_sync(write, act)


def also(act: Act) -> Callable[[AsyncConnection], Awaitable[None]]:
    """What writes the row in somebody's own transaction, as the stores' ``also`` takes it."""

    async def written(connection: AsyncConnection) -> None:
        await connection.run_sync(write, act)

    return written


def write(connection: Connection, act: Act) -> None:
    """One row, in the caller's transaction; as :func:`audit.append`, the last thing in it."""
    tenant = act.tenant
    if tenant is None and (act.agent or act.base):
        tenant = owner_of(connection, agent_id=act.agent, base=act.base)
    audit.append_sync(connection, actor_of_command(), act.action, act.subject, act.detail, tenant)


def _account() -> str:
    """Who logged in, also where ``sudo`` and the wrapper of the box made them somebody else."""
    try:
        account = os.environ.get("SUDO_USER") or getpass.getuser()
    except (OSError, KeyError):  # an account without an entry: a container
        account = "unknown"
    return account[:LONGEST_ACCOUNT_LETTERS]
