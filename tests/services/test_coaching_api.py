"""The coaching service as callers see it: a plan's states, who gets it, and what lies where."""

import asyncio
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from grpc import StatusCode
from sqlalchemy import update

from libs.common.positions import FOLLOWERS
from libs.common.projecting import Follower, State
from services.coaching.plans import Plans
from services.coaching.policies import ProposePlans
from stepladder.coaching.v1.events_pb2 import PlanProposed, ReassessmentFellDue
from stepladder.coaching.v1.plan_pb2 import (
    ActivatePlanRequest,
    AssessPlanRequest,
    CancelPlanRequest,
    ClosePlanRequest,
    DiagnosePlanRequest,
    GetPlanRequest,
    Goal,
    ListPlansRequest,
    ObservePlanRequest,
    Plan,
    ProposePlanRequest,
)
from stepladder.performance.v1.directory_pb2 import (
    AppointTeamLeadRequest,
    CreateTeamRequest,
    Employee,
    HireEmployeeRequest,
    Team,
)
from stepladder.performance.v1.kpi_pb2 import CreateKpiRequest, Kpi, SetTargetRequest, Target
from tests.policies import DAY, detecting, rule
from tests.refusals import refused
from tests.services.world import World, fact, until


def today(world: World) -> date:
    return world.clock[0].date()


def later(world: World, days: int) -> str:
    return str(today(world) + timedelta(days=days))


def propose(plan_id: str = "p-1", employee_id: str = "e-1") -> ProposePlanRequest:
    return ProposePlanRequest(plan_id=plan_id, employee_id=employee_id, kpi_id="aht")


async def stock(world: World) -> None:
    """Who and what the plans are about: e-1 took 4.5 minutes a call on two days long ago."""
    team = Team(team_id="t-1", display_name="A team")
    await world.directory.CreateTeam(CreateTeamRequest(team=team))
    agent = Employee(employee_id="e-1", display_name="Ann", hire_date="2019-01-01", team_id="t-1")
    agent.position, agent.position_since = "agent", "2019-01-01"
    await world.directory.HireEmployee(HireEmployeeRequest(employee=agent))
    aht = Kpi(kpi_id="aht", display_name="Handle time", unit=Kpi.UNIT_MINUTES, direction=Kpi.DIRECTION_LOWER)
    aht.aggregation, aht.scale_numerator, aht.scale_denominator, aht.precision = Kpi.AGGREGATION_RATIO, 1, 60, 1
    await world.kpis.CreateKpi(CreateKpiRequest(kpi=aht))
    await world.record(fact("e-1", "2020-01-09", "aht", 24_000), fact("e-1", "2020-01-10", "aht", 30_000))


def told(plan: Plan) -> Plan:
    """A plan as commands answer it."""
    bare = Plan()
    bare.CopyFrom(plan)
    for name in ("progress", "steps", "follows_plan_id"):
        bare.ClearField(name)
    return bare


def steps(world: World, plan_id: str = "p-1") -> dict["Plan.State.ValueType", tuple[Callable[[Any], Any], Any]]:
    """The call that leads to each state, from the one before it."""
    plans = world.plans
    goal = Goal(kpi_id="aht", baseline="4.5", target="3.5", deadline=later(world, 60))
    goal.baseline_start_date, goal.baseline_end_date = "2020-01-09", "2020-01-10"
    return {
        Plan.STATE_PROPOSED: (plans.ProposePlan, propose(plan_id)),
        Plan.STATE_ASSESSED: (
            plans.AssessPlan,
            AssessPlanRequest(plan_id=plan_id, assessment="too slow", employee_view="new software"),
        ),
        Plan.STATE_DIAGNOSED: (
            plans.DiagnosePlan,
            DiagnosePlanRequest(plan_id=plan_id, cause=Plan.CAUSE_KNOWLEDGE, cause_note="never trained"),
        ),
        Plan.STATE_ACTIVE: (
            plans.ActivatePlan,
            ActivatePlanRequest(plan_id=plan_id, goals=[goal], resources=["course seven"]),
        ),
        Plan.STATE_IN_OBSERVATION: (
            plans.ObservePlan,
            ObservePlanRequest(plan_id=plan_id, observe_until=later(world, 10)),
        ),
        Plan.STATE_CLOSED: (
            plans.ClosePlan,
            ClosePlanRequest(plan_id=plan_id, outcome=Plan.OUTCOME_IMPROVED, reason="much calmer"),
        ),
    }


