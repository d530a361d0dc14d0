"""``ivr doctor`` on a whole appliance: one that is well, its call to itself, parts of it killed."""

from __future__ import annotations

import io
import os
import signal
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.upsite_kit import UpSite

pytestmark = [pytest.mark.server, pytest.mark.sip]
QUESTION = "What are your opening hours on Saturday?"


@pytest.fixture(scope="module")
def site(open_tmp: Path) -> Iterator[UpSite]:
    place = UpSite(open_tmp / "doctored", open_tmp / "embedded-doctored", {})
    try:
        place.open()
        yield place
    finally:
        place.close()


def asked(site: UpSite, *arguments: str, status: int) -> dict[str, Any]:
    said: dict[str, Any] = orjson.loads(
        site.ivr("doctor", *arguments, "--json", status=status).splitlines()[-1]
    )
    return said


def codes(said: dict[str, Any], *states: str) -> set[str]:
    return {one["code"] for one in said["findings"] if one["state"] in states}


def test_an_appliance_that_is_well_is_said_to_be(site: UpSite) -> None:
    """Every engine really answers, all ports are ours; what is bad is the folder of this test alone."""
    groups = ("engines", "network", "database", "security", "telephony", "numbers")
    only = [word for group in groups for word in ("--only", group)]
    said = asked(site, "--fix", *only, status=0)
    good = codes(said, "good")
    assert {"voices", "recognisers", "turns", "embeddings", "ports", "schema", "sip"} <= good
    assert {"exposure", "files", "numbers"} <= good and said["good"]
    assert all("/recordings" in one["step"] or "/spool" in one["step"] for one in said["fixed"])


def test_it_rings_itself_and_tells_what_was_heard(site: UpSite) -> None:
    said = asked(site, "--call", "--wait", "30", status=0)
    (call,) = said["calls"]
    assert said["good"] and said["question"] == QUESTION and call["through"] == "ivr sip"
    assert call["greeted"] and call["word_error"] <= 0.5 and call["gap_ms"] > 0
    assert "saturday" in call["heard"] and call["answer"] and call["lost_packets"] == 0
    shown = site.ask("calls", "show", call["call_id"])
    assert call["heard"] in str(shown)


def test_a_call_that_nobody_answers_says_why(site: UpSite) -> None:
    site.environment["IVR_SIP__PORT"] = str(site.ports["embed"])  # nothing speaks SIP there
    try:
        said = asked(site, "--call", status=1)
    finally:
        site.environment["IVR_SIP__PORT"] = str(site.sip_port)
    assert said["calls"] == [] and "Nothing answers SIP" in said["findings"][0]["what"]


@pytest.mark.long
def test_the_bundle_of_a_site_with_calls_holds_none_of_their_words(
    site: UpSite, tmp_path: Path
) -> None:
    asked(site, "--call", "--wait", "30", status=0)  # also where no test before has rung
    file = tmp_path / "support.tar.gz"
    site.ivr("doctor", "--bundle", str(file), "--log", str(site.folder / "up.log"))
    with tarfile.open(fileobj=io.BytesIO(file.read_bytes())) as tar:
        whole = b"".join(tar.extractfile(one).read() for one in tar.getmembers())  # type: ignore[union-attr]
    secrets = [path.read_bytes() for path in site.settings.secrets_dir.iterdir()]
    assert len(secrets) > 3 and not [secret for secret in secrets if secret in whole]
    for words in (b"opening hours on saturday", b"rehearsal-doctor"):
        assert words not in whole.lower()
    assert b"< call from" in whole


@pytest.mark.long
@pytest.mark.parametrize(
    ("process", "group", "code"),
    [("stt", "engines", "stage-away"), (" worker", "calls", "no-worker")],
)
def test_what_stands_still_is_told(site: UpSite, process: str, group: str, code: str) -> None:
    (pid,) = site.children(process)
    keeper = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    for one in (keeper, pid):  # else `ivr up` starts another one meanwhile
        os.kill(one, signal.SIGSTOP)
    try:
        assert code in codes(asked(site, "--only", group, status=1), "bad")
    finally:
        for one in (pid, keeper):
            os.kill(one, signal.SIGCONT)
