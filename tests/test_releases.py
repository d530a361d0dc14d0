"""The releases on a box, and the one in force."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from appliance.__main__ import main
from appliance.errors import UserError
from appliance.ops.doctor.check import State
from appliance.ops.doctor.releases import look
from appliance.ops.releases import laying
from appliance.ops.releases.journal import Journal, Progress, Step, Way
from appliance.ops.releases.listing import previous
from appliance.ops.releases.release import Place, Release
from appliance.ops.releases.units import Unit, release_of


def put(place: Place, name: str, version: str = "") -> Release:
    place.folder(name).mkdir(parents=True)
    release = Release(version or name, "abc", "0004", "2026-11-21T10:00:00+00:00", name)
    place.complete(release)
    return release


def test_there_is_always_one_in_force(tmp_path: Path) -> None:
    place = Place(tmp_path)
    with pytest.raises(UserError, match=r"install\.sh"):
        place.in_force()
    one, two = put(place, "0.1.0"), put(place, "0.2.0")
    place.point("0.1.0")
    assert place.in_force() == one
    (tmp_path / ".current.new").symlink_to("left by a power cut")
    place.point("0.2.0")
    assert place.in_force() == two and os.readlink(place.current) == "releases/0.2.0"
    with pytest.raises(UserError, match="no whole release"):
        place.point("0.3.0")
    assert place.in_force() == two


def test_what_is_half_made_is_no_release(tmp_path: Path) -> None:
    place = Place(tmp_path)
    put(place, "0.1.0")
    (place.releases / "0.2.0").mkdir()
    put(place, "0.3.0")
    (place.releases / "0.3.0" / "RELEASE").write_text("{")
    put(place, "0.4.0")
    (place.releases / "0.4.0" / "RELEASE").write_text('{"version": 3}')
    assert [one.name for one in place.known()] == ["0.1.0"]


def test_they_are_ordered_as_versions_and_the_installers_names_are_known(tmp_path: Path) -> None:
    place = Place(tmp_path)
    for name in ("0.10.0", "0.9.0", "0.9.0+1a2b3c4d"):
        put(place, name, name.partition("+")[0])
    assert [one.name for one in place.known()][-1] == "0.10.0"
    assert place.read("0.9.0+1a2b3c4d") is not None


@pytest.mark.parametrize("name", ["../x", "", "x", "0.1/..", "0.1\n", "/etc"])
def test_names_that_no_release_has(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="no release"):
        Place(tmp_path).folder(name)


def test_two_old_ones_stay_and_what_runs(tmp_path: Path) -> None:
    place = Place(tmp_path)
    for minor in range(6):
        put(place, f"0.{minor}.0")
    place.point("0.4.0")
    assert place.prune(["0.0.0"]) == ["0.1.0"]
    assert [one.name for one in place.known()] == ["0.0.0", "0.2.0", "0.3.0", "0.4.0", "0.5.0"]
    with pytest.raises(UserError, match="in force"):
        place.remove("0.4.0")
    place.remove("0.5.0")
    with pytest.raises(UserError, match="no release"):
        place.remove("0.5.0")


def test_what_was_gone_back_from_is_not_gone_back_to(tmp_path: Path) -> None:
    place = Place(tmp_path)
    for minor in range(5):
        put(place, f"0.{minor}.0")
    place.point("0.4.0")
    place.reject("0.3.0", "sick")
    place.reject("0.2.0", "sick")
    place.reject("0.9.0", "gone")
    assert place.rejected("0.3.0") and not place.folder("0.9.0").exists()
    assert previous(place) == "0.1.0"
    place.approve("0.2.0")
    assert previous(place) == "0.2.0"
    assert place.prune(["0.0.0"]) == ["0.3.0"]
    assert [one.name for one in place.known()] == ["0.0.0", "0.1.0", "0.2.0", "0.4.0"]
    for one in ("0.0.0", "0.1.0", "0.2.0"):
        place.reject(one, "sick")
    with pytest.raises(UserError, match="no older release"):
        previous(place)


def test_whose_packages_another_uses_stays(tmp_path: Path) -> None:
    place = Place(tmp_path)
    for minor in range(6):
        put(place, f"0.{minor}.0")
    packages = place.folder("0.5.0") / ".venv/lib/python3.11/site-packages"
    packages.mkdir(parents=True)
    shared = place.folder("0.1.0") / ".venv/lib/python3.11/site-packages"
    (packages / "shared.pth").write_text(f"{shared}\n")
    place.point("0.5.0")
    with pytest.raises(UserError, match=r"0\.5\.0 use the packages of release 0\.1\.0"):
        place.remove("0.1.0")
    assert place.prune([]) == ["0.0.0", "0.2.0"]
    place.point("0.4.0")
    place.remove("0.5.0")
    place.remove("0.1.0")


def test_the_journal_is_what_was_written(tmp_path: Path) -> None:
    journal = Journal(Place(tmp_path))
    assert journal.read() is None
    progress = Progress("0.1.0", "0.2.0", (Step.LAY,), Way.BACK, "sick", ("disk",), "x", "known")
    assert journal.write(progress) == progress == journal.read()
    assert journal.did(progress, Step.BACK_UP).done == (Step.LAY, Step.BACK_UP)
    journal.end()
    journal.end()
    assert journal.read() is None


@pytest.mark.parametrize("text", ["", "{}", '{"done": ["fly"]}', "[]"])
def test_a_journal_of_somebody_else_is_refused(tmp_path: Path, text: str) -> None:
    place = Place(tmp_path)
    place.journal.write_text(text)
    with pytest.raises(UserError, match="cannot be understood"):
        Journal(place).read()


@pytest.mark.parametrize(
    ("name", "kind", "port"),
    [
        ("ivr-worker@7000.service", "worker", 7000),
        ("ivr-sip.service", "sip", None),
        ("ivr-calls.slice", "", None),
        ("postgresql@15-main.service", "", None),
        ("ivr-worker@x.service", "", None),
    ],
)
def test_names_of_units(name: str, kind: str, port: int | None) -> None:
    assert (Unit(name, "").kind, Unit(name, "").port) == (kind, port)


def test_a_process_says_which_release_it_runs(tmp_path: Path) -> None:
    """Also after ``current`` has moved on: programs of an environment carry its own path."""
    programs = tmp_path / "releases" / "0.1.0" / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "python").symlink_to(sys.executable)
    script = programs / "ivr"
    script.write_text(f"#!{programs}/python\nimport time\ntime.sleep(60)\n")
    script.chmod(0o755)
    (tmp_path / "current").symlink_to("releases/0.1.0")
    process = subprocess.Popen([str(tmp_path / "current" / ".venv" / "bin" / "ivr")])
    try:
        deadline = time.monotonic() + 10
        while release_of(process.pid) != "0.1.0":
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    assert release_of(process.pid) == "" == release_of(os.getpid())


@pytest.mark.long  # tests/test_bundle_create.py has the short form
def test_a_wheel_in_an_environment_of_its_own(tmp_path: Path) -> None:
    """The source of this checkout as a release: its `ivr` runs, and finds what is no Python."""
    place = Place(tmp_path / "opt")
    root = Path(__file__).parent.parent
    release = laying.CheckoutSource(root).lay(place)
    assert place.known() == (release,)
    python = place.ivr(release.name).with_name("python")
    look = (
        "import appliance, appliance.shipped as s, appliance.store.schema as m;"
        "print(appliance.__file__, s.root(), m.revisions()[-1].id)"
    )
    done = subprocess.run([python, "-c", look], capture_output=True, text=True, cwd="/", check=True)
    folder = str(place.folder(release.name))
    package, share, schema = done.stdout.split()
    assert package.startswith(folder) and share == f"{folder}/share" and schema == release.schema
    with pytest.raises(UserError, match="lies there already"):
        laying.CheckoutSource(root).lay(place)


def test_the_commands(tmp_path: Path) -> None:
    place = Place(tmp_path)
    put(place, "0.1.0")
    put(place, "0.2.0")
    place.point("0.2.0")
    run = CliRunner().invoke
    listed = run(main, ["releases", "list", "--root", str(tmp_path), "--json"])
    told = json.loads(listed.output.splitlines()[-1])
    assert told["in_force"] == "0.2.0" and [r["name"] for r in told["releases"]] == [
        "0.1.0",
        "0.2.0",
    ]
    assert run(main, ["releases", "remove", "0.1.0", "--root", str(tmp_path)]).exit_code == 0
    refused = run(main, ["rollback", "--root", str(tmp_path)])
    assert refused.exit_code == 2 and "no older release" in refused.output
    refused = run(main, ["upgrade", "--root", str(tmp_path)])
    assert refused.exit_code == 2 and "Name a BUNDLE" in refused.output
    refused = run(main, ["upgrade", "--resume", "--root", str(tmp_path)])
    assert refused.exit_code == 2 and "nothing to resume" in refused.output


class FixedUnits:
    """Services that run, as a test says."""

    def __init__(self, *units: Unit) -> None:
        self._units = units

    def running(self) -> tuple[Unit, ...]:
        return self._units

    def start(self, name: str) -> None:
        raise NotImplementedError

    stop = start

    def install(self, folder: Path) -> None:
        raise NotImplementedError


def test_the_doctor_tells_what_an_upgrade_left(tmp_path: Path) -> None:
    place = Place(tmp_path)
    put(place, "0.2.0")
    place.point("0.2.0")
    new, old = Unit("ivr-worker@7000.service", "0.2.0"), Unit("ivr-sip.service", "0.1.0")
    (good,) = look(place, FixedUnits(new))
    assert good.state is State.GOOD
    (left,) = look(place, FixedUnits(new, old))
    assert left.state is State.WARNING and "ivr-sip.service" in left.what
    Journal(place).write(Progress("0.1.0", "0.2.0"))
    (cut,) = look(place, FixedUnits(new))
    assert cut.code == "upgrade-cut-short" and "--resume" in cut.do
