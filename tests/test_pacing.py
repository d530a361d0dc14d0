"""How many calls of a campaign may begin: properties that hold for whatever the workers say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.outreach.campaigns.pacing import (
    MOST_A_LOOK,
    Pace,
    Room,
    may_begin,
    obstacle,
    places,
)

_FEW = st.integers(0, 300)
_SHARE = st.floats(0, 1)


@st.composite
def _paces(draw: st.DrawFn) -> Pace:
    under_way = draw(_FEW)
    talking = draw(st.integers(0, under_way))
    return Pace(draw(st.integers(0, 500)), draw(_SHARE), under_way, talking)


@given(st.builds(Room, _FEW, _FEW), _FEW, _paces())
def test_never_above_its_share_nor_most_at_once(room: Room, elsewhere: int, pace: Pace) -> None:
    more = may_begin(room, elsewhere, pace)
    assert 0 <= more <= MOST_A_LOOK
    if more:
        assert pace.under_way + more <= pace.most_at_once
        assert pace.under_way + more <= pace.capacity_share * places(room, elsewhere, pace)
        assert not obstacle(room, elsewhere, pace)
    if obstacle(room, elsewhere, pace):
        assert more == 0


@given(st.builds(Room, _FEW, _FEW), _FEW, st.lists(_paces(), min_size=1, max_size=5))
def test_several_campaigns_and_callers_fit_together(
    room: Room, elsewhere: int, campaigns: list[Pace]
) -> None:
    """Listed one after the other, as the feeder does, whatever is begun has a place."""
    free = room.capacity - room.calls - elsewhere
    begun = 0
    for pace in campaigns:
        fresh = Pace(pace.most_at_once, pace.capacity_share, 0, 0)
        begun += may_begin(room, elsewhere + begun, fresh)
    assert begun == 0 or begun <= free


@given(st.builds(Room, _FEW, _FEW), _FEW, _paces())
def test_a_caller_more_never_lets_more_begin(room: Room, elsewhere: int, pace: Pace) -> None:
    busier = Room(room.capacity, room.calls + 1)
    assert may_begin(busier, elsewhere, pace) <= may_begin(room, elsewhere, pace)
    assert may_begin(room, elsewhere + 1, pace) <= may_begin(room, elsewhere, pace)


@pytest.mark.parametrize(
    ("room", "elsewhere", "pace", "more"),
    [
        (Room(100, 20), 0, Pace(50, 0.5, 0, 0), 40),
        (Room(100, 20), 10, Pace(50, 0.5, 0, 0), 35),
        (Room(100, 20), 0, Pace(5, 0.5, 3, 2), 2),
        (Room(100, 60), 0, Pace(50, 0.5, 45, 40), 0),  # callers came meanwhile: 40 of 80
        (Room(0, 0), 0, Pace(5, 1.0, 0, 0), 0),
        (Room(1, 0), 0, Pace(5, 0.5, 0, 0), 0),
        (Room(1, 0), 0, Pace(5, 1.0, 0, 0), 1),
        (Room(500, 0), 0, Pace(400, 1.0, 0, 0), MOST_A_LOOK),
    ],
)
def test_what_it_comes_to(room: Room, elsewhere: int, pace: Pace, more: int) -> None:
    assert may_begin(room, elsewhere, pace) == more


def test_why_nobody_is_rung_is_said() -> None:
    pace = Pace(5, 0.5, 0, 0)
    assert "No worker answers" in obstacle(Room(0, 0), 0, pace)
    assert "1 places are free, and 50%" in obstacle(Room(10, 9), 0, pace)
    assert obstacle(Room(10, 0), 0, pace) == ""
