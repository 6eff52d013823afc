"""Records over gRPC: bulk with partial answers, what they count as in KPIs, conduct, and disputes that unwind."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TypeAlias
from zoneinfo import ZoneInfo

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import StatusCode

from libs.common.rebuilding import rebuild
from stepladder.performance.v1.facts_pb2 import (
    DISPUTE_OUTCOME_OVERTURNED,
    CorrectFactRequest,
    ListFactsRequest,
    ListKpiResultsRequest,
)
from stepladder.performance.v1.kpi_pb2 import CreateKpiRequest, Kpi
from stepladder.performance.v1.policy_pb2 import Form, Offence, Policy, RuleBook, ScorecardPolicy
from stepladder.performance.v1.record_pb2 import (
    AcknowledgeRecordRequest,
    Attendance,
    Complaint,
    Conduct,
    CorrectRecordRequest,
    CreateRecordsRequest,
    DisputeRecordRequest,
    Evaluation,
    GetConductRequest,
    GetRecordRequest,
    Leave,
    ListRecordsRequest,
    Record,
    RetractRecordRequest,
    SettleRecordDisputeRequest,
    Violation,
)
from stepladder.performance.v1.record_pb2 import CreateRecordsResponse as Created
from tests.refusals import refused
from tests.services.test_scorecards import close, detect, detections, policy, put, scorecard, target
from tests.services.world import World, caught_up, fact, judged, new_id
from tests.tokens import as_person

Answer: TypeAlias = Evaluation.Answer
RIGA = ZoneInfo("Europe/Riga")


async def create(world: World, *records: Record) -> Created:
    answer: Created = await world.records.CreateRecords(CreateRecordsRequest(records=records))
    return answer


async def derived(world: World, numerator: str, denominator: str = "", scale: int = 1, per: int = 1) -> str:
    """A new KPI made of measures; lower is better."""
    kpi = Kpi(
        kpi_id=new_id("k"),
        display_name="A derived KPI",
        unit=Kpi.UNIT_PERCENT if denominator else Kpi.UNIT_COUNT,
        direction=Kpi.DIRECTION_LOWER,
        aggregation=Kpi.AGGREGATION_RATIO if denominator else Kpi.AGGREGATION_SUM,
        scale_numerator=scale,
        scale_denominator=per,
        precision=1,
        derived=Kpi.Derivation(numerator=numerator, denominator=denominator),
    )
    await world.kpis.CreateKpi(CreateKpiRequest(kpi=kpi))
    return kpi.kpi_id


async def form(world: World) -> str:
    items = [
        Form.Item(item_id="greeting", display_name="Greets", weight="40"),
        Form.Item(item_id="solution", display_name="Solves it", weight="60"),
        Form.Item(item_id="identity", display_name="Checks who calls", weight="0", fatal=True),
    ]
    one = Policy(
        policy_id=new_id("f"),
        effective_date="2019-01-01",
        form=Form(sections=[Form.Section(display_name="All", items=items)]),
    )
    return (await put(world, one)).policy_id


def evaluation(form_id: str, employee_id: str, evaluator_id: str, day: str, **achieved: int) -> Record:
    answers = {"greeting": 100, "solution": 100, "identity": 100} | achieved
    return Record(
        record_id=new_id("ev"),
        employee_id=employee_id,
        date=day,
        evaluation=Evaluation(
            form_id=form_id,
            contact_id="call-1",
            evaluator_id=evaluator_id,
            answers=[Answer(item_id=name, achieved=value) for name, value in answers.items()],
        ),
    )


async def value(world: World, kpi_id: str, employee_id: str) -> str:
    """A KPI's value in January 2020."""
    request = ListKpiResultsRequest(
        start_date="2020-01-01",
        end_date="2020-01-31",
        group_by=ListKpiResultsRequest.GROUP_BY_EMPLOYEE,
        kpi_id=kpi_id,
        employee_id=employee_id,
        at_least=await world.end(),
    )
    return "".join(one.value for one in (await world.facts.ListKpiResults(request)).results)


