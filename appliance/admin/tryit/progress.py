"""What has been said, found and measured in a test call so far. No clock, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from appliance.admin.live import events, state
from appliance.admin.live.state import LiveCall
from appliance.events import Flag, Turn

MOST_TURNS = 500
MOST_FLAGS = 500
"""More are not shown; ten minutes of talk have some fifty turns."""
_TURN = TypeAdapter(Turn)
_FLAG = TypeAdapter(Flag)


class Progress:
    """Of one test call: fed with its worker's events (docs/wires.md §1), in any order, each once."""

    def __init__(self, call_id: str) -> None:
        self.call = LiveCall(call_id)
        """State, words under way, transcript."""
        self._turns: dict[int, Turn] = {}
        self._flags: dict[str, Flag] = {}

    @property
    def turns(self) -> tuple[Turn, ...]:
        """Those that are over, in order."""
        return tuple(self._turns[index] for index in sorted(self._turns))

    @property
    def flags(self) -> tuple[Flag, ...]:
        """What the guard found, in the order of finding."""
        return tuple(self._flags.values())

    def take(self, event: Mapping[str, Any], now_s: float) -> None:
        """An event of the call, taken in at ``now_s`` (Unix seconds). What is malformed changes
        nothing."""
        self.call = events.apply(self.call, event, now_s)
        kind = event.get("event")
        try:
            if kind == "turn_over":
                turn = _TURN.validate_python(event.get("turn"))
                if len(self._turns) < MOST_TURNS:
                    self._turns[turn.index] = turn
            elif kind == "flag":
                flag = _FLAG.validate_python(event.get("flag"))
                if len(self._flags) < MOST_FLAGS:
                    self._flags[flag.id] = flag
        except ValidationError:
            pass

    def end(self, now_s: float, cause: str = "") -> None:
        """Nothing more will be told of it."""
        self.call = state.gone(self.call, now_s, cause)
