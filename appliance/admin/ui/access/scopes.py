"""Permissions in words, in the order in which a person looks for them."""

from __future__ import annotations

from appliance.access.roles import Permission
from appliance.admin.ui.words import Translate

_P = Permission


def scope_words(t: Translate) -> list[tuple[str, dict[Permission, str]]]:
    """Groups of permissions, each with its words; every permission stands in one of them."""
    return [
        (
            t("Calls"),
            {
                _P.CALLS_READ: t("Read calls and transcripts"),
                _P.RECORDINGS_LISTEN: t("Listen to recordings"),
                _P.RECORDINGS_DOWNLOAD: t("Download recordings"),
                _P.CALLS_ERASE: t("Erase calls and callers"),
                _P.LIVE_READ: t("Watch calls in progress"),
                _P.LIVE_LISTEN: t("Listen to calls in progress"),
                _P.LIVE_ACT: t("Whisper, take over, hang up"),
                _P.ANALYTICS_READ: t("Read analytics"),
            },
        ),
        (
            t("Agents"),
            {
                _P.AGENTS_READ: t("Read agents"),
                _P.AGENTS_EDIT: t("Edit drafts"),
                _P.AGENTS_PUBLISH: t("Publish and roll back"),
                _P.AGENTS_TRY: t("Try agents"),
                _P.KNOWLEDGE_READ: t("Read knowledge"),
                _P.KNOWLEDGE_EDIT: t("Edit knowledge"),
            },
        ),
        (
            t("Review"),
            {
                _P.FLAGS_READ: t("Read flagged answers"),
                _P.FLAGS_DECIDE: t("Decide on flagged answers"),
                _P.RULES_EDIT: t("Edit rules"),
            },
        ),
        (
            t("Telephony"),
            {
                _P.NUMBERS_READ: t("Read numbers"),
                _P.NUMBERS_EDIT: t("Edit numbers"),
                _P.TRUNKS_READ: t("Read trunks"),
                _P.TRUNKS_EDIT: t("Edit trunks"),
                _P.CAMPAIGNS_READ: t("Read campaigns"),
                _P.CAMPAIGNS_EDIT: t("Run campaigns"),
            },
        ),
        (
            t("Administer"),
            {
                _P.SYSTEM_READ: t("Read the system's state"),
                _P.WEBHOOKS_EDIT: t("Edit webhooks"),
                _P.USERS_READ: t("Read users"),
                _P.USERS_EDIT: t("Edit users"),
                _P.KEYS_EDIT: t("Make API keys"),
                _P.AUDIT_READ: t("Read the audit log"),
                _P.TENANTS_EDIT: t("Edit tenants"),
            },
        ),
    ]
