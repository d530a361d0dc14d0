"""What a flag is, in a person's words."""

from __future__ import annotations

from appliance.admin.ui.show import Tone
from appliance.admin.ui.words import Translate

SEVERITY_TONES: dict[str, Tone] = {"high": "bad", "medium": "warn", "low": ""}
STATE_TONES: dict[str, Tone] = {"open": "accent", "confirmed": "bad", "dismissed": "good"}


def severity_words(t: Translate, severity: str) -> str:
    return {"high": t("high"), "medium": t("medium"), "low": t("low")}.get(severity, severity)


def state_words(t: Translate, state: str) -> str:
    return {
        "open": t("open"),
        "confirmed": t("confirmed"),
        "dismissed": t("dismissed"),
    }.get(state, state)


def found_by_words(t: Translate, found_by: str) -> str:
    return {
        "guard": t("the guard, in the call"),
        "moderation": t("the check after the call"),
        "golden": t("a golden question"),
        "person": t("a person"),
    }.get(found_by, found_by)


def action_words(t: Translate, action: str) -> str:
    return {
        "stopped": t("stopped: nobody heard it"),
        "late": t("heard before the verdict"),
        "flagged": t("heard"),
    }.get(action, action)


def side_words(t: Translate, side: str) -> str:
    return {"agent": t("said by the agent"), "caller": t("said by the caller")}.get(side, side)


def category_words(t: Translate, category: str) -> str:
    return {
        "grounding": t("not in the knowledge"),
        "personal": t("personal data"),
        "injection": t("orders to the model"),
        "abuse": t("abuse"),
        "slur": t("slur"),
        "threat": t("threat"),
        "self-harm": t("self-harm"),
        "complaint": t("complaint"),
        "promise": t("promise"),
        "advice": t("advice"),
        "words": t("words of a rule"),
        "wrong": t("wrong answer"),
        "changed": t("changed answer"),
        "stopped": t("stopped answer"),
        "unknown": t("questions without an answer"),
        "model": t("the guard model's verdict"),
    }.get(category, category)
