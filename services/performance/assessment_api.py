"""gRPC: stepladder.performance.v1.AssessmentService."""

from google.protobuf.message import Message

from libs.common.errors import FieldViolation, Invalid
from libs.common.eventsourcing import Context
from libs.common.projecting import Follower
from libs.common.service import AT_LEAST_SECONDS, Service
from libs.facts.callers import caller_id, check_employees, directory_around
from libs.facts.catalogue import Catalogue
from libs.facts.reaching import check_related
from libs.facts.relations import Relation, relations
from services.performance import assessment
from services.performance.assessment import ASSESSMENT, MonthSpan, months_of
from services.performance.months import months_from, span_of
from services.performance.policy_api import rules_with
from stepladder.performance.v1 import assessment_pb2 as pb
from stepladder.performance.v1.policy_pb2 import Policy


class AssessmentApi:
    """Implements the service. Everything comes out of the log: there is no read model that could tell more."""

    def __init__(self, service: Service, catalogue: Catalogue, catalogue_follower: Follower) -> None:
        self._service = service
        self._commands = service.commands
        self._catalogue = catalogue
        self._catalogue_follower = catalogue_follower

    async def OpenAssessment(self, request: pb.OpenAssessmentRequest, context: Context) -> pb.Assessment:
        await check_related(self._commands, context, [request.employee_id])
        await check_employees(self._commands, [request.employee_id])
        months = months_of(request)
        months_from(months.start, months.end)
        if months.end > context.today.isoformat()[:7]:
            message = "must not be a month to come"
            raise Invalid("MONTHS_INVALID", f"end_month {message}", (FieldViolation("end_month", message),))
        # Said again it is the same assessment, whatever version of the model has come since.
        position = await self._version(request.employee_id, months)
        if not position:
            rules = await rules_with(self._service, self._catalogue, self._catalogue_follower, [request.model_id])
            day = min(span_of(months.end).end, context.today)
            position = rules.of_kind_on("competency_model", request.model_id, day).log_position
        command = pb.OpenAssessment(request=request, policy_position=position)
        return await self._handle(request.employee_id, months, command, context)

    async def GiveAssessment(self, request: pb.GiveAssessmentRequest, context: Context) -> pb.Assessment:
        months = months_of(request)
        relation = await self._related(request.employee_id, context)
        command = pb.GiveAssessment(
            request=request, relation=relation, policy=await self._model(request.employee_id, months)
        )
        return _shown(await self._handle(request.employee_id, months, command, context), relation)

    async def CloseAssessment(self, request: pb.CloseAssessmentRequest, context: Context) -> pb.Assessment:
        await check_related(self._commands, context, [request.employee_id])
        months = months_of(request)
        command = pb.CloseAssessment(request=request, policy=await self._model(request.employee_id, months))
        return await self._handle(request.employee_id, months, command, context)

    async def CancelAssessment(self, request: pb.CancelAssessmentRequest, context: Context) -> pb.Assessment:
        await check_related(self._commands, context, [request.employee_id])
        return await self._handle(request.employee_id, months_of(request), request, context)

    async def ListAssessments(self, request: pb.ListAssessmentsRequest, context: Context) -> pb.ListAssessmentsResponse:
        relation = await self._related(request.employee_id, context)
        found = await self._commands.load(ASSESSMENT, request.employee_id, request.known_at)
        return pb.ListAssessmentsResponse(
            assessments=[_shown(one, relation) for one in assessment.to_resources(found.state)]
        )

    async def _handle(self, employee_id: str, months: MonthSpan, command: Message, context: Context) -> pb.Assessment:
        handled = await self._commands.handle(ASSESSMENT, employee_id, command, context)
        return assessment.to_resource(handled.state.assessments[months])

    async def _version(self, employee_id: str, months: MonthSpan) -> int:
        """Position of the model's version under which an assessment was opened; 0 if it was not, or was cancelled."""
        found = (await self._commands.load(ASSESSMENT, employee_id)).state.assessments.get(months)
        return 0 if found is None or found.cancelled else found.opened.policy_position

    async def _model(self, employee_id: str, months: MonthSpan) -> Policy:
        version = await self._version(employee_id, months)
        if not version:
            return Policy()
        await self._catalogue_follower.wait_for(version, AT_LEAST_SECONDS)
        return (await self._catalogue.rules(self._service.engine, version)).version(version)

    async def _related(self, employee_id: str, context: Context) -> pb.AssessorRelation.ValueType:
        """As whom a caller whom the call's rule names would assess somebody, by the directory today."""
        caller, today = caller_id(context), context.today
        directory = await directory_around(self._commands, caller, today, employee_ids=[employee_id])
        relation = pb.ASSESSOR_RELATION_UNSPECIFIED
        if Relation.LEAD in relations(directory, caller, employee_id, today):
            relation = pb.ASSESSOR_RELATION_MANAGER
        elif Relation.LEAD in relations(directory, employee_id, caller, today):
            relation = pb.ASSESSOR_RELATION_TEAM
        led = ["led"] if relation == pb.ASSESSOR_RELATION_TEAM else []
        await check_related(self._commands, context, [employee_id], led)
        await check_employees(self._commands, [employee_id])
        return relation


def _shown(one: pb.Assessment, relation: pb.AssessorRelation.ValueType) -> pb.Assessment:
    """What managers gave is not for those whom the assessed leads."""
    if relation == pb.ASSESSOR_RELATION_TEAM:
        del one.managers[:]
    return one
