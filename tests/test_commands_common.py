"""What commands share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sqlalchemy.dialects.postgresql import psycopg  # noqa: F401  # not looked up as somebody else

from appliance.commands.common import note_or_say
from appliance.settings import Database, Settings

SERVICE_UID = 65534


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
def test_root_leaves_no_secret_that_the_service_cannot_read(
    open_tmp: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody has been at this box yet: the embedded database's password is made by the way."""
    theirs = open_tmp / "theirs"
    theirs.mkdir()
    os.chown(theirs, SERVICE_UID, SERVICE_UID)
    settings = Settings(data_dir=theirs, database=Database(embedded_port=1))
    note_or_say(settings, "firewall.apply", "nftables")
    assert "! Not in the audit log: The database" in capsys.readouterr().err
    made = list((theirs / "secrets").iterdir())
    assert made and {path.stat().st_uid for path in made} == {SERVICE_UID}
    assert os.geteuid() == os.getuid() == 0
