"""Which backups stay: the last of each day, week and month, so many of each. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

LONGEST_MONTH_DAYS = 31
FRESH = timedelta(days=1)
"""All that are so young stay: the second of a day may hold what went wrong after the first."""


def longest_days(daily: int, weekly: int, monthly: int) -> int:
    """How old a backup can become: after so many days nothing that was erased is in any of them.

    The period under way counts as one of them.
    """
    return max(daily, 7 * weekly, LONGEST_MONTH_DAYS * monthly)


def kept(
    made: Sequence[datetime], now: datetime, *, daily: int, weekly: int, monthly: int
) -> set[datetime]:
    """Of the complete backups ``made`` (aware, in the zone whose days count), which stay.

    The newest always does, however old: a box that has stopped making them must not lose the last.
    What is older than :func:`longest_days` goes, even where days without a backup would have room
    for it: what was erased from the box has to go from the backups.
    """
    if not made:
        return set()
    newest_first = sorted(made, reverse=True)
    oldest = now - timedelta(days=longest_days(daily, weekly, monthly))
    young = [at for at in newest_first if at > oldest]
    stay = {newest_first[0]} | {at for at in young if now - at < FRESH}
    stay |= _last_of_each(young, daily, lambda at: (at.year, at.month, at.day))
    stay |= _last_of_each(young, weekly, lambda at: at.isocalendar()[:2])
    stay |= _last_of_each(young, monthly, lambda at: (at.year, at.month))
    return stay


def _last_of_each(
    newest_first: Sequence[datetime], most: int, period: Callable[[datetime], tuple[int, ...]]
) -> set[datetime]:
    found: dict[tuple[int, ...], datetime] = {}
    for at in newest_first:
        if period(at) not in found and len(found) < most:
            found[period(at)] = at
    return set(found.values())
