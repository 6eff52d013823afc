"""From a fact to a plan and to eligibility, through the real services on both kinds of database."""

from datetime import UTC, datetime, timedelta

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from grpc import aio

from libs.common.rebuilding import rebuild
from stepladder.coaching.v1.plan_pb2 import (
    ActivatePlanRequest,
    AssessPlanRequest,
    ClosePlanRequest,
    DiagnosePlanRequest,
    GetPlanRequest,
    Goal,
    ListPlansRequest,
    ObservePlanRequest,
    Plan,
)
from stepladder.performance.v1.detection_pb2 import (
    ListDetectionsRequest,
)
from stepladder.performance.v1.directory_pb2 import (
    AppointTeamLeadRequest,
    GetEmployeeRequest,
    GetTeamRequest,
    ListEmployeesRequest,
    ListEmployeesResponse,
    Team,
    TransferEmployeeRequest,
    UpdateTeamRequest,
)
from stepladder.performance.v1.facts_pb2 import (
    CorrectFactRequest,
    ListFactsRequest,
    ListKpiResultsRequest,
    RecordFactsRequest,
    StreamFactsRequest,
)
from stepladder.performance.v1.kpi_pb2 import Kpi, ListTargetsRequest, SetTargetRequest, Target
from tests.policies import DAY, detecting, rule
from tests.services.world import World, fact, until

BY = ListKpiResultsRequest


async def test_a_streak_becomes_one_detection_and_one_plan_to_the_lead_of_that_day(both: World) -> None:
    """Two missed months in a row are found once, with their facts, and proposed to the lead of the last day."""
    world = both
    team, kpi = await world.team(), await world.kpi()
    old_lead, new_lead, agent = [await world.employee(team) for _ in range(3)]
    for lead, day in ((old_lead, "2019-01-01"), (new_lead, "2020-03-01")):
        await world.directory.AppointTeamLead(AppointTeamLeadRequest(team_id=team, lead_id=lead, effective_date=day))
    target = await world.kpis.SetTarget(
        SetTargetRequest(target=Target(kpi_id=kpi, effective_date="2020-01-01", maximum="10"))
    )
    policy = await world.policies.SetPolicy(detecting("p", rule(kpi, streak=2)))
    days = ["2020-01-10", "2020-01-20", "2020-02-10", "2020-03-10"]
    await world.record(*(fact(agent, day, kpi, 11) for day in days[:2]), fact(agent, days[2], kpi, 30))
    plans = await until(
        lambda: world.plans.ListPlans(ListPlansRequest(employee_id=agent)), lambda answer: bool(answer.plans)
    )
    (plan,) = plans.plans
    assert plan.lead_id == old_lead
    assert [(p.start_date, p.value, p.maximum) for p in plan.evidence.periods] == [
        ("2020-01-01", "11.0", "10"),
        ("2020-02-01", "30.0", "10"),
    ]
    facts = await world.facts.ListFacts(
        ListFactsRequest(employee_id=agent, start_date="2020-01-01", end_date="2020-12-31")
    )
    positions = [reading.log_position for reading in facts.readings]
    assert [p for period in plan.evidence.periods for p in period.fact_positions] == positions
    assert {period.target_position for period in plan.evidence.periods} == {target.log_position}
    assert plan.evidence.policy_position == policy.log_position
    # The streak grows: it is the same one, and gets no second plan.
    await world.record(fact(agent, days[3], kpi, 50))
    await until(lambda: _judged(world), bool)
    detections = await world.detections.ListDetections(ListDetectionsRequest(employee_id=agent))
    assert [one.detection_id for one in detections.detections] == [plan.evidence.detection_id]
    again = await world.plans.ListPlans(ListPlansRequest(employee_id=agent, at_least=await world.end()))
    assert len(again.plans) == 1


async def _judged(world: World) -> bool:
    standings = [await follower.standing() for follower in world.services["performance"].followers]
    return all(standing.lag == 0 and standing.deadlines == 0 for standing in standings)


