"""Webhooks: what is signed, when it is tried again, where it may go, what comes of an attempt."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.addresses import is_public
from appliance.errors import UserError
from appliance.outreach.webhooks import events, signing
from appliance.outreach.webhooks.backoff import JITTER, LONGEST_S, MOST_ATTEMPTS, wait_s
from appliance.outreach.webhooks.sending import KEPT_LETTERS, allowed, check_url, send
from appliance.settings import Settings
from tests.webhook_receiver import Receiver, is_right

LOOPBACK = (ip_network("127.0.0.0/8"),)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    found = Receiver(signing.new_secret())
    runner = await found.start()
    yield found
    await runner.cleanup()


# --- signing --------------------------------------------------------------------------------------


def test_the_signature_of_the_specification() -> None:
    """The example of standardwebhooks' own libraries."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'
    made = signing.signatures([secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(st.binary(max_size=200), st.text("abc_0", min_size=1, max_size=9))
def test_a_receiver_knows_either_secret_and_no_other(body: bytes, message_id: str) -> None:
    old, new, other = (signing.new_secret() for _ in range(3))
    now = int(time.time())
    headers = {
        "webhook-id": message_id,
        "webhook-timestamp": str(now),
        "webhook-signature": signing.signatures([new, old], message_id, now, body),
    }
    assert is_right(old, headers, body) and is_right(new, headers, body)
    assert not is_right(other, headers, body)
    assert not is_right(new, headers, body + b" ")
    assert not is_right(new, headers | {"webhook-id": message_id + "1"}, body)


def test_a_secret_is_sealed_under_the_boxs_own(tmp_path: Path) -> None:
    settings, elsewhere = Settings(data_dir=tmp_path / "a"), Settings(data_dir=tmp_path / "b")
    secret = signing.new_secret()
    sealed = signing.seal(settings, secret)
    assert secret not in sealed and signing.unseal(settings, sealed) == secret
    with pytest.raises(UserError, match="another one now"):
        signing.unseal(elsewhere, sealed)


# --- back-off -------------------------------------------------------------------------------------


@given(st.integers(1, 20), st.floats(0, 0.999), st.floats(0, 10 * LONGEST_S))
def test_it_is_tried_again_later_and_later(attempts: int, chance: float, asked_s: float) -> None:
    wait = wait_s(attempts, chance, asked_s)
    assert (wait is None) == (attempts >= MOST_ATTEMPTS)
    if wait is not None:
        usual = 15 * 4 ** (attempts - 1)
        assert wait >= usual * (1 - JITTER)
        assert wait >= min(asked_s, LONGEST_S)
        assert wait <= max(usual * (1 + JITTER), min(asked_s, LONGEST_S))


def test_all_attempts_together_last_about_a_day() -> None:
    waits = [wait_s(n, 0.5) or 0.0 for n in range(1, MOST_ATTEMPTS)]
    assert waits == sorted(waits) and 20 * 3600 < sum(waits) < 25 * 3600


# --- where it may go ------------------------------------------------------------------------------

PRIVATE = [
    "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254",
    "100.64.0.1", "100.100.100.200", "168.63.129.16", "224.0.0.1", "255.255.255.255", "198.18.0.1",
    "::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1",
    "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a00:1",
    "2002:7f00:1::", "2001:0:7f00:1::80ff:fffe", "64:ff9b:1::a00:1", "2001:db8::1",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
async def test_no_private_address_in_any_form(address: str) -> None:
    assert not is_public(ip_address(address))
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(UserError):
        await allowed(f"https://{host}/hook", ())


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_the_public_internet(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f000001", "017700000001", "127.1", "localhost", "LOCALHOST."]
)
async def test_other_ways_to_write_loopback(host: str) -> None:
    with pytest.raises(UserError, match=r"private address|not known now"):
        await allowed(f"https://{host}/", ())


def _names(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    async def known(self: Any, host: str, port: int, **options: Any) -> Any:
        return [(socket.AF_INET, 1, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(asyncio.base_events.BaseEventLoop, "getaddrinfo", known)


async def test_a_name_that_leads_to_a_private_address(monkeypatch: pytest.MonkeyPatch) -> None:
    _names(monkeypatch, "10.0.0.7")
    with pytest.raises(UserError, match="private address"):
        await allowed("https://hooks.example/", ())
    ours = (ip_network("10.0.0.0/24"),)
    assert str(await allowed("http://hooks.example/", ours)) == "10.0.0.7"
    _names(monkeypatch, "10.0.0.7", "8.8.8.8")
    assert str(await allowed("https://hooks.example/", ())) == "8.8.8.8"
    with pytest.raises(UserError, match="Write https://"):
        await allowed("http://hooks.example/", ())
    _names(monkeypatch, "169.254.169.254")
    with pytest.raises(UserError, match="private address"):
        await allowed("http://hooks.example/", (ip_network("0.0.0.0/0"),))


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/", "example.org/hook", "https://", "https://u:p@example.org/", "https://[::1",
        "https://example.org/a b", "https://example.org/\n", "file:///etc/passwd", "gopher://x/",
        "https://example.org/é", "https://example.org:99999/", "https://" + "a" * 3000,
    ],
)  # fmt: skip
def test_what_is_no_url_of_a_webhook(url: str) -> None:
    with pytest.raises(UserError):
        check_url(url)


@given(st.text(max_size=60))
def test_no_text_breaks_the_check(text: str) -> None:
    try:
        host, port, _ = check_url(f"https://{text}")
    except UserError:
        return
    assert host and 0 <= port <= 65535


# --- one attempt ----------------------------------------------------------------------------------


async def _sent(receiver: Receiver, **options: Any) -> Any:
    body = events.body_of({"type": "webhook.test", "data": {}})
    return await send(receiver.url, LOOPBACK, [receiver.secret], "msg_1", body, **options)


@pytest.mark.server
async def test_delivered_and_its_signature_is_right(receiver: Receiver) -> None:
    attempt = await _sent(receiver)
    assert attempt.delivered and (attempt.status, attempt.answer) == (200, "thank you")
    assert receiver.got == [{"type": "webhook.test", "data": {}}] and receiver.ids == ["msg_1"]


@pytest.mark.server
async def test_nothing_is_sent_to_loopback_unless_the_operator_says_so(receiver: Receiver) -> None:
    attempt = await send(receiver.url, (), [receiver.secret], "msg_1", b"{}")
    assert "private address" in attempt.error and receiver.asked == 0


@pytest.mark.server
async def test_redirects_are_not_followed(receiver: Receiver) -> None:
    receiver.answers = ["redirect"]
    attempt = await _sent(receiver)
    assert (attempt.status, attempt.delivered) == (302, False)
    assert "not followed" in attempt.error and receiver.elsewhere == 0


@pytest.mark.server
async def test_slow_dropped_endless_and_nobody_there(receiver: Receiver) -> None:
    receiver.answers = ["slow", "drop", "endless"]
    slow = await _sent(receiver, timeout_s=0.2)
    assert "within 0.2 s" in slow.error and 150 <= slow.took_ms < 5000
    assert "cannot be reached" in (await _sent(receiver)).error
    endless = await _sent(receiver)
    assert endless.delivered and endless.answer == "a" * KEPT_LETTERS
    receiver.url = "http://127.0.0.1:9/hook"
    assert "cannot be reached" in (await _sent(receiver)).error


@pytest.mark.server
async def test_statuses_and_when_to_come_back(receiver: Receiver) -> None:
    receiver.answers = [500, 503, 429, 503, 410]
    first = await _sent(receiver)
    assert (first.status, first.error, first.answer) == (500, "Status 500.", "not now\ufffd")
    receiver.headers = {"Retry-After": "120"}
    assert (await _sent(receiver)).retry_after_s == 120
    receiver.headers = {"Retry-After": format_datetime(datetime.now(UTC) + timedelta(seconds=90))}
    assert 80 < (await _sent(receiver)).retry_after_s <= 90
    receiver.headers = {"Retry-After": "soon"}
    assert (await _sent(receiver)).retry_after_s == 0
    assert "wants no more" in (await _sent(receiver)).error


# --- payloads -------------------------------------------------------------------------------------


def test_what_is_private_is_told_only_where_it_was_asked_for() -> None:
    payload = events.test_payload(datetime.now(UTC), "main", "anna")
    private = events.Private("+911234567890", ({"said": "hello"},))
    assert "+911" not in events.body_of(events.with_private(payload, [], private)).decode()
    told = events.with_private(payload, ["caller", "transcript"], private)["data"]
    assert told["caller"] == "+911234567890" and told["transcript"] == [{"said": "hello"}]
    assert "caller" not in payload["data"]  # the outbox's own is as it was


def _shape(value: Any) -> Any:
    return {key: _shape(item) for key, item in value.items()} if isinstance(value, dict) else None


def test_the_examples_of_the_documentation_are_what_is_sent() -> None:
    text = (Path(__file__).parents[1] / "docs" / "webhooks.md").read_text()
    examples = [json.loads(part.split("```")[0]) for part in text.split("```json\n")[1:]]
    shown = {one["type"]: _shape(one) for one in examples}
    now = datetime.now(UTC)
    call = events.EndedCall(
        "c", 1, "in", "1", "help", 1, "main", "en", now, now, "transferred", "X", "agent", "queue:a",
        "asked", 1, 0, 1.0, 2.0, 0, "",
    )  # fmt: skip
    flag = events.FlagTold(
        "f", now, "c", 1, "help", 1, "main", "guard", "agent", "r", "words", "low", "late", "open"
    )
    sent = (events.ended(call), events.flagged(flag), events.test_payload(now, "main", "anna"))
    assert shown == {one["type"]: _shape(one) for one in sent}
    assert _shape(events.transferred(call))["data"] == shown["call.ended"]["data"]
