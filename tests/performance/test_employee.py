"""Employees: what holds for them on which day."""

from collections.abc import Callable
from datetime import date

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from hypothesis import strategies as st

from libs.common.errors import AlreadyExists, Invalid, NotAllowed, NotFound
from libs.facts.employee import Position
from services.performance.employee import EMPLOYEE, to_resource
from stepladder.performance.v1.directory_pb2 import (
    EMPLOYMENT_STATUS_CONFIRMED,
    EMPLOYMENT_STATUS_LEFT,
    EMPLOYMENT_STATUS_ON_LEAVE,
    EMPLOYMENT_STATUS_PROBATION,
    EMPLOYMENT_STATUS_UNSPECIFIED,
    ChangeEmploymentStatusRequest,
    ChangePositionRequest,
    Employee,
    EmploymentStatus,
    HireEmployeeRequest,
    TransferEmployeeRequest,
    UpdateEmployeeRequest,
)
from stepladder.performance.v1.events_pb2 import (
    EmployeeHired,
    EmployeeRenamed,
    EmployeeTransferred,
    EmploymentStatusChanged,
    PositionChanged,
)
from tests.deciding import TODAY, days, given, twice_is_once

CONFIRMED, LEAVE = EMPLOYMENT_STATUS_CONFIRMED, EMPLOYMENT_STATUS_ON_LEAVE
LEFT, PROBATION = EMPLOYMENT_STATUS_LEFT, EMPLOYMENT_STATUS_PROBATION

HIRED = EmployeeHired(
    employee_id="e-1",
    display_name="李雷",
    hire_date="2026-01-01",
    team_id="t-1",
    job_family="voice",
    position="agent",
    stars=2,
    position_since="2026-01-01",
    status=PROBATION,
    recorded_date=f"{TODAY}",
)


def hire(
    name: str = "李雷",
    hire_date: str = "2026-01-01",
    position_since: str = "",
    status: EmploymentStatus.ValueType = EMPLOYMENT_STATUS_UNSPECIFIED,
) -> HireEmployeeRequest:
    employee = Employee(
        employee_id="e-1",
        display_name=name,
        hire_date=hire_date,
        team_id="t-1",
        job_family="voice",
        position="agent",
        stars=2,
        position_since=position_since,
        status=status,
    )
    return HireEmployeeRequest(employee=employee)


def rename(name: str, *mask: str) -> UpdateEmployeeRequest:
    return UpdateEmployeeRequest(
        employee=Employee(employee_id="e-1", display_name=name), update_mask=FieldMask(paths=mask)
    )


def transfer(team_id: str, day: str) -> TransferEmployeeRequest:
    return TransferEmployeeRequest(employee_id="e-1", team_id=team_id, effective_date=day)


def transferred(team_id: str, day: str) -> EmployeeTransferred:
    return EmployeeTransferred(employee_id="e-1", team_id=team_id, effective_date=day)


def place(position: str, day: str, stars: int = 0, acting: bool = False) -> ChangePositionRequest:
    return ChangePositionRequest(employee_id="e-1", position=position, stars=stars, acting=acting, effective_date=day)


def placed(position: str, day: str, stars: int = 0, acting: bool = False) -> PositionChanged:
    return PositionChanged(employee_id="e-1", position=position, stars=stars, acting=acting, effective_date=day)


def change(status: EmploymentStatus.ValueType, day: str) -> ChangeEmploymentStatusRequest:
    return ChangeEmploymentStatusRequest(employee_id="e-1", status=status, effective_date=day)


def changed(status: EmploymentStatus.ValueType, day: str) -> EmploymentStatusChanged:
    return EmploymentStatusChanged(employee_id="e-1", status=status, effective_date=day)


def test_hire() -> None:
    """An employee is hired once; on probation and in the position since that day unless said otherwise."""
    given(EMPLOYEE).when(hire()).then(HIRED).when(hire()).then()


def test_hire_into_a_position_held_since_later() -> None:
    """The position of the days before is not known."""
    hired = EmployeeHired()
    hired.CopyFrom(HIRED)
    hired.position_since = "2026-02-01"
    employee = given(EMPLOYEE).when(hire(position_since="2026-02-01")).then(hired)
    assert employee.state.position_on(date(2026, 1, 31)) == Position()
    assert employee.state.position_on(date(2026, 2, 1)) == Position("agent", 2)


def test_hire_with_other_content() -> None:
    """The id stays taken by whoever was hired under it, also after a change of name."""
    employee = given(EMPLOYEE, HIRED, EmployeeRenamed(employee_id="e-1", display_name="韩梅梅"))
    employee.when(hire("韩梅梅")).refused(AlreadyExists, "EMPLOYEE_EXISTS")
    employee.when(hire("李雷")).then()


