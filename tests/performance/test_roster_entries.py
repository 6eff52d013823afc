"""What it takes for an employee, or a team, to be as a roster says."""

from datetime import date

import pytest
from hypothesis import strategies as st

from libs.common.errors import Invalid, NotAllowed
from services.performance.employee import EMPLOYEE, to_resource
from services.performance.team import TEAM
from stepladder.performance.v1.directory_pb2 import Account, RosterEmployee, RosterTeam
from stepladder.performance.v1.events_pb2 import (
    EmployeeAccountChanged,
    EmployeeHired,
    EmployeeRenamed,
    TeamCreated,
    TeamLeadAppointed,
    TeamLinked,
    TeamRenamed,
)
from tests.deciding import TODAY, days, given, twice_is_once
from tests.performance.test_employee import (
    CONFIRMED,
    HIRED,
    LEAVE,
    LEFT,
    PROBATION,
    changed,
    placed,
    transferred,
)

ANNA = Account(user_name="anna.li@example.com", external_id="00u1", given_name="Anna", family_name="Li")


def entry(day: str = "2026-03-16", **said: object) -> RosterEmployee:
    return RosterEmployee(employee_id="e-1", effective_date=day, **said)  # type: ignore[arg-type] # its fields


def test_somebody_new() -> None:
    """Is hired on the day of the entry unless it says another."""
    hired = EmployeeHired(
        employee_id="e-1",
        display_name="李雷",
        hire_date="2026-03-16",
        team_id="t-1",
        position_since="2026-03-16",
        status=PROBATION,
        recorded_date=f"{TODAY}",
    )
    said = entry(display_name="李雷", team_id="t-1")
    given(EMPLOYEE).when(said).then(hired).when(said).then()
    given(EMPLOYEE).when(entry(display_name="李雷")).refused(Invalid, "ENTRY_INCOMPLETE")


def test_several_changes_at_once() -> None:
    """Each is an event of its own, from the same day on; what is said no differently is not said again."""
    said = entry(display_name="韩梅梅", team_id="t-2", position="agent", stars=3, status=CONFIRMED, account=ANNA)
    account = EmployeeAccountChanged(
        employee_id="e-1",
        user_name="anna.li@example.com",
        external_id="00u1",
        given_name="Anna",
        family_name="Li",
    )
    after = (
        given(EMPLOYEE, HIRED)
        .when(said)
        .then(
            EmployeeRenamed(employee_id="e-1", display_name="韩梅梅"),
            account,
            transferred("t-2", "2026-03-16"),
            placed("agent", "2026-03-16", stars=3),
            changed(CONFIRMED, "2026-03-16"),
        )
    )
    after.when(said).then().when(entry()).then()
    assert to_resource(after.state, 7, TODAY).account == ANNA
    after.when(entry(account=Account())).then(EmployeeAccountChanged(employee_id="e-1"))


def test_another_position_begins_without_stars() -> None:
    """Stars are of the position: they stay when it does, and are said anew with another."""
    employee = given(EMPLOYEE, HIRED)
    employee.when(entry(position="agent")).then()
    employee.when(entry(position="lead")).then(placed("lead", "2026-03-16"))
    employee.when(entry(acting=True)).then(placed("agent", "2026-03-16", stars=2, acting=True))


def test_what_was_fixed_at_hiring() -> None:
    """A roster that says another day of hiring or job family is wrong, or the directory is: nothing is guessed."""
    employee = given(EMPLOYEE, HIRED)
    employee.when(entry(hire_date="2026-01-01", job_family="voice")).then()
    employee.when(entry(hire_date="2026-01-02")).refused(NotAllowed, "FIXED_AT_HIRING")
    employee.when(entry(job_family="chat")).refused(NotAllowed, "FIXED_AT_HIRING")


def test_leaving() -> None:
    """Leaving is a fact of a day; said again on a later one it is the same leaving."""
    gone = given(EMPLOYEE, HIRED).when(entry(employed=False)).then(changed(LEFT, "2026-03-16"))
    gone.when(entry("2026-04-01", employed=False, team_id="t-1")).then()
    gone.when(entry("2026-04-01", team_id="t-2")).refused(NotAllowed, "EMPLOYMENT_ENDED")


def test_leaving_before_the_first_day() -> None:
    """Who is to begin later and never does leaves on the first day."""
    given(EMPLOYEE, HIRED).when(entry("2025-12-01", employed=False)).then(changed(LEFT, "2026-01-01"))


@pytest.mark.parametrize("before", [CONFIRMED, PROBATION])
def test_a_leaving_taken_back(before: int) -> None:
    """Whoever is back is what they were; later than the day of leaving, the days between are leave."""
    history = [HIRED, changed(CONFIRMED, "2026-02-01")] if before == CONFIRMED else [HIRED]
    gone = given(EMPLOYEE, *history, changed(LEFT, "2026-03-01"))
    same_day = gone.when(entry("2026-03-01", employed=True)).then(changed(before, "2026-03-01"))  # type: ignore[arg-type] # of the enum
    assert same_day.state.last_day is None
    later = gone.when(entry(employed=True)).then(changed(LEAVE, "2026-03-01"), changed(before, "2026-03-16"))  # type: ignore[arg-type] # of the enum
    assert [later.state.status_on(date(2026, 3, day)) for day in (1, 15, 16)] == [LEAVE, LEAVE, before]
    later.when(entry(employed=True)).then()


def test_a_leaving_to_come_is_not_taken_back() -> None:
    """Who is employed today is, although the end is set."""
    given(EMPLOYEE, HIRED, changed(LEFT, "2026-06-01")).when(entry(employed=True)).then()


def test_a_team() -> None:
    """Created, led, renamed, linked and given up as it is said."""
    said = RosterTeam(team_id="t-1", display_name="Early", lead_id="e-1", effective_date="2026-03-16")
    team = (
        given(TEAM)
        .when(said)
        .then(
            TeamCreated(team_id="t-1", display_name="Early"),
            TeamLeadAppointed(team_id="t-1", lead_id="e-1", effective_date="2026-03-16"),
        )
    )
    team = team.when(said).then()
    late = RosterTeam(team_id="t-1", display_name="Late", external_id="g-1", given_up=True, effective_date="2026-03-16")
    team = team.when(late).then(
        TeamRenamed(team_id="t-1", display_name="Late"), TeamLinked(team_id="t-1", external_id="g-1", given_up=True)
    )
    team.when(RosterTeam(team_id="t-1", effective_date="2026-03-17")).then()
    given(TEAM).when(RosterTeam(team_id="t-1", effective_date="2026-03-17")).refused(Invalid, "ENTRY_INCOMPLETE")


def test_twice_is_once() -> None:
    """The same entry a second time changes nothing."""
    maybe = st.sampled_from([None, False, True])
    entries = st.builds(
        entry,
        days,
        display_name=st.sampled_from(["", "李雷", "韩梅梅"]),
        team_id=st.sampled_from(["", "t-1", "t-2"]),
        position=st.sampled_from(["", "agent", "lead"]),
        stars=st.sampled_from([None, 0, 1]),
        acting=maybe,
        status=st.sampled_from([0, CONFIRMED, LEAVE]),
        employed=maybe,
        account=st.sampled_from([None, Account(), ANNA]),
    )
    twice_is_once(EMPLOYEE, entries)
