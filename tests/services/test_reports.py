"""Reports over gRPC: what they add up to is what a naive count says, whoever moved, and whatever became known when."""

import random
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

import pytest
from google.api.httpbody_pb2 import HttpBody
from grpc import StatusCode

from libs.common.rebuilding import rebuild
from libs.facts.values import decimal
from stepladder.performance.v1.directory_pb2 import (
    EMPLOYMENT_STATUS_LEFT,
    ChangeEmploymentStatusRequest,
    TransferEmployeeRequest,
)
from stepladder.performance.v1.facts_pb2 import (
    DISPUTE_OUTCOME_OVERTURNED,
    DISPUTE_OUTCOME_UPHELD,
    RATING_GOOD,
    CorrectFactRequest,
    Fact,
    RateMonthRequest,
    Reading,
    ReadingsOfDay,
    RetractFactRequest,
    SettleFactDisputeRequest,
)
from stepladder.performance.v1.kpi_pb2 import CreateKpiRequest, Kpi, SetTargetRequest, Target, UpdateKpiRequest
from stepladder.performance.v1.policy_pb2 import DetectionRule, Offence, Policy, RuleBook, SetPolicyRequest
from stepladder.performance.v1.record_pb2 import (
    Attendance,
    Complaint,
    CorrectRecordRequest,
    DisputeRecordRequest,
    Evaluation,
    Record,
    SettleRecordDisputeRequest,
    Violation,
)
from stepladder.performance.v1.report_pb2 import ExportReportRequest, Figure, GetReportRequest, Report
from tests.policies import detecting, rule
from tests.refusals import refused
from tests.services.test_records import create, derived, form
from tests.services.world import World, caught_up, fact, judged, new_id
from tests.tokens import as_person

OCTOBER = [date(2024, 10, 1) + timedelta(days=number) for number in range(31)]
SEED = 7


class Told(NamedTuple):
    """A reading as it was told: of each sample the minute in which it began, numerator and denominator."""

    employee_id: str
    day: date
    kpi_id: str
    samples: list[tuple[int, int, int]]


async def report(world: World, period: str = "month", day: str = "2024-10-15", **fields: object) -> Report:
    await caught_up(world)
    answer: Report = await world.reports.GetReport(GetReportRequest(period=period, date=day, **fields))  # type: ignore[arg-type]
    return answer


async def rebuilt(world: World) -> None:
    """Makes the rows anew from the log: they are what they were."""
    follower = next(one for one in world.services["performance"].followers if one.handler.name == "results")
    async for progress in rebuild(follower):
        assert progress.changed_rows == 0


async def sum_kpi(world: World) -> str:
    kpi = Kpi(
        kpi_id=new_id("k"),
        display_name="Calls",
        unit=Kpi.UNIT_COUNT,
        direction=Kpi.DIRECTION_HIGHER,
        aggregation=Kpi.AGGREGATION_SUM,
        scale_numerator=1,
        scale_denominator=1,
    )
    await world.kpis.CreateKpi(CreateKpiRequest(kpi=kpi))
    return kpi.kpi_id


async def set_target(world: World, kpi_id: str, maximum: str, since: str, **fields: object) -> None:
    target = Target(kpi_id=kpi_id, effective_date=since, maximum=maximum, **fields)  # type: ignore[arg-type]
    await world.kpis.SetTarget(SetTargetRequest(target=target))


def as_fact(one: Told, *, ratio: bool) -> Fact:
    reading = Reading(
        kpi_id=one.kpi_id,
        numerators=[above for _, above, _ in one.samples],
        denominators=[below for _, _, below in one.samples] if ratio else [],
        starts=[start for start, _, _ in one.samples],
    )
    return Fact(employee_id=one.employee_id, date=one.day.isoformat(), source="calls", readings=[reading])


def total(told: Iterable[Told]) -> tuple[int, int]:
    samples = [sample for one in told for sample in one.samples]
    return sum(above for _, above, _ in samples), sum(below for _, _, below in samples)


def figure_of(one: Report, kpi_id: str) -> Figure:
    return next(kpi.figure for kpi in one.kpis if kpi.kpi_id == kpi_id)


