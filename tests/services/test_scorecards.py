"""Scorecards as callers see them: closed, ranked, calibrated, and revised when facts change."""

import asyncio
from collections.abc import Sequence
from typing import TypeAlias

from grpc import StatusCode
from sqlalchemy import insert, select

from libs.common.eventsourcing import Aggregate, Context
from services.performance.detection import DETECTION
from services.performance.judgements import RECONSIDER, month_key
from services.performance.results import Results
from stepladder.coaching.v1.plan_pb2 import ListPlansRequest, Plan
from stepladder.performance.v1.detection_pb2 import (
    Detection,
    DetectionPolicy,
    DryRunDetectionRequest,
    ListDetectionsRequest,
)
from stepladder.performance.v1.directory_pb2 import (
    AppointTeamLeadRequest,
    ChangePositionRequest,
    TransferEmployeeRequest,
)
from stepladder.performance.v1.events_pb2 import DetectionPolicyCreated
from stepladder.performance.v1.facts_pb2 import (
    DISPUTE_OUTCOME_OVERTURNED,
    DISPUTE_OUTCOME_UPHELD,
    RATING_EXCELLENT,
    RATING_GOOD,
    RATING_QUALIFIED,
    RATING_UNQUALIFIED,
    CorrectFactRequest,
    DisputeFactRequest,
    ListFactsRequest,
    ListKpiResultsRequest,
    ListRatingsRequest,
    RateMonthRequest,
    ReadingsOfDay,
    RetractFactRequest,
    SettleFactDisputeRequest,
)
from stepladder.performance.v1.kpi_pb2 import SetTargetRequest, Target
from stepladder.performance.v1.policy_pb2 import (
    DetectionRule,
    GetPolicyRequest,
    ListPoliciesRequest,
    Policy,
    Scope,
    ScorecardPolicy,
    SetPolicyRequest,
)
from stepladder.performance.v1.scorecard_pb2 import (
    CloseMonthRequest,
    DecideRatingRequest,
    GetScorecardRequest,
    ListScorecardsRequest,
    MonthlyScorecard,
    ProposeRatingRequest,
    Rank,
)
from tests.policies import detecting, rule
from tests.refusals import refused
from tests.services.world import HR, World, fact, judged, new_id, until
from tests.tokens import as_person

Band: TypeAlias = ScorecardPolicy.Band
BANDS = [
    Band(rating=RATING_UNQUALIFIED, lower="0", upper="50"),
    Band(rating=RATING_QUALIFIED, lower="50", upper="80"),
    Band(rating=RATING_GOOD, lower="80", upper="100"),
]


def policy(kpi_ids: Sequence[str], *, scope: Scope | None = None, day: str = "2019-01-01", **more: object) -> Policy:
    """Each KPI weighs the same."""
    card = ScorecardPolicy(
        scope=scope,
        basis=ScorecardPolicy.BASIS_OWN,
        items=[
            ScorecardPolicy.Item(kpi_id=kpi_id, weight="50", attainment=ScorecardPolicy.Attainment())
            for kpi_id in kpi_ids
        ],
        normalize=len(kpi_ids) != 2,
        missing=ScorecardPolicy.MISSING_SPREAD,
        bands=BANDS,
        precision=1,
        ties=ScorecardPolicy.TIES_STANDARD,
    )
    card.MergeFrom(ScorecardPolicy(**more))  # type: ignore[arg-type] # names and values of fields
    return Policy(policy_id=new_id("s"), effective_date=day, scorecard=card)


async def put(world: World, one: Policy) -> Policy:
    stored: Policy = await world.policies.SetPolicy(SetPolicyRequest(policy=one))
    return stored


async def target(world: World, kpi_id: str, maximum: str = "10", day: str = "2019-01-01", **scope: str) -> int:
    wanted = Target(kpi_id=kpi_id, effective_date=day, maximum=maximum, **scope)  # type: ignore[arg-type] # strings
    return (await world.kpis.SetTarget(SetTargetRequest(target=wanted))).log_position


async def scorecard(world: World, employee_id: str, month: str = "2020-01", **more: object) -> MonthlyScorecard:
    """By everything that was written before, also by the last of those whom it is ranked among."""
    more.setdefault("at_least", await world.end())
    request = GetScorecardRequest(employee_id=employee_id, month=month, **more)  # type: ignore[arg-type] # as above
    answer: MonthlyScorecard = await world.scorecards.GetScorecard(request)
    return answer


