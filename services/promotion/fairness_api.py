"""gRPC: stepladder.promotion.v1.FairnessService."""

from collections import defaultdict
from collections.abc import Sequence

from libs.common.eventsourcing import Context
from libs.common.service import Service, Together
from libs.facts.callers import caller_id
from libs.facts.catalogue import Catalogue
from libs.facts.reaching import check_related
from services.promotion import groups
from services.promotion.declarations import closing, declared, smallest_group
from services.promotion.fairness import Candidate, Unit, fairness
from services.promotion.groups import GROUPS, groups_key
from services.promotion.stages import REFUSED, WITHDREW, Held, Stages
from stepladder.promotion.v1 import fairness_pb2 as pb


class FairnessApi:
    """Implements the service."""

    def __init__(self, service: Service, stages: Stages, catalogue: Catalogue, together: Together) -> None:
        self._commands = service.commands
        self._engine = service.engine
        self._stages = stages
        self._catalogue = catalogue
        self._together = together

    async def DeclareGroups(self, request: pb.DeclareGroupsRequest, context: Context) -> pb.DeclaredGroups:
        employee_id = caller_id(context)
        command = pb.DeclareOwnGroups(employee_id=employee_id, groups=request.groups)
        handled = await self._commands.handle(GROUPS, groups_key(employee_id), command, context)
        return groups.to_resource(handled.state, handled.position)

    async def GetDeclaredGroups(self, _: pb.GetDeclaredGroupsRequest, context: Context) -> pb.DeclaredGroups:
        employee_id = caller_id(context)
        await check_related(self._commands, context, [employee_id])
        found = await self._commands.load(GROUPS, groups_key(employee_id))
        return groups.to_resource(found.state, found.position)

    async def GetFairness(self, request: pb.GetFairnessRequest, context: Context) -> pb.Fairness:
        await self._together.wait_for(request.at_least)
        known_at = await self._together.catch_up()
        held = await self._stages.held(self._engine, request)
        no_more = await self._stages.takes_no_more(self._engine, request, context.today)
        over = no_more and all(one.closed for one in held)
        unit = await self._unit(held, over=over)
        return pb.Fairness(dimensions=fairness(unit), smallest_group=unit.smallest, known_at=known_at, over=over)

    async def _unit(self, held: Sequence[Held], *, over: bool) -> Unit:
        """A competition, or a cycle's, or a year's by cycles; without candidates before it is over."""
        rules = await self._catalogue.rules(self._engine)
        ids = [one.competition_id for one in held] if over else []
        candidacies = await self._stages.staged(self._engine, ids)
        by_cycle: dict[str, list[Unit]] = defaultdict(list)
        for one in sorted(held, key=closing):
            applied = candidacies.get(one.competition_id, ())
            groups_of = await declared(self._commands, [staged.employee_id for staged in applied], closing(one))
            candidates = [
                Candidate(
                    staged.employee_id,
                    staged.found,
                    staged.end == WITHDREW,
                    staged.end == REFUSED,
                    groups_of.get(staged.employee_id, {}),
                )
                for staged in applied
            ]
            smallest = smallest_group([rules.version(one.rules_position).competition])
            by_cycle[one.cycle_id].append(Unit(candidates, of_rules=smallest))
        return Unit(parts=[Unit(parts=parts) for parts in by_cycle.values()])
