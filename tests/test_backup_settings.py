"""The settings of a backup on another box."""

from __future__ import annotations

import tomllib

import pytest

from appliance.errors import UserError
from appliance.ops.backup.settingsfile import merged

THEIRS = """# of the old box
data_dir = "/old"

[database]
url = "postgresql://old:secret@127.0.0.1/ivr"
connect_timeout_s = 2.0

[sip]
host = "10.0.0.5" # the trunk knows it

[[engines.stt.run]]
engine = "faster-whisper"

[redis]
url = "redis://old"

[log]
level = "DEBUG"
"""
OURS = """data_dir = "/var/lib/ivr"
[sip]
host = "127.0.0.1"
[database]
url = "postgresql://new:other@127.0.0.1/ivr"
[backup]
target = "/var/backups/ivr"
"""


def test_what_is_of_the_box_stays_and_the_rest_comes_from_the_backup() -> None:
    found = tomllib.loads(merged(THEIRS, OURS))
    assert found == {
        "data_dir": "/var/lib/ivr",
        "database": {"url": "postgresql://new:other@127.0.0.1/ivr"},
        "backup": {"target": "/var/backups/ivr"},
        "sip": {"host": "10.0.0.5"},
        "engines": {"stt": {"run": [{"engine": "faster-whisper"}]}},
        "log": {"level": "DEBUG"},
    }
    assert "# the trunk knows it" in merged(THEIRS, OURS)


def test_a_box_without_settings_of_its_own_takes_none_of_the_old_box() -> None:
    found = tomllib.loads(merged(THEIRS, ""))
    assert "database" not in found and "redis" not in found and "data_dir" not in found


@pytest.mark.parametrize(
    "theirs",
    ['database = {url = "postgresql://x"}\n', 'database.url = "postgresql://x"\n', "not toml ["],
)
def test_what_would_have_to_be_guessed_is_refused(theirs: str) -> None:
    with pytest.raises(UserError):
        merged(theirs, OURS)
