"""The large packages say what is where, and what they say is true."""

from __future__ import annotations

import importlib
import pkgutil
import re

import pytest

PACKAGES = (
    *("access", "call", "jobs", "knowledge", "knowledge.reading"),
    *("privacy", "review", "safety", "store"),
    *("outreach", "outreach.campaigns", "outreach.webhooks"),
    *("ops.releases",),
    *("admin", "admin.agents", "admin.live", "admin.login", "admin.services", "admin.tryit"),
    *("admin.ui", "admin.ui.access", "admin.ui.agents", "admin.ui.analytics", "admin.ui.calls"),
    *("admin.ui.campaigns", "admin.ui.knowledge", "admin.ui.live", "admin.ui.numbers"),
    *("admin.ui.review", "admin.ui.tryit", "admin.ui.webhooks"),
    *("ops.doctor", "ops.doctor.bundle", "ops.doctor.selfcall"),
)


@pytest.mark.parametrize("name", PACKAGES)
def test_every_module_stands_in_the_map_of_its_package(name: str) -> None:
    package = importlib.import_module(f"appliance.{name}")
    named = set(re.findall(r"``([a-z_]+)``", package.__doc__ or ""))
    there = {module.name for module in pkgutil.iter_modules(package.__path__)} - {"__main__"}
    assert there - named == set(), "put these into the docstring of the package"
    assert named - there == set(), "these are not there any more"
