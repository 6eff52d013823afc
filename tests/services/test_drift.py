"""What a plan measured and keeps is measured again when facts change, whichever comes first, and told to the plan."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

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
    GetPlanRequest,
    Goal,
    NotePinDrift,
    Plan,
    ProposePlanRequest,
)
from stepladder.performance.v1.directory_pb2 import EMPLOYMENT_STATUS_LEFT, ChangeEmploymentStatusRequest
from stepladder.performance.v1.facts_pb2 import CorrectFactRequest, DisputeFactRequest, ReadingsOfDay
from stepladder.performance.v1.kpi_pb2 import Kpi
from tests.services.test_measuring import measuring_of
from tests.services.test_records import derived
from tests.services.world import World, fact, new_id, until


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
    await world.facts.DisputeFact(DisputeFactRequest(readings=named, reason="not mine", reviewer_id=reviewer))
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
