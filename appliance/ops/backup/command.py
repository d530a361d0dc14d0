"""What ``ivr backup`` prints: for people, or one JSON object."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from socket import gethostname
from types import FrameType
from zoneinfo import ZoneInfo

from appliance.errors import UserError
from appliance.files import write_whole
from appliance.ops.backup import create as creating
from appliance.ops.backup import keys, modest, pruning
from appliance.ops.backup import restore as restoring
from appliance.ops.backup import verify as verifying
from appliance.ops.backup.rotation import longest_days
from appliance.ops.backup.state import look_at_backups
from appliance.ops.backup.target import Backup, Target
from appliance.ops.console import print_json, print_table
from appliance.settings import Settings

MB = 1e6
MOST_SHOWN = 20
BAD_STATUS = 1


def tell(line: str) -> None:
    """Progress, beside the result: to people alone."""
    if sys.stderr.isatty():
        print(f"  {line}", file=sys.stderr)


@contextmanager
def _ending_whole() -> Iterator[None]:
    """SIGTERM ends what is under way as an error does: half a backup and helpers go with it."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    try:
        before = signal.signal(signal.SIGTERM, leave)
    except ValueError:  # not the main thread: somebody else's process
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def print_create(settings: Settings, wanted: creating.Wanted, *, as_json: bool) -> int:
    """Returns the exit status: 1 where the drill failed. Raises UserError."""
    if wanted.scheduled and not keys.recipients_of(
        settings
    ):  # alarms say so, a timer need not fail
        print_json({"name": None}) if as_json else print("No backup: there is no key for them yet.")
        return 0
    modest.be_modest()
    with _ending_whole():
        made = creating.create(settings, wanted, tell)
    if as_json:
        print_json(
            {
                "name": made.backup.manifest.name if made.backup else None,
                "seconds": round(made.seconds, 2),
                "read_bytes": made.read_bytes,
                "written_bytes": made.written_bytes,
                "new_objects": made.new_objects,
                "objects": made.backup.manifest.object_count if made.backup else 0,
                "drilled": bool(made.backup and made.backup.manifest.drilled),
                "drill_error": made.drill_error,
                "removed": list(made.removed),
                "warnings": list(made.warnings),
            }
        )
        return BAD_STATUS if made.drill_error else 0
    if made.backup is None:
        print("Today has a backup already.")
        return 0
    manifest = made.backup.manifest
    print(
        f"Backup {manifest.name} in {made.backup.folder.parent}: {made.read_bytes / MB:.1f} MB read,"
        f" {made.written_bytes / MB:.1f} MB written, {made.new_objects} of {manifest.object_count}"
        f" files new, {made.seconds:.1f} s."
    )
    if manifest.drilled:
        print("It was restored into a scratch database, and every table was the same there.")
    for line in made.warnings:
        print(f"! {line}")
    if made.removed:
        print(f"Removed: {', '.join(made.removed)}.")
    if made.drill_error:
        print(f"! It could not be proven: {made.drill_error}")
    return BAD_STATUS if made.drill_error else 0


def print_list(settings: Settings, *, as_json: bool) -> None:
    """The oldest first. Raises UserError when the target is not mounted."""
    target = Target.of(settings)
    target.check_mount()
    backups = target.backups()
    broken = sorted(set(target.names()) - {one.manifest.name for one in backups})
    conf = settings.backup
    longest = longest_days(conf.daily, conf.weekly, conf.monthly)
    look = look_at_backups(settings)
    if as_json:
        print_json(
            {
                "target": str(target.folder),
                "backups": [_facts(one) for one in backups],
                "broken": broken,
                "longest_days": longest,
                "last": look.state.model_dump(mode="json"),
            }
        )
        return
    zone = ZoneInfo(settings.switch.timezone)
    print_table(
        ("name", "made", "release", "database MB", "files", "files MB", "drill"),
        [
            (
                one.manifest.name, f"{one.made_at.astimezone(zone):%Y-%m-%d %H:%M}",
                one.manifest.release, f"{one.manifest.parts['database.age'].bytes / MB:.1f}",
                one.manifest.object_count, f"{one.manifest.object_bytes / MB:.1f}",
                "restored" if one.manifest.drilled else "",
            )
            for one in backups
        ],
        f"There is no backup in {target.folder}.",
    )  # fmt: skip
    for name in broken:
        print(f"! {name} is damaged.")
    if look.state.error:
        print(f"! The last one failed: {look.state.error}")
    print(f"What is erased from the box is in none of them after {longest} days.")


def _facts(backup: Backup) -> dict[str, object]:
    facts = backup.manifest.model_dump(mode="json", exclude={"seal"})
    return facts | {"folder": str(backup.folder)}


