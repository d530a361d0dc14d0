"""``ivr upgrade``, ``ivr rollback`` and ``ivr releases``: from one version to another, and back."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from appliance.commands.common import JSON, settings_of
from appliance.errors import UserError

if TYPE_CHECKING:
    from appliance.ops.releases.laying import Source
    from appliance.ops.releases.upgrade import Done, Options, Upgrade
    from appliance.settings import Settings

ROOT = click.option(
    "--root", type=click.Path(path_type=Path), default="/opt/ivr", show_default=True,
    help="Where releases lie.",
)  # fmt: skip
FORCE = click.option(
    "--force", "reason", default="", metavar="REASON", help="Go on in spite of what is found."
)
QUIET = click.option(
    "--quiet-s", type=click.FloatRange(0, 86_400), default=600.0, show_default=True,
    help="How long a moment without calls is waited for.",
)  # fmt: skip
SETTLE = click.option(
    "--settle-s", type=click.FloatRange(0, 3600), default=180.0, show_default=True,
    help="How long services that have just started may look sick.",
)  # fmt: skip

BACK_STATUS = 3
"""Exit status of an upgrade that took the release before back into force: 1 is what a crash leaves, and
ivr-upgrade-resume.service tries again after that."""


@click.command()
@click.argument("bundle", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--checkout", type=click.Path(path_type=Path, file_okay=False),
    help="Instead of a bundle: a checkout of the source, for developers.",
)  # fmt: skip
@click.option(
    "--key", type=click.Path(path_type=Path, dir_okay=False),
    help="FILE.pub of `ivr bundle keygen FILE`; only the first time, then it is kept.",
)  # fmt: skip
@click.option("--resume", is_flag=True, help="Go on with an upgrade that was cut short.")
@click.option(
    "--finish", is_flag=True,
    help="Apply what was left so that there is a way back; then there is none.",
)  # fmt: skip
@click.option("--no-backup", is_flag=True, help="Make no backup before.")
@click.option("--no-call", is_flag=True, help="Do not ring the box after the switch.")
@FORCE
@QUIET
@SETTLE
@ROOT
@JSON
@click.pass_context
def upgrade(
    ctx: click.Context,
    bundle: Path | None,
    checkout: Path | None,
    key: Path | None,
    resume: bool,
    finish: bool,
    no_backup: bool,
    no_call: bool,
    reason: str,
    quiet_s: float,
    settle_s: float,
    root: Path,
    as_json: bool,
) -> None:
    """Put the release in BUNDLE in force, without losing a call; back by itself if it is not well.

    Status 0: it is in force (of --resume also: it was half laid, and is cleared away); 3: it was, was
    not well, and the old one is in force again; 2: nothing was changed.

    Example: ivr upgrade ivr-0.2.0.tar
    """
    from appliance.ops.releases.upgrade import Options

    if sum((bundle is not None, checkout is not None, resume, finish)) != 1:
        raise UserError("Name a BUNDLE, or one of --checkout, --resume and --finish.")
    settings = settings_of(ctx)
    options = Options(reason, not no_backup, not no_call, quiet_s, settle_s)
    work = _upgrade(root, settings, options, as_json)
    if resume:
        done = work.resume()
    elif finish:
        done = work.finish()
    else:
        done = work.run(_source(bundle, checkout, key, settings))
    _tell(ctx, done, as_json)


@click.command()
@click.argument("release", required=False)
@FORCE
@QUIET
@ROOT
@JSON
@click.pass_context
def rollback(
    ctx: click.Context, release: str | None, reason: str, quiet_s: float, root: Path, as_json: bool
) -> None:
    """Put an older release in force again, with the same care; without RELEASE the one before.

    The database stays as it is: what upgrades add before `--finish`, older releases do not notice.

    Example: ivr rollback
    """
    from appliance.ops.releases.listing import previous
    from appliance.ops.releases.release import Place
    from appliance.ops.releases.upgrade import Options

    work = _upgrade(root, settings_of(ctx), Options(reason, quiet_s=quiet_s), as_json)
    done = work.back(release or previous(Place(root)))
    _say_done(done, as_json)


@click.group()
def releases() -> None:
    """The releases on this box: which is in force, which services run which.

    Example: ivr releases list
    """


@releases.command("list")
@ROOT
@JSON
@click.pass_context
def releases_list(ctx: click.Context, root: Path, as_json: bool) -> None:
    """List them.

    Example: ivr releases list
    """
    from appliance.ops.releases.listing import print_releases
    from appliance.ops.releases.release import Place
    from appliance.ops.releases.units import Systemctl

    units = Systemctl(settings_of(ctx).worker.drain_timeout_s)
    print_releases(Place(root), units, as_json=as_json)


@releases.command("remove")
@click.argument("release")
@ROOT
@JSON
@click.pass_context
def releases_remove(ctx: click.Context, release: str, root: Path, as_json: bool) -> None:
    """Delete RELEASE; never the one in force, nor one that a service runs.

    Example: ivr releases remove 0.1.0
    """
    from appliance.ops.console import print_json
    from appliance.ops.releases.listing import remove
    from appliance.ops.releases.release import Place
    from appliance.ops.releases.units import Systemctl

    remove(Place(root), Systemctl(settings_of(ctx).worker.drain_timeout_s), release)
    if as_json:
        print_json({"removed": release})
    else:
        click.echo(f"Release {release} is gone.")


@releases.command("migrate")
@click.option(
    "--under", metavar="REVISION",
    help="Only what a release whose newest revision this is does not notice.",
)  # fmt: skip
@click.option("--all", "everything", is_flag=True, help="All; there is no way back then.")
@JSON
@click.pass_context
def releases_migrate(
    ctx: click.Context, under: str | None, everything: bool, as_json: bool
) -> None:
    """Apply this release's migrations, as an upgrade does.

    Example: ivr releases migrate --under 0004
    """
    from appliance.ops.console import print_json
    from appliance.ops.releases.listing import migrate

    if (under is None) != everything:
        raise UserError("Name one of --under REVISION and --all.")
    at = migrate(settings_of(ctx), under)
    if as_json:
        print_json({"revision": at})
    else:
        click.echo(f"The database is at revision {at}.")


@releases.command("replay")
@click.option(
    "--against", type=click.Path(path_type=Path, exists=True),
    help="What another release answered, as this prints it.",
)  # fmt: skip
@JSON
@click.pass_context
def releases_replay(ctx: click.Context, against: Path | None, as_json: bool) -> None:
    """Ask every golden question, keep nothing, and print the answers as one JSON object.

    Example: ivr releases replay
    """
    from appliance.ops.releases.replay import print_answers

    print_answers(settings_of(ctx), against)


def _upgrade(root: Path, settings: Settings, options: Options, as_json: bool) -> Upgrade:
    from appliance.ops.releases.health import Doctor
    from appliance.ops.releases.release import Place
    from appliance.ops.releases.units import Systemctl
    from appliance.ops.releases.upgrade import Upgrade

    place = Place(root)
    health = Doctor(place, settings.data_dir)
    units = Systemctl(settings.worker.drain_timeout_s)
    say = (lambda text: click.echo(text, err=True)) if as_json else click.echo
    return Upgrade(place, settings, units, health, options, say)


def _source(
    bundle: Path | None, checkout: Path | None, key: Path | None, settings: Settings
) -> Source:
    from appliance.ops.releases import laying, signing
    from appliance.ops.releases.bundle import show_progress

    if checkout is not None:
        return laying.CheckoutSource(checkout.absolute())
    assert bundle is not None
    public = signing.trusted(key)
    source = laying.BundleSource(bundle, public, settings.models_dir, show_progress())
    source.name()  # the signature is good: from now on this key, and no other
    signing.pin(public)
    return source


def _tell(ctx: click.Context, done: Done, as_json: bool) -> None:
    _say_done(done, as_json)
    ctx.exit(BACK_STATUS if done.why else 0)


def _say_done(done: Done, as_json: bool) -> None:
    from appliance.ops.console import print_json

    if as_json:
        print_json(asdict(done))
        return
    if done.left:
        click.echo(
            f"{', '.join(done.left)} still run another release: there was no moment without calls."
            " `ivr upgrade --finish` moves them."
        )
