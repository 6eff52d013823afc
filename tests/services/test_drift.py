"""What a plan measured and keeps is measured again when facts change, whichever comes first, and told to the plan."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from grpc import StatusCode

from libs.common.commands import Commands
from libs.common.eventsourcing import Context
from libs.common.log import EventLog
from libs.common.memory_stream import MemoryStream
from libs.common.service import Service
from libs.common.streams import LOG, stream_of
from services.coaching.drifting import FACTS, EvidenceWatch, Holder
from services.coaching.measuring import Ask, Measuring
from services.coaching.plan import PLAN, pins
from services.coaching.plans import Plans
from stepladder.coaching.v1.measure_pb2 import Measure, Measured
from stepladder.coaching.v1.plan_pb2 import (
    ActivatePlanRequest,
    AssessPlan,
    AssessPlanRequest,
    DiagnosePlanRequest,
    FurtherCause,
    GetPlanRequest,
    Goal,
    ListPlansRequest,
    NotePinDrift,
    Plan,
    ProposePlanRequest,
)
from stepladder.performance.v1.directory_pb2 import EMPLOYMENT_STATUS_LEFT, ChangeEmploymentStatusRequest
from stepladder.performance.v1.facts_pb2 import CorrectFactRequest, DisputeFactRequest, ReadingsOfDay
from stepladder.performance.v1.kpi_pb2 import Kpi, SetTargetRequest, Target
from tests.policies import DAY, detecting, rule
from tests.refusals import refused
from tests.services.test_measuring import measuring_of
from tests.services.test_plans import BEFORE, coached
from tests.services.test_records import derived
from tests.services.world import World, fact, new_id, until
from tests.tokens import as_person


async def active_plan(world: World, agent: str, kpi_id: str) -> str:
    """A plan whose one goal has a baseline of 50.0 from two days of January."""
    plans, plan_id = world.plans, new_id("p")
    await world.record(fact(agent, "2020-01-06", kpi_id, 40), fact(agent, "2020-01-08", kpi_id, 60))
    await plans.ProposePlan(ProposePlanRequest(plan_id=plan_id, employee_id=agent, kpi_id=kpi_id))
    await plans.AssessPlan(AssessPlanRequest(plan_id=plan_id, assessment="serious"))
    await plans.DiagnosePlan(DiagnosePlanRequest(plan_id=plan_id, cause=Plan.CAUSE_SKILL, cause_note="seen twice"))
    goal = Goal(
        kpi_id=kpi_id,
        target="10",
        deadline=str(world.clock[0].date() + timedelta(days=30)),
        baseline_start_date="2020-01-06",
        baseline_end_date="2020-01-10",
    )
    activated = await plans.ActivatePlan(ActivatePlanRequest(plan_id=plan_id, goals=[goal]))
    assert activated.goals[0].baseline == "50.0"
    return plan_id


async def test_what_a_plan_keeps_drifts_with_its_facts(both: World) -> None:
    """A correction, a late fact and a dispute each show; what is about other days, or other people, does not."""
    world = both
    team, kpi_id = await world.team(), await world.kpi()
    agent, other, reviewer = [await world.employee(team) for _ in range(3)]
    plan_id = await active_plan(world, agent, kpi_id)

    async def now() -> list[tuple[str, str, str, bool]]:
        plan = await world.plans.GetPlan(GetPlanRequest(plan_id=plan_id))
        return [(one.pin, one.before.value, one.now.value, one.now.disputed) for one in plan.pin_drifts]

    await world.record(fact(agent, "2020-01-13", kpi_id, 99), fact(other, "2020-01-07", kpi_id, 99))
    await world.facts.CorrectFact(CorrectFactRequest(fact=fact(agent, "2020-01-06", kpi_id, 60), reason="recounted"))
    assert await until(now, bool) == [("goals[0].baseline", "50.0", "60.0", False)]
    await world.record(fact(agent, "2020-01-07", kpi_id, 90))
    await until(now, lambda drifts: drifts == [("goals[0].baseline", "50.0", "70.0", False)])
    named = ReadingsOfDay(employee_id=agent, date="2020-01-08", source="calls", kpi_ids=[kpi_id])
    await world.facts.DisputeFact(
        DisputeFactRequest(readings=named, reason="not mine", reviewer_id=reviewer),
        metadata=as_person(named.employee_id),
    )
    await until(now, lambda drifts: drifts == [("goals[0].baseline", "50.0", "70.0", True)])
    plan = await world.plans.GetPlan(GetPlanRequest(plan_id=plan_id))
    assert [step.event for step in plan.steps].count("PlanPinsDrifted") == 3


async def test_what_the_directory_says_is_measured_too(world: World) -> None:
    """Whoever has left counts, by a KPI that is made of it, on the last day of employment."""
    plan_id, calls = new_id("p"), await world.kpi(Kpi.AGGREGATION_SUM)
    agent = await world.employee(await world.team())
    attrition = await derived(world, "employment.left", calls)
    await world.record(fact(agent, "2020-01-06", calls, 100, None))
    await world.plans.ProposePlan(ProposePlanRequest(plan_id=plan_id, employee_id=agent, kpi_id=attrition))
    request = AssessPlanRequest(plan_id=plan_id, assessment="?", start_date="2020-01-06", end_date="2020-01-06")
    assert (await world.plans.AssessPlan(request)).assessed.numerator == 0
    watch = next(one for one in world.services["coaching"].followers if one.handler.name == "watch-evidence")
    await watch.wait_for(await world.end(), 20)
    left = ChangeEmploymentStatusRequest(employee_id=agent, status=EMPLOYMENT_STATUS_LEFT, effective_date="2020-01-07")
    await world.directory.ChangeEmploymentStatus(left)
    ask = GetPlanRequest(plan_id=plan_id)
    plan = await until(lambda: world.plans.GetPlan(ask), lambda plan: bool(plan.pin_drifts))
    assert [(one.pin, one.now.numerator) for one in plan.pin_drifts] == [("assessed", 1)]


async def test_a_fact_that_was_corrected_before_the_plan_was_written_down(world: World) -> None:
    """The measurement is older than the correction, and the correction was seen by everybody before the plan was."""
    team, kpi_id = await world.team(), await world.kpi()
    agent = await world.employee(team)
    service, plan_id = world.services["coaching"], new_id("p")
    await world.record(fact(agent, "2020-01-06", kpi_id, 40))
    measured = await measuring_of(world).measure(agent, Measure(kpi_id=kpi_id), "2020-01-06", "2020-01-06")
    await world.facts.CorrectFact(CorrectFactRequest(fact=fact(agent, "2020-01-06", kpi_id, 20), reason="recounted"))
    for follower in service.followers:
        if stream_of(*follower.handler.subjects) == LOG:
            await follower.wait_for(await world.end(), 20)

    context = Context(now=service.now(), today=service.today(), actor="user:e-lead")
    propose = ProposePlanRequest(plan_id=plan_id, employee_id=agent, kpi_id=kpi_id)
    await service.commands.handle(PLAN, plan_id, propose, context)
    request = AssessPlanRequest(plan_id=plan_id, assessment="serious", start_date="2020-01-06", end_date="2020-01-06")
    await service.commands.handle(PLAN, plan_id, AssessPlan(request=request, measured=measured), context)

    ask = GetPlanRequest(plan_id=plan_id)
    plan = await until(lambda: world.plans.GetPlan(ask), lambda plan: bool(plan.pin_drifts))
    assert [(one.pin, one.before.value, one.now.value) for one in plan.pin_drifts] == [("assessed", "40.0", "20.0")]


def watching(world: World, service: Service, measuring: Measuring) -> EvidenceWatch:
    """One more that follows what plans rest on, giving a service's commands."""
    follower = next(one for one in world.services["coaching"].followers if one.handler.name == "plans")
    assert isinstance(follower.handler, Plans)
    holder = Holder(
        service=service,
        measuring=measuring,
        aggregate=PLAN,
        model=follower.handler,
        together=world.services["coaching"].together(follower),
        employee_of=lambda state: state.proposed.employee_id,
        pins=pins,
        note=lambda plan_id, measured: NotePinDrift(plan_id=plan_id, pins=measured),
    )
    return EvidenceWatch("one-more", FACTS, [holder])


