"""An employee: team, position and employment status, each by day."""

from collections.abc import Sequence
from datetime import date
from typing import assert_never, cast

from google.protobuf.message import Message

from libs.common.days import parse_day
from libs.common.errors import AlreadyExists, FieldViolation, Invalid, NotAllowed, NotFound
from libs.common.eventsourcing import Context
from libs.common.updates import updated
from libs.facts import employee
from libs.facts.employee import Position, State
from stepladder.performance.v1.directory_pb2 import (
    EMPLOYMENT_STATUS_CONFIRMED,
    EMPLOYMENT_STATUS_LEFT,
    EMPLOYMENT_STATUS_ON_LEAVE,
    EMPLOYMENT_STATUS_PROBATION,
    Account,
    ChangeEmploymentStatusRequest,
    ChangePositionRequest,
    Employee,
    HireEmployeeRequest,
    RosterEmployee,
    TransferEmployeeRequest,
    UpdateEmployeeRequest,
)
from stepladder.performance.v1.events_pb2 import (
    EmployeeAccountChanged,
    EmployeeHired,
    EmployeeRenamed,
    EmployeeTransferred,
    EmploymentStatusChanged,
    PositionChanged,
)

Command = (
    HireEmployeeRequest
    | UpdateEmployeeRequest
    | TransferEmployeeRequest
    | ChangePositionRequest
    | ChangeEmploymentStatusRequest
    | RosterEmployee
)


def decide(state: State, command: Message, context: Context) -> Sequence[Message]:
    match state, cast(Command, command):
        case State(employee_id=""), HireEmployeeRequest(employee=employee):
            return [_hired(employee, context.today.isoformat())]
        case _, HireEmployeeRequest(employee=employee):
            if _hired(employee, state.hired.recorded_date) != state.hired:
                raise AlreadyExists("EMPLOYEE_EXISTS", f"employee {state.employee_id} was hired with other content")
            return []
        case _, RosterEmployee() as entry:
            return _as_on_roster(state, entry, context)
        case State(employee_id=""), _:
            raise NotFound("EMPLOYEE_NOT_FOUND", "there is no such employee")
        case _, UpdateEmployeeRequest(employee=given, update_mask=mask):
            name = updated(Employee(display_name=state.display_name), given, mask, ["display_name"]).display_name
            if name == state.display_name:
                return []
            return [EmployeeRenamed(employee_id=state.employee_id, display_name=name)]
        case _, TransferEmployeeRequest(team_id=team_id, effective_date=text):
            if state.team_on(_employed_day(state, text)) == team_id:
                return []
            return [EmployeeTransferred(employee_id=state.employee_id, team_id=team_id, effective_date=text)]
        case _, ChangePositionRequest(position=name, stars=stars, acting=acting, effective_date=text):
            if state.position_on(_employed_day(state, text)) == Position(name, stars, acting):
                return []
            return [
                PositionChanged(
                    employee_id=state.employee_id, position=name, stars=stars, acting=acting, effective_date=text
                )
            ]
        case _, ChangeEmploymentStatusRequest(status=status, effective_date=text):
            if (parse_day(text, "effective_date"), status) in state.statuses:
                return []
            before = state.status_on(_employed_day(state, text))
            if before == status == EMPLOYMENT_STATUS_CONFIRMED:
                raise NotAllowed("ALREADY_CONFIRMED", f"the employee is confirmed since before {text}")
            if before == status:
                return []
            if status == EMPLOYMENT_STATUS_PROBATION and (
                before != EMPLOYMENT_STATUS_ON_LEAVE
                or any(s == EMPLOYMENT_STATUS_CONFIRMED for day, s in state.statuses if day.isoformat() <= text)
            ):
                raise NotAllowed("NOT_ON_PROBATION", "only who went on leave while on probation comes back to it")
            return [EmploymentStatusChanged(employee_id=state.employee_id, status=status, effective_date=text)]
        case _, unknown:
            assert_never(unknown)


EMPLOYEE = employee.EMPLOYEE.decided_by(decide)


def _hired(employee: Employee, recorded_date: str) -> EmployeeHired:
    """The event of a hiring, with what is left open filled in."""
    hire_date = parse_day(employee.hire_date, "employee.hire_date")
    since = parse_day(employee.position_since or employee.hire_date, "employee.position_since")
    if since < hire_date:
        message = "the position cannot be held since before the day of hiring"
        raise Invalid("DATE_INVALID", message, (FieldViolation("employee.position_since", message),))
    return EmployeeHired(
        employee_id=employee.employee_id,
        display_name=employee.display_name,
        hire_date=hire_date.isoformat(),
        team_id=employee.team_id,
        job_family=employee.job_family,
        position=employee.position,
        stars=employee.stars,
        acting=employee.acting,
        position_since=since.isoformat(),
        status=employee.status or EMPLOYMENT_STATUS_PROBATION,
        recorded_date=recorded_date,
    )


def _as_on_roster(state: State, entry: RosterEmployee, context: Context) -> list[Message]:
    """What it takes for an employee to be as a roster says: as if each change had its own command, in this order."""
    events = list[Message]()
    for step in (_enter, _come_back, _describe, _move, _place, _employ):
        for event in step(state, entry, context):
            state = employee.evolve(state, event)
            events.append(event)
    return events


