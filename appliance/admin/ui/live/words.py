"""How the states of a live call are called and drawn."""

from __future__ import annotations

from appliance.admin.live.state import CallState
from appliance.admin.ui.words import Translate

STATE_WORDS = {
    CallState.MENU: "in the menu",
    CallState.WAITING: "holding for a place",
    CallState.RINGING: "ringing",
    CallState.LISTENING: "listening",
    CallState.THINKING: "thinking",
    CallState.SPEAKING: "speaking",
    CallState.TRANSFERRING: "fetching a person",
    CallState.PERSON: "with a person",
    CallState.BOT: "with a bot",
    CallState.HOLD: "on hold",
    CallState.LOST: "worker lost",
    CallState.ENDED: "ended",
}
STATE_ICONS = {
    CallState.MENU: "dialpad",
    CallState.WAITING: "hourglass_empty",
    CallState.RINGING: "ring_volume",
    CallState.LISTENING: "hearing",
    CallState.THINKING: "more_horiz",
    CallState.SPEAKING: "campaign",
    CallState.TRANSFERRING: "phone_forwarded",
    CallState.PERSON: "person",
    CallState.BOT: "smart_toy",
    CallState.HOLD: "pause",
    CallState.LOST: "cloud_off",
    CallState.ENDED: "call_end",
}


def state_words(t: Translate) -> dict[str, str]:
    """State -> what people call it."""
    return {state.value: t(words) for state, words in STATE_WORDS.items()}
