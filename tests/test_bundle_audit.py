"""Advisories that were brought along, against the lock."""

from __future__ import annotations

import json
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from appliance.__main__ import main
from appliance.errors import UserError
from appliance.ops.releases.advisories import audit
from appliance.ops.releases.lockfile import Pinned, read_lock

LOCKED = [Pinned(n, v, frozenset()) for n, v in (("jinja2", "3.1.2"), ("aiohttp", "3.9.0"))]  # type: ignore[arg-type]


def osv(**more: Any) -> dict[str, Any]:
    """A record as osv.dev writes them (schema 1.6)."""
    events = [{"introduced": "0"}, {"fixed": "3.1.3"}]
    affected = {
        "package": {"ecosystem": "PyPI", "name": "Jinja2", "purl": "pkg:pypi/jinja2"},
        "ranges": [{"type": "ECOSYSTEM", "events": events}],
        "versions": ["3.1.1"],
    }
    record = {"id": "GHSA-h5c8", "aliases": ["CVE-2024-22195"], "summary": "XSS"}
    return record | {"modified": "2026-11-20T00:00:00Z", "affected": [affected]} | more


def put(folder: Path, *records: object) -> Path:
    for number, record in enumerate(records):
        (folder / f"{number}.json").write_text(json.dumps(record))
    return folder


def test_a_vulnerable_version_is_found(tmp_path: Path) -> None:
    (one,) = audit(LOCKED, put(tmp_path, osv())).found
    assert (one.package, one.version, one.id) == ("jinja2", "3.1.2", "GHSA-h5c8")
    assert one.fixed_in == ("3.1.3",) and one.aliases == ("CVE-2024-22195",)


@pytest.mark.parametrize(
    ("events", "hit"),
    [
        ([{"introduced": "0"}, {"fixed": "3.1.2"}], False),
        ([{"introduced": "3.1.2"}], True),
        ([{"introduced": "3.1.3"}], False),
        ([{"introduced": "0"}, {"last_affected": "3.1.2"}], True),
        ([{"introduced": "0"}, {"last_affected": "3.1.1"}], False),
        ([{"introduced": "0"}, {"fixed": "2"}, {"introduced": "3"}, {"fixed": "4"}], True),
        ([{"introduced": "3"}, {"fixed": "4"}, {"introduced": "0"}, {"fixed": "2"}], True),
        ([{"fixed": "4"}], False),
        ([{"introduced": "not a version"}], False),
        ([], False),
    ],
)
def test_ranges(tmp_path: Path, events: list[dict[str, str]], hit: bool) -> None:
    record = osv()
    record["affected"][0]["ranges"][0]["events"] = events
    assert bool(audit(LOCKED, put(tmp_path, record)).found) is hit


@pytest.mark.parametrize("change", ["withdrawn", "ecosystem", "git"])
def test_what_does_not_count(tmp_path: Path, change: str) -> None:
    record = osv()
    if change == "withdrawn":
        record["withdrawn"] = "2026-01-01T00:00:00Z"
    elif change == "ecosystem":
        record["affected"][0]["package"]["ecosystem"] = "Debian"
    else:
        record["affected"][0]["ranges"][0]["type"] = "GIT"
    assert audit(LOCKED, put(tmp_path, record)).found == ()


def test_every_form_of_the_export(tmp_path: Path) -> None:
    (tmp_path / "list").write_text(json.dumps([osv(), {"id": "x"}]))
    (tmp_path / "lines").write_text("\n".join(json.dumps(one) for one in (osv(), osv(id="b"))))
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("GHSA.json", json.dumps(osv()))
    said = {"info": {"name": "aiohttp", "version": "3.9.0"}}
    one = {"id": "PYSEC-1", "details": "smuggling", "fixed_in": ["3.9.2"], "aliases": []}
    (tmp_path / "pypi").write_text(json.dumps(said | {"vulnerabilities": [one]}))
    found = {name: audit(LOCKED, tmp_path / name) for name in ("list", "lines", "all.zip", "pypi")}
    assert {name: len(done.found) for name, done in found.items()} == {
        "list": 1, "lines": 2, "all.zip": 1, "pypi": 1,
    }  # fmt: skip
    assert found["pypi"].found[0].fixed_in == ("3.9.2",) and found["pypi"].newest is None


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "null"])
def test_no_data_is_not_good_news(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError):
        audit(LOCKED, tmp_path)


def test_old_data_is_called_old(tmp_path: Path) -> None:
    done = audit(LOCKED, put(tmp_path, osv()))
    assert done.newest == datetime(2026, 11, 20, tzinfo=UTC)
    assert not done.is_stale(done.newest + timedelta(days=13))
    assert done.is_stale(done.newest + timedelta(days=15))


def test_the_command(tmp_path: Path) -> None:
    lock = tmp_path / "my.lock"
    lock.write_text(f"jinja2==3.1.2 \\\n    --hash=sha256:{'a' * 64}\n")
    (tmp_path / "osv").mkdir()
    data = put(tmp_path / "osv", osv(modified="2020-01-01T00:00:00Z"))
    command = ["bundle", "audit", "--advisories", str(data), "--lock", str(lock)]
    done = CliRunner().invoke(main, [*command, "--json"])
    told = json.loads(done.output.splitlines()[-1])
    assert done.exit_code == 1 and told["stale"] and told["found"][0]["id"] == "GHSA-h5c8"
    lock.write_text(f"jinja2==3.1.6 --hash=sha256:{'a' * 64}\n")
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 3 and "too old" in done.output


def test_our_lock_is_read() -> None:
    locked = read_lock(Path(__file__).parent.parent / "requirements.lock")
    assert len(locked) > 100 and all(one.hashes for one in locked)
    assert len({one.name for one in locked}) == len(locked)


def test_a_lock_without_hashes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("jinja2==3.1.2\n")
    with pytest.raises(UserError, match="no hash"):
        read_lock(tmp_path / "lock")
