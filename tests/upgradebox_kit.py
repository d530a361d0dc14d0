"""Upgrades on a box with its own systemd: what is in force, what was said, and a call meanwhile."""

from __future__ import annotations

import shlex

import orjson
from installbox_kit import PYTHON, Site

UPGRADE_TIMEOUT_S = 900.0
DRAIN_S = 60.0
WORKER = "ivr-worker@7000"
LOG = "/root/upgrade.log"
QUESTION = "/root/question.wav"


def in_force(machine: Site) -> tuple[str, set[str]]:
    """The release, and those that services run."""
    told = orjson.loads(machine.box.run("ivr releases list --json").stdout.splitlines()[-1])
    return told["in_force"], {one["name"] for one in told["releases"] if one["units"]}


def begin(machine: Site, command: str) -> None:
    """Run it as somebody at a terminal would, in the background; its words are in ``LOG``."""
    line = shlex.quote(f"{command} >{LOG} 2>&1; echo status $? >>{LOG}")
    machine.box.run(f"rm -f {LOG}; systemd-run --quiet --collect --unit=trial bash -c {line}")


def said(machine: Site, log: str = LOG) -> str:
    file = machine.box.path / log.lstrip("/")
    return file.read_text() if file.exists() else ""


def until_said(machine: Site, words: str, log: str = LOG) -> None:
    def there() -> bool:
        return words in said(machine, log) or "status " in said(machine)

    machine.until(f"{words!r} in {log}", there, UPGRADE_TIMEOUT_S)
    assert words in said(machine, log), said(machine, log) + said(machine)


def finished(machine: Site) -> int:
    """The exit status of what was begun."""
    machine.until("it is done", lambda: "status " in said(machine), UPGRADE_TIMEOUT_S)
    return int(said(machine).rsplit("status ", 1)[1])


def spoken_through(machine: Site, release: str, log: str = LOG) -> None:
    """Somebody speaks with ``release`` while the upgrade whose words are in ``log`` puts another in its
    place: that call goes on, and another is answered meanwhile."""
    machine.box.run(f"flite -t 'what are your opening hours' -o {QUESTION}")
    python = PYTHON.replace("current", f"releases/{release}")
    until_said(machine, "stands in while the others change.", log)
    with machine.caller(300, python=python, question=QUESTION) as end:
        until_said(machine, f"{WORKER}.service finishes its calls.", log)
        machine.until("the worker drains", lambda: drains(machine), DRAIN_S)
        with machine.caller(1, python=python) as second:  # the stand-in's
            assert second() == "goes on"
        assert drains(machine)
        assert end(at_once=True) == "goes on"


def drains(machine: Site) -> bool:
    """Whether the worker finishes its calls."""
    return machine.show(WORKER, "ActiveState") == "deactivating"