class Counting(Measuring):
    """Counts how often it measures."""

    times = 0

    async def measure_all(self, asks: Sequence[Ask], known_at: int = 0) -> list[Measured]:
        self.times += 1
        return await super().measure_all(asks, known_at)


async def test_facts_that_were_measured_are_not_measured_again(world: World) -> None:
    """Whoever follows a long log from its beginning only looks at what became known after the measurement."""
    team, kpi_id, service = await world.team(), await world.kpi(), world.services["coaching"]
    agent = await world.employee(team)
    plan_id = await active_plan(world, agent, kpi_id)
    facts = f"log.performance.facts.{agent}_2020-01"
    before = (await service.commands.histories([facts]))[facts]
    counting = measuring_of(world, Counting)
    assert isinstance(counting, Counting)
    watch = watching(world, service, counting)
    for recorded in before:
        await watch.act([recorded])
    assert (len(before), counting.times) == (2, 0)

    await world.facts.CorrectFact(CorrectFactRequest(fact=fact(agent, "2020-01-06", kpi_id, 60), reason="recounted"))
    await watch.act((await service.commands.histories([facts]))[facts])
    assert counting.times == 1
    assert (await service.commands.load(PLAN, plan_id)).state.pin_drifts


async def test_a_replica_that_has_not_heard_of_a_plan_yet(world: World) -> None:
    """Every measurement that a plan has written down is looked at, whichever of the log's servers answers."""
    team, kpi_id, service = await world.team(), await world.kpi(), world.services["coaching"]
    agent = await world.employee(team)
    await world.record(fact(agent, "2020-01-06", kpi_id, 40))
    measuring = measuring_of(world)
    measured = await measuring.measure(agent, Measure(kpi_id=kpi_id), "2020-01-06", "2020-01-06")
    await world.facts.CorrectFact(CorrectFactRequest(fact=fact(agent, "2020-01-06", kpi_id, 20), reason="recounted"))

    log = EventLog(MemoryStream(service.now(), replicas=3, seed=11))
    one, two = (Commands([log], service.codec) for _ in range(2))
    watch = watching(world, replace(service, commands=two), measuring)
    context = Context(now=service.now(), today=service.today(), actor="user:e-lead")
    request = AssessPlanRequest(assessment="serious", start_date="2020-01-06", end_date="2020-01-06")
    unseen = []
    for number in range(20):
        plan_id = f"p-{number}"
        await one.handle(PLAN, plan_id, ProposePlanRequest(plan_id=plan_id, employee_id=agent, kpi_id=kpi_id), context)
        await two.load(PLAN, plan_id)
        await one.handle(PLAN, plan_id, AssessPlan(request=request, measured=measured), context)
        subject = PLAN.subject(plan_id)
        await watch.act((await one.histories([subject]))[subject][-1:])
        if not (await one.load(PLAN, plan_id)).state.pin_drifts:
            unseen.append(plan_id)
    await log.close()
    assert not unseen