async def close(world: World, month: str = "2020-01", team_id: str = "") -> int:
    """Answers how many were closed."""
    answer = await world.scorecards.CloseMonth(CloseMonthRequest(month=month, team_id=team_id))
    return answer.closed


async def correct(world: World, employee_id: str, day: str, kpi_id: str, numerator: int) -> int:
    corrected = CorrectFactRequest(fact=fact(employee_id, day, kpi_id, numerator), reason="counted twice")
    return (await world.facts.CorrectFact(corrected)).log_position


async def centre(world: World) -> tuple[str, str, str, str]:
    """Team, KPI and two agents: the first has 20 of 100 against at most 10 in January 2020, the second 10."""
    team, kpi = await world.team(), await world.kpi()
    await target(world, kpi)
    await put(world, policy([kpi]))
    first, second = await world.employee(team), await world.employee(team)
    await world.record(fact(first, "2020-01-07", kpi, 20), fact(second, "2020-01-07", kpi, 10))
    return team, kpi, first, second


async def test_a_month_is_closed_once(world: World) -> None:
    """Closing scores and ranks everyone; closing again, for a team or all, closes only who was not closed yet."""
    team, _, first, second = await centre(world)
    open_month = await scorecard(world, first)
    assert (open_month.closed, open_month.scorecard.total) == (False, "50.0")
    assert await close(world, team_id=team) == 2
    closed = await scorecard(world, first)
    assert closed.closed
    assert closed.scorecard == open_month.scorecard
    assert (closed.rating, closed.team_rank, closed.centre_rank) == (
        RATING_QUALIFIED,
        Rank(rank=2, of=2),
        Rank(rank=2, of=2),
    )
    (line,) = closed.scorecard.lines
    assert (line.value, line.maximum, line.score, list(line.fact_positions)) == (
        "20.0",
        "10",
        "50.000000",
        [line.fact_positions[0]],
    )
    late = await world.employee(team)
    assert await close(world, team_id=team) == 1
    again = await world.scorecards.CloseMonth(CloseMonthRequest(month="2020-01", team_id=team))
    assert (again.closed, again.unchanged) == (0, 3)
    listed = await world.scorecards.ListScorecards(
        ListScorecardsRequest(month="2020-01", team_id=team, at_least=await world.end())
    )
    assert [(one.employee_id, one.total, one.centre_rank.rank) for one in listed.scorecards] == [
        (second, "100.0", 1),
        (first, "50.0", 2),
        (late, "", 0),
    ]
    ratings = await world.facts.ListRatings(ListRatingsRequest(employee_id=second, at_least=await world.end()))
    assert [(one.month, one.rating) for one in ratings.ratings] == [("2020-01", RATING_GOOD)]
    other = await world.team()
    assert await close(world, team_id=other) == 0


async def test_what_cannot_be_closed(world: World) -> None:
    """A month that is not over, an unknown team; nobody without a policy, or with a rating from elsewhere."""
    team, kpi = await world.team(), await world.kpi()
    agent = await world.employee(team)
    today = world.clock[0].date().isoformat()
    await refused(
        world.scorecards.CloseMonth(CloseMonthRequest(month=today[:7])),
        StatusCode.FAILED_PRECONDITION,
        "MONTH_NOT_OVER",
    )
    await refused(
        world.scorecards.CloseMonth(CloseMonthRequest(month="2020-01", team_id="nobody")),
        StatusCode.NOT_FOUND,
        "TEAM_NOT_FOUND",
    )
    answer = await world.scorecards.CloseMonth(CloseMonthRequest(month="2020-01", team_id=team))
    assert [(one.employee_id, one.reason) for one in answer.skipped] == [(agent, "NO_SCORECARD_POLICY")]
    await refused(scorecard(world, agent), StatusCode.FAILED_PRECONDITION, "NO_SCORECARD_POLICY")
    await refused(scorecard(world, "nobody"), StatusCode.NOT_FOUND, "EMPLOYEE_NOT_FOUND")
    await put(world, policy([kpi]))
    await refused(scorecard(world, agent, "2018-12"), StatusCode.FAILED_PRECONDITION, "NOT_EMPLOYED")
    await world.facts.RateMonth(RateMonthRequest(employee_id=agent, month="2020-01", rating=RATING_EXCELLENT))
    answer = await world.scorecards.CloseMonth(CloseMonthRequest(month="2020-01", team_id=team))
    assert [(one.employee_id, one.reason) for one in answer.skipped] == [(agent, "RATED_ELSEWHERE")]
    assert await close(world, "2020-02", team) == 1
    await refused(
        world.facts.RateMonth(RateMonthRequest(employee_id=agent, month="2020-02", rating=RATING_EXCELLENT)),
        StatusCode.FAILED_PRECONDITION,
        "MONTH_CLOSED",
    )


