"""The token buckets before the console."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.admin.rates import MOST_KNOWN, Rates, site_of


@pytest.mark.parametrize(
    ("address", "site"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2::7", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::7", "2001:db8:1:3::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("unix", "unix"),
        ("", ""),
    ],
)
def test_who_has_one_address_of_ipv6_has_its_network(address: str, site: str) -> None:
    assert site_of(address) == site


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_minutes_worth_at_once_and_then_by_the_second() -> None:
    clock = Clock()
    rates = Rates(60, clock)
    assert all(rates.allow("a") for _ in range(60))
    assert not rates.allow("a")
    assert rates.allow("b")
    clock.now_s += 1.0
    assert rates.allow("a") and not rates.allow("a")


@given(st.lists(st.floats(0, 30), min_size=1, max_size=300), st.integers(10, 100))
def test_never_more_than_the_bucket_and_what_has_flowed_in(waits: list[float], most: int) -> None:
    clock = Clock()
    rates = Rates(most, clock)
    allowed = 0
    for wait_s in waits:
        clock.now_s += wait_s
        allowed += rates.allow("a")
    assert allowed <= most + clock.now_s * most / 60 + 1e-6


def test_only_so_many_are_remembered() -> None:
    rates = Rates(10, Clock())
    for number in range(MOST_KNOWN + 50):
        rates.allow(str(number))
    assert len(rates._buckets) == MOST_KNOWN
