"""``/knowledge``: bases with their documents, passages and versions; what is found in them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import APIRouter, File, Form, Path, Query, Response, UploadFile
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from appliance.access.actor import Actor
from appliance.access.roles import Permission
from appliance.admin.api.access import ConsoleOf, needs
from appliance.admin.services import documents, knowledge, searching
from appliance.admin.services.theirs import LARGEST_ID
from appliance.errors import UserError
from appliance.ops.knowledge.documents import MB

router = APIRouter(prefix="/knowledge", tags=["knowledge"])

Reader = Annotated[Actor, needs(Permission.KNOWLEDGE_READ)]
Editor = Annotated[Actor, needs(Permission.KNOWLEDGE_EDIT)]
Id = Annotated[int, Path(ge=1, le=LARGEST_ID)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
Tag = Annotated[str, StringConstraints(max_length=60)]
MOST_FILES = 20
"""Of one upload."""


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Shown(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class NewBase(_Body):
    """A knowledge base to be made."""

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
    tenant: Annotated[str, StringConstraints(max_length=64)] = ""
    """For the operator's people: whose it is."""


class Urls(_Body):
    """Documents to be fetched from the operator's own networks."""

    urls: Annotated[list[Annotated[str, StringConstraints(max_length=2000)]], Field(max_length=100)]
    tags: Annotated[list[Tag], Field(max_length=20)] = []
    language: Annotated[str, StringConstraints(max_length=35)] = ""


class EarlierTurn(_Body):
    """A turn before the question."""

    said: Text
    heard: Annotated[str, StringConstraints(max_length=1000)] = ""


class SearchFor(_Body):
    """A question, as an agent would search for it."""

    question: Text
    agent_id: Annotated[str, StringConstraints(max_length=64)] = ""
    """With its filters; empty: without any."""
    earlier: Annotated[list[EarlierTurn], Field(max_length=6)] = []


class BaseUser(_Shown):
    agent_id: str
    name: str
    published: bool


class Base(_Shown):
    id: int
    name: str
    tenant: str
    version: int
    published_at: datetime | None
    embedder: str
    documents: dict[str, int]
    size_bytes: int
    passages: int
    suspicious: int
    users: list[BaseUser]


class Created(_Shown):
    id: int
    name: str
    tenant: str


class Dropped(_Shown):
    base: str
    documents: int
    passages: int


class Version(_Shown):
    version: int
    published_at: datetime
    embedder: str
    passages: int
    added: int
    ended: int
    pruned: bool


class Document(_Shown):
    id: int
    name: str
    state: str
    error: str
    done: int
    total: int
    attempts: int
    next_at: datetime | None
    source: str
    added_by: str
    asked_at: datetime | None
    source_error: str
    tags: list[str]
    language: str
    media_type: str
    size_bytes: int
    pages: int
    notes: list[str]
    passages: int
    suspicious: int
    updated_at: datetime


class Given(_Shown):
    name: str
    outcome: str
    document_id: int
    why: str
    told: bool


class Passage(_Shown):
    id: int
    page: int | None
    heading: str
    text: str
    language: str
    tags: list[str]
    suspicious: bool
    in_force: bool


class Passages(_Shown):
    passages: list[Passage]
    total: int


class Taken(_Shown):
    version: int
    passages: int


class FoundPassage(_Shown):
    id: str
    document: str
    heading: str
    text: str
    score: float
    page: int | None


class Hit(_Shown):
    passage: FoundPassage
    language: str
    tags: list[str]
    distance: float | None
    dense_rank: int | None
    sparse_rank: int | None
    fused: float | None
    standing: Literal["answers", "read", "unsure", "behind", "left out"]


class Explained(_Shown):
    question: str
    searched: str
    base: str
    version: int
    agent_id: str
    tags: list[str]
    languages: list[str]
    source: str
    reranked: bool
    hits: list[Hit]
    answer: str
    answer_floor: float
    context_floor: float
    embed_ms: float
    total_ms: float
    note: str


@router.get("")
async def list_bases(console: ConsoleOf, actor: Reader) -> list[Base]:
    """The knowledge bases, with how far their documents are and which agents answer from them."""
    return [Base.model_validate(one) for one in await knowledge.bases(console, actor)]


@router.post("", status_code=201)
async def create_base(console: ConsoleOf, actor: Editor, body: NewBase) -> Created:
    """Make an empty knowledge base."""
    return Created.model_validate(await knowledge.create(console, actor, body.name, body.tenant))


@router.get("/{base_id}")
async def show_base(console: ConsoleOf, actor: Reader, base_id: Id) -> Base:
    """One knowledge base."""
    return Base.model_validate(await knowledge.base(console, actor, base_id))


@router.delete("/{base_id}")
async def drop_base(console: ConsoleOf, actor: Editor, base_id: Id) -> Dropped:
    """Take a knowledge base away with all its documents; refused while an agent answers from it."""
    return Dropped.model_validate(await knowledge.drop(console, actor, base_id))


@router.get("/{base_id}/versions")
async def list_versions(console: ConsoleOf, actor: Reader, base_id: Id) -> list[Version]:
    """The versions of a base, the latest first."""
    found = await knowledge.versions(console, actor, base_id)
    return [Version.model_validate(one) for one in found]


