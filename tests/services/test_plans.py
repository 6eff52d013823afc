"""Coaching plans over real facts: baselines, progress, results, mentors, drift that is looked at, what follows."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from grpc import StatusCode, aio

from libs.common.envelope import chain_start
from libs.common.eventsourcing import Context
from libs.common.rebuilding import rebuild
from libs.common.streams import LOG, Append
from services.coaching.plan import PLAN
from services.coaching.plans import Plans
from stepladder.coaching.v1.effect_pb2 import GetEffectRequest, LeftOut
from stepladder.coaching.v1.events_pb2 import PlanObserved
from stepladder.coaching.v1.measure_pb2 import FormItem, Measure
from stepladder.coaching.v1.plan_pb2 import (
    ActivatePlanRequest,
    AssessPlanRequest,
    CancelPlanRequest,
    ClosePlanRequest,
    DiagnosePlanRequest,
    Evidence,
    FurtherCause,
    GetPlanRequest,
    GivePlanViewRequest,
    Goal,
    ListPlansRequest,
    ObservePlanRequest,
    Plan,
    ProposePlanRequest,
    ReviewPlanDriftRequest,
    Support,
)
from stepladder.performance.v1.directory_pb2 import EMPLOYMENT_STATUS_LEFT, ChangeEmploymentStatusRequest
from stepladder.performance.v1.facts_pb2 import CorrectFactRequest, DisputeFactRequest, ReadingsOfDay
from stepladder.performance.v1.kpi_pb2 import SetTargetRequest, Target
from stepladder.performance.v1.policy_pb2 import CoachingRules, Policy, SetPolicyRequest
from tests.coaching.test_plan import OLD_LIFE
from tests.policies import DAY, detecting, rule
from tests.refusals import refused
from tests.services.test_records import create, evaluation, form
from tests.services.world import HR, World, fact, new_id, until
from tests.tokens import as_person

BEFORE = ("2020-01-09", "2020-01-10")
"""Days on which 50 and 40 of 100 went wrong."""


@dataclass
class Coached:
    """An agent with a plan about one of two KPIs, of which lower is better, in per cent."""

    world: World
    agent: str
    lead: str
    team: str
    kpi: str
    other: str
    plan_id: str

    @property
    def today(self) -> date:
        return self.world.clock[0].date()

    def day(self, later: int) -> str:
        return str(self.today + timedelta(days=later))

    async def plan(self) -> Plan:
        """As it is now."""
        found: Plan = await self.world.plans.GetPlan(GetPlanRequest(plan_id=self.plan_id))
        return found

    def goal(self, **said: Any) -> Goal:
        return Goal(**{"kpi_id": self.kpi, "target": "10", "deadline": self.day(30)} | said)

    async def diagnosed(self, plan_id: str = "") -> "Coached":
        """Assessed by what the facts say, and diagnosed."""
        named: dict[str, Any] = {"plan_id": plan_id or self.plan_id}
        start, end = BEFORE
        assess = AssessPlanRequest(assessment="half goes wrong", start_date=start, end_date=end, **named)
        await self.world.plans.AssessPlan(assess)
        await self.world.plans.DiagnosePlan(
            DiagnosePlanRequest(cause=Plan.CAUSE_KNOWLEDGE, cause_note="never trained", **named)
        )
        return self

    async def activated(self, goals: Sequence[Goal] = (), supports: Sequence[Support] = ()) -> Plan:
        request = ActivatePlanRequest(plan_id=self.plan_id, goals=goals or [self.goal()], supports=supports)
        plan: Plan = await self.world.plans.ActivatePlan(request)
        return plan

    async def pass_days(self, days: int, wrong: Mapping[str, int]) -> None:
        """So many days pass, on each of which so many of 100 go wrong, by KPI."""
        for _ in range(days):
            self.world.clock[0] += timedelta(days=1)
            facts = [fact(self.agent, str(self.today), kpi, numerator) for kpi, numerator in wrong.items()]
            if facts:
                await self.world.record(*facts)

    async def due(self, days: int = 5, **wrong: int) -> Plan:
        """After an observation of so many days."""
        request = ObservePlanRequest(plan_id=self.plan_id, observe_until=self.day(days))
        await self.world.plans.ObservePlan(request)
        await self.pass_days(days, wrong)
        last = self.today
        self.world.clock[0] = datetime(last.year, last.month, last.day, 13, tzinfo=UTC) + timedelta(days=1)
        return await until(self.plan, lambda plan: plan.reassessment_due)

    async def correct(self, day: str, wrong: int) -> None:
        await self.world.facts.CorrectFact(
            CorrectFactRequest(fact=fact(self.agent, day, self.kpi, wrong), reason="counted again")
        )

    def closing(self, outcome: "Plan.Outcome.ValueType", **said: str) -> ClosePlanRequest:
        given: dict[str, Any] = {"plan_id": self.plan_id, "outcome": outcome, "reason": "seen together"}
        return ClosePlanRequest(**(given | said))


async def coached(world: World, *, about: "Coached | None" = None) -> Coached:
    """A plan proposed by a person; of the same agent as another one, if told so."""
    if about is None:
        team = await world.team()
        agent, lead = await world.employee(team), await world.lead(team)
        kpi, other = await world.kpi(), await world.kpi()
        for name in (kpi, other):
            await world.record(fact(agent, BEFORE[0], name, 50), fact(agent, BEFORE[1], name, 40))
        about = Coached(world, agent, lead, team, kpi, other, "")
    plan_id = new_id("p")
    propose = ProposePlanRequest(plan_id=plan_id, employee_id=about.agent, lead_id=about.lead, kpi_id=about.kpi)
    await world.plans.ProposePlan(propose)
    return Coached(world, about.agent, about.lead, about.team, about.kpi, about.other, plan_id)


async def test_a_plan_to_each_outcome(world: World) -> None:
    """The clock pins what each goal came to, and what that suggests; a person decides, and both are shown."""
    outcomes: dict[tuple[int, int | None], Plan.Outcome.ValueType] = {
        (10, 9): Plan.OUTCOME_IMPROVED,
        (10, 11): Plan.OUTCOME_PARTLY_IMPROVED,
        (60, 11): Plan.OUTCOME_NOT_IMPROVED,
        (10, None): Plan.OUTCOME_PARTLY_IMPROVED,
    }
    for (first, second), outcome in outcomes.items():
        case = await (await coached(world)).diagnosed()
        await case.activated([case.goal(), case.goal(kpi_id=case.other)])
        begun = case.today
        wrong = {case.kpi: first} | ({} if second is None else {case.other: second})
        due = await case.due(4, **wrong)
        spans = [(result.measured.start_date, result.measured.end_date) for result in due.results]
        assert spans == [(str(begun + timedelta(days=1)), str(begun + timedelta(days=4)))] * 2
        assert [result.met for result in due.results] == [first <= 10, second is not None and second <= 10]
        assert [len(result.measured.fact_positions) for result in due.results] == [4, 0 if second is None else 4]
        assert (due.suggested_outcome, due.outcome_now, due.drift_open) == (outcome, outcome, False)

        await world.plans.ClosePlan(case.closing(outcome))
        plan = await case.plan()
        assert (plan.outcome, plan.suggested_outcome, plan.outcome_reason) == (outcome, outcome, "seen together")
        assert [(step.event, step.actor) for step in plan.steps] == [
            ("PlanProposed", f"user:{HR}"),
            ("PlanAssessed", f"user:{HR}"),
            ("PlanDiagnosed", f"user:{HR}"),
            ("PlanActivated", f"user:{HR}"),
            ("PlanObserved", f"user:{HR}"),
            ("ReassessmentFellDue", "policy:reassessment"),
            ("PlanClosed", f"user:{HR}"),
        ]
        assert plan.steps[-1].log_position == plan.log_position
        assert plan.steps[-1].time.ToDatetime(UTC).date() == case.today


async def test_deciding_otherwise(world: World) -> None:
    """Needs a reason and nothing else; both stand beside each other."""
    case = await (await coached(world)).diagnosed()
    await case.activated()
    await case.due(2, **{case.kpi: 5})
    closed = await world.plans.ClosePlan(case.closing(Plan.OUTCOME_NOT_IMPROVED, reason="others took the hard calls"))
    assert (closed.outcome, closed.suggested_outcome) == (Plan.OUTCOME_NOT_IMPROVED, Plan.OUTCOME_IMPROVED)


async def test_the_baseline_is_what_the_facts_say(both: World) -> None:
    """Of the days of the detection, of those that the assessment names, or of the goal's own; also of a form's item."""
    world = both
    case = await coached(world)
    target = Target(kpi_id=case.kpi, effective_date="2020-01-01", maximum="10")
    await world.kpis.SetTarget(SetTargetRequest(target=target))
    await world.policies.SetPolicy(detecting(new_id("policy"), rule(case.kpi, DAY, 2)))
    listing = ListPlansRequest(employee_id=case.agent, state=Plan.STATE_PROPOSED)
    listed = await until(lambda: world.plans.ListPlans(listing), lambda answer: len(answer.plans) == 2)
    case.plan_id = listed.plans[0].plan_id
    form_id = await form(world)
    done = evaluation(form_id, case.agent, case.lead, "2020-01-09")
    item_id = done.evaluation.answers[0].item_id
    await create(world, done, evaluation(form_id, case.agent, case.lead, "2020-01-10", **{item_id: 0}))
    await world.plans.AssessPlan(AssessPlanRequest(plan_id=case.plan_id, assessment="half goes wrong"))
    await world.plans.DiagnosePlan(
        DiagnosePlanRequest(plan_id=case.plan_id, cause=Plan.CAUSE_SKILL, cause_note="seen twice")
    )
    item = Measure(form_item=FormItem(form_id=form_id, item_id=item_id))
    plan = await case.activated(
        [
            case.goal(baseline="45"),
            case.goal(baseline_start_date=BEFORE[1], baseline_end_date=BEFORE[1]),
            case.goal(kpi_id="", measure=item, target="90.5"),
        ]
    )
    by_kpi, by_day, by_item = plan.goals
    assert (by_kpi.baseline, by_kpi.measure.kpi_id) == ("45.0", case.kpi)
    assert (by_kpi.baseline_start_date, by_kpi.baseline_end_date) == BEFORE
    positions = [one for period in plan.evidence.periods for one in period.fact_positions]
    assert list(by_kpi.measured_baseline.fact_positions) == positions
    assert (by_day.baseline, list(by_day.measured_baseline.fact_positions)) == ("40.0", positions[1:])
    assert (by_item.baseline, by_item.kpi_id, by_item.measure) == ("50.0", "", item)
    assert (by_kpi.definition.kpi_id, by_kpi.definition.log_position > 0) == (case.kpi, True)


async def test_progress_is_read_live(world: World) -> None:
    """On the days since the last stage and since the activation; the way done, and which stages are met."""
    case = await (await coached(world)).diagnosed()
    stages = [Goal.Stage(date=case.day(2), target="30"), Goal.Stage(date=case.day(4), target="20")]
    await case.activated([case.goal(stages=stages)])
    (nothing,) = (await case.plan()).progress
    assert (nothing.now.value, nothing.share, nothing.met) == ("", "", False)
    await case.pass_days(2, {case.kpi: 31})
    await case.pass_days(3, {case.kpi: 17})
    (found,) = (await case.plan()).progress
    assert [(one.measured.value, one.met, one.over) for one in found.stages] == [
        ("31.0", False, True),
        ("17.0", True, True),
    ]
    assert (found.now.value, found.now.start_date, found.since_activation.value) == ("17.0", case.day(0), "22.6")
    assert (found.share, found.met) == ("80.0", False)  # 28 of 35
    await case.correct(case.day(0), 10)
    assert [(one.now.value, one.share, one.met) for one in (await case.plan()).progress] == [("10.0", "100.0", True)]


async def test_a_late_correction_blocks_the_decision_until_somebody_has_looked(world: World) -> None:
    """What is kept stays; beside it stands what it is now; also of a plan that is closed long since."""
    case = await (await coached(world)).diagnosed()
    await case.activated()
    due = await case.due(2, **{case.kpi: 10})
    await case.correct(BEFORE[0], 60)
    await case.correct(due.results[0].measured.end_date, 30)

    request = GetPlanRequest(plan_id=case.plan_id, at_least=await world.end())
    drifted: Plan = await world.plans.GetPlan(request)
    assert [(one.pin, one.before.value, one.now.value) for one in drifted.pin_drifts] == [
        ("assessed", "45.0", "50.0"),
        ("goals[0].baseline", "45.0", "50.0"),
        ("results[0]", "10.0", "20.0"),
    ]
    assert (drifted.suggested_outcome, drifted.outcome_now) == (Plan.OUTCOME_IMPROVED, Plan.OUTCOME_NOT_IMPROVED)
    assert drifted.results == due.results
    close = case.closing(Plan.OUTCOME_PARTLY_IMPROVED)
    await refused(world.plans.ClosePlan(close), StatusCode.FAILED_PRECONDITION, "DRIFT_NOT_REVIEWED")
    listing = ListPlansRequest(drift_open=True, at_least=drifted.log_position)
    assert [one.plan_id for one in (await world.plans.ListPlans(listing)).plans] == [case.plan_id]

    review = ReviewPlanDriftRequest(plan_id=case.plan_id, drift_position=drifted.drift_position - 1, note="?")
    await refused(world.plans.ReviewPlanDrift(review), StatusCode.ABORTED, "DRIFT_CHANGED")
    review = ReviewPlanDriftRequest(
        request_id="look",
        plan_id=case.plan_id,
        drift_position=drifted.drift_position,
        note="half of it was counted twice",
    )
    reviewed = await world.plans.ReviewPlanDrift(review, metadata=by(case.lead))
    assert await world.plans.ReviewPlanDrift(review, metadata=by(case.lead)) == reviewed
    (one,) = reviewed.drift_reviews
    assert (one.reviewed_by, one.note) == (f"user:{case.lead}", "half of it was counted twice")
    assert one.reviewed_time.ToDatetime(UTC) == world.clock[0]
    closed = await world.plans.ClosePlan(close)
    assert (closed.outcome, closed.suggested_outcome) == (Plan.OUTCOME_PARTLY_IMPROVED, Plan.OUTCOME_NOT_IMPROVED)

    world.clock[0] += timedelta(days=400)
    await case.correct(due.results[0].measured.end_date, 10)
    again = await until(case.plan, lambda plan: plan.drift_open)
    assert (again.state, again.outcome) == (Plan.STATE_CLOSED, Plan.OUTCOME_PARTLY_IMPROVED)
    assert again.outcome_now == Plan.OUTCOME_IMPROVED
    assert [one.pin for one in again.pin_drifts] == ["assessed", "goals[0].baseline"]
    review = ReviewPlanDriftRequest(plan_id=case.plan_id, drift_position=again.drift_position, note="it stays so")
    assert not (await world.plans.ReviewPlanDrift(review)).drift_open


async def test_nobody_decides_faster_than_drift_is_found(world: World) -> None:
    """A correction is in the log, and the watch has not come to it: the decision finds it."""
    case = await (await coached(world)).diagnosed()
    await case.activated()
    await case.due(1, **{case.kpi: 10})
    followers = world.services["coaching"].followers
    (watch,) = (one for one in followers if one.name == "watch-evidence")
    async with AsyncExitStack() as standing_still:
        for part in watch.parts:
            await standing_still.enter_async_context(part.stepping)
        await case.correct(BEFORE[0], 60)
        close = case.closing(Plan.OUTCOME_IMPROVED)
        await refused(world.plans.ClosePlan(close), StatusCode.FAILED_PRECONDITION, "DRIFT_NOT_REVIEWED")
        assert [one.pin for one in (await case.plan()).pin_drifts] == ["assessed", "goals[0].baseline"]


async def test_a_dispute_is_a_drift(world: World) -> None:
    """The numbers are the same, and cannot be relied on."""
    case = await (await coached(world)).diagnosed()
    await case.activated()
    await case.due(2, **{case.kpi: 10})
    named = ReadingsOfDay(employee_id=case.agent, date=BEFORE[0], source="calls", kpi_ids=[case.kpi])
    await world.facts.DisputeFact(
        DisputeFactRequest(readings=named, reason="not mine", reviewer_id=case.lead),
        metadata=as_person(named.employee_id),
    )
    drifted = await until(case.plan, lambda plan: plan.drift_open)
    assert [(one.pin, one.now.disputed) for one in drifted.pin_drifts] == [
        ("assessed", True),
        ("goals[0].baseline", True),
    ]
    await refused(
        world.plans.ClosePlan(case.closing(Plan.OUTCOME_IMPROVED)),
        StatusCode.FAILED_PRECONDITION,
        "DRIFT_NOT_REVIEWED",
    )


async def test_two_leads_decide_at_once(world: World) -> None:
    """One wins; the other is told what has become of the plan."""
    case = await (await coached(world)).diagnosed()
    await case.activated()
    due = await case.due(1, **{case.kpi: 10})
    outcomes = (Plan.OUTCOME_IMPROVED, Plan.OUTCOME_NOT_IMPROVED)
    calls = [world.plans.ClosePlan(case.closing(outcome, etag=due.etag)) for outcome in outcomes]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    (lost,) = [one for one in answers if isinstance(one, aio.AioRpcError)]
    (won,) = [one for one in answers if isinstance(one, Plan)]
    assert lost.code() == StatusCode.ABORTED
    assert f"the plan is CLOSED as {Plan.Outcome.Name(won.outcome).removeprefix('OUTCOME_')}" in str(lost.details())
    assert (await case.plan()).outcome == won.outcome


def by(employee_id: str) -> tuple[tuple[str, str], ...]:
    return as_person(employee_id)


async def test_every_command_repeated(world: World) -> None:
    """The same answer, and no second event: with a request id also later, whatever facts and mentors are by then."""
    case = await coached(world)
    plans = world.plans
    named: dict[str, Any] = {"plan_id": case.plan_id}
    mentor = await world.employee(case.team)
    said: list[tuple[Any, Any, Any, Plan]] = []

    async def say(call: Any, request: Any, caller: str = "") -> Plan:
        request.request_id = f"r-{len(said)}"
        answer: Plan = await call(request, metadata=by(caller or case.lead))
        said.append((call, request, by(caller or case.lead), answer))
        return answer

    start, end = BEFORE
    assess = AssessPlanRequest(assessment="half goes wrong", start_date=start, end_date=end, **named)
    assessed = await say(plans.AssessPlan, assess)
    await say(plans.GivePlanView, GivePlanViewRequest(view="nobody told me", **named), case.agent)
    further = FurtherCause(cause=Plan.CAUSE_EXTERNAL, fact_positions=assessed.assessed.fact_positions)
    diagnose = DiagnosePlanRequest(cause=Plan.CAUSE_SKILL, cause_note="seen", further_causes=[further], **named)
    await say(plans.DiagnosePlan, diagnose)
    supports = [Support(mentor_id=mentor), Support(other=Support.Other(), text="a headset")]
    await say(plans.ActivatePlan, ActivatePlanRequest(goals=[case.goal()], supports=supports, **named))
    await case.due(1, **{case.kpi: 10})
    await case.correct(start, 60)
    drifted = await until(case.plan, lambda plan: plan.drift_open)
    await say(
        plans.ReviewPlanDrift, ReviewPlanDriftRequest(drift_position=drifted.drift_position, note="seen", **named)
    )
    await say(plans.ClosePlan, case.closing(Plan.OUTCOME_IMPROVED, watch_until=case.day(30)))
    left = ChangeEmploymentStatusRequest(employee_id=mentor, status=EMPLOYMENT_STATUS_LEFT, effective_date=case.day(0))
    await world.directory.ChangeEmploymentStatus(left)
    last = await world.end()
    for call, request, caller, answer in said:
        assert await call(request, metadata=caller) == answer
    assert await world.end() == last


async def test_the_employee_speaks_for_themself(world: World) -> None:
    """Nobody else does it for them; what the lead heard stands beside it."""
    case = await coached(world)
    view = GivePlanViewRequest(plan_id=case.plan_id, view="nobody told me")
    call = world.plans.GivePlanView(view, metadata=by(case.lead))
    await refused(call, StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
    await world.plans.GivePlanView(view, metadata=by(case.agent))
    assess = AssessPlanRequest(plan_id=case.plan_id, assessment="serious", employee_view="has doubts")
    plan = await world.plans.AssessPlan(assess)
    assert (plan.own_view, plan.employee_view) == ("nobody told me", "has doubts")


async def test_causes_rest_on_facts_of_the_employee(world: World) -> None:
    """Positions of anything else are named."""
    case, other = await coached(world), await coached(world)
    start, end = BEFORE
    assess = AssessPlanRequest(plan_id=case.plan_id, assessment="serious", start_date=start, end_date=end)
    own = (await world.plans.AssessPlan(assess)).assessed.fact_positions
    assess.plan_id = other.plan_id
    strange = (await world.plans.AssessPlan(assess)).assessed.fact_positions
    diagnose = DiagnosePlanRequest(plan_id=case.plan_id, cause=Plan.CAUSE_SKILL, fact_positions=[*own, strange[0]])
    refusal = await refused(world.plans.DiagnosePlan(diagnose), StatusCode.NOT_FOUND, "FACT_NOT_FOUND")
    assert f"is at {strange[0]} in" in refusal.message
    diagnose.fact_positions[:] = reversed(own)
    assert list((await world.plans.DiagnosePlan(diagnose)).cause_fact_positions) == sorted(own)


async def limit_mentors(world: World, team: str, limit: int) -> Policy:
    rules = CoachingRules(mentor_limit=limit)
    rules.scope.team_id = team
    policy = Policy(policy_id=new_id("coaching"), effective_date="2020-01-01", coaching=rules)
    stored: Policy = await world.policies.SetPolicy(SetPolicyRequest(policy=policy))
    return stored


async def test_a_mentor_has_a_limit(both: World) -> None:
    """By the rules for the employee, over open plans; of two plans at once, one gets the last place."""
    world = both
    first = await coached(world)
    mentor = await world.employee(first.team)
    cases = [await (await coached(world, about=first)).diagnosed() for _ in range(4)]
    supports = [Support(mentor_id=mentor)]
    assert (await cases[0].activated(supports=supports)).rules_position == 0
    rules = await limit_mentors(world, first.team, 2)
    answers = await asyncio.gather(*(case.activated(supports=supports) for case in cases[1:3]), return_exceptions=True)
    (lost,) = [one for one in answers if isinstance(one, aio.AioRpcError)]
    (won,) = [one for one in answers if isinstance(one, Plan)]
    assert (lost.code(), won.rules_position) == (StatusCode.FAILED_PRECONDITION, rules.log_position)
    refusal = await refused(cases[3].activated(supports=supports), StatusCode.FAILED_PRECONDITION, "MENTOR_OVERLOADED")
    assert "supports 2 open plans already, and the coaching rules allow 2" in refusal.message
    listing = ListPlansRequest(mentor_id=mentor, at_least=await world.end())
    mentored = [one.plan_id for one in (await world.plans.ListPlans(listing)).plans]
    assert mentored == [won.plan_id, cases[0].plan_id]

    await world.plans.CancelPlan(CancelPlanRequest(plan_id=won.plan_id, reason="moved"))
    assert (await cases[3].activated(supports=supports)).state == Plan.STATE_ACTIVE
    follower = next(one for one in world.services["coaching"].followers if isinstance(one.handler, Plans))
    await follower.wait_for(await world.end(), 5)
    last = [step async for step in rebuild(follower)][-1]
    assert (last.done, last.changed_rows) == (True, 0)


async def test_who_cannot_mentor(world: World) -> None:
    """Neither the employee themself nor who is not employed; the plan stays as it was."""
    case = await (await coached(world)).diagnosed()
    gone = await world.employee(case.team)
    left = ChangeEmploymentStatusRequest(employee_id=gone, status=EMPLOYMENT_STATUS_LEFT, effective_date="2020-02-01")
    await world.directory.ChangeEmploymentStatus(left)
    for mentor, code, reason in (
        (case.agent, StatusCode.INVALID_ARGUMENT, "MENTOR_INVALID"),
        (gone, StatusCode.NOT_FOUND, "EMPLOYEE_NOT_FOUND"),
        ("e-none", StatusCode.NOT_FOUND, "EMPLOYEE_NOT_FOUND"),
    ):
        await refused(case.activated(supports=[Support(mentor_id=mentor)]), code, reason)
    assert (await case.plan()).state == Plan.STATE_DIAGNOSED


async def test_a_plan_says_which_one_it_follows(world: World) -> None:
    """The one before of the same employee about the same KPI; or about any, while they were being watched."""
    first = await (await coached(world)).diagnosed()
    assert not (await first.plan()).follows_plan_id
    second = await (await coached(world, about=first)).diagnosed()
    assert (await second.plan()).follows_plan_id == first.plan_id
    await second.activated()
    await second.due(1, **{second.kpi: 5})
    watch = second.closing(Plan.OUTCOME_IMPROVED, watch_until=second.day(0))
    await refused(world.plans.ClosePlan(watch), StatusCode.INVALID_ARGUMENT, "DATE_INVALID")
    watch.watch_until = second.day(10)
    assert (await world.plans.ClosePlan(watch)).watch_until == second.day(10)

    async def about_other() -> str:
        plan_id = new_id("p")
        propose = ProposePlanRequest(plan_id=plan_id, employee_id=first.agent, kpi_id=first.other)
        await world.plans.ProposePlan(propose)
        return (await world.plans.GetPlan(GetPlanRequest(plan_id=plan_id))).follows_plan_id

    assert await about_other() == second.plan_id
    world.clock[0] += timedelta(days=11)
    third = await coached(world, about=first)
    listed = await world.plans.ListPlans(ListPlansRequest(employee_id=first.agent, at_least=await world.end()))
    assert listed.plans[0].plan_id == third.plan_id
    assert listed.plans[0].follows_plan_id == second.plan_id
    assert (await coached(world)).plan_id != third.plan_id
    assert not (await (await coached(world)).plan()).follows_plan_id


async def test_whose_outcome_is_to_be_decided(world: World) -> None:
    """A lead finds them, until they are decided."""
    case = await (await coached(world)).diagnosed()
    await coached(world, about=case)
    await case.activated()
    due = await case.due(1, **{case.kpi: 5})
    listing = ListPlansRequest(reassessment_due=True, at_least=due.log_position)
    assert [one.plan_id for one in (await world.plans.ListPlans(listing)).plans] == [case.plan_id]
    listing.at_least = (await world.plans.ClosePlan(case.closing(Plan.OUTCOME_IMPROVED))).log_position
    assert not (await world.plans.ListPlans(listing)).plans


async def test_a_plan_about_no_one_kpi(world: World) -> None:
    """As of a detection of ratings: it has no measure of its own, and follows no other because of that."""
    service = world.services["coaching"]
    context = Context(now=service.now(), today=service.today(), actor="policy:propose-plans")
    agent = await world.employee(await world.team())
    for plan_id in ("p-rated", "p-rated-again"):
        propose = ProposePlanRequest(plan_id=plan_id, employee_id=agent, evidence=Evidence(policy_id="ratings"))
        await service.commands.handle(PLAN, plan_id, propose, context)
    start, end = BEFORE
    assess = AssessPlanRequest(plan_id="p-rated", assessment="?", start_date=start, end_date=end)
    refusal = await refused(world.plans.AssessPlan(assess), StatusCode.INVALID_ARGUMENT, "MEASURE_MISSING")
    assert refusal.fields == ["start_date"]
    assert not (await world.plans.GetPlan(GetPlanRequest(plan_id="p-rated-again"))).follows_plan_id


async def test_a_plan_stored_by_the_version_before(world: World) -> None:
    """It is read, listed and led to its end; it falls due by itself, with nothing that its goals came to."""
    service, kinds = world.services["coaching"], list(OLD_LIFE)
    stored = [kind.FromString(bytes.fromhex(OLD_LIFE[kind])) for kind in kinds]
    encoded = await service.codec.encode(
        PLAN.subject("p-old"),
        stored[: kinds.index(PlanObserved) + 1],
        command_id="c-old",
        command_digest=b"",
        context=Context(now=service.now(), today=service.today(), actor="user:e-9"),
        previous_hash=chain_start(PLAN.subject("p-old")),
    )
    await service.commands._logs[LOG].append(Append(PLAN.subject("p-old"), 0, encoded.entries))

    async def plan() -> Plan:
        found: Plan = await world.plans.GetPlan(GetPlanRequest(plan_id="p-old"))
        return found

    due = await until(plan, lambda found: found.reassessment_due)
    assert (due.goals[0].baseline, list(due.resources)) == ("93.5", ["course: difficult calls", "mentor"])
    assert (list(due.results), list(due.progress), due.suggested_outcome) == ([], [], Plan.OUTCOME_UNSPECIFIED)
    assert [step.event for step in due.steps] == [kind.DESCRIPTOR.name for kind in kinds[:7]]
    review = ReviewPlanDriftRequest(plan_id="p-old", drift_position=due.drift_position, note="seen")
    await world.plans.ReviewPlanDrift(review)
    close = ClosePlanRequest(plan_id="p-old", outcome=Plan.OUTCOME_IMPROVED, reason="on target for a month")
    closed = await world.plans.ClosePlan(close)
    listing = ListPlansRequest(employee_id="e-1", state=Plan.STATE_CLOSED, at_least=closed.log_position)
    assert [one.plan_id for one in (await world.plans.ListPlans(listing)).plans] == ["p-old"]
    day = str(world.clock[0].date())
    effect = await world.effects.GetEffect(GetEffectRequest(start_date=day, end_date=day))
    assert list(effect.left_out) == [LeftOut(reason=LeftOut.REASON_NO_FACTS, cases=1)]
