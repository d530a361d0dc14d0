"""Documents of any format → pages of text. Bytes are parsed in a process of its own, with limits."""

from appliance.knowledge.reading.document import (
    Block,
    Page,
    ReadDocument,
    ReadOptions,
    RefusedDocumentError,
    UnreadableDocumentError,
    pages_from_json,
    pages_to_json,
)
from appliance.knowledge.reading.process import read_document

__all__ = [
    "Block",
    "Page",
    "ReadDocument",
    "ReadOptions",
    "RefusedDocumentError",
    "UnreadableDocumentError",
    "pages_from_json",
    "pages_to_json",
    "read_document",
]
