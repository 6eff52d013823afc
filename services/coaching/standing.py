"""What everybody may know of an employee's PIPs: whether they are under one, and what was decided finally."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import assert_never, cast

from google.protobuf.message import Message

from libs.common.eventsourcing import Aggregate, Context
from stepladder.coaching.v1.events_pb2 import EmployeeStandingChanged
from stepladder.coaching.v1.standing_pb2 import BeginPip, EndPip, VoidPip

Command = BeginPip | EndPip | VoidPip
Event = EmployeeStandingChanged


@dataclass(frozen=True, slots=True)
class State:
    """The standing, and while a PIP runs the one before it."""

    now: EmployeeStandingChanged = field(default_factory=EmployeeStandingChanged)
    before: EmployeeStandingChanged = field(default_factory=EmployeeStandingChanged)


def evolve(state: State, event: Message) -> State:
    match cast(Event, event):
        case EmployeeStandingChanged(under_pip=True) as now:
            return State(now, before=state.now)
        case EmployeeStandingChanged() as now:
            return State(now)
        case unknown:
            assert_never(unknown)


def decide(state: State, command: Message, _: Context) -> Sequence[Message]:
    now = state.now
    match cast(Command, command):
        case BeginPip(employee_id=employee_id, since_date=day) if not now.under_pip:
            return [EmployeeStandingChanged(employee_id=employee_id, under_pip=True, since_date=day)]
        case EndPip(ended_date=day, action=action) if now.under_pip:
            return [
                EmployeeStandingChanged(
                    employee_id=now.employee_id, since_date=now.since_date, ended_date=day, action=action
                )
            ]
        case VoidPip(employee_id=employee_id) if now.under_pip:
            restored = EmployeeStandingChanged(employee_id=employee_id)
            restored.MergeFrom(state.before)
            return [restored]
        case BeginPip() | EndPip() | VoidPip():
            return []
        case unknown:
            assert_never(unknown)


STANDING = Aggregate(name="coaching.standing", initial=State(), evolve=evolve, decide=decide)
