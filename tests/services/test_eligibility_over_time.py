"""Eligibility while PIPs, masteries, waivers and disputes come and go, and while the days do."""

from datetime import UTC, date, datetime, timedelta

import pytest

from stepladder.coaching.v1.events_pb2 import EmployeeStandingChanged
from stepladder.coaching.v1.mastery_pb2 import WithdrawMasteryRequest
from stepladder.coaching.v1.pip_pb2 import (
    AcknowledgePipRequest,
    AppealPipRequest,
    DecidePipRequest,
    HearPipAppealRequest,
    NamePipHearerRequest,
    Pip,
)
from stepladder.performance.v1.directory_pb2 import EMPLOYMENT_STATUS_CONFIRMED
from stepladder.performance.v1.facts_pb2 import (
    DISPUTE_OUTCOME_OVERTURNED,
    DisputeFactRequest,
    ReadingsOfDay,
)
from stepladder.performance.v1.policy_pb2 import Offence, Policy, RuleBook, SetPolicyRequest
from stepladder.performance.v1.promotion_rules_pb2 import EligibilityRules
from stepladder.performance.v1.record_pb2 import (
    DisputeRecordRequest,
    Record,
    SettleRecordDisputeRequest,
    Training,
    Violation,
)
from stepladder.promotion.v1.career_pb2 import WaiveCriterionRequest, WithdrawWaiverRequest
from stepladder.promotion.v1.eligibility_pb2 import Eligibility, ListEligibilitiesRequest
from tests.services import test_masteries, test_pips
from tests.services.test_eligibilities import ask, at, by, judged, rate, ratings, record, set_ladder, set_rules, tenure
from tests.services.test_eligibilities import status as set_status
from tests.services.world import World, fact, new_id

Rules = EligibilityRules


def needs(found: Eligibility) -> list[list[str]]:
    return [[need.text for need in change.needs] for change in found.changes]


async def set_book(world: World) -> None:
    """Rules of conduct: an offence of three points that count until they lapse, and one whose points do not."""
    offences = [
        Offence(offence_id="noise", display_name="Noise", points=3),
        Offence(offence_id="late", display_name="Late", points=3, lapse_months=2),
    ]
    policy = Policy(policy_id="book", effective_date="2000-01-01", rule_book=RuleBook(offences=offences))
    await world.policies.SetPolicy(SetPolicyRequest(policy=policy))


async def offend(world: World, employee_id: str, day: str, offence_id: str = "noise") -> str:
    one = Record(record_id=new_id("r"), employee_id=employee_id, date=day)
    one.violation.MergeFrom(Violation(rule_book_id="book", offence_id=offence_id))
    await record(world, one)
    return one.record_id


@pytest.mark.parametrize("end", ["passed", "not passed", "overturned"])
async def test_a_pip_bars_from_delivery_to_its_end(world: World, end: str) -> None:
    """However it ends; one that is overturned counts as not having been, but it is known what was known."""
    desk = await test_pips.opened(world)
    ladder, agent = await set_ladder(world, "agent", "senior"), desk.agent
    await set_rules(world, f"{ladder}-senior", Rules.Criterion(no_pip=Rules.NoPip()))
    assert (await ask(world, agent, ladder)).eligible
    await desk.issue()
    await desk.standing(EmployeeStandingChanged(employee_id=agent, under_pip=True, since_date="2027-03-15"))
    delivered = await world.end()
    under = await ask(world, agent, ladder)
    assert (under.eligible, under.eligible_from, needs(under)) == (False, "", [["the PIP closed"]])
    assert under.criteria[-1].actual == "under a PIP since 2027-03-15"
    assert (await ask(world, agent, ladder, "2027-03-14")).eligible
    await desk.say(agent, AcknowledgePipRequest)
    await desk.fall_short()
    await desk.propose(Pip.RESULT_PASSED if end == "passed" else Pip.RESULT_NOT_PASSED)
    if end == "passed":
        closed = await desk.say(desk.hr2, DecidePipRequest, result=Pip.RESULT_PASSED, reason="good work")
    else:
        decided = await desk.say(desk.hr2, DecidePipRequest, **test_pips.FAIL)
        assert not (await ask(world, agent, ladder)).eligible
        if end == "overturned":
            await desk.say(agent, AppealPipRequest, text="nobody helped")
            await desk.say(desk.hr2, NamePipHearerRequest, hearer_id=desk.hearer)
            closed = await desk.say(desk.hearer, HearPipAppealRequest, overturned=True, reason="looked into it")
        else:
            desk.pass_day(decided.schedule.due_date)
            closed = await desk.reached(Pip.STATE_CLOSED)
    over = EmployeeStandingChanged(employee_id=agent)
    if end != "overturned":
        over.since_date, over.ended_date, over.action = "2027-03-15", closed.closed_date, closed.action
    await desk.standing(over)
    last = (date.fromisoformat(closed.closed_date) - timedelta(days=1)).isoformat()
    assert (await ask(world, agent, ladder, closed.closed_date)).eligible
    assert (await ask(world, agent, ladder, last)).eligible == (end == "overturned")
    assert not (await ask(world, agent, ladder, last, known_at=delivered)).eligible


