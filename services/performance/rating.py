"""How an employee's months are rated."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import assert_never, cast

from google.protobuf.message import Message

from libs.common.eventsourcing import Aggregate, Context
from stepladder.performance.v1.events_pb2 import MonthRated
from stepladder.performance.v1.facts_pb2 import MonthRating, RateMonthRequest, Rating

Command = RateMonthRequest
Event = MonthRated


@dataclass(frozen=True, slots=True)
class State:
    """The rating of each rated month (YYYY-MM)."""

    employee_id: str = ""
    months: Mapping[str, Rating.ValueType] = field(default_factory=dict)


def evolve(state: State, event: Message) -> State:
    match cast(Event, event):
        case MonthRated(employee_id=employee_id, month=month, rating=rating):
            return State(employee_id, {**state.months, month: rating})
        case unknown:
            assert_never(unknown)


def decide(state: State, command: Message, _: Context) -> Sequence[Message]:
    match cast(Command, command):
        case RateMonthRequest(month=month, rating=rating) if state.months.get(month) == rating:
            return []
        case RateMonthRequest(employee_id=employee_id, month=month, rating=rating):
            return [MonthRated(employee_id=employee_id, month=month, rating=rating)]
        case unknown:
            assert_never(unknown)


RATING = Aggregate(name="performance.rating", initial=State(), evolve=evolve, decide=decide)
"""One for each employee, under the employee's id."""


def to_resource(state: State, position: int, month: str) -> MonthRating:
    """The rating of a rated month; `position`: of the employee's latest rating."""
    return MonthRating(employee_id=state.employee_id, month=month, rating=state.months[month], log_position=position)


def months_before(state: State, start: Sequence[str | int] | None) -> list[str]:
    """Rated months, the latest first; only those before the page token's month where there is one."""
    return [month for month in sorted(state.months, reverse=True) if start is None or month < str(start[0])]
