"""The per-call token: only what was made with the secret, for this call, and not too long ago."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.media.token import LIFETIME_S, check, make

SECRET, CALL_ID, NOW_S = "s3cret", "0f5b1b1e-7c1c-4a57", 1_700_000_000.4
TOKEN = make(SECRET, CALL_ID, NOW_S)


def test_a_token_lets_its_call_in_until_it_expires() -> None:
    assert check(SECRET, TOKEN, NOW_S) == CALL_ID
    assert check(SECRET, TOKEN, NOW_S + LIFETIME_S - 1) == CALL_ID
    assert check(SECRET, TOKEN, NOW_S + LIFETIME_S + 1) is None


def test_another_secret_is_not_ours() -> None:
    assert check("other", TOKEN, NOW_S) is None
    assert check(SECRET, make("other", CALL_ID, NOW_S), NOW_S) is None


@pytest.mark.parametrize("part", range(4))
def test_no_part_can_be_changed(part: int) -> None:
    parts = TOKEN.split(".")
    for forged in ("v2", "another-call", str(int(NOW_S) + 10**6), "0" * 64, "", parts[part][:-1]):
        assert check(SECRET, ".".join([*parts[:part], forged, *parts[part + 1 :]]), NOW_S) is None


@pytest.mark.parametrize(
    "token",
    ["", ".", "...", "v1...", "." * 5000, TOKEN + ".x", "x." + TOKEN, TOKEN.upper(), "é" + TOKEN,
     TOKEN + "\udcff", TOKEN + "\n", " " + TOKEN, "v1." + TOKEN],
)  # fmt: skip
def test_a_malformed_token_is_refused(token: str) -> None:
    assert check(SECRET, token, NOW_S) is None


def test_an_id_with_a_full_stop_gets_nowhere() -> None:
    assert check(SECRET, make(SECRET, "a.b", NOW_S), NOW_S) is None


@given(st.text() | st.text("v1.0af\u0661é", max_size=90))
def test_no_text_raises(token: str) -> None:
    assert check(SECRET, token, NOW_S) is None
