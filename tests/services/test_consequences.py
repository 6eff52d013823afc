"""What follows from facts, moves and rules that come late, in odd orders or at the same time."""

from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from typing import Any

import pytest
from grpc import StatusCode

from libs.common.commands import identities
from libs.common.eventsourcing import Context
from services.performance.months import Months
from stepladder.performance.v1.detection_pb2 import DryRunDetectionRequest
from stepladder.performance.v1.directory_pb2 import (
    AppointTeamLeadRequest,
    ChangePositionRequest,
    TransferEmployeeRequest,
)
from stepladder.performance.v1.facts_pb2 import (
    DISPUTE_OUTCOME_OVERTURNED,
    RATING_QUALIFIED,
    RATING_UNQUALIFIED,
    DisputeFactRequest,
    RateMonthRequest,
    ReadingsOfDay,
)
from stepladder.performance.v1.kpi_pb2 import Kpi
from stepladder.performance.v1.policy_pb2 import (
    DetectionRule,
    GetPolicyRequest,
    Offence,
    Policy,
    RuleBook,
    Scope,
    ScorecardPolicy,
    SetPolicyRequest,
)
from stepladder.performance.v1.record_pb2 import (
    Attendance,
    Complaint,
    CreateRecord,
    CreateRecordsRequest,
    DisputeRecordRequest,
    Record,
    RetractRecordRequest,
    SettleRecordDisputeRequest,
    Violation,
)
from stepladder.performance.v1.scorecard_pb2 import CloseMonthRequest
from tests.policies import DAY, MONTH, WEEK, detecting, rule
from tests.refusals import refused
from tests.services.test_records import create, derived, evaluation, form
from tests.services.test_scorecards import centre, close, correct, detections, leading, policy, put, scorecard, target
from tests.services.world import World, fact, judged, new_id
from tests.tokens import as_person


async def periods_found(world: World, employee_id: str) -> list[list[str]]:
    """The first days of the periods of each detection, the latest detection first."""
    return [[period.start_date for period in found.periods] for found in await detections(world, employee_id)]


async def dry_run(world: World, wanted: SetPolicyRequest) -> list[list[str]]:
    """The same of what a policy would find in the first half of 2020."""
    asked = DryRunDetectionRequest(
        policy=wanted.policy, start_date="2020-01-01", end_date="2020-06-30", at_least=await world.end()
    )
    found = (await world.detections.DryRunDetection(asked)).detections
    return [[period.start_date for period in one.periods] for one in found]


async def miss_weeks(world: World, weeks: int) -> tuple[str, str, SetPolicyRequest]:
    """An agent who misses a target week after week; KPI, agent, and the policy that asks for three in a row."""
    team, kpi = await world.team(), await world.kpi()
    await target(world, kpi)
    agent = await world.employee(team)
    wanted = detecting(new_id("p"), rule(kpi, WEEK, 3))
    await world.policies.SetPolicy(wanted)
    for week in range(weeks):
        await world.record(fact(agent, str(date(2020, 1, 6) + timedelta(7 * week)), kpi, 20))
        await judged(world)
    return kpi, agent, wanted


async def test_a_long_streak_is_found_once(world: World) -> None:
    """However many weeks it lasts; a dry run agrees."""
    _, agent, wanted = await miss_weeks(world, 14)
    assert await periods_found(world, agent) == [["2020-01-06", "2020-01-13", "2020-01-20"]]
    assert await dry_run(world, wanted) == await periods_found(world, agent)


async def test_a_detection_that_has_fallen_blocks_no_other(world: World) -> None:
    """A streak that shares weeks with it is found."""
    kpi, agent, _ = await miss_weeks(world, 3)
    await correct(world, agent, "2020-01-13", kpi, 0)
    await judged(world)
    await world.record(fact(agent, "2020-01-27", kpi, 20), fact(agent, "2020-02-03", kpi, 20))
    await judged(world)
    assert await periods_found(world, agent) == [
        ["2020-01-20", "2020-01-27", "2020-02-03"],
        ["2020-01-06", "2020-01-13", "2020-01-20"],
    ]


async def test_what_stood_behind_a_detection_that_falls_is_found(world: World) -> None:
    """The rest of its row, as if the correction had come in time; corrected back, it stands again."""
    kpi, agent, _ = await miss_weeks(world, 5)
    assert await periods_found(world, agent) == [["2020-01-06", "2020-01-13", "2020-01-20"]]
    await correct(world, agent, "2020-01-06", kpi, 0)
    await judged(world)
    assert await periods_found(world, agent) == [
        ["2020-01-13", "2020-01-20", "2020-01-27"],
        ["2020-01-06", "2020-01-13", "2020-01-20"],
    ]
    assert [found.drift.stands for found in await detections(world, agent) if found.HasField("drift")] == [False]
    await correct(world, agent, "2020-01-06", kpi, 20)
    await judged(world)
    assert len(await periods_found(world, agent)) == 2
    assert all(found.drift.stands for found in await detections(world, agent) if found.HasField("drift"))


