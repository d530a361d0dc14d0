"""Asks Postgres from greenlets: in native threads of its own, so that a Postgres which hangs holds up
nobody who asks for something else (gevent looks up even addresses in the threads that all share)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import gevent
from gevent.threadpool import ThreadPool
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import TimeoutError as DatabaseTimeoutError

T = TypeVar("T")

THREADS = 4
"""At once; who comes fifth waits for one."""


class Clerk:
    """Does work in transactions."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._threads = ThreadPool(THREADS)

    def ask(self, work: Callable[[Connection], T], timeout_s: float | None = None) -> T:
        """What ``work`` gives, in one transaction; None waits as long as it takes.

        Raises SQLAlchemyError: no Postgres, or none that answers in time; then nothing is done later
        either.
        """
        given_up = False

        def in_thread() -> T:
            with self._engine.begin() as connection:
                done = work(connection)
                if given_up:
                    raise DatabaseTimeoutError("nobody waits for it any more")
                return done

        try:
            with gevent.Timeout(timeout_s):
                return cast(T, self._threads.spawn(in_thread).get())
        except gevent.Timeout as e:
            given_up = True
            raise DatabaseTimeoutError("Postgres does not answer.") from e
