"""gRPC: stepladder.coaching.v1.MasteryService."""

from dataclasses import replace

from libs.common.commands import Standing
from libs.common.eventsourcing import Context
from libs.common.paging import cut_page
from libs.common.projecting import Follower
from libs.common.service import AT_LEAST_SECONDS, Service
from libs.facts.reaching import Reaches, check_related
from services.coaching.masteries import Masteries
from services.coaching.mastery import MASTERY, State, to_resource
from services.coaching.rules import CoachingRulesInForce, RuleBook
from stepladder.coaching.v1 import mastery_pb2 as pb


class MasteryApi:
    """Implements the service."""

    def __init__(
        self,
        service: Service,
        reaches: Reaches,
        masteries: Masteries,
        follower: Follower,
        rule_book: RuleBook,
    ) -> None:
        self._service = service
        self._commands = service.commands
        self._reaches = reaches
        self._masteries = masteries
        self._follower = follower
        self._rule_book = rule_book

    async def RecordRepetition(self, request: pb.RecordRepetitionRequest, context: Context) -> pb.Mastery:
        await check_related(self._commands, context, [request.employee_id])
        found = await self._rule_book.of(request.employee_id, context.today)
        named = request.task_id in {task.task_id for task in found.rules.lead_tasks}
        command = pb.RecordRepetition(
            request=request,
            mastery_repetitions=found.rules.mastery_repetitions if named else 0,
            rules_position=found.rules_position,
        )
        handled = await self._commands.handle(MASTERY, request.employee_id, command, context)
        return _shown(request.employee_id, handled, found)

    async def WithdrawMastery(self, request: pb.WithdrawMasteryRequest, context: Context) -> pb.Mastery:
        await check_related(self._commands, context, [request.employee_id])
        found = await self._rule_book.of(request.employee_id, context.today)
        context = replace(context, etag=request.etag)
        handled = await self._commands.handle(MASTERY, request.employee_id, request, context)
        return _shown(request.employee_id, handled, found)

    async def GetMastery(self, request: pb.GetMasteryRequest, context: Context) -> pb.Mastery:
        await check_related(self._commands, context, [request.employee_id])
        found = await self._rule_book.of(request.employee_id, context.today)
        return _shown(request.employee_id, await self._commands.load(MASTERY, request.employee_id), found)

    async def ListMasteries(self, request: pb.ListMasteriesRequest, context: Context) -> pb.ListMasteriesResponse:
        reach = await self._reaches.of(context)
        context.admission.check(reach.held)
        await self._follower.wait_for(request.at_least, AT_LEAST_SECONDS)
        listed = await self._masteries.list_masteries(self._service.engine, request, reach)
        page, token = cut_page(request, listed, lambda employee_id: [employee_id])
        known, rules = await self._commands.known(MASTERY, page), await self._rule_book.of_all(page, context.today)
        shown = [_shown(one, standing, rules[one]) for one, standing in known.items()]
        return pb.ListMasteriesResponse(masteries=shown, next_page_token=token)


def _shown(employee_id: str, found: Standing[State], rules: CoachingRulesInForce) -> pb.Mastery:
    return to_resource(employee_id, found.state, found.position, rules.rules, rules.rules_position)
