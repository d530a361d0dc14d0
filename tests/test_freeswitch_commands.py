"""What we say to FreeSWITCH: arguments that survive its splitting, and nothing that callers choose."""

from __future__ import annotations

import string
from typing import Any

import gevent
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.events import Dtmf, Whisper
from appliance.media import protocol
from appliance.telephony.eventsocket import SwitchError
from appliance.telephony.freeswitch import FreeSwitch, argument, value

ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "s": " ", "'": "'", '"': '"', "\\": "\\"}


class Wire:
    """Takes down what would be sent."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def command(self, text: str, timeout_s: float = 3.0) -> str:
        self.sent.append(text)
        return "+OK"


def split_as_freeswitch(text: str) -> list[str]:
    """switch_utils.c: split on blanks outside single quotes; then quotes and escapes are eaten."""
    words, word, quoted, escaped = [], "", False, False
    for c in text:
        if escaped:
            word += ESCAPES.get(c, "\\" + c)
            escaped = False
        elif c == "\\":
            escaped = True
        elif c == "'":
            quoted = not quoted
        elif c == " " and not quoted:
            words.append(word)
            word = ""
        else:
            word += c
    return [*words, word]


@given(st.text(min_size=1, max_size=200).filter(lambda t: t.isprintable() and t.strip()))
@example("a\u00a0b\u2003c")
def test_a_message_survives_as_one_argument(text: str) -> None:
    message = protocol.whisper(Whisper(text))
    words = split_as_freeswitch(f"uuid send_text {argument(message)}")
    assert len(words) == 3
    assert orjson.loads(words[2]) == {"type": "whisper", "text": text}


@pytest.mark.parametrize("text", ["a b", "it's", 'a"b', "a\\b", "a\nb"])
def test_a_message_that_freeswitch_would_change_is_not_sent(text: str) -> None:
    with pytest.raises(SwitchError, match="would change"):
        argument(orjson.dumps({"type": "whisper", "text": text}))


def test_a_supervisors_words_and_a_key() -> None:
    said = argument(protocol.whisper(Whisper('offer 10 % off, isn\'t it "fair"?')))
    assert not set(" '\n") & set(said)
    assert (
        argument(protocol.dtmf(Dtmf("#", 120))) == '{"type":"dtmf","digit":"#","duration_ms":120}'
    )


@given(st.text(max_size=300))
def test_variables_hold_nothing_that_is_expanded(text: str) -> None:
    allowed = set(string.ascii_letters + string.digits + "+@.:/_-#*")
    assert set(value(text)) <= allowed
    assert len(value(text)) <= 256


HOSTILE = ("x y", "a\nb", "${system(id)}", "'", "a;b", "../x", "", "x" * 70)


@pytest.mark.parametrize("uuid", HOSTILE)
def test_a_channel_is_a_uuid(uuid: str) -> None:
    wire, freeswitch = Wire(), FreeSwitch()
    freeswitch.attach(wire)  # type: ignore[arg-type]
    for work in (
        lambda: freeswitch.kill(uuid, "NORMAL_CLEARING"),
        lambda: freeswitch.answer(uuid),
        lambda: freeswitch.tell_worker(uuid, b"{}"),
        lambda: freeswitch.bridge(uuid, uuid),
        lambda: freeswitch.unicast(uuid, "127.0.0.1", 1, 2),
    ):
        with pytest.raises(SwitchError):
            work()
    assert not wire.sent


@pytest.mark.parametrize("dial", ["sofia/a\nb", "[x='y']user/1", "user/${system(id)}", "a\\nb"])
def test_a_dial_string_holds_no_quote_and_no_expansion(dial: str) -> None:
    wire, freeswitch = Wire(), FreeSwitch()
    freeswitch.attach(wire)  # type: ignore[arg-type]
    with pytest.raises(SwitchError):
        freeswitch.originate(dial, {}, "&park()", 30)
    with pytest.raises(SwitchError):
        freeswitch.set_dial_string("0123456789", "ivr_human", dial)
    assert not wire.sent


def test_without_freeswitch_every_command_says_so() -> None:
    with pytest.raises(SwitchError, match="is away"):
        FreeSwitch().answer("0123456789")


class Gateways(Wire):
    """FreeSWITCH with gateways; one that is killed goes a little later, and that is told."""

    def __init__(self, freeswitch: FreeSwitch, *names: str) -> None:
        super().__init__()
        self._freeswitch, self._names = freeswitch, set(names)

    def command(self, text: str, timeout_s: float = 3.0) -> str:
        super().command(text)
        _, killed, name = text.partition(" killgw ")
        if killed and name not in self._names:
            raise SwitchError("-ERR no such gateway.")
        if killed:
            gevent.spawn_later(0.05, self._go, name)
        return "+OK"

    def _go(self, name: str) -> None:
        self.sent.append(f"({name} is gone)")
        self._names.discard(name)
        self._freeswitch.on_gateway_gone(name)


def told(*names: str) -> tuple[FreeSwitch, list[str]]:
    freeswitch = FreeSwitch()
    link: Any = Gateways(freeswitch, *names)
    freeswitch.attach(link)
    return freeswitch, link.sent


KILL, RESCAN = "api sofia profile trunks killgw ", "api sofia profile trunks rescan"


def test_a_changed_gateway_comes_once_the_old_one_has_gone() -> None:
    freeswitch, sent = told("old", "changed")
    freeswitch.reload(["old"], ["changed"])
    assert sent[2:4] == [f"{KILL}old", f"{KILL}changed"]
    assert sent.index("(changed is gone)") < sent.index(RESCAN)


def test_a_reload_that_broke_off_is_made_up_for() -> None:
    """The gateways were killed by then, and the rescan never came."""
    freeswitch, sent = told()
    freeswitch.reload(["old"], ["changed"])
    assert sent[-1] == RESCAN


def test_other_refusals_of_a_reload_are_errors() -> None:
    freeswitch, sent = told()
    with pytest.raises(SwitchError):
        freeswitch.reload(["a b"])
    assert RESCAN not in sent