async def test_everything_that_a_plan_rests_on_drifts(both: World) -> None:
    """What led to it, what was assessed, what causes rest on, baselines and results; also when it is closed."""
    world, case = both, await coached(both)
    target = Target(kpi_id=case.kpi, effective_date="2020-01-01", maximum="10")
    await world.kpis.SetTarget(SetTargetRequest(target=target))
    await world.policies.SetPolicy(detecting(new_id("policy"), rule(case.kpi, DAY, 2)))
    listing = ListPlansRequest(employee_id=case.agent, state=Plan.STATE_PROPOSED)
    listed = await until(lambda: world.plans.ListPlans(listing), lambda answer: len(answer.plans) == 2)
    case.plan_id = listed.plans[0].plan_id
    causes = [
        (await world.record(fact(case.agent, day, case.other, 30))).log_position for day in ("2020-01-13", "2020-01-14")
    ]
    start, end = BEFORE
    assess = AssessPlanRequest(plan_id=case.plan_id, assessment="half goes wrong", start_date=start, end_date=end)
    await world.plans.AssessPlan(assess)
    further = FurtherCause(cause=Plan.CAUSE_EXTERNAL, fact_positions=causes[1:])
    diagnose = DiagnosePlanRequest(
        plan_id=case.plan_id, cause=Plan.CAUSE_SKILL, fact_positions=causes[:1], further_causes=[further]
    )
    diagnosed = await world.plans.DiagnosePlan(diagnose)
    assert [(one.measure.kpi_id, one.start_date, one.value) for one in diagnosed.cause_facts] == [
        (case.other, "2020-01-13", "30.0"),
        (case.other, "2020-01-14", "30.0"),
    ]
    await case.activated([case.goal(kpi_id=case.other, baseline_start_date=end, baseline_end_date=end)])
    due = await case.due(2, **{case.other: 10})
    await world.plans.ClosePlan(case.closing(Plan.OUTCOME_IMPROVED))

    for day, kpi_id in (
        (start, case.kpi),
        ("2020-01-13", case.other),
        (end, case.other),
        (due.results[0].measured.end_date, case.other),
    ):
        fixed = fact(case.agent, day, kpi_id, 5)
        await world.facts.CorrectFact(CorrectFactRequest(fact=fixed, reason="counted again"))
    named = ReadingsOfDay(employee_id=case.agent, date="2020-01-14", source="calls", kpi_ids=[case.other])
    await world.facts.DisputeFact(
        DisputeFactRequest(readings=named, reason="not mine", reviewer_id=case.lead),
        metadata=as_person(named.employee_id),
    )
    plan = await until(case.plan, lambda plan: len(plan.pin_drifts) == 5 and plan.drift.drift_position > 0)
    assert [(one.pin, one.now.value, one.now.disputed) for one in plan.pin_drifts] == [
        ("assessed", "22.5", False),
        ("cause_facts[0]", "5.0", False),
        ("cause_facts[1]", "30.0", True),
        ("goals[0].baseline", "5.0", False),
        ("results[0]", "7.5", False),
    ]
    assert {one.pin.partition("[")[0] for one in plan.pin_drifts} == {
        pin.partition("[")[0]
        for pin in pins((await world.services["coaching"].commands.load(PLAN, case.plan_id)).state)
    }
    assert not plan.drift.stands
    assert (plan.state, plan.drift_open) == (Plan.STATE_CLOSED, True)


