"""Root restores as the user whose data it is: files are that user's from the start, and a Postgres that
knows people by their account (peer) lets it in. Only the settings file is root's matter."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def as_owner_of(folder: Path) -> Iterator[None]:
    """Root becomes the owner of ``folder`` for the length of the block, children wholly; others stay
    who they are."""
    owner = folder.stat()
    if os.geteuid() != 0 or owner.st_uid == 0:
        yield
        return
    groups, group = os.getgroups(), os.getegid()
    os.setgroups(_groups_of(owner.st_uid, owner.st_gid))
    os.setresgid(owner.st_gid, owner.st_gid, group)
    os.setresuid(owner.st_uid, owner.st_uid, 0)  # the saved one is the way back
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(group, group, group)
        os.setgroups(groups)


@contextmanager
def as_before() -> Iterator[None]:
    """Inside of :func:`as_owner_of`, who we were outside of it."""
    real, effective, saved = os.getresuid()
    groups = os.getresgid()
    if effective == 0 or saved != 0:
        yield
        return
    os.setresuid(0, 0, 0)
    os.setresgid(0, 0, 0)
    try:
        yield
    finally:
        os.setresgid(*groups)
        os.setresuid(real, effective, saved)


def _groups_of(uid: int, gid: int) -> list[int]:
    try:
        return os.getgrouplist(pwd.getpwuid(uid).pw_name, gid)
    except KeyError:
        return [gid]
