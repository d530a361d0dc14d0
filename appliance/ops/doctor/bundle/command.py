"""``ivr doctor --bundle FILE.tar.gz``: collects, writes, and says what went in."""

from __future__ import annotations

import asyncio
import io
import tarfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from appliance.errors import UserError
from appliance.files import write_whole
from appliance.ops.console import plain, print_json
from appliance.ops.doctor.box import open_box
from appliance.ops.doctor.bundle.contents import collect
from appliance.settings import Settings

MODE = 0o600
FOLDER = "ivr-support"
README = """Made by `ivr doctor --bundle`. It holds figures, states, versions, log lines of known forms.
It holds no password, key or token, no number of a caller, nothing that was said, no recording:
what is not known to be harmless was left out (…). Read it before you send it.
"""


def run(settings: Settings, file: Path, logs: Sequence[Path], *, as_json: bool) -> int:
    """Write the bundle; the exit status. Raises UserError: it cannot be written."""
    contents = asyncio.run(_collected(settings, logs))
    contents["README.txt"] = README.encode()
    try:
        write_whole(file, packed(contents), mode=MODE)
    except OSError as e:
        raise UserError(f"{file} cannot be written: {e.strerror}. Name another place.") from e
    if as_json:
        print_json({"bundle": str(file), "files": {n: len(data) for n, data in contents.items()}})
        return 0
    for name, data in sorted(contents.items()):
        print(f"{len(data):>9} bytes  {plain(name)}")
    print(f"{plain(str(file))}: no secrets, no numbers or words of callers. Read it, then send it.")
    return 0


def packed(contents: Mapping[str, bytes]) -> bytes:
    """As .tar.gz."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, data in sorted(contents.items()):
            entry = tarfile.TarInfo(f"{FOLDER}/{name}")
            entry.size, entry.mode, entry.mtime = len(data), MODE, int(time.time())
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


async def _collected(settings: Settings, logs: Sequence[Path]) -> dict[str, bytes]:
    async with open_box(settings) as box:
        return await collect(box, logs)
