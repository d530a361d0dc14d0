"""Documents of any format → pages of text. Bytes are parsed in a process of its own, with limits.

* here: ``process`` starts that process and kills it; ``document`` is what comes back
* between: ``wire``
* there: ``limits`` and ``sandbox`` shut it in; ``formats`` looks what a document is (``media_types``),
  has it ``parsed`` and tidies it (``clean``, ``encodings``, ``language``)
* PDF: ``pdf`` <- ``pdflayout`` <- ``pdflines`` <- ``pdftext`` (``pdfspace``, ``pdfstyles``,
  ``pdfdrawn``); pictures: ``ocr``
* Office (``archives``): ``word``, ``slides``, ``workbook``
* ``web`` (``webseen``), ``csvfile``, ``markdown``, ``plain``
* in any of them: ``tables``, and questions with answers (``faq``)
"""

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