async def test_evaluations_count_in_kpis(both: World) -> None:
    """Fatal and non-fatal rates out of evaluations; a complaint rate out of complaints and another KPI's calls."""
    world = both
    team = await world.team()
    agent, evaluator = await world.employee(team), await world.employee(team)
    form_id = await form(world)
    fatal = await derived(world, "evaluation.fatal", "evaluation.count", 100)
    non_fatal = await derived(world, "evaluation.misses", "evaluation.items", 100)
    calls = await world.kpi(Kpi.AGGREGATION_SUM)
    complaints = await derived(world, "complaint.justified", calls, 1000)
    answer = await create(
        world,
        evaluation(form_id, agent, evaluator, "2020-01-07", greeting=50),
        evaluation(form_id, agent, evaluator, "2020-01-07", identity=0),
        evaluation(form_id, agent, evaluator, "2020-01-08"),
        evaluation(form_id, agent, evaluator, "2020-01-09"),
        Record(
            record_id=new_id("c"),
            employee_id=agent,
            date="2020-01-09",
            complaint=Complaint(finding=Complaint.FINDING_JUSTIFIED),
        ),
    )
    assert (answer.recorded, len(answer.rejections)) == (5, 0)
    await world.record(fact(agent, "2020-01-07", calls, 250, None), fact(agent, "2020-01-08", calls, 150, None))
    assert await value(world, fatal, agent) == "25.0"
    assert await value(world, non_fatal, agent) == "12.5"
    assert await value(world, complaints, agent) == "2.5"
    rejected = await world.record(fact(agent, "2020-01-07", fatal, 1))
    assert "derived from evaluation.fatal" in rejected.rejections[0].message


async def test_records_are_taken_or_left_by_themselves(world: World) -> None:
    """Each with its reason; mended and sent again, only the rest is new."""
    team = await world.team()
    agent, evaluator = await world.employee(team), await world.employee(team)
    form_id = await form(world)
    good = evaluation(form_id, agent, evaluator, "2020-01-07")
    wrong: Mapping[str, Record] = {
        "EMPLOYEE_NOT_FOUND": evaluation(form_id, "nobody", evaluator, "2020-01-07"),
        "DATE_INVALID": evaluation(form_id, agent, evaluator, "2199-01-07"),
        "POLICY_NOT_FOUND": evaluation("none", agent, evaluator, "2020-01-07"),
        "ITEM_NOT_FOUND": evaluation(form_id, agent, evaluator, "2020-01-07", other=1),
        "RECORD_TWICE": good,
    }
    early = evaluation(form_id, agent, evaluator, "2018-12-31")
    answer = await create(world, good, *wrong.values(), early)
    assert [(one.index, one.reason) for one in answer.rejections] == [
        *enumerate(wrong, 1),
        (6, "POLICY_NOT_FOUND"),
    ]
    assert (answer.recorded, answer.unchanged) == (1, 0)
    mended = evaluation(form_id, agent, evaluator, "2020-01-08")
    again = await create(world, good, mended)
    assert (again.recorded, again.unchanged, len(again.rejections)) == (1, 1, 0)
    other = Record()
    other.CopyFrom(good)
    other.date = "2020-01-09"
    assert [one.reason for one in (await create(world, other)).rejections] == ["RECORD_EXISTS"]
    listed = await world.records.ListRecords(
        ListRecordsRequest(employee_id=agent, kind="evaluation", at_least=await world.end())
    )
    assert [one.record_id for one in listed.records] == [good.record_id, mended.record_id]
    await refused(
        world.records.ListRecords(ListRecordsRequest(kind="none")), StatusCode.INVALID_ARGUMENT, "KIND_INVALID"
    )
    await refused(world.records.GetRecord(GetRecordRequest(record_id="none")), StatusCode.NOT_FOUND, "RECORD_NOT_FOUND")


