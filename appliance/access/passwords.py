"""Passwords: Argon2id (RFC 9106) in threads of its own, and which passwords are taken."""

from __future__ import annotations

import asyncio
import secrets
import threading
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from appliance.errors import UserError

SHORTEST_LETTERS = 12
LONGEST_LETTERS = 256
ONE_TIME_BYTES = 12
"""96 bits; 16 letters to read out once."""
COMMON = frozenset({
    "123456789012", "1234567890123", "12345678901234", "123456789123", "qwertyuiop12",
    "qwertyuiop123", "qwertyuiop[]", "1qaz2wsx3edc", "1q2w3e4r5t6y", "password1234",
    "password12345", "passwordpassword", "password@123", "password@1234", "administrator",
    "administrator1", "letmeinletmein", "welcomewelcome", "welcome12345", "welcome@1234",
    "iloveyou1234", "changemechangeme", "changeme1234", "adminadminadmin", "adminpassword",
    "abcdefghijkl", "abcdefghijklmnop", "aaaaaaaaaaaa", "111111111111", "000000000000",
    "india@123456", "indiaindia12", "callcenter123", "callcentre123", "correcthorsebatterystaple",
})  # fmt: skip
"""Of twelve letters and more: the ones that guessers try first."""

THREADS = 2
"""Each hash takes 64 MiB and some 50 ms of a core."""
MOST_WAITING = 32
"""Who comes when so many are being checked is asked to try again."""
_pool = ThreadPoolExecutor(THREADS, thread_name_prefix="argon2")
_places = threading.BoundedSemaphore(MOST_WAITING)
_hasher = PasswordHasher()
T = TypeVar("T")


class BusyError(UserError):
    """Too many passwords are being checked at this moment."""


@dataclass(frozen=True, slots=True)
class Checked:
    """Whether a password is the right one, and whether its hash should be made anew."""

    right: bool
    outdated: bool = False
    """The hash was made with other parameters than ours now."""


def require_good(password: str, login: str) -> None:
    """Raises UserError saying why ``password`` is not taken (NIST SP 800-63B §5.1.1.2: length and
    a list, no rules of composition)."""
    if len(password) < SHORTEST_LETTERS:
        raise UserError(f"A password has at least {SHORTEST_LETTERS} letters; four words will do.")
    if len(password) > LONGEST_LETTERS:
        raise UserError(f"A password has at most {LONGEST_LETTERS} letters.")
    folded = _prepared(password).casefold()
    if login and login.casefold() in folded and len(folded) < len(login) + SHORTEST_LETTERS:
        raise UserError("This password is little more than the login. Choose another.")
    if folded in COMMON or len(set(folded)) < 4:
        raise UserError("This password is among the first that are guessed. Choose another.")


def one_time() -> str:
    """A password for somebody else, who must change it."""
    return secrets.token_urlsafe(ONE_TIME_BYTES)


async def hash_password(password: str) -> str:
    """Argon2id in PHC form. Raises BusyError."""
    return await _in_thread(_hash, password)


async def check(password_hash: str, password: str) -> Checked:
    """Compare; with an empty hash (nobody there, no password set) it takes as long and is wrong.

    Raises BusyError.
    """
    return await _in_thread(_check, password_hash, password)


async def _in_thread(work: Callable[..., T], *args: str) -> T:
    if not _places.acquire(blocking=False):
        raise BusyError("Too many people are logging in at this moment. Try again in a second.")
    try:
        return await asyncio.get_running_loop().run_in_executor(_pool, work, *args)
    finally:
        _places.release()


def _hash(password: str) -> str:
    return _hasher.hash(_prepared(password))


def _check(password_hash: str, password: str) -> Checked:
    nobodys = _nobodys_hash()  # made by the first check of a process, whoever it is of
    kept = password_hash or nobodys
    typed = _prepared(password)
    try:
        _hasher.verify(kept, typed)
    except InvalidHashError:
        with suppress(VerificationError):
            _hasher.verify(nobodys, typed)  # what is no hash takes as long, and is wrong
        return Checked(right=False)
    except VerificationError:
        return Checked(right=False)
    return Checked(right=bool(password_hash), outdated=_hasher.check_needs_rehash(kept))


@cache
def _nobodys_hash() -> str:
    return _hasher.hash(secrets.token_urlsafe())


def _prepared(password: str) -> str:
    """The same letters typed on two keyboards are the same password (RFC 8265)."""
    return unicodedata.normalize("NFKC", password)