async def test_a_late_fact_revises_what_rests_on_it(both: World) -> None:
    """With before and after, by the rules of the close; what was known before can still be asked for."""
    world = both
    _, kpi, agent, other = await centre(world)
    await close(world)
    before = await world.end()
    await target(world, kpi, "1")  # a target set later, for the past, changes no closed month
    position = await correct(world, agent, "2020-01-07", kpi, 5)
    late = (await world.record(fact(other, "2020-01-08", kpi, 70))).log_position
    await judged(world)
    revised = await scorecard(world, agent)
    (revision,) = revised.revisions
    assert (revision.before.total, revision.after.total, list(revision.causes)) == ("50.0", "100.0", [position])
    assert (revised.scorecard, revised.rating) == (revision.after, RATING_GOOD)
    assert (revised.centre_rank.rank, (await scorecard(world, other)).centre_rank.rank) == (1, 2)
    assert [list(one.causes) for one in (await scorecard(world, other)).revisions] == [[late]]
    then = await scorecard(world, agent, known_at=before)
    assert (then.scorecard.total, then.rating, then.centre_rank.rank) == ("50.0", RATING_QUALIFIED, 2)
    asked = ListFactsRequest(employee_id=agent, start_date="2020-01-01", end_date="2020-01-31")
    assert [one.numerator for one in (await world.facts.ListFacts(asked)).readings] == [5]
    asked.known_at = before
    assert [one.numerator for one in (await world.facts.ListFacts(asked)).readings] == [20]
    results = ListKpiResultsRequest(
        start_date="2020-01-01", end_date="2020-01-31", group_by=ListKpiResultsRequest.GROUP_BY_CENTRE
    )
    assert [one.numerator for one in (await world.facts.ListKpiResults(results)).results] == [85]
    results.known_at = before
    assert [one.numerator for one in (await world.facts.ListKpiResults(results)).results] == [30]
    ratings = ListRatingsRequest(employee_id=agent, known_at=before)
    assert [one.rating for one in (await world.facts.ListRatings(ratings)).ratings] == [RATING_QUALIFIED]
    await correct(world, agent, "2020-01-07", kpi, 20)
    await judged(world)
    assert [one.after.total for one in (await scorecard(world, agent)).revisions] == ["100.0", "50.0"]


async def test_a_fact_taken_back_and_a_fact_that_changes_nothing(world: World) -> None:
    """A retraction revises, too; looking again where nothing changed writes nothing."""
    _, kpi, agent, other = await centre(world)
    await close(world)
    named = ReadingsOfDay(employee_id=agent, date="2020-01-07", source="calls", kpi_ids=[kpi])
    position = (await world.facts.RetractFact(RetractFactRequest(readings=named, reason="wrong person"))).log_position
    unknown = await world.kpi()
    await world.record(fact(other, "2020-01-09", unknown, 1))
    await judged(world)
    revised = await scorecard(world, agent)
    assert [list(one.causes) for one in revised.revisions] == [[position]]
    assert (revised.scorecard.total, revised.rating) == ("", 0)
    assert not (await scorecard(world, other)).revisions
    await world.record(fact(agent, "2020-01-07", kpi, 8))
    await judged(world)
    assert (await scorecard(world, agent)).scorecard.total == "100.0"