async def test_a_late_fact_in_the_days_of_a_total(world: World) -> None:
    """Drifts what was found on a day a month later."""
    kpi = await world.kpi(Kpi.AGGREGATION_SUM)
    agent = await world.employee(await world.team())
    one = DetectionRule(
        total=DetectionRule.Total(kpi_id=kpi, days=40, at_least="3"), purpose=DetectionRule.PURPOSE_FINDING
    )
    await world.policies.SetPolicy(detecting(new_id("p"), one))
    await world.record(*(fact(agent, day, kpi, 1, None) for day in ("2020-01-20", "2020-02-05", "2020-02-10")))
    await judged(world)
    assert await periods_found(world, agent) == [["2020-02-10"]]
    await world.record(fact(agent, "2020-01-25", kpi, 1, None))
    await judged(world)
    stands = {found.periods[0].start_date: found.drift.stands for found in await detections(world, agent)}
    assert stands == {"2020-02-05": False, "2020-02-10": False}  # the first never drifted: it has no drift


async def test_ratings_from_elsewhere_are_judged_by_a_late_policy(world: World) -> None:
    """As a dry run says."""
    agent = await world.employee(await world.team())
    for month in ("2020-01", "2020-02"):
        await world.facts.RateMonth(RateMonthRequest(employee_id=agent, month=month, rating=RATING_UNQUALIFIED))
    await judged(world)
    bad = DetectionRule(
        ratings=DetectionRule.RatingStreak(at_most=RATING_QUALIFIED, months=2),
        purpose=DetectionRule.PURPOSE_FINDING,
    )
    wanted = detecting(new_id("p"), bad)
    await world.policies.SetPolicy(wanted)
    await judged(world)
    assert await periods_found(world, agent) == await dry_run(world, wanted) == [["2020-01-01", "2020-02-01"]]


async def test_a_late_transfer_may_make_a_miss(world: World) -> None:
    """Of days that were fine in the other team."""
    strict, lax, kpi = await world.team(), await world.team(), await world.kpi()
    await target(world, kpi)
    await target(world, kpi, "40", team_id=lax)
    agent = await world.employee(lax)
    await world.policies.SetPolicy(detecting(new_id("p"), rule(kpi)))
    await world.record(fact(agent, "2020-01-07", kpi, 20))
    await judged(world)
    assert await detections(world, agent) == []
    moved = TransferEmployeeRequest(employee_id=agent, team_id=strict, effective_date="2020-01-02")
    await world.directory.TransferEmployee(moved)
    await judged(world)
    assert await periods_found(world, agent) == [["2020-01-01"]]


async def test_the_period_in_which_a_policy_changes(world: World) -> None:
    """Is judged by the version of its first day, also for facts behind the change."""
    kpi, agent = await world.kpi(), await world.employee(await world.team())
    await target(world, kpi)
    await world.policies.SetPolicy(detecting("v", rule(kpi, MONTH), "2019-01-01"))
    await world.policies.SetPolicy(detecting("v", rule(kpi, DAY, 20), "2020-01-15"))
    await world.record(fact(agent, "2020-01-16", kpi, 50))
    await judged(world)
    assert await periods_found(world, agent) == [["2020-01-01"]]


Happening = Callable[[], Awaitable[object]]


def while_computed(monkeypatch: pytest.MonkeyPatch, happening: Happening) -> None:
    """Lets something happen behind the first computation of months, before anything is stored."""
    compute, done = Months.compute, list[bool]()

    async def slow(self: Months, *arguments: Any, **more: Any) -> Any:
        computed = await compute(self, *arguments, **more)
        if not done:
            done.append(True)
            await happening()
        return computed

    monkeypatch.setattr(Months, "compute", slow)


