"""Worklists: everything that waits, for whom, how late, by the clock; who is shown it, and what it costs to find."""

import csv
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from grpc import StatusCode
from sqlalchemy import event

from services.coaching.session import interview_id
from stepladder.coaching.v1.pip_pb2 import (
    AcknowledgePipRequest,
    AppealPipRequest,
    ApprovePipRequest,
    DecidePipRequest,
    DeliverPipRequest,
    DraftPipRequest,
    NamePipHearerRequest,
    NamePipWitnessRequest,
    OverridePipPreconditionRequest,
    PausePipRequest,
    Pip,
    ResumePipRequest,
    SubmitPipRequest,
    WitnessPipRefusalRequest,
)
from stepladder.coaching.v1.plan_pb2 import AssessPlanRequest, CancelPlanRequest, DiagnosePlanRequest, Plan
from stepladder.coaching.v1.session_pb2 import AcknowledgeSessionRequest, FollowUpActionRequest
from stepladder.coaching.v1.suggestion_pb2 import (
    DeclineSuggestionRequest,
    EscalateSuggestionRequest,
    Suggestion,
)
from stepladder.coaching.v1.training_pb2 import (
    AcceptTrainingRequest,
    HoldTrainingRequest,
    ScheduleTrainingRequest,
)
from stepladder.coaching.v1.worklist_pb2 import ExportWorklistRequest, GetWorklistRequest, WorkItem, Worklist
from stepladder.performance.v1.directory_pb2 import (
    EMPLOYMENT_STATUS_LEFT,
    ChangeEmploymentStatusRequest,
    TransferEmployeeRequest,
)
from stepladder.performance.v1.policy_pb2 import Calendar, CoachingRules, Scope
from tests.refusals import refused
from tests.services import test_pips, test_suggestions, test_trainings
from tests.services.test_check_ins import Centre, appoint, by, check_in
from tests.services.test_rhythm import activate, become, go, interviews, put, record, ruled
from tests.services.test_sessions import a_plan, hold, schedule, today
from tests.services.world import World, caught_up, fact, until


@pytest.fixture
async def centre(world: World) -> Centre:
    """In March 2026: everyone checked in on the day before, and interviews of earlier months are not waited for."""
    go(world, 2026, 3, 2)
    return await quiet(world)


async def quiet(world: World) -> Centre:
    centre = await ruled(world)
    for one in (centre.agent, centre.colleague):
        await centre.give(one, check_in(one, day="2026-03-01"))
        for month in ("2025-12", "2026-01", "2026-02"):
            interview = await schedule(centre, employee_id=one, month=month)
            await hold(centre, interview.session_id, actions=[])
            acknowledge = AcknowledgeSessionRequest(session_id=interview.session_id)
            await world.sessions.AcknowledgeSession(acknowledge, metadata=by(one))
    return centre


async def worklist(centre: Centre, caller: str = "", **whose: Any) -> Worklist:
    request = GetWorklistRequest(**(whose or {"lead_id": centre.lead}))
    answer: Worklist = await centre.world.worklists.GetWorklist(request, metadata=by(caller or centre.lead))
    return answer


def told(found: Worklist) -> list[tuple[str, str, str, int]]:
    """What is to be done, to what, by when, and how late it is."""
    return [(WorkItem.Kind.Name(one.kind)[5:], one.id, one.due_date, one.business_days_late) for one in found.items]


async def test_nothing_waits(centre: Centre) -> None:
    """For nobody."""
    for whose in ({"lead_id": centre.lead}, {"employee_id": centre.agent}):
        assert await worklist(centre, **whose) == Worklist(date="2026-03-02")