async def test_sums_and_bounds_are_those_of_a_naive_count_over_moves_and_changes_of_targets(both: World) -> None:
    """By centre, team, day and hour, after corrections and retractions; as known before them; and after a rebuild."""
    world, chance = both, random.Random(SEED)
    ratio, calls = await world.kpi(), await sum_kpi(world)
    teams = [await world.team(), await world.team()]
    people = [await world.employee(teams[number % 2]) for number in range(4)]
    await set_target(world, ratio, "50", "2024-01-01")
    await set_target(world, ratio, "40", "2024-10-11")
    await set_target(world, ratio, "45", "2024-10-21", team_id=teams[1])
    await set_target(world, calls, "30", "2024-01-01", per_day=True)
    await world.directory.TransferEmployee(
        TransferEmployeeRequest(employee_id=people[0], team_id=teams[1], effective_date="2024-10-16")
    )
    told = {
        (employee_id, day, kpi_id): Told(
            employee_id,
            day,
            kpi_id,
            [
                (hour * 60 + chance.randrange(60), chance.randrange(9), 10 if kpi_id == ratio else 0)
                for hour in sorted(chance.sample(range(24), 3))
            ],
        )
        for employee_id in people
        for day in OCTOBER
        for kpi_id in (ratio, calls)
        if chance.random() < 0.7
    }
    answer = await world.record(*(as_fact(one, ratio=one.kpi_id == ratio) for one in told.values()))
    assert answer.recorded == len(told)
    first, known_at = dict(told), await world.end()
    for key in chance.sample(sorted(told), 8):
        told[key] = told[key]._replace(samples=[(600, 8, 10 if told[key].kpi_id == ratio else 0)])
        await world.facts.CorrectFact(CorrectFactRequest(fact=as_fact(told[key], ratio=key[2] == ratio), reason="late"))
    for key in chance.sample(sorted(told), 8):
        gone = ReadingsOfDay(employee_id=key[0], date=key[1].isoformat(), source="calls", kpi_ids=[key[2]])
        await world.facts.RetractFact(RetractFactRequest(readings=gone, reason="not theirs"))
        del told[key]

    def team_on(one: Told) -> str:
        moved = one.employee_id == people[0] and one.day >= date(2024, 10, 16)
        return teams[1] if moved else teams[people.index(one.employee_id) % 2]

    def bound(one: Told) -> int:
        if one.day >= date(2024, 10, 21) and team_on(one) == teams[1]:
            return 45
        return 40 if one.day >= date(2024, 10, 11) else 50

    def agrees(found: Figure, kpi_id: str, expected: list[Told]) -> None:
        numerator, denominator = total(expected)
        assert (found.numerator, found.denominator, found.readings) == (numerator, denominator, len(expected))
        if kpi_id == ratio:
            maximum = sum((Fraction(bound(one) * total([one])[1], denominator) for one in expected), Fraction())
            assert found.value == decimal(Fraction(numerator * 100, denominator), 1)
            assert found.missed == (Fraction(numerator * 100, denominator) > maximum)
        else:
            maximum = Fraction(30 * len(expected))
        assert Fraction(found.maximum) == Fraction(decimal(maximum, 9))

    async def compare(told: dict[tuple[str, date, str], Told], known_at: int) -> None:
        centre = await report(world, known_at=known_at)
        for kpi_id in (ratio, calls):
            mine = [one for one in told.values() if one.kpi_id == kpi_id]
            agrees(figure_of(centre, kpi_id), kpi_id, mine)
            (series,) = (kpi.series for kpi in centre.kpis if kpi.kpi_id == kpi_id)
            days = sorted({one.day.isoformat() for one in mine})
            assert [point.at for point in series] == days
            for point in series:
                agrees(point.figure, kpi_id, [one for one in mine if one.day.isoformat() == point.at])
            for team_id in teams:
                own = await report(world, team_id=team_id, known_at=known_at)
                theirs = [one for one in mine if team_on(one) == team_id]
                agrees(figure_of(own, kpi_id), kpi_id, theirs)
                (listed,) = (team.kpis for team in centre.teams if team.team_id == team_id)
                agrees(next(one.figure for one in listed if one.kpi_id == kpi_id), kpi_id, theirs)
        volume: defaultdict[int, int] = defaultdict(int)
        for one in told.values():
            for start, above, _ in one.samples if one.kpi_id == calls else ():
                volume[start // 60] += above
        profile = centre.profile
        assert profile.volume_kpi_id == calls
        by_hour = {one.hour: one for one in profile.hours}
        assert {hour: one.volume.numerator for hour, one in by_hour.items() if one.volume.readings} == dict(volume)
        most = max(volume.values())
        assert {hour for hour, one in by_hour.items() if one.peak} == {
            hour for hour, many in volume.items() if many * 100 >= 80 * most
        }
        assert sum(cell.volume.numerator for cell in profile.cells) == sum(volume.values())

    await compare(told, 0)
    await compare(first, known_at)
    await rebuilt(world)
    await compare(told, 0)


async def test_a_day_says_who_missed_what_and_its_hours(world: World) -> None:
    """Each person's day is judged by their own target; the worst comes first; the series goes by hours."""
    ratio, calls, team = await world.kpi(), await sum_kpi(world), await world.team()
    good, bad, worse = [await world.employee(team) for _ in range(3)]
    await set_target(world, ratio, "20", "2024-01-01")
    await set_target(world, calls, "10", "2024-01-01", per_day=True)
    day = date(2024, 10, 8)
    facts = [
        as_fact(Told(good, day, ratio, [(540, 10, 100)]), ratio=True),
        as_fact(Told(bad, day, ratio, [(540, 30, 100), (600, 10, 50)]), ratio=True),
        as_fact(Told(worse, day, ratio, [(540, 60, 100)]), ratio=True),
        as_fact(Told(worse, day, calls, [(599, 6, 0), (600, 6, 0)]), ratio=False),
    ]
    await world.record(*facts)
    shown = await report(world, "day", "2024-10-08")
    assert [(one.employee_id, [(kpi.kpi_id, kpi.figure.value) for kpi in one.kpis]) for one in shown.off_target] == [
        (worse, sorted([(ratio, "60.0"), (calls, "12")])),
        (bad, [(ratio, "26.7")]),
    ]
    assert [(one.hour, one.volume.numerator) for one in shown.profile.hours] == [(9, 6), (10, 6)]
    (series,) = (one.series for one in shown.kpis if one.kpi_id == ratio)
    assert [(point.at, point.figure.value) for point in series] == [("09", "33.3"), ("10", "20.0")]
    yesterday = await report(world, "day", "2024-10-09")
    assert yesterday.off_target == []
    assert next(one.before.numerator for one in yesterday.kpis if one.kpi_id == ratio) == 110


async def test_what_was_told_without_starts_is_in_the_sums_and_in_no_hour(world: World) -> None:
    """A reading without starts has no place in the profile; one corrected to have none leaves it."""
    calls, employee = await sum_kpi(world), await world.employee(await world.team())
    hourly = as_fact(Told(employee, OCTOBER[0], calls, [(540, 3, 0)]), ratio=False)
    await world.record(hourly, fact(employee, "2024-10-02", calls, 5, None))
    shown = await report(world)
    assert figure_of(shown, calls).numerator == 8
    assert [(one.hour, one.volume.numerator) for one in shown.profile.hours] == [(9, 3)]
    corrected = fact(employee, "2024-10-01", calls, 3, None)
    answer = await world.facts.CorrectFact(CorrectFactRequest(fact=corrected, reason="no clock"))
    assert answer.changed == 1
    shown = await report(world)
    assert figure_of(shown, calls).numerator == 8
    assert list(shown.profile.hours) == []


async def test_common_errors_offences_and_complaints_are_counted_as_they_stand(both: World) -> None:
    """Missed items of those that applied, by how many; what a dispute overturned counts no more; nor another team's."""
    world = both
    form_id, book_id, team = await form(world), new_id("b"), await world.team()
    agents = [await world.employee(team) for _ in range(2)]
    reviewer, other = await world.employee(await world.team()), await world.employee(await world.team())
    offences = [Offence(offence_id="late", display_name="Came late", points=1)]
    book = Policy(policy_id=book_id, effective_date="2024-01-01", rule_book=RuleBook(offences=offences))
    await world.policies.SetPolicy(SetPolicyRequest(policy=book))

    def evaluated(agent: str, day: str, greeting: int, identity: int = 100) -> Record:
        answers = [
            Evaluation.Answer(item_id="greeting", achieved=greeting),
            Evaluation.Answer(item_id="solution", not_applicable=True),
            Evaluation.Answer(item_id="identity", achieved=identity),
        ]
        content = Evaluation(form_id=form_id, contact_id="c", evaluator_id=other, answers=answers)
        return Record(record_id=new_id("r"), employee_id=agent, date=day, evaluation=content)

    unfair = evaluated(agents[0], "2024-10-03", 0)
    mistaken = evaluated(agents[1], "2024-10-06", 100)
    made = await create(
        world,
        evaluated(agents[0], "2024-10-01", 50),
        evaluated(agents[0], "2024-10-02", 50),
        evaluated(agents[1], "2024-10-02", 90, identity=0),
        unfair,
        mistaken,
        evaluated(agents[1], "2024-09-30", 0),
        evaluated(other, "2024-10-05", 0),
        *(
            Record(
                record_id=new_id("r"),
                employee_id=agents[0],
                date="2024-10-04",
                violation=Violation(rule_book_id=book_id, offence_id="late"),
            )
            for _ in range(2)
        ),
        Record(
            record_id=new_id("r"),
            employee_id=agents[0],
            date="2024-10-04",
            complaint=Complaint(finding=Complaint.FINDING_JUSTIFIED),
        ),
        Record(record_id=new_id("r"), employee_id=agents[1], date="2024-10-04", complaint=Complaint()),
    )
    assert not made.rejections
    mistaken.evaluation.answers[0].achieved = 10
    await world.records.CorrectRecord(CorrectRecordRequest(record=mistaken, reason="misheard"))
    await world.records.DisputeRecord(
        DisputeRecordRequest(record_id=unfair.record_id, item_ids=["greeting"], reason="I did", reviewer_id=reviewer),
        metadata=as_person(unfair.employee_id),
    )
    shown = await report(world, team_id=team)
    assert (shown.disputes.opened, shown.disputes.open) == (0, 0)  # opened now, long after October
    await world.records.SettleRecordDispute(
        SettleRecordDisputeRequest(record_id=unfair.record_id, outcome=DISPUTE_OUTCOME_OVERTURNED, reason="she did"),
        metadata=as_person(reviewer),
    )
    errors = (await report(world, team_id=team)).errors
    assert [
        (one.item_id, one.display_name, one.fatal, one.missed, one.applied, one.employees, one.missed_before)
        for one in errors.items
    ] == [("greeting", "Greets", False, 4, 5, 2, 1), ("identity", "Checks who calls", True, 1, 5, 1, 0)]
    assert [(one.display_name, one.times, one.employees) for one in errors.offences] == [("Came late", 2, 1)]
    assert (errors.complaints.received, errors.complaints.justified) == (2, 1)
    centre = (await report(world)).errors
    assert (centre.items[0].missed, centre.items[0].applied) == (5, 6)
    await rebuilt(world)


async def test_disputes_are_open_until_they_are_settled_and_grow_old(world: World) -> None:
    """By whoever is to settle them, the oldest first; of the team in which the disputed person was."""
    kpi, team = await world.kpi(), await world.team()
    agent, reviewer = await world.employee(team), await world.employee(await world.team())
    world.clock[0] = datetime(2024, 10, 10, 12, tzinfo=UTC)
    await world.record(*(fact(agent, f"2024-10-0{day}", kpi, 1) for day in (1, 2)))
    for day in (1, 2):
        readings = ReadingsOfDay(employee_id=agent, date=f"2024-10-0{day}", source="calls", kpi_ids=[kpi])
        await world.dispute(readings, reviewer)
        world.clock[0] += timedelta(days=5)
    october = (await report(world, team_id=team, day="2024-10-20")).disputes
    assert (october.opened, october.settled, october.open) == (2, 0, 2)
    assert [(one.reviewer_id, one.open, one.oldest_days) for one in october.reviewers] == [(reviewer, 2, 10)]
    await world.facts.SettleFactDispute(
        SettleFactDisputeRequest(readings=readings, outcome=DISPUTE_OUTCOME_UPHELD, reason="it was"),
        metadata=as_person(reviewer),
    )
    week = (await report(world, "week", "2024-10-20", team_id=team)).disputes
    assert (week.opened, week.settled, week.open) == (1, 1, 1)
    assert (await report(world, team_id=await world.team())).disputes.opened == 0
    await rebuilt(world)


async def test_headcount_and_attrition_count_days_of_employment(world: World) -> None:
    """Who was hired, left or moved within the month, and the average of days; a leaver counts where they were last."""
    team, other = await world.team(), await world.team()
    await world.employee(team)
    new = await world.employee(team, hire_date="2024-10-11")
    leaver, mover = await world.employee(team), await world.employee(other)
    await world.directory.ChangeEmploymentStatus(
        ChangeEmploymentStatusRequest(employee_id=leaver, status=EMPLOYMENT_STATUS_LEFT, effective_date="2024-10-21")
    )
    await world.directory.TransferEmployee(
        TransferEmployeeRequest(employee_id=mover, team_id=team, effective_date="2024-10-31")
    )
    assert new
    one = (await report(world, team_id=team)).workforce
    assert (one.at_start, one.at_end, one.hired, one.left, one.moved_in, one.moved_out) == (2, 3, 1, 1, 1, 0)
    assert (one.employee_days, one.days) == (31 + 21 + 20 + 1, 31)
    assert Decimal(one.attrition) == Decimal("42.5")  # 31 / 73
    centre = (await report(world)).workforce
    assert (centre.moved_in, centre.left, centre.employee_days) == (0, 1, 31 + 21 + 20 + 31 + 31)  # and HR, who asks


async def test_findings_ratings_and_attendance_of_a_month(world: World) -> None:
    """What was found for periods that end in it, ratings from elsewhere, and shifts as they were worked."""
    kpi, team = await world.kpi(), await world.team()
    agent, rated = await world.employee(team), await world.employee(team)
    await set_target(world, kpi, "20", "2024-01-01")
    await world.policies.SetPolicy(detecting(new_id("p"), rule(kpi), "2024-01-01"))
    watch = DetectionRule.Contradiction(
        period=DetectionRule.PERIOD_MONTH,
        streak=1,
        conditions=[
            DetectionRule.Condition(kpi_id=kpi, above="99"),
            DetectionRule.Condition(kpi_id=await world.kpi(), above="99"),
        ],
    )
    finding = DetectionRule(contradiction=watch, purpose=DetectionRule.PURPOSE_FINDING)
    await world.policies.SetPolicy(detecting(new_id("p"), finding, "2024-01-01"))
    await world.record(fact(agent, "2024-10-03", kpi, 50))
    await world.facts.RateMonth(RateMonthRequest(employee_id=rated, month="2024-10", rating=RATING_GOOD))
    shift = Attendance()
    shift.shift_start.FromDatetime(datetime(2024, 10, 3, 9))  # noqa: DTZ001 - protobuf takes it as UTC
    shift.shift_end.FromDatetime(datetime(2024, 10, 3, 17))  # noqa: DTZ001 - protobuf takes it as UTC
    await create(world, Record(record_id=new_id("r"), employee_id=agent, date="2024-10-03", attendance=shift))
    await judged(world)
    shown = await report(world, team_id=team)
    assert [(one.employee_id, one.trigger, one.date, one.fallen) for one in shown.findings] == [
        (agent, "streak", "2024-10-31", False)
    ]
    assert kpi in shown.watched_kpi_ids
    assert len(shown.watched_kpi_ids) == 2
    assert [(one.rating, one.employees) for one in shown.scorecards.distribution] == [(RATING_GOOD, 1)]
    assert shown.scorecards.not_closed == 1
    told = shown.attendance
    assert (told.shifts, told.absences, told.scheduled_seconds, told.worked_seconds) == (1, 1, 8 * 3600, 0)
    await world.facts.CorrectFact(CorrectFactRequest(fact=fact(agent, "2024-10-03", kpi, 10), reason="wrong"))
    await judged(world)
    assert [one.fallen for one in (await report(world, team_id=team)).findings] == [True]
    await rebuilt(world)


@pytest.mark.parametrize("form", ["csv", "xlsx", "html", "pdf"])
async def test_every_kind_of_file_comes_with_its_media_type(world: World, form: str) -> None:
    """An export holds what the report does, as bytes of the kind asked for."""
    kpi, employee = await world.kpi(), await world.employee(await world.team())
    await world.record(fact(employee, "2024-10-03", kpi, 50))
    await caught_up(world)
    request = ExportReportRequest(period="year", date="2024-10-03", format=form)
    body: HttpBody = await world.reports.ExportReport(request)
    kinds = {"csv": "text/csv; charset=utf-8", "html": "text/html; charset=utf-8", "pdf": "application/pdf"}
    begins = {"csv": b"\xef\xbb\xbf", "html": b"<!doctype html>", "pdf": b"%PDF-", "xlsx": b"PK"}
    assert body.content_type == kinds.get(form, "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")
    assert body.data.startswith(begins[form])


async def test_what_cannot_be_reported_is_refused(world: World) -> None:
    """A period to come, a team or KPI that is not there, a day that is none."""
    ahead = (world.clock[0] + timedelta(days=400)).date().isoformat()
    good = GetReportRequest(period="month", date="2024-10-01")
    for wrong, code, reason in (
        (GetReportRequest(date=ahead), StatusCode.INVALID_ARGUMENT, "DATE_INVALID"),
        (GetReportRequest(date="2023-02-29"), StatusCode.INVALID_ARGUMENT, "DATE_INVALID"),
        (GetReportRequest(period="decade"), StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS"),
        (GetReportRequest(team_id="nowhere"), StatusCode.NOT_FOUND, "TEAM_NOT_FOUND"),
        (GetReportRequest(volume_kpi_id="nothing"), StatusCode.NOT_FOUND, "KPI_NOT_FOUND"),
    ):
        request = GetReportRequest()
        request.CopyFrom(good)
        request.MergeFrom(wrong)
        await refused(world.reports.GetReport(request), code, reason)


async def test_a_centre_has_all_work_whether_or_not_it_has_a_target(world: World) -> None:
    """Figures of teams add up to the centre's; it is judged by the days that have a target."""
    calls, judged_team, other = await sum_kpi(world), await world.team(), await world.team()
    await set_target(world, calls, "30", "2024-01-01", per_day=True, team_id=judged_team)
    await world.record(
        fact(await world.employee(judged_team), "2024-10-03", calls, 40, None),
        fact(await world.employee(other), "2024-10-03", calls, 7, None),
    )
    shown = await report(world)
    found = figure_of(shown, calls)
    assert (found.numerator, found.value, found.readings) == (47, "47", 2)
    assert (found.maximum, found.missed, found.attainment) == ("30", True, "75.0")
    teams = {team.team_id: kpi.figure for team in shown.teams for kpi in team.kpis if kpi.kpi_id == calls}
    assert {team_id: one.numerator for team_id, one in teams.items()} == {judged_team: 40, other: 7}


async def test_what_is_for_one_person_and_any_period_judges_no_sum_of_many(world: World) -> None:
    """A bound of a sum that is not per day says nothing of a team's month, nor of one day."""
    calls, team = await sum_kpi(world), await world.team()
    await set_target(world, calls, "3", "2024-01-01")
    await world.record(*[fact(await world.employee(team), "2024-10-03", calls, 2, None) for _ in range(2)])
    for period in ("day", "month", "year"):
        found = figure_of(await report(world, period, "2024-10-03"), calls)
        assert (found.value, found.maximum, found.attainment, found.missed) == ("4", "", "", False)


async def test_what_was_known_knows_no_kpi_made_later_of_what_was_recorded(world: World) -> None:
    """A KPI derived afterwards from recorded measures is in the report of now, and not in the one of then."""
    calls, employee = await sum_kpi(world), await world.employee(await world.team())
    await world.record(fact(employee, "2024-10-03", calls, 5, None))
    known_at = await world.end()
    later = await derived(world, calls)
    assert later in {one.kpi_id for one in (await report(world)).kpis}
    assert {one.kpi_id for one in (await report(world, known_at=known_at)).kpis} == {calls}


@pytest.mark.parametrize("kind", ["csv", "xlsx", "html", "pdf"])
async def test_a_volume_without_readings_has_no_peaks_in_any_file(world: World, kind: str) -> None:
    """Whatever else was told by the hour: the files come without peak hours."""
    calls, other = await sum_kpi(world), await sum_kpi(world)
    employee = await world.employee(await world.team())
    await world.record(as_fact(Told(employee, OCTOBER[0], calls, [(540, 3, 0)]), ratio=False))
    assert not any(hour.peak for hour in (await report(world, volume_kpi_id=other)).profile.hours)
    request = ExportReportRequest(period="month", date="2024-10-03", volume_kpi_id=other, format=kind)
    body: HttpBody = await world.reports.ExportReport(request)
    assert b"Peak: " not in body.data


async def test_a_team_without_people_has_a_report_of_every_period_in_every_file(world: World) -> None:
    """Nothing to say is said: of a period so far, and of one before anybody was hired."""
    team = await world.team()
    for period in ("day", "week", "month", "year"):
        for day in (world.clock[0].date().isoformat(), "1900-01-01"):
            found = await report(world, period, day, team_id=team)
            assert (list(found.kpis), list(found.teams), found.disputes.open) == ([], [], 0)
            for kind in ("csv", "xlsx", "html", "pdf"):
                request = ExportReportRequest(period=period, date=day, team_id=team, format=kind)
                body: HttpBody = await world.reports.ExportReport(request)
                assert body.data


async def test_weeks_and_years_meet_at_the_turn_of_a_year(world: World) -> None:
    """A week belongs to itself, whatever the year; a mover's December counts where it was; retired KPIs stay."""
    calls, north, south = await sum_kpi(world), await world.team(), await world.team()
    mover = await world.employee(north)
    await world.directory.TransferEmployee(
        TransferEmployeeRequest(employee_id=mover, team_id=south, effective_date="2024-01-01")
    )
    await world.record(*(fact(mover, day, calls, many, None) for day, many in (("2023-12-31", 3), ("2024-01-01", 4))))
    await world.kpis.UpdateKpi(UpdateKpiRequest(kpi=Kpi(kpi_id=calls, retired_date="2024-01-02")))

    async def counted(period: str, day: str, team_id: str = "") -> tuple[int, int]:
        (found,) = [one for one in (await report(world, period, day, team_id=team_id)).kpis if one.kpi_id == calls]
        return found.figure.numerator, found.before.numerator

    assert await counted("week", "2024-01-07") == (4, 3)
    assert await counted("year", "2024-06-01") == (4, 3)
    assert await counted("month", "2024-01-31") == (4, 3)
    assert await counted("day", "2024-01-01") == (4, 3)
    assert await counted("month", "2024-01-31", south) == (4, 0)
    assert await counted("month", "2024-01-31", north) == (0, 3)
    assert await counted("month", "2024-02-01") == (0, 4)


async def test_a_period_that_is_not_over_is_compared_with_as_many_days_of_the_one_before(world: World) -> None:
    """What came later in that one has no counterpart yet; a period that is over is compared with all of the other."""
    world.clock[0] = datetime(2024, 10, 10, 12, tzinfo=UTC)
    agent, kpi = await world.employee(await world.team()), await sum_kpi(world)
    for day, number in (("2024-09-10", 5), ("2024-09-11", 7), ("2024-10-10", 6)):
        await world.record(fact(agent, day, kpi, number, None))
    (so_far,) = (await report(world)).kpis
    assert (so_far.figure.numerator, so_far.before.numerator) == (6, 5)
    world.clock[0] = datetime(2024, 11, 1, 12, tzinfo=UTC)
    (over,) = (await report(world)).kpis
    assert (over.figure.numerator, over.before.numerator) == (6, 12)
