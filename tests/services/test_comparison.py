"""Comparisons over gRPC: who else had the pattern, and what became of them, told to each as they may know it."""

import pytest
from grpc import StatusCode

from libs.common.eventsourcing import Context
from libs.common.rebuilding import rebuild
from services.coaching.patterns import Patterns
from services.coaching.standing import STANDING
from stepladder.coaching.v1.comparison_pb2 import ComparedGroup, Comparison, GetComparisonRequest
from stepladder.coaching.v1.pip_pb2 import Pip
from stepladder.coaching.v1.plan_pb2 import CancelPlanRequest, ProposePlanRequest
from stepladder.coaching.v1.standing_pb2 import BeginPip, EndPip, VoidPip
from stepladder.performance.v1.detection_pb2 import Detection, GetDetectionRequest
from stepladder.performance.v1.directory_pb2 import AppointTeamLeadRequest
from stepladder.performance.v1.facts_pb2 import CorrectFactRequest
from stepladder.performance.v1.kpi_pb2 import SetTargetRequest, Target
from stepladder.performance.v1.policy_pb2 import CoachingRules, Policy, SetPolicyRequest
from tests.policies import DAY, detecting, rule
from tests.refusals import refused
from tests.services.test_case_files import by
from tests.services.test_coaching_api import plan_of
from tests.services.world import World, fact, until

FATE = ComparedGroup


