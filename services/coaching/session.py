"""A session between an employee and whoever leads them: planned, held or missed, acknowledged, and followed up."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import assert_never, cast

from google.protobuf.message import Message

from libs.common.days import parse_day, timestamp
from libs.common.errors import AlreadyExists, FieldViolation, Invalid, NotAllowed, NotFound
from libs.common.eventsourcing import Aggregate, Context, opaque_id
from stepladder.coaching.v1.events_pb2 import (
    ActionFollowedUp,
    SessionAcknowledged,
    SessionCancelled,
    SessionHeld,
    SessionMissed,
    SessionRescheduled,
    SessionScheduled,
)
from stepladder.coaching.v1.session_pb2 import (
    Absence,
    AcknowledgeSessionRequest,
    AgreedAction,
    CancelSessionRequest,
    EndSession,
    FollowUp,
    FollowUpActionRequest,
    HoldSession,
    HoldSessionRequest,
    Minutes,
    MissSessionRequest,
    RescheduleSessionRequest,
    Rescheduling,
    ScheduleSession,
    ScheduleSessionRequest,
    Session,
)

Command = (
    ScheduleSession
    | RescheduleSessionRequest
    | HoldSession
    | AcknowledgeSessionRequest
    | MissSessionRequest
    | CancelSessionRequest
    | EndSession
    | FollowUpActionRequest
)
Event = (
    SessionScheduled
    | SessionRescheduled
    | SessionHeld
    | SessionAcknowledged
    | SessionMissed
    | SessionCancelled
    | ActionFollowedUp
)

PLAN_CLOSED = "The plan was closed."
"""Why the sessions of a plan that are still scheduled are cancelled."""


LONGEST_AGO = timedelta(days=366)
"""How long after its day a session may be told."""


def interview_id(employee_id: str, month: str) -> str:
    """The id of an employee's interview about a month, so that there is one. Stored for ever."""
    return opaque_id("i", employee_id, month)


@dataclass(frozen=True, slots=True)
class State:
    """A session, each part as its event told it; `stage` is unspecified before it is scheduled."""

    stage: Session.State.ValueType = Session.STATE_UNSPECIFIED
    scheduled: SessionScheduled = field(default_factory=SessionScheduled)
    date: str = ""
    reschedulings: tuple[Rescheduling, ...] = ()
    absences: tuple[Absence, ...] = ()
    cancel_reason: str = ""
    held: SessionHeld = field(default_factory=SessionHeld)
    acknowledged: SessionAcknowledged | None = None
    follow_ups: tuple[ActionFollowedUp, ...] = ()

    def follow_up(self, number: int) -> ActionFollowedUp | None:
        """The last word on an action."""
        return next((one for one in reversed(self.follow_ups) if one.number == number), None)


def evolve(state: State, event: Message) -> State:
    match cast(Event, event):
        case SessionScheduled(date=day) as scheduled:
            return State(Session.STATE_SCHEDULED, scheduled, day)
        case SessionRescheduled(date=day, reason=reason):
            put = Rescheduling(from_date=state.date, reason=reason)
            return replace(
                state,
                stage=Session.STATE_SCHEDULED,
                date=day,
                reschedulings=(*state.reschedulings, put),
                cancel_reason="",
            )
        case SessionHeld() as held:
            return replace(state, stage=Session.STATE_HELD, held=held)
        case SessionAcknowledged() as acknowledged:
            return replace(state, acknowledged=acknowledged)
        case SessionMissed(date=day, absent=absent, reason=reason):
            absence = Absence(date=day, absent=absent, reason=reason)
            return replace(state, stage=Session.STATE_MISSED, absences=(*state.absences, absence))
        case SessionCancelled(reason=reason):
            return replace(state, stage=Session.STATE_CANCELLED, cancel_reason=reason)
        case ActionFollowedUp() as followed_up:
            return replace(state, follow_ups=(*state.follow_ups, followed_up))
        case unknown:
            assert_never(unknown)


