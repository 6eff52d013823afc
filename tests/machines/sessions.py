"""Sessions, as they are tried: one of a coaching plan, and an interview."""

from datetime import date

from services.coaching.session import PLAN_CLOSED, SESSION, State
from stepladder.coaching.v1.session_pb2 import ScheduleSession, Session
from tests.coaching.test_session import (
    ACKNOWLEDGE,
    CANCEL,
    END,
    MISS,
    RESCHEDULE,
    follow_up,
    hold,
    schedule,
)
from tests.machines.exploring import Machine, Step

MOVED = date.fromisoformat(RESCHEDULE.date)


def shown(state: State) -> str:
    name = Session.State.Name(state.stage).removeprefix("STATE_")
    if state.stage == Session.STATE_SCHEDULED and state.reschedulings:
        return f"{name}, moved"
    if state.stage == Session.STATE_CANCELLED and state.cancel_reason == PLAN_CLOSED:
        return f"{name} with the plan"
    name += ", acknowledged" if state.acknowledged else ""
    return f"{name}, followed up" if state.follow_ups else name


def machine(title: str, scheduled: ScheduleSession, *others: Step) -> Machine[State]:
    return Machine(
        title=title,
        source="services/coaching/session.py",
        aggregate=SESSION,
        steps=[
            Step(scheduled),
            Step(RESCHEDULE),
            Step(hold(), today=date(2026, 3, 15), said="too early"),
            Step(hold()),
            Step(MISS, today=date(2026, 3, 15), said="too early"),
            Step(MISS, today=MOVED),
            Step(ACKNOWLEDGE),
            Step(follow_up()),
            Step(CANCEL),
            *others,
        ],
        shown=shown,
    )


SESSIONS = machine("Session of a coaching plan", schedule(), Step(END))
INTERVIEWS = machine("Interview", schedule(kind=Session.KIND_INTERVIEW))
