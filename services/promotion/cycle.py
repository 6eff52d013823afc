"""A promotion cycle: the span of time in which competitions are opened, regular by rules or of its own."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import assert_never, cast

from google.protobuf.message import Message

from libs.common.days import parse_day
from libs.common.errors import AlreadyExists, FieldViolation, Invalid, NotFound
from libs.common.eventsourcing import Aggregate, Context, opaque_id
from stepladder.promotion.v1.cycle_pb2 import CloseCycleRequest, Cycle, OpenCycleRequest, OpenRegularCycle
from stepladder.promotion.v1.events_pb2 import CycleClosed, CycleOpened

Command = OpenCycleRequest | OpenRegularCycle | CloseCycleRequest
Event = CycleOpened | CycleClosed


@dataclass(frozen=True, slots=True)
class State:
    """The cycle, each part as its event told it; `stage` is unspecified before it is opened."""

    stage: Cycle.State.ValueType = Cycle.STATE_UNSPECIFIED
    opened: CycleOpened = field(default_factory=CycleOpened)
    closed: CycleClosed = field(default_factory=CycleClosed)

    def takes_competitions(self, day: date) -> bool:
        """Whether competitions may be opened in it on a day: the clock may be late."""
        return self.stage == Cycle.STATE_OPEN and day.isoformat() <= self.opened.end_date


def evolve(state: State, event: Message) -> State:
    match cast(Event, event):
        case CycleOpened() as opened:
            return replace(state, stage=Cycle.STATE_OPEN, opened=opened)
        case CycleClosed() as closed:
            return replace(state, stage=Cycle.STATE_CLOSED, closed=closed)
        case unknown:
            assert_never(unknown)


def decide(state: State, command: Message, context: Context) -> Sequence[Message]:
    opened, today = state.opened, context.today
    match state.stage, cast(Command, command):
        case Cycle.STATE_UNSPECIFIED, OpenRegularCycle() as regular:
            first = max(today, date.fromisoformat(f"{regular.month}-01"))
            return [
                CycleOpened(
                    cycle_id=regular.cycle_id,
                    display_name=regular.month,
                    opened_date=today.isoformat(),
                    end_date=(first + timedelta(days=regular.open_days - 1)).isoformat(),
                    applications_until=regular.applications_until,
                    rules_position=regular.rules_position,
                    calendar_position=regular.calendar_position,
                    calendar_version=regular.calendar_version,
                    opened_by=context.actor,
                    policy_id=regular.policy_id,
                    month=regular.month,
                )
            ]
        case _, OpenRegularCycle():
            return []
        case Cycle.STATE_UNSPECIFIED, OpenCycleRequest(own=own):
            for name in ("end_date", "applications_until"):
                if parse_day(getattr(own, name), f"own.{name}") < today:
                    message = f"{getattr(own, name)} is over"
                    raise Invalid("DATE_INVALID", message, (FieldViolation(f"own.{name}", message),))
            if own.applications_until > own.end_date:
                message = f"the cycle ends on {own.end_date}: applications end on that day at the latest"
                raise Invalid("DATE_INVALID", message, (FieldViolation("own.applications_until", message),))
            return [
                CycleOpened(
                    cycle_id=own.cycle_id,
                    display_name=own.display_name,
                    opened_date=today.isoformat(),
                    end_date=own.end_date,
                    applications_until=own.applications_until,
                    opened_by=context.actor,
                )
            ]
        case _, OpenCycleRequest(own=own):
            said = (own.display_name, own.end_date, own.applications_until)
            if opened.month or said != (opened.display_name, opened.end_date, opened.applications_until):
                raise AlreadyExists("CYCLE_EXISTS", f"cycle {own.cycle_id} was opened with other content")
            return []
        case Cycle.STATE_UNSPECIFIED, CloseCycleRequest(cycle_id=cycle_id):
            raise NotFound("CYCLE_NOT_FOUND", f"there is no cycle {cycle_id}")
        case Cycle.STATE_OPEN, CloseCycleRequest(cycle_id=cycle_id):
            return [CycleClosed(cycle_id=cycle_id, closed_date=today.isoformat(), closed_by=context.actor)]
        case _, CloseCycleRequest():
            return []
        case _, unknown:
            assert_never(unknown)


CYCLE = Aggregate(name="promotion.cycle", initial=State(), evolve=evolve, decide=decide)


def regular_id(policy_id: str, month: str) -> str:
    """The id of a regular cycle: the same for the same rules and month. Stored for ever."""
    return opaque_id("cycle", policy_id, month)


def to_resource(state: State, position: int) -> Cycle:
    opened, closed = state.opened, state.closed
    return Cycle(
        cycle_id=opened.cycle_id,
        display_name=opened.display_name,
        state=state.stage,
        policy_id=opened.policy_id,
        month=opened.month,
        rules_position=opened.rules_position,
        calendar_position=opened.calendar_position,
        calendar_version=opened.calendar_version,
        opened_date=opened.opened_date,
        end_date=opened.end_date,
        applications_until=opened.applications_until,
        closed_date=closed.closed_date,
        opened_by=opened.opened_by,
        closed_by=closed.closed_by,
        etag=str(position),
        log_position=position,
    )
