"""gRPC: stepladder.performance.v1.ReportService."""

from collections.abc import Sequence

from google.api.httpbody_pb2 import HttpBody

from libs.common.days import parse_day
from libs.common.eventsourcing import Context
from libs.common.projecting import Awaited
from libs.common.service import AT_LEAST_SECONDS, Service
from libs.documents.files import file_of
from libs.facts.reaching import check_over
from services.performance.report_document import report_document
from services.performance.reports import Reports
from stepladder.performance.v1 import report_pb2 as pb


class ReportApi:
    """Implements the service."""

    def __init__(self, service: Service, reports: Reports, followers: Sequence[Awaited]) -> None:
        self._commands = service.commands
        self._reports = reports
        self._followers = followers

    async def GetReport(self, request: pb.GetReportRequest, context: Context) -> pb.Report:
        await check_over(self._commands, context, request.team_id)
        day = parse_day(request.date, "date")
        for follower in self._followers:
            await follower.wait_for(max(request.at_least, request.known_at), AT_LEAST_SECONDS)
        return await self._reports.report(request, day, context.today)

    async def ExportReport(self, request: pb.ExportReportRequest, context: Context) -> HttpBody:
        asked = pb.GetReportRequest()
        for field in asked.DESCRIPTOR.fields:
            setattr(asked, field.name, getattr(request, field.name))
        report = await self.GetReport(asked, context)
        return await file_of(lambda: report_document(report), request.format)