async def test_a_plan_waits_for_its_next_step(centre: Centre) -> None:
    """From its proposal to its activation, with the call that does it; a closed one waits for nothing."""
    plan, plans = await a_plan(centre), centre.world.plans
    assert told(await worklist(centre)) == [("ASSESS_PLAN", plan, "", 0)]
    (item,) = (await worklist(centre)).items
    assert (item.path, item.action) == (f"/v1/plans/{plan}", f"POST /v1/plans/{plan}:assess")
    assert (item.waits_for, item.waits_for_id, item.employee_id) == (WorkItem.PARTY_LEAD, centre.lead, centre.agent)
    go(centre.world, 2026, 3, 4)
    await plans.AssessPlan(AssessPlanRequest(plan_id=plan, assessment="too slow"), metadata=by(centre.lead))
    assert [one.since_date for one in (await worklist(centre)).items] == ["2026-03-04"]
    assert told(await worklist(centre)) == [("DIAGNOSE_PLAN", plan, "", 0)]
    await plans.DiagnosePlan(
        DiagnosePlanRequest(plan_id=plan, cause=Plan.CAUSE_SKILL, cause_note="seen"), metadata=by(centre.lead)
    )
    assert told(await worklist(centre)) == [("ACTIVATE_PLAN", plan, "", 0)]
    await plans.CancelPlan(CancelPlanRequest(plan_id=plan, reason="moved to another site"), metadata=by(centre.lead))
    assert told(await worklist(centre)) == []


async def test_sessions_wait_to_be_scheduled_held_and_acknowledged(both: World) -> None:
    """Late by business days, of which the 3rd and weekends are none; agreed actions wait for whose they are."""
    go(both, 2026, 3, 2)
    centre = await quiet(both)
    plan = await activate(centre)
    assert told(await worklist(centre)) == [("SCHEDULE_SESSION", plan, "2026-03-16", 0)]
    session = (await schedule(centre, plan_id=plan)).session_id
    assert told(await worklist(centre)) == [("HOLD_SESSION", session, "2026-03-02", 0)]
    for day, late in ((3, 0), (4, 1), (8, 3), (9, 4)):
        go(both, 2026, 3, day)
        assert told(await worklist(centre)) == [("HOLD_SESSION", session, "2026-03-02", late)]
    await hold(centre, session)
    expected = [
        ("SCHEDULE_SESSION", plan, "2026-03-23", 0),
        ("ACKNOWLEDGE_SESSION", session, "", 0),
        ("FOLLOW_UP_ACTION", session, "2026-03-09", 0),
    ]
    assert sorted(told(await worklist(centre))) == sorted(expected)
    assert told(await worklist(centre, employee_id=centre.agent)) == [("ACKNOWLEDGE_SESSION", session, "", 0)]
    go(both, 2026, 3, 16)
    (first, second, *_) = (await worklist(centre)).items
    assert [(one.kind, one.number, one.waits_for_id, one.business_days_late) for one in (first, second)] == [
        (WorkItem.KIND_FOLLOW_UP_ACTION, 2, centre.lead, 5),
        (WorkItem.KIND_FOLLOW_UP_ACTION, 1, centre.agent, 1),
    ]
    assert first.action == f"POST /v1/sessions/{session}/actions/2:followUp"
    mine = await worklist(centre, centre.agent, employee_id=centre.agent)
    assert [(one.kind, one.number) for one in mine.items] == [
        (WorkItem.KIND_FOLLOW_UP_ACTION, 1),
        (WorkItem.KIND_ACKNOWLEDGE_SESSION, 0),
    ]
    for number in (1, 2):
        done = FollowUpActionRequest(session_id=session, number=number, done=True, date="2026-03-16")
        await both.sessions.FollowUpAction(done, metadata=by(centre.lead))
    await both.sessions.AcknowledgeSession(AcknowledgeSessionRequest(session_id=session), metadata=by(centre.agent))
    assert told(await worklist(centre)) == [("SCHEDULE_SESSION", plan, "2026-03-23", 0)]


