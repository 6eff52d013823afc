"""Suggestions and complaints as callers see them: who raises, reads and answers, and what nobody else finds out."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from grpc import StatusCode

from libs.common.rebuilding import rebuild
from stepladder.coaching.v1.suggestion_pb2 import (
    AcceptSuggestionRequest,
    CompleteSuggestionRequest,
    DeclineSuggestionRequest,
    EscalateSuggestionRequest,
    GetSuggestionRequest,
    ListSuggestionsRequest,
    RaiseSuggestionRequest,
    Suggestion,
)
from stepladder.performance.v1.directory_pb2 import (
    EMPLOYMENT_STATUS_LEFT,
    AppointTeamLeadRequest,
    ChangeEmploymentStatusRequest,
)
from stepladder.performance.v1.policy_pb2 import Calendar, CoachingRules, Policy, Scope, SetPolicyRequest
from tests.refusals import refused
from tests.services.world import World, new_id
from tests.tokens import as_person

MONDAY = datetime.fromisoformat("2026-12-21T09:00:00+00:00")
"""In a week with Christmas in it."""
COMPLAINT, SUGGESTION = Suggestion.KIND_COMPLAINT, Suggestion.KIND_SUGGESTION
LEAD, HR = Suggestion.ADDRESSEE_LEAD, Suggestion.ADDRESSEE_HR
RAISED = Suggestion.STATE_RAISED


@dataclass
class Centre:
    """A team with its lead, who is led by a manager; a colleague; two people in HR, one of whom leads the other."""

    world: World
    team: str
    agent: str
    colleague: str
    lead: str
    manager: str
    hr: str
    hr_lead: str
    rules_position: int
    calendar_position: int

    async def raise_(self, who: str = "", **more: Any) -> Suggestion:
        asked = raising(who or self.agent, **more)
        answer: Suggestion = await self.world.suggestions.RaiseSuggestion(asked, metadata=by(asked.employee_id))
        return answer

    async def get(self, caller: str, one: Suggestion) -> Suggestion:
        request = GetSuggestionRequest(employee_id=one.employee_id, suggestion_id=one.suggestion_id)
        answer: Suggestion = await self.world.suggestions.GetSuggestion(request, metadata=by(caller))
        return answer

    async def list(self, caller: str, **filters: Any) -> list[Suggestion]:
        request = ListSuggestionsRequest(**filters)
        return list((await self.world.suggestions.ListSuggestions(request, metadata=by(caller))).suggestions)

    def later(self, days: int) -> None:
        self.world.clock[0] = MONDAY + timedelta(days=days)


def by(caller: str) -> tuple[tuple[str, str]]:
    return as_person(caller)


def raising(who: str, **more: Any) -> RaiseSuggestionRequest:
    request = RaiseSuggestionRequest(
        suggestion_id=new_id("s"), employee_id=who, kind=SUGGESTION, addressee=LEAD, text="more fresh air"
    )
    request.MergeFrom(RaiseSuggestionRequest(**more))
    return request


@pytest.fixture
async def centre(world: World) -> Centre:
    return await founded(world)


async def founded(world: World) -> Centre:
    team, leads, office, managers = [await world.team() for _ in range(4)]
    lead, manager = await world.employee(leads), await world.employee(managers)
    hr, hr_lead = [await world.employee(office, job_family="hr") for _ in range(2)]
    for led, who in ((team, lead), (leads, manager), (office, hr_lead)):
        request = AppointTeamLeadRequest(team_id=led, lead_id=who, effective_date="2019-01-01")
        await world.directory.AppointTeamLead(request)
    days = Policy(policy_id=new_id("days"), effective_date="2019-01-01", calendar=Calendar(country="LV"))
    calendar = await world.policies.SetPolicy(SetPolicyRequest(policy=days))
    content = CoachingRules(scope=Scope(team_id=team), calendar_id=days.policy_id, answer_business_days=3)
    rules = await world.policies.SetPolicy(
        SetPolicyRequest(policy=Policy(policy_id=new_id("rules"), effective_date="2019-01-01", coaching=content))
    )
    agent, colleague = await world.employee(team), await world.employee(team)
    world.clock[0] = MONDAY
    return Centre(world, team, agent, colleague, lead, manager, hr, hr_lead, rules.log_position, calendar.log_position)


async def test_answered_in_time(both: World) -> None:
    """The day by which an answer is due is counted by the calendar, and both are pinned; then it is done."""
    centre = await founded(both)
    one = await centre.raise_(text="more fresh air")
    # Tuesday, then Christmas Eve to Saturday: Wednesday, and Monday.
    assert (one.state, one.answer_due, one.overdue) == (RAISED, "2026-12-28", False)
    assert (one.rules_position, one.calendar_position) == (centre.rules_position, centre.calendar_position)
    assert ", LV" in one.calendar_version
    centre.later(7)
    accept = AcceptSuggestionRequest(
        request_id="r-1", employee_id=centre.agent, suggestion_id=one.suggestion_id, etag=one.etag, reason="we will"
    )
    accepted = await both.suggestions.AcceptSuggestion(accept, metadata=by(centre.lead))
    assert await both.suggestions.AcceptSuggestion(accept, metadata=by(centre.lead)) == accepted
    assert (accepted.state, accepted.answer, accepted.answered_by, accepted.answered_date) == (
        *(Suggestion.STATE_ACCEPTED, "we will", f"user:{centre.lead}", "2026-12-28"),
    )
    complete = CompleteSuggestionRequest(
        employee_id=centre.agent, suggestion_id=one.suggestion_id, reason="windows are open"
    )
    done = await both.suggestions.CompleteSuggestion(complete, metadata=by(centre.lead))
    assert (done.state, done.completion, done.completed_by) == (
        *(Suggestion.STATE_DONE, "windows are open", f"user:{centre.lead}"),
    )
    assert await centre.get(centre.agent, one) == done
    stale = DeclineSuggestionRequest(
        employee_id=centre.agent, suggestion_id=one.suggestion_id, etag=one.etag, reason="no"
    )
    await refused(
        both.suggestions.DeclineSuggestion(stale, metadata=by(centre.lead)), StatusCode.ABORTED, "ETAG_MISMATCH"
    )
    (follower,) = (one for one in both.services["coaching"].followers if one.handler.name == "suggestions")
    await follower.wait_for(done.log_position, 20)
    assert [step async for step in rebuild(follower)][-1].changed_rows == 0


async def test_saying_it_again(centre: Centre) -> None:
    """Also on another day, when the answer would be due on another; other words under the id are refused."""
    asked = raising(centre.agent)
    first = await centre.world.suggestions.RaiseSuggestion(asked, metadata=by(centre.agent))
    centre.later(1)
    assert await centre.world.suggestions.RaiseSuggestion(asked, metadata=by(centre.agent)) == first
    asked.text = "less noise"
    call = centre.world.suggestions.RaiseSuggestion(asked, metadata=by(centre.agent))
    await refused(call, StatusCode.ALREADY_EXISTS, "SUGGESTION_EXISTS")


async def test_overdue_and_escalated(centre: Centre) -> None:
    """On the day after the last one for an answer it is overdue, and the agent takes it to HR."""
    one, answered = await centre.raise_(), await centre.raise_()
    decline = DeclineSuggestionRequest(
        employee_id=centre.agent, suggestion_id=answered.suggestion_id, reason="too dear"
    )
    declined = await centre.world.suggestions.DeclineSuggestion(decline, metadata=by(centre.lead))
    escalate = EscalateSuggestionRequest(
        employee_id=centre.agent, suggestion_id=one.suggestion_id, reason="a week has passed"
    )
    call = centre.world.suggestions.EscalateSuggestion
    centre.later(7)
    await refused(call(escalate, metadata=by(centre.agent)), StatusCode.FAILED_PRECONDITION, "NOT_OVERDUE")
    assert await centre.list(centre.lead, overdue=True, at_least=answered.log_position) == []
    centre.later(8)
    (overdue,) = await centre.list(centre.lead, overdue=True, at_least=declined.log_position)
    assert (overdue.suggestion_id, overdue.overdue) == (one.suggestion_id, True)
    await refused(call(escalate, metadata=by(centre.lead)), StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
    taken = await call(escalate, metadata=by(centre.agent))
    assert (taken.state, taken.escalated_date, taken.escalation_reason) == (
        *(RAISED, "2026-12-29", "a week has passed"),
    )
    accept = AcceptSuggestionRequest(employee_id=centre.agent, suggestion_id=one.suggestion_id, reason="at last")
    accepting = centre.world.suggestions.AcceptSuggestion
    await refused(accepting(accept, metadata=by(centre.lead)), StatusCode.FAILED_PRECONDITION, "NOT_THE_ADDRESSEE")
    assert (await accepting(accept, metadata=by(centre.hr))).answered_by == f"user:{centre.hr}"
    assert (await centre.get(centre.lead, one)).answer == "at last"


async def test_who_reads(centre: Centre) -> None:
    """The agent, the lead whom it is addressed to, and HR; a complaint about the lead never reaches them."""
    to_lead = await centre.raise_()
    to_hr = await centre.raise_(kind=COMPLAINT, addressee=HR, about_lead=False)
    about = await centre.raise_(kind=COMPLAINT, addressee=HR, about_lead=True)
    all_three = [about.suggestion_id, to_hr.suggestion_id, to_lead.suggestion_id]
    readable = {
        centre.agent: all_three,
        centre.lead: [to_lead.suggestion_id],
        centre.hr: all_three,
        centre.hr_lead: all_three,
        centre.colleague: [],
        centre.manager: [],
    }
    for caller, ids in readable.items():
        listed = await centre.list(caller, employee_id=centre.agent, at_least=about.log_position)
        assert [one.suggestion_id for one in listed] == ids, caller
        for one in (to_lead, to_hr, about):
            if one.suggestion_id in ids:
                assert await centre.get(caller, one) == one
            else:
                await refused(centre.get(caller, one), StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
    for call in (centre.list("nobody"), centre.get("nobody", to_lead)):
        await refused(call, StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
    listed = await centre.list(centre.agent, page_size=2)
    assert [one.suggestion_id for one in listed] == all_three[:2]


async def test_a_lead_in_hr_finds_nothing_about_themself(centre: Centre) -> None:
    """Not in a list, and not by asking: they are told what HR is told of one that there is not."""
    about = await centre.raise_(centre.hr, kind=COMPLAINT, addressee=HR, about_lead=True)
    (seen,) = await centre.list(centre.hr, employee_id=centre.hr, at_least=about.log_position)
    assert seen == about
    assert await centre.list(centre.hr_lead, employee_id=centre.hr) == []
    none = Suggestion(employee_id=centre.hr, suggestion_id="none")
    answers = [
        await refused(centre.get(centre.hr_lead, one), StatusCode.NOT_FOUND, "SUGGESTION_NOT_FOUND")
        for one in (about, none)
    ]
    assert answers[0] == answers[1]
    accept = AcceptSuggestionRequest(employee_id=centre.hr, suggestion_id=about.suggestion_id, reason="mine")
    call = centre.world.suggestions.AcceptSuggestion(accept, metadata=by(centre.hr_lead))
    assert await refused(call, StatusCode.NOT_FOUND, "SUGGESTION_NOT_FOUND") == answers[0]
    own = centre.world.suggestions.AcceptSuggestion(accept, metadata=by(centre.hr))
    await refused(own, StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")


async def test_others_hear_the_same_whatever_there_is(centre: Centre) -> None:
    """Nobody finds out whether there is such a suggestion, or such an employee."""
    about = await centre.raise_(kind=COMPLAINT, addressee=HR, about_lead=True)
    for one in (
        about,
        Suggestion(employee_id=centre.agent, suggestion_id="none"),
        Suggestion(employee_id="no-one", suggestion_id="none"),
    ):
        for caller in (centre.lead, centre.colleague, centre.manager):
            refusal = await refused(centre.get(caller, one), StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
            assert centre.agent not in refusal.message


async def test_nobody_raises_for_others(centre: Centre) -> None:
    """Not HR, not the lead; nobody at all without being employed; and nobody addresses a lead whom there is not."""
    stub = centre.world.suggestions
    for caller in (centre.hr, centre.lead, "nobody"):
        call = stub.RaiseSuggestion(raising(centre.agent), metadata=by(caller))
        await refused(call, StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
    call = stub.RaiseSuggestion(raising("nobody"), metadata=by("nobody"))
    await refused(call, StatusCode.FAILED_PRECONDITION, "NOT_EMPLOYED")
    for who in (centre.manager, centre.hr_lead):  # in a team that nobody leads, or that they lead themself
        call = stub.RaiseSuggestion(raising(who), metadata=by(who))
        await refused(call, StatusCode.FAILED_PRECONDITION, "NO_LEAD")
    for wrong, why in (
        ({"about_lead": True}, "addressed to HR"),
        ({"kind": COMPLAINT, "addressee": HR}, "about_lead, true or false"),
    ):
        call = stub.RaiseSuggestion(raising(centre.agent, **wrong), metadata=by(centre.agent))
        refusal = await refused(call, StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")
        assert why in refusal.message


async def test_who_has_left(centre: Centre) -> None:
    """An agent still reads what they raised; a lead reads nothing any more, and HR answers in their place."""
    one = await centre.raise_()
    for who in (centre.agent, centre.lead):
        left = ChangeEmploymentStatusRequest(
            employee_id=who, status=EMPLOYMENT_STATUS_LEFT, effective_date="2026-12-22"
        )
        await centre.world.directory.ChangeEmploymentStatus(left)
    centre.later(1)
    assert await centre.get(centre.agent, one) == one
    assert await centre.list(centre.lead, at_least=one.log_position) == []
    await refused(centre.get(centre.lead, one), StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
    accept = AcceptSuggestionRequest(employee_id=centre.agent, suggestion_id=one.suggestion_id, reason="we will")
    accepted = await centre.world.suggestions.AcceptSuggestion(accept, metadata=by(centre.hr))
    assert accepted.answered_by == f"user:{centre.hr}"
