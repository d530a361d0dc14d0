"""What the documents and the advice in the code tell people to type and to set: it exists."""

from __future__ import annotations

import ast
import itertools
import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path

import click
from pydantic import BaseModel

from appliance.__main__ import main
from appliance.settings import ENV_PREFIX, Settings

ROOT = Path(__file__).parent.parent
PAST = ROOT / "CHANGELOG.md"
"""What it says was true of its release."""
PAGES = sorted({*ROOT.glob("*.md"), *ROOT.glob("*/README.md"), *ROOT.glob("docs/*.md")} - {PAST})
FENCE = re.compile(r"^ *```\w*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`]+)`")
COMMAND = re.compile(r"(?:^|[|;&] )\s*(?:sudo )?(?:\.venv/bin/)?ivr ((?:-|[a-z]).*)")
DIAGRAM = re.compile(r"[─│→←▶]")
SHELLS_OWN = re.compile(r"[|;&]+|\d?[<>].*")
ALTERNATIVES = re.compile(r"[a-z-]+(?:\|[a-z-]+)+")
SETTING = re.compile(
    r"(?P<path>(?P<section>[a-z_]+)(?:\.(?:[a-z_0-9]+|<\w+>))*\.(?P<end>[a-z_0-9]+))(?: = .*)?"
)
VARIABLE = re.compile(rf"{ENV_PREFIX}[A-Z_]+__[A-Z_]+")
MAKE = re.compile(r"^(?:sudo )?make ([a-z-]+)", re.MULTILINE)
MODULE = re.compile(r"python -m ((?:bench|tests)(?:\.[a-z0-9_]+)+)")
FILE_ENDINGS = {"md", "py", "sh", "json", "toml", "yml", "conf", "xml"}


def spans_of(text: str) -> Iterator[str]:
    """What stands in backticks, outside of blocks."""
    return (" ".join(span.split()) for span in SPAN.findall(FENCE.sub("", text)))


def commands_in_block(block: str) -> Iterator[str]:
    """What is typed after ``ivr``, line by line."""
    for line in block.replace("\\\n", " ").splitlines():
        if not DIAGRAM.search(line) and (match := COMMAND.search(line)):
            yield match[1]


def commands_of(text: str) -> Iterator[str]:
    """Every command line of a page."""
    for block in FENCE.findall(text):
        yield from commands_in_block(block)
    yield from commands_in_spans(text)


def commands_in_spans(text: str) -> Iterator[str]:
    """Those in backticks."""
    for span in spans_of(text):
        yield from commands_in_block(span)


def words_of(command: str) -> list[str]:
    """As a shell hands them over, up to what is the shell's own; optional parts are there."""
    found = []
    for word in shlex.split(command.replace("[", "").replace("]", ""), comments=True):
        if SHELLS_OWN.fullmatch(word):
            break
        if "…" not in word and "..." not in word:
            found.append(word.rstrip(";"))
        if word.endswith(";"):
            break
    return found


def variants(words: list[str]) -> Iterator[tuple[str, ...]]:
    """``list|show`` are two commands."""
    every = (word.split("|") if ALTERNATIVES.fullmatch(word) else [word] for word in words)
    return itertools.product(*every)


def trouble(words: tuple[str, ...]) -> str:
    """Why ``ivr`` would not take them; empty: it would. Arguments may be missing: a command is often
    named without them."""
    command: click.Command = main
    left, above = list(words), click.Context(main, info_name="ivr")
    try:
        while True:
            context = click.Context(command, above, info_name=command.name)
            found, left, _ = command.make_parser(context).parse_args(left)
            choices_hold(command, found)
            if not isinstance(command, click.Group) or not left:
                break
            name, *left = left
            if (inner := command.commands.get(name)) is None:
                return f"there is no command {name}"
            command, above = inner, context
    except click.BadOptionUsage as e:
        return "" if "requires" in e.message else e.message
    except click.UsageError as e:
        return e.message
    return f"{left} is too much" if left else ""


