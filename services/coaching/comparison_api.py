"""gRPC: stepladder.coaching.v1.ComparisonService."""

from collections.abc import Iterable, Sequence
from datetime import date

from libs.common.errors import NotAllowed
from libs.common.eventsourcing import Context
from libs.common.service import Service, Together
from libs.facts import employee
from libs.facts.catalogue import Catalogue
from libs.facts.employee import EMPLOYEE
from libs.facts.names import names_of
from libs.facts.reaching import callers_to
from libs.facts.relations import Relation
from services.coaching.comparison import everything, fate_of, told
from services.coaching.patterns import Found, Patterns
from services.coaching.plan import PLAN, State, evidence_days, plan_id
from services.coaching.plan_rights import plan_for
from services.coaching.rules import rules_in_force
from services.coaching.standing import STANDING
from services.coaching.standing import State as Standing
from stepladder.coaching.v1 import comparison_pb2 as pb


class ComparisonApi:
    """Implements the service: patterns from the read model, what became of them out of the log."""

    def __init__(self, service: Service, catalogue: Catalogue, patterns: Patterns, together: Together) -> None:
        self._commands = service.commands
        self._engine = service.engine
        self._catalogue = catalogue
        self._patterns = patterns
        self._together = together

    async def GetComparison(self, request: pb.GetComparisonRequest, context: Context) -> pb.Comparison:
        found, caller = await plan_for(self._commands, request.plan_id, context)
        comparison, own_id = _pattern(found.state), found.state.proposed.employee_id
        last = date.fromisoformat(comparison.end_date)
        await self._together.wait_for(max(request.at_least, found.position))
        same = await self._patterns.standing(
            self._engine,
            comparison.start_date,
            comparison.end_date,
            policy_id=comparison.policy_id,
            kpi_id=comparison.kpi_id,
        )
        others = [one for one in same if one.employee_id != own_id]
        people = await self._people({own_id, *(one.employee_id for one in others)})
        own = people.get(own_id, employee.State())
        rules = rules_in_force(await self._catalogue.rules(self._engine), own, context.today).rules
        comparison.smallest_group = rules.smallest_group
        team_id, position = own.team_on(last), own.position_on(last).name
        within = [one for one in others if one.team_id == team_id]
        if len(within) >= comparison.smallest_group:
            comparison.team_id = team_id
        else:
            comparison.position = position
            within = [one for one in others if people[one.employee_id].position_on(last).name == position]
        compared = await self._compared(within)
        fates = [one.fate for one in compared]
        if Relation.HR in caller.relations:
            names = await names_of(self._commands, [one.employee_id for one in compared])
            for one in compared:
                one.display_name = names[one.employee_id]
            comparison.employees.extend(compared)
            comparison.groups.extend(everything(fates))
        else:
            callers = await callers_to(self._commands, context, [one.employee_id for one in compared])
            of_strangers = [one.fate for one in compared if not callers[one.employee_id].sees]
            comparison.groups.extend(told(fates, of_strangers, comparison.smallest_group))
        return comparison

    async def _people(self, ids: Iterable[str]) -> dict[str, employee.State]:
        return {one: standing.state for one, standing in (await self._commands.known(EMPLOYEE, ids)).items()}

    async def _compared(self, found: Sequence[Found]) -> list[pb.ComparedEmployee]:
        """What became of each, without names."""
        plans = await self._commands.known(PLAN, [plan_id(one.detection_id) for one in found])
        standings = await self._commands.known(STANDING, [one.employee_id for one in found])
        compared = []
        for one in found:
            plan, standing = plans.get(plan_id(one.detection_id)), standings.get(one.employee_id)
            compared.append(
                pb.ComparedEmployee(
                    employee_id=one.employee_id,
                    detection_id=one.detection_id,
                    plan_id=plan_id(one.detection_id) if plan else "",
                    fate=fate_of(
                        plan.state if plan else None, standing.state.now if standing else Standing().now, one.start_date
                    ),
                )
            )
        return compared


def _pattern(state: State) -> pb.Comparison:
    """What a plan is about: by the policy that found it, otherwise by KPI. Raises NotAllowed `NO_PATTERN`."""
    days, evidence = evidence_days(state), state.proposed.evidence
    if days is None:
        raise NotAllowed("NO_PATTERN", "the plan rests on no days: it can be compared once it is assessed by facts")
    return pb.Comparison(
        plan_id=state.proposed.plan_id,
        policy_id=evidence.policy_id,
        kpi_id=evidence.kpi_id,
        start_date=days.start.isoformat(),
        end_date=days.end.isoformat(),
    )
