"""What is expected of one KPI, of some employees or everyone, by day."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from hashlib import blake2b
from typing import assert_never, cast

from google.protobuf.message import Message

from libs.common.days import History, holding_from, in_force, parse_day
from libs.common.errors import FieldViolation, Invalid
from libs.common.eventsourcing import Aggregate, Context
from stepladder.performance.v1.events_pb2 import TargetSet
from stepladder.performance.v1.kpi_pb2 import SetTargetRequest, Target

Command = SetTargetRequest
Event = TargetSet


def target_id(target: Target) -> str:
    """The aggregate's id: a KPI and a scope. Stored for ever; no id of a KPI or team has an underscore."""
    if target.position or target.stars:
        scope = f"{target.team_id}/{target.position}/{target.stars}"
        return f"{target.kpi_id}_scope_{blake2b(scope.encode(), digest_size=16).hexdigest()}"
    return f"{target.kpi_id}_{target.team_id}" if target.team_id else target.kpi_id


@dataclass(frozen=True, slots=True)
class State:
    """Every target set, without output-only fields; of those for the same day only the last."""

    targets: History[Target] = ()

    def target_on(self, day: date) -> Target | None:
        """The target in force on a day."""
        return in_force(self.targets, day)


def evolve(state: State, event: Message) -> State:
    match cast(Event, event):
        case TargetSet(target=target):
            return State(holding_from(state.targets, date.fromisoformat(target.effective_date), target))
        case unknown:
            assert_never(unknown)


def decide(state: State, command: Message, _: Context) -> Sequence[Message]:
    match cast(Command, command):
        case SetTargetRequest(target=given):
            day = parse_day(given.effective_date, "target.effective_date")
            if given.minimum and given.maximum and Decimal(given.minimum) > Decimal(given.maximum):
                message = f"the minimum {given.minimum} is above the maximum {given.maximum}"
                raise Invalid("TARGET_BOUNDS", message, (FieldViolation("target.minimum", message),))
            target = Target()
            target.CopyFrom(given)
            target.ClearField("log_position")
            return [] if (day, target) in state.targets else [TargetSet(target=target)]
        case unknown:
            assert_never(unknown)


TARGET = Aggregate(name="performance.target", initial=State(), evolve=evolve, decide=decide)


def to_resource(state: State, position: int, day: date) -> Target:
    """The target in force on a day. `position`: of the event that set it."""
    target = Target()
    target.CopyFrom(in_force(state.targets, day) or Target())
    target.log_position = position
    return target
