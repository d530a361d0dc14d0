"""Numbers in every form that an Indian trunk writes them in, and strings that are none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.numbers import (
    NUMBER_FORMATS,
    NumberFormat,
    candidates,
    e164,
    for_trunk,
    is_public,
    tells_who,
)

MOBILES = st.builds("{}{:09d}".format, st.sampled_from("6789"), st.integers(0, 10**9 - 1))
LANDLINES = st.one_of(
    st.builds("11{}{:07d}".format, st.sampled_from("24"), st.integers(0, 10**7 - 1)),  # Delhi
    st.builds("80{}{:07d}".format, st.sampled_from("24"), st.integers(0, 10**7 - 1)),  # Bengaluru
)
SUBSCRIBERS = st.one_of(MOBILES, LANDLINES).filter(lambda n: is_public(f"+91{n}", "IN"))
HOSTILE = st.one_of(
    st.text(max_size=80), st.text(alphabet="+0123456789 -()./*#,;x${}'\"\n\0१", max_size=80)
)


def written(subscriber: str) -> tuple[str, ...]:
    """Every usual way to write one Indian number."""
    return (
        f"+91{subscriber}", f"91{subscriber}", f"0091{subscriber}", f"0{subscriber}", subscriber,
        f"+91 {subscriber[:5]} {subscriber[5:]}", f"+91-{subscriber[:2]}-{subscriber[2:]}",
        f"0{subscriber[:2]}-{subscriber[2:6]} {subscriber[6:]}", f"  {subscriber} ",
    )  # fmt: skip


@given(SUBSCRIBERS)
def test_every_way_to_write_a_number_has_one_normal_form(subscriber: str) -> None:
    assert {e164(text, "IN") for text in written(subscriber)} == {f"+91{subscriber}"}


@given(SUBSCRIBERS, st.sampled_from(NUMBER_FORMATS))
def test_what_a_trunk_is_given_comes_back_as_the_same_number(
    subscriber: str, fmt: NumberFormat
) -> None:
    dialled = for_trunk(subscriber, fmt, "IN")
    assert e164(dialled, "IN") == f"+91{subscriber}"
    assert dialled.removeprefix("+").isdigit()


@given(SUBSCRIBERS)
def test_a_number_is_found_however_it_was_dialled_and_stored(subscriber: str) -> None:
    stored = {for_trunk(subscriber, fmt, "IN") for fmt in NUMBER_FORMATS}
    for text in written(subscriber):
        forms = candidates(text, "IN")
        assert forms[0] == text.strip()
        assert forms[1:2] in ((f"+91{subscriber}",), ()) or forms[0] == f"+91{subscriber}"
        assert stored <= set(forms)


@given(HOSTILE, st.sampled_from(["IN", "US", "DE", "XX", ""]))
def test_no_string_raises_and_what_is_no_number_is_left_alone(text: str, country: str) -> None:
    normal = e164(text, country)
    assert normal == text.strip() or is_public(text, country)
    assert e164(normal, country) == normal
    for fmt in NUMBER_FORMATS:
        for_trunk(text, fmt, country)
    assert candidates(text, country)[0] == text.strip()


@pytest.mark.parametrize(
    "text",
    ["1001", "1909", "112", "100", "*", "anonymous", "1-800-FLOWERS", "+1001", "12345", "queue:x",
     "९८७६५४३२१०", "98765 43210x12", "", "0000000000", "99999999999999999999", "sip:a@b"],
)  # fmt: skip
def test_short_codes_extensions_and_names_stay_as_they_are(text: str) -> None:
    assert e164(text, "IN") == text
    assert not is_public(text, "IN")
    assert for_trunk(text, "national", "IN") == text


def test_the_four_forms() -> None:
    forms = [for_trunk("98765 43210", fmt, "IN") for fmt in NUMBER_FORMATS]
    assert forms == ["+919876543210", "919876543210", "09876543210", "9876543210"]


def test_toll_free_numbers_have_no_leading_zero() -> None:
    assert for_trunk("1800 123 4567", "national", "IN") == "18001234567"
    assert e164("18001234567", "IN") == "+9118001234567"


def test_foreign_numbers_get_the_international_prefix() -> None:
    assert for_trunk("+1 212 555 1234", "national", "IN") == "0012125551234"
    assert for_trunk("+1 212 555 1234", "subscriber", "IN") == "0012125551234"
    assert e164("0012125551234", "IN") == "+12125551234"


def test_a_ten_digit_number_that_begins_with_the_country_code_is_a_subscriber() -> None:
    assert e164("9198765432", "IN") == "+919198765432"


@pytest.mark.parametrize(
    "caller",
    [
        "", "+", "anonymous", "Anonymous", "Restricted", "unknown", "unavailable", "0000",
        "+0000000000", "anonymous@10.11.12.13", "Anonymous <192.168.1.77>", "restricted 911",
        "+266696687", "266696687", "00266696687", "+7378742833", "+86282452253", "+8656696", "+2562533",
        "7748283", "1111111111", "+9999999999", "10000000000", "12", "2020202020",
    ],
)  # fmt: skip
def test_a_withheld_number_is_nobodys(caller: str) -> None:
    assert not tells_who(caller)


@pytest.mark.parametrize(
    "caller", ["+919876543210", "9876543210", "1234", "112", "+12025550123", "user417"]
)
def test_a_number_shown_is_somebodys(caller: str) -> None:
    assert tells_who(caller)
