"""What detection policies judge and when: what was before they came, what is not over, what has not settled."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from sqlalchemy import select

from libs.cli.nats_server import NatsServer
from libs.common.days import ONE_DAY
from services.performance.judgements import JUDGE, JUDGE_PAST, judgement_key
from services.performance.results import Results
from stepladder.coaching.v1.plan_pb2 import EvidenceCondition, GetPlanRequest, ListPlansRequest, Plan
from stepladder.performance.v1.detection_pb2 import ListDetectionsRequest
from stepladder.performance.v1.facts_pb2 import CorrectFactRequest, Fact
from stepladder.performance.v1.policy_pb2 import DetectionRule
from stepladder.performance.v1.record_pb2 import Record, Violation
from tests.policies import DAY, MONTH, detecting, rule
from tests.services.test_records import create, rule_book
from tests.services.test_scorecards import target
from tests.services.world import World, caught_up, fact, judged, new_id, open_world, until


async def deadlines(world: World) -> dict[tuple[str, str], datetime]:
    """What is due when, by kind and key."""
    service = world.services["performance"]
    (results,) = (one.handler for one in service.followers if isinstance(one.handler, Results))
    await caught_up(world)
    async with service.engine.connect() as connection:
        rows = await connection.execute(select(results.judgements.deadlines))
        return {(row.kind, row.key): row.due_time.replace(tzinfo=UTC) for row in rows}


async def found(world: World, policy_id: str) -> list[tuple[str, str, str]]:
    """Employee, first and last day of what was found under a policy."""
    request = ListDetectionsRequest(policy_id=policy_id, page_size=1000, at_least=await world.end())
    return sorted(
        (one.employee_id, one.periods[0].start_date, one.periods[-1].end_date)
        for one in (await world.detections.ListDetections(request)).detections
    )


def missing(employee_id: str, kpi_id: str, first: str, *numerators: int) -> list[Fact]:
    """Facts of days in a row; more than 10 misses the target."""
    start = date.fromisoformat(first)
    return [
        fact(employee_id, (start + number * ONE_DAY).isoformat(), kpi_id, one) for number, one in enumerate(numerators)
    ]


async def test_a_late_policy_finds_what_one_in_force_then_did(world: World) -> None:
    """The same of everybody, by one deadline for each; a version of a later day nothing of the days before it."""
    team, kpi = await world.team(), await world.kpi()
    await target(world, kpi)
    early, late, part = new_id("p"), new_id("p"), new_id("p")
    await world.policies.SetPolicy(detecting(early, rule(kpi, DAY, streak=2)))
    agents = [await world.employee(team) for _ in range(3)]
    rows = [(20, 20, 3, 20, 20, 20, 3, 20), (3, 20, 20, 20, 20, 20, 20, 20), (20, 3, 20, 3, 20, 3, 20, 3)]
    for agent, numerators in zip(agents, rows, strict=True):
        await world.record(*missing(agent, kpi, "2020-01-01", *numerators))
    await judged(world)
    settling = rule(kpi, DAY, streak=2, settle_seconds=60)
    await world.policies.SetPolicy(detecting(late, settling))
    await world.policies.SetPolicy(detecting(part, settling, "2020-01-05"))
    assert await deadlines(world) == {
        (JUDGE_PAST, judgement_key(policy_id, agent, day)): world.clock[0] + timedelta(minutes=1)
        for policy_id, day in ((late, "1990-01-01"), (part, "2020-01-05"))
        for agent in agents
    }
    world.clock[0] += timedelta(minutes=1)
    await judged(world)
    assert await found(world, late) == await found(world, early)
    assert await found(world, early) == [
        (agents[0], "2020-01-01", "2020-01-02"),
        (agents[0], "2020-01-04", "2020-01-05"),
        (agents[1], "2020-01-02", "2020-01-03"),
    ]
    assert await found(world, part) == [
        (agents[0], "2020-01-05", "2020-01-06"),
        (agents[1], "2020-01-05", "2020-01-06"),
    ]


async def test_a_late_policy_waits_for_what_is_not_over(world: World) -> None:
    """The month in which it comes is judged when it has ended, though no fact comes any more."""
    world.clock[0] = datetime(2026, 5, 15, 9, tzinfo=UTC)
    team, kpi = await world.team(), await world.kpi()
    await target(world, kpi)
    agent = await world.employee(team)
    await world.record(fact(agent, "2026-03-07", kpi, 20), fact(agent, "2026-05-05", kpi, 20))
    policy_id = new_id("p")
    await world.policies.SetPolicy(detecting(policy_id, rule(kpi, MONTH)))
    may = (JUDGE, judgement_key(policy_id, agent, "2026-05-01"))
    over = datetime(2026, 6, 1, 12, tzinfo=UTC)
    await until(lambda: deadlines(world), lambda left: left == {may: over})
    assert await found(world, policy_id) == [(agent, "2026-03-01", "2026-03-31")]
    world.clock[0] = over
    await judged(world)
    assert await found(world, policy_id) == [(agent, "2026-03-01", "2026-03-31"), (agent, "2026-05-01", "2026-05-31")]


async def test_a_late_policy_waits_for_what_has_not_settled(world: World) -> None:
    """A fact that comes before the past is judged has its own time to settle."""
    team, kpi = await world.team(), await world.kpi()
    await target(world, kpi)
    first, second = await world.employee(team), await world.employee(team)
    await world.record(fact(first, "2020-01-07", kpi, 20), fact(second, "2020-01-07", kpi, 3))
    policy_id = new_id("p")
    await world.policies.SetPolicy(detecting(policy_id, rule(kpi, DAY, settle_seconds=60)))
    world.clock[0] += timedelta(seconds=30)
    await world.record(fact(second, "2020-01-09", kpi, 20))
    world.clock[0] += timedelta(seconds=30)
    later = (JUDGE, judgement_key(policy_id, second, "2020-01-09"))
    await until(lambda: deadlines(world), lambda left: left.keys() == {later})
    assert await found(world, policy_id) == [(first, "2020-01-07", "2020-01-07")]
    world.clock[0] += timedelta(seconds=30)
    await judged(world)
    assert await found(world, policy_id) == [
        (first, "2020-01-07", "2020-01-07"),
        (second, "2020-01-09", "2020-01-09"),
    ]


async def test_judging_the_past_goes_on_after_a_restart(tmp_path: Path, nats: NatsServer) -> None:
    """Nobody is left out, and nothing is found twice."""
    async with open_world(tmp_path, nats) as world:
        team, kpi, policy_id = await world.team(), await world.kpi(), new_id("p")
        await target(world, kpi)
        agents = [await world.employee(team) for _ in range(40)]
        for agent in agents:
            await world.record(*missing(agent, kpi, "2020-01-01", 20, 20, 3, 20, 20))
        await world.policies.SetPolicy(detecting(policy_id, rule(kpi, DAY, streak=2, settle_seconds=60)))
        await caught_up(world)
        start = await world.end()
        world.clock[0] += timedelta(seconds=60)
        stopped_at = await until(world.end, lambda end: end > start)
    assert stopped_at < start + 2 * len(agents)
    async with open_world(tmp_path, nats) as world:
        world.clock[0] += timedelta(seconds=120)
        await judged(world)
        assert await found(world, policy_id) == [
            (agent, *days) for agent in agents for days in (("2020-01-01", "2020-01-02"), ("2020-01-04", "2020-01-05"))
        ]


async def test_a_violation_settles_before_its_points_are_judged(world: World) -> None:
    """As a fact does; what is corrected is judged at once."""
    team, book, policy_id = await world.team(), await rule_book(world), new_id("p")
    agent = await world.employee(team)
    ten = DetectionRule(
        points=DetectionRule.Points(at_least=10), settle_seconds=60, purpose=DetectionRule.PURPOSE_FINDING
    )
    await world.policies.SetPolicy(detecting(policy_id, ten))
    await caught_up(world)  # together with the violation, it would have a past to judge
    leak = Violation(rule_book_id=book, offence_id="leak")
    await create(world, Record(record_id=new_id("v"), employee_id=agent, date="2020-01-10", violation=leak))
    judgement = (JUDGE, judgement_key(policy_id, agent, "2020-01-10"))
    settled = world.clock[0] + timedelta(minutes=1)
    await until(lambda: deadlines(world), lambda left: left == {judgement: settled})
    world.clock[0] += timedelta(minutes=1)
    await judged(world)
    assert await found(world, policy_id) == [(agent, "2020-01-10", "2020-01-10")]


async def test_a_plan_shows_the_conditions_that_contradict_each_other(world: World) -> None:
    """Each KPI with its value, and what it was before where the condition compares."""
    team, above, rising = await world.team(), await world.kpi(), await world.kpi()
    agent, policy_id = await world.employee(team), new_id("p")
    contradiction = DetectionRule.Contradiction(
        period=MONTH,
        streak=1,
        conditions=[
            DetectionRule.Condition(kpi_id=above, above="15"),
            DetectionRule.Condition(kpi_id=rising, rises=DetectionRule.Movement(percent="50", baseline_periods=1)),
        ],
    )
    coaching = DetectionRule(contradiction=contradiction, purpose=DetectionRule.PURPOSE_COACHING)
    await world.policies.SetPolicy(detecting(policy_id, coaching))
    await world.record(fact(agent, "2020-01-07", rising, 10))
    await world.record(fact(agent, "2020-02-07", rising, 20), fact(agent, "2020-02-08", above, 20))

    async def plans() -> Sequence[Plan]:
        return (await world.plans.ListPlans(ListPlansRequest(employee_id=agent))).plans

    (listed,) = await until(plans, bool)
    (period,) = (await world.plans.GetPlan(GetPlanRequest(plan_id=listed.plan_id))).evidence.periods
    assert list(period.conditions) == [
        EvidenceCondition(kpi_id=above, value="20.0"),
        EvidenceCondition(kpi_id=rising, value="20.0", baseline="10.0"),
    ]
    await world.facts.CorrectFact(CorrectFactRequest(fact=fact(agent, "2020-02-07", rising, 12), reason="miscounted"))

    async def drifted() -> Plan:
        return await world.plans.GetPlan(GetPlanRequest(plan_id=listed.plan_id))

    plan = await until(drifted, lambda one: one.HasField("drift"))
    assert plan.drift.periods[0].conditions[1] == EvidenceCondition(kpi_id=rising, value="12.0", baseline="10.0")
