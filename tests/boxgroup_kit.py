"""The control groups that a box takes for the whole of them.

Those of the unified hierarchy; and where the CPU and memory controllers of this machine stand in
hierarchies of their own (cgroup v1), these too, so that the weights and limits of a box's units are in
force.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

APART = ("name=systemd", "cpu", "cpuacct", "memory")
"""Hierarchies of cgroup v1 that systemd wants where it does not find controllers in the unified one."""
_GONE_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Groups:
    """The groups of one box."""

    folders: dict[str, Path]
    """By hierarchy; the unified one is ``unified``."""

    @property
    def join(self) -> str:
        """Lines of a shell that goes into them."""
        return "".join(f'echo $$ >"{folder}/cgroup.procs"\n' for folder in self.folders.values())

    @property
    def mount(self) -> str:
        """Lines of a shell that mounts them in a new root, which is its working directory."""
        top = "sys/fs/cgroup"
        if len(self.folders) == 1:
            return f"mount -t cgroup2 cgroup2 {top}\n"
        lines = [f"mount -t tmpfs -o mode=755 tmpfs {top}"]
        for name in self.folders:
            folder = f"{top}/{name.removeprefix('name=')}"
            options = f"-o none,{name}" if "=" in name else f"-o {name}"
            kind = "cgroup2 cgroup2" if name == "unified" else f"cgroup {options} cgroup"
            lines.append(f"mkdir {folder} && mount -t {kind} {folder}")
        return "\n".join([*lines, ""])

    def kill(self) -> None:
        """Everybody in them at one stroke: when PID 1 alone is killed, others live on for a moment, and
        see it gone."""
        (self.folders["unified"] / "cgroup.kill").write_text("1")


@contextmanager
def groups(name: str) -> Iterator[Groups]:
    """Make the groups ``ivr-NAME``; they go when the box has gone."""
    mounted = _mounted()
    if "unified" not in mounted:
        pytest.skip("a box needs cgroup2")
    has_cpu = "cpu" in (mounted["unified"] / "cgroup.controllers").read_text().split()
    apart = [] if has_cpu or not mounted.keys() >= set(APART) else list(APART)
    made = Groups({one: mounted[one] / f"ivr-{name}" for one in ["unified", *apart]})
    for folder in made.folders.values():
        folder.mkdir()
    try:
        yield made
    finally:
        for folder in made.folders.values():
            _remove(folder)


def _mounted() -> dict[str, Path]:
    """Hierarchy → where it is mounted here."""
    found: dict[str, Path] = {}
    for line in Path("/proc/mounts").read_text().splitlines():
        _, where, kind, options, *_ = line.split()
        if kind == "cgroup2":
            found.setdefault("unified", Path(where))
        elif kind == "cgroup":
            found |= {one: Path(where) for one in options.split(",") if one in APART}
    return found


def _remove(group: Path) -> None:
    until = time.monotonic() + _GONE_WITHIN_S
    while group.exists() and time.monotonic() < until:
        for folder in sorted(group.rglob("*"), reverse=True):
            if folder.is_dir():
                with suppress(OSError):
                    folder.rmdir()
        with suppress(OSError):
            group.rmdir()
        time.sleep(0.05)
