"""Where the files lie that come with the appliance and are no Python: migrations, FreeSWITCH's
configuration, units, dashboards.

In a checkout they stand beside the package; of an installed release they are ``share/`` beside its
environment (``/opt/ivr/releases/VERSION/share``), for a wheel carries the package alone.
"""

from __future__ import annotations

import sys
from pathlib import Path

from appliance.errors import UserError

NAMES = (
    "docs",
    "migrations",
    "freeswitch-conf",
    "dialplans",
    "systemd",
    "monitoring",
    "installer",
    "install.sh",
    "ivr.toml.example",
    "requirements.lock",
    "requirements-box.lock",
    "requirements-weights.lock",
    "requirements-stt.lock",
    "requirements-wav2vec2.lock",
    "requirements-tts.lock",
    "requirements-llm.lock",
)
"""What of a checkout goes into ``share/``; what is not there is left out. install.sh reads it here."""
REQUIRED = ("migrations", "freeswitch-conf", "dialplans")
"""Without these a release does not run."""
_MARK = "pyproject.toml"


def root() -> Path:
    """The folder that holds them: the checkout, or the ``share/`` of the release that runs."""
    beside = Path(__file__).resolve().parents[1]
    return beside if (beside / _MARK).exists() else Path(sys.prefix).parent / "share"


def shipped(name: str) -> Path:
    """One of :data:`NAMES`. Raises UserError where it did not come along."""
    path = root() / name
    if not path.exists():
        raise UserError(
            f"{path} is missing: this environment was installed without its share/ folder."
            " Install a release with install.sh or `ivr upgrade`."
        )
    return path