async def test_the_directory_changes_late(world: World) -> None:
    """A transfer with effect in a closed month judges the days since by the other team's target."""
    _, kpi, agent, _ = await centre(world)
    lax = await world.team()
    await target(world, kpi, "40", team_id=lax)
    await close(world)
    await world.directory.TransferEmployee(
        TransferEmployeeRequest(employee_id=agent, team_id=lax, effective_date="2020-01-05")
    )
    await judged(world)
    revised = await scorecard(world, agent)
    assert [(one.before.total, one.after.total) for one in revised.revisions] == [("50.0", "100.0")]
    assert revised.scorecard.team_id == lax
    assert revised.team_rank == Rank(rank=1, of=1)


async def test_the_narrowest_policy_fits(world: World) -> None:
    """One for the team goes before one for the position, that before everyone's; versions hold by day."""
    team, kpi = await world.team(), await world.kpi()
    agent = await world.employee(team)
    everyone, position = policy([kpi]), policy([kpi], scope=Scope(position="senior"))
    for one in (everyone, position):
        await put(world, one)
    assert (await scorecard(world, agent)).scorecard.policy_id == everyone.policy_id
    await world.directory.ChangePosition(
        ChangePositionRequest(employee_id=agent, position="senior", effective_date="2020-01-31")
    )
    assert (await scorecard(world, agent)).scorecard.policy_id == position.policy_id
    own = await put(world, policy([kpi], scope=Scope(team_id=team), day="2020-02-15"))
    assert (await scorecard(world, agent)).scorecard.policy_id == position.policy_id
    february = (await scorecard(world, agent, "2020-02")).scorecard
    assert (february.policy_id, february.policy_position) == (own.policy_id, own.log_position)


async def test_policies_are_kept_by_version(world: World) -> None:
    """Every version can be asked for, by day and by what was known."""
    kpi = await world.kpi()
    first = await put(world, policy([kpi]))
    changed = Policy()
    changed.CopyFrom(first)
    changed.scorecard.precision = 3
    second = await put(world, changed)
    changed.effective_date = "2020-07-01"
    third = await put(world, changed)
    assert await put(world, changed) == third

    async def version(**more: object) -> int:
        request = GetPolicyRequest(policy_id=first.policy_id, at_least=third.log_position, **more)  # type: ignore[arg-type] # names and values of fields
        return (await world.policies.GetPolicy(request)).log_position

    assert [await version(as_of=day) for day in ("2020-06-30", "2020-07-01")] == [
        second.log_position,
        third.log_position,
    ]
    assert await version(as_of="2020-06-30", known_at=first.log_position) == first.log_position
    listed = await world.policies.ListPolicies(ListPoliciesRequest(kind="scorecard"))
    assert [one.log_position for one in listed.policies] == [second.log_position, third.log_position]
    await refused(
        world.policies.ListPolicies(ListPoliciesRequest(kind="none")), StatusCode.INVALID_ARGUMENT, "KIND_INVALID"
    )
    await refused(
        world.policies.GetPolicy(GetPolicyRequest(policy_id="none")), StatusCode.NOT_FOUND, "POLICY_NOT_FOUND"
    )
    await refused(put(world, policy(["none"])), StatusCode.NOT_FOUND, "KPI_NOT_FOUND")


async def test_a_calibration_takes_two(world: World) -> None:
    """A proposal is approved by another; when the numbers change later, the rating stays and is marked."""
    team, kpi, agent, _ = await centre(world)
    await close(world)
    propose = ProposeRatingRequest(employee_id=agent, month="2020-01", rating=RATING_GOOD, reason="covered for two")
    decide = DecideRatingRequest(employee_id=agent, month="2020-01", approve=True, reason="agreed")
    lead = await world.lead(team)
    manager, other = as_person(lead), as_person(HR)
    await world.scorecards.ProposeRating(propose, metadata=manager)
    await refused(
        world.scorecards.DecideRating(decide, metadata=manager), StatusCode.FAILED_PRECONDITION, "SAME_PERSON"
    )
    approved = await world.scorecards.DecideRating(decide, metadata=other)
    assert (approved.rating, approved.scorecard.rating) == (RATING_GOOD, RATING_QUALIFIED)
    assert (approved.proposal.proposed_by, approved.proposal.decided_by) == (f"user:{lead}", f"user:{HR}")
    ratings = await world.facts.ListRatings(ListRatingsRequest(employee_id=agent, at_least=await world.end()))
    assert [one.rating for one in ratings.ratings] == [RATING_GOOD]
    await correct(world, agent, "2020-01-07", kpi, 90)
    await judged(world)
    drifted = await scorecard(world, agent)
    assert (drifted.rating, drifted.scorecard.rating, drifted.drifted) == (RATING_GOOD, RATING_UNQUALIFIED, True)