async def test_what_comes_with_time(centre: Centre) -> None:
    """Interviews once the month is over, check-ins and deadlines of goals when their day has come."""
    plan = await activate(centre)
    go(centre.world, 2026, 3, 31)
    waiting = told(await worklist(centre))
    assert {one[0] for one in waiting} == {"SCHEDULE_SESSION", "CHECK_IN"}
    assert ("CHECK_IN", centre.agent, "2026-03-31", 0) in waiting
    go(centre.world, 2026, 4, 8)
    kinds = [(one[0], one[2], one[3]) for one in told(await worklist(centre))]
    assert kinds.count(("SCHEDULE_INTERVIEW", "2026-04-07", 1)) == 2
    assert kinds.count(("CHECK_IN", "2026-03-31", 6)) == 2
    go(centre.world, 2026, 6, 1)
    assert ("GOAL_OVER", plan, "2026-05-31", 1) in told(await worklist(centre))


async def test_days_ahead(centre: Centre) -> None:
    """What falls due within them is in the list, too."""
    session = await schedule(centre, days=7)
    assert told(await worklist(centre)) == []
    assert told(await worklist(centre, lead_id=centre.lead, ahead_days=6)) == []
    ahead = await worklist(centre, lead_id=centre.lead, ahead_days=7)
    assert told(ahead) == [("HOLD_SESSION", session.session_id, "2026-03-09", 0)]
    assert [one.since_date for one in ahead.items] == [""]


async def test_the_latest_comes_first(centre: Centre) -> None:
    """By business days late; what has no day, and what is in time, by since when it waits."""
    for days in (0, 2, 1):
        await schedule(centre, days=days)
        await a_plan(centre)
    go(centre.world, 2026, 3, 6)
    found = (await worklist(centre)).items
    late = [one.business_days_late for one in found]
    assert late == sorted(late, reverse=True) == [3, 3, 2, 0, 0, 0]  # the 3rd is off: due then is due on the 2nd


async def test_whoever_leads_today_has_it(centre: Centre) -> None:
    """Sessions stay with whoever was named; what nobody leads waits for HR."""
    plan, session = await a_plan(centre), await schedule(centre)
    await appoint(centre.world, centre.team, centre.other_lead, "2026-03-04")
    go(centre.world, 2026, 3, 4)
    hold_it, assess_it = ("HOLD_SESSION", session.session_id), ("ASSESS_PLAN", plan)
    kinds = [(one[0], one[1]) for one in told(await worklist(centre))]
    assert kinds == [hold_it]
    kinds = [(one[0], one[1]) for one in told(await worklist(centre, centre.other_lead, lead_id=centre.other_lead))]
    assert kinds == [hold_it, assess_it]
    assert assess_it not in [(one[0], one[1]) for one in told(await worklist(centre, centre.hr, hr=True))]
    await appoint(centre.world, centre.team, centre.agent, "2026-03-05")
    go(centre.world, 2026, 3, 5)
    found = [one for one in (await worklist(centre, centre.hr, hr=True)).items if one.employee_id == centre.agent]
    assert [(one.kind, one.waits_for, one.waits_for_id) for one in found] == [
        (WorkItem.KIND_ASSESS_PLAN, WorkItem.PARTY_HR, "")
    ]


