"""``ivr bundle``: everything for an offline install or upgrade in one signed file."""

from __future__ import annotations

from pathlib import Path

import click

from appliance.commands.common import JSON

FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False, exists=True)


@click.group()
def bundle() -> None:
    """Make, check and audit signed bundles: wheels, models, Debian packages, SBOM, licences.

    Example: ivr bundle verify ivr-0.2.0.tar
    """


@bundle.command("keygen")
@click.argument("file", type=FILE)
@JSON
def keygen(file: Path, as_json: bool) -> None:
    """Make a key to sign bundles by: FILE, for you alone, and FILE.pub, which boxes trust.

    Example: ivr bundle keygen release.key
    """
    from appliance.ops.console import print_json
    from appliance.ops.releases import signing

    public = signing.make_keys(file)
    beside = signing.public_beside(file)
    if as_json:
        print_json({"private": str(file), "public": str(beside), "key": public.fingerprint})
    else:
        click.echo(f"Sign with {file}, which nobody else may have. Boxes are given {beside}.")
        click.echo(f"Fingerprint: {public.fingerprint}")


@bundle.command("create")
@click.argument("out", type=FILE)
@click.option("--key", type=FILE, required=True, help="Private key of `ivr bundle keygen`.")
@click.option("--checkout", type=FOLDER, help="The source; default: the checkout of this `ivr`.")
@click.option(
    "--wheels", type=FOLDER, help="Take packages from this folder alone; default: pip's index."
)
@click.option("--wheel", "own", type=FILE, help="Our own wheel, built already.")
@click.option("--with-debs", "debs", type=FOLDER, help="Folder of Debian packages to bring.")
@click.option(
    "--with-models", "models", type=FOLDER, multiple=True, help="Folder of a model; repeatable."
)
@click.option(
    "--with-engines",
    "engines",
    default="",
    metavar="LIST",
    help="Packages of engines' environments, for PROFILE=gpu: stt,wav2vec2,tts,llm.",
)
@JSON
def create(
    out: Path,
    key: Path,
    checkout: Path | None,
    wheels: Path | None,
    own: Path | None,
    debs: Path | None,
    models: tuple[Path, ...],
    engines: str,
    as_json: bool,
) -> None:
    """Make the bundle OUT of this source, every package of the lock checked by its hash.

    Example: ivr bundle create ivr-0.2.0.tar --key release.key --with-models var/models/large-v3-turbo
    """
    from appliance.ops.releases import bundle as command

    checkout = checkout or command.default_checkout()
    named = tuple(name.strip() for name in engines.split(",") if name.strip())
    contents = command.Contents(checkout, wheels, own, debs, models, named)
    command.print_created(contents, out, key, as_json=as_json)


@bundle.command("verify")
@click.argument("file", type=FILE)
@click.option("--key", type=FILE, help="Public key; default: the one that this box trusts.")
@JSON
def verify(file: Path, key: Path | None, as_json: bool) -> None:
    """Read the bundle FILE to its end: signature, every hash, nothing else in it.

    Example: ivr bundle verify ivr-0.2.0.tar --key release.key.pub
    """
    from appliance.ops.releases import bundle as command

    command.print_verified(file, key, as_json=as_json)


@bundle.command("audit")
@click.option(
    "--advisories",
    type=click.Path(path_type=Path, exists=True),
    required=True,
    help="Folder, file or zip of OSV records, or of answers of PyPI's JSON API.",
)
@click.option("--lock", "locks", type=FILE, multiple=True, help="Default: ours; repeatable.")
@JSON
@click.pass_context
def audit(ctx: click.Context, advisories: Path, locks: tuple[Path, ...], as_json: bool) -> None:
    """Look the locked packages up in known vulnerabilities that were brought along; no network.

    Ends with status 1 when one is vulnerable, 3 when none is but the data is too old to say so.

    Example: ivr bundle audit --advisories PyPI-all.zip
    """
    from appliance import shipped
    from appliance.ops.releases import advisories as command

    every = (name for name in shipped.NAMES if name.endswith(".lock"))
    ours = locks or tuple(shipped.shipped(name) for name in every)
    ctx.exit(command.print_audit(ours, advisories, as_json=as_json))
