"""Converts a Whisper in the environment that has torch, which is not ours (ct2_convert.py)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import orjson

from appliance.checkpoints import archives
from appliance.checkpoints.disk import bytes_below, require_room
from appliance.errors import UserError

PROGRAM = Path(__file__).with_name("ct2_convert.py")
NEEDED = ("torch", "transformers", "ctranslate2")
FOR_DEVICE = {"cuda": "float16", "cpu": "int8"}
CONVERT_TIMEOUT_S = 3600.0
"""whisper-large on a slow disk takes minutes."""
ASK_TIMEOUT_S = 60.0
LAST_LINES = 4
_ASK = (
    "import importlib.util as u, sys; sys.exit(any(u.find_spec(m) is None for m in sys.argv[1:]))"
)


def find_python(candidates: Sequence[str]) -> str:
    """The first interpreter of ``candidates`` whose environment can convert. Raises UserError."""
    for candidate in candidates:
        path = shutil.which(candidate)
        if path is not None and _has_packages(path):
            return path
    if len(candidates) == 1:
        raise UserError(
            f"{candidates[0]} cannot convert: it needs {', '.join(NEEDED)}. Install them there:"
            f" {candidates[0]} -m pip install 'ivr-appliance[convert]'"
        )
    raise UserError(
        "Conversion needs torch and transformers, which are not in this environment. Make one:"
        " python3 -m venv /opt/ivr/convert && /opt/ivr/convert/bin/pip install"
        " 'ivr-appliance[convert]', then add --python /opt/ivr/convert/bin/python. Without internet:"
        " convert on another machine, and bring the folder here: ivr models pull NAME --from FOLDER."
    )


def _has_packages(python: str) -> bool:
    try:
        asked = subprocess.run(
            [python, "-I", "-c", _ASK, *NEEDED],
            timeout=ASK_TIMEOUT_S,
            capture_output=True,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0


def convert_whisper(python: str, original: Path, out: Path, quantization: str) -> str:
    """Convert ``original`` into the new folder ``out``; with what, in words.

    Raises UserError; nothing of ``out`` is left then.
    """
    archives.remove(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    require_room(out.parent, bytes_below(original))
    try:
        told = _run([python, "-I", str(PROGRAM), str(original), str(out), quantization])
        if "ok" not in told:
            raise UserError(f"{original} was not converted: {told.get('error')}.")
    except BaseException:  # Ctrl-C too leaves nothing
        archives.remove(out)
        raise
    return f"{told['versions']}, {quantization}"


def _run(command: list[str]) -> dict[str, str]:
    """The program's last line; on a death without one, its last words. Raises UserError."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    try:
        ended = subprocess.run(
            command,
            timeout=CONVERT_TIMEOUT_S,
            capture_output=True,
            text=True,
            errors="replace",
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired as e:
        raise UserError(f"The conversion was not done in {CONVERT_TIMEOUT_S:.0f} s.") from e
    except OSError as e:
        raise UserError(f"{command[0]} cannot be run: {e.strerror}.") from e
    try:
        told = orjson.loads(ended.stdout.strip().rpartition("\n")[2])
    except orjson.JSONDecodeError:
        told = None
    if isinstance(told, dict):
        return told
    words = " / ".join(ended.stderr.strip().splitlines()[-LAST_LINES:]) or "nothing"
    killed = " (killed: too little memory?)" if ended.returncode == -9 else ""
    raise UserError(
        f"The conversion ended with status {ended.returncode}{killed}. It said: {words}"
    )


def candidates(python: str, others: Sequence[str]) -> list[str]:
    """Where to look for torch: what is named, and nowhere else; or here and there."""
    return [python] if python else list(dict.fromkeys([sys.executable, *filter(None, others)]))
