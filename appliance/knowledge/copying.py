"""The copy of a large version, made in a process of its own: ``python -m`` with this module's name.

It takes seconds of Python's lock for 100 000 passages, which a worker's calls must not wait for.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from pathlib import Path

import orjson
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance.knowledge.copies import pack, write_copy
from appliance.knowledge.memory import Memory
from appliance.store.database import open_sync_engine
from appliance.store.passages import read_in_turn

NICENESS = 10
LONGEST_S = 300.0
"""100 000 passages of 500 characters take some 20 s on an idle core."""

_log = logging.getLogger(__name__)


async def copy_apart(
    engine: AsyncEngine, knowledge: str, version: int, stamp: str, file: Path
) -> bool:
    """Write the copy of a version in a process of its own; whether it is there."""
    order = {
        "url": engine.url.render_as_string(hide_password=False),
        "knowledge": knowledge,
        "version": version,
        "stamp": stamp,
        "file": str(file),
    }
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "appliance.knowledge.copying"), stdin=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(LONGEST_S):
            await child.communicate(orjson.dumps(order))  # not as an argument: it has the password
    except TimeoutError:
        _log.warning("! no copy of knowledge %s %d in %.0f s", knowledge, version, LONGEST_S)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    return child.returncode == 0


def main() -> int:
    """Do what the order on stdin says."""
    os.nice(NICENESS)
    order = orjson.loads(sys.stdin.buffer.read())
    engine = open_sync_engine(order["url"], pool_size=1)
    try:
        passages = read_in_turn(engine, order["knowledge"], order["version"])
        memory = Memory(passages, order["stamp"])
    finally:
        engine.dispose()
    return 0 if write_copy(Path(order["file"]), pack(memory.parts)) else 1


if __name__ == "__main__":
    sys.exit(main())