def decide(state: State, command: Message, context: Context) -> Sequence[Message]:
    session, employee = state.scheduled.session_id, state.scheduled.employee_id
    ids = {"session_id": session, "employee_id": employee}
    match state.stage, cast(Command, command):
        case Session.STATE_UNSPECIFIED, ScheduleSession(request=request) as schedule:
            _refuse_wrong_plan(schedule)
            _refuse_long_ago(parse_day(request.date, "date"), "date", context.today)
            if request.lead_id == request.employee_id:
                message = "nobody holds a session with themself"
                raise Invalid("LEAD_INVALID", message, (FieldViolation("lead_id", message),))
            return [_scheduled(request)]
        case _, ScheduleSession(request=request):
            if _scheduled(request) != state.scheduled:
                raise AlreadyExists("SESSION_EXISTS", f"session {session} was scheduled with other content")
            return []
        case Session.STATE_UNSPECIFIED, _:
            raise NotFound("SESSION_NOT_FOUND", "there is no such session")

        case Session.STATE_SCHEDULED, RescheduleSessionRequest(date=state.date):
            return []
        case ((Session.STATE_SCHEDULED | Session.STATE_MISSED), RescheduleSessionRequest() as put):
            return [_rescheduled(state, put, context.today)]
        case Session.STATE_CANCELLED, RescheduleSessionRequest() as put if (
            state.scheduled.kind == Session.KIND_INTERVIEW
        ):
            return [_rescheduled(state, put, context.today)]
        case Session.STATE_SCHEDULED, HoldSession(request=request, rating_position=position):
            _refuse_wrong_minutes(state, request, context)
            held = _held(state, request, context)
            held.recorded_date, held.rating_position = context.today.isoformat(), position
            return [held]
        case Session.STATE_SCHEDULED, MissSessionRequest(absent=absent, reason=reason):
            if date.fromisoformat(state.date) > context.today:
                raise NotAllowed("DAY_AHEAD", f"it is on {state.date}: nobody has missed it yet; cancel it or move it")
            return [SessionMissed(date=state.date, absent=absent, reason=reason, **ids)]
        case Session.STATE_SCHEDULED, CancelSessionRequest(reason=reason):
            return [SessionCancelled(reason=reason, **ids)]
        case Session.STATE_SCHEDULED, EndSession():
            return [SessionCancelled(reason=PLAN_CLOSED, **ids)]
        case Session.STATE_HELD, AcknowledgeSessionRequest(words=words):
            if state.acknowledged is None:
                return [SessionAcknowledged(acknowledged_time=timestamp(context.now), words=words, **ids)]
            if state.acknowledged.words != words:
                raise NotAllowed("ALREADY_ACKNOWLEDGED", "it was acknowledged before, in other words")
            return []
        case Session.STATE_HELD, FollowUpActionRequest() as given:
            return _followed_up(state, given, context)

        # The same said again in the state that it led to.
        case Session.STATE_HELD, HoldSession(request=request) if _held_so(state, request, context):
            return []
        case Session.STATE_MISSED, MissSessionRequest(absent=absent, reason=reason) if (
            state.absences[-1].absent,
            state.absences[-1].reason,
        ) == (absent, reason):
            return []
        case (_, EndSession()) | (Session.STATE_CANCELLED, CancelSessionRequest(reason=state.cancel_reason)):
            return []
        case stage, _:
            raise NotAllowed("WRONG_STATE", f"the session is {Session.State.Name(stage)[6:]}: {_POSSIBLE[stage]}")


SESSION = Aggregate(name="coaching.session", initial=State(), evolve=evolve, decide=decide)

_POSSIBLE: dict[Session.State.ValueType, str] = {
    Session.STATE_SCHEDULED: "it can be held, missed, put on another day or cancelled",
    Session.STATE_HELD: "it can be acknowledged, and what was agreed followed up",
    Session.STATE_MISSED: "it can be put on another day",
    Session.STATE_CANCELLED: "an interview can be put on another day; of others, schedule a new one",
}


def _scheduled(request: ScheduleSessionRequest) -> SessionScheduled:
    return SessionScheduled(
        session_id=request.session_id,
        employee_id=request.employee_id,
        lead_id=request.lead_id,
        kind=request.kind,
        plan_id=request.plan_id,
        month=request.month,
        date=request.date,
    )


def _refuse_wrong_plan(schedule: ScheduleSession) -> None:
    plan, employee = schedule.request.plan_id, schedule.request.employee_id
    if not plan:
        return
    if schedule.plan_employee_id != employee:
        raise NotFound("PLAN_NOT_FOUND", f"{employee} has no plan {plan}")
    if schedule.plan_closed:
        raise NotAllowed("PLAN_CLOSED", f"plan {plan} is closed: there are no more sessions of it")


def _rescheduled(state: State, put: RescheduleSessionRequest, today: date) -> SessionRescheduled:
    if parse_day(put.date, "date") < today:
        message = f"{put.date} is over; to tell of a session that was held, hold it with that day as held_date"
        raise Invalid("DATE_INVALID", message, (FieldViolation("date", message),))
    return SessionRescheduled(
        session_id=state.scheduled.session_id,
        employee_id=state.scheduled.employee_id,
        date=put.date,
        reason=put.reason,
        plan_id=state.scheduled.plan_id,
    )


def _refuse_wrong_minutes(state: State, request: HoldSessionRequest, context: Context) -> None:
    held = parse_day(request.held_date, "held_date")
    if held > context.today:
        message = f"{held} is still to come"
        raise Invalid("DATE_INVALID", message, (FieldViolation("held_date", message),))
    _refuse_long_ago(held, "held_date", context.today)
    if request.held_date < state.scheduled.month:
        message = f"{held} lies before {state.scheduled.month}, which the interview is about"
        raise Invalid("DATE_INVALID", message, (FieldViolation("held_date", message),))
    there = (state.scheduled.employee_id, state.scheduled.lead_id, context.actor.removeprefix("user:"))
    for index, action in enumerate(request.actions):
        name = f"actions[{index}]"
        if parse_day(action.due_date, f"{name}.due_date") < held:
            message = "must not lie before the session"
            raise Invalid("DATE_INVALID", message, (FieldViolation(f"{name}.due_date", message),))
        if action.owner_id not in there:
            message = "must be the employee, or whoever holds the session: nobody else was there to agree"
            raise Invalid("OWNER_INVALID", message, (FieldViolation(f"{name}.owner_id", message),))


