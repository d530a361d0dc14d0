"""How a document stands, as a word with a colour."""

from __future__ import annotations

from appliance.admin.ui.show import Tone
from appliance.admin.ui.words import Translate
from appliance.store.document_views import DocumentView
from appliance.store.documents import State

TONES: dict[str, Tone] = {
    State.WAITING: "",
    State.READING: "accent",
    State.EMBEDDING: "accent",
    State.READY: "accent",
    State.PUBLISHED: "good",
    State.UNCHANGED: "good",
    State.FAILED: "warn",
    State.REFUSED: "bad",
    State.REMOVED: "",
}


def state_words(t: Translate, state: str) -> str:
    """In a person's words."""
    return {
        State.WAITING: t("waiting"),
        State.READING: t("being read"),
        State.EMBEDDING: t("being indexed"),
        State.READY: t("ready"),
        State.PUBLISHED: t("in force"),
        State.UNCHANGED: t("in force"),
        State.FAILED: t("failed"),
        State.REFUSED: t("refused"),
        State.REMOVED: t("removed"),
    }.get(State(state), state)


def progress_words(t: Translate, one: DocumentView) -> str:
    """The state, with how far it is where that is known."""
    words = state_words(t, one.state)
    if one.state in (State.READING, State.EMBEDDING) and one.total:
        return f"{words} {one.done}/{one.total}"
    return words


def outcome_words(t: Translate, outcome: str) -> tuple[str, Tone]:
    """What became of a document that was given."""
    known: dict[str, tuple[str, Tone]] = {
        "added": (t("added"), "good"),
        "changed": (t("new contents"), "good"),
        "unchanged": (t("unchanged"), ""),
        "refused": (t("refused"), "bad"),
        "gone": (t("gone"), "warn"),
        "away": (t("not reachable"), "warn"),
    }
    return known.get(outcome, (outcome, ""))
