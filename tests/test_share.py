"""A stage's servers shared among its kinds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from appliance.capacity.share import share

KINDS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 20)), min_size=1, max_size=6).map(
    lambda kinds: [(least, least + room) for least, room in kinds]
)


@given(st.integers(-5, 200), KINDS)
def test_everyone_gets_its_least_and_nobody_more_than_its_most(
    servers: int, bounds: list[tuple[int, int]]
) -> None:
    got = share(servers, bounds)
    assert all(least <= n <= most for n, (least, most) in zip(got, bounds, strict=True))
    low, high = sum(least for least, _ in bounds), sum(most for _, most in bounds)
    assert sum(got) == min(max(servers, low), high)


@given(st.integers(0, 60), KINDS)
def test_one_server_more_takes_nobody_more_than_one_away(
    servers: int, bounds: list[tuple[int, int]]
) -> None:
    before, after = share(servers, bounds), share(servers + 1, bounds)
    assert all(later >= now - 1 for now, later in zip(before, after, strict=True))


def test_those_that_may_grow_more_get_more() -> None:
    assert share(7, [(1, 1), (1, 3), (1, 9)]) == [1, 2, 4]
    assert share(0, [(0, 4)]) == [0]
