"""Who may speak: the one table of turn taking.

Everything that decides about the floor lives in ``TABLE``: (state, event) -> (state, actions). A
pair that is not in it cannot happen, and raises. The call (``call/session.py``) feeds it events and
does its actions in order; the diagram in docs/floor.md is generated from it (``make diagram``).

Speculation: a reply is begun (SPECULATE) while the caller is still speaking or has only paused. It
is heard only once GRANT gives it the floor, and is dropped or replaced when the final words differ.
"""

from __future__ import annotations

from enum import Enum


class State(Enum):
    """Who has the floor."""

    RINGING = "ringing"
    ANSWERING = "answering"
    """A call that we made: who has answered is not known yet."""
    MACHINE = "machine"
    """A machine has answered a call that we made; its beep is awaited."""
    LISTENING = "listening"
    """Nobody speaks."""
    CALLER = "caller"
    """The caller speaks."""
    PAUSED = "paused"
    """The caller is silent, perhaps only for breath."""
    REPLYING = "replying"
    """The turn is the agent's, and nothing is audible yet."""
    SPEAKING = "speaking"
    """The agent is heard, and may be interrupted."""
    PROTECTED = "protected"
    """The agent is heard, and may not be interrupted."""
    CONTESTED = "contested"
    """The agent stopped in mid-reply because the caller made a sound."""
    CONNECTING = "connecting"
    """The caller waits for a person."""
    CLOSING = "closing"
    """The goodbye, or a message for a machine, is being said."""
    ENDED = "ended"


class Event(Enum):
    """What can happen to the floor."""

    ANSWERED = "answered"
    ANSWERED_PROTECTED = "answered, greeting protected"
    NOTICE = "answered, notice due"
    RESUMED = "call taken over"
    WE_RANG = "we rang them"
    MACHINE = "a machine answered"
    NO_MESSAGE = "a machine answered, no message"
    BEEP = "time for the message"
    SPEECH = "caller starts"
    WORDS = "stable words"
    """Words unchanged for a while, or changed after a pause; real ones, no backchannel."""
    PAUSE = "caller pauses"
    RESUME = "caller goes on"
    TURN = "turn ends"
    NOTHING = "nothing said"
    """The sound ended without words, or with a mere backchannel."""
    FAREWELL = "caller says goodbye"
    FAREWELL_TYPED = "goodbye typed"
    KEY = "key pressed"
    """Or a turn typed by somebody who tries the agent."""
    ASKED = "caller asks for a person"
    ASKED_BY_KEY = "key for a person"
    PERSON_DUE = "a person is due"
    """The agent's own decision, or too many turns without an answer; told when nobody speaks."""
    TRANSFER_FAILED = "nobody takes the call"
    AUDIBLE = "reply audible"
    AUDIBLE_PROTECTED = "reply audible, protected"
    PLAYED = "reply played"
    SLOW = "reply late"
    SILENCE = "silence"
    SILENCE_OUT = "silence, no prompt left"
    TIME_UP = "longest call"
    HANGUP = "hangup"


class Action(Enum):
    """What the call does about it, in this order."""

    GREET = "greet"
    NOTIFY = "say the recording notice"
    RESUME = "say the resume phrase"
    SPECULATE = "begin a reply, unheard"
    DROP = "drop the unheard reply"
    GRANT = "let the reply be heard"
    TAKE_BACK = "drop the reply, the turn goes on"
    YIELD = "stop the sound, keep the rest"
    CARRY_ON = "go on where it stopped"
    BARGE_IN = "cancel, flush, cut the history"
    HOLD = "say the hold phrase"
    PROMPT = "say the silence prompt"
    ANSWER_KEY = "answer the key"
    TRANSFER = "ask for a person"
    KEEP_WAITING = "let the caller wait"
    RETURN = "take the caller back"
    LEAVE_MESSAGE = "say the message"
    GOODBYE = "say goodbye"
    HANG_UP = "hang up"
    CLEAN_UP = "cancel everything"


S, E, A = State, Event, Action
_Row = dict[Event, tuple[State, tuple[Action, ...]]]

_EVERYWHERE: _Row = {E.HANGUP: (S.ENDED, (A.CLEAN_UP,))}

