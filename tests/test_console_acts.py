"""What people do on a page: every function of a page that changes something, found in the source, comes
through ``View.act`` (the session, refusals) and ends in the audit log."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import appliance

HOME = Path(appliance.__file__).parent
HANDS_ON = {"appliance.admin.ui.tryit.sound": {"offered"}}
"""Elements that call what their page gave them: there it is guarded."""
PAGES = ("appliance.admin.pages.", "appliance.admin.ui.")
SERVICES = "appliance.admin.services."
AUDIT = {"appliance.access.audit.append", "appliance.access.audit.append_sync"}
WRITES = {"insert", "update", "delete", "upsert"}
"""SQLAlchemy's."""

READ = ("admin", "access", "review", "privacy", "outreach", "ops", "store", "knowledge", "jobs")
"""Where the way from a page to a row goes."""


@dataclass
class Function:
    """One function or method, with those inside it."""

    module: str
    name: str
    node: ast.AST
    uses: set[str] = field(default_factory=set)
    """Full names of what its body names."""
    writes: bool = False


class Source:
    """Every function of the package, and what each names."""

    def __init__(self) -> None:
        self.functions: dict[str, Function] = {}
        self.modules: dict[str, ast.Module] = {}
        for file in sorted(file for part in READ for file in (HOME / part).rglob("*.py")):
            parts = file.relative_to(HOME.parent).with_suffix("").parts
            module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            self.modules[module] = ast.parse(file.read_text("utf-8"))
        for module, tree in self.modules.items():
            for name, node in _functions(tree):
                self.functions[f"{module}.{name}"] = Function(module, name, node)
        for module, tree in self.modules.items():
            self._read(module, tree)

    def _read(self, module: str, tree: ast.Module) -> None:
        known = _imports(tree)
        for name, node in _functions(tree):
            function = self.functions[f"{module}.{name}"]
            owner = name.rpartition(".")[0]
            for one in ast.walk(node):
                if isinstance(one, ast.Name) and one.id in WRITES:
                    function.writes |= known.get(one.id, "").startswith("sqlalchemy")
                if full := _full(one, module, known, owner):
                    function.uses.add(full)

    @cache  # noqa: B019  one for the whole test
    def reached(self, name: str) -> frozenset[str]:
        """Everything that a function comes to, itself too."""
        found, todo = set(), [name]
        while todo:
            one = todo.pop()
            if one not in found:
                found.add(one)
                todo += [u for u in getattr(self.functions.get(one), "uses", ())]
        return frozenset(found)

    def changes(self, name: str) -> bool:
        """Whether rows are written on the way."""
        return any(
            one in self.functions and self.functions[one].writes
            for one in self.reached(name) - AUDIT
        )

    def tells(self, name: str) -> bool:
        """Whether a line is written on the way."""
        return bool(self.reached(name) & AUDIT)


def _functions(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node
        if isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield f"{node.name}.{inner.name}", inner


def _imports(tree: ast.Module) -> dict[str, str]:
    """What a file calls what it imports, by its full name."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for one in node.names:
                found[one.asname or one.name] = f"{node.module}.{one.name}"
    return found


def _full(node: ast.AST, module: str, known: dict[str, str], owner: str) -> str:
    if isinstance(node, ast.Name):
        return known.get(node.id, f"{module}.{node.id}")
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        if node.value.id in ("self", "cls") and owner:
            return f"{module}.{owner}.{node.attr}"
        if node.value.id in known:
            return f"{known[node.value.id]}.{node.attr}"
    return ""


@cache
def source() -> Source:
    return Source()


def asked_by_pages() -> dict[str, set[str]]:
    """Functions of services that pages name -> the functions of pages that do."""
    found: dict[str, set[str]] = {}
    for name, function in source().functions.items():
        if function.module.startswith(PAGES):
            for used in function.uses:
                if used.startswith(SERVICES) and used in source().functions:
                    found.setdefault(used, set()).add(name)
    return found


def acting() -> dict[str, set[str]]:
    """Of those, the ones that change rows, or write a line."""
    asked, all_of = asked_by_pages(), source()
    return {name: of for name, of in asked.items() if all_of.changes(name) or all_of.tells(name)}


def test_whatever_a_page_changes_stands_in_the_audit_log() -> None:
    found = acting()
    silent = {
        name.removeprefix(SERVICES): of for name, of in found.items() if not source().tells(name)
    }
    assert silent == {}
    named = {name.removeprefix(SERVICES) for name in found}
    assert len(named) > 70  # or nothing was looked at
    assert {
        "drafts.publish",
        "callerasure.erase_caller",
        "live.hang_up",
        "keys.revoke_key",
    } <= named


def _bound(tree: ast.AST) -> Iterator[ast.expr]:
    """What is called when somebody does something: ``on_click=…``, ``.on("click", …)``,
    ``.on_value_change(…)``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from (word.value for word in node.keywords if (word.arg or "").startswith("on_"))
            name = getattr(node.func, "attr", "")
            if name == "on":
                yield from node.args[1:2]
            elif name.startswith("on_"):
                yield from node.args[:1]


def _goes_through(node: ast.AsyncFunctionDef) -> bool:
    """Whether all that it awaits is a guarded handler: ``await self._view.act(self._save)()``."""
    awaited = [one.value for one in ast.walk(node) if isinstance(one, ast.Await)]
    return bool(awaited) and all(
        isinstance(one, ast.Call)
        and isinstance(one.func, ast.Call)
        and _last(one.func.func) == "act"
        for one in awaited
    )


def _last(node: ast.AST) -> str:
    return getattr(node, "attr", getattr(node, "id", ""))


def _guarded(bound: ast.expr, kept: set[str], working: set[str]) -> bool:
    """Whether it goes through ``View.act``, or is a plain function, which can await no service.

    ``kept``: names that hold what ``act`` made; ``working``: coroutine functions of the file.
    """
    if isinstance(bound, ast.Call):
        inner = [arg for arg in bound.args if _last(bound.func) == "partial"]
        return _last(bound.func) == "act" or all(_guarded(arg, kept, working) for arg in inner)
    if isinstance(bound, ast.IfExp):
        return _guarded(bound.body, kept, working) and _guarded(bound.orelse, kept, working)
    if isinstance(bound, ast.Lambda):
        called = {_last(one.func) for one in ast.walk(bound) if isinstance(one, ast.Call)}
        return not called & working or bool(called & {"act", "in_background"})
    return _last(bound) in kept or _last(bound) not in working


def test_whatever_acts_on_a_page_comes_through_the_guard() -> None:
    """``View.act`` looks whether the session lives, and makes messages of refusals."""
    seen, open_ones = 0, []
    for module, tree in source().modules.items():
        if not module.startswith(PAGES):
            continue
        working = {
            node.name
            for node in ast.walk(tree)
            if isinstance(node, ast.AsyncFunctionDef) and not _goes_through(node)
        } - HANDS_ON.get(module, set())
        kept = {
            _last(target)
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
            for target in node.targets
            if _last(node.value.func) == "act"
        }
        for bound in _bound(tree):
            seen += 1
            if not _guarded(bound, kept, working):
                open_ones.append((module, bound.lineno, ast.unparse(bound)))
    assert seen > 150  # or nothing was looked at
    assert open_ones == []
