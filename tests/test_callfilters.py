"""The filters above the log: from an address and back, and what a stranger's address gets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.admin.ui.calls.filters import Filters, read_filters
from appliance.errors import UserError
from appliance.store.call_log import CallsWanted
from appliance.store.outcomes import Outcome

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
ZONE = "Asia/Kolkata"
NAMES = list(Filters.__dataclass_fields__)


def test_by_default_the_last_week() -> None:
    assert Filters().query() == ""
    assert Filters().wanted(ZONE, NOW) == CallsWanted(since=NOW - timedelta(days=7))
    assert Filters(period="all").wanted(ZONE, NOW) == CallsWanted()


def test_days_are_the_sites_and_whole() -> None:
    wanted = Filters(since="2026-11-20", until="2026-11-20").wanted(ZONE, NOW)
    assert wanted.since is not None and wanted.until is not None
    assert wanted.since.astimezone(UTC) == datetime(2026, 11, 19, 18, 30, tzinfo=UTC)
    assert wanted.until - wanted.since == timedelta(days=1)


def test_what_cannot_be_meant_is_refused_in_a_sentence() -> None:
    for filters, sentence in (
        (Filters(since="yesterday"), "is no day"),
        (Filters(until="0001-01-01"), "of any call"),
        (Filters(slow="-5"), "is no number of ms"),
        (Filters(slow="٣"), "is no number of ms"),
        (Filters(slow="9" * 40), "is no number of ms"),
    ):
        with pytest.raises(UserError, match=sentence):
            filters.wanted(ZONE, NOW)


def test_the_export_asks_the_same() -> None:
    filters = Filters(
        number="+91 98", agent="help", outcome="cut-off", flagged="open", slow="800", recorded="no"
    )
    pairs = dict(parse_qsl(filters.export_query(ZONE, NOW)))
    assert pairs == {
        "since": "2026-11-14T12:00:00+00:00", "number": "+91 98", "agent": "help",
        "outcome": "cut-off", "flagged": "open", "slower_than_ms": "800", "recorded": "false",
    }  # fmt: skip


@given(st.fixed_dictionaries({}, optional={name: st.text(max_size=99) for name in NAMES}))
def test_any_address_is_read_and_written_back(query: dict[str, str]) -> None:
    filters = read_filters(query)
    again = read_filters(dict(parse_qsl(filters.query(), keep_blank_values=True)))
    assert again == filters
    try:
        wanted = filters.wanted(ZONE, NOW)
    except UserError:
        return
    assert wanted.direction in ("", "in", "out", "test") and wanted.flagged in ("", "open", "any")
    assert wanted.outcome is None or wanted.outcome in set(Outcome)
    assert "\0" not in "".join((wanted.number, wanted.agent_id, wanted.language))