async def test_a_dispute_opened_while_a_month_is_closed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is in the scorecard in the end."""
    _, kpi, agent, reviewer = await centre(world)
    named = ReadingsOfDay(employee_id=agent, date="2020-01-07", source="calls", kpi_ids=[kpi])

    async def dispute() -> None:
        await world.facts.DisputeFact(
            DisputeFactRequest(readings=named, reason="not mine", reviewer_id=reviewer),
            metadata=as_person(named.employee_id),
        )
        await judged(world)

    while_computed(monkeypatch, dispute)
    await close(world)
    await judged(world)
    (line,) = (await scorecard(world, agent)).scorecard.lines
    assert line.disputed_positions == line.fact_positions


async def test_somebody_joins_while_a_month_is_closed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their lead's scorecard has them in the end."""
    team, kpi, _, _ = await centre(world)
    other = await world.team()
    lead, late = await world.employee(other), await world.employee(other)
    await world.record(fact(late, "2020-01-09", kpi, 7))
    await world.directory.ChangePosition(
        ChangePositionRequest(employee_id=lead, position="team-lead", effective_date="2019-06-01")
    )
    await world.directory.AppointTeamLead(
        AppointTeamLeadRequest(team_id=team, lead_id=lead, effective_date="2019-06-01")
    )
    await put(world, policy([kpi], scope=Scope(position="team-lead"), basis=ScorecardPolicy.BASIS_TEAM))

    async def join() -> None:
        moved = TransferEmployeeRequest(employee_id=late, team_id=team, effective_date="2020-01-05")
        await world.directory.TransferEmployee(moved)
        await judged(world)

    while_computed(monkeypatch, join)
    await close(world)
    await judged(world)
    assert late in (await scorecard(world, lead)).scorecard.member_ids


async def test_first_facts_come_while_a_month_is_closed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of somebody without a scorecard of their own: their lead's has them in the end."""
    team, kpi = await world.team(), await world.kpi()
    await target(world, kpi)
    lead, agent = await leading(world, team), await world.employee(team)
    await put(world, policy([kpi], scope=Scope(position="team-lead"), basis=ScorecardPolicy.BASIS_TEAM))

    async def work() -> None:
        await world.record(fact(agent, "2020-01-09", kpi, 7))
        await judged(world)

    while_computed(monkeypatch, work)
    await close(world)
    await judged(world)
    assert list((await scorecard(world, lead)).scorecard.member_ids) == [agent]


async def test_closing_again_writes_nothing(world: World) -> None:
    """Whatever request id it has; the answer says what this run did."""
    team, *_ = await centre(world)
    request = CloseMonthRequest(month="2020-01", team_id=team, request_id="close-january")
    first = await world.scorecards.CloseMonth(request)
    end = await world.end()
    second = await world.scorecards.CloseMonth(request)
    assert (first.closed, second.closed, second.unchanged) == (2, 0, 2)
    assert await world.end() == end


async def test_what_is_known_then_is_waited_for(world: World) -> None:
    """A read as of a position just acknowledged includes it."""
    _, kpi, agent, _ = await centre(world)
    for day in range(8, 20):
        position = (await world.record(fact(agent, f"2020-01-{day:02}", kpi, 10))).log_position
        (line,) = (await scorecard(world, agent, known_at=position)).scorecard.lines
        assert line.days == day - 6


async def test_an_item_is_overturned_under_the_form_of_the_evaluation(world: World) -> None:
    """Though another version has taken its place for the same day."""
    team = await world.team()
    agent, evaluator, reviewer = [await world.employee(team) for _ in range(3)]
    record = evaluation(form_id := await form(world), agent, evaluator, "2020-01-07", greeting=0)
    await create(world, record)
    changed = await world.policies.GetPolicy(
        GetPolicyRequest(policy_id=form_id, as_of="2020-01-07", at_least=await world.end())
    )
    changed.form.sections[0].items.add(item_id="new", display_name="New", weight="5")
    await put(world, changed)
    await world.records.DisputeRecord(
        DisputeRecordRequest(record_id=record.record_id, item_ids=["greeting"], reason="I did", reviewer_id=reviewer),
        metadata=as_person(record.employee_id),
    )
    settled = await world.records.SettleRecordDispute(
        SettleRecordDisputeRequest(
            record_id=record.record_id, outcome=DISPUTE_OUTCOME_OVERTURNED, reason="it is on the recording"
        ),
        metadata=as_person(reviewer),
    )
    assert settled.outcome.score == "100.00"


async def test_nobody_finds_a_note_by_trying(world: World) -> None:
    """The id of its event is not made of it."""
    agent = await world.employee(await world.team())
    record = Record(
        record_id=new_id("c"), employee_id=agent, date="2020-01-09", note="was drunk", complaint=Complaint()
    )
    await world.records.CreateRecords(CreateRecordsRequest(request_id="import-1", records=[record]))
    service, subject = world.services["performance"], f"log.performance.record.{record.record_id}"
    (stored,) = await service.stream.read(subject, 0)
    context = Context(now=world.clock[0], today=service.today(), actor="user:anonymous", request_id="import-1")
    tried = identities({subject: CreateRecord(record=record, policy=Policy())}, context, by_content=True)
    assert tried[subject].command_id != stored.event_id.partition(".")[0]