async def test_a_fact_that_was_corrected_is_no_cause(world: World) -> None:
    """What says it now is; said again, what was accepted stays accepted."""
    case = await coached(world)
    facts = [await world.record(fact(case.agent, day, case.other, 30)) for day in ("2020-01-13", "2020-01-14")]
    await world.plans.AssessPlan(AssessPlanRequest(plan_id=case.plan_id, assessment="half goes wrong"))
    fixed = fact(case.agent, "2020-01-13", case.other, 3)
    await world.facts.CorrectFact(CorrectFactRequest(fact=fixed, reason="counted again"))
    stale, standing = (one.log_position for one in facts)
    diagnose = DiagnosePlanRequest(plan_id=case.plan_id, cause=Plan.CAUSE_SKILL, fact_positions=[stale, standing])
    refusal = await refused(world.plans.DiagnosePlan(diagnose), StatusCode.NOT_FOUND, "FACT_NOT_FOUND")
    assert f"at {stale} in the log was" in refusal.message
    diagnose.fact_positions[:] = [standing]
    diagnosed = await world.plans.DiagnosePlan(diagnose)
    fixed = fact(case.agent, "2020-01-14", case.other, 4)
    await world.facts.CorrectFact(CorrectFactRequest(fact=fixed, reason="counted again"))
    again = await world.plans.DiagnosePlan(diagnose)
    assert (again.state, again.cause_facts) == (Plan.STATE_DIAGNOSED, diagnosed.cause_facts)
    await until(case.plan, lambda plan: [one.pin for one in plan.pin_drifts] == ["cause_facts[0]"])
