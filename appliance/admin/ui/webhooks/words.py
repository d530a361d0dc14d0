"""Events, what is included, and how a webhook is doing, for people."""

from __future__ import annotations

from appliance.admin.services.webhooks import ShownWebhook
from appliance.admin.ui.show import Tone
from appliance.admin.ui.words import Translate
from appliance.outreach.webhooks.events import Event, Include


def event_words(t: Translate) -> dict[str, str]:
    return {
        Event.CALL_ENDED: t("a call has ended"),
        Event.CALL_FLAGGED: t("an answer was flagged"),
        Event.CALL_TRANSFERRED: t("a person has the call"),
    }


def include_words(t: Translate) -> dict[str, str]:
    return {
        Include.CALLER: t("the caller's number"),
        Include.TRANSCRIPT: t("what was said, as it is kept"),
    }


def state_words(t: Translate) -> dict[str, tuple[str, Tone]]:
    """Of a delivery."""
    return {
        "waiting": (t("waiting"), "warn"),
        "delivered": (t("delivered"), "good"),
        "dead": (t("given up"), "bad"),
    }


def health_of(webhook: ShownWebhook, t: Translate) -> tuple[str, Tone]:
    """In a word."""
    health = webhook.health
    if not webhook.enabled:
        return t("off"), "" if not webhook.why else "bad"
    if health.failing:
        return t("failing"), "bad"
    if health.dead:
        return t("has deliveries that were given up"), "warn"
    if health.last_delivered_at is None:
        return t("nothing told yet"), ""
    return t("well"), "good"