async def test_a_plan_runs_its_course_and_falls_due_by_itself(world: World) -> None:
    """Proposed to closed; the clock calls for reassessment the day after the observation, and no earlier close."""
    team, kpi = await world.team(), await world.kpi()
    agent = await world.employee(team)
    await world.kpis.SetTarget(SetTargetRequest(target=Target(kpi_id=kpi, effective_date="2020-01-01", maximum="10")))
    await world.policies.SetPolicy(detecting("p", rule(kpi, DAY)))
    await world.record(fact(agent, "2020-01-10", kpi, 50))
    listed = await until(lambda: world.plans.ListPlans(ListPlansRequest()), lambda answer: bool(answer.plans))
    plan_id = listed.plans[0].plan_id
    today = world.clock[0].date()
    plans = world.plans
    await plans.AssessPlan(AssessPlanRequest(plan_id=plan_id, assessment="Hangs up early", employee_view="New desk"))
    await plans.DiagnosePlan(DiagnosePlanRequest(plan_id=plan_id, cause=Plan.CAUSE_SKILL, cause_note="Seen twice"))
    goal = Goal(kpi_id=kpi, baseline="50", target="8", deadline=str(today + timedelta(days=30)))
    await plans.ActivatePlan(ActivatePlanRequest(plan_id=plan_id, goals=[goal], resources=["Course 7"]))
    until_day = today + timedelta(days=10)
    observed = await plans.ObservePlan(ObservePlanRequest(plan_id=plan_id, observe_until=str(until_day)))
    assert observed.state == Plan.STATE_IN_OBSERVATION
    close = ClosePlanRequest(plan_id=plan_id, outcome=Plan.OUTCOME_IMPROVED, reason="8 % for a month")
    with pytest.raises(aio.AioRpcError) as refused:
        await plans.ClosePlan(close)
    assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    world.clock[0] = datetime(until_day.year, until_day.month, until_day.day, tzinfo=UTC) + timedelta(days=2)
    await until(lambda: plans.GetPlan(GetPlanRequest(plan_id=plan_id)), lambda plan: plan.reassessment_due)
    closed = await plans.ClosePlan(close)
    assert (closed.state, closed.outcome) == (Plan.STATE_CLOSED, Plan.OUTCOME_IMPROVED)
    assert (closed.assessment, closed.cause_note, list(closed.resources)) == (
        "Hangs up early",
        "Seen twice",
        ["Course 7"],
    )
    done = await plans.ListPlans(ListPlansRequest(state=Plan.STATE_CLOSED, at_least=closed.log_position))
    assert [plan.plan_id for plan in done.plans] == [plan_id]


async def test_results_add_up_by_employee_team_and_centre(both: World) -> None:
    """Ratios add up exactly over any span, and work counts for the team it was done in."""
    world = both
    first, second, kpi = await world.team(), await world.team(), await world.kpi()
    earliest = await world.kpi(Kpi.AGGREGATION_MINIMUM)
    ann, ben = await world.employee(first), await world.employee(second)
    await world.record(
        *(fact(ann, day, kpi, n, 30) for day, n in (("2020-01-01", 1), ("2020-01-02", 2), ("2020-02-01", 3))),
        fact(ben, "2020-01-02", kpi, 10, 10),
        *(fact(ann, day, earliest, n, None) for day, n in (("2020-01-01", 900), ("2020-01-02", 800))),
    )
    await world.directory.TransferEmployee(
        TransferEmployeeRequest(employee_id=ann, team_id=second, effective_date="2020-01-02")
    )
    end = await world.end()

    async def results(**filters: object) -> list[tuple[str, int, int, str]]:
        request = BY(start_date="2020-01-01", end_date="2020-01-31", at_least=end, **filters)  # type: ignore[arg-type] # by name
        answer = await world.facts.ListKpiResults(request)
        return [(r.employee_id or r.team_id, r.numerator, r.denominator, r.value) for r in answer.results]

    assert await results(group_by=BY.GROUP_BY_EMPLOYEE, kpi_id=kpi) == [(ann, 3, 60, "5.0"), (ben, 10, 10, "100.0")]
    assert await results(group_by=BY.GROUP_BY_TEAM, kpi_id=kpi) == [(first, 1, 30, "3.3"), (second, 12, 40, "30.0")]
    assert await results(group_by=BY.GROUP_BY_CENTRE, kpi_id=kpi) == [("", 13, 70, "18.6")]
    assert await results(group_by=BY.GROUP_BY_CENTRE, kpi_id=earliest) == [("", 800, 0, "800.0")]
    assert await results(group_by=BY.GROUP_BY_EMPLOYEE, team_id=second, kpi_id=kpi) == [
        (ann, 2, 30, "6.7"),
        (ben, 10, 10, "100.0"),
    ]


async def test_a_correction_supersedes_and_both_stay_in_the_log(world: World) -> None:
    """A corrected reading is what counts; recording the old one again changes nothing."""
    kpi, agent = await world.kpi(), await world.employee(await world.team())
    recorded = await world.record(fact(agent, "2020-01-01", kpi, 5), request_id="r")
    right = fact(agent, "2020-01-01", kpi, 7)
    corrected = await world.facts.CorrectFact(CorrectFactRequest(request_id="c", fact=right, reason="wrong export"))
    assert corrected.changed == 1
    assert (
        await world.facts.CorrectFact(CorrectFactRequest(request_id="c", fact=right, reason="wrong export"))
        == corrected
    )
    assert await world.record(fact(agent, "2020-01-01", kpi, 5), request_id="r") == recorded
    (rejection,) = (await world.record(fact(agent, "2020-01-01", kpi, 5))).rejections
    assert rejection.reason == "FACT_ALREADY_RECORDED"
    request = ListFactsRequest(
        employee_id=agent, start_date="2020-01-01", end_date="2020-01-01", at_least=corrected.log_position
    )
    (reading,) = (await world.facts.ListFacts(request)).readings
    assert (reading.numerator, reading.log_position) == (7, corrected.log_position)
    stored = await world.services["performance"].stream.read(f"log.performance.facts.{agent}_2020-01")
    assert len(stored) == 2  # as recorded, and as corrected


