"""Suggestions and complaints: answered by whom they are addressed to, and escalated when nobody does."""

from datetime import date

import pytest
from google.protobuf.message import Message
from hypothesis import strategies as st

from libs.common.errors import AlreadyExists, NotAllowed, NotFound
from libs.common.eventsourcing import Context
from services.coaching.suggestion import SUGGESTION, State, suggestion_key
from services.coaching.suggestion_api import held
from stepladder.coaching.v1.events_pb2 import (
    SuggestionAccepted,
    SuggestionCompleted,
    SuggestionDeclined,
    SuggestionEscalated,
    SuggestionRaised,
)
from stepladder.coaching.v1.suggestion_pb2 import (
    AcceptSuggestionRequest,
    CompleteSuggestionRequest,
    DeclineSuggestionRequest,
    EscalateSuggestionRequest,
    RaiseSuggestion,
    RaiseSuggestionRequest,
    Suggestion,
)
from tests.deciding import Given, When, context, fold, given, twice_is_once

DUE = date(2026, 3, 23)
LATE = date(2026, 3, 24)
ACCEPT = AcceptSuggestionRequest(employee_id="e-1", suggestion_id="s-1", reason="good idea")
DECLINE = DeclineSuggestionRequest(employee_id="e-1", suggestion_id="s-1", reason="too dear")
COMPLETE = CompleteSuggestionRequest(employee_id="e-1", suggestion_id="s-1", reason="windows are open")
ESCALATE = EscalateSuggestionRequest(employee_id="e-1", suggestion_id="s-1", reason="a week has passed")


def raising(
    kind: "Suggestion.Kind.ValueType" = Suggestion.KIND_SUGGESTION,
    addressee: "Suggestion.Addressee.ValueType" = Suggestion.ADDRESSEE_LEAD,
    *,
    about_lead: bool = False,
    lead_id: str = "l-1",
    due: str = "2026-03-23",
    text: str = "more fresh air",
) -> RaiseSuggestion:
    request = RaiseSuggestionRequest(
        suggestion_id="s-1", employee_id="e-1", kind=kind, addressee=addressee, about_lead=about_lead, text=text
    )
    return RaiseSuggestion(
        request=request,
        lead_id=lead_id,
        answer_due=due,
        rules_position=7,
        calendar_position=5,
        calendar_version="holidays",
    )


RAISE = raising()
ABOUT_LEAD = raising(Suggestion.KIND_COMPLAINT, Suggestion.ADDRESSEE_HR, about_lead=True)
RAISED = SuggestionRaised(
    suggestion_id="s-1",
    employee_id="e-1",
    kind=Suggestion.KIND_SUGGESTION,
    addressee=Suggestion.ADDRESSEE_LEAD,
    lead_id="l-1",
    text="more fresh air",
    raised_date="2026-03-16",
    answer_due="2026-03-23",
    rules_position=7,
    calendar_position=5,
    calendar_version="holidays",
)
ABOUT = {"suggestion_id": "s-1", "employee_id": "e-1"}
ACCEPTED = SuggestionAccepted(**ABOUT, reason="good idea", accepted_by="user:u-1", accepted_date="2026-03-16")
DECLINED = SuggestionDeclined(**ABOUT, reason="too dear", declined_by="user:u-1", declined_date="2026-03-16")
COMPLETED = SuggestionCompleted(
    **ABOUT, reason="windows are open", completed_by="user:u-1", completed_date="2026-03-16"
)
ESCALATED = SuggestionEscalated(**ABOUT, reason="a week has passed", escalated_date="2026-03-24")


def when(state: Given[State], command: Message, actor: str, today: date) -> When[State]:
    """By somebody else than `u-1`, who is in HR."""
    plain = context(today)
    return When(state, command, Context(now=plain.now, today=today, actor=f"user:{actor}"))


def test_to_its_end() -> None:
    """Raised, accepted, done; each step said again changes nothing."""
    after = given(SUGGESTION).when(RAISE).then(RAISED)
    after.when(RAISE).then()
    after = after.when(ACCEPT).then(ACCEPTED)
    after.when(ACCEPT).then()
    after = after.when(COMPLETE).then(COMPLETED)
    after.when(COMPLETE).then()
    after.when(RAISE).then()


@pytest.mark.parametrize("before", [(), (ACCEPTED,)])
def test_declined(before: tuple[Message, ...]) -> None:
    """At once, or when what was accepted cannot be done after all."""
    after = given(SUGGESTION, RAISED, *before).when(DECLINE).then(DECLINED)
    after.when(DECLINE).then()
    after.when(ACCEPT).refused(NotAllowed, "WRONG_STATE")
    after.when(COMPLETE).refused(NotAllowed, "WRONG_STATE")


