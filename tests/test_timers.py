"""What a call waits for."""

from __future__ import annotations

from appliance.call.timers import Timer, Timers


class Playing:
    """A call so far."""

    now_ms = 0

    def clock(self) -> int:
        return self.now_ms


def test_each_is_due_once_and_in_time() -> None:
    call = Playing()
    timers = Timers(call.clock)
    timers.start(Timer.SILENCE, 100)
    timers.start(Timer.LONGEST, 300)
    call.now_ms = 99
    assert not list(timers.due()) and timers.is_running(Timer.SILENCE)
    call.now_ms = 120
    assert list(timers.due()) == [Timer.SILENCE] and not list(timers.due())
    timers.start(Timer.SILENCE, 100)
    call.now_ms = 300
    assert set(timers.due()) == {Timer.SILENCE, Timer.LONGEST}


def test_started_again_it_is_due_later_and_at_once_with_no_wait() -> None:
    call = Playing()
    timers = Timers(call.clock)
    timers.start(Timer.MEDIA, 100)
    call.now_ms = 90
    timers.start(Timer.MEDIA, 100)
    call.now_ms = 150
    assert not list(timers.due())
    timers.start(Timer.MEDIA, 0)
    assert list(timers.due()) == [Timer.MEDIA]


def test_what_the_first_one_stops_or_starts_anew_is_not_due() -> None:
    call = Playing()
    timers = Timers(call.clock)
    for timer in (Timer.SLOW, Timer.TONE, Timer.PERSON, Timer.BEEP):
        timers.start(timer, 10)
    call.now_ms = 10
    fired = []
    for timer in timers.due():
        fired.append(timer)
        timers.stop(Timer.TONE, Timer.PERSON)
        timers.start(Timer.BEEP, 10)
    assert fired == [Timer.SLOW]
    call.now_ms = 20
    assert list(timers.due()) == [Timer.BEEP]
