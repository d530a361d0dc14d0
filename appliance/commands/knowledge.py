"""``ivr knowledge``: the documents that agents answer from."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from appliance.commands.common import JSON, settings_of, start
from appliance.errors import UserError
from appliance.settings import Settings


@click.group()
def knowledge() -> None:
    """Add, show and search the documents that agents answer from.

    Example: ivr knowledge search sunrise-broadband "when are you open"
    """


async def _tell(settings: Settings, ids: Sequence[int]) -> bool:
    """Tell the workers, where Celery is installed to do so."""
    try:
        from appliance.jobs.enqueue import tell_workers
    except ModuleNotFoundError:
        return False
    return await tell_workers(settings, ids)


@knowledge.command("add")
@click.argument("base")
@click.argument("what", nargs=-1, metavar="FILE|FOLDER|URL...")
@click.option(
    "--list",
    "lists",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A file of URLs, one a line; repeatable.",
)
@click.option("--tag", "tags", multiple=True, help="What agents may filter by; repeatable.")
@click.option("--language", default="", help="BCP 47, such as hi; left out: found in the text.")
@click.option("--tenant", default="", help="Whose a new base is; left out: main.")
@click.option("--wait", is_flag=True, help="Stay until the documents are in force, or are not.")
@JSON
@click.pass_context
def knowledge_add(
    ctx: click.Context,
    base: str,
    what: tuple[str, ...],
    lists: tuple[Path, ...],
    tags: tuple[str, ...],
    language: str,
    tenant: str,
    wait: bool,
    as_json: bool,
) -> None:
    """Add documents to the knowledge base BASE: PDF, DOCX, PPTX, XLSX, CSV, HTML, Markdown, text.

    They are stored at once, and read by `ivr jobs`. A name that is there already is the document's
    new contents. URLs are those of your own networks: knowledge.networks.

    Example: ivr knowledge add helpline manuals/ --tag tariffs --wait
    """
    from appliance.ops.knowledge import documentsview as shown
    from appliance.ops.knowledge.documents import given

    if not what and not lists:
        raise UserError("Name a file, a folder, a URL or a --list of URLs.")
    settings = settings_of(ctx)
    adding = shown.add(
        *(settings, base, given(what, lists)),
        tags=tags,
        language=language,
        tell=_tell,
        tenant=tenant,
        wait=wait,
        as_json=as_json,
    )
    if not asyncio.run(adding):
        sys.exit(1)


@knowledge.command("load")
@click.argument("name")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--language", default="en", show_default=True, help="BCP 47: en, hi, ta, ….")
@JSON
@click.pass_context
def knowledge_load(
    ctx: click.Context, name: str, files: tuple[Path, ...], language: str, as_json: bool
) -> None:
    """Make FILES all that the next version of the knowledge base NAME has, at once.

    For a base kept in files, without `ivr jobs`; documents that are not among FILES go.

    Example: ivr knowledge load helpline faq.md tariffs.md
    """
    from appliance.ops.console import print_json
    from appliance.ops.knowledge.searching import load_files

    loaded = asyncio.run(load_files(start(ctx, "knowledge"), name, files, language))
    if as_json:
        print_json(asdict(loaded))
    else:
        click.echo(f"{loaded.name} version {loaded.version}: {loaded.passages} passages.")


@knowledge.command("search")
@click.argument("name")
@click.argument("question")
@JSON
@click.pass_context
def knowledge_search(ctx: click.Context, name: str, question: str, as_json: bool) -> None:
    """Show what the knowledge base NAME says to QUESTION, and how it was found.

    Example: ivr knowledge search sunrise-broadband "when are you open"
    """
    from appliance.ops.knowledge import searching as shown

    result, version = asyncio.run(shown.search(start(ctx, "knowledge"), name, question))
    if as_json:
        click.echo(shown.as_json(result, question, version))
    else:
        shown.show(result, question, version)


@knowledge.command("list")
@JSON
@click.pass_context
def knowledge_list(ctx: click.Context, as_json: bool) -> None:
    """List the knowledge bases: version in force, documents, passages.

    Example: ivr knowledge list
    """
    from appliance.ops.knowledge import documentsview as shown

    asyncio.run(shown.print_bases(settings_of(ctx), as_json=as_json))


@knowledge.command("show")
@click.argument("base")
@click.argument("document", required=False, default="")
@JSON
@click.pass_context
def knowledge_show(ctx: click.Context, base: str, document: str, as_json: bool) -> None:
    """Show the documents of BASE, or one: how far it is, what was read of it, what went wrong.

    Example: ivr knowledge show helpline tariffs.pdf
    """
    from appliance.ops.knowledge import documentsview as shown

    asyncio.run(shown.print_documents(settings_of(ctx), base, document, as_json=as_json))


@knowledge.command("retry")
@click.argument("base")
@click.argument("documents", nargs=-1, metavar="[DOCUMENT...]")
@JSON
@click.pass_context
def knowledge_retry(
    ctx: click.Context, base: str, documents: tuple[str, ...], as_json: bool
) -> None:
    """Read documents of BASE again that failed or were refused: those named, or all.

    Example: ivr knowledge retry helpline tariffs.pdf
    """
    from appliance.ops.knowledge import documentsview as shown

    asyncio.run(shown.retry(settings_of(ctx), base, documents, _tell, as_json=as_json))


@knowledge.command("refresh")
@click.argument("base")
@JSON
@click.pass_context
def knowledge_refresh(ctx: click.Context, base: str, as_json: bool) -> None:
    """Ask for the documents of BASE that came from URLs again, as `ivr jobs` does every night.

    What changed is read by `ivr jobs`. What is gone, or whose server is away, stays in force.

    Example: ivr knowledge refresh helpline
    """
    from appliance.ops.knowledge import documentsview as shown

    if not asyncio.run(shown.refresh(settings_of(ctx), base, _tell, as_json=as_json)):
        sys.exit(1)


@knowledge.command("remove")
@click.argument("base")
@click.argument("documents", nargs=-1, required=True, metavar="DOCUMENT...")
@JSON
@click.pass_context
def knowledge_remove(
    ctx: click.Context, base: str, documents: tuple[str, ...], as_json: bool
) -> None:
    """Take documents out of BASE: the next version, in force at once, is without them.

    Example: ivr knowledge remove helpline old-tariffs.pdf
    """
    from appliance.ops.knowledge import documentsview as shown

    asyncio.run(shown.remove(settings_of(ctx), base, documents, as_json=as_json))


@knowledge.command("drop")
@click.argument("base")
@click.option("--yes", is_flag=True, help="Do not ask whether that is meant.")
@JSON
@click.pass_context
def knowledge_drop(ctx: click.Context, base: str, yes: bool, as_json: bool) -> None:
    """Take BASE away: its documents with their originals, its versions and passages.

    Refused while a published agent, or a call, answers from it.

    Example: ivr knowledge drop helpline-2024 --yes
    """
    from appliance.ops.knowledge import documentsview as shown

    if not yes and not as_json:
        click.confirm(f"Erase all documents of {base}?", abort=True)
    asyncio.run(shown.drop(settings_of(ctx), base, as_json=as_json))


@knowledge.command("versions")
@click.argument("base")
@JSON
@click.pass_context
def knowledge_versions(ctx: click.Context, base: str, as_json: bool) -> None:
    """List the versions of BASE: when each came into force, and what it changed.

    Example: ivr knowledge versions helpline
    """
    from appliance.ops.knowledge import documentsview as shown

    asyncio.run(shown.print_versions(settings_of(ctx), base, as_json=as_json))


@knowledge.command("reembed")
@click.argument("base")
@JSON
@click.pass_context
def knowledge_reembed(ctx: click.Context, base: str, as_json: bool) -> None:
    """Embed all of BASE again, after the embedding model was changed.

    Vectors of two models cannot be compared: until this is done its passages are found by their
    words, and new documents wait.

    Example: ivr knowledge reembed helpline
    """
    from appliance.ops.knowledge import documentsview as shown

    asyncio.run(shown.reembed(settings_of(ctx), base, _tell, as_json=as_json))


@knowledge.command("allow")
@click.argument("base")
@click.argument("passages", nargs=-1, required=True, type=int, metavar="NUMBER...")
@JSON
@click.pass_context
def knowledge_allow(
    ctx: click.Context, base: str, passages: tuple[int, ...], as_json: bool
) -> None:
    """Let passages of BASE be found that read like orders to a language model, and are none.

    `ivr knowledge show BASE` lists them with their numbers.

    Example: ivr knowledge allow helpline 4711
    """
    from appliance.ops.knowledge import documentsview as shown

    asyncio.run(shown.allow(settings_of(ctx), base, passages, as_json=as_json))
