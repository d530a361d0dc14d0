"""What other parts say of a trouble is known again, and said in Hindi."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import aiohttp
import pytest

import appliance
from appliance.admin.ui.words import translator
from appliance.checkpoints.presence import check as missing_models
from appliance.errors import UserError
from appliance.ops.backup.target import Target
from appliance.ops.doctor.check import Check, Finding, Group, State
from appliance.ops.doctor.errors import PARTS, SENTENCES, said, said_within
from appliance.ops.doctor.run import _look
from appliance.ops.doctor.sentences import in_words
from appliance.ops.keeping.ports import free_port
from appliance.ops.models.serve import At, complete
from appliance.ops.releases.journal import Journal
from appliance.ops.releases.release import Place
from appliance.settings import Settings
from appliance.store.database import explain, sqlalchemy_url

HOME = Path(appliance.__file__).parent
SAYING = ("store/database.py", "store/schema.py", "ops/doctor/box.py", "ops/doctor/engines.py",
          "ops/backup/target.py", "ops/releases/release.py", "ops/releases/journal.py",
          "checkpoints/presence.py", "checkpoints/manifest.py", "checkpoints/catalogue.py",
          "ops/models/serve.py")  # fmt: skip
HINDI = translator("hi")
DEVANAGARI = re.compile("[\u0900-\u097f]")


def shape(text: str) -> str:
    """A sentence without what stands in its places, its capital and its full stop."""
    plain = re.sub(r"\{\w+\}", "{}", text)
    return (plain[:1].lower() + plain[1:]).rstrip(".")


def shapes(file: Path) -> set[str]:
    """Of every text that a file puts together."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.JoinedStr):
            parts = (p.value if isinstance(p, ast.Constant) else "{}" for p in node.values)
            found.add(shape("".join(map(str, parts))))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(shape(node.value))
    return found


def test_each_is_what_some_part_says() -> None:
    there = set().union(*(shapes(HOME / name) for name in SAYING))
    assert [one for one in (*SENTENCES, *PARTS) if shape(one) not in there] == []


def test_each_has_its_hindi_with_the_same_places() -> None:
    for one in (*SENTENCES, *PARTS):
        places = sorted(re.findall(r"\{\w+\}", one))
        assert DEVANAGARI.search(HINDI(one)), one
        assert sorted(re.findall(r"\{\w+\}", HINDI(one))) == places, one


def raised(work: object, *given: object) -> str:
    assert callable(work)
    with pytest.raises(UserError) as e:
        work(*given)
    return str(e.value)


def real(tmp_path: Path) -> list[str]:
    """Errors as those parts make them."""
    (tmp_path / "upgrade.json").write_text("{")
    url = "postgresql://ivr:secret@127.0.0.1:1/ivr"
    runs = [{"engine": "faster-whisper", "model": name} for name in ("nowhere/x", "", "/nowhere")]
    runs += [{"engine": "faster-whisper", "model": str(tmp_path), "python": "/no/python"}]
    set_ = Settings.model_validate({"data_dir": tmp_path, "engines": {"stt": {"run": runs}}})
    mount = {"mount": f"{tmp_path}/usb", "target": f"{tmp_path}/usb"}
    unmounted = Settings.model_validate({"data_dir": tmp_path, "backup": mount})
    return [
        explain(url, OSError("connection refused")),
        raised(sqlalchemy_url, "mysql://x/y"),
        raised(sqlalchemy_url, "nonsense"),
        raised(Place(tmp_path).in_force),
        raised(Journal(Place(tmp_path)).read),
        raised(Target.of(unmounted).check_mount),
        *missing_models(set_),
    ]


def test_real_ones_are_said_in_hindi_and_in_english_as_they_were(tmp_path: Path) -> None:
    for text in real(tmp_path):
        assert str(said(text)) == text
        assert DEVANAGARI.search(in_words(said(text), HINDI)), text
        assert "secret" not in in_words(said(text), HINDI)


def test_what_nobody_knows_stays_as_it_is() -> None:
    assert said("Some {thing} is wrong.") == in_words(said("Some {thing} is wrong."), HINDI)


async def test_a_server_that_is_silent_is_said_within_the_sentence_about_it() -> None:
    try:
        await complete(At(f"http://127.0.0.1:{free_port()}", ""), "x", 1)
    except (UserError, aiohttp.ClientError) as e:
        part = said_within(str(e))
    assert part.startswith("it does not answer: ") and not part.endswith(".")
    assert in_words(part, HINDI).startswith("वह उत्तर नहीं देता: ")


async def test_a_check_that_raises_is_a_finding_in_hindi() -> None:
    async def look(box: object) -> list[Finding]:
        raise UserError(explain("postgresql://ivr@127.0.0.1:1/ivr", OSError("away")))

    check = Check("x", "X", Group.DATABASE, look)
    (found,) = await _look(None, check)  # type: ignore[arg-type]
    assert found.state is State.BAD and found.told.startswith("The database postgresql://ivr@")
    assert found.told_in(HINDI).startswith("डेटाबेस postgresql://ivr@127.0.0.1:1/ivr ने ठीक से")
