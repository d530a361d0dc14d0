"""Upgrade and rollback: the steps, in their order, and what is done when one fails or was cut short.

Before the switch nothing of the box has changed but what expands, so a failure simply ends it. From
the switch on a failure goes back: the old release is put in force, units return to it with the same
care. Every step may be done twice, so that whoever comes after a ``kill -9`` does the one under way
again.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from appliance.access import audit
from appliance.access.commandline import actor_of_command
from appliance.errors import UserError
from appliance.ops.backup.keys import recipients_of
from appliance.ops.releases import preflight
from appliance.ops.releases.health import Health, worse
from appliance.ops.releases.journal import Journal, Progress, Step, Way, alone
from appliance.ops.releases.laying import Say, Source, run_ivr
from appliance.ops.releases.release import Place
from appliance.ops.releases.replay import replay
from appliance.ops.releases.rolling import Rolled, Roller
from appliance.ops.releases.scratch import scratch_folder, try_release
from appliance.ops.releases.units import Units
from appliance.settings import Settings
from appliance.store.database import in_database

MIGRATE_TIMEOUT_S = 3600.0
BACKUP_TIMEOUT_S = 6 * 3600.0
SETTLE_POLL_S = 5.0


@dataclass(frozen=True, slots=True)
class Options:
    """What was typed."""

    reason: str = ""
    """Go on in spite of what is found, and why: it goes into the audit log."""
    backup: bool = True
    call: bool = True
    """Ring the box after the switch."""
    quiet_s: float = 600.0
    settle_s: float = 180.0
    """How long what has just started (engines that load their models) may look sick."""


@dataclass(frozen=True, slots=True)
class Done:
    """How it ended."""

    old: str
    new: str
    in_force: str
    why: str
    """Why it went back; empty: it did not."""
    left: tuple[str, ...]
    """Units that run another release still, for there was no moment without calls."""
    removed: tuple[str, ...] = ()
    """Old releases that went."""
    cleared: str = ""
    """A release that was laid by half when it was cut short, and is gone: nothing else was changed."""


class Upgrade:
    """Takes a box from one release to another."""

    def __init__(
        self,
        place: Place,
        settings: Settings,
        units: Units,
        health: Health,
        options: Options,
        say: Say,
    ) -> None:
        self._place = place
        self._settings = settings
        self._units = units
        self._health = health
        self._options = options
        self._say = say
        self._journal = Journal(place)

    def run(self, source: Source) -> Done:
        """Upgrade. Raises UserError where nothing was changed."""
        with alone(self._place):
            if self._journal.read() is not None:
                raise UserError("An upgrade was cut short here. Run `ivr upgrade --resume` first.")
            old, new = self._place.in_force(), source.name()
            preflight.check_order(old, new)
            bad = preflight.look(self._health, old.name, self._roller(), self._options.reason)
            self._say(f"Upgrading from {old.name} to {new}.")
            began = Progress(old.name, new, bad_before=bad, reason=self._options.reason)
            progress = self._journal.write(began)
            try:
                self._say(f"Laying {new} beside it.")
                source.lay(self._place)
            except (UserError, OSError):
                self._abandon(progress)
                raise
            return self._go(self._journal.did(progress, Step.LAY))

    def resume(self) -> Done:
        """Go on where an upgrade was cut short, or clear away what was laid by half. Raises UserError
        where there is none."""
        with alone(self._place):
            progress = self._journal.read()
            if progress is None:
                raise UserError("No upgrade was cut short here; there is nothing to resume.")
            if progress.way is Way.BACK:
                return self._back(progress)
            if Step.LAY not in progress.done:
                return self._clear(progress)
            return self._go(progress)

    def back(self, name: str) -> Done:
        """Roll back to a release that lies here. Raises UserError."""
        with alone(self._place):
            if (progress := self._journal.read()) is None:
                now = self._place.in_force().name
                if name == now:
                    raise UserError(f"Release {name} is in force already.")
                if self._place.read(name) is None:
                    raise UserError(f"There is no release {name}; `ivr releases list` shows which.")
                every = tuple(Step)
                progress = Progress(name, now, every, reason=self._options.reason)
            elif name != progress.old:
                raise UserError(
                    f"An upgrade from {progress.old} was cut short; only that can be rolled back to."
                )
            return self._back(replace(progress, way=Way.BACK, why="rolled back by hand"))

    def finish(self) -> Done:
        """Apply what contracts, and move what still runs an old release. After it there is no way
        back to releases before. Raises UserError."""
        with alone(self._place):
            if self._journal.read() is not None:
                raise UserError("An upgrade was cut short here. Run `ivr upgrade --resume` first.")
            now = self._place.in_force().name
            rolled = self._roll(now)
            if rolled.left:
                raise UserError(
                    f"{', '.join(rolled.left)} still run an older release, and there was no moment"
                    " without calls. Run this again at a quiet hour, or with a longer --quiet-s."
                )
            self._say("Applying the migrations that were left.")
            self._migrate(now, "--all")
            self._record("release.finish", now, {})
            removed = tuple(self._place.prune(()))
            return Done(now, now, now, "", (), removed)

    # --- the steps --------------------------------------------------------------------------------

    def _go(self, progress: Progress) -> Done:
        before: Mapping[Step, Callable[[Progress], None]] = {
            Step.BACK_UP: self._back_up,
            Step.MIGRATE: self._expand,
            Step.REPLAY: self._replay,
        }
        for step, take in before.items():
            if step not in progress.done:
                try:
                    take(progress)
                except (UserError, OSError):
                    self._abandon(progress)
                    raise
                progress = self._journal.did(progress, step)
        return self._switch_over(progress)

    def _switch_over(self, progress: Progress) -> Done:
        rolled = Rolled((), ())
        try:
            if Step.SWITCH not in progress.done:
                self._point(progress.new)
                progress = self._journal.did(progress, Step.SWITCH)
            rolled = self._roll(progress.new)
            progress = self._noted(Step.ROLL)
            self._check(progress)
        except (UserError, OSError) as e:
            self._say(f"It is not well: {e}")
            noted = self._journal.read() or progress
            return self._back(replace(noted, way=Way.BACK, why=str(e)))
        self._record("release.upgrade", progress.new, {"from": progress.old, "left": rolled.left})
        for name in (progress.old, progress.new):
            self._place.approve(name)
        self._journal.end()
        running = {unit.release for unit in self._units.running()}
        removed = tuple(self._place.prune(running))
        self._say(f"Release {progress.new} is in force.")
        return Done(progress.old, progress.new, progress.new, "", rolled.left, removed)

    def _back(self, progress: Progress) -> Done:
        """Put the old release in force again. Raises UserError where that does not work either; the
        journal stays, so that it can be resumed."""
        self._say(f"Going back to {progress.old}: {progress.why}")
        self._journal.write(progress)
        self._point(progress.old)
        rolled = self._roll(progress.old)
        self._reject(progress)
        self._record("release.rollback", progress.old, {"from": progress.new, "why": progress.why})
        self._journal.end()
        self._say(f"Release {progress.old} is in force.")
        return Done(progress.old, progress.new, progress.old, progress.why, rolled.left)

    def _reject(self, progress: Progress) -> None:
        """A later rollback does not go to what was gone back from. Whoever names a later release to
        `ivr rollback` went forward, and rejects nothing."""
        old, new = self._place.read(progress.old), self._place.read(progress.new)
        if old and new and old.order < new.order:
            self._place.reject(progress.new, progress.why)
        self._place.approve(progress.old)

    def _abandon(self, progress: Progress) -> None:
        """Nothing has changed but what expands: remove the new release, end the journal."""
        shutil.rmtree(self._place.folder(progress.new), ignore_errors=True)
        self._journal.end()

    def _clear(self, progress: Progress) -> Done:
        """What was laid by half is nothing to go on with. That is no failure of who resumes."""
        self._abandon(progress)
        self._say(
            f"The upgrade to {progress.new} was cut short before anything had changed. The half-made"
            f" release {progress.new} has been cleared away and {progress.old} is in force: run the"
            " upgrade again."
        )
        old = progress.old
        return Done(old, progress.new, old, "", (), cleared=progress.new)

    def _back_up(self, progress: Progress) -> None:
        if not self._options.backup:
            return
        if not preflight.has_command(self._place.ivr(progress.old), "backup"):
            self._say("This release cannot make backups; going on without one.")
            return
        if not recipients_of(self._settings):
            self._say("No backup is made: this box has no key for them (`ivr backup key`).")
            return
        self._say("Making a backup.")
        self._own(progress.old, "backup", "create", timeout_s=BACKUP_TIMEOUT_S)

    def _expand(self, progress: Progress) -> None:
        old = self._place.read(progress.old)
        self._say("Applying the migrations that the running code does not notice.")
        self._migrate(progress.new, "--under", old.schema if old else "")

    def _migrate(self, release: str, *how: str) -> None:
        self._own(release, "releases", "migrate", *how, timeout_s=MIGRATE_TIMEOUT_S)

    def _replay(self, progress: Progress) -> None:
        with scratch_folder(self._settings) as folder:
            self._say("Trying the new release on free ports.")
            ivr = self._place.ivr(progress.new)
            called = try_release(ivr, self._settings, folder, call=self._options.call)
            self._say("It answered a call." if called else "It would take calls.")
            self._say("Asking both releases the golden questions.")
            old, new = progress.old, progress.new
            asked, worse_now = replay(self._place, self._settings, old, new, folder)
        self._say(f"{asked} asked, {len(worse_now)} answered worse.")
        if not worse_now:
            return
        told = [f"{one.agent}: {one.text!r} is {one.verdict}" for one in worse_now[:5]]
        if not progress.reason:
            raise UserError(
                f"The new release answers worse: {'; '.join(told)}. Nothing was changed. Look at it,"
                " or upgrade with --force REASON."
            )
        self._record("release.force", progress.new, {"reason": progress.reason, "worse": told})

    def _point(self, name: str) -> None:
        self._units.install(self._place.folder(name) / "share" / "systemd")
        self._place.point(name)

    def _roll(self, name: str) -> Rolled:
        progress = self._journal.read()
        spare = progress.spare if progress else ""
        return self._roller().roll(name, spare, self._journal.stopped())

    def _check(self, progress: Progress) -> None:
        self._say("Looking whether the box is well.")
        deadline = time.monotonic() + self._options.settle_s
        while bad := worse(progress.bad_before, self._health.bad(progress.new)):
            if time.monotonic() > deadline:
                raise UserError(f"`ivr doctor` finds what was not there before: {', '.join(bad)}.")
            time.sleep(min(SETTLE_POLL_S, self._options.settle_s))
        if self._options.call:
            self._health.call(progress.new)

    # --- small parts ------------------------------------------------------------------------------

    def _roller(self) -> Roller:
        return Roller(
            self._units,
            self._settings,
            quiet_s=self._options.quiet_s,
            say=self._say,
            note_spare=self._note_spare,
            note_stopped=self._journal.note_stopped,
        )

    def _note_spare(self, name: str) -> None:
        if (progress := self._journal.read()) is not None:
            self._journal.write(replace(progress, spare=name))

    def _noted(self, step: Step) -> Progress:
        progress = self._journal.read()
        assert progress is not None
        return self._journal.did(progress, step)

    def _own(self, release: str, *arguments: str, timeout_s: float) -> str:
        """A release's own command, as the service's user."""
        ivr = self._place.ivr(release)
        return run_ivr(ivr, *arguments, timeout_s=timeout_s, owner_of=self._settings.data_dir)

    def _record(self, action: str, subject: str, detail: Mapping[str, object]) -> None:
        """Write the audit log. Where Postgres is away the change stands all the same."""

        def write(connection: Connection) -> None:
            audit.append_sync(connection, actor_of_command(), action, subject, detail, None)

        try:
            in_database(self._settings, write)
        except UserError as e:
            self._say(f"The audit log was not written: {e}")