@pytest.mark.parametrize(
    ("hire_date", "since", "field"),
    [
        ("2026-02-30", "", "employee.hire_date"),
        ("0099-01-01", "", "employee.hire_date"),
        ("2026-01-01", "2026-02-29", "employee.position_since"),
        ("2026-01-01", "20260201", "employee.position_since"),
        ("2026-01-01", "2025-12-31", "employee.position_since"),
    ],
)
def test_hire_on_no_day(hire_date: str, since: str, field: str) -> None:
    """Days that are in no calendar are refused, and a position held since before the day of hiring."""
    refused = given(EMPLOYEE).when(hire(hire_date=hire_date, position_since=since)).refused(Invalid, "DATE_INVALID")
    assert [violation.field for violation in refused.violations] == [field]


@pytest.mark.parametrize(
    "command",
    [
        rename("韩梅梅"),
        transfer("t-2", "2026-02-01"),
        place("lead", "2026-02-01"),
        change(CONFIRMED, "2026-02-01"),
    ],
)
def test_nothing_else_before_hiring(command: Message) -> None:
    """Nobody is changed who was not hired."""
    given(EMPLOYEE).when(command).refused(NotFound, "EMPLOYEE_NOT_FOUND")


def test_rename() -> None:
    """Renaming takes the name only; the name that the employee has changes nothing."""
    employee = given(EMPLOYEE, HIRED)
    employee.when(rename("韩梅梅", "*")).then(EmployeeRenamed(employee_id="e-1", display_name="韩梅梅"))
    employee.when(rename("李雷")).then()
    employee.when(rename("韩梅梅", "team_id")).refused(Invalid, "FIELD_NOT_UPDATABLE")


def test_transfers_in_any_order() -> None:
    """A transfer holds until the next one, also when it becomes known later."""
    employee = given(EMPLOYEE, HIRED, transferred("t-3", "2026-03-01"))
    employee = employee.when(transfer("t-2", "2026-02-01")).then(transferred("t-2", "2026-02-01"))
    assert [employee.state.team_on(date(2026, month, 1)) for month in (1, 2, 3, 9)] == ["t-1", "t-2", "t-3", "t-3"]
    assert employee.state.team_on(date(2025, 12, 31)) == ""


def test_transfer_to_the_team_of_that_day() -> None:
    """Transferring an employee to the team where they are on that day changes nothing."""
    employee = given(EMPLOYEE, HIRED, transferred("t-2", "2026-03-01"))
    employee.when(transfer("t-1", "2026-02-01")).then()
    employee.when(transfer("t-2", "2026-03-02")).then()
    employee.when(transfer("t-1", "2026-03-02")).then(transferred("t-1", "2026-03-02"))


@pytest.mark.parametrize(
    "command",
    [lambda day: transfer("t-2", day), lambda day: place("lead", day), lambda day: change(CONFIRMED, day)],
    ids=["transfer", "position", "status"],
)
@pytest.mark.parametrize(
    ("day", "reason"),
    [("2025-12-31", "BEFORE_HIRE"), ("2026-06-01", "EMPLOYMENT_ENDED"), ("2026-06-02", "EMPLOYMENT_ENDED")],
)
def test_changes_outside_the_employment(command: Callable[[str], Message], day: str, reason: str) -> None:
    """Nothing changes before the day of hiring, or from the day of leaving on."""
    given(EMPLOYEE, HIRED, changed(LEFT, "2026-06-01")).when(command(day)).refused(NotAllowed, reason)


def test_changes_before_a_coming_end() -> None:
    """Until the day of leaving, everything may still change."""
    employee = given(EMPLOYEE, HIRED, changed(LEFT, "2026-06-01"))
    employee.when(transfer("t-2", "2026-05-31")).then(transferred("t-2", "2026-05-31"))


def test_position() -> None:
    """Stars and acting are a part of the position; since when it is held is not."""
    employee = given(EMPLOYEE, HIRED)
    employee = employee.when(place("agent", "2026-02-01", stars=3)).then(placed("agent", "2026-02-01", stars=3))
    assert employee.state.position_since(date(2026, 2, 1)) == date(2026, 1, 1)
    employee = employee.when(place("lead", "2026-03-01", acting=True)).then(placed("lead", "2026-03-01", acting=True))
    employee = employee.when(place("lead", "2026-04-01")).then(placed("lead", "2026-04-01"))
    assert employee.state.position_since(date(2026, 4, 1)) == date(2026, 3, 1)
    employee = employee.when(place("agent", "2026-05-01", stars=3)).then(placed("agent", "2026-05-01", stars=3))
    assert employee.state.position_since(date(2026, 5, 1)) == date(2026, 5, 1)
    assert employee.state.position_since(date(2025, 12, 31)) is None
    employee.when(place("agent", "2026-05-02", stars=3)).then()