async def test_a_record_taken_back_is_not_taken_again(world: World) -> None:
    """Whoever sends it again hears that it does not stand."""
    agent = await world.employee(await world.team())
    record = Record(record_id=new_id("c"), employee_id=agent, date="2020-01-09", complaint=Complaint())
    await create(world, record)
    await world.records.RetractRecord(RetractRecordRequest(record_id=record.record_id, reason="wrong person"))
    assert [one.reason for one in (await create(world, record)).rejections] == ["RETRACTED"]


async def test_a_drift_of_points_names_its_causes(world: World) -> None:
    """The retraction that took the points away."""
    agent = await world.employee(await world.team())
    offence = Offence(offence_id="late", display_name="Late", points=5)
    book = Policy(policy_id=new_id("b"), effective_date="2019-01-01", rule_book=RuleBook(offences=[offence]))
    await put(world, book)
    ten = DetectionRule(points=DetectionRule.Points(at_least=10), purpose=DetectionRule.PURPOSE_FINDING)
    await world.policies.SetPolicy(detecting(new_id("p"), ten))
    first, second = (
        Record(
            record_id=new_id("v"),
            employee_id=agent,
            date=day,
            violation=Violation(rule_book_id=book.policy_id, offence_id="late"),
        )
        for day in ("2020-01-09", "2020-02-09")
    )
    await create(world, first, second)
    await judged(world)
    assert await periods_found(world, agent) == [["2020-02-09"]]
    taken_back = RetractRecordRequest(record_id=first.record_id, reason="wrong person")
    position = (await world.records.RetractRecord(taken_back)).log_position
    await judged(world)
    (found,) = await detections(world, agent)
    assert (found.drift.stands, list(found.drift.causes)) == (False, [position])


async def test_a_disputed_adjustment_freezes_what_rests_on_it(world: World) -> None:
    """A bad month is not found while the complaint that made it bad is disputed."""
    team, kpi = await world.team(), await world.kpi()
    await target(world, kpi)
    agent, reviewer = await world.employee(team), await world.employee(team)
    complaints = await derived(world, "complaint.justified")
    minus = ScorecardPolicy.Adjustment(kpi_id=complaints, factor="-60")
    await put(world, policy([kpi], adjustments=[minus]))
    await world.record(fact(agent, "2020-01-07", kpi, 10))
    justified = Complaint(finding=Complaint.FINDING_JUSTIFIED)
    record = Record(record_id=new_id("c"), employee_id=agent, date="2020-01-09", complaint=justified)
    await create(world, record)
    await world.records.DisputeRecord(
        DisputeRecordRequest(record_id=record.record_id, reason="not so", reviewer_id=reviewer),
        metadata=as_person(record.employee_id),
    )
    bad = DetectionRule(
        ratings=DetectionRule.RatingStreak(at_most=RATING_UNQUALIFIED, months=1),
        purpose=DetectionRule.PURPOSE_FINDING,
    )
    await world.policies.SetPolicy(detecting(new_id("p"), bad))
    await close(world)
    await judged(world)
    assert (await scorecard(world, agent)).rating == RATING_UNQUALIFIED
    assert await detections(world, agent) == []


async def test_mistakes_of_callers_are_told_so(world: World) -> None:
    """Days that are in no calendar, times that are in no century, spans of centuries, parts that are no sums."""
    ratio = await world.kpi()
    await refused(
        world.policies.GetPolicy(GetPolicyRequest(policy_id="any", as_of="2019-02-29")),
        StatusCode.INVALID_ARGUMENT,
        "DATE_INVALID",
    )
    agent = await world.employee(await world.team())
    attendance = Attendance()
    attendance.shift_start.seconds, attendance.shift_end.seconds = 10**13, 10**13 + 3600
    shift = Record(record_id=new_id("a"), employee_id=agent, date="2020-01-01", attendance=attendance)
    await refused(create(world, shift), StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")
    await refused(
        world.detections.DryRunDetection(
            DryRunDetectionRequest(
                policy=detecting("p", rule(ratio, DAY)).policy, start_date="1900-01-01", end_date="2199-12-31"
            )
        ),
        StatusCode.INVALID_ARGUMENT,
        "DATE_INVALID",
    )
    await refused(derived(world, ratio, "exam.taken"), StatusCode.INVALID_ARGUMENT, "DERIVATION_INVALID")