def wrong_of(commands: Iterable[str]) -> dict[str, str]:
    """Those that ``ivr`` would not take, and why."""
    return {
        command: why
        for command in commands
        for words in variants(words_of(command))
        if (why := trouble(words))
    }


def choices_hold(command: click.Command, found: dict[str, object]) -> None:
    """Raises BadParameter for a value that is none of the choices."""
    for param in command.params:
        value = found.get(param.name or "")
        if isinstance(param.type, click.Choice) and isinstance(value, str) and value.islower():
            param.type.convert(value, param, None)


def test_every_quoted_command_exists() -> None:
    quoted = [command for page in PAGES for command in commands_of(page.read_text())]
    assert len(quoted) > 300
    assert wrong_of(quoted) == {}


def test_every_quoted_make_and_module_exists() -> None:
    pages = [page.read_text() for page in PAGES]
    typed = [part for text in pages for part in (*FENCE.findall(text), *spans_of(text))]
    targets = {target for part in typed for target in MAKE.findall(part)}
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"demo", "test", "up"} <= targets <= known
    modules = {name for text in pages for name in MODULE.findall(text)}
    places = {name: ROOT / name.replace(".", "/") for name in modules}
    assert len(modules) > 10
    missing = {
        name for name, place in places.items()
        if not place.with_suffix(".py").exists() and not (place / "__main__.py").exists()
    }  # fmt: skip
    assert missing == set()


def test_what_is_wrong_is_found() -> None:
    assert trouble(("bakup", "create")) == "there is no command bakup"
    assert trouble(("backup", "create", "--dril"))
    assert trouble(("top", "twice"))
    assert trouble(("users", "create", "asha", "--role", "king"))
    assert trouble(("--setting", "f", "up"))
    assert not trouble(("backup", "verify", "--identity"))


def advice_of(source: Path) -> Iterator[str]:
    """Every string of a module, what is put into it left out."""
    tree = ast.parse(source.read_text())
    inside: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            inside |= {id(part) for part in node.values}
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) not in inside:
                yield node.value


def test_every_command_in_advice_exists() -> None:
    sources = [file for file in ROOT.glob("appliance/**/*.py") if "`ivr " in file.read_text()]
    advice = [text for source in sources for text in advice_of(source)]
    quoted = {command for text in advice for command in commands_in_spans(text)}
    assert len(quoted) > 100
    assert wrong_of(quoted) == {}


def is_setting(path: str) -> bool:
    """Whether the settings have that section or value; ``<stage>`` stands for any name."""
    model: type[BaseModel] = Settings
    *sections, last = path.split(".")
    for name in sections:
        section = model.model_fields.get("stt" if name.startswith("<") else name)
        if section is None or not isinstance(section.annotation, type):
            return False
        if not issubclass(section.annotation, BaseModel):
            return False
        model = section.annotation
    return last in model.model_fields


def settings_of(text: str) -> Iterator[str]:
    """Settings by their names, and by their variables."""
    for span in spans_of(text):
        match = SETTING.fullmatch(span)
        if match and match["section"] in Settings.model_fields and match["end"] not in FILE_ENDINGS:
            yield match["path"]
    for variable in VARIABLE.findall(text):
        yield variable.removeprefix(ENV_PREFIX).lower().replace("__", ".")


def test_every_quoted_setting_exists() -> None:
    quoted = {path: page.name for page in PAGES for path in settings_of(page.read_text())}
    assert len(quoted) > 50
    assert {path: page for path, page in quoted.items() if not is_setting(path)} == {}


def test_settings_that_are_none_are_found() -> None:
    text = "`sip.alow`, `engines.<stage>.runs`, `log.level`, `sip.md`, IVR_SIP__PROT=1"
    assert [path for path in settings_of(text) if not is_setting(path)] == [
        "sip.alow", "engines.<stage>.runs", "sip.prot",
    ]  # fmt: skip
