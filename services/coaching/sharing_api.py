"""gRPC: stepladder.coaching.v1.SharingService."""

from dataclasses import replace
from datetime import date

from google.protobuf.message import Message

from libs.common.commands import Standing
from libs.common.days import parse_day
from libs.common.errors import FieldViolation, Invalid, NotAllowed, NotFound
from libs.common.eventsourcing import Context
from libs.common.paging import cut_page
from libs.common.projecting import Follower
from libs.common.service import AT_LEAST_SECONDS, Service
from libs.facts.callers import check_employees
from libs.facts.reaching import Reaches, check_related
from services.coaching.before_after import BeforeAndAfter
from services.coaching.measuring import Measuring
from services.coaching.rules import RuleBook
from services.coaching.sharing import SHARING, State, to_resource
from services.coaching.sharings import Sharings
from stepladder.coaching.v1 import sharing_pb2 as pb
from stepladder.coaching.v1.before_after_pb2 import BeforeAfter


class SharingApi:
    """Implements the service."""

    def __init__(
        self,
        service: Service,
        reaches: Reaches,
        sharings: Sharings,
        follower: Follower,
        measuring: Measuring,
        before_and_after: BeforeAndAfter,
        rule_book: RuleBook,
    ) -> None:
        self._service = service
        self._commands = service.commands
        self._reaches = reaches
        self._sharings = sharings
        self._follower = follower
        self._measuring = measuring
        self._before_and_after = before_and_after
        self._rule_book = rule_book

    async def PrepareSharing(self, request: pb.PrepareSharingRequest, context: Context) -> pb.Sharing:
        await check_related(self._commands, context, [request.employee_id])
        await check_employees(self._commands, [request.employee_id])
        start, end = parse_day(request.start_date, "start_date"), parse_day(request.end_date, "end_date")
        if end < start:
            message = f"must be {start} or later"
            raise Invalid("DATE_INVALID", message, (FieldViolation("end_date", message),))
        measured = await self._measuring.measure(
            request.employee_id, request.measure, request.start_date, request.end_date
        )
        command = pb.PrepareSharing(request=request, measured=measured)
        return await self._handle(request.sharing_id, command, context)

    async def GetSharing(self, request: pb.GetSharingRequest, context: Context) -> pb.Sharing:
        found = await self._found(request.sharing_id, context)
        sharing = to_resource(found.state, found.position)
        then = sharing.measured
        sharing.measured_now.CopyFrom(
            await self._measuring.measure(sharing.employee_id, then.measure, then.start_date, then.end_date)
        )
        return sharing

    async def ListSharings(self, request: pb.ListSharingsRequest, context: Context) -> pb.ListSharingsResponse:
        reach = await self._reaches.of(context)
        context.admission.check(reach.held)
        await self._follower.wait_for(request.at_least, AT_LEAST_SECONDS)
        listed = await self._sharings.list_sharings(self._service.engine, request, reach)
        page, token = cut_page(request, listed, lambda one: [one[1]])
        found = await self._commands.known(SHARING, [sharing_id for sharing_id, _ in page])
        shown = [to_resource(one.state, one.position) for one in found.values()]
        return pb.ListSharingsResponse(sharings=shown, next_page_token=token)

    async def HoldSharing(self, request: pb.HoldSharingRequest, context: Context) -> pb.Sharing:
        await self._found(request.sharing_id, context)
        await check_employees(self._commands, request.participant_ids)
        return await self._transition(request, context)

    async def CancelSharing(self, request: pb.CancelSharingRequest, context: Context) -> pb.Sharing:
        await self._found(request.sharing_id, context)
        return await self._transition(request, context)

    async def GetSharingEffect(self, request: pb.GetSharingEffectRequest, context: Context) -> BeforeAfter:
        state = (await self._found(request.sharing_id, context)).state
        if not state.held.date:
            raise NotAllowed("NOT_HELD", "it was not held yet")
        example = state.prepared.employee_id
        return await self._before_and_after.of(
            state.prepared.measured.measure,
            date.fromisoformat(state.held.date),
            state.held.participant_ids,
            [example],
            days=request.days,
            smallest=(await self._rule_book.of(example, context.today)).rules.smallest_group,
            today=context.today,
        )

    async def _transition(
        self, request: pb.HoldSharingRequest | pb.CancelSharingRequest, context: Context
    ) -> pb.Sharing:
        return await self._handle(request.sharing_id, request, replace(context, etag=request.etag))

    async def _handle(self, sharing_id: str, command: Message, context: Context) -> pb.Sharing:
        handled = await self._commands.handle(SHARING, sharing_id, command, context)
        return to_resource(handled.state, handled.position)

    async def _found(self, sharing_id: str, context: Context) -> Standing[State]:
        """A sharing, for a caller whom the call's rule names by what they are to the example."""
        found = await self._commands.load(SHARING, sharing_id)
        await check_related(self._commands, context, [found.state.prepared.employee_id])
        if not found.position:
            raise NotFound("SHARING_NOT_FOUND", f"there is no sharing {sharing_id}")
        return found
