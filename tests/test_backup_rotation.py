"""Which backups stay."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from appliance.ops.backup.rotation import FRESH, kept, longest_days

NOW = datetime(2026, 11, 21, 3, tzinfo=UTC)
LIMITS = {"daily": 7, "weekly": 4, "monthly": 6}


def nightly(nights: int) -> list[datetime]:
    return [NOW - timedelta(days=number) for number in range(nights)]


def test_a_year_of_nights_leaves_seven_days_four_weeks_six_months() -> None:
    stay = kept(nightly(365), NOW, **LIMITS)
    days = sorted((NOW - at).days for at in stay)
    assert days[:7] == [0, 1, 2, 3, 4, 5, 6]
    # Sundays 15, 8 and 1 November; the last nights of October back to June
    assert [f"{at:%m-%d}" for at in sorted(stay)][:-7] == [
        *("06-30", "07-31", "08-31", "09-30", "10-31", "11-01", "11-08"),
    ]


def test_the_newest_stays_however_old_and_nothing_else_that_old() -> None:
    old = [NOW - timedelta(days=400), NOW - timedelta(days=401)]
    assert kept(old, NOW, **LIMITS) == {old[0]}
    assert kept([], NOW, **LIMITS) == set()


def test_all_of_the_last_day_stay() -> None:
    hours = [NOW - timedelta(hours=number) for number in range(30)]
    assert len(kept(hours, NOW, daily=1, weekly=0, monthly=0)) == 24


def test_without_weeks_and_months_nothing_is_older_than_the_days() -> None:
    stay = kept(nightly(60), NOW, daily=7, weekly=0, monthly=0)
    assert max(NOW - at for at in stay) < timedelta(days=longest_days(7, 0, 0))


@given(
    st.lists(st.integers(0, 800), max_size=60, unique=True),
    st.integers(1, 10), st.integers(0, 6), st.integers(0, 8),
)  # fmt: skip
def test_what_was_erased_is_gone_in_time(
    ages: list[int], daily: int, weekly: int, monthly: int
) -> None:
    made = [NOW - timedelta(days=age) for age in ages]
    stay = kept(made, NOW, daily=daily, weekly=weekly, monthly=monthly)
    assert stay <= set(made)
    if made:
        assert max(made) in stay
        longest = timedelta(days=longest_days(daily, weekly, monthly))
        others = stay - {max(made)}
        assert all(NOW - at < longest for at in others)
        assert len(stay) <= daily + weekly + monthly + 1
        # rotating again changes nothing, and a backup that stays today was there to be kept
        assert kept(list(stay), NOW, daily=daily, weekly=weekly, monthly=monthly) == stay
        assert {at for at in made if NOW - at < FRESH} <= stay