async def bring(world: World, state: "Plan.State.ValueType", plan_id: str = "p-1") -> Plan:
    """Proposes a plan and leads it to a state."""
    await stock(world)
    plan = Plan()
    for reached, (call, request) in steps(world, plan_id).items():
        if reached == Plan.STATE_CLOSED:
            plan = await fall_due(world, plan_id)
        plan = await call(request)
        assert plan.state == reached
        if reached == state:
            break
    return plan


async def fall_due(world: World, plan_id: str = "p-1") -> Plan:
    """Lets the observation end."""
    observed = await world.plans.GetPlan(GetPlanRequest(plan_id=plan_id))
    last = date.fromisoformat(observed.observe_until)
    world.clock[0] = datetime(last.year, last.month, last.day, 13, tzinfo=UTC) + timedelta(days=1)
    return await until(lambda: world.plans.GetPlan(GetPlanRequest(plan_id=plan_id)), lambda plan: plan.reassessment_due)


def plans_follower(world: World) -> Follower:
    return next(one for one in world.services["coaching"].followers if isinstance(one.handler, Plans))


STATES = [state for state in Plan.State.values() if state != Plan.STATE_UNSPECIFIED]


@pytest.mark.parametrize("state", STATES, ids=Plan.State.Name)
async def test_in_every_state_only_its_own_steps_are_possible(world: World, state: "Plan.State.ValueType") -> None:
    """The next step is; any other is refused by its state and changes nothing; what led here may be said again."""
    plan = await bring(world, state)
    world.clock[0] += timedelta(seconds=1)  # the same words at the same time would be the same command
    end = await world.end()
    for leads_to, (call, request) in steps(world).items():
        if leads_to == state + 1:
            continue
        if leads_to in (state, Plan.STATE_PROPOSED):
            assert await call(request) == plan
        elif leads_to == Plan.STATE_CLOSED and state == Plan.STATE_IN_OBSERVATION:
            await refused(call(request), StatusCode.FAILED_PRECONDITION, "OBSERVATION_RUNNING")
        else:
            await refused(call(request), StatusCode.FAILED_PRECONDITION, "WRONG_STATE")
    assert await world.end() == end
    assert told(await world.plans.GetPlan(GetPlanRequest(plan_id="p-1"))) == plan


async def test_a_step_said_again_with_other_words_is_another_step(world: World) -> None:
    """It is too late for those."""
    await bring(world, Plan.STATE_ASSESSED)
    other = AssessPlanRequest(plan_id="p-1", assessment="something else")
    await refused(world.plans.AssessPlan(other), StatusCode.FAILED_PRECONDITION, "WRONG_STATE")


@pytest.mark.parametrize("state", STATES[:-1], ids=Plan.State.Name)
async def test_a_plan_can_be_cancelled_until_it_is_closed(world: World, state: "Plan.State.ValueType") -> None:
    """It keeps the reason, and is never called to reassessment."""
    await bring(world, state)
    cancel = CancelPlanRequest(plan_id="p-1", reason="has left")
    cancelled = await world.plans.CancelPlan(cancel)
    assert (cancelled.state, cancelled.outcome) == (Plan.STATE_CLOSED, Plan.OUTCOME_CANCELLED)
    assert (cancelled.outcome_reason, cancelled.closed_date) == ("has left", str(today(world)))
    assert await world.plans.CancelPlan(cancel) == cancelled
    world.clock[0] += timedelta(days=100)
    follower = plans_follower(world)
    await follower.wait_for(await world.end(), 5)
    assert (await follower.standing()).deadlines == 0
    assert told(await world.plans.GetPlan(GetPlanRequest(plan_id="p-1"))) == cancelled


async def test_every_repeated_step_answers_the_same(world: World) -> None:
    """With its request id, also after the plan has moved on, and whatever its etag was."""
    await stock(world)
    said: list[tuple[Callable[[Any], Any], Any, Plan]] = []
    etag = ""
    for state, (call, request) in steps(world).items():
        if state == Plan.STATE_CLOSED:
            etag = (await fall_due(world)).etag
        request.request_id = f"r-{state}"
        if state != Plan.STATE_PROPOSED:
            request.etag = etag
        answer = await call(request)
        etag = answer.etag
        said.append((call, request, answer))
    end = await world.end()
    for call, request, answer in said:
        assert await call(request) == answer
    for call, request, _ in said[1:]:
        other = type(request)()
        other.CopyFrom(request)
        other.request_id = "another"
        await refused(call(other), StatusCode.ABORTED, "ETAG_MISMATCH")
    assert await world.end() == end