async def leading(world: World, team: str, day: str = "2019-06-01") -> str:
    """A new lead of a team from a day on, from another team."""
    lead = await world.employee(await world.team())
    await world.directory.ChangePosition(
        ChangePositionRequest(employee_id=lead, position="team-lead", effective_date="2019-06-01")
    )
    await world.directory.AppointTeamLead(AppointTeamLeadRequest(team_id=team, lead_id=lead, effective_date=day))
    return lead


async def test_the_first_facts_of_a_member_reach_a_closed_scorecard_of_their_lead(world: World) -> None:
    """Of those who have no scorecard of their own; also where the lead was appointed, and they joined, afterwards."""
    team, other, kpi = await world.team(), await world.team(), await world.kpi()
    await target(world, kpi)
    lead = await leading(world, team)
    await put(world, policy([kpi], scope=Scope(position="team-lead"), basis=ScorecardPolicy.BASIS_TEAM))
    early, first, second, joining = [await world.employee(one) for one in (team, team, other, await world.team())]
    await world.record(fact(early, "2020-01-07", kpi, 5))
    assert await close(world) == 1

    async def members() -> list[str]:
        await judged(world)
        return list((await scorecard(world, lead)).scorecard.member_ids)

    assert await members() == [early]
    await world.record(fact(first, "2020-01-08", kpi, 5))
    assert await members() == [early, first]
    await world.directory.AppointTeamLead(
        AppointTeamLeadRequest(team_id=other, lead_id=lead, effective_date="2020-01-01")
    )
    await world.directory.TransferEmployee(
        TransferEmployeeRequest(employee_id=joining, team_id=other, effective_date="2020-01-10")
    )
    assert await members() == [early, first]
    await world.record(fact(second, "2020-01-09", kpi, 5), fact(joining, "2020-01-13", kpi, 5))
    assert await members() == [early, first, second, joining]
    assert len((await scorecard(world, lead)).revisions) <= 3


async def test_a_leads_scorecard_is_the_teams(world: World) -> None:
    """What everyone did while in the team and the lead led it; revised when a member's facts change."""
    team, kpi, agent, colleague = await centre(world)
    other = await world.team()
    lead = await world.employee(other)
    await world.directory.ChangePosition(
        ChangePositionRequest(employee_id=lead, position="team-lead", effective_date="2019-06-01")
    )
    await world.directory.AppointTeamLead(
        AppointTeamLeadRequest(team_id=team, lead_id=lead, effective_date="2020-01-07")
    )
    await put(world, policy([kpi], scope=Scope(position="team-lead"), basis=ScorecardPolicy.BASIS_TEAM))
    await world.record(fact(agent, "2020-01-06", kpi, 100))  # the day before the lead came
    await close(world)
    closed = await scorecard(world, lead)
    (line,) = closed.scorecard.lines
    assert (line.numerator, line.denominator, list(closed.scorecard.member_ids)) == (30, 200, [agent, colleague])
    await correct(world, agent, "2020-01-07", kpi, 0)
    await judged(world)
    revised = await scorecard(world, lead)
    assert [(one.before.lines[0].numerator, one.after.lines[0].numerator) for one in revised.revisions] == [(30, 10)]


async def detections(world: World, employee_id: str) -> list[Detection]:
    answer = await world.detections.ListDetections(
        ListDetectionsRequest(employee_id=employee_id, at_least=await world.end())
    )
    return list(answer.detections)


async def plan_of(world: World, employee_id: str) -> Plan | None:
    plans = (await world.plans.ListPlans(ListPlansRequest(employee_id=employee_id))).plans
    return plans[0] if plans else None


async def detect(world: World, kpi: str, streak: int = 1, settle_seconds: int = 0) -> None:
    await world.policies.SetPolicy(detecting(new_id("p"), rule(kpi, streak=streak, settle_seconds=settle_seconds)))


