"""gRPC: stepladder.coaching.v1.MasteryService."""

from collections.abc import Mapping
from dataclasses import replace

from google.protobuf.message import Message

from libs.common.commands import Standing
from libs.common.errors import NotAllowed
from libs.common.eventsourcing import Context
from libs.common.paging import cut_page
from libs.common.projecting import Follower
from libs.common.service import AT_LEAST_SECONDS, Service
from libs.facts.callers import caller_id, directory_around
from libs.facts.relations import NEED_TO_KNOW, Relation, relations
from services.coaching.masteries import Masteries
from services.coaching.mastery import MASTERY, State, to_resource
from services.coaching.rules import CoachingRulesInForce, RuleBook
from stepladder.coaching.v1 import mastery_pb2 as pb

READING = NEED_TO_KNOW | {Relation.MANAGER}
"""Who reads what was seen of a lead."""


class MasteryApi:
    """Implements the service."""

    def __init__(self, service: Service, masteries: Masteries, follower: Follower, rule_book: RuleBook) -> None:
        self._commands = service.commands
        self._engine = service.engine
        self._masteries = masteries
        self._follower = follower
        self._rule_book = rule_book

    async def RecordRepetition(self, request: pb.RecordRepetitionRequest, context: Context) -> pb.Mastery:
        found = await self._rule_book.of(request.employee_id, context.today)
        named = request.task_id in {task.task_id for task in found.rules.lead_tasks}
        command = pb.RecordRepetition(
            request=request,
            mastery_repetitions=found.rules.mastery_repetitions if named else 0,
            rules_position=found.rules_position,
        )
        return await self._observed(request.employee_id, command, context, found)

    async def WithdrawMastery(self, request: pb.WithdrawMasteryRequest, context: Context) -> pb.Mastery:
        found = await self._rule_book.of(request.employee_id, context.today)
        return await self._observed(request.employee_id, request, replace(context, etag=request.etag), found)

    async def GetMastery(self, request: pb.GetMasteryRequest, context: Context) -> pb.Mastery:
        found = await self._rule_book.of(request.employee_id, context.today)
        standing = await self._commands.load(MASTERY, request.employee_id)
        return (await self._shown({request.employee_id: standing}, {request.employee_id: found}, context))[0]

    async def ListMasteries(self, request: pb.ListMasteriesRequest, context: Context) -> pb.ListMasteriesResponse:
        await self._follower.wait_for(request.at_least, AT_LEAST_SECONDS)
        listed = await self._masteries.list_masteries(self._engine, request)
        page, token = cut_page(request, listed, lambda employee_id: [employee_id])
        known, rules = await self._commands.known(MASTERY, page), await self._rule_book.of_all(page, context.today)
        return pb.ListMasteriesResponse(masteries=await self._shown(known, rules, context), next_page_token=token)

    async def _observed(
        self, employee_id: str, command: Message, context: Context, rules: CoachingRulesInForce
    ) -> pb.Mastery:
        observer, today = caller_id(context), context.today
        if not (await directory_around(self._commands, observer, today)).employed(observer, today):
            raise NotAllowed("NOT_AN_OBSERVER", "an employee has to have seen it")
        handled = await self._commands.handle(MASTERY, employee_id, command, context)
        return (await self._shown({employee_id: handled}, {employee_id: rules}, context))[0]

    async def _shown(
        self, found: Mapping[str, Standing[State]], rules: Mapping[str, CoachingRulesInForce], context: Context
    ) -> list[pb.Mastery]:
        """Leads' tasks as the caller may see them."""
        caller, today = caller_id(context), context.today
        directory = await directory_around(self._commands, caller, today, employee_ids=found)
        shown = [
            to_resource(one, standing.state, standing.position, rules[one].rules, rules[one].rules_position)
            for one, standing in found.items()
        ]
        for mastery in shown:
            if not relations(directory, caller, mastery.employee_id, today).isdisjoint(READING):
                continue
            for task in mastery.tasks:
                if task.withdrawn_by != context.actor:
                    task.ClearField("withdrawal_reason")
                for repetition in task.repetitions:
                    if repetition.observed_by != context.actor:
                        repetition.ClearField("note")
        return shown