_GREETINGS: _Row = {
    E.NOTICE: (S.PROTECTED, (A.NOTIFY,)),
    E.ANSWERED: (S.REPLYING, (A.GREET,)),
    E.ANSWERED_PROTECTED: (S.PROTECTED, (A.GREET,)),
}

TABLE: dict[State, _Row] = {
    S.RINGING: {
        **_EVERYWHERE,
        **_GREETINGS,
        E.RESUMED: (S.REPLYING, (A.RESUME,)),
        E.WE_RANG: (S.ANSWERING, ()),
    },
    S.ANSWERING: {
        **_EVERYWHERE,
        **_GREETINGS,
        E.MACHINE: (S.MACHINE, ()),
        E.NO_MESSAGE: (S.ENDED, (A.HANG_UP,)),
    },
    S.MACHINE: {
        **_EVERYWHERE,
        E.BEEP: (S.CLOSING, (A.LEAVE_MESSAGE,)),
    },
    S.LISTENING: {
        **_EVERYWHERE,
        # the notice has been said
        E.ANSWERED: (S.REPLYING, (A.GREET,)),
        E.ANSWERED_PROTECTED: (S.PROTECTED, (A.GREET,)),
        E.ASKED_BY_KEY: (S.CONNECTING, (A.TRANSFER,)),
        E.PERSON_DUE: (S.CONNECTING, (A.TRANSFER,)),
        E.SPEECH: (S.CALLER, ()),
        E.KEY: (S.REPLYING, (A.ANSWER_KEY,)),
        E.SILENCE: (S.REPLYING, (A.PROMPT,)),
        E.SILENCE_OUT: (S.CLOSING, (A.GOODBYE,)),
        E.FAREWELL_TYPED: (S.CLOSING, (A.GOODBYE,)),
        E.TIME_UP: (S.CLOSING, (A.GOODBYE,)),
    },
    S.CALLER: {
        **_EVERYWHERE,
        E.WORDS: (S.CALLER, (A.SPECULATE,)),
        E.PAUSE: (S.PAUSED, (A.SPECULATE,)),
        E.KEY: (S.REPLYING, (A.DROP, A.ANSWER_KEY)),
        E.ASKED_BY_KEY: (S.CONNECTING, (A.DROP, A.TRANSFER)),
        E.FAREWELL_TYPED: (S.CLOSING, (A.DROP, A.GOODBYE)),
        E.TIME_UP: (S.CLOSING, (A.DROP, A.GOODBYE)),
    },
    S.PAUSED: {
        **_EVERYWHERE,
        E.WORDS: (S.PAUSED, (A.SPECULATE,)),
        E.RESUME: (S.CALLER, ()),
        E.TURN: (S.REPLYING, (A.GRANT,)),
        E.NOTHING: (S.LISTENING, (A.DROP,)),
        E.FAREWELL: (S.CLOSING, (A.DROP, A.GOODBYE)),
        E.ASKED: (S.CONNECTING, (A.DROP, A.TRANSFER)),
        E.KEY: (S.REPLYING, (A.DROP, A.ANSWER_KEY)),
        E.ASKED_BY_KEY: (S.CONNECTING, (A.DROP, A.TRANSFER)),
        E.FAREWELL_TYPED: (S.CLOSING, (A.DROP, A.GOODBYE)),
        E.TIME_UP: (S.CLOSING, (A.DROP, A.GOODBYE)),
    },
    S.REPLYING: {
        **_EVERYWHERE,
        # They had not finished after all: nothing was heard yet, so their turn simply goes on.
        E.SPEECH: (S.CALLER, (A.TAKE_BACK,)),
        E.AUDIBLE: (S.SPEAKING, ()),
        E.AUDIBLE_PROTECTED: (S.PROTECTED, ()),
        E.SLOW: (S.REPLYING, (A.HOLD,)),
        E.PLAYED: (S.LISTENING, ()),
        E.KEY: (S.REPLYING, (A.DROP, A.ANSWER_KEY)),
        E.ASKED_BY_KEY: (S.CONNECTING, (A.DROP, A.TRANSFER)),
        E.FAREWELL_TYPED: (S.CLOSING, (A.DROP, A.GOODBYE)),
        E.TIME_UP: (S.CLOSING, (A.DROP, A.GOODBYE)),
    },
    S.SPEAKING: {
        **_EVERYWHERE,
        E.SPEECH: (S.CONTESTED, (A.YIELD,)),
        E.PLAYED: (S.LISTENING, ()),
        E.KEY: (S.REPLYING, (A.BARGE_IN, A.ANSWER_KEY)),
        E.ASKED_BY_KEY: (S.CONNECTING, (A.BARGE_IN, A.TRANSFER)),
        E.FAREWELL_TYPED: (S.CLOSING, (A.BARGE_IN, A.GOODBYE)),
        E.TIME_UP: (S.CLOSING, (A.BARGE_IN, A.GOODBYE)),
    },
    S.PROTECTED: {
        **_EVERYWHERE,
        E.AUDIBLE_PROTECTED: (S.PROTECTED, ()),
        E.PLAYED: (S.LISTENING, ()),
        E.KEY: (S.REPLYING, (A.BARGE_IN, A.ANSWER_KEY)),
        E.ASKED_BY_KEY: (S.CONNECTING, (A.BARGE_IN, A.TRANSFER)),
        E.FAREWELL_TYPED: (S.CLOSING, (A.BARGE_IN, A.GOODBYE)),
        E.TIME_UP: (S.CLOSING, (A.BARGE_IN, A.GOODBYE)),
    },
    S.CONTESTED: {
        **_EVERYWHERE,
        E.WORDS: (S.CALLER, (A.BARGE_IN, A.SPECULATE)),
        E.PAUSE: (S.CONTESTED, ()),
        E.RESUME: (S.CONTESTED, ()),
        E.NOTHING: (S.SPEAKING, (A.CARRY_ON,)),
        E.TURN: (S.REPLYING, (A.BARGE_IN, A.GRANT)),
        E.FAREWELL: (S.CLOSING, (A.BARGE_IN, A.GOODBYE)),
        E.ASKED: (S.CONNECTING, (A.BARGE_IN, A.TRANSFER)),
        E.KEY: (S.REPLYING, (A.BARGE_IN, A.ANSWER_KEY)),
        E.ASKED_BY_KEY: (S.CONNECTING, (A.BARGE_IN, A.TRANSFER)),
        E.FAREWELL_TYPED: (S.CLOSING, (A.BARGE_IN, A.GOODBYE)),
        E.TIME_UP: (S.CLOSING, (A.BARGE_IN, A.GOODBYE)),
    },
    # Neither voice nor keys nor the longest call count here: the edge ends it, or gives it back.
    S.CONNECTING: {
        **_EVERYWHERE,
        E.AUDIBLE: (S.CONNECTING, ()),
        E.AUDIBLE_PROTECTED: (S.CONNECTING, ()),
        E.PLAYED: (S.CONNECTING, (A.KEEP_WAITING,)),
        E.TRANSFER_FAILED: (S.REPLYING, (A.RETURN,)),
    },
    S.CLOSING: {
        **_EVERYWHERE,
        E.AUDIBLE: (S.CLOSING, ()),
        E.AUDIBLE_PROTECTED: (S.CLOSING, ()),
        E.KEY: (S.CLOSING, ()),
        E.TIME_UP: (S.CLOSING, ()),
        E.PLAYED: (S.ENDED, (A.HANG_UP,)),
    },
    S.ENDED: {E.HANGUP: (S.ENDED, ())},
}


def step(state: State, event: Event) -> tuple[State, tuple[Action, ...]]:
    """The next state and the actions to do, or ValueError for a pair that cannot happen."""
    try:
        return TABLE[state][event]
    except KeyError:
        raise ValueError(f"{event.name} cannot happen in {state.name}") from None


def diagram() -> str:
    """The table as a Mermaid state diagram, one edge a pair of states."""
    lines = ["stateDiagram-v2", "    [*] --> ringing"]
    for state, row in TABLE.items():
        for event, (after, actions) in row.items():
            if state is S.ENDED or (event is E.HANGUP and state is not S.LISTENING):
                continue  # a hangup ends every state; drawn once
            what = f" / {', '.join(a.value for a in actions)}" if actions else ""
            lines.append(f"    {state.value} --> {after.value}: {event.value}{what}")
    lines.append("    ended --> [*]")
    return "\n".join(lines)