async def test_a_correction_flags_the_detection_and_the_plan(world: World) -> None:
    """Neither is rewritten; both say what would come out now, and again when that changes."""
    _, kpi, agent, _ = await centre(world)
    await detect(world, kpi)
    await world.record(fact(agent, "2020-01-09", kpi, 20))
    await judged(world)
    (found,) = await detections(world, agent)
    plan = await until(lambda: plan_of(world, agent), lambda one: one is not None)
    assert plan is not None
    assert not plan.HasField("drift")
    position = await correct(world, agent, "2020-01-07", kpi, 0)
    await judged(world)
    (drifted,) = await detections(world, agent)
    assert list(drifted.periods) == list(found.periods)
    assert (drifted.drift.stands, list(drifted.drift.causes)) == (False, [position])
    assert [(one.value, one.met) for one in drifted.drift.periods] == [("10.0", True)]
    flagged = await until(lambda: plan_of(world, agent), lambda one: one is not None and one.HasField("drift"))
    assert flagged is not None
    assert flagged.evidence == plan.evidence
    assert (flagged.drift.stands, list(flagged.drift.causes)) == (False, [position])
    assert [one.value for one in flagged.drift.periods] == ["10.0"]
    await correct(world, agent, "2020-01-07", kpi, 1)
    await judged(world)
    assert (await detections(world, agent))[0].drift.stands


