"""A training: asked for because many share a problem, given by the trainer who was asked."""

from datetime import date

import pytest
from google.protobuf.message import Message
from hypothesis import strategies as st

from libs.common.errors import AlreadyExists, Invalid, NotAllowed, NotFound
from services.coaching.training import TRAINING
from stepladder.coaching.v1.events_pb2 import (
    TrainingAccepted,
    TrainingCancelled,
    TrainingClosed,
    TrainingHeld,
    TrainingRequested,
    TrainingScheduled,
)
from stepladder.coaching.v1.measure_pb2 import FormItem, Measure
from stepladder.coaching.v1.training_pb2 import (
    AcceptTrainingRequest,
    CancelTrainingRequest,
    CloseTrainingRequest,
    HoldTrainingRequest,
    RequestTraining,
    RequestTrainingRequest,
    ScheduleTrainingRequest,
    SharedProblem,
)
from tests.deciding import given, twice_is_once

LATER = date(2026, 3, 24)
MEASURE = Measure(form_item=FormItem(form_id="calls", item_id="solution"))
PROBLEM = SharedProblem(measure=MEASURE, employees=9, employees_missed=6, evaluations=40, evaluations_missed=11)
ACCEPT = AcceptTrainingRequest(training_id="t-1")
SCHEDULE = ScheduleTrainingRequest(training_id="t-1", date="2026-03-23")
HOLD = HoldTrainingRequest(training_id="t-1", date="2026-03-23", participant_ids=["e-1", "e-2"])
CLOSE = CloseTrainingRequest(training_id="t-1", reason="they listen now")
CANCEL = CancelTrainingRequest(training_id="t-1", reason="no room")


def asking(
    note: str = "they do not listen", *, missed: int = 6, trainer: bool = True, known_at: int = 99
) -> RequestTraining:
    request = RequestTrainingRequest(
        training_id="t-1",
        team_id="team",
        trainer_id="u-1",
        measure=MEASURE,
        start_date="2026-02-01",
        end_date="2026-02-28",
        note=note,
    )
    problem = SharedProblem(measure=MEASURE)
    problem.MergeFrom(PROBLEM)
    problem.employees_missed = missed
    return RequestTraining(
        request=request,
        problem=problem,
        known_at=known_at,
        smallest_group=5,
        rules_position=7,
        requested_by="l-1",
        trainer=trainer,
    )


ASK = asking()
REQUESTED = TrainingRequested(
    training_id="t-1",
    team_id="team",
    trainer_id="u-1",
    employee_id="l-1",
    problem=PROBLEM,
    start_date="2026-02-01",
    end_date="2026-02-28",
    known_at=99,
    rules_position=7,
    note="they do not listen",
    requested_date="2026-03-16",
)
ACCEPTED = TrainingAccepted(training_id="t-1")
SCHEDULED = TrainingScheduled(training_id="t-1", date="2026-03-23")
HELD = TrainingHeld(training_id="t-1", date="2026-03-23", participant_ids=["e-1", "e-2"])
CLOSED = TrainingClosed(training_id="t-1", employee_id="l-1", reason="they listen now")
CANCELLED = TrainingCancelled(training_id="t-1", employee_id="l-1", reason="no room")


def test_to_its_end() -> None:
    """From the request to what came of it; each step said again changes nothing."""
    after = given(TRAINING).when(ASK).then(REQUESTED)
    for command, event in ((ACCEPT, ACCEPTED), (SCHEDULE, SCHEDULED), (HOLD, HELD), (CLOSE, CLOSED)):
        after = after.when(command, LATER if command is not SCHEDULE else date(2026, 3, 16)).then(event)
        after.when(command, LATER).then()
    after.when(CANCEL).refused(NotAllowed, "WRONG_STATE")
    after.when(ASK).then()


@pytest.mark.parametrize("before", [(), (ACCEPTED,), (ACCEPTED, SCHEDULED)])
def test_cancelled(before: tuple[Message, ...]) -> None:
    """Until it is held."""
    after = given(TRAINING, REQUESTED, *before).when(CANCEL).then(CANCELLED)
    after.when(CANCEL).then()
    for command in (ACCEPT, SCHEDULE, HOLD, CLOSE):
        after.when(command, LATER).refused(NotAllowed, "WRONG_STATE")
    given(TRAINING, REQUESTED, ACCEPTED, SCHEDULED, HELD).when(CANCEL).refused(NotAllowed, "WRONG_STATE")


def test_wrong_order() -> None:
    """What was not accepted is not scheduled; what was not scheduled is not held; what was not held is not closed."""
    given(TRAINING, REQUESTED).when(SCHEDULE).refused(NotAllowed, "WRONG_STATE")
    given(TRAINING, REQUESTED, ACCEPTED).when(HOLD, LATER).refused(NotAllowed, "WRONG_STATE")
    given(TRAINING, REQUESTED, ACCEPTED, SCHEDULED).when(CLOSE, LATER).refused(NotAllowed, "WRONG_STATE")
    for command in (ACCEPT, SCHEDULE, HOLD, CLOSE, CANCEL):
        given(TRAINING).when(command, LATER).refused(NotFound, "TRAINING_NOT_FOUND")


def test_asked_for() -> None:
    """Of a trainer, and because many share the problem; again it is the same, whatever the numbers are by then."""
    given(TRAINING).when(asking(trainer=False)).refused(Invalid, "TRAINER_INVALID")
    given(TRAINING).when(asking(missed=4)).refused(NotAllowed, "NOT_SHARED")
    assert given(TRAINING).when(asking(missed=5))._decide()
    after = given(TRAINING, REQUESTED)
    after.when(asking(missed=4, known_at=120, trainer=False), LATER).then()
    after.when(asking("they do not ask")).refused(AlreadyExists, "TRAINING_EXISTS")


def test_scheduled_anew() -> None:
    """For another day, not for one that is over."""
    other = ScheduleTrainingRequest(training_id="t-1", date="2026-03-30")
    before = given(TRAINING, REQUESTED, ACCEPTED, SCHEDULED)
    before.when(other, LATER).then(TrainingScheduled(training_id="t-1", date="2026-03-30")).when(
        SCHEDULE, LATER
    ).refused(Invalid, "DATE_INVALID")


@pytest.mark.parametrize("day", ["2026-03-25", "2026-03-15", "2026-02-29"])
def test_held_on_a_wrong_day(day: str) -> None:
    """To come, before it was asked for, in no calendar."""
    hold = HoldTrainingRequest(training_id="t-1", date=day, participant_ids=["e-1"])
    given(TRAINING, REQUESTED, ACCEPTED, SCHEDULED).when(hold, LATER).refused(Invalid, "DATE_INVALID")


def test_twice_is_once() -> None:
    """Saying a command again changes nothing."""
    commands = st.sampled_from([ASK, ACCEPT, SCHEDULE, HOLD, CLOSE, CANCEL])
    twice_is_once(TRAINING, commands)
    twice_is_once(TRAINING, commands, REQUESTED, ACCEPTED)
