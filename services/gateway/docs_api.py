"""DocsService: what can be called, for programs and for people."""

import asyncio
import json
from functools import cache
from importlib.metadata import version

from google.api.httpbody_pb2 import HttpBody

from libs.common.access import RULES
from libs.common.contracts import load_contracts
from libs.common.eventsourcing import Context
from services.gateway.docs_page import docs_page
from services.gateway.openapi import openapi_document
from stepladder.gateway.v1.docs_pb2 import GetDocsRequest, GetOpenApiRequest


class DocsApi:
    """Implements stepladder.gateway.v1.DocsService."""

    async def GetOpenApi(self, _: GetOpenApiRequest, _context: Context) -> HttpBody:
        document, _page = await asyncio.to_thread(_made)
        return HttpBody(content_type="application/json", data=document)

    async def GetDocs(self, _: GetDocsRequest, _context: Context) -> HttpBody:
        _document, page = await asyncio.to_thread(_made)
        return HttpBody(content_type="text/html; charset=utf-8", data=page)


@cache
def _made() -> tuple[bytes, bytes]:
    """The document and the page: half a second of work, and the same until the next start."""
    document = openapi_document(load_contracts(), RULES, version("stepladder"))
    return json.dumps(document, ensure_ascii=False).encode(), docs_page(document).encode()