async def test_observation_ends_once(world: World) -> None:
    """The clock calls one reassessment, whoever looks how often, and not on the last day itself."""
    await bring(world, Plan.STATE_IN_OBSERVATION)
    last = today(world) + timedelta(days=10)
    world.clock[0] = datetime(last.year, last.month, last.day, 23, 59, tzinfo=UTC)
    await asyncio.sleep(0.6)  # two looks of the clock
    assert not (await world.plans.GetPlan(GetPlanRequest(plan_id="p-1"))).reassessment_due
    await fall_due(world)
    world.clock[0] += timedelta(days=30)
    follower = plans_follower(world)
    await follower.wait_for(await world.end(), 5)
    await until(follower.standing, lambda standing: standing.deadlines == 0)
    service = world.services["coaching"]
    events = [(await service.codec.decode(stored)) for stored in await service.stream.read("log.coaching.plan.p-1")]
    due = [event for event in events if isinstance(event.event, ReassessmentFellDue)]
    assert [event.envelope.actor for event in due] == ["policy:reassessment"]


async def test_plans_are_listed_by_whose_they_are_and_how_far(both: World) -> None:
    """The latest proposal first, over pages, with any filters; states are those of the log."""
    world = both
    await stock(world)
    teams = [await world.team() for _ in range(3)]
    leads = [await world.lead(team) for team in teams]
    employees = [await world.employee(teams[number % 3]) for number in range(6)]
    for number in range(7):
        last = await world.plans.ProposePlan(propose(f"p-{number}", employees[number % 6]))
    for number in (1, 6):
        assess = AssessPlanRequest(plan_id=f"p-{number}", assessment="seen")
        last = await world.plans.AssessPlan(assess)

    async def listed(size: int, **filters: Any) -> list[str]:
        request = ListPlansRequest(page_size=size, at_least=last.log_position, **filters)
        found: list[str] = []
        while True:
            answer = await world.plans.ListPlans(request)
            assert len(answer.plans) <= size
            found += [plan.plan_id for plan in answer.plans]
            if not answer.next_page_token:
                return found
            request.page_token = answer.next_page_token

    for size in (1, 2, 3, 1000):
        assert await listed(size) == [f"p-{number}" for number in range(6, -1, -1)]
        assert await listed(size, employee_id=employees[0]) == ["p-6", "p-0"]
        assert await listed(size, lead_id=leads[0]) == ["p-6", "p-3", "p-0"]
        assert await listed(size, state=Plan.STATE_ASSESSED) == ["p-6", "p-1"]
        assert await listed(size, state=Plan.STATE_PROPOSED, employee_id=employees[0]) == ["p-0"]
        assert await listed(size, lead_id="nobody") == []
    token = (await world.plans.ListPlans(ListPlansRequest(page_size=2))).next_page_token
    stolen = ListPlansRequest(page_size=2, page_token=token, lead_id=leads[0])
    await refused(world.plans.ListPlans(stolen), StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")


async def detect(world: World, lead_days: list[str]) -> tuple[str, list[str]]:
    """An employee who missed two days, and the leads of the team from these days on; answers both."""
    kpi, team = await world.kpi(), await world.team()
    agent, leads = await world.employee(team), [await world.employee(team) for _ in lead_days]
    for lead, day in zip(leads, lead_days, strict=True):
        appointed = AppointTeamLeadRequest(team_id=team, lead_id=lead, effective_date=day)
        await world.directory.AppointTeamLead(appointed)
    target = Target(kpi_id=kpi, effective_date="2020-01-01", maximum="10")
    await world.kpis.SetTarget(SetTargetRequest(target=target))
    await world.policies.SetPolicy(detecting(f"p-{kpi}", rule(kpi, DAY, 2)))
    await world.record(fact(agent, "2020-01-09", kpi, 50), fact(agent, "2020-01-10", kpi, 50))
    return agent, leads


async def plan_of(world: World, employee_id: str) -> Plan:
    """The one plan that was proposed for an employee."""
    request = ListPlansRequest(employee_id=employee_id)
    (plan,) = (await until(lambda: world.plans.ListPlans(request), lambda answer: bool(answer.plans))).plans
    assert isinstance(plan, Plan)
    return plan


async def test_the_lead_of_the_streaks_last_day_gets_the_plan(world: World) -> None:
    """Neither the one before nor the one who was appointed the day after."""
    agent, leads = await detect(world, ["2020-01-01", "2020-01-10", "2020-01-11"])
    plan = await plan_of(world, agent)
    assert plan.lead_id == leads[1]
    assert (plan.state, plan.proposed_date) == (Plan.STATE_PROPOSED, str(today(world)))


async def test_without_a_lead_the_plan_waits_for_one(world: World) -> None:
    """It is proposed all the same, to nobody yet."""
    agent, _ = await detect(world, [])
    assert (await plan_of(world, agent)).lead_id == ""


async def test_a_policy_that_hears_everything_again_proposes_nothing_twice(world: World) -> None:
    """Put back to the beginning, as after a lost database, it finds every plan there."""
    agent, _ = await detect(world, ["2020-01-01"])
    plan = await plan_of(world, agent)
    service = world.services["coaching"]
    policy = next(one for one in service.followers if isinstance(one.handler, ProposePlans))
    await policy.wait_for(await world.end(), 5)
    end = await world.end()
    async with policy.stepping, service.engine.begin() as transaction:
        mine = FOLLOWERS.c.name == policy.handler.name
        await transaction.execute(update(FOLLOWERS).where(mine).values(position=0))
    await until(lambda: _position(policy), lambda position: position == 0 or policy.state is not State.RUNNING)
    another, _ = await detect(world, ["2020-01-01"])
    assert (await plan_of(world, another)).plan_id != plan.plan_id
    service = world.services["coaching"]
    async with service.stream.feed(["log.coaching.plan.*"], 0) as feed:
        stored = await feed.next(1000, 2)
    events = [(await service.codec.decode(one)).event for one in stored]
    assert [event.employee_id for event in events if isinstance(event, PlanProposed)] == [agent, another]
    assert end < await world.end()


async def _position(policy: Any) -> int:
    return int((await policy.standing()).position)


async def test_texts_lie_nowhere_in_clear(world: World) -> None:
    """What is said about a person is sealed in the log and kept in no read model."""
    secrets = ["too slow", "new software", "never trained", "course seven", "much calmer"]
    closed = await bring(world, Plan.STATE_CLOSED)
    assert [closed.assessment, closed.employee_view, closed.cause_note, closed.resources[0], closed.outcome_reason] == [
        *secrets
    ]
    service = world.services["coaching"]
    stored = await service.stream.read("log.coaching.plan.p-1")
    assert len(stored) == 7
    folder = Path(str(service.engine.url.database)).parent
    found = [one.payload for one in stored] + [file.read_bytes() for file in folder.glob("*.db*")]
    for secret in secrets:
        assert not any(secret.encode() in content for content in found)


async def test_a_goal_that_is_not_smart_names_its_field(world: World) -> None:
    """Each goal by its index, with what would be right; the plan stays as it was."""
    plan = await bring(world, Plan.STATE_DIAGNOSED)
    days = {"baseline_start_date": "2020-01-09", "baseline_end_date": "2020-01-10"}
    good: dict[str, Any] = {"kpi_id": "aht", "target": "3.5", "deadline": later(world, 9), **days}
    wrong: dict[str, tuple[dict[str, str], str]] = {
        "measure": ({"kpi_id": ""}, "name a KPI"),
        "deadline": ({"deadline": later(world, 0)}, "must lie after today"),
        "target": ({"target": "4.5"}, "must be better than the baseline, which is 4.5"),
        "baseline": ({"baseline": "4.6"}, "must be 4.5, as the facts of 2020-01-09 to 2020-01-10 say"),
        "baseline_start_date": (dict.fromkeys(days, ""), "the plan has no evidence"),
    }
    for field, (change, message) in wrong.items():
        goals = [Goal(**good), Goal(**(good | change))]
        call = world.plans.ActivatePlan(ActivatePlanRequest(plan_id="p-1", goals=goals))
        refusal = await refused(call, StatusCode.INVALID_ARGUMENT, "GOAL_NOT_SMART")
        assert refusal.fields == [f"goals[1].{field}"]
        assert message in refusal.message
    silent = Goal(**(good | {"baseline_start_date": "2020-02-01", "baseline_end_date": "2020-02-02"}))
    call = world.plans.ActivatePlan(ActivatePlanRequest(plan_id="p-1", goals=[silent]))
    assert (await refused(call, StatusCode.INVALID_ARGUMENT, "GOAL_NOT_SMART")).fields == ["goals[0].baseline"]
    assert told(await world.plans.GetPlan(GetPlanRequest(plan_id="p-1"))) == plan