@router.post("/{base_id}/search")
async def search(console: ConsoleOf, actor: Reader, base_id: Id, body: SearchFor) -> Explained:
    """What an agent would find for a question, and why."""
    earlier = [searching.Earlier(one.said, one.heard) for one in body.earlier]
    found = await searching.search(
        console, actor, base_id, body.question, agent_id=body.agent_id, earlier=earlier
    )
    return Explained.model_validate(found)


@router.get("/{base_id}/documents")
async def list_documents(console: ConsoleOf, actor: Reader, base_id: Id) -> list[Document]:
    """The documents of a base, by name."""
    found = await documents.documents(console, actor, base_id)
    return [Document.model_validate(one) for one in found]


@router.post("/{base_id}/documents")
async def upload_documents(
    console: ConsoleOf,
    actor: Editor,
    base_id: Id,
    files: Annotated[list[UploadFile], File(max_length=MOST_FILES)],
    tags: Annotated[list[str], Form(max_length=20)] = [],  # noqa: B006 - FastAPI copies it
    language: Annotated[str, Form(max_length=35)] = "",
) -> list[Given]:
    """Store documents and have them read: PDF, DOCX, PPTX, XLSX, CSV, HTML, Markdown, text. What became
    of each, in order; one that is refused stops no other."""
    await knowledge.base(console, actor, base_id)
    return [await _upload(console, actor, base_id, file, tags, language) for file in files]


async def _upload(
    console: ConsoleOf,
    actor: Actor,
    base_id: int,
    file: UploadFile,
    tags: list[str],
    language: str,
) -> Given:
    name, most = file.filename or "", documents.largest_bytes(console)
    try:
        if (file.size or 0) > most:
            raise UserError(
                f"{(file.size or 0) / MB:.0f} MB is above the limit of {most / MB:.0f} MB."
            )
        given = await documents.upload(
            *(console, actor, base_id, name, await file.read()),
            media_type=file.content_type or "",
            tags=tags,
            language=language,
        )
    except UserError as e:
        return Given(name=name, outcome="refused", document_id=0, why=str(e), told=True)
    return Given.model_validate(given)


@router.post("/{base_id}/urls")
async def add_urls(console: ConsoleOf, actor: Editor, base_id: Id, body: Urls) -> list[Given]:
    """Fetch documents by URL, from the networks of ``knowledge.networks`` alone, and have them read."""
    text = "\n".join(body.urls)
    found = await documents.add_urls(
        console, actor, base_id, text, tags=body.tags, language=body.language
    )
    return [Given.model_validate(one) for one in found]


@router.post("/{base_id}/refresh")
async def refresh(console: ConsoleOf, actor: Editor, base_id: Id) -> list[Given]:
    """Ask for the documents that came from URLs again."""
    return [Given.model_validate(one) for one in await documents.refresh(console, actor, base_id)]


@router.get("/{base_id}/documents/{document_id}")
async def show_document(
    console: ConsoleOf, actor: Reader, base_id: Id, document_id: Id
) -> Document:
    """One document: how far it is, what went wrong, what is in force of it."""
    return Document.model_validate(await documents.document(console, actor, base_id, document_id))


@router.delete("/{base_id}/documents/{document_id}")
async def remove_document(console: ConsoleOf, actor: Editor, base_id: Id, document_id: Id) -> Taken:
    """Take a document out; the next version, in force at once, is without it."""
    return Taken.model_validate(await documents.remove(console, actor, base_id, document_id))


@router.post("/{base_id}/documents/{document_id}/retry")
async def retry_document(console: ConsoleOf, actor: Editor, base_id: Id, document_id: Id) -> bool:
    """Have a document read again that failed or was refused; false: there is nothing to try again."""
    return await documents.retry(console, actor, base_id, document_id)


@router.get("/{base_id}/documents/{document_id}/passages")
async def list_passages(
    console: ConsoleOf,
    actor: Reader,
    base_id: Id,
    document_id: Id,
    suspicious: bool = False,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> Passages:
    """The passages of a document in their order; ``suspicious``: only those kept out of searches."""
    found = await documents.passages(
        *(console, actor, base_id, document_id),
        suspicious_only=suspicious,
        limit=limit,
        offset=offset,
    )
    return Passages.model_validate(found)


@router.get(
    "/{base_id}/documents/{document_id}/original",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {}}}},
)
async def download_original(
    console: ConsoleOf, actor: Reader, base_id: Id, document_id: Id
) -> Response:
    """A document as it was given, always as a download."""
    found = await documents.original(console, actor, base_id, document_id)
    return Response(
        found.content,
        media_type="application/octet-stream",  # never a page of ours, whatever it says it is
        headers={
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(found.name, safe='')}",
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "private, no-store",
        },
    )


@router.post("/{base_id}/passages/{passage_id}/allow")
async def allow_passage(console: ConsoleOf, actor: Editor, base_id: Id, passage_id: Id) -> Taken:
    """Let a passage in that was kept out of searches, for it reads like orders to a language model."""
    return Taken.model_validate(await documents.allow(console, actor, base_id, passage_id))
