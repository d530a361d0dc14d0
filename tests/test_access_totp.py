"""Codes by time, recovery codes, and what the database keeps of both."""

from __future__ import annotations

import string
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest

from appliance.access import sealing, totp
from appliance.errors import UserError
from appliance.settings import Settings

NOW_S = 1_800_000_010.0
"""Ten seconds into a step."""


@pytest.mark.parametrize(
    ("off_s", "right"), [(0, True), (-30, True), (30, True), (-61, False), (61, False)]
)
def test_a_telephones_clock_may_be_a_step_off(off_s: int, right: bool) -> None:
    secret = totp.new_secret()
    code = pyotp.TOTP(secret).at(int(NOW_S) + off_s)
    expected = int((NOW_S + off_s) // 30) if right else None
    assert totp.step_of(secret, code, NOW_S) == expected


def test_rfc_6238_vector() -> None:
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"  # "12345678901234567890"
    assert totp.step_of(secret, "287 082", 59.0) == 1


@pytest.mark.parametrize("code", ["", "000000x", "१२३४५६", "1" * 300])
def test_what_is_no_code_is_wrong(code: str) -> None:
    assert totp.step_of(totp.new_secret(), code, NOW_S) is None


def test_the_qr_code_says_who_and_where() -> None:
    uri = urlsplit(totp.uri("ABCDEFGHABCDEFGHABCDEFGHABCDEFGH", "asha@x"))
    assert (uri.scheme, uri.netloc) == ("otpauth", "totp")
    assert parse_qs(uri.query) == {
        "secret": ["ABCDEFGHABCDEFGHABCDEFGHABCDEFGH"],
        "issuer": ["IVR"],
    }


def test_recovery_codes_are_long_and_kept_as_hashes() -> None:
    codes = totp.recovery_codes()
    assert len(set(codes)) == totp.RECOVERY_CODES
    assert all(len(code.replace("-", "")) == 16 for code in codes)
    assert set("".join(codes)) <= set(string.ascii_lowercase + "234567-")
    assert totp.recovery_hash(codes[0].upper().replace("-", " ")) == totp.recovery_hash(codes[0])
    assert codes[0] not in totp.recovery_hash(codes[0])


def test_a_secret_is_sealed_and_opened(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    sealed = sealing.seal(settings, "ABC")
    assert "ABC" not in sealed
    assert sealing.unseal(settings, sealed) == "ABC"
    with pytest.raises(UserError, match="reset-second-factor"):
        sealing.unseal(Settings(data_dir=tmp_path / "other"), sealed)


def test_a_ticket_is_for_one_purpose_and_for_a_while(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    ticket = sealing.make_ticket(settings, "code", {"user": 7})
    assert sealing.read_ticket(settings, "code", ticket, 60) == {"user": 7}
    assert sealing.read_ticket(settings, "enrol", ticket, 60) is None
    assert sealing.read_ticket(settings, "code", ticket, -1) is None, "too old"
    assert sealing.read_ticket(settings, "code", ticket[:-2] + "AA", 60) is None
    assert sealing.read_ticket(settings, "code", "é", 60) is None
