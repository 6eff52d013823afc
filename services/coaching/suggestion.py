"""What an agent suggests or complains about, and what they are answered. Restricted: only few may read it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import assert_never, cast

from google.protobuf.message import Message

from libs.common.errors import AlreadyExists, NotAllowed, NotFound
from libs.common.eventsourcing import Aggregate, Context, opaque_id
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

Command = (
    RaiseSuggestion
    | AcceptSuggestionRequest
    | DeclineSuggestionRequest
    | CompleteSuggestionRequest
    | EscalateSuggestionRequest
)
Event = SuggestionRaised | SuggestionAccepted | SuggestionDeclined | SuggestionCompleted | SuggestionEscalated


def suggestion_key(employee_id: str, suggestion_id: str) -> str:
    """The aggregate's id. It tells nobody who sees it whose it is. Stored for ever."""
    return opaque_id("s", employee_id, suggestion_id)


@dataclass(frozen=True, slots=True)
class State:
    """The suggestion, each part as its event told it; `stage` is unspecified before it is raised."""

    stage: Suggestion.State.ValueType = Suggestion.STATE_UNSPECIFIED
    raised: SuggestionRaised = field(default_factory=SuggestionRaised)
    accepted: SuggestionAccepted = field(default_factory=SuggestionAccepted)
    declined: SuggestionDeclined = field(default_factory=SuggestionDeclined)
    completed: SuggestionCompleted = field(default_factory=SuggestionCompleted)
    escalated: SuggestionEscalated = field(default_factory=SuggestionEscalated)

    @property
    def is_escalated(self) -> bool:
        return self.escalated.escalated_date != ""

    @property
    def reading_lead(self) -> str:
        """The lead whom it was addressed to; empty: HR."""
        return self.raised.lead_id if self.raised.addressee == Suggestion.ADDRESSEE_LEAD else ""

    def overdue_on(self, day: date) -> bool:
        """Whether nobody has answered, and the day by which somebody was to is over."""
        return is_overdue(self.stage, self.raised.answer_due, day)


def is_overdue(stage: Suggestion.State.ValueType, answer_due: str, day: date) -> bool:
    return stage == Suggestion.STATE_RAISED and answer_due != "" and answer_due < day.isoformat()


def evolve(state: State, event: Message) -> State:
    match cast(Event, event):
        case SuggestionRaised() as raised:
            return replace(state, stage=Suggestion.STATE_RAISED, raised=raised)
        case SuggestionAccepted() as accepted:
            return replace(state, stage=Suggestion.STATE_ACCEPTED, accepted=accepted)
        case SuggestionDeclined() as declined:
            return replace(state, stage=Suggestion.STATE_DECLINED, declined=declined)
        case SuggestionCompleted() as completed:
            return replace(state, stage=Suggestion.STATE_DONE, completed=completed)
        case SuggestionEscalated() as escalated:
            return replace(state, escalated=escalated)
        case unknown:
            assert_never(unknown)


