"""Permissions, and which role has which: one table, read by console, API and tests."""

from __future__ import annotations

from enum import StrEnum


class Permission(StrEnum):
    """One thing that somebody may be allowed to do; also a scope of an API key."""

    CALLS_READ = "calls:read"
    """The log, transcripts, timings; CSV."""
    RECORDINGS_LISTEN = "recordings:listen"
    RECORDINGS_DOWNLOAD = "recordings:download"
    CALLS_ERASE = "calls:erase"
    LIVE_READ = "live:read"
    """Calls in progress, with their words."""
    LIVE_LISTEN = "live:listen"
    LIVE_ACT = "live:act"
    """Whisper, take over, transfer, hang up."""
    AGENTS_READ = "agents:read"
    AGENTS_EDIT = "agents:edit"
    """Drafts."""
    AGENTS_PUBLISH = "agents:publish"
    """Publish and roll back."""
    AGENTS_TRY = "agents:try"
    NUMBERS_READ = "numbers:read"
    NUMBERS_EDIT = "numbers:edit"
    TRUNKS_READ = "trunks:read"
    TRUNKS_EDIT = "trunks:edit"
    """Trunks, extensions, queues."""
    KNOWLEDGE_READ = "knowledge:read"
    KNOWLEDGE_EDIT = "knowledge:edit"
    FLAGS_READ = "flags:read"
    FLAGS_DECIDE = "flags:decide"
    """Confirm, dismiss, correct the answer, ask again; golden questions."""
    RULES_EDIT = "rules:edit"
    CAMPAIGNS_READ = "campaigns:read"
    CAMPAIGNS_EDIT = "campaigns:edit"
    """Campaigns and the do-not-call list."""
    ANALYTICS_READ = "analytics:read"
    SYSTEM_READ = "system:read"
    """Capacity, engine servers, alarms of the whole box."""
    USERS_READ = "users:read"
    USERS_EDIT = "users:edit"
    KEYS_EDIT = "keys:edit"
    """API keys of one's own."""
    WEBHOOKS_EDIT = "webhooks:edit"
    AUDIT_READ = "audit:read"
    TENANTS_EDIT = "tenants:edit"


class Role(StrEnum):
    """What a person is here for."""

    OPERATOR = "operator"
    """Runs the box: everything. Belongs to no tenant."""
    ADMIN = "admin"
    """Runs a call center on it."""
    REVIEWER = "reviewer"
    """Hears calls and corrects answers."""
    VIEWER = "viewer"
    """Looks."""


_P = Permission

_VIEWER = frozenset({
    _P.CALLS_READ, _P.LIVE_READ, _P.AGENTS_READ, _P.NUMBERS_READ, _P.KNOWLEDGE_READ,
    _P.FLAGS_READ, _P.CAMPAIGNS_READ, _P.ANALYTICS_READ,
})  # fmt: skip
_REVIEWER = _VIEWER | {
    _P.RECORDINGS_LISTEN, _P.FLAGS_DECIDE, _P.AGENTS_TRY, _P.KEYS_EDIT,
}  # fmt: skip
_ADMIN = _REVIEWER | {
    _P.RECORDINGS_DOWNLOAD, _P.CALLS_ERASE, _P.LIVE_LISTEN, _P.LIVE_ACT, _P.AGENTS_EDIT,
    _P.AGENTS_PUBLISH, _P.NUMBERS_EDIT, _P.KNOWLEDGE_EDIT, _P.RULES_EDIT, _P.CAMPAIGNS_EDIT,
    _P.USERS_READ, _P.USERS_EDIT, _P.WEBHOOKS_EDIT, _P.AUDIT_READ,
}  # fmt: skip

PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.OPERATOR: frozenset(Permission),
    Role.ADMIN: _ADMIN,
    Role.REVIEWER: _REVIEWER,
    Role.VIEWER: _VIEWER,
}
