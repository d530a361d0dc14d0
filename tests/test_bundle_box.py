"""A bare box without any network: installed from a bundle, it rings itself; a second bundle is handed
over to `ivr upgrade` while somebody speaks. One box, in this order; minutes, most of them pip's."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from installbox_kit import FIRST_BUNDLE, Site, cut_off_site, debs, wheelhouse
from upgradebox_kit import begin, finished, in_force, said, spoken_through

from tests.test_upgrade_site import checkout

pytestmark = [pytest.mark.server, pytest.mark.sip, pytest.mark.long]

OLD, NEW = "0.1.0", "0.2.0"
BUNDLE_TIMEOUT_S = 900.0
INSTALLERS_LOG = "/var/log/ivr/install-python.log"


def bundle(*words: str | Path) -> None:
    command = [sys.executable, "-m", "appliance", "bundle", *map(str, words)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=BUNDLE_TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two bundles, the first with Debian's packages too."""
    tmp = tmp_path_factory.mktemp("bundles")
    (bundles := tmp / "brought").mkdir()
    bundle("keygen", tmp / "key")
    (tmp / "key.pub").rename(bundles / "key.pub")
    for name, version in ((FIRST_BUNDLE, OLD), ("second.tar", NEW)):
        source = checkout(tmp / version, version, [] if version == OLD else ["9001"])
        more: list[str | Path] = ["--with-debs", debs()] if version == OLD else []
        options = ["--key", tmp / "key", "--checkout", source, "--wheels", wheelhouse(), *more]
        bundle("create", bundles / name, *options)
    with cut_off_site(tmp, bundles) as made:
        yield made


def test_installed_from_a_bundle_it_rings_itself(machine: Site) -> None:
    assert "Through ivr sip: answered" in machine.install().stdout
    assert in_force(machine) == (OLD, {OLD})


def test_a_second_bundle_is_handed_over_and_the_call_goes_on(machine: Site) -> None:
    begin(machine, "/src/install.sh --offline /bundles/second.tar")
    spoken_through(machine, OLD, INSTALLERS_LOG)
    assert finished(machine) == 0, said(machine) + said(machine, INSTALLERS_LOG)
    assert re.search(r"GOOD\s+Through ivr sip: answered", said(machine))
    assert in_force(machine) == (NEW, {NEW})
