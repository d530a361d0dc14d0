"""Which passwords are taken, and how they are kept."""

from __future__ import annotations

import asyncio

import pytest
from argon2 import PasswordHasher
from hypothesis import given
from hypothesis import strategies as st

from appliance.access import passwords
from appliance.access.passwords import BusyError, check, hash_password, one_time, require_good
from appliance.errors import UserError


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("short", "at least 12"),
        ("x" * 257, "at most 256"),
        ("asha.menon.12", "the login"),
        ("ASHA.MENON123", "the login"),
        ("password12345", "guessed"),
        ("PassWord12345", "guessed"),
        ("ababababababab", "guessed"),
        ("password１２３４５", "guessed"),
    ],
)
def test_what_is_refused(password: str, why: str) -> None:
    with pytest.raises(UserError, match=why) as caught:
        require_good(password, "asha.menon")
    assert password not in str(caught.value)


@pytest.mark.parametrize(
    "password",
    ["four plain words here", "चार सादे शब्द यहाँ", "asha.menon likes tea daily", "76E4pfiQBrTKTZLL"],
)
def test_what_is_taken(password: str) -> None:
    require_good(password, "asha.menon")
    require_good(one_time(), "asha.menon")


@given(st.text(max_size=300))
def test_any_text_gets_a_yes_or_a_sentence(password: str) -> None:
    try:
        require_good(password, "asha")
    except UserError as e:
        assert str(e).endswith(".") or "words will do" in str(e)


async def test_a_password_is_kept_as_argon2id_and_known_again() -> None:
    kept = await hash_password("four plain words here")
    assert kept.startswith("$argon2id$") and "plain" not in kept
    assert (await check(kept, "four plain words here")).right
    assert not (await check(kept, "four plain words hers")).right
    assert not (await check(kept, "four plain words here")).outdated


async def test_two_keyboards_type_one_password() -> None:
    kept = await hash_password("ﬁfteen cafe\u0301 tables")
    assert (await check(kept, "fifteen café tables")).right


async def test_other_parameters_are_noticed() -> None:
    old = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash("four plain words here")
    checked = await check(old, "four plain words here")
    assert checked.right and checked.outdated


@pytest.mark.parametrize("nobody", ["", "not a hash"])
async def test_nobodys_password_is_really_compared(
    monkeypatch: pytest.MonkeyPatch, nobody: str
) -> None:
    passwords._nobodys_hash.cache_clear()  # other tests hash cheaply
    compared = []

    class Counting:
        def verify(self, kept: str, typed: str) -> bool:
            if kept.startswith("$"):
                compared.append(kept)
            return hasher.verify(kept, typed)

        def check_needs_rehash(self, kept: str) -> bool:
            return hasher.check_needs_rehash(kept)

        hash = staticmethod(PasswordHasher().hash)

    hasher = PasswordHasher()
    monkeypatch.setattr(passwords, "_hasher", Counting())
    assert not (await check(nobody, "a")).right
    assert len(compared) == 1 and compared[0].startswith("$argon2id$")
    assert compared[0].split("$")[3] == (await hash_password("x")).split("$")[3], "as costly"


async def test_a_flood_is_asked_to_come_again() -> None:
    kept = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash("a")
    done = await asyncio.gather(
        *(check(kept, "b") for _ in range(passwords.MOST_WAITING + 5)), return_exceptions=True
    )
    assert sum(isinstance(one, BusyError) for one in done) == 5
    assert not (await check(kept, "b")).right, "and all places are free again"