class Centre:
    """Two teams that missed the same target: seven of the first and one of the other on the same days."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def work(self) -> "Centre":
        world = self.world
        self.kpi, team, other_team = await world.kpi(), await world.team(), await world.team()
        self.hr, self.lead = await world.employee(other_team, job_family="hr"), await world.employee(other_team)
        self.agents = [await world.employee(team) for _ in range(7)]
        self.elsewhere, self.later = await world.employee(other_team), await world.employee(team)
        appointed = AppointTeamLeadRequest(team_id=team, lead_id=self.lead, effective_date="2020-01-01")
        await world.directory.AppointTeamLead(appointed)
        target = Target(kpi_id=self.kpi, effective_date="2020-01-01", maximum="10")
        await world.kpis.SetTarget(SetTargetRequest(target=target))
        await self.rule(3)
        await world.policies.SetPolicy(detecting(f"p-{self.kpi}", rule(self.kpi, DAY, 2)))
        facts = [
            fact(one, day, self.kpi, 50)
            for one in (*self.agents, self.elsewhere)
            for day in ("2020-01-09", "2020-01-10")
        ]
        late = [fact(self.later, day, self.kpi, 50) for day in ("2020-02-09", "2020-02-10")]
        await world.record(*facts, *late)
        self.team = team
        self.plans = [(await plan_of(world, one)).plan_id for one in (*self.agents, self.elsewhere, self.later)]
        return self

    async def rule(self, smallest_group: int) -> None:
        policy = Policy(
            policy_id="coaching", effective_date="2019-01-01", coaching=CoachingRules(smallest_group=smallest_group)
        )
        await self.world.policies.SetPolicy(SetPolicyRequest(policy=policy))

    async def cancel(self, *plans: str) -> None:
        for plan_id in plans:
            await self.world.plans.CancelPlan(CancelPlanRequest(plan_id=plan_id, reason="moved"), metadata=by(self.hr))

    async def stand(self, *commands: BeginPip | EndPip | VoidPip) -> None:
        """What the policy that follows PIPs says of them."""
        for number, command in enumerate(commands):
            now = self.world.clock[0]
            context = Context(now, now.date(), "policy:keep-standings", request_id=f"{number} {command}")
            await self.world.services["coaching"].commands.handle(STANDING, command.employee_id, command, context)

    async def compared(self, caller: str) -> Comparison:
        request = GetComparisonRequest(plan_id=self.plans[0], at_least=await self.world.end())
        found: Comparison = await self.world.outcomes.GetComparison(request, metadata=by(caller))
        return found


@pytest.fixture
async def centre(world: World) -> Centre:
    return await Centre(world).work()


def told(comparison: Comparison) -> dict[tuple[int, ...], int]:
    """Groups of somebody."""
    return {tuple(group.fates): group.people for group in comparison.groups if group.people}


async def test_people_with_the_same_pattern_are_compared(centre: Centre) -> None:
    """Of the team, by the same policy, on the same days; names for HR only; small groups for HR only."""
    await centre.cancel(*centre.plans[4:7])
    seen = await centre.compared(centre.lead)
    assert told(seen) == {(FATE.FATE_PROPOSED,): 3, (FATE.FATE_CANCELLED,): 3}
    assert (seen.policy_id, seen.start_date, seen.end_date) == (f"p-{centre.kpi}", "2020-01-09", "2020-01-10")
    assert (seen.team_id, seen.position, seen.smallest_group) == (centre.team, "", 3)
    assert not seen.employees
    full = await centre.compared(centre.hr)
    assert [one.employee_id for one in full.employees] == centre.agents[1:]
    assert [one.plan_id for one in full.employees] == centre.plans[1:7]
    assert [one.fate for one in full.employees] == [FATE.FATE_PROPOSED] * 3 + [FATE.FATE_CANCELLED] * 3
    assert {one.display_name for one in full.employees} == {"Somebody"}

    await centre.cancel(centre.plans[3])
    assert list(told(await centre.compared(centre.lead)).values()) == [6]
    assert told(await centre.compared(centre.hr)) == {(FATE.FATE_PROPOSED,): 2, (FATE.FATE_CANCELLED,): 4}
    await centre.rule(8)
    assert not (await centre.compared(centre.lead)).groups


async def test_pips_are_among_what_became_of_people(centre: Centre) -> None:
    """Those that began since, what was decided of them, and none that counts as not having been, or was before."""
    await centre.cancel(*centre.plans[3:7])
    begun = [BeginPip(employee_id=one, since_date="2020-03-02") for one in centre.agents[1:6]]
    early = BeginPip(employee_id=centre.agents[6], since_date="2020-01-08")
    actions = [(3, Pip.ACTION_DEMOTION), (4, Pip.ACTION_UNSPECIFIED)]
    ended = [EndPip(employee_id=centre.agents[one], ended_date="2020-05-04", action=what) for one, what in actions]
    await centre.stand(*begun, early, *ended, VoidPip(employee_id=centre.agents[5]))
    full = await centre.compared(centre.hr)
    assert [one.fate for one in full.employees] == [
        *[FATE.FATE_PIP_BEGUN] * 2,
        *(FATE.FATE_PIP_DEMOTION, FATE.FATE_PIP_ENDED),
        *[FATE.FATE_CANCELLED] * 2,
    ]
    assert [one.plan_id for one in full.employees] == centre.plans[1:7]
    assert list(told(await centre.compared(centre.lead)).values()) == [6]
    await centre.stand(*(BeginPip(employee_id=one, since_date="2020-06-01") for one in centre.agents[3:6:2]))
    assert {len(fates): people for fates, people in told(await centre.compared(centre.lead)).items()} == {14: 6}
    await centre.stand(BeginPip(employee_id=centre.later, since_date="2020-06-01"))
    assert full.smallest_group == 3


async def test_where_the_team_is_too_small_the_position_is_compared(centre: Centre) -> None:
    """In every team; whoever was found on other days is none of them."""
    await centre.rule(7)
    seen = await centre.compared(centre.agents[0])
    assert (seen.team_id, seen.position, told(seen)) == ("", "agent", {(FATE.FATE_PROPOSED,): 7})
    full = await centre.compared(centre.hr)
    assert {one.employee_id for one in full.employees} == {*centre.agents[1:], centre.elsewhere}


async def test_a_lead_cannot_take_their_own_people_from_a_group(centre: Centre) -> None:
    """Whoever is left, when they take away those of whom they know it, is told of as if nobody else were there."""
    await centre.rule(7)
    seen = await centre.compared(centre.lead)
    assert (seen.position, list(seen.groups)) == ("agent", [])
    assert told(await centre.compared(centre.agents[0])) == {(FATE.FATE_PROPOSED,): 7}


async def test_what_stands_no_longer_is_no_pattern(centre: Centre) -> None:
    """Once facts were corrected; the rows say the same when they are made anew."""
    world = centre.world
    corrected = fact(centre.agents[1], "2020-01-10", centre.kpi, 5)
    await world.facts.CorrectFact(CorrectFactRequest(fact=corrected, reason="counted twice"))
    detection_id = centre.plans[1].replace("p-", "d-", 1)

    async def detection() -> Detection:
        found: Detection = await world.detections.GetDetection(GetDetectionRequest(detection_id=detection_id))
        return found

    await until(detection, lambda one: one.HasField("drift"))
    full = await centre.compared(centre.hr)
    assert [one.employee_id for one in full.employees] == centre.agents[2:]
    patterns = next(one for one in world.services["coaching"].followers if isinstance(one.handler, Patterns))
    *_, last = [progress async for progress in rebuild(patterns)]
    assert last.changed_rows == 0
    assert await centre.compared(centre.hr) == full


async def test_a_comparison_is_for_those_who_see_the_case(centre: Centre) -> None:
    """Others are refused, whether there is such a plan or not; a plan that rests on no days has no pattern."""
    world = centre.world
    for plan_id in (centre.plans[0], "p-none"):
        for metadata in (by(centre.agents[1]), by("nobody")):
            call = world.outcomes.GetComparison(GetComparisonRequest(plan_id=plan_id), metadata=metadata)
            await refused(call, StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
    call = world.outcomes.GetComparison(GetComparisonRequest(plan_id="p-none"), metadata=by(centre.hr))
    await refused(call, StatusCode.NOT_FOUND, "PLAN_NOT_FOUND")
    by_hand = ProposePlanRequest(plan_id="p-hand", employee_id=centre.agents[0], kpi_id=centre.kpi)
    await world.plans.ProposePlan(by_hand, metadata=by(centre.lead))
    call = world.outcomes.GetComparison(GetComparisonRequest(plan_id="p-hand"), metadata=by(centre.hr))
    await refused(call, StatusCode.FAILED_PRECONDITION, "NO_PATTERN")
