"""Lets a Python of another environment import ``appliance`` from the release that starts it.

An engine's environment has its own packages, and outlives releases: it holds no copy of our code. The
folder that holds ours (site-packages of the release) cannot stand on PYTHONPATH, for then our packages
would come before that environment's; so this one name is looked up there, and no other.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

_OURS = "appliance"
_HOME = str(Path(__file__).resolve().parents[4])


class _Finder:
    """Of ``sys.meta_path``."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Where ``appliance`` is; None for everything else. Its modules follow from it."""
        return PathFinder.find_spec(name, [_HOME]) if name == _OURS else None


sys.meta_path.insert(0, _Finder())
