"""What coaching has changed, of those coached and of those of whom the same was found."""

import asyncio
from datetime import UTC, date, datetime, timedelta

from grpc import StatusCode

from stepladder.coaching.v1.effect_pb2 import Change, Effect, EffectGroup, GetEffectRequest, LeftOut
from stepladder.coaching.v1.measure_pb2 import Measure
from stepladder.coaching.v1.plan_pb2 import (
    ActivatePlanRequest,
    AssessPlanRequest,
    CancelPlanRequest,
    ClosePlanRequest,
    DiagnosePlanRequest,
    Goal,
    ListPlansRequest,
    ObservePlanRequest,
    Plan,
    Support,
)
from stepladder.performance.v1.kpi_pb2 import SetTargetRequest, Target
from tests.policies import DAY, detecting, rule
from tests.refusals import refused
from tests.services.world import World, fact, until

FOUND, ACTIVATED, CLOSED = date(2020, 1, 6), date(2020, 1, 10), date(2020, 2, 10)


def go(world: World, day: date) -> None:
    world.clock[0] = datetime(day.year, day.month, day.day, 13, tzinfo=UTC)


async def coach(world: World, plan: Plan, cause: "Plan.Cause.ValueType") -> None:
    """From its proposal to its end, over a month."""
    plans, plan_id = world.plans, plan.plan_id
    await plans.AssessPlan(AssessPlanRequest(plan_id=plan_id, assessment="serious"))
    await plans.DiagnosePlan(DiagnosePlanRequest(plan_id=plan_id, cause=cause, cause_note="seen twice"))
    goal = Goal(kpi_id=plan.evidence.kpi_id, target="10", deadline="2020-02-09")
    support = Support(course_id="c-calls")
    await plans.ActivatePlan(ActivatePlanRequest(plan_id=plan_id, goals=[goal], supports=[support]))
    await plans.ObservePlan(ObservePlanRequest(plan_id=plan_id, observe_until="2020-02-09"))


async def effect(world: World, **asked: object) -> Effect:
    request = GetEffectRequest(start_date="2020-01-01", end_date="2020-01-31", days=14, **asked)  # type: ignore[arg-type] # of the request's fields
    answer: Effect = await world.effects.GetEffect(request)
    return answer


async def test_those_coached_beside_those_who_were_not(both: World) -> None:
    """Both have become better: most of it would have come anyway, and the numbers stand side by side."""
    world = both
    team, kpi = await world.team(), await world.kpi()
    agents = [await world.employee(team) for _ in range(15)]
    await world.kpis.SetTarget(SetTargetRequest(target=Target(kpi_id=kpi, effective_date="2020-01-01", maximum="10")))
    await world.policies.SetPolicy(detecting("p", rule(kpi, DAY)))
    go(world, FOUND + timedelta(days=2))
    await world.record(*(fact(agent, str(FOUND), kpi, 50) for agent in agents))
    listed = await until(
        lambda: world.plans.ListPlans(ListPlansRequest(page_size=100)), lambda answer: len(answer.plans) == 15
    )
    proposed = {plan.employee_id: plan for plan in listed.plans}
    # Found twice: they are coached for one of them, and nobody would call them not coached.
    await world.record(*(fact(agents[0], f"2020-01-0{day}", kpi, value) for day, value in ((7, 5), (8, 95))))
    go(world, FOUND + timedelta(days=4))
    await until(lambda: world.plans.ListPlans(ListPlansRequest(page_size=100)), lambda answer: len(answer.plans) == 16)
    coached, others, cancelled, silent = agents[:7], agents[7:13], agents[13], agents[14]

    go(world, ACTIVATED)
    causes = [Plan.CAUSE_SKILL] * 5 + [Plan.CAUSE_ATTITUDE] * 4
    people = zip([*coached, cancelled, silent], causes, strict=True)
    await asyncio.gather(*(coach(world, proposed[agent], cause) for agent, cause in people))
    go(world, date(2020, 1, 21))  # the observation is not over: what is recorded later would be drift
    await world.record(*(fact(agent, "2020-01-20", kpi, 30) for agent in coached))
    go(world, CLOSED)
    await until(
        lambda: world.plans.ListPlans(ListPlansRequest(reassessment_due=True, page_size=100)),
        lambda answer: len(answer.plans) == 9,
    )
    for agent in (*coached, silent):
        close = ClosePlanRequest(
            plan_id=proposed[agent].plan_id, outcome=Plan.OUTCOME_PARTLY_IMPROVED, reason="on the way"
        )
        await world.plans.ClosePlan(close)
    await world.plans.CancelPlan(CancelPlanRequest(plan_id=proposed[cancelled].plan_id, reason="moved on"))

    assert list((await effect(world)).left_out) == [
        LeftOut(reason=LeftOut.REASON_NOT_OVER, cases=8),
        LeftOut(reason=LeftOut.REASON_CANCELLED, cases=1),
    ]
    # As long after what was found as those coached were looked at again.
    go(world, date(2020, 3, 2))
    await world.record(*(fact(agent, "2020-02-11", kpi, 20) for agent in others))
    await world.record(*(fact(agent, "2020-02-15", kpi, 10 + index) for index, agent in enumerate(coached)))
    found = await effect(world)
    measure = Measure(kpi_id=kpi)
    assert list(found.groups) == [
        EffectGroup(
            measure=measure,
            cases=7,
            employees=7,
            before="50.0",
            during="30.0",
            after="13.0",
            change=Change(median="37.0", lower="34.0", upper="40.0", confidence="98.4"),
            better=7,
        ),
        EffectGroup(
            measure=measure,
            not_coached=True,
            cases=6,
            employees=6,
            before="50.0",
            after="20.0",
            change=Change(median="30.0", lower="30.0", upper="30.0", confidence="96.9"),
            better=6,
        ),
    ]
    assert list(found.left_out) == [
        LeftOut(reason=LeftOut.REASON_CANCELLED, cases=1),
        LeftOut(reason=LeftOut.REASON_NO_FACTS, cases=1),
    ]
    by_support = await effect(world, group_by=GetEffectRequest.GROUP_BY_SUPPORT)
    assert [(one.group, one.cases) for one in by_support.groups] == [("course_id", 7), ("", 6)]
    # Two of another cause: they are not shown, nor are the five beside them, who would give them away.
    by_cause = await effect(world, group_by=GetEffectRequest.GROUP_BY_CAUSE)
    assert [(one.group, one.suppressed, one.cases) for one in by_cause.groups] == [
        ("CAUSE_ATTITUDE", True, 0),
        ("CAUSE_SKILL", True, 0),
        ("", False, 6),
    ]


async def test_spans(world: World) -> None:
    """A span ends after it begins, and not years later."""
    for end in ("2019-12-31", "2024-01-01"):
        request = GetEffectRequest(start_date="2020-01-01", end_date=end)
        await refused(world.effects.GetEffect(request), StatusCode.INVALID_ARGUMENT, "DATES_INVALID")
    empty = await world.effects.GetEffect(GetEffectRequest(start_date="2020-01-01", end_date="2020-01-31"))
    assert not empty.groups
    assert not empty.left_out
