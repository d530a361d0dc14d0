"""A call's figures and states in words, for the pages that show calls."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from appliance.admin.ui.words import Translate
from appliance.events import CallRecord
from appliance.languages import primary
from appliance.review.rootcause import Trouble
from appliance.store.outcomes import Outcome

OUTCOME_WORDS = {
    Outcome.LIVE: "live",
    Outcome.TRANSFERRED: "transferred",
    Outcome.MACHINE: "answering machine",
    Outcome.CUT_OFF: "cut off",
    Outcome.NOBODY_CAME: "nobody took the transfer",
    Outcome.EARLY: "hung up at once",
    Outcome.CALLER: "caller hung up",
    Outcome.AGENT: "agent said goodbye",
}
"""Each is looked up by ``t``."""
OUTCOME_CHIPS = {
    Outcome.LIVE: "chip--accent",
    Outcome.TRANSFERRED: "chip--good",
    Outcome.CUT_OFF: "chip--bad",
    Outcome.NOBODY_CAME: "chip--bad",
    Outcome.EARLY: "chip--warn",
    Outcome.CALLER: "chip--good",
    Outcome.AGENT: "chip--good",
}
LANGUAGE_NAMES = {
    "en": "English", "hi": "Hindi", "as": "Assamese", "bn": "Bengali", "gu": "Gujarati",
    "kn": "Kannada", "ml": "Malayalam", "mr": "Marathi", "or": "Odia", "pa": "Punjabi",
    "ta": "Tamil", "te": "Telugu", "ur": "Urdu",
}  # fmt: skip
DIRECTION_WORDS = {"in": "incoming", "out": "outgoing", "test": "test"}


def language_name(language: str, t: Translate) -> str:
    """Of a BCP 47 tag; the tag itself where we have no name."""
    name = LANGUAGE_NAMES.get(primary(language))
    return t(name) if name else language


def clock(seconds: float) -> str:
    """ "1:23", or "1:02:03"."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def length_of(call: CallRecord, now: datetime) -> float:
    """Seconds, up to now for a call that lives."""
    return max(0.0, ((call.ended_at or now) - call.started_at).total_seconds())


def when(at: datetime, zone: str) -> str:
    """Date and time of the site."""
    return f"{at.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M:%S}"


def sentence(trouble: Trouble, t: Translate) -> str:
    """What was slow or wrong, in the reader's language."""
    values = {
        name: t(str(value)) if name in trouble.looked_up else value
        for name, value in trouble.values.items()
    }
    return t(trouble.sentence).format(**values)
