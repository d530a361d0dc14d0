"""Ports for playback: each once at a time, the one idle longest first, none that somebody else has."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import UserError
from appliance.ops.keeping.ports import free_ports
from appliance.telephony.playbackports import PlaybackPorts

HOST = "127.0.0.1"


@pytest.fixture
def first() -> int:
    return free_ports(1)[0]


@pytest.fixture
def ports(first: int) -> Iterator[PlaybackPorts]:
    made = PlaybackPorts(HOST, first, 3)
    yield made
    made.close()


def test_each_once_and_the_one_idle_longest_first(ports: PlaybackPorts, first: int) -> None:
    taken = [ports.take() for _ in range(3)]
    assert sorted(filter(None, taken)) == [first, first + 1, first + 2]
    assert ports.take() is None
    ports.give_back(first + 1)
    ports.give_back(first)
    assert [ports.take(), ports.take()] == [first + 1, first]


def test_somebody_elses_is_passed_over(ports: PlaybackPorts, first: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((HOST, first))
        assert ports.take() == first + 1


def test_an_adopted_one_is_taken(ports: PlaybackPorts, first: int) -> None:
    ports.adopt(first)
    ports.adopt(1)  # of another range: before the settings were changed
    assert ports.take() == first + 1
    ports.give_back(first)
    ports.give_back(1)
    assert [ports.take(), ports.take(), ports.take()] == [first + 2, first, None]


def test_the_mirror_takes_datagrams_and_keeps_few(ports: PlaybackPorts) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(2000):
            sender.sendto(bytes(320), (HOST, ports.mirror))


def test_an_address_that_is_not_ours() -> None:
    with pytest.raises(UserError, match=r"switch\.playback_host"):
        PlaybackPorts("203.0.113.1", 24000, 10)


@given(st.lists(st.booleans(), max_size=60))
def test_never_the_same_twice(takes: list[bool]) -> None:
    ports = PlaybackPorts(HOST, free_ports(1)[0], 5)
    held: list[int] = []
    for take in takes:
        if take:
            port = ports.take()
            assert port is None or port not in held
            held += [port] if port else []
        elif held:
            ports.give_back(held.pop(0))
    ports.close()
