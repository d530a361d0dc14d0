"""Known vulnerabilities of locked packages, looked up in an export that was brought along.

No network: the data is a folder, a file or a zip of OSV records (osv.dev, ecosystem PyPI) or of
answers of PyPI's JSON API. What is newer than the export is not known, so its age is always told.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from appliance.errors import UserError
from appliance.ops.console import plain, print_json, print_table, short
from appliance.ops.releases.lockfile import Pinned, read_lock

STALE_DAYS = 14
"""Older data says little of the days since."""
LARGEST_RECORD_BYTES = 4 << 20
ECOSYSTEM = "PyPI"
FOUND_STATUS, STALE_STATUS = 1, 3


@dataclass(frozen=True, slots=True)
class Advisory:
    """One vulnerability of one locked package."""

    package: str
    version: str
    id: str
    aliases: tuple[str, ...]
    fixed_in: tuple[str, ...]
    """The first good versions after ours, as far as the record says."""
    summary: str


@dataclass(frozen=True, slots=True)
class Audit:
    """What was found, in which data."""

    packages: int
    records: int
    newest: datetime | None
    """When the youngest record was changed: the export is as old as that, or older."""
    found: tuple[Advisory, ...]

    def is_stale(self, now: datetime) -> bool:
        """Whether the data is too old, or says not how old it is."""
        return self.newest is None or now - self.newest > timedelta(days=STALE_DAYS)


def audit(locked: Sequence[Pinned], data: Path) -> Audit:
    """Compare. Raises UserError where ``data`` holds no record, or one that cannot be read."""
    versions = {one.name: one.version for one in locked}
    found: dict[tuple[str, str], Advisory] = {}
    count, newest = 0, None
    for record in _records(data):
        count += 1
        for one in _matches(record, versions):
            found.setdefault((one.package, one.id), one)
        changed = _time(record.get("modified") or record.get("published"))
        newest = max(filter(None, (newest, changed)), default=None)
    if not count:
        raise UserError(
            f"{data} holds no advisory. Bring the export of OSV (PyPI/all.zip) or its JSON files."
        )
    order = sorted(found.values(), key=lambda one: (one.package, one.id))
    return Audit(len(locked), count, newest, tuple(order))


# --- reading --------------------------------------------------------------------------------------


def _records(data: Path) -> Iterator[dict[str, Any]]:
    try:
        if data.is_dir():
            for file in sorted(data.rglob("*.json")):
                yield from _of_text(file.read_bytes(), str(file))
        elif zipfile.is_zipfile(data):
            with zipfile.ZipFile(data) as archive:
                for info in archive.infolist():
                    if info.filename.endswith(".json") and info.file_size <= LARGEST_RECORD_BYTES:
                        yield from _of_text(archive.read(info), f"{data}: {info.filename}")
        else:
            yield from _of_text(data.read_bytes(), str(data))
    except (OSError, zipfile.BadZipFile) as e:
        raise UserError(f"{data} cannot be read: {e}.") from e


def _of_text(text: bytes, where: str) -> Iterator[dict[str, Any]]:
    """One record, a list of them, one a line, or PyPI's answer about a package."""
    try:
        try:
            told = json.loads(text)
        except json.JSONDecodeError:
            told = [json.loads(line) for line in text.splitlines() if line.strip()]
    except (ValueError, RecursionError) as e:
        raise UserError(f"{where} is no JSON: {e}. Bring the export again.") from e
    for one in told if isinstance(told, list) else [told]:
        if isinstance(one, dict):
            yield from _of_pypi(one) if "vulnerabilities" in one and "info" in one else [one]


def _of_pypi(told: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """As OSV would say it: PyPI lists what holds for exactly the version it was asked about."""
    package = {"ecosystem": ECOSYSTEM, "name": told["info"].get("name", "")}
    for one in told["vulnerabilities"]:
        fixed = [{"introduced": "0"}, *({"fixed": version} for version in one.get("fixed_in", []))]
        affected = {
            "package": package,
            "versions": [told["info"].get("version", "")],
            "database_specific": {"events": fixed},
        }
        yield {**one, "summary": one.get("summary") or one.get("details"), "affected": [affected]}


# --- comparing ------------------------------------------------------------------------------------


def _matches(record: dict[str, Any], versions: dict[Any, str]) -> Iterator[Advisory]:
    if record.get("withdrawn"):
        return
    for affected in _dicts(record.get("affected")):
        package = affected.get("package") or {}
        name = canonicalize_name(str(package.get("name", "")))
        if package.get("ecosystem") != ECOSYSTEM or name not in versions:
            continue
        ours = versions[name]
        if not _is_affected(ours, affected):
            continue
        yield Advisory(
            name,
            ours,
            str(record.get("id", "?")),
            tuple(map(str, record.get("aliases") or ())),
            _fixes(ours, affected),
            str(record.get("summary") or ""),
        )


def _is_affected(version: str, affected: dict[str, Any]) -> bool:
    if version in map(str, affected.get("versions") or ()):
        return True
    ranges = [one for one in _dicts(affected.get("ranges")) if one.get("type") != "GIT"]
    return any(_in_range(version, _dicts(one.get("events"))) for one in ranges)


def _in_range(version: str, events: Iterable[dict[str, Any]]) -> bool:
    """OSV's rule: walk the events in order of versions; the last one at or before ours decides."""
    ours, inside = Version(version), False
    marks = []
    for event in events:
        for kind, text in event.items():
            if (at := _version(text)) is not None:
                marks.append((at, kind))
    for at, kind in sorted(marks, key=lambda mark: mark[0]):
        if kind == "introduced" and at <= ours:
            inside = True
        elif (kind == "fixed" and at <= ours) or (kind == "last_affected" and at < ours):
            inside = False
    return inside


def _fixes(version: str, affected: dict[str, Any]) -> tuple[str, ...]:
    lists = [_dicts(one.get("events")) for one in _dicts(affected.get("ranges"))]
    lists.append(_dicts((affected.get("database_specific") or {}).get("events")))
    found = {at for events in lists for e in events if (at := _version(e.get("fixed"))) is not None}
    return tuple(str(at) for at in sorted(found) if at > Version(version))


def _version(text: object) -> Version | None:
    try:
        return Version("0.dev0" if text == "0" else str(text))
    except InvalidVersion:
        return None  # a git commit, for one


def _dicts(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _time(text: object) -> datetime | None:
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


# --- the command ----------------------------------------------------------------------------------


def print_audit(locks: Sequence[Path], data: Path, *, as_json: bool) -> int:
    """``ivr bundle audit``; returns the exit status: 1 vulnerabilities, 3 none but the data is old."""
    every = (one for lock in locks for one in read_lock(lock))
    locked = list({(one.name, one.version): one for one in every}.values())  # in several locks
    done = audit(locked, data)
    stale = done.is_stale(datetime.now(UTC))
    if as_json:
        print_json(asdict(done) | {"stale": stale})
    else:
        rows = [
            (
                one.package,
                one.version,
                one.id,
                ", ".join(one.fixed_in) or "none yet",
                short(one.summary),
            )
            for one in done.found
        ]
        print_table(
            ("package", "version", "advisory", "fixed in", "what"), rows, "Nothing is known."
        )
        print(plain(_told(done, stale)))
    return FOUND_STATUS if done.found else STALE_STATUS if stale else 0


def _told(done: Audit, stale: bool) -> str:
    age = f"{done.newest:%Y-%m-%d}" if done.newest else "a day that it does not say"
    said = f"{done.packages} packages against {done.records} records, the newest of {age}."
    return said + (" That is too old to rely on: bring a newer export." if stale else "")