async def test_who_is_shown_a_list(centre: Centre) -> None:
    """A lead's: themself and HR; an employee's: also their lead; HR's: HR. Managers learn of no check-ins."""
    for caller in (centre.lead, centre.hr):
        await worklist(centre, caller, lead_id=centre.lead)
    for caller in (centre.agent, centre.lead, centre.hr):
        await worklist(centre, caller, employee_id=centre.agent)
    lists: list[tuple[str, dict[str, Any]]] = [
        (centre.manager, {"lead_id": centre.lead}),
        (centre.agent, {"lead_id": centre.lead}),
        (centre.lead, {"lead_id": "nobody"}),
        (centre.manager, {"employee_id": centre.agent}),
        (centre.colleague, {"employee_id": centre.agent}),
        (centre.colleague, {"employee_id": "nobody"}),
        (centre.lead, {"hr": True}),
        ("nobody", {"hr": True}),
    ]
    heard = {
        (await refused(worklist(centre, caller, **whose), StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")).message
        for caller, whose in lists
    }
    assert len(heard) == 1
    for name in ("lead_id", "employee_id"):
        asking = worklist(centre, centre.hr, **{name: "nobody"})
        await refused(asking, StatusCode.NOT_FOUND, "EMPLOYEE_NOT_FOUND")


async def test_a_lead_who_has_left_leads_nobody(centre: Centre) -> None:
    """Their team waits for HR until somebody else leads it; they see no list but what they are to do for themself."""
    plan, session = await a_plan(centre), await schedule(centre)
    await become(centre.world, centre.lead, EMPLOYMENT_STATUS_LEFT, "2026-03-04")
    go(centre.world, 2026, 3, 4)
    await refused(worklist(centre), StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
    assert told(await worklist(centre, employee_id=centre.lead)) == []
    hold_it, assess_it = ("HOLD_SESSION", session.session_id, "2026-03-02", 1), ("ASSESS_PLAN", plan, "", 0)
    assert told(await worklist(centre, centre.hr)) == [hold_it]
    assert assess_it in told(await worklist(centre, centre.hr, hr=True))


@contextmanager
def statements(world: World) -> Iterator[list[str]]:
    """The table that each statement reads from meanwhile, of those that nobody else reads."""
    service = world.services["coaching"]
    engine = service.engine.sync_engine
    tables = [table for follower in service.followers for table in follower.handler.tables]
    others = {"followers", "rules", *(table.name for table in tables if table.info.get("delivery"))}
    found: list[str] = []

    def hear(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("SELECT") and not others & set(statement.split()):
            found.append(statement.split("FROM")[1].split(maxsplit=1)[0])

    event.listen(engine, "before_cursor_execute", hear)
    yield found
    event.remove(engine, "before_cursor_execute", hear)


async def test_it_costs_as_many_statements_however_many_there_are(centre: Centre) -> None:
    """One or two of each kind, whether one employee has something waiting, or many have a lot."""
    await activate(centre)
    await worklist(centre)
    await caught_up(centre.world, "coaching")
    with statements(centre.world) as few:
        await worklist(centre)
    for _ in range(5):
        employee = await centre.world.employee(centre.team)
        await schedule(centre, employee_id=employee)
        await activate(centre)
    go(centre.world, 2026, 4, 8)
    await worklist(centre)
    await caught_up(centre.world, "coaching")
    with statements(centre.world) as many:
        found = await worklist(centre)
    assert len(found.items) > 20
    assert not found.more
    assert many == few
    assert len(many) <= 15


async def test_as_a_file(centre: Centre) -> None:
    """With names, in the same order; a page needs nothing but itself."""
    await schedule(centre)
    await a_plan(centre)
    centre.world.clock[0] += timedelta(days=2)

    async def export(kind: str, **whose: Any) -> Any:
        request = ExportWorklistRequest(worklist=GetWorklistRequest(**whose), format=kind)
        return await centre.world.worklists.ExportWorklist(request, metadata=by(centre.lead))

    page = await export("html", lead_id=centre.lead)
    assert page.content_type.startswith("text/html")
    text = page.data.decode()
    for said in ("Worklist · Somebody", "Hold a session", "Assess a plan", "On 2026-03-04", "2026-03-02"):
        assert said in text
    rows = list(csv.reader(io.StringIO((await export("csv", lead_id=centre.lead)).data.decode("utf-8-sig"))))
    assert [row for row in rows if "Hold a session" in row]
    assert "Nothing waits." in (await export("html", employee_id=centre.agent)).data.decode()
    await refused(export("html", hr=True), StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
    assert today(centre.world) == "2026-03-04"


async def test_a_calendar_that_ends_stops_nothing_but_what_is_counted_by_it(centre: Centre) -> None:
    """What of one team cannot be counted says so, comes first, and says what to do; the rest is answered."""
    world = centre.world
    ends, lasts = await world.team(), await world.team()
    await put(world, "ceylon", calendar=Calendar(country="LK"))  # known up to 2026
    rules = CoachingRules(calendar_id="ceylon", interview_business_day=5, scope=Scope(team_id=ends))
    await put(world, "ending", coaching=rules)
    go(world, 2026, 12, 7)
    marked, other = await world.employee(ends), await world.employee(lasts)
    go(world, 2027, 1, 11)
    found = await worklist(centre, centre.hr, hr=True)
    items = [one for one in found.items if one.kind == WorkItem.KIND_SCHEDULE_INTERVIEW]
    december = [
        (one.employee_id, one.due_date, one.business_days_late)
        for one in items
        if one.id in [interview_id(employee, "2026-12") for employee in (marked, other)]
    ]
    assert december == [(marked, "", 0), (other, "2027-01-07", 2)]
    assert items[0].employee_id == marked
    for said in ("calendar ceylon", "LK", "2026-12-31", "days_off"):
        assert said in items[0].problem
    assert {one.problem for one in items if one.employee_id == other} == {""}
    request = ExportWorklistRequest(worklist=GetWorklistRequest(hr=True), format="html")
    page = (await world.worklists.ExportWorklist(request, metadata=by(centre.hr))).data.decode()
    assert "calendar ceylon" in page
    listed = await interviews(centre, centre.hr, "2026-12", team_id="")
    assert {one.problem for one in listed.interviews if one.employee_id == marked} == {items[0].problem}
    await appoint(world, ends, centre.other_lead)
    led = await record(centre, "2027-01-01", "2027-01-31", centre.hr, centre.other_lead)
    assert led.problems == [items[0].problem]


async def test_suggestions_wait_for_whom_they_were_raised_with(world: World) -> None:
    """Late by business days; once escalated they wait for HR, but for whoever in HR they complain about."""
    centre = await test_suggestions.founded(world)
    lists: dict[str, dict[str, Any]] = {"lead": {"lead_id": centre.lead}, "hr": {"hr": True}}

    async def listed(whose: str, caller: str) -> list[tuple[str, str, int]]:
        request = GetWorklistRequest(**lists[whose])
        found = await world.worklists.GetWorklist(request, metadata=by(caller))
        return [
            (one.id, one.waits_for_id, one.business_days_late)
            for one in found.items
            if one.kind == WorkItem.KIND_ANSWER_SUGGESTION
        ]

    one = await centre.raise_()
    about = {"about_lead": True, "addressee": Suggestion.ADDRESSEE_HR, "kind": Suggestion.KIND_COMPLAINT}
    complaint = await centre.raise_(centre.colleague, **about)
    hidden = await centre.raise_(centre.hr, **about)
    waiting = (one.suggestion_id, centre.lead, 0)
    assert await listed("lead", centre.lead) == await listed("lead", centre.hr) == [waiting]
    assert await listed("hr", centre.hr) == [(complaint.suggestion_id, "", 0), (hidden.suggestion_id, "", 0)]
    assert await listed("hr", centre.hr_lead) == [(complaint.suggestion_id, "", 0)]
    manager = await world.worklists.GetWorklist(
        GetWorklistRequest(employee_id=centre.lead), metadata=by(centre.manager)
    )
    assert [item.id for item in manager.items] == []
    centre.later(8)
    assert await listed("lead", centre.lead) == [(one.suggestion_id, centre.lead, 1)]
    escalate = EscalateSuggestionRequest(employee_id=centre.agent, suggestion_id=one.suggestion_id, reason="no answer")
    await world.suggestions.EscalateSuggestion(escalate, metadata=by(centre.agent))
    assert await listed("lead", centre.lead) == []
    assert (one.suggestion_id, "", 1) in await listed("hr", centre.hr_lead)
    decline = DeclineSuggestionRequest(employee_id=centre.agent, suggestion_id=one.suggestion_id, reason="no windows")
    await world.suggestions.DeclineSuggestion(decline, metadata=by(centre.hr))
    assert await listed("hr", centre.hr_lead) == [(complaint.suggestion_id, "", 1)]


async def test_suggestions_to_a_lead_who_has_left_wait_for_hr(world: World) -> None:
    """Who alone can answer them."""
    centre = await test_suggestions.founded(world)
    one = await centre.raise_()
    await become(world, centre.lead, EMPLOYMENT_STATUS_LEFT, today(world, 1))
    for days, expected in ((0, []), (1, [one.suggestion_id])):
        centre.later(days)
        found = await world.worklists.GetWorklist(GetWorklistRequest(hr=True), metadata=by(centre.hr))
        assert [item.id for item in found.items if item.kind == WorkItem.KIND_ANSWER_SUGGESTION] == expected


async def test_trainings_wait_for_the_trainer_and_then_for_who_asked(world: World) -> None:
    """In the list of the lead whose team it is for, and in the trainer's."""
    centre = await test_trainings.founded(world)
    training = await centre.ask(await test_trainings.seen(centre))

    async def waiting(**whose: str) -> list[tuple[str, str, str]]:
        request = GetWorklistRequest(**whose)  # type: ignore[arg-type] # of a person
        found = await world.worklists.GetWorklist(request, metadata=by(centre.hr))
        return [
            (WorkItem.Kind.Name(one.kind)[5:], one.waits_for_id, one.due_date)
            for one in found.items
            if one.team_id == centre.team
        ]

    ids, day, trainings = {"training_id": training.training_id}, today(world), world.trainings
    hold_it = HoldTrainingRequest(date=day, participant_ids=centre.agents[:2], **ids)
    steps: list[tuple[str, Callable[..., Any], Any, str]] = [
        ("ACCEPT_TRAINING", trainings.AcceptTraining, AcceptTrainingRequest(**ids), ""),
        ("SCHEDULE_TRAINING", trainings.ScheduleTraining, ScheduleTrainingRequest(date=day, **ids), ""),
        ("HOLD_TRAINING", trainings.HoldTraining, hold_it, day),
    ]
    for kind, call, given, due in steps:
        expected = [(kind, centre.trainer, due)]
        assert await waiting(lead_id=centre.lead) == await waiting(employee_id=centre.trainer) == expected
        await call(given, metadata=by(centre.trainer))
    assert await waiting(lead_id=centre.lead) == [("CLOSE_TRAINING", centre.lead, "")]
    assert await waiting(employee_id=centre.trainer) == []
    request = ExportWorklistRequest(worklist=GetWorklistRequest(lead_id=centre.lead), format="html")
    page = await world.worklists.ExportWorklist(request, metadata=by(centre.lead))
    assert "Close a training" in page.data.decode()


async def test_pips_wait_for_the_lead_hr_and_the_employee(world: World) -> None:
    """Each step for whom it waits; nobody in HR is told of their own before it is delivered, no employee either."""
    desk = await test_pips.opened(world)

    async def waiting(caller: str, **whose: Any) -> list[tuple[str, str, str]]:
        found = await world.worklists.GetWorklist(GetWorklistRequest(**whose), metadata=by(caller))
        kinds = [(WorkItem.Kind.Name(one.kind)[5:], one.waits_for_id, one.due_date) for one in found.items]
        return [one for one in kinds if "PIP" in one[0]]

    async def lists() -> tuple[list[tuple[str, str, str]], ...]:
        lead = await waiting(desk.lead, lead_id=desk.lead)
        return lead, await waiting(desk.hr, hr=True), await waiting(desk.agent, employee_id=desk.agent)

    await desk.say(desk.lead, DraftPipRequest, content=desk.content())
    assert await lists() == ([("SUBMIT_PIP", desk.lead, "")], [], [])
    await desk.say(desk.lead, SubmitPipRequest)
    override = [("OVERRIDE_PIP_PRECONDITION", "", "")]
    assert await lists() == (override, override, [])
    await desk.say(desk.hr, OverridePipPreconditionRequest, reason="it cannot wait")
    approve = [("APPROVE_PIP", "", "")]
    assert await lists() == (approve, approve, [])
    await desk.say(desk.hr, ApprovePipRequest)
    assert await lists() == ([("DELIVER_PIP", desk.lead, "")], [], [])
    await desk.say(desk.lead, DeliverPipRequest)
    acknowledge = [("ACKNOWLEDGE_PIP", desk.agent, "2027-03-17")]
    assert await lists() == (acknowledge, [], acknowledge)
    active = await desk.say(desk.agent, AcknowledgePipRequest)
    assert await lists() == ([], [], [])
    await desk.fall_short()
    desk.pass_day("2027-03-31")
    assert await lists() == ([("HOLD_PIP_CHECKPOINT", desk.lead, "2027-03-31")], [], [])
    desk.pass_day(active.schedule.due_date)
    due = await desk.reached(Pip.STATE_DECISION_DUE)
    assert await lists() == ([("PROPOSE_PIP_RESULT", desk.lead, due.schedule.due_date)], [], [])
    await desk.propose()
    decide = [("DECIDE_PIP", "", due.schedule.due_date)]
    assert await lists() == (decide, [], [])  # who approved it does not decide it
    assert await waiting(desk.hr2, hr=True) == decide
    await desk.say(desk.hr2, DecidePipRequest, **test_pips.FAIL)
    assert await lists() == ([], [], [])
    await desk.say(desk.agent, AppealPipRequest, text="nobody helped")
    name = [("NAME_PIP_HEARER", "", "")]
    assert await lists() == (name, name, [])
    await desk.say(desk.hr2, NamePipHearerRequest, hearer_id=desk.hearer)
    hear = [("HEAR_PIP_APPEAL", desk.hearer, "")]
    assert await lists() == (hear, [], [])
    assert await waiting(desk.hearer, employee_id=desk.hearer) == hear
    assert await waiting(desk.hr, employee_id=desk.hearer) == hear
    (found,) = await items(desk, desk.hearer, lead_id=desk.hearer)
    assert (found.waits_for, found.employee_id, found.since_date, found.action) == (
        WorkItem.PARTY_HEARER,
        desk.agent,
        today(world),
        f"POST /v1/employees/{desk.agent}/pips/pip-1:hearAppeal",
    )
    await appoint(world, desk.elsewhere, desk.other_lead, "2027-03-15")  # leads who hears it, and need not know
    assert await waiting(desk.other_lead, employee_id=desk.hearer) == []
    await appoint(world, desk.led_by_hearer, desk.other_lead, today(world))  # and is a peer again
    assert await lists() == (name, name, [])
    assert await waiting(desk.hr, employee_id=desk.hearer) == []


async def leave(desk: test_pips.Desk, person: str) -> None:
    """Somebody leaves today."""
    gone = ChangeEmploymentStatusRequest(
        employee_id=person, status=EMPLOYMENT_STATUS_LEFT, effective_date=today(desk.world)
    )
    await desk.world.directory.ChangeEmploymentStatus(gone)


async def items(desk: test_pips.Desk, caller: str, **whose: Any) -> list[WorkItem]:
    """What a list has of PIPs."""
    found = await desk.world.worklists.GetWorklist(GetWorklistRequest(**whose), metadata=by(caller))
    return [one for one in found.items if "_PIP" in WorkItem.Kind.Name(one.kind)]


async def test_what_waits_for_whoever_has_a_part_in_a_pip(world: World) -> None:
    """A witness, who drafted it and leads no more, and HR where nobody else is left; nothing of the rest."""
    desk = await test_pips.opened(world)
    await desk.say(desk.lead, DraftPipRequest, content=desk.content())
    new_lead = await world.employee(desk.elsewhere)
    await appoint(world, desk.team, new_lead, "2027-03-15")
    await leave(desk, new_lead)
    (found,) = await items(desk, desk.lead, employee_id=desk.lead)
    assert (found.kind, found.waits_for) == (WorkItem.KIND_SUBMIT_PIP, WorkItem.PARTY_DRAFTER)
    await desk.say(desk.lead, SubmitPipRequest)
    await desk.say(desk.hr, OverridePipPreconditionRequest, reason="it cannot wait")
    await desk.say(desk.hr, ApprovePipRequest)
    await desk.say(desk.lead, DeliverPipRequest)
    desk.pass_day("2027-03-17")
    await until(lambda: desk.get(desk.hr), lambda pip: pip.overdue)
    (found,) = await items(desk, desk.lead, employee_id=desk.lead)
    assert found.kind == WorkItem.KIND_NAME_PIP_WITNESS
    await desk.say(desk.hr, NamePipWitnessRequest, witness_id=desk.witness)
    (found,) = await items(desk, desk.witness, employee_id=desk.witness)
    assert (found.kind, found.waits_for) == (WorkItem.KIND_WITNESS_PIP_REFUSAL, WorkItem.PARTY_WITNESS)
    await desk.say(desk.witness, WitnessPipRefusalRequest, note="would not sign")
    assert not await items(desk, desk.witness, employee_id=desk.witness)
    await desk.say(desk.hr, PausePipRequest, reason="system outage")
    assert [one.kind for one in await items(desk, desk.hr2, hr=True)] == [WorkItem.KIND_RESUME_PIP]
    await desk.say(desk.hr, ResumePipRequest)
    await leave(desk, desk.lead)
    desk.pass_day((await desk.get(desk.hr)).schedule.due_date)
    await desk.reached(Pip.STATE_DECISION_DUE)
    assert [one.kind for one in await items(desk, desk.hr2, hr=True)] == [WorkItem.KIND_WITHDRAW_PIP]
    await appoint(world, desk.team, desk.other_lead, today(world))
    assert not await items(desk, desk.hr2, hr=True)
    (found,) = await items(desk, desk.other_lead, lead_id=desk.other_lead)
    assert (found.kind, found.waits_for) == (WorkItem.KIND_PROPOSE_PIP_RESULT, WorkItem.PARTY_LEAD)


async def test_who_is_in_hr_learns_nothing_of_a_pip_about_themself(world: World) -> None:
    """Not out of HR's list, and not out of their lead's."""
    desk = await test_pips.opened(world)
    move = TransferEmployeeRequest(employee_id=desk.hr, team_id=desk.team, effective_date="2027-03-01")
    await world.directory.TransferEmployee(move)
    await world.record(*(fact(desk.hr, f"2027-02-{day:02}", desk.kpi, 10) for day in (1, 10, 20)))
    content = desk.content()
    del content.elements[1:]
    for request in (
        DraftPipRequest(employee_id=desk.hr, pip_id="pip-1", content=content),
        SubmitPipRequest(employee_id=desk.hr, pip_id="pip-1"),
    ):
        await desk.call(desk.lead, request)
    lists: list[dict[str, Any]] = [{"hr": True}, {"lead_id": desk.lead}]
    for whose in lists:
        shown = {}
        for caller in (desk.hr, desk.hr2):
            found = await world.worklists.GetWorklist(GetWorklistRequest(**whose), metadata=by(caller))
            shown[caller] = [one.id for one in found.items if "_PIP" in WorkItem.Kind.Name(one.kind)]
        assert shown == {desk.hr: [], desk.hr2: ["pip-1"]}
