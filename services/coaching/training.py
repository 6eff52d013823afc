"""A training for a problem that many agents share, from its request to what came of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import assert_never, cast

from google.protobuf.message import Message

from libs.common.days import parse_day
from libs.common.errors import AlreadyExists, FieldViolation, Invalid, NotAllowed, NotFound
from libs.common.eventsourcing import Aggregate, Context
from stepladder.coaching.v1.events_pb2 import (
    TrainingAccepted,
    TrainingCancelled,
    TrainingClosed,
    TrainingHeld,
    TrainingRequested,
    TrainingScheduled,
)
from stepladder.coaching.v1.training_pb2 import (
    AcceptTrainingRequest,
    CancelTrainingRequest,
    CloseTrainingRequest,
    HoldTrainingRequest,
    RequestTraining,
    ScheduleTrainingRequest,
    Training,
)

Command = (
    RequestTraining
    | AcceptTrainingRequest
    | ScheduleTrainingRequest
    | HoldTrainingRequest
    | CloseTrainingRequest
    | CancelTrainingRequest
)
Event = TrainingRequested | TrainingAccepted | TrainingScheduled | TrainingHeld | TrainingClosed | TrainingCancelled


@dataclass(frozen=True, slots=True)
class State:
    """The training, each part as its event told it; `stage` is unspecified before the request."""

    stage: Training.State.ValueType = Training.STATE_UNSPECIFIED
    requested: TrainingRequested = field(default_factory=TrainingRequested)
    scheduled_date: str = ""
    held: TrainingHeld = field(default_factory=TrainingHeld)
    reason: str = ""


def evolve(state: State, event: Message) -> State:
    match cast(Event, event):
        case TrainingRequested() as requested:
            return replace(state, stage=Training.STATE_REQUESTED, requested=requested)
        case TrainingAccepted():
            return replace(state, stage=Training.STATE_ACCEPTED)
        case TrainingScheduled(date=day):
            return replace(state, stage=Training.STATE_SCHEDULED, scheduled_date=day)
        case TrainingHeld() as held:
            return replace(state, stage=Training.STATE_HELD, held=held)
        case TrainingClosed(reason=reason):
            return replace(state, stage=Training.STATE_CLOSED, reason=reason)
        case TrainingCancelled(reason=reason):
            return replace(state, stage=Training.STATE_CANCELLED, reason=reason)
        case unknown:
            assert_never(unknown)


def decide(state: State, command: Message, context: Context) -> Sequence[Message]:
    training_id, employee_id = state.requested.training_id, state.requested.employee_id
    today = context.today
    match state.stage, cast(Command, command):
        case Training.STATE_UNSPECIFIED, RequestTraining(request=request) as looked_up:
            requested = _requested(looked_up, today.isoformat())
            if not looked_up.trainer:
                message = f"{request.trainer_id} is no employee of the job family `trainer`"
                raise Invalid("TRAINER_INVALID", message, (FieldViolation("trainer_id", message),))
            if looked_up.problem.employees_missed < looked_up.smallest_group:
                message = f"fewer than {looked_up.smallest_group} members of the team have this problem"
                raise NotAllowed("NOT_SHARED", message)
            return [requested]
        case _, RequestTraining() as looked_up:
            if _asked(_requested(looked_up, "")) != _asked(state.requested):
                raise AlreadyExists("TRAINING_EXISTS", f"training {training_id} was asked for with other content")
            return []
        case Training.STATE_UNSPECIFIED, _:
            raise NotFound("TRAINING_NOT_FOUND", "there is no such training")

        case Training.STATE_REQUESTED, AcceptTrainingRequest():
            return [TrainingAccepted(training_id=training_id)]
        case Training.STATE_ACCEPTED | Training.STATE_SCHEDULED, ScheduleTrainingRequest(date=day):
            if day == state.scheduled_date:
                return []
            if parse_day(day, "date") < today:
                raise _date_invalid(f"{day} is over")
            return [TrainingScheduled(training_id=training_id, date=day)]
        case Training.STATE_SCHEDULED, HoldTrainingRequest(date=day, participant_ids=participant_ids):
            if parse_day(day, "date") > today:
                raise _date_invalid(f"{day} is still to come")
            if day < state.requested.requested_date:
                raise _date_invalid(f"it was asked for on {state.requested.requested_date}")
            return [TrainingHeld(training_id=training_id, date=day, participant_ids=participant_ids)]
        case Training.STATE_HELD, CloseTrainingRequest(reason=reason):
            return [TrainingClosed(training_id=training_id, employee_id=employee_id, reason=reason)]
        case (
            Training.STATE_REQUESTED | Training.STATE_ACCEPTED | Training.STATE_SCHEDULED,
            CancelTrainingRequest(reason=reason),
        ):
            return [TrainingCancelled(training_id=training_id, employee_id=employee_id, reason=reason)]

        # The same said again in the state that it led to.
        case (Training.STATE_ACCEPTED, AcceptTrainingRequest()) | (
            Training.STATE_HELD,
            HoldTrainingRequest(date=state.held.date, participant_ids=state.held.participant_ids),
        ):
            return []
        case (Training.STATE_CLOSED, CloseTrainingRequest(reason=state.reason)) | (
            Training.STATE_CANCELLED,
            CancelTrainingRequest(reason=state.reason),
        ):
            return []
        case stage, _:
            raise NotAllowed("WRONG_STATE", f"the training is {Training.State.Name(stage)[6:]}: {_POSSIBLE[stage]}")


TRAINING = Aggregate(name="coaching.trainingrequest", initial=State(), evolve=evolve, decide=decide)

_POSSIBLE: dict[Training.State.ValueType, str] = {
    Training.STATE_REQUESTED: "it can be accepted or cancelled",
    Training.STATE_ACCEPTED: "it can be scheduled or cancelled",
    Training.STATE_SCHEDULED: "it can be held, scheduled for another day or cancelled",
    Training.STATE_HELD: "it can be closed",
    Training.STATE_CLOSED: "nothing can be changed any more",
    Training.STATE_CANCELLED: "nothing can be changed any more",
}


def _requested(looked_up: RequestTraining, day: str) -> TrainingRequested:
    request = looked_up.request
    return TrainingRequested(
        training_id=request.training_id,
        team_id=request.team_id,
        trainer_id=request.trainer_id,
        employee_id=looked_up.requested_by,
        problem=looked_up.problem,
        start_date=request.start_date,
        end_date=request.end_date,
        known_at=looked_up.known_at,
        rules_position=looked_up.rules_position,
        note=request.note,
        requested_date=day,
    )


def _asked(requested: TrainingRequested) -> TrainingRequested:
    """What was asked for, without what was looked up: by that a repetition is told."""
    asked = TrainingRequested()
    asked.CopyFrom(requested)
    for name in ("known_at", "rules_position", "requested_date", "problem"):
        asked.ClearField(name)
    asked.problem.measure.CopyFrom(requested.problem.measure)
    return asked


def _date_invalid(message: str) -> Invalid:
    return Invalid("DATE_INVALID", message, (FieldViolation("date", message),))


def to_resource(state: State, position: int) -> Training:
    requested = state.requested
    return Training(
        training_id=requested.training_id,
        team_id=requested.team_id,
        trainer_id=requested.trainer_id,
        requested_by=requested.employee_id,
        state=state.stage,
        problem=requested.problem,
        start_date=requested.start_date,
        end_date=requested.end_date,
        known_at=requested.known_at,
        rules_position=requested.rules_position,
        note=requested.note,
        requested_date=requested.requested_date,
        scheduled_date=state.scheduled_date,
        held_date=state.held.date,
        participant_ids=state.held.participant_ids,
        reason=state.reason,
        etag=str(position),
        log_position=position,
    )
