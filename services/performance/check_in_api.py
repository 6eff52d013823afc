"""gRPC: stepladder.performance.v1.CheckInService."""

from google.protobuf.message import Message

from libs.common.errors import FieldViolation, Invalid
from libs.common.eventsourcing import Context
from libs.common.paging import cut_page, page_of
from libs.common.projecting import Follower
from libs.common.service import AT_LEAST_SECONDS, Service
from libs.facts.audit import audited, reads_in
from libs.facts.callers import check_employees
from libs.facts.check_ins import CheckIns
from libs.facts.reaching import check_related
from services.performance import check_in
from services.performance.check_in import CHECK_IN, CHECK_IN_READS, check_in_key
from services.performance.facts import day_problem
from services.performance.months import months_from
from stepladder.performance.v1 import check_in_pb2 as pb


class CheckInApi:
    """Implements the service. Before anything is looked at, the caller must be one who may know it."""

    def __init__(self, service: Service, check_ins: CheckIns, follower: Follower) -> None:
        self._commands = service.commands
        self._engine = service.engine
        self._check_ins = check_ins
        self._follower = follower

    async def CreateCheckIn(self, request: pb.CreateCheckInRequest, context: Context) -> pb.CheckIn:
        return await self._give(request.check_in, request, context)

    async def CorrectCheckIn(self, request: pb.CorrectCheckInRequest, context: Context) -> pb.CheckIn:
        return await self._give(request.check_in, request, context)

    async def RetractCheckIn(self, request: pb.RetractCheckInRequest, context: Context) -> pb.CheckIn:
        employee_id = request.employee_id
        await self._check(employee_id, context)
        taken = await self._handle(employee_id, request.check_in_id, request, context)
        await audited(self._commands, CHECK_IN_READS, context, {employee_id: [taken.check_in_id]})
        return taken

    async def ListCheckIns(self, request: pb.ListCheckInsRequest, context: Context) -> pb.ListCheckInsResponse:
        await self._check(request.employee_id, context)
        await self._follower.wait_for(request.at_least, AT_LEAST_SECONDS)
        listed = await self._check_ins.list_check_ins(self._engine, request)
        page, token = cut_page(request, listed, lambda one: one)
        keys = [check_in_key(request.employee_id, check_in_id) for _, check_in_id in page]
        found = (await self._commands.known(CHECK_IN, keys)).values()
        shown = [check_in.to_resource(one.state, one.position) for one in found if not one.state.retracted]
        ids = [one.check_in_id for one in shown]
        await audited(self._commands, CHECK_IN_READS, context, {request.employee_id: ids})
        return pb.ListCheckInsResponse(check_ins=shown, next_page_token=token)

    async def ListCheckInReads(
        self, request: pb.ListCheckInReadsRequest, context: Context
    ) -> pb.ListCheckInReadsResponse:
        await self._check(request.employee_id, context)
        months = months_from(request.start_month, request.end_month)
        found = await reads_in(self._commands, CHECK_IN_READS, request.employee_id, months)
        page, token = page_of(request, list(enumerate(found)), lambda one: [one[0]])
        return pb.ListCheckInReadsResponse(reads=[read for _, read in page], next_page_token=token)

    async def _check(self, employee_id: str, context: Context) -> None:
        """Raises Forbidden `NEED_TO_KNOW`; NotFound `EMPLOYEE_NOT_FOUND` to those who may know that of anybody."""
        await check_related(self._commands, context, [employee_id])
        await check_employees(self._commands, [employee_id])

    async def _give(self, given: pb.CheckIn, command: Message, context: Context) -> pb.CheckIn:
        await self._check(given.employee_id, context)
        if problem := day_problem(given.date, context.today):
            raise Invalid("DATE_INVALID", problem, (FieldViolation("check_in.date", problem),))
        return await self._handle(given.employee_id, given.check_in_id, command, context)

    async def _handle(self, employee_id: str, check_in_id: str, command: Message, context: Context) -> pb.CheckIn:
        handled = await self._commands.handle(CHECK_IN, check_in_key(employee_id, check_in_id), command, context)
        return check_in.to_resource(handled.state, handled.position)
