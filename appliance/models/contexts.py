"""What was built of agents' knowledge, by the context's name: those used last, so many at most."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from typing import Generic, TypeVar

from appliance.models.engine import ContextStats, UnknownContext

_log = logging.getLogger(__name__)

MOST_CONTEXTS = 256
"""The worker puts one again when it is needed and has gone."""

T = TypeVar("T")


class Contexts(Generic[T]):
    """The contexts of one engine; ``T`` is what its sessions are begun with."""

    def __init__(self) -> None:
        self._built: OrderedDict[str, T] = OrderedDict()

    def get(self, name: str) -> T | None:
        """The context of this name, if it is here."""
        return self._built.get(name)

    def find(self, name: str) -> T:
        """The context of a call that begins. Raises UnknownContext."""
        if name not in self._built:
            raise UnknownContext(name)
        self._built.move_to_end(name)
        return self._built[name]

    def put(self, name: str, built: T) -> None:
        """Keep one; the one unused for longest goes when they are too many."""
        self._built[name] = built
        self._built.move_to_end(name)
        while len(self._built) > MOST_CONTEXTS:
            self._built.popitem(last=False)

    def put_words(self, name: str, built: T, words: int, texts: int, began: float) -> ContextStats:
        """As :meth:`put`, and tell what came of ``texts``; ``began`` by ``time.monotonic``."""
        self.put(name, built)
        ms = round((time.monotonic() - began) * 1000)
        _log.info("= context %s: %d words, %d ms", name, words, ms)
        return ContextStats(words, texts, ms)