def decide(state: State, command: Message, context: Context) -> Sequence[Message]:
    today = context.today.isoformat()
    employee_id = state.raised.employee_id
    about = {"suggestion_id": state.raised.suggestion_id, "employee_id": employee_id}
    match state.stage, cast(Command, command):
        case Suggestion.STATE_UNSPECIFIED, RaiseSuggestion(request=request, lead_id=lead_id) as looked_up:
            if not lead_id and (request.addressee == Suggestion.ADDRESSEE_LEAD or request.about_lead):
                raise NotAllowed("NO_LEAD", f"nobody leads {request.employee_id}: address it to HR")
            return [
                SuggestionRaised(
                    suggestion_id=request.suggestion_id,
                    employee_id=request.employee_id,
                    kind=request.kind,
                    addressee=request.addressee,
                    lead_id=lead_id,
                    about_lead=request.about_lead,
                    text=request.text,
                    raised_date=today,
                    answer_due=looked_up.answer_due,
                    rules_position=looked_up.rules_position,
                    calendar_position=looked_up.calendar_position,
                    calendar_version=looked_up.calendar_version,
                )
            ]
        case _, RaiseSuggestion(request=request):
            if _content(request) != _content(state.raised):
                message = f"suggestion {request.suggestion_id} says something else already"
                raise AlreadyExists("SUGGESTION_EXISTS", message)
            return []
        case Suggestion.STATE_UNSPECIFIED, _:
            raise NotFound("SUGGESTION_NOT_FOUND", "the employee has raised no such suggestion")

        case _, EscalateSuggestionRequest(reason=reason):
            if state.is_escalated and reason == state.escalated.reason:
                return []
            if state.stage != Suggestion.STATE_RAISED:
                raise _wrong_state(state.stage)
            if state.is_escalated or not state.reading_lead:
                raise NotAllowed("NOT_OVERDUE", "it is for HR to answer already")
            if not state.overdue_on(context.today):
                due = state.raised.answer_due
                until = (
                    f"there is time up to {due} to answer it" if due else "no rule says by when it is to be answered"
                )
                raise NotAllowed("NOT_OVERDUE", until)
            return [SuggestionEscalated(**about, reason=reason, escalated_date=today)]

        case Suggestion.STATE_RAISED, AcceptSuggestionRequest(reason=reason):
            _refuse_lead_once_escalated(state, context)
            return [SuggestionAccepted(**about, reason=reason, accepted_by=context.actor, accepted_date=today)]
        case Suggestion.STATE_RAISED | Suggestion.STATE_ACCEPTED, DeclineSuggestionRequest(reason=reason):
            _refuse_lead_once_escalated(state, context)
            return [SuggestionDeclined(**about, reason=reason, declined_by=context.actor, declined_date=today)]
        case Suggestion.STATE_ACCEPTED, CompleteSuggestionRequest(reason=reason):
            _refuse_lead_once_escalated(state, context)
            return [SuggestionCompleted(**about, reason=reason, completed_by=context.actor, completed_date=today)]

        # The same said again in the state that it led to.
        case (
            (Suggestion.STATE_ACCEPTED, AcceptSuggestionRequest(reason=state.accepted.reason))
            | (Suggestion.STATE_DECLINED, DeclineSuggestionRequest(reason=state.declined.reason))
            | (Suggestion.STATE_DONE, CompleteSuggestionRequest(reason=state.completed.reason))
        ):
            _refuse_lead_once_escalated(state, context)
            return []
        case stage, _:
            raise _wrong_state(stage)


SUGGESTION = Aggregate(name="coaching.suggestion", initial=State(), evolve=evolve, decide=decide, restricted=True)

_POSSIBLE: dict[Suggestion.State.ValueType, str] = {
    Suggestion.STATE_RAISED: "it can be accepted or declined, and escalated once it is overdue",
    Suggestion.STATE_ACCEPTED: "it can be completed or declined",
    Suggestion.STATE_DECLINED: "nothing can be changed any more",
    Suggestion.STATE_DONE: "nothing can be changed any more",
}


def _wrong_state(stage: Suggestion.State.ValueType) -> NotAllowed:
    return NotAllowed("WRONG_STATE", f"it is {Suggestion.State.Name(stage)[6:]}: {_POSSIBLE[stage]}")


def _content(given: RaiseSuggestionRequest | SuggestionRaised) -> tuple[int, int, bool, str]:
    """What the employee says, by which a repetition is told."""
    return given.kind, given.addressee, given.about_lead, given.text


def _refuse_lead_once_escalated(state: State, context: Context) -> None:
    if state.is_escalated and context.actor == f"user:{state.reading_lead}":
        raise NotAllowed("NOT_THE_ADDRESSEE", "it was escalated: it is for HR to answer")


def to_resource(state: State, position: int, today: date) -> Suggestion:
    raised, answered, declined = state.raised, state.accepted, state.declined
    lately = state.stage == Suggestion.STATE_DECLINED
    return Suggestion(
        suggestion_id=raised.suggestion_id,
        employee_id=raised.employee_id,
        kind=raised.kind,
        addressee=raised.addressee,
        lead_id=state.reading_lead,
        about_lead=raised.about_lead,
        text=raised.text,
        state=state.stage,
        raised_date=raised.raised_date,
        answer_due=raised.answer_due,
        overdue=state.overdue_on(today),
        answer=declined.reason if lately else answered.reason,
        answered_by=declined.declined_by if lately else answered.accepted_by,
        answered_date=declined.declined_date if lately else answered.accepted_date,
        completion=state.completed.reason,
        completed_by=state.completed.completed_by,
        completed_date=state.completed.completed_date,
        escalated_date=state.escalated.escalated_date,
        escalation_reason=state.escalated.reason,
        rules_position=raised.rules_position,
        calendar_position=raised.calendar_position,
        calendar_version=raised.calendar_version,
        etag=str(position),
        log_position=position,
    )
