"""Documents as files to open, print or work on."""

import asyncio
from collections.abc import Callable, Mapping

from google.api.httpbody_pb2 import HttpBody

from libs.documents.document import Document
from libs.documents.page import page_of
from libs.documents.print import pdf_of
from libs.documents.tables import csv_of, workbook_of

FORMATS: Mapping[str, tuple[str, Callable[[Document], bytes]]] = {
    "csv": ("text/csv; charset=utf-8", csv_of),
    "xlsx": ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", workbook_of),
    "html": ("text/html; charset=utf-8", page_of),
    "pdf": ("application/pdf", pdf_of),
}
"""The media type of each kind of file, and what makes it."""


async def file_of(document: Callable[[], Document], kind: str) -> HttpBody:
    """A document as one of `FORMATS`. Both are made in a thread: up to a second of work, and others go on meanwhile."""
    content_type, make = FORMATS[kind]
    return HttpBody(content_type=content_type, data=await asyncio.to_thread(lambda: make(document())))
