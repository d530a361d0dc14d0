"""How the language model asks for a person: ``[transfer]`` in its reply, which nobody hears."""

from __future__ import annotations

MARKER = "[transfer]"
HELP = (
    "When the caller needs a person, or asks for one, say so in one short sentence and end your"
    f" reply with {MARKER}; the call is then transferred."
)
"""Added to the prompt of an agent that has somebody to transfer to, unless it says so itself."""


class Marker:
    """Takes the marker out of a text that comes in pieces, wherever they are cut."""

    def __init__(self) -> None:
        self._rest = ""
        self.found = False

    def feed(self, text: str) -> str:
        """More of the text; returns what of it can be spoken. What may be the beginning of the
        marker is kept back until more has come."""
        self._rest += text
        clean = ""
        while (at := self._rest.find("[")) >= 0:
            clean, tail = clean + self._rest[:at], self._rest[at:]
            if tail[: len(MARKER)].casefold() == MARKER:
                self.found, self._rest = True, tail[len(MARKER) :]
            elif MARKER.startswith(tail.casefold()):
                self._rest = tail
                return clean
            else:
                clean, self._rest = clean + "[", tail[1:]
        clean, self._rest = clean + self._rest, ""
        return clean

    def flush(self) -> str:
        """What was kept back, when the text is over."""
        rest, self._rest = self._rest, ""
        return rest
