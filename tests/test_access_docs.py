"""docs/access.md says who may do what; the table is that of ``access.roles``."""

from __future__ import annotations

from pathlib import Path

from appliance.access.roles import PERMISSIONS, Permission, Role
from appliance.admin.ui.access.scopes import scope_words

PAGE = Path(__file__).parents[1] / "docs" / "access.md"
COLUMNS = (Role.VIEWER, Role.REVIEWER, Role.ADMIN, Role.OPERATOR)


def test_every_permission_has_words_once() -> None:
    named = [permission for _, words in scope_words(str) for permission in words]
    assert sorted(named) == sorted(Permission)


def test_the_table_of_roles_is_true() -> None:
    rows = [
        f"| `{permission}` | {words} | "
        + " | ".join("✓" if permission in PERMISSIONS[role] else "" for role in COLUMNS)
        + " |"
        for _, group in scope_words(str)
        for permission, words in group.items()
    ]
    written = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert written == rows