def _refuse_long_ago(day: date, name: str, today: date) -> None:
    if day < today - LONGEST_AGO:
        message = f"{day} is more than a year ago: nobody remembers it well enough to tell of it"
        raise Invalid("DATE_INVALID", message, (FieldViolation(name, message),))


def _held(state: State, request: HoldSessionRequest, context: Context) -> SessionHeld:
    """What a request says of a session. Texts of actions stand apart, to be sealed."""
    return SessionHeld(
        session_id=state.scheduled.session_id,
        employee_id=state.scheduled.employee_id,
        held_date=request.held_date,
        held_by=context.actor,
        observed=request.observed,
        feedback=request.feedback,
        actions=[AgreedAction(owner_id=one.owner_id, due_date=one.due_date) for one in request.actions],
        texts=[one.text for one in request.actions],
    )


def _held_so(state: State, request: HoldSessionRequest, context: Context) -> bool:
    """Whether it was held in this way already."""
    said = SessionHeld()
    said.CopyFrom(state.held)
    for name in ("recorded_date", "rating_position"):
        said.ClearField(name)
    return said == _held(state, request, context)


def _followed_up(state: State, given: FollowUpActionRequest, context: Context) -> list[Message]:
    held = state.held
    if given.number > len(held.actions):
        raise NotFound(
            "ACTION_NOT_FOUND", f"{len(held.actions)} actions were agreed; there is no number {given.number}"
        )
    if not parse_day(held.held_date, "date") <= parse_day(given.date, "date") <= context.today:
        message = f"must be a day from {held.held_date}, when it was agreed, up to today"
        raise Invalid("DATE_INVALID", message, (FieldViolation("date", message),))
    followed_up = ActionFollowedUp(
        session_id=held.session_id,
        employee_id=held.employee_id,
        number=given.number,
        done=given.done,
        note=given.note,
        date=given.date,
        followed_up_by=context.actor,
    )
    return [] if followed_up == state.follow_up(given.number) else [followed_up]


def to_resource(state: State, position: int, today: date, *, texts: bool) -> Session:
    """The session as of a day; without what was said and agreed unless `texts`."""
    scheduled = state.scheduled
    session = Session(
        session_id=scheduled.session_id,
        employee_id=scheduled.employee_id,
        lead_id=scheduled.lead_id,
        kind=scheduled.kind,
        plan_id=scheduled.plan_id,
        month=scheduled.month,
        state=state.stage,
        date=state.date,
        overdue=state.stage == Session.STATE_SCHEDULED and state.date < today.isoformat(),
        reschedulings=state.reschedulings,
        absences=state.absences,
        cancel_reason=state.cancel_reason,
        minutes=_minutes(state) if state.stage == Session.STATE_HELD else None,
        etag=str(position),
        log_position=position,
    )
    if not texts:
        _withhold(session)
    return session


def _minutes(state: State) -> Minutes:
    held, acknowledged = state.held, state.acknowledged
    return Minutes(
        held_date=held.held_date,
        recorded_date=held.recorded_date,
        held_by=held.held_by,
        observed=held.observed,
        feedback=held.feedback,
        actions=[_action(state, number) for number in range(1, len(held.actions) + 1)],
        rating_position=held.rating_position,
        acknowledged_time=acknowledged.acknowledged_time if acknowledged else None,
        employee_words=acknowledged.words if acknowledged else "",
    )


def _action(state: State, number: int) -> AgreedAction:
    action, texts = state.held.actions[number - 1], state.held.texts
    followed_up = state.follow_up(number)
    return AgreedAction(
        number=number,
        owner_id=action.owner_id,
        text=texts[min(number, len(texts)) - 1],  # of an erased person, one text is left for all
        due_date=action.due_date,
        follow_up=FollowUp(
            done=followed_up.done,
            note=followed_up.note,
            date=followed_up.date,
            followed_up_by=followed_up.followed_up_by,
        )
        if followed_up
        else None,
    )


def _withhold(session: Session) -> None:
    """Takes out what was said and agreed; that it was, and its days, stay."""
    session.ClearField("cancel_reason")
    for one in (*session.reschedulings, *session.absences):
        one.ClearField("reason")
    if session.HasField("minutes"):
        for name in ("observed", "feedback", "employee_words"):
            session.minutes.ClearField(name)
    for action in session.minutes.actions:
        action.ClearField("text")
        if action.HasField("follow_up"):
            action.follow_up.ClearField("note")