async def test_tasks_count_while_they_are_mastered(world: World) -> None:
    """From the last repetition that is asked for until mastery is withdrawn."""
    centre = await test_masteries.founded(world)
    ladder = await set_ladder(world, "agent", "senior")
    await set_rules(world, f"{ladder}-senior", Rules.Criterion(skills=Rules.Skills(task_ids=["plan"])))
    assert needs(await ask(world, centre.lead, ladder)) == [["plan mastered"]]
    await centre.record()
    assert not (await ask(world, centre.lead, ladder)).eligible
    done = await centre.record(date="2020-01-08")
    mastered = await ask(world, centre.lead, ladder)
    assert (mastered.eligible, list(mastered.criteria[-1].evidence_positions)) == (True, [await world.end()])
    assert not (await ask(world, centre.lead, ladder, "2020-01-07")).eligible
    withdraw = WithdrawMasteryRequest(employee_id=centre.lead, task_id="plan", etag=done.etag, reason="had help")
    await world.masteries.WithdrawMastery(withdraw, metadata=by(centre.hr))
    today = world.clock[0].date()
    assert not (await ask(world, centre.lead, ladder, today.isoformat())).eligible
    assert (await ask(world, centre.lead, ladder, (today - timedelta(days=1)).isoformat())).eligible


async def test_a_waiver_that_is_withdrawn_counts_until_then(world: World) -> None:
    """The days before it stay as they were, and so does what was known before."""
    at(world, "2026-03-20")
    ladder, team = await set_ladder(world, "agent", "senior"), await world.team()
    waivable = tenure(24)
    waivable.waivable = True
    await set_rules(world, f"{ladder}-senior", waivable)
    agent, executive = await world.employee(team, "2025-01-01"), await world.employee(team, job_family="executive")
    named = {"employee_id": agent, "ladder_id": ladder, "rung_id": "senior", "criterion_id": "tenure"}
    before = await ask(world, agent, ladder)
    assert needs(before) == [["to wait until 2027-01-01"], ["to be waived by the executive"]]
    waive = WaiveCriterionRequest(reason="Exceptional.", until_date="2026-12-31", **named)
    await world.careers.WaiveCriterion(waive, metadata=by(executive))
    waived = await world.end()
    assert (await ask(world, agent, ladder)).eligible
    at(world, "2026-03-25")
    withdraw = WithdrawWaiverRequest(reason="After all not.", **named)
    await world.careers.WithdrawWaiver(withdraw, metadata=by(executive))
    after = await ask(world, agent, ladder)
    assert (after.eligible, after.criteria[-1].waiver_position) == (False, 0)
    assert (await ask(world, agent, ladder, "2026-03-24")).eligible
    assert (await ask(world, agent, ladder, known_at=waived)).eligible