def test_wrong_states() -> None:
    """Nothing is completed that was not accepted; what is done stays done; what was not raised does not exist."""
    given(SUGGESTION, RAISED).when(COMPLETE).refused(NotAllowed, "WRONG_STATE")
    done = given(SUGGESTION, RAISED, ACCEPTED, COMPLETED)
    for answer in (ACCEPT, DECLINE):
        done.when(answer).refused(NotAllowed, "WRONG_STATE")
    for command in (ACCEPT, DECLINE, COMPLETE, ESCALATE):
        given(SUGGESTION).when(command).refused(NotFound, "SUGGESTION_NOT_FOUND")


def test_the_same_id() -> None:
    """Other words under it are refused; the same ones on another day, when more is to be looked up, are the same."""
    before = given(SUGGESTION, RAISED)
    before.when(raising(text="less noise")).refused(AlreadyExists, "SUGGESTION_EXISTS")
    before.when(raising(lead_id="l-2", due="2026-03-30"), today=LATE).then()


@pytest.mark.parametrize("command", [RAISE, ABOUT_LEAD])
def test_nobody_leads(command: RaiseSuggestion) -> None:
    """Then nothing is addressed to the lead, nor about them; HR always hears."""
    without = RaiseSuggestion()
    without.CopyFrom(command)
    without.lead_id = ""
    given(SUGGESTION).when(without).refused(NotAllowed, "NO_LEAD")
    to_hr = raising(addressee=Suggestion.ADDRESSEE_HR, lead_id="")
    assert given(SUGGESTION).when(to_hr)._decide()


def test_escalated_when_overdue() -> None:
    """Not on the last day for an answer, but on the day after; then the lead answers no more, and HR does."""
    before = given(SUGGESTION, RAISED)
    when(before, ESCALATE, "e-1", DUE).refused(NotAllowed, "NOT_OVERDUE")
    after = when(before, ESCALATE, "e-1", LATE).then(ESCALATED)
    when(after, ESCALATE, "e-1", LATE).then()
    again = EscalateSuggestionRequest(employee_id="e-1", suggestion_id="s-1", reason="once more")
    when(after, again, "e-1", LATE).refused(NotAllowed, "NOT_OVERDUE")
    when(after, ACCEPT, "l-1", LATE).refused(NotAllowed, "NOT_THE_ADDRESSEE")
    assert after.when(ACCEPT)._decide() == [ACCEPTED]


@pytest.mark.parametrize("command", [raising(due=""), raising(addressee=Suggestion.ADDRESSEE_HR)])
def test_never_escalated(command: RaiseSuggestion) -> None:
    """Where no rule says by when to answer, or HR is to answer anyway."""
    after = given(SUGGESTION, *given(SUGGESTION).when(command)._decide())
    when(after, ESCALATE, "e-1", date(2027, 3, 24)).refused(NotAllowed, "NOT_OVERDUE")


def test_what_is_answered_is_not_escalated() -> None:
    when(given(SUGGESTION, RAISED, ACCEPTED), ESCALATE, "e-1", LATE).refused(NotAllowed, "WRONG_STATE")


@pytest.mark.parametrize(
    ("command", "readers"),
    [
        (RAISE, {"e-1", "l-1", "in HR", "l-1 in HR"}),
        (raising(addressee=Suggestion.ADDRESSEE_HR), {"e-1", "in HR", "l-1 in HR"}),
        (ABOUT_LEAD, {"e-1", "in HR"}),
    ],
)
def test_who_reads(command: RaiseSuggestion, readers: set[str]) -> None:
    """Who raised it, also when they left; the lead addressed, while employed; HR, unless it is about them."""
    state = fold(SUGGESTION, SUGGESTION.initial, given(SUGGESTION).when(command)._decide())
    found = {
        name
        for name, caller, employed, hr in (
            ("e-1", "e-1", False, False),
            ("l-1", "l-1", True, False),
            ("l-1 who left", "l-1", False, False),
            ("l-1 in HR", "l-1", True, True),
            ("another", "e-2", True, False),
            ("in HR", "e-3", True, True),
            ("nobody", "", False, False),
        )
        if held(state, caller, employed=employed, hr=hr)
    }
    assert found == readers
    assert not held(SUGGESTION.initial, "", employed=True, hr=True)


def test_keys_tell_nothing() -> None:
    """Of whose it is; and two employees may take the same id."""
    assert suggestion_key("e-1", "s-1") != suggestion_key("e-2", "s-1")
    assert "e-1" not in suggestion_key("e-1", "s-1")


def test_twice_is_once() -> None:
    """Saying a command again changes nothing."""
    commands = st.sampled_from([RAISE, raising(text="less noise"), ABOUT_LEAD, ACCEPT, DECLINE, COMPLETE, ESCALATE])
    twice_is_once(SUGGESTION, commands)
    twice_is_once(SUGGESTION, commands, RAISED)