def _enter(state: State, entry: RosterEmployee, context: Context) -> Sequence[Message]:
    if state.employee_id:
        for name, is_now in (("hire_date", state.hired.hire_date), ("job_family", state.hired.job_family)):
            if getattr(entry, name) not in ("", is_now):
                raise NotAllowed("FIXED_AT_HIRING", f"{name} is {is_now or 'empty'} since the hiring and stays so")
        return []
    if not (entry.display_name and entry.team_id):
        raise Invalid("ENTRY_INCOMPLETE", "a new employee needs display_name and team_id")
    hired = Employee(
        employee_id=entry.employee_id,
        display_name=entry.display_name,
        hire_date=entry.hire_date or entry.effective_date,
        team_id=entry.team_id,
        job_family=entry.job_family,
        position=entry.position,
        stars=entry.stars,
        acting=entry.acting,
        position_since=entry.position_since,
        status=entry.status if entry.status == EMPLOYMENT_STATUS_CONFIRMED else EMPLOYMENT_STATUS_PROBATION,
    )
    return decide(state, HireEmployeeRequest(employee=hired), context)


def _come_back(state: State, entry: RosterEmployee, _: Context) -> Sequence[Message]:
    """Takes a leaving back: what they were then, they are again; if days have passed since, those are leave."""
    day = _first_day(state, entry)
    if not (entry.employed and state.status_on(parse_day(day, "effective_date")) == EMPLOYMENT_STATUS_LEFT):
        return []
    left = state.statuses[-1][0].isoformat()
    before = state.statuses[-2][1] if len(state.statuses) > 1 else state.hired.status
    statuses = {left: EMPLOYMENT_STATUS_ON_LEAVE} | {day: before}
    return [
        EmploymentStatusChanged(employee_id=state.employee_id, status=status, effective_date=since)
        for since, status in statuses.items()
    ]


def _describe(state: State, entry: RosterEmployee, context: Context) -> Sequence[Message]:
    """Name and account."""
    named = Employee(display_name=entry.display_name)
    events = list(decide(state, UpdateEmployeeRequest(employee=named), context))
    if entry.HasField("account") and entry.account != state.account:
        fields = {field.name: value for field, value in entry.account.ListFields()}
        events.append(EmployeeAccountChanged(employee_id=state.employee_id, **fields))
    return events


def _move(state: State, entry: RosterEmployee, context: Context) -> Sequence[Message]:
    day = _first_day(state, entry)
    if entry.team_id in ("", state.team_on(parse_day(day, "effective_date"))):
        return []
    return decide(state, TransferEmployeeRequest(team_id=entry.team_id, effective_date=day), context)


def _place(state: State, entry: RosterEmployee, context: Context) -> Sequence[Message]:
    day = _first_day(state, entry)
    held = state.position_on(parse_day(day, "effective_date"))
    kept = held if entry.position in ("", held.name) else Position(entry.position)
    stars = entry.stars if entry.HasField("stars") else kept.stars
    acting = entry.acting if entry.HasField("acting") else kept.acting
    if Position(kept.name, stars, acting) == held:
        return []
    if not kept.name:
        raise Invalid("ENTRY_INCOMPLETE", "stars and acting need a position")
    change = ChangePositionRequest(position=kept.name, stars=stars, acting=acting, effective_date=day)
    return decide(state, change, context)


def _employ(state: State, entry: RosterEmployee, context: Context) -> Sequence[Message]:
    """Employment status, or leaving."""
    day = _first_day(state, entry)
    leaves = entry.HasField("employed") and not entry.employed
    wanted = EMPLOYMENT_STATUS_LEFT if leaves else entry.status
    if wanted in (0, state.status_on(parse_day(day, "effective_date"))):
        return []
    return decide(state, ChangeEmploymentStatusRequest(status=wanted, effective_date=day), context)


def _first_day(state: State, entry: RosterEmployee) -> str:
    """From when on an entry holds: not before the day of hiring."""
    return max(entry.effective_date, state.hired.hire_date)


def _employed_day(state: State, text: str) -> date:
    """The day of a change. Refuses one on which the employee is not employed."""
    day = parse_day(text, "effective_date")
    if text < state.hired.hire_date:
        raise NotAllowed("BEFORE_HIRE", f"the employee was hired on {state.hired.hire_date}, after {text}")
    if state.status_on(day) == EMPLOYMENT_STATUS_LEFT:
        raise NotAllowed("EMPLOYMENT_ENDED", f"the employment ended on {state.statuses[-1][0]}, not after {text}")
    return day


def to_resource(state: State, position: int, day: date, lead_id: str = "") -> Employee:
    """The employee as of a day; the lead is the team's business."""
    held, since = state.position_on(day), state.position_since(day)
    return Employee(
        employee_id=state.employee_id,
        display_name=state.display_name,
        hire_date=state.hired.hire_date,
        team_id=state.team_on(day),
        lead_id=lead_id,
        job_family=state.hired.job_family,
        position=held.name,
        stars=held.stars,
        acting=held.acting,
        position_since=since.isoformat() if since else "",
        status=state.status_on(day),
        etag=str(position),
        log_position=position,
        account=state.account if state.account != Account() else None,
    )
