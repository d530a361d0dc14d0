"""The words of one turn, out of several utterances and their finals."""

from __future__ import annotations

import pytest

from appliance.call.utterances import Utterances
from appliance.events import Transcript


class Session:
    """A recogniser that only remembers."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, object]] = []

    def start(self, utterance: int, pcm: bytes) -> None:
        self.calls.append(("start", utterance))

    def feed(self, pcm: bytes) -> None:
        self.calls.append(("feed", pcm))

    def finish(self) -> None:
        self.calls.append(("finish", None))

    def close(self) -> None:
        self.calls.append(("close", None))


@pytest.fixture
def session() -> Session:
    return Session()


@pytest.fixture
def utterances(session: Session) -> Utterances:
    made = Utterances()
    made.attach(session)
    return made


def partial(utterance: int, text: str) -> Transcript:
    return Transcript(utterance, text, False, 0)


def final(utterance: int, text: str, *, failed: bool = False) -> Transcript:
    return Transcript(utterance, text, True, 0, failed=failed)


def test_a_final_replaces_its_partials(utterances: Utterances) -> None:
    utterances.begin(b"")
    assert utterances.take(partial(1, "what are"))
    assert utterances.words == "what are" and utterances.awaited
    utterances.finish()
    assert utterances.take(final(1, "what is your"))
    assert utterances.words == "what is your" and not utterances.awaited


def test_a_turn_of_two_utterances(utterances: Utterances) -> None:
    utterances.begin(b"")
    utterances.finish()
    utterances.take(final(1, "my bill"))
    utterances.begin(b"")
    utterances.take(partial(2, "is wrong"))
    assert utterances.words == "my bill is wrong"


def test_going_on_before_the_final_keeps_the_partial_words(utterances: Utterances) -> None:
    utterances.begin(b"")
    utterances.take(partial(1, "my bill"))
    utterances.finish()
    utterances.begin(b"")
    assert not utterances.take(final(1, "my bills"))  # too late: it was given up
    utterances.take(final(2, "is wrong"))
    assert utterances.words == "my bill is wrong"


def test_audio_goes_to_the_recogniser_only_while_an_utterance_is_open(
    utterances: Utterances, session: Session
) -> None:
    utterances.feed(b"before")
    utterances.finish()
    utterances.begin(b"pre")
    utterances.feed(b"a")
    utterances.finish()
    utterances.finish()
    utterances.feed(b"after")
    utterances.close()
    assert [name for name, _ in session.calls] == ["start", "feed", "finish", "close"]


def test_what_is_abandoned_is_forgotten_and_its_words_come_in_vain(utterances: Utterances) -> None:
    utterances.begin(b"")
    utterances.take(partial(1, "five"))
    utterances.abandon()
    assert utterances.words == "" and not utterances.awaited and not utterances.open
    assert not utterances.take(final(1, "five"))
    assert utterances.words == ""


def test_a_final_comes_once(utterances: Utterances) -> None:
    utterances.begin(b"")
    assert utterances.take(final(1, "yes"))
    assert not utterances.take(final(1, "yes"))
    assert not utterances.take(partial(1, "yes no"))
    assert utterances.words == "yes"


def test_a_failure_is_known_until_the_turn_is_over(utterances: Utterances) -> None:
    utterances.begin(b"")
    utterances.take(final(1, "", failed=True))
    assert utterances.lost and utterances.words == ""
    utterances.forget()
    assert not utterances.lost


def test_sealing_takes_the_last_partial_for_final(utterances: Utterances) -> None:
    utterances.begin(b"")
    utterances.take(partial(1, "what are your"))
    utterances.seal()
    assert utterances.words == "what are your" and not utterances.awaited
    utterances.forget()
    assert utterances.words == ""
