"""gRPC: stepladder.performance.v1.KpiService."""

from dataclasses import replace
from datetime import date

from google.protobuf.message import Message

from libs.common.errors import FieldViolation, Invalid, NotFound
from libs.common.eventsourcing import Context
from libs.common.paging import cut_page
from libs.common.projecting import Follower
from libs.common.service import AT_LEAST_SECONDS, Service
from libs.facts.catalogue import Catalogue, target_scope
from services.performance import kpi, target
from services.performance.kpi import KPI
from services.performance.outcome import MEASURES
from services.performance.target import TARGET, target_id
from services.performance.team import TEAM
from stepladder.performance.v1 import kpi_pb2 as pb


class KpiApi:
    """Implements the service: resources out of the log, lists by way of the read model."""

    def __init__(self, service: Service, catalogue: Catalogue, follower: Follower) -> None:
        self._commands = service.commands
        self._engine = service.engine
        self._catalogue = catalogue
        self._follower = follower

    async def CreateKpi(self, request: pb.CreateKpiRequest, context: Context) -> pb.Kpi:
        derived = request.kpi.derived
        for field, measure in (("numerator", derived.numerator), ("denominator", derived.denominator)):
            if measure and measure not in MEASURES and not await self._has_readings(measure):
                known = f"a KPI that adds up readings of its own, or {', '.join(MEASURES)}"
                message = f"there is no measure {measure}: it is {known}"
                raise Invalid("DERIVATION_INVALID", message, (FieldViolation(f"kpi.derived.{field}", message),))
        return await self._kpi(request.kpi.kpi_id, request, context)

    async def UpdateKpi(self, request: pb.UpdateKpiRequest, context: Context) -> pb.Kpi:
        return await self._kpi(request.kpi.kpi_id, request, replace(context, etag=request.kpi.etag))

    async def GetKpi(self, request: pb.GetKpiRequest, _: Context) -> pb.Kpi:
        found = await self._commands.load(KPI, request.kpi_id, request.known_at)
        if not found.position:
            raise NotFound("KPI_NOT_FOUND", f"there is no KPI {request.kpi_id}")
        return kpi.to_resource(found.state, found.position)

    async def ListKpis(self, request: pb.ListKpisRequest, _: Context) -> pb.ListKpisResponse:
        await self._follower.wait_for(request.at_least, AT_LEAST_SECONDS)
        kpis, token = cut_page(
            request, await self._catalogue.list_kpis(self._engine, request), lambda one: [one.kpi_id, ""]
        )
        return pb.ListKpisResponse(kpis=kpis, next_page_token=token)

    async def SetTarget(self, request: pb.SetTargetRequest, context: Context) -> pb.Target:
        wanted = request.target
        found = await self._commands.known(KPI, [wanted.kpi_id], check=False)
        if not found:
            raise NotFound("KPI_NOT_FOUND", f"there is no KPI {wanted.kpi_id}")
        if wanted.per_day and found[wanted.kpi_id].state.kpi.aggregation != pb.Kpi.AGGREGATION_SUM:
            message = f"{wanted.kpi_id} is no sum: its bounds are the same for a day and a month"
            raise Invalid("TARGET_PER_DAY", message, (FieldViolation("target.per_day", message),))
        if wanted.team_id and not await self._commands.known(TEAM, [wanted.team_id], check=False):
            raise NotFound("TEAM_NOT_FOUND", f"there is no team {wanted.team_id}")
        handled = await self._commands.handle(TARGET, target_id(wanted), request, context)
        return target.to_resource(handled.state, handled.position, date.fromisoformat(wanted.effective_date))

    async def ListTargets(self, request: pb.ListTargetsRequest, _: Context) -> pb.ListTargetsResponse:
        await self._follower.wait_for(request.at_least, AT_LEAST_SECONDS)
        targets, token = cut_page(
            request,
            await self._catalogue.list_targets(self._engine, request),
            lambda one: [target_scope(one), one.effective_date],
        )
        return pb.ListTargetsResponse(targets=targets, next_page_token=token)

    async def _has_readings(self, kpi_id: str) -> bool:
        found = {} if "." in kpi_id else await self._commands.known(KPI, [kpi_id])
        kpis = [one.state.kpi for one in found.values()]
        return any(not kpi.HasField("derived") and kpi.aggregation == pb.Kpi.AGGREGATION_SUM for kpi in kpis)

    async def _kpi(self, kpi_id: str, command: Message, context: Context) -> pb.Kpi:
        handled = await self._commands.handle(KPI, kpi_id, command, context)
        return kpi.to_resource(handled.state, handled.position)
