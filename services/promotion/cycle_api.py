"""gRPC: stepladder.promotion.v1.CycleService."""

from dataclasses import replace
from datetime import date

from google.protobuf.message import Message

from libs.common.calendars import Days
from libs.common.days import ONE_DAY
from libs.common.errors import NotAllowed, NotFound
from libs.common.eventsourcing import Context
from libs.common.paging import cut_page
from libs.common.projecting import Follower
from libs.common.service import AT_LEAST_SECONDS, Service
from libs.facts.catalogue import Catalogue
from services.promotion.cycle import CYCLE, regular_id, to_resource
from services.promotion.cycles import Cycles, rules_of_month
from stepladder.performance.v1.policy_pb2 import Calendar
from stepladder.promotion.v1 import cycle_pb2 as pb


class CycleApi:
    """Implements the service, and what the clock does with cycles."""

    def __init__(
        self, service: Service, cycles: Cycles, follower: Follower, catalogue: Catalogue, at_catalogue: Follower
    ) -> None:
        self._service = service
        self._commands = service.commands
        self._cycles = cycles
        self._follower = follower
        self._catalogue = catalogue
        self._at_catalogue = at_catalogue

    async def OpenCycle(self, request: pb.OpenCycleRequest, context: Context) -> pb.Cycle:
        if request.HasField("own"):
            return await self._handle(request.own.cycle_id, request, context)
        regular = await self._regular(request.regular.policy_id, request.regular.month)
        return await self._handle(regular.cycle_id, regular, replace(context, request=request))

    async def CloseCycle(self, request: pb.CloseCycleRequest, context: Context) -> pb.Cycle:
        return await self._handle(request.cycle_id, request, replace(context, etag=request.etag))

    async def GetCycle(self, request: pb.GetCycleRequest, _: Context) -> pb.Cycle:
        found = await self._commands.load(CYCLE, request.cycle_id)
        if not found.position:
            raise NotFound("CYCLE_NOT_FOUND", f"there is no cycle {request.cycle_id}")
        return to_resource(found.state, found.position)

    async def ListCycles(self, request: pb.ListCyclesRequest, _: Context) -> pb.ListCyclesResponse:
        await self._follower.wait_for(request.at_least, AT_LEAST_SECONDS)
        listed = await self._cycles.list_cycles(self._service.engine, request)
        page, token = cut_page(request, listed, lambda one: [one[1]])
        found = await self._commands.known(CYCLE, [cycle_id for cycle_id, _ in page])
        cycles = [to_resource(one.state, one.position) for one in found.values()]
        return pb.ListCyclesResponse(cycles=cycles, next_page_token=token)

    async def open_regular(self, key: str) -> None:
        """The clock's command: the first day of a month has begun."""
        policy_id, _, month = key.partition("/")
        regular = await self._regular(policy_id, month)
        await self._handle(regular.cycle_id, regular, self._own_context())

    async def close(self, cycle_id: str) -> None:
        """The clock's command: the last day of a cycle is over."""
        await self._handle(cycle_id, pb.CloseCycleRequest(cycle_id=cycle_id), self._own_context())

    async def _regular(self, policy_id: str, month: str) -> pb.OpenRegularCycle:
        """A cycle as the rules have it, and where its applications end by their calendar as it is known now.

        Raises NotFound `POLICY_NOT_FOUND`, NotAllowed `MONTH_NOT_REGULAR`, and what `Days` raises.
        """
        await self._at_catalogue.catch_up(AT_LEAST_SECONDS)
        rules = await self._catalogue.rules(self._service.engine)
        first = date.fromisoformat(f"{month}-01")
        if not any(one.policy_id == policy_id and one.HasField("cycles") for one in rules.policies):
            raise NotFound("POLICY_NOT_FOUND", f"there are no cycles {policy_id}")
        policy = rules_of_month(rules, policy_id, first)
        if policy is None:
            raise NotAllowed("MONTH_NOT_REGULAR", f"{policy_id} had, or has, no cycle that begins on {first}")
        cycles = policy.cycles
        calendar = rules.policy_on(cycles.calendar_id, first) if cycles.calendar_id else None
        days = Days(calendar.calendar if calendar else Calendar())
        return pb.OpenRegularCycle(
            cycle_id=regular_id(policy_id, month),
            policy_id=policy_id,
            month=month,
            rules_position=policy.log_position,
            calendar_position=calendar.log_position if calendar else 0,
            calendar_version=days.version,
            open_days=cycles.open_days,
            applications_until=days.add(first - ONE_DAY, cycles.applications_business_days).isoformat(),
        )

    async def _handle(self, cycle_id: str, command: Message, context: Context) -> pb.Cycle:
        handled = await self._commands.handle(CYCLE, cycle_id, command, context)
        return to_resource(handled.state, handled.position)

    def _own_context(self) -> Context:
        return Context(now=self._service.now(), today=self._service.today(), actor="policy:cycle-clock")
