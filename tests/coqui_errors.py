"""Damages a checkpoint in every way we could think of and says what loading it says.

``python -m tests.coqui_errors FOLDER`` prints one JSON object: trouble and sentence.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

from appliance.errors import UserError
from appliance.models.coqui import CoquiEngine
from appliance.models.engine import ModelOptions
from tests.tiny_coqui import FULL, make

warnings.simplefilter("ignore")


class Evil:
    """Would run something, were it unpickled."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch /tmp/coqui-errors-was-here",)


def main() -> None:
    folder = Path(sys.argv[1])
    good = make(folder / "good")
    acoustic, vocoder = Path("fastpitch/best_model.pth"), Path("hifigan/best_model.pth")
    said: dict[str, str] = {}

    def damaged(name: str, damage: Callable[[Path], object]) -> None:
        copy = folder / name / "hi"
        shutil.copytree(good, copy)
        damage(copy)
        said[name] = sentence(copy, ModelOptions())

    damaged("cut", lambda at: os.truncate(at / acoustic, 100_000))
    damaged("text", lambda at: (at / vocoder).write_text("<html>404</html>"))
    damaged("other", lambda at: shutil.copy(at / vocoder, at / acoustic))
    damaged("config", lambda at: os.truncate(at / "fastpitch/config.json", 200))
    damaged("vits", lambda at: _set(at / "fastpitch/config.json", "model", "vits"))
    damaged("code", lambda at: torch.save({"model": {"a": Evil()}}, at / acoustic))
    damaged("speakers", lambda at: (at / "fastpitch/speakers.pth").unlink())
    damaged("vocoder", lambda at: _set(at / "hifigan/config.json", "audio", {"sample_rate": 16000}))
    said["gpu"] = sentence(good, ModelOptions(device="cuda"))
    said["half"] = sentence(good, ModelOptions(device="cpu", compute_type="float16"))
    large = make(folder / "large", size=FULL)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), resource.RLIM_INFINITY))
    said["memory"] = sentence(large, ModelOptions())
    print(json.dumps(said))


def _set(path: Path, name: str, value: object) -> None:
    settings = json.loads(path.read_text())
    if isinstance(value, dict):
        settings[name] |= value
    else:
        settings[name] = value
    path.write_text(json.dumps(settings))


def sentence(model: Path, options: ModelOptions) -> str:
    try:
        CoquiEngine(model, options)
    except UserError as e:
        return str(e)
    return ""


if __name__ == "__main__":
    main()