async def test_what_is_disputed_is_shown_so_until_it_is_settled(world: World) -> None:
    """A violation, a course, a reading: each counts as it was recorded meanwhile."""
    at(world, "2026-03-20")
    ladder, team, kpi = await set_ladder(world, "agent", "senior"), await world.team(), await world.kpi()
    await set_book(world)
    await set_rules(
        world,
        f"{ladder}-senior",
        Rules.Criterion(conduct=Rules.Conduct(points=3, years=1)),
        Rules.Criterion(courses=Rules.Courses(course_ids=["first-aid"])),
        Rules.Criterion(kpi_limit=Rules.KpiLimit(kpi_id=kpi, months=1, maximum="5")),
    )
    agent, reviewer = await world.employee(team), await world.employee(team)
    violation = await offend(world, agent, "2026-03-02")
    course = Record(record_id=new_id("r"), employee_id=agent, date="2026-01-15")
    course.training.MergeFrom(Training(course_id="first-aid", attended=True))
    await record(world, course)
    await world.record(fact(agent, "2026-02-03", kpi, 2), fact(agent, "2026-02-04", kpi, 4))

    async def shown() -> list[tuple[str, bool, bool]]:
        found = await ask(world, agent, ladder)
        return [(one.name, one.met, one.disputed) for one in found.criteria[2:]]

    assert await shown() == [("conduct", False, False), ("courses", True, False), ("kpi-limit", True, False)]
    for record_id in (violation, course.record_id):
        request = DisputeRecordRequest(record_id=record_id, reason="not me", reviewer_id=reviewer)
        await world.records.DisputeRecord(request, metadata=by(agent))
    readings = ReadingsOfDay(employee_id=agent, date="2026-02-04", source="calls", kpi_ids=[kpi])
    await world.facts.DisputeFact(
        DisputeFactRequest(readings=readings, reason="not mine", reviewer_id=reviewer), metadata=by(agent)
    )
    assert await shown() == [("conduct", False, True), ("courses", True, True), ("kpi-limit", True, True)]
    settle = SettleRecordDisputeRequest(outcome=DISPUTE_OUTCOME_OVERTURNED, reason="another's desk")
    for record_id in (violation, course.record_id):
        settle.record_id = record_id
        await world.records.SettleRecordDispute(settle, metadata=by(reviewer))
    assert await shown() == [("conduct", True, False), ("courses", False, False), ("kpi-limit", True, True)]


async def test_whoever_will_be_eligible_is_so_on_that_very_day(world: World) -> None:
    """Of four, each held back by something else, and all told the day beforehand: the clock is turned until then."""
    at(world, "2026-03-20")
    ladder, team = await set_ladder(world, "agent", "senior"), await world.team()
    await set_book(world)
    conduct, confirmed = Rules.Conduct(points=3, years=1), Rules.Criterion(confirmed=Rules.Confirmed())
    await set_rules(world, f"{ladder}-senior", tenure(12), ratings(3), Rules.Criterion(conduct=conduct), confirmed)
    young, rising, offender, punished = [
        await world.employee(team, day) for day in ("2025-05-31", "2020-01-01", "2020-01-01", "2020-01-01")
    ]
    agents = [young, rising, offender, punished]
    for one in agents:
        await set_status(world, one, EMPLOYMENT_STATUS_CONFIRMED, "2025-12-01" if one == young else "2021-01-01")
        await rate(world, one, *(["2026-02"] if one == rising else ["2025-12", "2026-01", "2026-02"]))
    await offend(world, offender, "2026-02-28", "late")
    await offend(world, punished, "2026-01-05")
    wanted = {young: "2026-05-31", rising: "2026-05-01", offender: "2026-04-28", punished: "2027-01-01"}
    days = {date.fromisoformat(day) + timedelta(days=more) for day in wanted.values() for more in (-1, 0)}
    days |= {date(2026, month, 1) for month in range(4, 13)}
    for day in sorted(days):
        at(world, day.isoformat())
        if day.day == 1:  # coming months are rated as the last full one: nothing changes
            for one in agents:
                await rate(world, one, (day - timedelta(days=1)).isoformat()[:7])
        listed = await world.eligibility.ListEligibilities(ListEligibilitiesRequest(ladder_id=ladder, team_id=team))
        for found in listed.eligibilities:
            expected = max(wanted[found.employee_id], day.isoformat())
            assert (found.employee_id, found.eligible_from) == (found.employee_id, expected)
            assert (found.employee_id, found.eligible) == (found.employee_id, day.isoformat() == expected)
        assert len(listed.eligibilities) == len(agents)
    await judged(world)
    assert world.clock[0] == datetime(2027, 1, 1, 12, tzinfo=UTC)
