"""Whoever asks for something: every service of the console takes one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from appliance.access.roles import Permission, Role
from appliance.errors import UserError


class ForbiddenError(UserError):
    """They may not; HTTP 403."""


class NotFoundError(UserError):
    """There is no such thing, or none that they may know of; HTTP 404."""


@dataclass(frozen=True, slots=True)
class Actor:
    """A person or a program, and what it may do."""

    name: str
    """As the audit log writes it: a login, ``key NAME of LOGIN`` or ``command ACCOUNT``."""
    role: Role
    tenant: str | None
    """Only what belongs to this tenant is theirs to see; None: all tenants."""
    permissions: frozenset[Permission]
    """Of the role; of an API key, what its scopes leave of them."""
    via: Literal["session", "key", "command"] = "session"
    user_id: int | None = None
    session_id: str = ""
    address: str = ""
    """Where the request came from."""
    language: str = "en"

    def may(self, permission: Permission) -> bool:
        return permission in self.permissions

    def require(self, permission: Permission) -> None:
        """Raises ForbiddenError without ``permission``."""
        if permission not in self.permissions:
            raise ForbiddenError(
                f"Your role ({self.role}) does not allow this ({permission}). Ask an administrator."
            )

    def sees(self, tenant: str | None) -> bool:
        """Whether something of ``tenant`` is theirs to see."""
        return self.tenant is None or self.tenant == tenant
