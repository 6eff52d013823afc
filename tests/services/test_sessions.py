"""Sessions as callers see them: who plans, who reads what was said, what a plan's end does, and saying it twice."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from grpc import StatusCode
from grpc.aio import AioRpcError

from libs.common.rebuilding import rebuild
from stepladder.coaching.v1.plan_pb2 import CancelPlanRequest, ProposePlanRequest
from stepladder.coaching.v1.session_pb2 import (
    AcknowledgeSessionRequest,
    AgreedAction,
    CancelSessionRequest,
    FollowUpActionRequest,
    GetSessionRequest,
    HoldSessionRequest,
    ListSessionsRequest,
    MissSessionRequest,
    RescheduleSessionRequest,
    ScheduleSessionRequest,
    Session,
)
from stepladder.performance.v1.directory_pb2 import EMPLOYMENT_STATUS_LEFT, ChangeEmploymentStatusRequest
from stepladder.performance.v1.facts_pb2 import RATING_GOOD, RATING_QUALIFIED, RateMonthRequest
from tests.refusals import refused
from tests.services.test_check_ins import Centre, by, founded
from tests.services.world import World, new_id, until

OBSERVED = "Interrupted the customer in two of three calls."
FEEDBACK = "Let them finish; your summaries are good."


def today(world: World, days: int = 0) -> str:
    return str(world.clock[0].date() + timedelta(days=days))


@pytest.fixture
async def centre(world: World) -> Centre:
    return await founded(world)


async def a_plan(centre: Centre) -> str:
    plan_id = new_id("p")
    request = ProposePlanRequest(plan_id=plan_id, employee_id=centre.agent, kpi_id=await centre.world.kpi())
    await centre.world.plans.ProposePlan(request, metadata=by(centre.lead))
    return plan_id


async def schedule(centre: Centre, caller: str = "", *, days: int = 0, **fields: Any) -> Session:
    """A session of the agent with their lead, so many days ahead; listening in, unless the fields say otherwise."""
    kind = Session.KIND_INTERVIEW if "month" in fields else Session.KIND_SHADOWING
    kind = Session.KIND_COACHING if "plan_id" in fields else kind
    given: dict[str, Any] = {
        "session_id": "" if "month" in fields else new_id("s"),
        "employee_id": centre.agent,
        "lead_id": centre.lead,
        "kind": kind,
        "date": today(centre.world, days),
    }
    request = ScheduleSessionRequest(**given | fields)
    answer: Session = await centre.world.sessions.ScheduleSession(request, metadata=by(caller or centre.lead))
    return answer


def minutes(centre: Centre, session_id: str, **fields: Any) -> HoldSessionRequest:
    actions = [
        AgreedAction(owner_id=centre.agent, text="listen to three recordings", due_date=today(centre.world, 4)),
        AgreedAction(owner_id=centre.lead, text="book the course", due_date=today(centre.world)),
    ]
    given = {"held_date": today(centre.world), "observed": OBSERVED, "feedback": FEEDBACK, "actions": actions} | fields
    return HoldSessionRequest(session_id=session_id, **given)


async def hold(centre: Centre, session_id: str, caller: str = "", **fields: Any) -> Session:
    request = minutes(centre, session_id, **fields)
    answer: Session = await centre.world.sessions.HoldSession(request, metadata=by(caller or centre.lead))
    return answer


async def get(centre: Centre, session_id: str, caller: str = "") -> Session:
    request = GetSessionRequest(session_id=session_id)
    answer: Session = await centre.world.sessions.GetSession(request, metadata=by(caller or centre.lead))
    return answer


async def test_a_session_from_its_day_to_what_came_of_it(centre: Centre) -> None:
    """Put off once, held, acknowledged in the employee's words, and followed up by whose action it is."""
    sessions, mine = centre.world.sessions, by(centre.agent)
    session = await schedule(centre, plan_id=await a_plan(centre))
    assert (session.state, session.overdue, session.kind) == (Session.STATE_SCHEDULED, False, Session.KIND_COACHING)
    put = RescheduleSessionRequest(
        session_id=session.session_id, date=today(centre.world, 1), reason="a sick colleague"
    )
    await sessions.RescheduleSession(put, metadata=by(centre.lead))
    centre.world.clock[0] += timedelta(days=1)
    held = await hold(centre, session.session_id)
    assert (held.minutes.held_by, held.minutes.held_date) == (f"user:{centre.lead}", today(centre.world))
    assert [one.reason for one in held.reschedulings] == ["a sick colleague"]
    words = AcknowledgeSessionRequest(session_id=session.session_id, words="I did not notice.")
    acknowledged = await sessions.AcknowledgeSession(words, metadata=mine)
    assert acknowledged.minutes.HasField("acknowledged_time")
    follow_up = FollowUpActionRequest(session_id=session.session_id, number=1, done=True, date=today(centre.world))
    await sessions.FollowUpAction(follow_up, metadata=mine)
    follow_up.number = 2
    await refused(sessions.FollowUpAction(follow_up, metadata=mine), StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
    follow_up.done, follow_up.note = False, "no room left in May"
    final: Session = await sessions.FollowUpAction(follow_up, metadata=by(centre.lead))
    told = [(one.text, one.follow_up.done, one.follow_up.followed_up_by) for one in final.minutes.actions]
    assert told == [
        ("listen to three recordings", True, f"user:{centre.agent}"),
        ("book the course", False, f"user:{centre.lead}"),
    ]
    assert await get(centre, session.session_id) == final


async def test_it_is_overdue_by_the_clock(both: World) -> None:
    """From the day after, at the site; listed so; and no longer once somebody says that it was missed."""
    centre = await founded(both)
    first, second = await schedule(centre), await schedule(centre, days=1)

    async def overdue(at_least: int) -> list[str]:
        request = ListSessionsRequest(employee_id=centre.agent, overdue=True, at_least=at_least)
        return [one.session_id for one in (await both.sessions.ListSessions(request, metadata=by(centre.hr))).sessions]

    assert await overdue(second.log_position) == []
    both.clock[0] += timedelta(days=1)
    assert await overdue(second.log_position) == [first.session_id]
    assert (await get(centre, first.session_id)).overdue
    assert not (await get(centre, second.session_id)).overdue
    miss = MissSessionRequest(session_id=first.session_id, absent=Session.PARTY_LEAD, reason="forgot it")
    missed = await both.sessions.MissSession(miss, metadata=by(centre.hr))
    assert [(one.absent, one.date) for one in missed.absences] == [(Session.PARTY_LEAD, first.date)]
    both.clock[0] += timedelta(days=1)
    assert await overdue(missed.log_position) == [second.session_id]
    assert not (await get(centre, first.session_id)).overdue


async def test_who_sees_and_who_reads(centre: Centre) -> None:
    """What was said: the employee, who leads them today, who held it, HR; the manager sees that it was held."""
    world = centre.world
    session = await schedule(centre, centre.hr, lead_id=centre.other_lead)
    put = RescheduleSessionRequest(session_id=session.session_id, date=today(world, 1), reason="a sick colleague")
    await world.sessions.RescheduleSession(put, metadata=by(centre.other_lead))
    held = await hold(centre, session.session_id, centre.other_lead, actions=[])
    for caller in (centre.agent, centre.lead, centre.other_lead, centre.hr):
        assert await get(centre, session.session_id, caller) == held
    manager = await get(centre, session.session_id, centre.manager)
    assert (manager.state, manager.minutes.held_date) == (Session.STATE_HELD, today(world))
    assert (manager.minutes.observed, manager.minutes.feedback, manager.reschedulings[0].reason) == ("", "", "")
    request = ListSessionsRequest(employee_id=centre.agent, at_least=held.log_position)
    for caller, shown in ((centre.manager, manager), (centre.agent, held), (centre.lead, held)):
        assert list((await world.sessions.ListSessions(request, metadata=by(caller))).sessions) == [shown]
    own = ListSessionsRequest(lead_id=centre.other_lead, at_least=held.log_position)
    assert len((await world.sessions.ListSessions(own, metadata=by(centre.other_lead))).sessions) == 1


async def test_who_has_left_holds_and_reads_nothing_about_others(centre: Centre) -> None:
    """Whoever held a session, or was named to; what was said to themself they still read."""
    world = centre.world
    own = await hold(centre, (await schedule(centre, centre.hr, lead_id=centre.other_lead)).session_id, actions=[])
    past, ahead = [(await schedule(centre, lead_id=centre.lead)).session_id for _ in range(2)]
    await hold(centre, past)
    for who in (centre.lead, centre.agent):
        left = ChangeEmploymentStatusRequest(
            employee_id=who, status=EMPLOYMENT_STATUS_LEFT, effective_date=today(world, 1)
        )
        await world.directory.ChangeEmploymentStatus(left)
    world.clock[0] += timedelta(days=1)
    assert await get(centre, own.session_id, centre.agent) == own
    for asking in (
        get(centre, past),
        get(centre, ahead),
        hold(centre, ahead),
        world.sessions.ListSessions(ListSessionsRequest(lead_id=centre.lead), metadata=by(centre.lead)),
    ):
        await refused(asking, StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")


async def test_nobody_else_learns_anything(centre: Centre) -> None:
    """The same words for a session and for none, whatever is asked for."""
    there = (await schedule(centre)).session_id
    interview = (await schedule(centre, month="2020-01")).session_id
    sessions = centre.world.sessions
    heard: set[str] = set()
    for caller in (centre.colleague, "nobody"):
        for session_id in (there, interview, "none"):
            calls: list[tuple[Callable[..., Any], Any]] = [
                (sessions.GetSession, GetSessionRequest(session_id=session_id)),
                (sessions.HoldSession, minutes(centre, session_id)),
                (
                    sessions.MissSession,
                    MissSessionRequest(session_id=session_id, absent=Session.PARTY_LEAD, reason="never came"),
                ),
                (sessions.CancelSession, CancelSessionRequest(session_id=session_id, reason="no more")),
                (
                    sessions.RescheduleSession,
                    RescheduleSessionRequest(session_id=session_id, date=today(centre.world, 3), reason="no time"),
                ),
                (sessions.AcknowledgeSession, AcknowledgeSessionRequest(session_id=session_id)),
                (
                    sessions.FollowUpAction,
                    FollowUpActionRequest(session_id=session_id, number=1, done=True, date=today(centre.world)),
                ),
                (sessions.ListSessions, ListSessionsRequest(employee_id=centre.agent)),
                (sessions.ListSessions, ListSessionsRequest(employee_id="none")),
                (sessions.ListSessions, ListSessionsRequest(lead_id=centre.lead)),
                (sessions.ListSessions, ListSessionsRequest()),
            ]
            for call, request in calls:
                answer = call(request, metadata=by(caller))
                heard.add((await refused(answer, StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")).message)
    assert len(heard) == 1
    missing = sessions.GetSession(GetSessionRequest(session_id="none"), metadata=by(centre.hr))
    await refused(missing, StatusCode.NOT_FOUND, "SESSION_NOT_FOUND")


async def test_employees_plan_and_hold_none_about_themselves(centre: Centre) -> None:
    """Not even in HR; they see theirs."""
    about_hr = await schedule(centre, await _second_hr(centre), employee_id=centre.hr)
    planning = schedule(centre, centre.hr, employee_id=centre.hr)
    await refused(planning, StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
    holding = hold(centre, about_hr.session_id, centre.hr, actions=[])
    await refused(holding, StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
    assert await get(centre, about_hr.session_id, centre.hr) == about_hr


async def _second_hr(centre: Centre) -> str:
    return await centre.world.employee(centre.other_team, job_family="hr")


async def test_one_interview_about_a_month(centre: Centre) -> None:
    """It pins the rating that was in force when it was held; a month without one has none."""
    world = centre.world
    await world.facts.RateMonth(RateMonthRequest(employee_id=centre.agent, month="2020-01", rating=RATING_GOOD))
    rated = await world.facts.RateMonth(
        RateMonthRequest(employee_id=centre.agent, month="2020-01", rating=RATING_QUALIFIED)
    )
    interview = await schedule(centre, month="2020-01")
    assert await schedule(centre, month="2020-01") == interview
    other_day = schedule(centre, month="2020-01", days=1)
    await refused(other_day, StatusCode.ALREADY_EXISTS, "SESSION_EXISTS")
    february = await schedule(centre, month="2020-02")
    assert (await hold(centre, interview.session_id)).minutes.rating_position == rated.log_position
    assert (await hold(centre, february.session_id)).minutes.rating_position == 0


async def test_sessions_end_with_their_plan(centre: Centre) -> None:
    """Those still scheduled are cancelled, those of other plans are not, and there are no new ones."""
    plan, other = await a_plan(centre), await a_plan(centre)
    held, ahead, next_one, elses = [await schedule(centre, plan_id=one) for one in (plan, plan, plan, other)]
    await hold(centre, held.session_id)
    await centre.world.plans.CancelPlan(
        CancelPlanRequest(plan_id=plan, reason="moved to another site"), metadata=by(centre.lead)
    )
    for one in (next_one, ahead):
        ended = await until(
            partial(get, centre, one.session_id), lambda session: session.state == Session.STATE_CANCELLED
        )
        assert ended.cancel_reason == "The plan was closed."
    assert (await get(centre, held.session_id)).state == Session.STATE_HELD
    assert (await get(centre, elses.session_id)).state == Session.STATE_SCHEDULED
    await refused(schedule(centre, plan_id=plan), StatusCode.FAILED_PRECONDITION, "PLAN_CLOSED")
    assert await schedule(centre, plan_id=plan, session_id=ahead.session_id) == ended


async def test_a_session_made_up_for_after_the_plan_was_closed_is_cancelled_too(centre: Centre) -> None:
    """Whichever of the two came first."""
    plan = await a_plan(centre)
    session = await schedule(centre, plan_id=plan)
    miss = MissSessionRequest(session_id=session.session_id, absent=Session.PARTY_EMPLOYEE, reason="was not told")
    await centre.world.sessions.MissSession(miss, metadata=by(centre.lead))
    await centre.world.plans.CancelPlan(
        CancelPlanRequest(plan_id=plan, reason="moved to another site"), metadata=by(centre.lead)
    )
    put = RescheduleSessionRequest(session_id=session.session_id, date=today(centre.world, 1), reason="second try")
    await centre.world.sessions.RescheduleSession(put, metadata=by(centre.lead))
    await until(lambda: get(centre, session.session_id), lambda one: one.state == Session.STATE_CANCELLED)


async def test_sessions_are_of_plans_and_people_that_there_are(centre: Centre) -> None:
    """Somebody else's plan is none."""
    plan = await a_plan(centre)
    plans: list[dict[str, Any]] = [{"plan_id": "none"}, {"plan_id": plan, "employee_id": centre.colleague}]
    for fields in plans:
        await refused(schedule(centre, **fields), StatusCode.NOT_FOUND, "PLAN_NOT_FOUND")
    people: list[dict[str, Any]] = [{"lead_id": "nobody"}, {"employee_id": "nobody"}]
    for fields in people:
        await refused(schedule(centre, centre.hr, **fields), StatusCode.NOT_FOUND, "EMPLOYEE_NOT_FOUND")
    alone = schedule(centre, centre.hr, lead_id=centre.agent)
    await refused(alone, StatusCode.INVALID_ARGUMENT, "LEAD_INVALID")


async def test_everything_said_twice_is_said_once(centre: Centre) -> None:
    """Each with its request id, also late, when everything has changed; with another one only the etag decides."""
    sessions, who = centre.world.sessions, by(centre.lead)
    plan = await a_plan(centre)
    session_id = new_id("s")
    said: list[tuple[Callable[..., Any], Any, Session]] = []
    scheduled = ScheduleSessionRequest(
        session_id=session_id,
        employee_id=centre.agent,
        lead_id=centre.lead,
        kind=Session.KIND_COACHING,
        plan_id=plan,
        date=today(centre.world),
    )
    steps: list[tuple[Callable[..., Any], Any]] = [
        (sessions.ScheduleSession, scheduled),
        (
            sessions.MissSession,
            MissSessionRequest(session_id=session_id, absent=Session.PARTY_EMPLOYEE, reason="was not told"),
        ),
        (
            sessions.RescheduleSession,
            RescheduleSessionRequest(session_id=session_id, date=today(centre.world), reason="second try"),
        ),
        (sessions.HoldSession, minutes(centre, session_id)),
        (
            sessions.FollowUpAction,
            FollowUpActionRequest(session_id=session_id, number=1, done=True, date=today(centre.world)),
        ),
    ]
    etag = ""
    for number, (call, request) in enumerate(steps):
        request.request_id = f"r-{number}"
        if number:
            request.etag = etag
        answer = await call(request, metadata=who)
        etag = answer.etag
        said.append((call, request, answer))
    await centre.world.plans.CancelPlan(
        CancelPlanRequest(plan_id=plan, reason="moved to another site"), metadata=by(centre.lead)
    )
    policy = next(one for one in centre.world.services["coaching"].followers if one.handler.name == "end-sessions")
    await policy.wait_for(await centre.world.end(), 5)
    end = await centre.world.end()
    for call, request, answer in said:
        assert await call(request, metadata=who) == answer
    for call, request, _ in said[1:]:
        other = type(request)()
        other.CopyFrom(request)
        other.request_id = "another"
        await refused(call(other, metadata=who), StatusCode.ABORTED, "ETAG_MISMATCH")
    assert await centre.world.end() == end


async def test_of_two_who_write_at_once_one_is_told_to_read_again(centre: Centre) -> None:
    """Both saw the same version."""
    session = await schedule(centre)
    requests = [
        minutes(centre, session.session_id, etag=session.etag, feedback=feedback)
        for feedback in (FEEDBACK, "Speak more slowly.")
    ]
    answers = await asyncio.gather(
        *(centre.world.sessions.HoldSession(one, metadata=by(centre.lead)) for one in requests),
        return_exceptions=True,
    )
    assert sum(isinstance(one, Session) for one in answers) == 1
    (lost,) = [one for one in answers if not isinstance(one, Session)]
    assert isinstance(lost, AioRpcError)
    assert lost.code() == StatusCode.ABORTED


async def test_sessions_are_listed_by_day(both: World) -> None:
    """The latest first, over pages, by any filter; rows made anew are the same."""
    centre = await founded(both)
    plan = await a_plan(centre)
    days = [3, 1, 4, 1, 5]
    made = [await schedule(centre, days=day, **({"plan_id": plan} if day == 1 else {})) for day in days]
    held = await hold(centre, made[2].session_id)
    wanted = sorted(((one.date, one.session_id) for one in made), reverse=True)

    async def listed(size: int, **filters: Any) -> list[str]:
        request = ListSessionsRequest(page_size=size, at_least=held.log_position, **filters)
        found: list[str] = []
        while True:
            answer = await both.sessions.ListSessions(request, metadata=by(centre.hr))
            found += [one.session_id for one in answer.sessions]
            if not answer.next_page_token:
                return found
            request.page_token = answer.next_page_token

    for size in (1, 2, 1000):
        assert await listed(size) == [session_id for _, session_id in wanted]
        assert await listed(size, plan_id=plan) == sorted([made[1].session_id, made[3].session_id], reverse=True)
        assert await listed(size, state=Session.STATE_HELD) == [made[2].session_id]
        assert await listed(size, kind=Session.KIND_INTERVIEW) == []
        assert await listed(size, lead_id=centre.other_lead) == []
    for model in (one for one in both.services["coaching"].followers if one.handler.name == "sessions"):
        assert [step async for step in rebuild(model)][-1].changed_rows == 0


async def test_texts_lie_nowhere_in_clear(centre: Centre) -> None:
    """What was said and agreed is sealed in the log and kept in no read model."""
    session = await schedule(centre)
    held = await hold(centre, session.session_id)
    await centre.world.sessions.AcknowledgeSession(
        AcknowledgeSessionRequest(session_id=session.session_id, words="I did not notice."), metadata=by(centre.agent)
    )
    service = centre.world.services["coaching"]
    follower = next(one for one in service.followers if one.handler.name == "sessions")
    await follower.wait_for(await centre.world.end(), 5)
    stored = await service.stream.read(f"log.coaching.session.{session.session_id}")
    folder = Path(str(service.engine.url.database)).parent
    found = [one.payload for one in stored] + [file.read_bytes() for file in folder.glob("*.db*")]
    for secret in (OBSERVED, FEEDBACK, "I did not notice.", *(one.text for one in held.minutes.actions)):
        assert not any(secret.encode() in content for content in found)