def test_acting_elsewhere_is_no_break() -> None:
    """Whoever goes back has held their position all the time; whoever is confirmed, since they began to act."""
    acting = (HIRED, placed("deputy", "2026-02-01", acting=True))
    since = given(EMPLOYEE, *acting, placed("agent", "2026-03-01")).state.position_since
    assert (since(date(2026, 2, 1)), since(date(2026, 3, 1))) == (date(2026, 2, 1), date(2026, 1, 1))
    since = given(EMPLOYEE, *acting, placed("deputy", "2026-03-01")).state.position_since
    assert since(date(2026, 3, 1)) == date(2026, 2, 1)


def test_status() -> None:
    """Probation, confirmed, leave and back, left."""
    employee = given(EMPLOYEE, HIRED)
    for status, day in (
        (CONFIRMED, "2026-02-01"),
        (LEAVE, "2026-03-01"),
        (CONFIRMED, "2026-04-01"),
        (LEFT, "2026-05-01"),
    ):
        employee = employee.when(change(status, day)).then(changed(status, day)).when(change(status, day)).then()
    on = [employee.state.status_on(date(2026, month, 1)) for month in (1, 2, 3, 4, 5)]
    assert on == [PROBATION, CONFIRMED, LEAVE, CONFIRMED, LEFT]


def test_confirmed_again() -> None:
    """Who is confirmed cannot be confirmed on another, later day; an earlier one corrects the date."""
    employee = given(EMPLOYEE, HIRED, changed(CONFIRMED, "2026-02-01"))
    employee.when(change(CONFIRMED, "2026-02-01")).then()
    employee.when(change(CONFIRMED, "2026-02-02")).refused(NotAllowed, "ALREADY_CONFIRMED")
    employee.when(change(CONFIRMED, "2026-01-15")).then(changed(CONFIRMED, "2026-01-15"))


def test_on_leave_on_leave() -> None:
    """Who is on leave on that day is not sent again."""
    given(EMPLOYEE, HIRED, changed(LEAVE, "2026-02-01")).when(change(LEAVE, "2026-02-10")).then()


def test_leaving_earlier_than_known() -> None:
    """Nothing that was planned for later brings an employee back who left."""
    employee = given(EMPLOYEE, HIRED, changed(LEAVE, "2026-03-01"), changed(LEFT, "2026-06-01"))
    employee = employee.when(change(LEFT, "2026-02-01")).then(changed(LEFT, "2026-02-01"))
    assert {employee.state.status_on(date(2026, month, 1)) for month in range(2, 13)} == {LEFT}


def test_resource() -> None:
    """The resource is what holds on the day asked about."""
    employee = given(EMPLOYEE, HIRED, transferred("t-2", "2026-02-01"), placed("lead", "2026-03-01", acting=True))
    assert to_resource(employee.state, 42, date(2026, 3, 2), "e-9") == Employee(
        employee_id="e-1",
        display_name="李雷",
        hire_date="2026-01-01",
        team_id="t-2",
        lead_id="e-9",
        job_family="voice",
        position="lead",
        acting=True,
        position_since="2026-03-01",
        status=PROBATION,
        etag="42",
        log_position=42,
    )
    before = to_resource(employee.state, 42, date(2025, 1, 1))
    assert (before.team_id, before.position_since, before.status) == ("", "", EMPLOYMENT_STATUS_UNSPECIFIED)


def test_twice_is_once() -> None:
    """Saying any command of an employee twice changes nothing."""
    names, positions = st.sampled_from(["李雷", "韩梅梅"]), st.sampled_from(["agent", "lead"])
    commands = st.one_of(
        st.builds(hire, names, st.sampled_from(["2026-01-01", "2026-02-30"]), st.sampled_from(["", "2026-02-28"])),
        st.just(hire()),
        st.builds(rename, names),
        st.builds(transfer, st.sampled_from(["t-1", "t-2"]), days),
        st.builds(place, positions, days, st.integers(0, 1), st.booleans()),
        st.builds(change, st.sampled_from([CONFIRMED, LEAVE, LEFT]), days),
    )
    twice_is_once(EMPLOYEE, commands)


def test_back_from_leave() -> None:
    """Who left for it on probation comes back to it, or is confirmed; nobody else does."""
    on_leave = given(EMPLOYEE, HIRED, changed(LEAVE, "2026-02-01"))
    on_leave.when(change(PROBATION, "2026-03-01")).then(changed(PROBATION, "2026-03-01"))
    on_leave.when(change(CONFIRMED, "2026-03-01")).then(changed(CONFIRMED, "2026-03-01"))
    confirmed = given(EMPLOYEE, HIRED, changed(CONFIRMED, "2026-01-15"), changed(LEAVE, "2026-02-01"))
    confirmed.when(change(PROBATION, "2026-03-01")).refused(NotAllowed, "NOT_ON_PROBATION")
    working = given(EMPLOYEE, HIRED, changed(CONFIRMED, "2026-01-15"))
    working.when(change(PROBATION, "2026-03-01")).refused(NotAllowed, "NOT_ON_PROBATION")
