"""What is known of an employee: team, position and employment status, each by day."""

from dataclasses import dataclass, field, replace
from datetime import date
from itertools import groupby
from typing import assert_never, cast

from google.protobuf.message import Message

from libs.common.days import ONE_DAY, History, Span, holding_from, in_force
from libs.common.eventsourcing import Kind
from stepladder.performance.v1.directory_pb2 import (
    EMPLOYMENT_STATUS_LEFT,
    EMPLOYMENT_STATUS_UNSPECIFIED,
    Account,
    EmploymentStatus,
)
from stepladder.performance.v1.events_pb2 import (
    EmployeeAccountChanged,
    EmployeeHired,
    EmployeeRenamed,
    EmployeeTransferred,
    EmploymentStatusChanged,
    PositionChanged,
)

TAKEN_BACK_WITHIN = ONE_DAY
"""A leaving is taken back on its first day as if nothing had been: what cannot be undone follows when that is over."""

Event = (
    EmployeeHired
    | EmployeeRenamed
    | EmployeeAccountChanged
    | EmployeeTransferred
    | PositionChanged
    | EmploymentStatusChanged
)

LEFT = "employment.left"
"""The measure that the directory has: 1 on the last day of employment."""


@dataclass(frozen=True, slots=True)
class Position:
    """A rung of the ladders, and whether it is held for the time being."""

    name: str = ""
    stars: int = 0
    acting: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """An employee; without an id before being hired. Nothing follows the status `left`."""

    employee_id: str = ""
    display_name: str = ""
    hired: EmployeeHired = field(default_factory=EmployeeHired)
    account: Account = field(default_factory=Account)
    teams: History[str] = ()
    positions: History[Position] = ()
    statuses: History[EmploymentStatus.ValueType] = ()

    @property
    def known_since(self) -> date:
        """The day of hiring, or the later one on which the directory learned of it."""
        return date.fromisoformat(max(self.hired.hire_date, self.hired.recorded_date))

    def team_on(self, day: date) -> str:
        """Empty before the day of hiring."""
        return in_force(self.teams, day) or ""

    def position_on(self, day: date) -> Position:
        return in_force(self.positions, day) or Position()

    def position_since(self, day: date) -> date | None:
        """Since when the position of that day is held without a break, whatever its stars and whether acting or not.

        Whoever acts in another one, or is there on trial, and goes back has held it all the time.
        """
        name = self.position_on(day).name
        held = (entry for entry in self.positions if entry[0] <= day and (not entry[1].acting or entry[1].name == name))
        starts = [next(run)[0] for _, run in groupby(held, key=lambda entry: entry[1].name)]
        return starts[-1] if starts else None

    def status_on(self, day: date) -> EmploymentStatus.ValueType:
        return in_force(self.statuses, day) or EMPLOYMENT_STATUS_UNSPECIFIED

    @property
    def last_day(self) -> date | None:
        """The last day of employment; None unless it ends."""
        since, status = self.statuses[-1]
        return since - ONE_DAY if status == EMPLOYMENT_STATUS_LEFT else None

    def left_for_good(self, today: date) -> bool:
        """Whether the employment has ended so long ago that what cannot be undone follows from it."""
        return self.last_day is not None and self.last_day + TAKEN_BACK_WITHIN < today

    def last_day_in(self, span: Span) -> date | None:
        """The last day of a span on which they were employed; None if they were on none."""
        last = min(span.end, self.last_day or span.end)
        first = date.fromisoformat(self.hired.hire_date)
        return last if last >= max(span.start, first) else None


def evolve(state: State, event: Message) -> State:
    match cast(Event, event):
        case EmployeeHired() as hired:
            day, position = date.fromisoformat(hired.hire_date), Position(hired.position, hired.stars, hired.acting)
            return State(
                employee_id=hired.employee_id,
                display_name=hired.display_name,
                hired=hired,
                teams=((day, hired.team_id),),
                positions=((date.fromisoformat(hired.position_since), position),),
                statuses=((day, hired.status),),
            )
        case EmployeeRenamed(display_name=name):
            return replace(state, display_name=name)
        case EmployeeAccountChanged() as changed:
            account = Account(
                user_name=changed.user_name,
                external_id=changed.external_id,
                employee_number=changed.employee_number,
                given_name=changed.given_name,
                family_name=changed.family_name,
            )
            return replace(state, account=account)
        case EmployeeTransferred(team_id=team_id, effective_date=text):
            return replace(state, teams=holding_from(state.teams, date.fromisoformat(text), team_id))
        case PositionChanged(position=name, stars=stars, acting=acting, effective_date=text):
            position = Position(name, stars, acting)
            return replace(state, positions=holding_from(state.positions, date.fromisoformat(text), position))
        case EmploymentStatusChanged(status=status, effective_date=text):
            statuses = holding_from(state.statuses, date.fromisoformat(text), status)
            last = next((i for i, (_, s) in enumerate(statuses) if s == EMPLOYMENT_STATUS_LEFT), len(statuses))
            return replace(state, statuses=statuses[: last + 1])
        case unknown:
            assert_never(unknown)


EMPLOYEE = Kind(name="performance.employee", initial=State(), evolve=evolve)