async def test_batches_in_any_order_and_twice_come_to_the_same(world: World) -> None:
    """Whatever the order and however often batches come, rows are the same and each fact is recorded once."""
    kpi, team = await world.kpi(), await world.team()
    ann, ben = await world.employee(team), await world.employee(team)
    batches = [
        [fact(ann, f"2020-01-{day:02}", kpi, day), fact(ben, f"2020-02-{day:02}", kpi, day)] for day in range(1, 8)
    ]
    order = [3, 1, 3, 0, 6, 2, 2, 5, 4, 6, 0]
    answers = [await world.record(*batches[number], request_id=f"b{number}") for number in order]
    assert all(answer.recorded == 2 and not answer.rejections for answer in answers)

    again = [RecordFactsRequest(request_id=f"again{number}", facts=batches[number]) for number in order]
    summed = await world.facts.StreamFacts(StreamFactsRequest(batch=batch) for batch in again)
    assert (summed.batches, summed.recorded, summed.unchanged) == (11, 0, 22)
    answer = await world.facts.ListKpiResults(
        BY(start_date="2020-01-01", end_date="2020-12-31", group_by=BY.GROUP_BY_CENTRE, at_least=await world.end())
    )
    assert [(r.numerator, r.days) for r in answer.results] == [(56, 14)]


async def test_lists_are_complete_over_any_pages(both: World) -> None:
    """Small pages hold everything once, in order; a token of another request is refused."""
    world, team = both, await both.team()
    employees = sorted([await world.employee(team) for _ in range(5)])
    found: list[str] = []
    request = ListEmployeesRequest(team_id=team, page_size=2, at_least=await world.end())
    while True:
        page: ListEmployeesResponse = await world.directory.ListEmployees(request)
        found += [employee.employee_id for employee in page.employees]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert sorted(found) == employees
    assert len(found) == 5
    request.team_id = await world.team()
    with pytest.raises(aio.AioRpcError) as refused:
        await world.directory.ListEmployees(request)
    assert "page_token belongs to another request" in str(refused.value.details())


async def test_the_directory_tells_what_held_on_a_day(world: World) -> None:
    """`as_of` answers for past and future days; a field mask changes what it names."""
    old, new = await world.team(), await world.team()
    agent, lead = await world.employee(old), await world.employee(new)
    await world.directory.AppointTeamLead(
        AppointTeamLeadRequest(team_id=new, lead_id=lead, effective_date="2021-01-01")
    )
    await world.directory.TransferEmployee(
        TransferEmployeeRequest(employee_id=agent, team_id=new, effective_date="2020-06-01")
    )
    for day, team_id, lead_id in (("2020-05-31", old, ""), ("2020-06-01", new, ""), ("2021-01-01", new, lead)):
        employee = await world.directory.GetEmployee(GetEmployeeRequest(employee_id=agent, as_of=day))
        assert (employee.team_id, employee.lead_id) == (team_id, lead_id)
    team = await world.directory.GetTeam(GetTeamRequest(team_id=old))
    changed = Team(team_id=old, display_name="Another name", etag=team.etag)
    update = UpdateTeamRequest(team=changed, update_mask=FieldMask(paths=["display_name"]))
    assert (await world.directory.UpdateTeam(update)).display_name == "Another name"


async def test_targets_are_listed_with_the_position_of_the_event_that_set_them(world: World) -> None:
    """A team's own target and the centre's stand side by side."""
    kpi, team = await world.kpi(), await world.team()
    own = await world.kpis.SetTarget(
        SetTargetRequest(target=Target(kpi_id=kpi, team_id=team, effective_date="2020-01-01", minimum="1"))
    )
    centre = await world.kpis.SetTarget(
        SetTargetRequest(target=Target(kpi_id=kpi, effective_date="2020-01-01", minimum="2"))
    )
    listed = await world.kpis.ListTargets(ListTargetsRequest(kpi_id=kpi, at_least=centre.log_position))
    assert list(listed.targets) == [centre, own]


async def test_read_models_equal_a_fresh_fold_of_the_log(both: World) -> None:
    """Rebuilding every read model changes no row."""
    kpi, team = await both.kpi(), await both.team()
    agent = await both.employee(team)
    await both.record(*(fact(agent, f"2020-01-{day:02}", kpi, day) for day in range(1, 29)))
    end = await both.end()
    for service in both.services.values():
        for follower in service.followers:
            await follower.wait_for(end, 10)
            if follower.handler.tables:
                last = [step async for step in rebuild(follower)][-1]
                assert (last.done, last.changed_rows) == (True, 0)
