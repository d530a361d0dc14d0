"""The ordinary user that a server runs as when the appliance itself runs as root."""

from __future__ import annotations

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import UserError
from appliance.settings import ENV_PREFIX

PREFERRED_USERS = ("postgres", "nobody")
"""Users that exist already; none is ever made."""
PROBE_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Account:
    """Whom a child process runs as; ``uid`` is None for "as we are"."""

    name: str
    uid: int | None
    gid: int | None

    def run(
        self, command: list[str], *, stdin: str = "", timeout_s: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Run ``command`` to its end as this account, from ``/``, output as text."""
        return subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            text=True,
            cwd="/",  # ours may be a folder that this account cannot enter
            timeout=timeout_s,
            env=self.environment,
            user=self.uid,
            group=self.gid,
            extra_groups=self.extra_groups,
        )

    def popen(self, command: list[str], *, log: Path) -> subprocess.Popen[bytes]:
        """Start ``command`` as this account; its output is appended to the file ``log``."""
        with log.open("ab") as output:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                env=self.environment,
                user=self.uid,
                group=self.gid,
                extra_groups=self.extra_groups,
            )

    @property
    def environment(self) -> dict[str, str]:
        """Ours; for another user without our settings, which may hold passwords: every process of
        that user (nobody's are many) reads them in /proc."""
        ours = dict(os.environ)
        if self.uid is None:
            return ours
        return {name: value for name, value in ours.items() if not name.startswith(ENV_PREFIX)}

    @property
    def extra_groups(self) -> list[int] | None:
        """Nothing of root's groups, when we drop from root."""
        return None if self.uid is None else []

    def can_enter(self, folder: Path) -> bool:
        """Whether this account can traverse every parent of ``folder``, and it."""
        probe = self.run(["/bin/sh", "-c", 'test -x "$1"', "sh", str(folder)])
        return probe.returncode == 0

    def can_execute(self, program: Path) -> bool:
        """Whether this account can start ``program`` (asked for its version, as proof)."""
        try:
            return self.run([str(program), "--version"]).returncode == 0
        except PermissionError:
            return False

    def own(self, path: Path) -> None:
        """Give ``path``, which we made, to this account."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)


def ordinary_account() -> Account:
    """Ourselves, or for root the first of :data:`PREFERRED_USERS` that exists.

    Raises UserError when we are root and there is none of them.
    """
    if os.geteuid() != 0:
        return Account(pwd.getpwuid(os.geteuid()).pw_name, None, None)
    for name in PREFERRED_USERS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise UserError(
        "Postgres does not run as root, and there is neither a user postgres nor a user nobody to"
        " run it as. Start the appliance as an ordinary user, or add one of the two."
    )
