"""How many servers of one stage are wanted now: the plan is a floor, load comes on top.

The one function is pickled by value into Ray Serve's controller, which has none of our modules: it
uses nothing but the standard library, and its state is a dict of plain numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

TARGET_SHARE = 0.75
"""Load may fill so much of the servers; the rest is there while another one warms up."""
MOST_ENTRIES = 512
"""Of the state; one entry for each number of servers that was wanted lately, so never reached by a
stage of fewer servers. At the bound the oldest two become one, which keeps servers longer."""


def wanted(
    now_s: float,
    plan_steps: Sequence[tuple[float, int]],
    running: int,
    in_flight: int,
    capacity: int,
    least: int,
    most: int,
    warm_up_s: float,
    idle_s: float,
    state: Mapping[str, Any],
) -> tuple[int, dict[str, Any]]:
    """Servers wanted at ``now_s`` (unix seconds), and the state for the next time it is asked.

    ``plan_steps`` are (from unix_s, servers) in order; before the first and without any, the plan
    wants none. ``running`` servers (those that warm up included) carry ``in_flight`` uses of
    ``capacity`` each. ``state`` is ``{}`` the first time; then what is running stays for ``idle_s``.

    The answer lies in ``least`` to ``most``. It rises at once, with the load or when the plan wants
    more within ``warm_up_s``; it falls to what was wanted most in the last ``idle_s``, so that it
    never goes up and down within that time.
    """
    until_s = now_s + max(0.0, warm_up_s)
    floor = 0
    for position, (from_s, servers) in enumerate(plan_steps):
        if from_s > until_s:
            break
        last = position + 1 == len(plan_steps)
        if last or plan_steps[position + 1][0] > now_s:  # not over yet
            floor = max(floor, servers)
    by_load = math.ceil(max(0, in_flight) / (max(1, capacity) * TARGET_SHARE))
    needed = max(least, min(most, max(floor, by_load)))
    lately = [(float(at), int(count)) for at, count in state.get("lately", ())]
    if not state:
        lately.append((now_s, max(least, min(most, running))))
    # A clock that was set back must not keep servers for ever: the future is as good as now.
    lately = [(min(at, now_s), count) for at, count in lately if at > now_s - idle_s]
    # What was needed before and is not more than what is needed now says nothing any more.
    lately = [entry for entry in lately if entry[1] > needed]
    lately.append((now_s, needed))
    if len(lately) > MOST_ENTRIES:
        lately[:2] = [(lately[1][0], lately[0][1])]
    answer = max(least, min(most, lately[0][1]))
    return answer, {"lately": [list(entry) for entry in lately]}
