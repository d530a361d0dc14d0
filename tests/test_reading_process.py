"""The process that parses: what it may use, and that its death is a sentence and no more."""

from __future__ import annotations

import asyncio
import os
import signal
import zipfile
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pytest

from appliance.knowledge.reading import (
    ReadDocument,
    ReadOptions,
    RefusedDocumentError,
    UnreadableDocumentError,
    pages_from_json,
    pages_to_json,
    read_document,
)
from appliance.knowledge.reading.wire import Progress, read_reply, reply_frame
from tests.pdf_kit import Put, lines, pdf
from tests.reading_kit import parsed, whole


def book(pages: int) -> bytes:
    text = "\n".join(f"Line {n} of a page with some seventy characters on it." for n in range(40))
    return pdf([[Put(f"Chapter {n}", y=60, size=18), *lines(text, y=100)] for n in range(pages)])


def children() -> list[int]:
    """Processes of ours that parse documents."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):
            found += [int(pid) for pid in (task / "children").read_text().split()]
    return [
        pid for pid in found if b"knowledge.reading" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


@pytest.fixture(autouse=True)
async def nothing_left_behind() -> AsyncIterator[None]:
    yield
    assert children() == []


async def test_a_document_comes_back_with_progress() -> None:
    seen: list[tuple[int, int]] = []
    found = await read_document(
        book(12), "book.pdf", on_progress=lambda done, total: seen.append((done, total))
    )
    assert len(found.pages) == 12 and found.language == "en"
    assert seen[0] == (0, 12) and seen[-1] == (12, 12)
    assert seen == sorted(seen)
    assert pages_from_json(pages_to_json(found.pages)) == found.pages


async def test_refusals_come_back_word_for_word() -> None:
    with pytest.raises(RefusedDocumentError, match=r"a\.zip is cut off or damaged"):
        await read_document(b"PK\x03\x04 and so on", "a.zip")
    for nothing in (b"", b" \n\t\0\0\n"):
        with pytest.raises(RefusedDocumentError, match=r"a\.txt is empty"):
            await read_document(nothing, "a.txt")
    with pytest.raises(RefusedDocumentError, match="above the limit of 1 MB"):
        await read_document(b"x" * 2_000_000, "a.txt", options=ReadOptions(max_bytes=1_000_000))


async def test_what_nobody_thought_of_is_a_refusal_that_quotes_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types")
        archive.writestr("word/document.xml", "<a secret")
    with pytest.raises(RefusedDocumentError, match=r"^a\.docx is damaged, or not quite") as refused:
        await read_document(out.getvalue(), "a.docx")
    assert "secret" not in str(refused.value) + caplog.text
    assert "XMLSyntaxError at " in caplog.text


async def test_too_slow_is_killed_and_may_be_tried_again() -> None:
    loop = asyncio.get_running_loop()
    begin = loop.time()
    seen: list[int] = []
    with pytest.raises(UnreadableDocumentError, match=r"not read within 1\.5 s") as late:
        await read_document(
            book(150), "book.pdf", "", ReadOptions(timeout_s=1.5), lambda done, _: seen.append(done)
        )
    assert loop.time() - begin < 20
    assert (f"({seen[-1]} of 150 pages were)" in str(late.value)) if seen else True


async def inspected(look: Callable[[int], None]) -> ReadDocument:
    """A document whose reading is looked at from outside once it is under way."""
    seen: list[int] = []

    def on_progress(done: int, total: int) -> None:
        for pid in children():
            if not seen:
                seen.append(pid)
                look(pid)

    return await read_document(book(20), "book.pdf", on_progress=on_progress)


async def test_a_killed_parser_is_one_clear_sentence() -> None:
    with pytest.raises(UnreadableDocumentError, match=r"stopped in the middle \(SIGKILL\)"):
        await inspected(lambda pid: os.kill(pid, signal.SIGKILL))
    with pytest.raises(UnreadableDocumentError, match=r"\(SIGSEGV\)"):
        await inspected(lambda pid: os.kill(pid, signal.SIGSEGV))


async def test_the_parser_has_no_secrets_and_little_of_the_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("IVR_DATABASE__URL", "postgresql://u:secret@h/db")
    found: dict[str, str] = {}

    def look(pid: int) -> None:
        found["environ"] = Path(f"/proc/{pid}/environ").read_text()
        found["limits"] = Path(f"/proc/{pid}/limits").read_text()
        found["session"] = str(os.getsid(pid) == pid)

    await inspected(look)
    assert "secret" not in found["environ"] and "IVR_" not in found["environ"]
    limits = {line[:26].strip(): line[26:].split()[0] for line in found["limits"].splitlines()}
    assert 2 * 1024**3 <= int(limits["Max address space"]) < 3 * 1024**3
    assert limits["Max cpu time"] == "301"
    assert limits["Max open files"] == "64"
    assert limits["Max file size"] == limits["Max core file size"] == "0"
    assert found["session"] == "True"


async def test_two_at_once_do_not_disturb_each_other() -> None:
    killed = asyncio.create_task(inspected(lambda pid: os.kill(pid, signal.SIGKILL)))
    with suppress(UnreadableDocumentError):
        await killed
    texts = [f"Text number {n} is not like any other." for n in range(4)]
    found = await asyncio.gather(
        *(read_document(text.encode(), f"{n}.txt") for n, text in enumerate(texts)),
        read_document(b"PK\x03\x04", "bad.zip"),
        return_exceptions=True,
    )
    assert isinstance(found[-1], RefusedDocumentError)
    assert [whole(one) for one in found[:-1] if isinstance(one, ReadDocument)] == texts


async def test_who_gives_up_takes_the_parser_along() -> None:
    task = asyncio.create_task(read_document(book(150), "book.pdf"))
    while not children():
        await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert children() == []


async def test_frames_that_are_none_are_not_believed() -> None:
    stream = asyncio.StreamReader()
    stream.feed_data(reply_frame(Progress(1, 2)) + b"\xff\xff\xff\xff")
    assert await read_reply(stream) == Progress(1, 2)
    with pytest.raises(ValueError, match="a frame of"):
        await read_reply(stream)


def test_json_keeps_pages() -> None:
    found = parsed(b"# T\n\nText.\n\n### Why?\nSo.\n", "a.md")
    assert pages_from_json(pages_to_json(found.pages)) == found.pages
