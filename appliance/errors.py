"""Errors that a person can act on.

Three kinds: :class:`UserError` is somebody's to mend (a setting, a missing package, a wrong
argument) and is shown as one sentence without a traceback; :class:`EngineError` is a server that
did not do its part of a call, which the call survives; :class:`ProtocolError` is a message from
outside that is refused at the edge. What else leaves a part of the appliance is a bug.
"""

from __future__ import annotations


def reason_of(error: BaseException) -> str:
    """The first line of ``error``, or its kind when it says nothing: what a log line has room for."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


class UserError(Exception):
    """Something the person at the keyboard can mend; the message says what and how."""


class EngineError(Exception):
    """An engine server failed, was late or is not there; the call goes on without it.

    ``stage`` is the pool it belongs to: ``stt``, ``llm``, ``tts``, ``turn`` or ``embed``.
    """

    def __init__(self, stage: str, message: str) -> None:
        super().__init__(f"{stage}: {message}")
        self.stage = stage


class ProtocolError(Exception):
    """The other side of a wire broke its protocol; refused at the edge with one log line."""