async def test_a_disputed_item_is_settled_by_the_reviewer_named(world: World) -> None:
    """Meanwhile nothing is found on it; overturned, the score and the closed month are revised."""
    team = await world.team()
    agent, evaluator, reviewer = [await world.employee(team) for _ in range(3)]
    fatal = await derived(world, "evaluation.fatal", "evaluation.count", 100)
    await target(world, fatal, "10")
    await put(world, policy([fatal]))
    await detect(world, fatal, settle_seconds=60)
    record = evaluation(await form(world), agent, evaluator, "2020-01-07", identity=0)
    position = (await create(world, record)).log_position
    await close(world)
    dispute = DisputeRecordRequest(
        record_id=record.record_id, item_ids=["identity"], reason="I asked for the number", reviewer_id=reviewer
    )
    await refused(
        world.records.DisputeRecord(
            DisputeRecordRequest(record_id=record.record_id, reason="no", reviewer_id=evaluator),
            metadata=as_person(agent),
        ),
        StatusCode.INVALID_ARGUMENT,
        "INVALID_FIELDS",
    )
    contested = await world.records.DisputeRecord(dispute, metadata=as_person(agent))
    assert (contested.dispute.reviewer_id, contested.outcome.score) == (reviewer, "0.00")
    await judged(world)
    assert await detections(world, agent) == []
    settle = SettleRecordDisputeRequest(
        record_id=record.record_id, outcome=DISPUTE_OUTCOME_OVERTURNED, reason="it is on the recording"
    )
    as_reviewer = as_person(reviewer)
    await refused(world.records.SettleRecordDispute(settle), StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
    settled = await world.records.SettleRecordDispute(settle, metadata=as_reviewer)
    assert (settled.outcome.score, list(settled.dispute.overturned_item_ids)) == ("100.00", ["identity"])
    await judged(world)
    assert await detections(world, agent) == []
    closed = await scorecard(world, agent)
    assert (closed.revisions[0].before.lines[0].value, closed.scorecard.lines[0].value) == ("100.0", "0.0")
    before = await world.records.GetRecord(GetRecordRequest(record_id=record.record_id, known_at=position))
    assert before.outcome.score == "0.00"
    own = as_person(agent)
    seen = await world.records.AcknowledgeRecord(AcknowledgeRecordRequest(record_id=record.record_id), metadata=own)
    assert seen.HasField("acknowledged_time")


async def rule_book(world: World) -> str:
    offences = [
        Offence(offence_id="seat", display_name="Seat left untidy", points=1, lapse_months=6),
        Offence(offence_id="phone", display_name="Own phone at the seat", points=3, warnings=1),
        Offence(offence_id="leak", display_name="Leaked data", points=10, dismissal_grade=True),
        Offence(offence_id="badge", display_name="No badge"),
    ]
    one = Policy(policy_id=new_id("b"), effective_date="2019-01-01", rule_book=RuleBook(offences=offences))
    return (await put(world, one)).policy_id


async def test_points_of_offences_that_cost_none_and_of_other_books(world: World) -> None:
    """No points are a measure of 0, a warning is none; what one book warned of is still warned of under another."""
    agent = await world.employee(await world.team())
    points, book, other = await derived(world, "conduct.points"), await rule_book(world), await rule_book(world)

    def violation(day: str, book_id: str, offence_id: str) -> Record:
        offence = Violation(rule_book_id=book_id, offence_id=offence_id)
        return Record(record_id=new_id("v"), employee_id=agent, date=day, violation=offence)

    await create(world, violation("2020-01-10", book, "phone"), violation("2020-01-11", other, "phone"))
    assert await value(world, points, agent) == ""
    await create(world, violation("2020-01-12", book, "badge"))
    assert await value(world, points, agent) == "0.0"
    await create(world, violation("2020-01-13", other, "phone"))
    assert await value(world, points, agent) == "3.0"


async def test_a_violation_revoked_unwinds_what_followed_from_it(world: World) -> None:
    """The warning taken back, the next offence becomes the warning, and its points go."""
    team, book = await world.team(), await rule_book(world)
    agent, reviewer = await world.employee(team), await world.employee(team)
    points = await derived(world, "conduct.points")
    calls = await world.kpi()
    await target(world, calls)
    await put(world, policy([calls], adjustments=[ScorecardPolicy.Adjustment(kpi_id=points, factor="-5")]))
    await world.record(fact(agent, "2020-01-07", calls, 5))

    def violation(day: str, offence_id: str) -> Record:
        return Record(
            record_id=new_id("v"),
            employee_id=agent,
            date=day,
            note="seen by the floor lead",
            violation=Violation(rule_book_id=book, offence_id=offence_id),
        )

    first, second = violation("2020-01-10", "phone"), violation("2020-01-20", "phone")
    await create(world, second, first, violation("2020-01-12", "seat"))

    async def conduct(as_of: str, known_at: int = 0) -> Conduct:
        request = GetConductRequest(employee_id=agent, as_of=as_of, at_least=await world.end(), known_at=known_at)
        answer: Conduct = await world.records.GetConduct(request)
        return answer

    before = await world.end()
    assert [(one.date, one.points, one.warning) for one in (await conduct("2020-01-31")).violations] == [
        ("2020-01-10", 0, True),
        ("2020-01-12", 1, False),
        ("2020-01-20", 3, False),
    ]
    assert [(await conduct(day)).points for day in ("2020-01-11", "2020-01-12", "2020-01-20", "2020-07-12")] == [
        0,
        1,
        4,
        3,
    ]
    assert await value(world, points, agent) == "4.0"
    await close(world)
    assert (await scorecard(world, agent)).scorecard.total == "80.0"
    appeal = DisputeRecordRequest(record_id=first.record_id, reason="I was on my break", reviewer_id=reviewer)
    await world.records.DisputeRecord(appeal, metadata=as_person(agent))
    assert [one.disputed for one in (await conduct("2020-01-31")).violations] == [True, False, False]
    await world.records.SettleRecordDispute(
        SettleRecordDisputeRequest(
            record_id=first.record_id, outcome=DISPUTE_OUTCOME_OVERTURNED, reason="the roster says so"
        ),
        metadata=as_person(reviewer),
    )
    assert [(one.date, one.points, one.warning) for one in (await conduct("2020-01-31")).violations] == [
        ("2020-01-12", 1, False),
        ("2020-01-20", 0, True),
    ]
    assert (await conduct("2020-01-31", before)).points == 4
    await judged(world)
    revised = await scorecard(world, agent)
    assert [(one.before.total, one.after.total) for one in revised.revisions] == [("80.0", "95.0")]
    await create(world, violation("2020-02-01", "leak"))
    assert (await conduct("2020-02-01")).dismissal_grade


def moment(text: str) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(datetime.fromisoformat(text).replace(tzinfo=RIGA).astimezone(UTC))
    return timestamp


async def test_attendance_and_leave(world: World) -> None:
    """A shift belongs to the day at the site on which it began; leave may be corrected and taken back."""
    zone = world.services["performance"].settings.site_time_zone
    team = await world.team()
    agent = await world.employee(team)
    rate = await derived(world, "attendance.worked", "attendance.scheduled", 100)
    days = await derived(world, "leave.days")
    start = datetime(2020, 1, 7, 22, tzinfo=zone)
    begun, ended = Timestamp(), Timestamp()
    begun.FromDatetime(start.astimezone(UTC))
    ended.FromSeconds(begun.seconds + 8 * 3600)
    half = Timestamp(seconds=begun.seconds + 4 * 3600)
    attendance = Attendance(shift_start=begun, shift_end=ended, worked=[Attendance.Worked(start=begun, end=half)])
    shift = Record(record_id=new_id("a"), employee_id=agent, date="2020-01-08", attendance=attendance)
    (rejection,) = (await create(world, shift)).rejections
    assert rejection.reason == "DATE_INVALID"
    assert "2020-01-07" in rejection.message
    shift.date = "2020-01-07"
    leave = Record(
        record_id=new_id("l"),
        employee_id=agent,
        date="2020-01-30",
        leave=Leave(kind=Leave.KIND_ANNUAL, end_date="2020-02-03"),
    )
    assert (await create(world, shift, leave)).recorded == 2
    assert await value(world, rate, agent) == "50.0"
    assert await value(world, days, agent) == "2.0"
    leave.leave.end_date = "2020-01-30"
    await world.records.CorrectRecord(CorrectRecordRequest(record=leave, reason="came back early"))
    assert await value(world, days, agent) == "1.0"
    await world.records.RetractRecord(RetractRecordRequest(record_id=leave.record_id, reason="was at work"))
    assert await value(world, days, agent) == ""
    asked = ListFactsRequest(employee_id=agent, start_date="2020-01-01", end_date="2020-01-31")
    assert [one.kpi_id for one in (await world.facts.ListFacts(asked)).readings] == [
        "attendance.late",
        "attendance.scheduled",
        "attendance.worked",
    ]


@pytest.mark.parametrize(
    ("numerator", "denominator", "aggregation"),
    [
        ("none.such", "", Kpi.AGGREGATION_SUM),
        ("nokpi", "", Kpi.AGGREGATION_SUM),
        ("leave.days", "leave.days", Kpi.AGGREGATION_RATIO),
        ("leave.days", "", Kpi.AGGREGATION_RATIO),
        ("leave.days", "exam.taken", Kpi.AGGREGATION_SUM),
        ("leave.days", "", Kpi.AGGREGATION_MINIMUM),
    ],
)
async def test_wrong_derivations(
    world: World, numerator: str, denominator: str, aggregation: "Kpi.Aggregation.ValueType"
) -> None:
    """Unknown measures, and measures that cannot be added up so."""
    kpi = Kpi(
        kpi_id=new_id("k"),
        display_name="A derived KPI",
        unit=Kpi.UNIT_COUNT,
        direction=Kpi.DIRECTION_LOWER,
        aggregation=aggregation,
        scale_numerator=1,
        scale_denominator=1,
        derived=Kpi.Derivation(numerator=numerator, denominator=denominator),
    )
    await refused(world.kpis.CreateKpi(CreateKpiRequest(kpi=kpi)), StatusCode.INVALID_ARGUMENT, "DERIVATION_INVALID")


async def test_read_models_with_records_equal_a_fresh_fold(both: World) -> None:
    """Rebuilding every read model changes no row, whatever became of the records."""
    team, book = await both.team(), await rule_book(both)
    agent, reviewer = await both.employee(team), await both.employee(team)
    form_id = await form(both)
    records = [evaluation(form_id, agent, reviewer, f"2020-01-{day:02}", greeting=day) for day in range(1, 20)]
    records += [
        Record(
            record_id=new_id("v"),
            employee_id=agent,
            date=f"2020-01-{day:02}",
            violation=Violation(rule_book_id=book, offence_id="phone"),
        )
        for day in range(1, 10)
    ]
    await create(both, *records)
    for record in records[::4]:
        await both.records.DisputeRecord(
            DisputeRecordRequest(record_id=record.record_id, reason="not so", reviewer_id=await both.employee(team)),
            metadata=as_person(record.employee_id),
        )
    for record in records[1::4]:
        await both.records.RetractRecord(RetractRecordRequest(record_id=record.record_id, reason="void"))
    kpi, others = await both.kpi(), [await both.employee(team) for _ in range(9)]
    await both.record(*(fact(one, f"2020-01-{day:02}", kpi, day) for one in others for day in range(1, 9)))
    await both.facts.CorrectFact(
        CorrectFactRequest(fact=fact(others[0], "2020-01-02", kpi, 77), reason="counted twice")
    )
    for service in both.services:
        await caught_up(both, service)
    for follower in (one for service in both.services.values() for one in service.followers):
        last = [step async for step in rebuild(follower)][-1]
        assert (follower.handler.name, last.done, last.changed_rows) == (follower.handler.name, True, 0)