async def test_a_dispute_freezes_and_an_overturned_fact_unwinds(world: World) -> None:
    """No streak is found on disputed facts; settled, it is; overturned after, the detection falls."""
    team, kpi, agent, _ = await centre(world)
    reviewer = await world.employee(team)
    named = ReadingsOfDay(employee_id=agent, date="2020-01-07", source="calls", kpi_ids=[kpi])
    dispute = DisputeFactRequest(readings=named, reason="not my calls", reviewer_id=reviewer)
    await world.facts.DisputeFact(dispute, metadata=as_person(agent))
    asked = ListFactsRequest(
        employee_id=agent, start_date="2020-01-01", end_date="2020-01-31", at_least=await world.end()
    )
    assert [one.disputed for one in (await world.facts.ListFacts(asked)).readings] == [True]
    await detect(world, kpi)
    await world.record(fact(agent, "2020-01-08", kpi, 20))
    await judged(world)
    assert await detections(world, agent) == []
    as_reviewer = as_person(reviewer)
    upheld = SettleFactDisputeRequest(readings=named, outcome=DISPUTE_OUTCOME_UPHELD, reason="listened to them")
    own = world.facts.SettleFactDispute(upheld, metadata=as_person(agent))
    await refused(own, StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
    await world.facts.SettleFactDispute(upheld, metadata=as_reviewer)
    await judged(world)
    (found,) = await detections(world, agent)
    assert not found.HasField("drift")
    dispute.reason = "there is new evidence"
    await world.facts.DisputeFact(dispute, metadata=as_person(agent))
    await judged(world)
    (contested,) = await detections(world, agent)
    assert (contested.drift.stands, contested.drift.disputed) == (True, True)
    overturned = SettleFactDisputeRequest(
        readings=named,
        outcome=DISPUTE_OUTCOME_OVERTURNED,
        corrected=fact(agent, "2020-01-07", kpi, 0).readings,
        reason="they were another's",
    )
    await world.facts.SettleFactDispute(overturned, metadata=as_reviewer)
    await judged(world)
    (fallen,) = await detections(world, agent)
    assert (fallen.drift.stands, fallen.drift.disputed) == (False, False)


async def test_a_correction_may_find_what_was_not_found(world: World) -> None:
    """At once: nothing more is waited for."""
    _, kpi, _, agent = await centre(world)
    await detect(world, kpi)
    await judged(world)
    assert await detections(world, agent) == []
    await correct(world, agent, "2020-01-07", kpi, 90)
    await judged(world)
    assert len(await detections(world, agent)) == 1


async def test_a_fact_that_comes_while_a_month_is_closed_is_not_lost(world: World) -> None:
    """Whatever the order in which close and fact reach the log, in the end the scorecard has the fact."""
    _, kpi, agent, other = await centre(world)
    days = [f"2020-01-{day:02}" for day in range(8, 28)]

    async def record() -> None:
        for day in days:
            await world.record(fact(agent, day, kpi, 10), fact(other, day, kpi, 10))

    await asyncio.gather(record(), close(world))
    await judged(world)
    for one in (agent, other):
        assert (await scorecard(world, one)).scorecard.lines[0].days == 21


async def test_a_policy_has_versions(world: World) -> None:
    """A period is judged by the version in force on its first day, and a detection names it."""
    _, kpi, agent, _ = await centre(world)
    one = detecting("versions", rule(kpi, streak=2), "2019-01-01")
    two = detecting("versions", rule(kpi, streak=1), "2020-03-01")
    await world.policies.SetPolicy(one)
    second = await world.policies.SetPolicy(two)
    await judged(world)
    assert await detections(world, agent) == []
    await world.record(fact(agent, "2020-03-10", kpi, 20))
    await judged(world)
    (found,) = await detections(world, agent)
    assert (found.policy_position, [period.start_date for period in found.periods]) == (
        second.log_position,
        ["2020-03-01"],
    )


async def test_a_policy_stored_late_judges_the_past_from_its_day_on(world: World) -> None:
    """And a dry run says beforehand what it would find, storing nothing."""
    team, kpi, agent, _ = await centre(world)
    await world.record(fact(agent, "2019-12-10", kpi, 20))
    wanted = detecting("late", rule(kpi), "2020-01-01")
    assert await detections(world, agent) == []
    before = await world.end()
    dry = DryRunDetectionRequest(policy=wanted.policy, start_date="2019-12-01", end_date="2020-01-31", at_least=before)
    answer = await world.detections.DryRunDetection(dry)
    assert (answer.found, answer.employees) == (1, 3)  # HR, who asks, is one
    assert [(one.employee_id, one.periods[0].start_date) for one in answer.detections] == [(agent, "2019-12-01")]
    dry.team_id = await world.team()
    assert (await world.detections.DryRunDetection(dry)).employees == 0
    await refused(
        world.detections.DryRunDetection(
            DryRunDetectionRequest(policy=policy([kpi]), start_date="2020-01-01", end_date="2020-01-31")
        ),
        StatusCode.INVALID_ARGUMENT,
        "KIND_INVALID",
    )
    dry.start_date = "2020-02-01"
    await refused(world.detections.DryRunDetection(dry), StatusCode.INVALID_ARGUMENT, "DATE_INVALID")
    await world.policies.SetPolicy(wanted)
    await judged(world)
    (found,) = await detections(world, agent)
    assert (found.periods[0].start_date, found.team_id) == ("2020-01-01", team)


async def test_ratings_and_findings(world: World) -> None:
    """Bad months in a row are found when they are closed; a finding proposes no plan, and drifts as others do."""
    _, kpi, agent, _ = await centre(world)
    await world.record(fact(agent, "2020-02-07", kpi, 20))
    bad = DetectionRule(
        ratings=DetectionRule.RatingStreak(at_most=RATING_QUALIFIED, months=2),
        purpose=DetectionRule.PURPOSE_FINDING,
    )
    await world.policies.SetPolicy(detecting("bad-months", bad))
    await close(world)
    await judged(world)
    assert await detections(world, agent) == []
    await close(world, "2020-02")
    await judged(world)
    (found,) = await detections(world, agent)
    assert [(period.start_date, period.value) for period in found.periods] == [
        ("2020-01-01", "QUALIFIED"),
        ("2020-02-01", "QUALIFIED"),
    ]
    assert (found.kpi_id, found.purpose) == ("", DetectionRule.PURPOSE_FINDING)
    await correct(world, agent, "2020-02-07", kpi, 0)
    await judged(world)
    (drifted,) = await detections(world, agent)
    assert (drifted.drift.stands, [period.met for period in drifted.drift.periods]) == (False, [False, True])
    for follower in world.services["coaching"].followers:
        await follower.wait_for(await world.end(), 10)
    assert await plan_of(world, agent) is None


async def test_what_follows_a_correction_is_complete(world: World) -> None:
    """Looking again at everything that anything rests on finds nothing that the corrections had left."""
    team, kpi, first, second = await centre(world)
    other, lead = await world.team(), await world.employee(team)
    await world.directory.AppointTeamLead(
        AppointTeamLeadRequest(team_id=team, lead_id=lead, effective_date="2019-01-01")
    )
    await world.directory.ChangePosition(
        ChangePositionRequest(employee_id=lead, position="team-lead", effective_date="2019-01-01")
    )
    await put(world, policy([kpi], scope=Scope(position="team-lead"), basis=ScorecardPolicy.BASIS_TEAM))
    await detect(world, kpi, streak=2)
    months = [f"2020-{month:02}" for month in range(1, 7)]
    await world.record(
        *(fact(one, f"{month}-{day}", kpi, 20) for one in (first, second) for month in months for day in ("14", "21"))
    )
    for month in months:
        await close(world, month, team)
    await judged(world)
    await correct(world, first, "2020-03-14", kpi, 0)
    await world.facts.RetractFact(
        RetractFactRequest(
            readings=ReadingsOfDay(employee_id=second, date="2020-02-21", source="calls", kpi_ids=[kpi]),
            reason="wrong person",
        )
    )
    await world.record(fact(second, "2020-05-02", kpi, 90))
    await world.directory.TransferEmployee(
        TransferEmployeeRequest(employee_id=first, team_id=other, effective_date="2020-04-15")
    )
    await judged(world)
    end, service = await world.end(), world.services["performance"]
    (results,) = (one.handler for one in service.followers if isinstance(one.handler, Results))
    async with service.engine.begin() as transaction:
        rows = (await transaction.execute(select(results.judgements.resting))).all()
        again = [
            {
                "kind": RECONSIDER,
                "key": month_key(row.employee_id, row.month),
                "due_time": world.clock[0],
                "position": end,
            }
            for row in rows
        ]
        await transaction.execute(insert(results.judgements.deadlines), again)
    await judged(world)
    assert len(again) == 3 * len(months)
    assert await world.end() == end
    revised = {
        (one, month): len((await scorecard(world, one, month)).revisions)
        for one in (first, second, lead)
        for month in months
    }
    assert {key for key, count in revised.items() if count} == {
        *((first, month) for month in ("2020-03", "2020-04", "2020-05", "2020-06")),
        *((second, month) for month in ("2020-02", "2020-05")),
        *((lead, month) for month in ("2020-02", "2020-03", "2020-04", "2020-05", "2020-06")),
    }


async def test_a_detection_of_an_earlier_version_does_not_drift_by_itself(world: World) -> None:
    """It does not say up to where its facts were looked at: up to itself."""
    _, kpi, agent, other = await centre(world)
    await detect(world, kpi)
    await world.record(fact(agent, "2020-01-08", kpi, 20))
    await judged(world)
    (found,) = await detections(world, agent)
    old = Detection()
    old.CopyFrom(found)
    old.detection_id, old.employee_id, old.known_at = "d-old", other, 0
    service = world.services["performance"]
    context = Context(now=world.clock[0], today=service.today(), actor="policy:detection")
    await service.commands.handle(DETECTION, "d-old", old, context)
    await judged(world)
    (shown,) = await detections(world, other)
    assert not shown.HasField("drift")


async def test_policies_of_earlier_logs_are_understood(world: World) -> None:
    """As the first version of a policy in force from the beginning; a new version may follow it."""
    _, kpi, agent, _ = await centre(world)
    service = world.services["performance"]
    old = DetectionPolicy(policy_id="old", kpi_id=kpi, period=DetectionRule.PERIOD_MONTH, streak=1)
    legacy = Aggregate[None](
        name="performance.detectionpolicy",
        initial=None,
        evolve=lambda state, _: state,
        decide=lambda *_: [DetectionPolicyCreated(policy=old)],
    )
    context = Context(now=world.clock[0], today=service.today(), actor="system:import")
    stored = await service.commands.handle(legacy, "old", old, context)
    await judged(world)
    (found,) = await detections(world, agent)
    assert (found.policy_id, found.policy_position) == ("old", stored.position)
    version = await world.policies.SetPolicy(detecting("old", rule(kpi, streak=12), "2020-02-01"))
    asked = GetPolicyRequest(policy_id="old", as_of="2020-01-31", at_least=version.log_position)
    assert (await world.policies.GetPolicy(asked)).log_position == stored.position
    asked.as_of = "2020-02-01"
    assert (await world.policies.GetPolicy(asked)).log_position == version.log_position
