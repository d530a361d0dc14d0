"""`ivr upgrade --checkout`, with the services of a test instead of systemd's.

python -m tests.upgrade_driver ROOT CHECKOUT       settings: as the environment says
"""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path

import orjson

from appliance.errors import UserError
from appliance.ops.releases.health import Doctor
from appliance.ops.releases.laying import CheckoutSource
from appliance.ops.releases.release import Place
from appliance.ops.releases.upgrade import Options, Upgrade
from appliance.settings import load
from tests.releases_kit import ProcessUnits


def say(text: str) -> None:
    print(text, flush=True)


def main(root: Path, checkout: Path) -> None:
    settings, place = load(), Place(root)
    units = ProcessUnits(root, os.environ, lambda text: None)
    options = Options(
        reason="a test's box has no firewall", backup=False, quiet_s=60.0, settle_s=20.0
    )
    doctor = Doctor(place, settings.data_dir)
    done = Upgrade(place, settings, units, doctor, options, say).run(CheckoutSource(checkout))
    say(orjson.dumps(asdict(done)).decode())


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    except UserError as e:
        sys.exit(f"ivr: {e}")
