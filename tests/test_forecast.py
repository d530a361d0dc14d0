"""The forecast on synthetic logs: weeks, time zones, holidays, sparse logs and none, campaigns."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.capacity.backtest import back_test
from appliance.capacity.campaigns import Pacing, Waiting, answered
from appliance.capacity.counts import upper
from appliance.capacity.forecast import Forecast, Now, at_once, forecast
from appliance.capacity.profile import Observed, Site, learn
from appliance.telephony.hours import parse_hours

INDIA = ZoneInfo("Asia/Kolkata")
BERLIN = ZoneInfo("Europe/Berlin")
MONDAY = datetime(2026, 2, 2, tzinfo=INDIA)
INTERVAL_S = 300
DAY = 86_400 // INTERVAL_S
HOLDING_S = 180.0
Rate = Callable[[datetime], float]


def office(local: datetime) -> float:
    """Calls per interval: a busy morning, a calmer afternoon, quiet weekends."""
    hour = local.hour + local.minute / 60
    rate = 20 * math.exp(-(((hour - 11) / 2.5) ** 2)) + 12 * math.exp(-(((hour - 16) / 2) ** 2))
    return (rate + 0.2) * (0.4 if local.weekday() >= 5 else 1)


def log(
    rate: Rate, days: float, begin: datetime = MONDAY, *, seed: int = 1, day_sd: float = 0.0
) -> Observed:
    """Calls by chance, with the calls at once that follow from holding times by chance."""
    dice = np.random.default_rng(seed)
    first_s, count = int(begin.timestamp()), int(days * DAY)
    moods: dict[date, float] = {}
    arrivals = np.zeros(count, np.int64)
    ended = np.zeros(count + 1, np.int64)
    for index in range(count):
        local = datetime.fromtimestamp(first_s + index * INTERVAL_S, begin.tzinfo)
        mood = moods.setdefault(local.date(), float(np.exp(dice.normal(0, day_sd))))
        calls = int(dice.poisson(rate(local) * mood))
        arrivals[index] = calls
        ends = index + dice.random(calls) + dice.exponential(HOLDING_S / INTERVAL_S, calls)
        np.add.at(ended, np.minimum(ends.astype(np.int64), count), 1)
    live = np.cumsum(arrivals - ended[:count])
    return Observed(first_s, INTERVAL_S, tuple(arrivals.tolist()), tuple(live.tolist()))


def ahead(
    history: Observed | None,
    at: datetime,
    count: int = DAY,
    *,
    holidays: dict[date, int] | None = None,
    planned: list[float] | None = None,
    zone: ZoneInfo = INDIA,
) -> Forecast:
    site = Site(zone, INTERVAL_S, holidays or {})
    now = Now(at.timestamp(), 0, HOLDING_S)
    return forecast(history, site, now, count, 0.95, planned or [])


def calls_between(made: Forecast, begin: datetime, end: datetime) -> float:
    inside = [i for i in made.intervals if begin.timestamp() <= i.from_s < end.timestamp()]
    return sum(i.arrivals for i in inside)


def test_weeks_of_calls_give_the_next_week() -> None:
    score = back_test(log(office, 42, day_sd=0.1), Site(INDIA, INTERVAL_S), HOLDING_S, 0.95)
    assert score.days == 7
    assert score.mape is not None and score.mape < 0.2
    assert score.arrivals_covered is not None and score.arrivals_covered > 0.93
    assert score.calls_covered is not None and score.calls_covered > 0.93


def test_restless_days_widen_the_quantile() -> None:
    at = MONDAY + timedelta(days=43, hours=11)
    spreads = []
    for day_sd in (0.0, 0.4):
        history = log(office, 42, day_sd=day_sd)
        busy = min(ahead(history, at).intervals, key=lambda i: abs(i.from_s - at.timestamp()))
        spreads.append(busy.arrivals_upper / busy.arrivals)
    assert spreads[1] > spreads[0] * 1.15


def test_a_peak_of_one_interval_is_kept() -> None:
    def sharp(local: datetime) -> float:
        return 50.0 if (local.hour, local.minute) == (10, 0) else 10.0

    made = ahead(log(sharp, 42), MONDAY + timedelta(days=42))
    at_ten = made.intervals[10 * 12]
    assert at_ten.arrivals == pytest.approx(50, rel=0.12)
    assert made.intervals[10 * 12 - 1].arrivals == pytest.approx(10, rel=0.25)
    assert made.intervals[10 * 12 + 1].arrivals == pytest.approx(10, rel=0.25)
    assert at_ten.calls_upper > 30


@pytest.mark.parametrize("month", [3, 10])
def test_summer_time_moves_the_peak_with_the_wall_clock(month: int) -> None:
    """The clock of Berlin changes on the last Sunday; office hours stay at 9:00 of the wall."""

    def nine(local: datetime) -> float:
        return 30.0 if local.hour == 9 else 1.0

    changes = datetime(2026, month, 29 if month == 3 else 25, tzinfo=BERLIN)
    history = log(nine, 35, (changes - timedelta(days=36)).astimezone(BERLIN))
    made = ahead(history, changes - timedelta(days=1), 3 * DAY, zone=BERLIN)
    for offset in (0, 1):  # the day of the change and the one after it
        day = (changes + timedelta(days=offset)).replace(hour=9)
        peak = [i for i in made.intervals if 0 <= i.from_s - day.timestamp() < 3600]
        assert len(peak) == 12
        assert min(i.arrivals for i in peak) > 15
        rest = [i for i in made.intervals if 3600 <= i.from_s - day.timestamp() < 7200]
        assert max(i.arrivals for i in rest) < 5


def test_slots_of_the_days_of_a_clock_change() -> None:
    site = Site(BERLIN, 3600)
    spring = datetime(2026, 3, 29, tzinfo=BERLIN)
    hours = [int(s) % 24 for s in site.slots(int(spring.timestamp()), 24)]
    assert hours == [0, 1, *range(3, 24), 0]  # there is no 2:00
    autumn = datetime(2026, 10, 25, tzinfo=BERLIN)
    hours = [int(s) % 24 for s in site.slots(int(autumn.timestamp()), 25)]
    assert hours == [0, 1, 2, 2, *range(3, 24)]


def test_a_zone_of_half_hours_and_an_interval_that_does_not_divide_the_day() -> None:
    site = Site(INDIA, 700)
    slots = site.slots(int(MONDAY.timestamp()) // 700 * 700, 2 * 864)
    assert 0 <= slots.min() and slots.max() < 7 * site.slots_a_day
    assert site.slots_a_day == 124


def test_a_holiday_is_like_the_day_that_it_is_said_to_be() -> None:
    history = log(office, 42)
    wednesday = MONDAY + timedelta(days=44)
    plain = ahead(history, MONDAY + timedelta(days=42), 4 * DAY)
    feast = ahead(
        history, MONDAY + timedelta(days=42), 4 * DAY, holidays={wednesday.date(): 6}
    )  # fmt: skip
    end = wednesday + timedelta(days=1)
    assert calls_between(feast, wednesday, end) < 0.55 * calls_between(plain, wednesday, end)
    before = wednesday - timedelta(days=1)
    assert calls_between(feast, before, wednesday) == calls_between(plain, before, wednesday)


def test_a_past_holiday_teaches_the_day_that_it_was_like() -> None:
    closed = (MONDAY + timedelta(days=37)).date()

    def rate(local: datetime) -> float:
        return 0.1 if local.date() == closed else office(local)

    history = log(rate, 42)
    wednesday = MONDAY + timedelta(days=44)
    at = MONDAY + timedelta(days=42)
    blamed = calls_between(ahead(history, at, 4 * DAY), wednesday, wednesday + timedelta(1))
    known = ahead(history, at, 4 * DAY, holidays={closed: 6})
    assert calls_between(known, wednesday, wednesday + timedelta(1)) > blamed


def test_one_strange_day_is_cut() -> None:
    strange = (MONDAY + timedelta(days=36)).date()

    def rate(local: datetime) -> float:
        return office(local) * (8 if local.date() == strange else 1)

    at = MONDAY + timedelta(days=43)
    usual = calls_between(ahead(log(office, 42), at), at, at + timedelta(1))
    after = calls_between(ahead(log(rate, 42), at), at, at + timedelta(1))
    assert after == pytest.approx(usual, rel=0.5)


def test_a_new_level_of_the_latest_days_is_followed() -> None:
    grown = MONDAY + timedelta(days=37)

    def rate(local: datetime) -> float:
        return office(local) * (1.6 if local >= grown else 1)

    at = MONDAY + timedelta(days=42)
    made = ahead(log(rate, 42), at)
    assert made.level > 1.15
    usual = calls_between(ahead(log(office, 42), at), at, at + timedelta(1))
    assert calls_between(made, at, at + timedelta(1)) > 1.3 * usual


def test_a_last_hour_above_the_forecast_raises_the_next_and_fades() -> None:
    at = MONDAY + timedelta(days=42, hours=12)
    storm = at - timedelta(hours=1)

    def rate(local: datetime) -> float:
        return office(local) * (2 if local >= storm else 1)

    made, usual = ahead(log(rate, 42.5), at), ahead(log(office, 42.5), at)
    assert usual.recent < 1.15
    assert 1.5 < made.recent <= 2.2
    first, later = made.intervals[0], made.intervals[5 * 12]
    assert first.arrivals > 1.5 * usual.intervals[0].arrivals
    assert later.arrivals < 1.2 * usual.intervals[5 * 12].arrivals


def test_a_quiet_last_hour_lowers_nothing() -> None:
    at = MONDAY + timedelta(days=42, hours=12)

    def rate(local: datetime) -> float:
        return 0 if local >= at - timedelta(hours=1) else office(local)

    made = ahead(log(rate, 42.5), at)
    assert made.recent == 1
    assert made.intervals[0].arrivals > 0.8 * office(at)


def test_no_log_at_all_is_a_call_a_day() -> None:
    made = ahead(None, MONDAY)
    assert sum(i.arrivals for i in made.intervals) == pytest.approx(1, rel=0.01)
    assert max(i.calls_upper for i in made.intervals) == 0
    assert made == ahead(Observed(int(MONDAY.timestamp()), INTERVAL_S, ()), MONDAY)


@pytest.mark.parametrize("days", [0.25, 1, 3])
def test_a_log_of_days_knows_the_time_of_day_and_lends_it_to_days_not_seen(days: float) -> None:
    """It begins on a Monday; forecast is the Friday after it."""
    made = ahead(log(office, days), MONDAY + timedelta(days=4))
    day = MONDAY + timedelta(days=4)
    night = calls_between(made, day + timedelta(hours=1), day + timedelta(hours=4))
    whole = calls_between(made, day, day + timedelta(days=1))
    assert night < 40
    if days >= 1:
        morning = calls_between(made, day + timedelta(hours=9), day + timedelta(hours=13))
        assert morning > 0.3 * whole
        assert whole == pytest.approx(sum(map(office, _times(day))), rel=0.35)


def _times(day: datetime) -> list[datetime]:
    return [day + timedelta(seconds=i * INTERVAL_S) for i in range(DAY)]


def test_a_few_calls_a_week_do_not_become_peaks() -> None:
    made = ahead(log(lambda local: 0.003, 42), MONDAY + timedelta(days=42))
    assert max(i.arrivals for i in made.intervals) < 0.02


def test_a_campaign_is_added_where_it_is_due() -> None:
    planned = [0.0] * 12 + [25.0] * 12
    at = MONDAY + timedelta(days=42, hours=3)
    made, plain = ahead(log(office, 42.125), at, planned=planned), ahead(log(office, 42.125), at)
    assert made.intervals[11].arrivals == plain.intervals[11].arrivals
    assert made.intervals[12].arrivals == pytest.approx(plain.intervals[12].arrivals + 25)
    assert made.intervals[18].calls == pytest.approx(15, rel=0.15)  # 25 × 180 s / 300 s
    assert made.intervals[18].calls_upper >= 20


STARTS = [MONDAY.timestamp() + 8 * 3600 + i * INTERVAL_S for i in range(72)]
HOURS = {"": parse_hours("mon-sat 09:00-21:00", "Asia/Kolkata")}


def test_a_campaign_waits_for_its_hours_and_is_paced_by_the_dialler() -> None:
    waiting = [Waiting(STARTS[0], 400, "")]
    found = answered(waiting, HOURS, STARTS, INTERVAL_S, Pacing(0.5, 60, 1000))
    assert found[:12] == [0] * 12  # 8:00 to 9:00
    assert found[12:16] == [75, 75, 50, 0]  # 150 dials in five minutes, half of them answered
    assert sum(found) == 200


def test_a_campaign_has_no_more_calls_than_the_switch() -> None:
    waiting = [Waiting(STARTS[12], 400, "")]
    found = answered(waiting, HOURS, STARTS, INTERVAL_S, Pacing(1.0, 600, 20))
    means, tops = at_once(np.array(found), INTERVAL_S, 600, 0)
    assert tops.max() == pytest.approx(20, rel=1e-6)
    assert sum(found) <= 400.001
    assert means.max() <= 20


def test_calls_at_once_are_those_of_m_g_inf() -> None:
    means, tops = at_once(np.full(100, 50.0), INTERVAL_S, HOLDING_S, 0)
    assert means[-1] == tops[-1] == pytest.approx(50 * HOLDING_S / INTERVAL_S)
    assert tops[0] == pytest.approx(30 * (1 - math.exp(-300 / 180)))
    none, carried = at_once(np.zeros(3), INTERVAL_S, HOLDING_S, 40)
    assert carried[0] == 40 and carried[1] == pytest.approx(40 * math.exp(-300 / 180))
    assert none[0] < 40


def test_upper_quantiles_are_those_of_the_tables() -> None:
    assert [upper(m, 0, 0.95) for m in (0, 1, 5, 10)] == [0, 3, 9, 15]  # Poisson
    # Negative binomial of shape 1 is geometric: P(n <= k) = 1 - (m / (1 + m))^(k + 1).
    assert upper(9, 1, 0.95) == math.ceil(math.log(0.05) / math.log(0.9)) - 1
    assert upper(2999, 0.01, 0.95) == pytest.approx(upper(3001, 0.01, 0.95), rel=0.02)


@pytest.mark.parametrize("wrong", [(-1, 0, 0.9), (math.nan, 0, 0.9), (1, -1, 0.9), (1, 0, 1)])
def test_what_is_no_count_is_refused(wrong: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="no quantile"):
        upper(*wrong)


@given(st.floats(0, 5000), st.floats(0, 2), st.floats(0.6, 0.99))
def test_quantiles_grow(mean: float, spread: float, quantile: float) -> None:
    one = upper(mean, spread, quantile)
    assert upper(mean, spread, min(0.995, quantile + 0.01)) >= one
    assert one >= upper(mean * 0.9, spread, quantile) - 1


@given(
    st.lists(st.integers(0, 3000), max_size=600),
    st.floats(0, 1e6),
    st.sampled_from([60, 300, 700, 3600]),
    st.sampled_from([INDIA, BERLIN, ZoneInfo("UTC"), ZoneInfo("Australia/Lord_Howe")]),
)
def test_any_log_has_a_forecast(
    arrivals: list[int], later_s: float, interval_s: int, zone: ZoneInfo
) -> None:
    first_s = int(datetime(2026, 3, 20, tzinfo=UTC).timestamp()) // interval_s * interval_s
    history = Observed(first_s, interval_s, tuple(arrivals))
    now = Now(history.end_s + later_s, 3, 120)
    made = forecast(history, Site(zone, interval_s), now, 30, 0.95)
    assert len(made.intervals) == 30
    assert made.intervals[0].from_s <= now.at_s < made.intervals[1].from_s
    for interval in made.intervals:
        assert 0 < interval.arrivals < 4 * 2 * 3100
        assert interval.arrivals_upper >= math.floor(interval.arrivals)
        assert math.isfinite(interval.calls) and interval.calls_upper >= 0


def test_what_is_not_over_is_not_known() -> None:
    history = log(office, 42)
    at = MONDAY + timedelta(days=30, hours=11, minutes=2)
    cut = Observed(history.first_s, INTERVAL_S, history.arrivals[: int(30 * DAY + 11 * 12)])
    assert ahead(history, at) == ahead(cut, at)


def test_a_log_of_a_day_is_not_scored() -> None:
    score = back_test(log(office, 6), Site(INDIA, INTERVAL_S), HOLDING_S, 0.95)
    assert (score.days, score.mape, score.calls_covered) == (0, None, None)


def test_a_profile_rests_on_what_it_saw() -> None:
    profile = learn(log(office, 42), Site(INDIA, INTERVAL_S), MONDAY.timestamp() + 42 * 86_400)
    busy, night = (
        profile.unsure(int(MONDAY.timestamp()) + 11 * 3600, 1),
        profile.unsure(int(MONDAY.timestamp()) + 3 * 3600, 1),
    )
    assert busy[0] < 0.1 < night[0]
