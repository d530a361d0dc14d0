"""cuBLAS is found by its name once it was loaded by its place, as CTranslate2 asks for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from appliance.models.cublas import NAMES, load_cublas


def test_it_is_found_by_its_name_afterwards(tmp_path: Path) -> None:
    folder = tmp_path / "nvidia/cublas/lib"
    folder.mkdir(parents=True)
    assert not load_cublas(tmp_path)
    for name in NAMES:  # libraries of that name
        command = [
            "cc",
            "-shared",
            "-o",
            str(folder / name),
            f"-Wl,-soname,{name}",
            "-xc",
            "/dev/null",
        ]
        subprocess.run(command, check=True, timeout=60)
    asked = (
        "import ctypes; from pathlib import Path; from appliance.models.cublas import load_cublas\n"
        f"try:\n    ctypes.CDLL('{NAMES[1]}'); found = True\nexcept OSError:\n    found = False\n"
        f"print(found, load_cublas(Path({str(tmp_path)!r})), ctypes.CDLL('{NAMES[1]}') is not None)"
    )  # in a process of its own: what is loaded stays
    done = subprocess.run(
        [sys.executable, "-c", asked], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split()[1:] == ["True", "True"]
