"""A bundle from its making to the release that it becomes on a box without a network."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from appliance import __version__, shipped
from appliance.__main__ import main
from appliance.errors import UserError
from appliance.ops.releases import about, bundle, bundlefile, wheelhouse
from appliance.ops.releases.laying import BundleSource
from appliance.ops.releases.release import Place
from appliance.ops.releases.signing import PublicKey, make_keys

ROOT = Path(__file__).parent.parent


def wheel(folder: Path, name: str, licence: str, **files: str) -> Path:
    """A wheel of a few files (PEP 427)."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    metadata = f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.0\n"
    inside = {
        **{file.replace("__", "."): text for file, text in files.items()},
        f"{info}/METADATA": metadata + (f"License-Expression: {licence}\n" if licence else ""),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    inside[f"{info}/RECORD"] = "".join(f"{one},,\n" for one in [*inside, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in inside.items():
            archive.writestr(file, text)
    return path


def lock(*wheels: Path) -> str:
    lines = []
    for one in wheels:
        digest = hashlib.sha256(one.read_bytes()).hexdigest()
        lines.append(f"{one.name.partition('-')[0]}==1.0 \\\n    --hash=sha256:{digest}\n")
    return "".join(lines)


class Vendor:
    """Who makes bundles: a checkout whose lock has one package, a key, some wheels."""

    def __init__(self, folder: Path, own: Path) -> None:
        self.folder = folder
        self.own = own
        self.checkout = folder / "checkout"
        self.checkout.mkdir(parents=True)
        for name in (*shipped.REQUIRED, "pyproject.toml"):
            if (ROOT / name).is_dir():
                ignore = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / name, self.checkout / name, ignore=ignore)
            else:
                shutil.copy2(ROOT / name, self.checkout / name)
        self.wheels = folder / "wheels"
        # it brings what this environment has, as the bundle's real wheels would
        shared = sysconfig.get_path("purelib") + "\n"
        self.set_lock(wheel(self.wheels, "brings", "MIT", shared__pth=shared))
        self.public: PublicKey = make_keys(folder / "key")

    def set_lock(self, *wheels: Path) -> None:
        (self.checkout / "requirements-box.lock").write_text(lock(*wheels))

    def create(self, **more: object) -> Path:
        out = self.folder / "b.tar"
        contents = bundle.Contents(self.checkout, self.wheels, self.own, **more)  # type: ignore[arg-type]
        bundle.create(contents, out, self.folder / "key")
        return out


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this source, built once."""
    return wheelhouse.build(ROOT, tmp_path_factory.mktemp("own"))


@pytest.fixture
def vendor(tmp_path: Path, own: Path) -> Vendor:
    return Vendor(tmp_path / "vendor", own)


def test_it_becomes_a_release_without_a_network(
    vendor: Vendor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, debs = tmp_path / "tiny-model", tmp_path / "debs"
    (model / "sub").mkdir(parents=True)
    (model / "sub" / "weights.bin").write_bytes(b"w" * 3_000_000)
    debs.mkdir()
    (debs / "mod-audio-stream_1%3a1.0.0-3_amd64.deb").write_bytes(b"deb")
    cuda = wheel(vendor.wheels, "cuda", "LicenseRef-NVIDIA-Proprietary")
    for name, wheels in (("tts", [cuda]), ("stt", [cuda, wheel(vendor.wheels, "ears", "MIT")])):
        (vendor.checkout / f"requirements-{name}.lock").write_text(lock(*wheels))
    file = vendor.create(models=(model,), debs=debs, engines=("tts", "stt"))
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/nothing")  # nobody is asked

    place = Place(tmp_path / "opt")
    release = BundleSource(file, vendor.public, tmp_path / "models").lay(place)
    folder = place.folder(release.name)
    assert release.version == __version__ and place.known() == (release,)
    assert {path.name for path in folder.iterdir()} == {".venv", "share", "about", "RELEASE"}
    assert (tmp_path / "models/tiny-model/sub/weights.bin").stat().st_size == 3_000_000
    assert (folder / "share" / "migrations" / "env.py").exists()
    python = place.ivr(release.name).with_name("python")
    asked = [python, "-c", "import appliance; print(appliance.__file__)"]
    found = subprocess.run(asked, capture_output=True, text=True, cwd="/", check=True)
    assert found.stdout.startswith(str(folder))

    sbom = json.loads((folder / "about" / about.SBOM).read_bytes())
    kinds = {one["name"]: one for one in sbom["components"]}
    assert sbom["bomFormat"] == "CycloneDX" and sbom["specVersion"] == "1.6"
    assert sbom["metadata"]["component"]["version"] == __version__
    assert kinds["brings"]["purl"] == "pkg:pypi/brings@1.0"
    assert kinds["brings"]["licenses"] == [{"license": {"id": "MIT"}}]
    assert kinds["cuda"]["bom-ref"] == "engines:pkg:pypi/cuda@1.0"
    assert kinds["mod-audio-stream"]["purl"] == "pkg:deb/debian/mod-audio-stream@1:1.0.0-3"
    weights = kinds["tiny-model/sub/weights.bin"]
    assert weights["hashes"][0]["content"] == hashlib.sha256(b"w" * 3_000_000).hexdigest()
    licences = (folder / "about" / about.LICENCES).read_text()
    assert "brings 1.0: MIT (allowed)" in licences
    assert "cuda 1.0: LicenseRef-NVIDIA-Proprietary (separate)" in licences
    wanted = {n: (folder / "about" / f"engines-{n}.txt").read_text() for n in ("tts", "stt")}
    assert [len(text.splitlines()) for text in wanted.values()] == [1, 2]
    assert "cuda" not in (folder / "about" / about.REQUIREMENTS).read_text()
    with pytest.raises(UserError, match="lies there already"):
        BundleSource(file, vendor.public, tmp_path / "models").lay(place)


def test_a_bundle_that_turns_bad_midway_leaves_no_release(vendor: Vendor, tmp_path: Path) -> None:
    file = vendor.create()
    bad = bytearray(file.read_bytes())
    bad[-3000] ^= 1
    file.write_bytes(bad)
    place = Place(tmp_path / "opt")
    with pytest.raises(UserError, match="not good"):
        BundleSource(file, vendor.public, tmp_path / "models").lay(place)
    assert place.known() == () and not (tmp_path / "models").exists()


def test_what_may_not_go_in(vendor: Vendor) -> None:
    good = wheel(vendor.wheels, "brings", "MIT")
    with pytest.raises(UserError, match="Expected sha256"):
        vendor.create()  # the wheel is another than the lock's
    vendor.set_lock(good, wheel(vendor.wheels, "greedy", "AGPL-3.0-only"))
    with pytest.raises(UserError, match=r"greedy \(AGPL-3.0-only\)"):
        vendor.create()
    vendor.set_lock(good)
    scripts = vendor.checkout / "migrations" / "versions"
    text = (scripts / "0004_console.py").read_text()
    (scripts / "0004_console.py").write_text(text.replace('phase = "both"', 'phase = "expand"'))
    with pytest.raises(UserError, match="0004 is marked expand"):
        vendor.create()
    (scripts / "0004_console.py").write_text(text.replace('phase = "both"\n', ""))
    with pytest.raises(UserError, match="0004 is not marked"):
        vendor.create()
    assert not list(vendor.folder.glob("b.tar*"))


def test_a_bundle_for_another_python(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    file = vendor.create()
    monkeypatch.setattr(sys, "version_info", (3, 12, 0, "final", 0))
    with pytest.raises(UserError, match=r"for Python 3\.11, this box has 3\.12"):
        BundleSource(file, vendor.public, vendor.folder).name()


def test_the_commands(vendor: Vendor) -> None:
    run, key = CliRunner().invoke, vendor.folder / "second.key"
    made = run(main, ["bundle", "keygen", str(key), "--json"])
    fingerprint = json.loads(made.output)["key"]
    out = vendor.folder / "c.tar"
    words = [
        "create",
        str(out),
        "--checkout",
        str(vendor.checkout),
        "--wheels",
        str(vendor.wheels),
        "--wheel",
        str(vendor.own),
    ]
    told = run(main, ["bundle", *words, "--key", str(key), "--json"])
    assert json.loads(told.output.splitlines()[-1])["wheels"] == 2, told.output
    good = run(main, ["bundle", "verify", str(out), "--key", f"{key}.pub", "--json"])
    facts = json.loads(good.output)
    assert facts["good"] and facts["key"] == fingerprint and facts["version"] == __version__
    other = run(main, ["bundle", "verify", str(out), "--key", str(vendor.folder / "key.pub")])
    assert other.exit_code == 2 and fingerprint not in other.output
    assert "not signed by the key" in other.output


def test_tens_of_gigabytes_need_no_memory(tmp_path: Path) -> None:
    """A sparse file of 100 MB goes through a process that may have 40 MB more."""
    big = tmp_path / "big.bin"
    with big.open("wb") as file:
        file.truncate(100 << 20)
    make_keys(tmp_path / "key")
    work = f"""
import resource
from pathlib import Path
from appliance.ops.releases import bundlefile, signing
from appliance.ops.releases.manifest import Manifest
folder = Path({str(tmp_path)!r})
now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + (40 << 20),) * 2)
entry = bundlefile.entry_of("models/big/big.bin", folder / "big.bin")
manifest = Manifest("1.0", "", "0004", "3.11", "2026-11-21T10:00:00+00:00", (entry,))
out = folder / "b.tar"
key = signing.read_private(folder / "key")
bundlefile.write(out, manifest, {{entry.path: folder / "big.bin"}}, key)
with bundlefile.opened(out, signing.read_public(folder / "key.pub")) as reader:
    reader.check()
print("good")
"""
    done = subprocess.run([sys.executable, "-c", work], capture_output=True, text=True, check=False)
    assert done.stdout == "good\n", done.stderr[-2000:]
    assert bundlefile.CHUNK_BYTES < 40 << 20