def print_verify(
    settings: Settings, where: str, identity: Path | None, *, unsealed: bool, as_json: bool
) -> int:
    """Returns the exit status: 1 where something is not as it was. Raises UserError."""
    modest.be_modest()
    known = keys.read_identity(identity) if identity else None
    with _ending_whole():
        found = verifying.verify(settings, where, known, tell, unsealed=unsealed)
    if as_json:
        print_json(asdict(found) | {"good": found.is_good, "bad": [str(one) for one in found.bad]})
        return 0 if found.is_good else BAD_STATUS
    made = f"Backup {found.name} (release {found.release}, revision {found.revision})"
    if found.is_good and found.with_identity:
        print(
            f"{made} restores: {found.tables} tables with {found.rows} rows are what they were,"
            f" {found.files} files, {found.small_files} settings and secrets, {found.seconds:.1f} s."
        )
    elif found.is_good:
        print(
            f"{made} is as it was written, {found.objects} files with it. That it can be read and"
            " restored only --identity shows."
        )
    else:
        print(f"{made} is damaged:")
        for bad in found.bad[:MOST_SHOWN]:
            print(f"! {bad}")
        if len(found.bad) > MOST_SHOWN:
            print(f"! and {len(found.bad) - MOST_SHOWN} more")
    if found.with_identity and found.is_good:
        print(found.audit_why or f"The audit log is whole: {found.audit_rows} rows.")
    return 0 if found.is_good else BAD_STATUS


def print_restore(settings: Settings, wanted: restoring.Wanted, *, as_json: bool) -> None:
    """Raises UserError."""
    with _ending_whole():
        done = restoring.restore(settings, wanted, tell)
    if as_json:
        print_json(asdict(done))
        return
    print(
        f"Restored {done.name}: {done.tables} tables with {done.rows} rows, {done.files} files; the"
        f" audit log has {done.audit_rows} rows and is checked. Settings: {done.settings_file}."
    )
    if done.revision != done.revision_before:
        print(f"The tables were brought from {done.revision_before} to {done.revision}.")
    for path in done.aside:
        print(f"What was here before: {path}")
    for line in done.to_do:
        print(f"! {line}")
    age = datetime.now(UTC) - done.made_at
    print(
        f"It is as of {age.days} days and {age.seconds // 3600} hours ago: whoever was erased since is"
        " here again. Repeat `ivr erase caller` for them, and start the appliance."
    )


def print_key(settings: Settings, out: Path | None, *, replace: bool, as_json: bool) -> None:
    """Make the pair; the identity goes to ``out``, or once to the screen. Raises UserError."""
    if out is not None and out.exists():
        raise UserError(f"{out} is there already, and an identity may be in it. Name another file.")
    made = keys.make(settings, gethostname(), replace=replace)
    with _no_key_without_an_identity(out):
        if out is not None:
            write_whole(out, made.text.encode(), mode=keys.PRIVATE_MODE, sync=True)
        else:
            _show_identity(made, as_json=as_json)
        keys.keep(settings, made)
    if out is None:
        return
    if as_json:
        print_json({"recipient": made.recipient, "identity_file": str(out)})
        return
    print(f"Public key, kept here: {made.recipient}")
    print(f"The identity is in {out}. Move it off this box, to two places; it is shown nowhere.")


@contextmanager
def _no_key_without_an_identity(out: Path | None) -> Iterator[None]:
    """Each half without the other is worth nothing: where one fails, the key of before stays."""
    try:
        yield
    except OSError as e:
        if out is not None:
            with suppress(OSError):
                out.unlink()
        where = e.filename or "the screen"
        raise UserError(f"{where} cannot be written: {e.strerror}. No key was made.") from e


def _show_identity(made: keys.MadeKey, *, as_json: bool) -> None:
    """On the screen, or to whoever reads it from here; it has gone there on return. Raises OSError."""
    if as_json:
        told = {"recipient": made.recipient, "identity_file": None, "identity": made.text}
        print_json(told)
    else:
        print(f"Public key, kept here: {made.recipient}")
        print("The identity, shown this once. Keep it off this box, in two places:" + os.linesep)
        print(made.text)
    sys.stdout.flush()


def print_prune(settings: Settings, *, as_json: bool) -> None:
    """Raises UserError."""
    target = Target.of(settings)
    target.check_mount()
    if not target.folder.is_dir():
        raise UserError(f"There is no folder {target.folder}.")
    try:
        with target.alone():
            target.clear()
            removed = pruning.prune(settings, target, datetime.now(UTC))
    except OSError as e:
        raise UserError(f"Backups could not be removed: {e}.") from e
    if as_json:
        print_json({"removed": removed, "left": [one.manifest.name for one in target.backups()]})
    else:
        print(f"Removed: {', '.join(removed) or 'nothing'}.")
