"""gRPC: stepladder.coaching.v1.PlanService."""

from dataclasses import replace

from google.protobuf.message import Message

from libs.common.errors import FieldViolation, Invalid, NotFound
from libs.common.eventsourcing import Context
from libs.common.paging import cut_page
from libs.common.projecting import Follower
from libs.common.service import AT_LEAST_SECONDS, Service
from services.coaching.measuring import Measuring
from services.coaching.plan import PLAN, to_resource
from services.coaching.plans import Plans
from stepladder.coaching.v1 import plan_pb2 as pb


class PlanApi:
    """Implements the service: plans out of the log, lists by way of the read model."""

    def __init__(self, service: Service, plans: Plans, follower: Follower, measuring: Measuring) -> None:
        self._service = service
        self._commands = service.commands
        self._plans = plans
        self._follower = follower
        self._measuring = measuring

    async def ProposePlan(self, request: pb.ProposePlanRequest, context: Context) -> pb.Plan:
        if request.HasField("evidence"):
            message = "evidence comes from the log by way of a detection; leave it empty and name the KPI"
            raise Invalid("EVIDENCE_NOT_TAKEN", message, (FieldViolation("evidence", message),))
        return await self._handle(request.plan_id, request, context)

    async def GetPlan(self, request: pb.GetPlanRequest, _: Context) -> pb.Plan:
        found = await self._commands.load(PLAN, request.plan_id)
        if not found.position:
            raise NotFound("PLAN_NOT_FOUND", f"there is no plan {request.plan_id}")
        return to_resource(found.state, found.position)

    async def ListPlans(self, request: pb.ListPlansRequest, _: Context) -> pb.ListPlansResponse:
        await self._follower.wait_for(request.at_least, AT_LEAST_SECONDS)
        listed = await self._plans.list_plans(self._service.engine, request)
        page, token = cut_page(request, listed, lambda one: [one[1]])
        found = (await self._commands.known(PLAN, [plan_id for plan_id, _ in page])).values()
        plans = [to_resource(one.state, one.position) for one in found]
        return pb.ListPlansResponse(plans=plans, next_page_token=token)

    async def AssessPlan(self, request: pb.AssessPlanRequest, context: Context) -> pb.Plan:
        return await self._transition(request, context)

    async def DiagnosePlan(self, request: pb.DiagnosePlanRequest, context: Context) -> pb.Plan:
        return await self._transition(request, context)

    async def ActivatePlan(self, request: pb.ActivatePlanRequest, context: Context) -> pb.Plan:
        return await self._transition(request, context)

    async def ObservePlan(self, request: pb.ObservePlanRequest, context: Context) -> pb.Plan:
        return await self._transition(request, context)

    async def ClosePlan(self, request: pb.ClosePlanRequest, context: Context) -> pb.Plan:
        return await self._transition(request, context)

    async def CancelPlan(self, request: pb.CancelPlanRequest, context: Context) -> pb.Plan:
        return await self._transition(request, context)

    async def call_reassessment(self, plan_id: str) -> None:
        """The clock's command: a plan's observation is over."""
        service = self._service
        context = Context(now=service.now(), today=service.today(), actor="policy:reassessment")
        await self._commands.handle(PLAN, plan_id, pb.CallReassessment(plan_id=plan_id), context)

    async def _transition(self, command: "Transition", context: Context) -> pb.Plan:
        return await self._handle(command.plan_id, command, replace(context, etag=command.etag))

    async def _handle(self, plan_id: str, command: Message, context: Context) -> pb.Plan:
        handled = await self._commands.handle(PLAN, plan_id, command, context)
        return to_resource(handled.state, handled.position)


Transition = (
    pb.AssessPlanRequest
    | pb.DiagnosePlanRequest
    | pb.ActivatePlanRequest
    | pb.ObservePlanRequest
    | pb.ClosePlanRequest
    | pb.CancelPlanRequest
)
