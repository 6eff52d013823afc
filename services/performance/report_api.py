"""gRPC: stepladder.performance.v1.ReportService."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from google.api.httpbody_pb2 import HttpBody

from libs.common.days import parse_day
from libs.common.eventsourcing import Context
from libs.common.projecting import Follower
from libs.common.service import AT_LEAST_SECONDS
from services.performance.document import Document, document_of
from services.performance.report_page import page_of
from services.performance.report_print import pdf_of
from services.performance.report_tables import csv_of, workbook_of
from services.performance.reports import Reports
from stepladder.performance.v1 import report_pb2 as pb

FORMATS: Mapping[str, tuple[str, Callable[[Document], bytes]]] = {
    "csv": ("text/csv; charset=utf-8", csv_of),
    "xlsx": ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", workbook_of),
    "html": ("text/html; charset=utf-8", page_of),
    "pdf": ("application/pdf", pdf_of),
}
"""The media type of each kind of file, and what makes it."""


class ReportApi:
    """Implements the service."""

    def __init__(self, reports: Reports, followers: Sequence[Follower]) -> None:
        self._reports = reports
        self._followers = followers

    async def GetReport(self, request: pb.GetReportRequest, context: Context) -> pb.Report:
        day = parse_day(request.date, "date")
        for follower in self._followers:
            await follower.wait_for(max(request.at_least, request.known_at), AT_LEAST_SECONDS)
        return await self._reports.report(request, day, context.today)

    async def ExportReport(self, request: pb.ExportReportRequest, context: Context) -> HttpBody:
        asked = pb.GetReportRequest()
        for field in asked.DESCRIPTOR.fields:
            setattr(asked, field.name, getattr(request, field.name))
        report = await self.GetReport(asked, context)
        content_type, make = FORMATS[request.format]
        # Up to a second of work: the event loop goes on meanwhile.
        data = await asyncio.to_thread(lambda: make(document_of(report)))
        return HttpBody(content_type=content_type, data=data)
