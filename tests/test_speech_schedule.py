"""Who goes next: deadlines, batches, pace; time is passed in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from appliance.models.speech_schedule import (
    BATCH_S,
    CPU,
    GPU,
    MOST_COST,
    SINGLY,
    Limits,
    Pace,
    Schedule,
    Turn,
    Work,
)


def turn(came_s: float, work: Work = Work.SPECTROGRAM, length: int = 30, **more: float) -> Turn:
    return Turn(str(more.pop("model", "hi")), came_s, work, length, **more)


def picked(*turns: Turn, limits: Limits = GPU) -> list[Turn]:
    schedule = Schedule(limits)
    for each in turns:
        schedule.add(each)
    return schedule.pick()


def test_nothing_waits() -> None:
    assert picked() == []
    assert picked(turn(0, Work.NOTHING)) == []


def test_first_come_leads_and_those_alike_go_along() -> None:
    late, early = turn(2), turn(1)
    assert picked(late, early) == [early, late]


def test_one_at_a_time_where_told_so() -> None:
    late, early = turn(2), turn(1)
    assert picked(late, early, limits=SINGLY) == [early]


def test_other_models_and_other_work_wait() -> None:
    lead = turn(1)
    assert picked(lead, Turn("ta", 2, Work.SPECTROGRAM, 30), turn(3, Work.SOUND)) == [lead]


def test_a_first_sound_goes_before_sound_that_is_not_needed_yet() -> None:
    playing = turn(0, Work.SOUND, 120, first_heard_s=1.0, made_s=4.0)  # heard until 5.0
    new = turn(2.0, Work.SOUND, 40)
    assert picked(playing, new)[0] is new


def test_a_gap_that_is_near_goes_before_a_first_sound() -> None:
    playing = turn(0, Work.SOUND, 120, first_heard_s=1.0, made_s=0.5)  # runs dry at 1.5
    new = turn(2.0, Work.SOUND, 40)
    assert picked(playing, new) == [playing, new]


def test_nobody_makes_the_leader_wait_where_length_costs_time() -> None:
    short, long = turn(0, Work.SOUND, 40), turn(1, Work.SOUND, 150)
    for seconds, limits, together in (
        (0.02, GPU, [short]),
        (0.000_1, GPU, [short, long]),
        (0.000_1, CPU, [short]),
    ):
        schedule = Schedule(limits)
        schedule.pace.took(Work.SOUND, "hi", 100, seconds)
        schedule.add(long)
        schedule.add(short)
        assert schedule.pick() == together


def test_a_long_chunk_that_leads_takes_along_what_is_not_mostly_padding() -> None:
    long, middle, short = (turn(n, Work.SOUND, length) for n, length in enumerate((150, 90, 20)))
    schedule = Schedule(CPU)
    schedule.pace.took(Work.SOUND, "hi", 1000, 0.1)
    for each in (short, middle, long):
        schedule.add(each)
    assert schedule.pick() == [long, middle]


def test_a_slow_machine_takes_few_and_a_quick_one_many() -> None:
    waiting = [turn(n, Work.SOUND, 50) for n in range(40)]
    for seconds, rows in ((0.2, 1), (0.01, 10), (0.000_1, 40)):
        schedule = Schedule()
        schedule.pace.took(Work.SOUND, "hi", 50, seconds)
        for each in waiting:
            schedule.add(each)
        assert len(schedule.pick()) == rows


def test_the_pace_follows_what_is_measured() -> None:
    pace = Pace()
    assert pace.within(BATCH_S, Work.SOUND, "hi") == MOST_COST
    pace.took(Work.SOUND, "hi", 100, 1.0)
    assert pace.within(BATCH_S, Work.SOUND, "hi") == int(BATCH_S / 0.01)
    for _ in range(60):
        pace.took(Work.SOUND, "hi", 1000, 0.1)
    assert 900 <= pace.within(BATCH_S, Work.SOUND, "hi") <= 1000
    assert pace.within(BATCH_S, Work.SPECTROGRAM, "hi") == MOST_COST


def test_who_has_left_is_not_picked() -> None:
    schedule, gone = Schedule(), turn(0)
    schedule.add(gone)
    schedule.remove(gone)
    schedule.remove(gone)
    assert schedule.pick() == []


@given(st.lists(st.tuples(st.floats(0, 9), st.booleans(), st.integers(1, 200)), max_size=80))
def test_the_most_urgent_always_leads_and_the_bounds_hold(
    waiting: list[tuple[float, bool, int]],
) -> None:
    turns = [turn(c, Work.SOUND if s else Work.SPECTROGRAM, n) for c, s, n in waiting]
    schedule = Schedule(Limits(16, 0.04))
    schedule.pace.took(Work.SOUND, "hi", 100, 0.01)
    for each in turns:
        schedule.add(each)
    batch = schedule.pick()
    assert bool(batch) == bool(turns)
    if batch:
        assert batch[0].due_s() == min(each.due_s() for each in turns)
        assert len(batch) <= 16
        assert len(set(map(id, batch))) == len(batch)
        cost = len(batch) * max(each.length for each in batch)
        assert len(batch) == 1 or cost <= schedule.pace.within(BATCH_S, batch[0].work, "hi")
