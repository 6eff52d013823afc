"""What is due again and again, by the clock: who was on time, who is told, and against whom it counts."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from grpc import StatusCode

from stepladder.coaching.v1.plan_pb2 import (
    ActivatePlanRequest,
    AssessPlanRequest,
    DiagnosePlanRequest,
    Goal,
    Plan,
)
from stepladder.coaching.v1.rhythm_pb2 import (
    TIMELINESS_LATE,
    TIMELINESS_NOT_YET,
    TIMELINESS_ON_TIME,
    TIMELINESS_OVERDUE,
    Duty,
    GetLeadRecordRequest,
    Interview,
    LeadRecord,
    ListCheckInsDueRequest,
    ListCheckInsDueResponse,
    ListInterviewsRequest,
    ListInterviewsResponse,
    Timeliness,
)
from stepladder.coaching.v1.session_pb2 import (
    AgreedAction,
    FollowUpActionRequest,
    MissSessionRequest,
    RescheduleSessionRequest,
    Session,
)
from stepladder.performance.v1.directory_pb2 import (
    EMPLOYMENT_STATUS_LEFT,
    EMPLOYMENT_STATUS_ON_LEAVE,
    ChangeEmploymentStatusRequest,
    EmploymentStatus,
    TransferEmployeeRequest,
)
from stepladder.performance.v1.policy_pb2 import Calendar, CoachingRules, Policy, SetPolicyRequest
from tests.refusals import refused
from tests.services.test_check_ins import Centre, appoint, by, check_in, founded
from tests.services.test_sessions import a_plan, hold, schedule, today
from tests.services.world import World, fact

RULES = CoachingRules(calendar_id="site", session_days=14, interview_business_day=5, check_in_days=30)


def go(world: World, year: int, month: int, day: int) -> None:
    """Lets it be noon of a day."""
    world.clock[0] = datetime(year, month, day, 12, tzinfo=UTC)


async def put(world: World, policy_id: str, day: str = "2020-01-01", **content: Any) -> int:
    policy = Policy(policy_id=policy_id, effective_date=day, **content)
    return int((await world.policies.SetPolicy(SetPolicyRequest(policy=policy))).log_position)


@pytest.fixture
async def centre(world: World) -> Centre:
    """In March 2026, with rules since 2020; the 3rd is a day off."""
    go(world, 2026, 3, 2)
    return await ruled(world)


async def ruled(world: World) -> Centre:
    await put(world, "site", calendar=Calendar(days_off=["2026-03-03"]))
    await put(world, "coaching", coaching=RULES)
    return await founded(world)


async def interviews(centre: Centre, caller: str = "", month: str = "2026-02", **fields: Any) -> ListInterviewsResponse:
    request = ListInterviewsRequest(month=month, **({"team_id": centre.team} | fields))
    answer: ListInterviewsResponse = await centre.world.rhythm.ListInterviews(
        request, metadata=by(caller or centre.lead)
    )
    return answer


async def record(
    centre: Centre, start: str = "2026-03-01", end: str = "2026-03-31", caller: str = "", lead: str = ""
) -> LeadRecord:
    request = GetLeadRecordRequest(lead_id=lead or centre.lead, start_date=start, end_date=end)
    answer: LeadRecord = await centre.world.rhythm.GetLeadRecord(request, metadata=by(caller or centre.lead))
    return answer


def of_kind(found: LeadRecord, kind: "Duty.Kind.ValueType") -> list[Duty]:
    return [one for one in found.duties if one.kind == kind]


async def become(world: World, employee_id: str, status: "EmploymentStatus.ValueType", day: str = "2026-03-02") -> None:
    await world.directory.ChangeEmploymentStatus(
        ChangeEmploymentStatusRequest(employee_id=employee_id, status=status, effective_date=day)
    )


async def activate(centre: Centre) -> str:
    """A plan of the agent that is active from today."""
    plan_id, plans = await a_plan(centre), centre.world.plans
    kpi_id = await centre.world.kpi()
    await plans.AssessPlan(AssessPlanRequest(plan_id=plan_id, assessment="too slow"), metadata=by(centre.lead))
    await plans.DiagnosePlan(
        DiagnosePlanRequest(plan_id=plan_id, cause=Plan.CAUSE_SKILL, cause_note="seen"), metadata=by(centre.lead)
    )
    await centre.world.record(fact(centre.agent, "2026-02-02", kpi_id, 45))
    goal = Goal(kpi_id=kpi_id, target="35", deadline=today(centre.world, 90))
    goal.baseline_start_date = goal.baseline_end_date = "2026-02-02"
    await plans.ActivatePlan(
        ActivatePlanRequest(plan_id=plan_id, goals=[goal], resources=["course seven"]), metadata=by(centre.lead)
    )
    return plan_id


async def test_interviews_are_due_by_a_business_day_of_the_month_after(both: World) -> None:
    """On time, late, not yet and overdue, told by the clock; shares are exact, by lead."""
    go(both, 2026, 3, 2)
    centre = await ruled(both)
    members = [centre.agent, centre.colleague, *[await both.employee(centre.team) for _ in range(2)]]
    first, second, third, fourth = members
    sessions = {one: await schedule(centre, employee_id=one, month="2026-02") for one in (first, second, third)}
    go(both, 2026, 3, 9)  # the fifth business day: the third is off
    await hold(centre, sessions[first].session_id)

    async def told() -> dict[str, Interview]:
        answer = await interviews(centre)
        assert [one.employee_id for one in answer.interviews] == sorted(members)
        assert {one.due_date for one in answer.interviews} == {"2026-03-09"}
        assert {(one.team_id, one.lead_id) for one in answer.interviews} == {(centre.team, centre.lead)}
        return {one.employee_id: one for one in answer.interviews}

    on_time = TIMELINESS_ON_TIME
    assert [(await told())[one].timeliness for one in members] == [on_time, *[TIMELINESS_NOT_YET] * 3]
    go(both, 2026, 3, 10)
    assert [(await told())[one].timeliness for one in members] == [on_time, *[TIMELINESS_OVERDUE] * 3]
    await hold(centre, sessions[second].session_id, actions=[])
    await hold(centre, sessions[third].session_id, held_date="2026-03-09", actions=[])
    found = await told()
    assert [found[one].timeliness for one in members] == [on_time, TIMELINESS_LATE, on_time, TIMELINESS_OVERDUE]
    assert [(one.lead_id, one.on_time, one.counted) for one in (await interviews(centre)).shares] == [
        (centre.lead, 2, 4)
    ]
    assert (found[fourth].session_id, found[fourth].date) == ("", "")
    agreed = found[first]
    assert (agreed.state, agreed.held_date, agreed.calendar_version) == (
        Session.STATE_HELD,
        "2026-03-09",
        "no public holidays",
    )
    assert [one.text for one in agreed.actions] == ["listen to three recordings", "book the course"]
    done = FollowUpActionRequest(session_id=agreed.session_id, number=1, done=True, date="2026-03-10")
    await both.sessions.FollowUpAction(done, metadata=by(centre.lead))
    actions = (await told())[first].actions
    assert [one.HasField("follow_up") for one in actions] == [True, False]


async def test_interviews_are_for_those_who_are_there(centre: Centre) -> None:
    """Not for who has left or came later; none is due of somebody on leave; the lead of the due day is named."""
    world = centre.world
    gone, away = await world.employee(centre.team), await world.employee(centre.team)
    late = await world.employee(centre.team, hire_date="2026-03-01")
    await become(world, gone, EMPLOYMENT_STATUS_LEFT, "2026-03-06")
    await become(world, away, EMPLOYMENT_STATUS_ON_LEAVE)
    await appoint(world, centre.team, centre.other_lead, "2026-03-05")
    before = {one.employee_id: one for one in (await interviews(centre)).interviews}
    assert set(before) == {centre.agent, centre.colleague, away}
    assert (before[away].due_date, before[centre.agent].lead_id) == ("", centre.lead)
    go(world, 2026, 3, 9)
    after = {one.employee_id: one for one in (await interviews(centre, centre.other_lead)).interviews}
    assert after[centre.agent].lead_id == centre.other_lead
    assert late in {one.employee_id for one in (await interviews(centre, centre.hr, "2026-03")).interviews}


async def test_without_rules_nothing_is_due(world: World) -> None:
    """Interviews that are held all the same are shown."""
    go(world, 2026, 3, 2)
    centre = await founded(world)
    session = await schedule(centre, month="2026-02")
    await hold(centre, session.session_id)
    found = (await interviews(centre)).interviews
    assert {one.due_date for one in found} == {""}
    assert [one.held_date for one in found if one.session_id] == ["2026-03-02"]
    assert list((await interviews(centre)).shares) == []
    assert list((await world.rhythm.ListCheckInsDue(ListCheckInsDueRequest(), metadata=by(centre.hr))).due) == []
    assert of_kind(await record(centre), Duty.KIND_INTERVIEW) == []


async def test_who_is_told_of_interviews(centre: Centre) -> None:
    """HR of the centre; the manager without a word of what was agreed; nobody else of anything."""
    session = await schedule(centre, month="2026-02")
    await hold(centre, session.session_id)
    for caller in (centre.lead, centre.hr):
        (one,) = [one for one in (await interviews(centre, caller)).interviews if one.session_id]
        assert [action.text for action in one.actions] == ["listen to three recordings", "book the course"]
    (one,) = [one for one in (await interviews(centre, centre.manager)).interviews if one.session_id]
    assert [(action.number, action.text) for action in one.actions] == [(1, ""), (2, "")]
    assert len({one.team_id for one in (await interviews(centre, centre.hr, team_id="")).interviews}) > 1
    for caller, team_id in (
        (centre.agent, centre.team),
        (centre.other_lead, centre.team),
        (centre.lead, ""),
        (centre.manager, ""),
        (centre.lead, "none"),
    ):
        asking = interviews(centre, caller, team_id=team_id)
        await refused(asking, StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
    await refused(interviews(centre, centre.hr, team_id="none"), StatusCode.NOT_FOUND, "TEAM_NOT_FOUND")


async def test_what_was_agreed_goes_with_the_employee(centre: Centre) -> None:
    """Who leads the team that they were in then reads that there was an interview, and no word of it any more."""
    session = await schedule(centre, month="2026-02")
    agreed = AgreedAction(owner_id=centre.agent, text="listen to three recordings", due_date="2026-03-20")
    await hold(centre, session.session_id, centre.hr, actions=[agreed])
    go(centre.world, 2026, 3, 20)
    move = TransferEmployeeRequest(employee_id=centre.agent, team_id=centre.other_team, effective_date="2026-03-16")
    await centre.world.directory.TransferEmployee(move)
    for caller, expected in ((centre.lead, ""), (centre.hr, agreed.text)):
        (one,) = [one for one in (await interviews(centre, caller)).interviews if one.session_id]
        assert [action.text for action in one.actions] == [expected]


async def test_sessions_of_a_plan_follow_each_other(centre: Centre) -> None:
    """What was not held in time counts against who led the team on the day it was due."""
    world = centre.world
    plan = await activate(centre)
    session = await schedule(centre, plan_id=plan, days=10)

    async def rhythm(lead: str = "") -> list[tuple[str, str, str]]:
        found = of_kind(await record(centre, end="2026-05-31", lead=lead, caller=centre.hr), Duty.KIND_RHYTHM)
        assert {one.id for one in found} <= {plan}
        names = {True: "against", False: ""}
        return [(one.due_date, one.done_date, names[one.against_lead]) for one in found]

    assert await rhythm() == [("2026-03-16", "", "")]
    go(world, 2026, 3, 17)
    assert await rhythm() == [("2026-03-16", "", "against")]
    await hold(centre, session.session_id, held_date="2026-03-12", actions=[])
    assert await rhythm() == [("2026-03-16", "2026-03-12", ""), ("2026-03-26", "", "")]
    await appoint(world, centre.team, centre.other_lead, "2026-04-01")
    go(world, 2026, 4, 9)
    first = ("2026-03-16", "2026-03-12", "")
    assert await rhythm() == [first, ("2026-03-26", "", "against")]
    assert await rhythm(centre.other_lead) == [("2026-04-09", "", "")]


async def test_the_record_of_a_lead(centre: Centre) -> None:
    """Every count has its ids behind it; what the employee missed does not count against the lead."""
    world = centre.world
    on_time, late, open_ = [await schedule(centre, days=days) for days in (1, 1, 3)]
    missed, forgotten = await schedule(centre, days=1), await schedule(centre, days=1)
    go(world, 2026, 3, 3)
    await hold(centre, on_time.session_id)
    for session, absent in ((missed, Session.PARTY_EMPLOYEE), (forgotten, Session.PARTY_LEAD)):
        miss = MissSessionRequest(session_id=session.session_id, absent=absent, reason="did not come")
        await world.sessions.MissSession(miss, metadata=by(centre.lead))
    go(world, 2026, 3, 4)
    await hold(centre, late.session_id, actions=[])
    put_off = RescheduleSessionRequest(session_id=missed.session_id, date="2026-03-20", reason="a second try")
    await world.sessions.RescheduleSession(put_off, metadata=by(centre.lead))
    go(world, 2026, 3, 6)
    done = FollowUpActionRequest(session_id=on_time.session_id, number=2, done=False, note="no room", date="2026-03-04")
    await world.sessions.FollowUpAction(done, metadata=by(centre.lead))
    found = await record(centre)
    told = [(one.id, one.due_date, one.done_date, one.against_lead) for one in of_kind(found, Duty.KIND_SESSION)]
    assert told == sorted(
        [
            (on_time.session_id, "2026-03-03", "2026-03-03", False),
            (late.session_id, "2026-03-03", "2026-03-04", True),
            (open_.session_id, "2026-03-05", "", True),
            (missed.session_id, "2026-03-03", "", False),
            (missed.session_id, "2026-03-20", "", False),
            (forgotten.session_id, "2026-03-03", "", True),
        ],
        key=lambda one: (one[1], one[0]),
    )
    counts = {one.kind: one for one in found.counts}
    sessions = counts[Duty.KIND_SESSION]
    assert (sessions.on_time, sessions.late, sessions.not_yet, sessions.overdue, sessions.missed) == (1, 1, 1, 1, 2)
    assert sessions.against_lead == 3
    follow_ups = of_kind(found, Duty.KIND_FOLLOW_UP)
    assert [(one.number, one.done_date) for one in follow_ups] == [(2, "2026-03-04"), (1, "")]
    waiting = of_kind(found, Duty.KIND_ACKNOWLEDGEMENT)
    assert {one.id for one in waiting} == {on_time.session_id, late.session_id}
    assert not any(one.against_lead for one in waiting)
    interviews_due = {(one.employee_id, one.due_date, one.timeliness) for one in of_kind(found, Duty.KIND_INTERVIEW)}
    assert interviews_due == {(one, "2026-03-09", TIMELINESS_NOT_YET) for one in (centre.agent, centre.colleague)}


async def test_who_is_told_a_leads_record(centre: Centre) -> None:
    """Themself, who leads them, and HR; days must make sense."""
    for caller in (centre.lead, centre.manager, centre.hr):
        assert (await record(centre, caller=caller)).lead_id == centre.lead
    for caller in (centre.agent, centre.other_lead, "nobody"):
        await refused(record(centre, caller=caller), StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
    for end in ("2026-02-28", "2027-12-31"):
        await refused(record(centre, end=end), StatusCode.INVALID_ARGUMENT, "DATE_INVALID")
    await refused(record(centre, caller=centre.hr, lead="nobody"), StatusCode.NOT_FOUND, "EMPLOYEE_NOT_FOUND")


async def test_check_ins_are_due_after_the_last_one(both: World) -> None:
    """Days only, those who have waited the longest first; a first one's day counts from when they are known."""
    go(both, 2026, 1, 2)
    centre = await ruled(both)
    go(both, 2026, 3, 2)
    newcomer = await both.employee(centre.team, hire_date="2026-02-20")
    away = await both.employee(centre.team)
    await become(both, away, EMPLOYMENT_STATUS_ON_LEAVE)
    for day in ("2026-01-30", "2026-01-15"):
        await centre.give(centre.agent, check_in(centre.agent, day=day))

    async def due(caller: str, team_id: str) -> list[tuple[str, str, str, bool]]:
        request = ListCheckInsDueRequest(team_id=team_id)
        answer = await both.rhythm.ListCheckInsDue(request, metadata=by(caller))
        return [(one.employee_id, one.last_date, one.due_date, one.overdue) for one in answer.due]

    expected = [
        (centre.colleague, "", "2026-02-01", True),
        (centre.agent, "2026-01-30", "2026-03-01", True),
        (newcomer, "", "2026-04-01", False),
    ]
    assert await due(centre.lead, centre.team) == expected
    assert await due(centre.hr, centre.team) == expected
    assert len(await due(centre.hr, "")) > 3
    for caller, team_id in ((centre.manager, centre.team), (centre.agent, centre.team), (centre.lead, "")):
        await refused(due(caller, team_id), StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
    await centre.give(centre.lead, check_in(centre.colleague, day="2026-03-02"))
    assert (centre.colleague, "2026-03-02", "2026-04-01", False) in await due(centre.lead, centre.team)


async def test_nobody_is_late_for_days_on_which_they_or_the_rules_were_not_known(centre: Centre) -> None:
    """Who is entered late has interviews from then on; one that somebody holds all the same is told of."""
    world = centre.world
    go(world, 2026, 3, 10)
    late = await world.employee(centre.team, hire_date="2019-01-01")

    async def due(month: str) -> dict[str, str]:
        return {one.employee_id: one.due_date for one in (await interviews(centre, month=month)).interviews}

    assert await due("2025-12") == {centre.agent: "", centre.colleague: "", late: ""}
    assert await due("2026-02") == {centre.agent: "2026-03-09", centre.colleague: "2026-03-09", late: ""}
    assert await due("2026-03") == dict.fromkeys((centre.agent, centre.colleague, late), "2026-04-07")
    session = await schedule(centre, employee_id=late, month="2026-02")
    await hold(centre, session.session_id, actions=[])
    found = {one.employee_id: one for one in (await interviews(centre)).interviews}
    assert found[late].timeliness == TIMELINESS_LATE


async def test_rules_that_are_laid_down_late_change_nothing_that_was_due(centre: Centre) -> None:
    """What counts is what was known and in force then, whatever day the rules name, and whatever takes their place."""
    world = centre.world
    session = await schedule(centre, month="2026-02")
    plan = await activate(centre)
    go(world, 2026, 3, 9)
    await hold(centre, session.session_id, actions=[])
    stricter = CoachingRules(calendar_id="site", session_days=1, interview_business_day=1, check_in_days=1)

    async def said() -> tuple[dict[str, "Timeliness.ValueType"], list[str], set[str]]:
        listed = {one.employee_id: one.timeliness for one in (await interviews(centre)).interviews}
        rhythm = [one.due_date for one in of_kind(await record(centre), Duty.KIND_RHYTHM) if one.id == plan]
        request = ListCheckInsDueRequest(team_id=centre.team)
        due = (await world.rhythm.ListCheckInsDue(request, metadata=by(centre.lead))).due
        return listed, rhythm, {one.due_date for one in due}

    go(world, 2026, 3, 12)
    before = await said()
    assert before == (
        {centre.agent: TIMELINESS_ON_TIME, centre.colleague: TIMELINESS_OVERDUE},
        ["2026-03-16"],
        {"2026-04-01"},
    )
    for day in ("2020-01-01", "2026-02-01"):  # in place of what there was, and as a later version
        await put(world, "coaching", day, coaching=stricter)
        assert await said() == (*before[:2], {"2026-03-12"})  # from today on


async def test_pages(centre: Centre) -> None:
    """One after the other they have everything once, in the order of the whole; shares are those of the whole."""
    world = centre.world
    for _ in range(3):
        await world.employee(centre.team)
    session = await schedule(centre, month="2026-02")
    await hold(centre, session.session_id, actions=[])
    whole = await interviews(centre, centre.hr, team_id="")
    found, token = list[Interview](), ""
    while token or not found:
        page = await interviews(centre, centre.hr, team_id="", page_size=2, page_token=token)
        assert (len(page.interviews) in (1, 2), page.shares) == (True, whole.shares)
        found, token = [*found, *page.interviews], page.next_page_token
    assert (len(found) > 5, found) == (True, list(whole.interviews))

    async def due(size: int, token: str = "") -> ListCheckInsDueResponse:
        request = ListCheckInsDueRequest(page_size=size, page_token=token)
        answer: ListCheckInsDueResponse = await world.rhythm.ListCheckInsDue(request, metadata=by(centre.hr))
        return answer

    everyone = (await due(0)).due
    first = await due(4)
    second = await due(1000, first.next_page_token)
    assert ([*first.due, *second.due], second.next_page_token) == (list(everyone), "")
    asking = due(4, "nonsense")
    await refused(asking, StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")


async def test_it_goes_by_days_passing(centre: Centre) -> None:
    """The same question on another day has another answer, and nothing was written for it."""
    end = await centre.world.end()
    answers = []
    for days in (0, 7, 8):
        go(centre.world, 2026, 3, 2)
        centre.world.clock[0] += timedelta(days=days)
        answers.append([one.timeliness for one in (await interviews(centre)).interviews])
    assert answers == [[TIMELINESS_NOT_YET] * 2, [TIMELINESS_NOT_YET] * 2, [TIMELINESS_OVERDUE] * 2]
    assert await centre.world.end() == end
