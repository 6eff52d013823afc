"""Rosters of the staff as callers see them: planned, imported, refused whole, and again."""

import pytest
from grpc import StatusCode, aio

from libs.facts.employee import LEFT
from stepladder.performance.v1.directory_pb2 import (
    EMPLOYMENT_STATUS_CONFIRMED,
    EMPLOYMENT_STATUS_LEFT,
    Account,
    GetEmployeeRequest,
    GetTeamRequest,
    ImportRosterRequest,
    ImportRosterResponse,
    ListEmployeesRequest,
    PlanRosterRequest,
    RosterChange,
    RosterEmployee,
    RosterTeam,
    StaffRoster,
)
from stepladder.performance.v1.facts_pb2 import ListFactsRequest
from tests.refusals import refused
from tests.services.world import World, new_id
from tests.tokens import as_person, as_system

DAY = "2020-03-16"


async def import_(world: World, roster: StaffRoster) -> ImportRosterResponse:
    answer: ImportRosterResponse = await world.directory.ImportRoster(ImportRosterRequest(roster=roster))
    return answer


async def leavings(world: World, employee_id: str, at_least: int) -> list[str]:
    """Last days of employment, as they count."""
    request = ListFactsRequest(
        employee_id=employee_id, start_date="2020-01-01", end_date="2020-12-31", at_least=at_least
    )
    return [one.date for one in (await world.facts.ListFacts(request)).readings if one.kpi_id == LEFT]


def centre() -> StaffRoster:
    """A new team of two, one of whom leads it."""
    team, ann, ben = new_id("t"), new_id("e"), new_id("e")
    return StaffRoster(
        effective_date=DAY,
        teams=[RosterTeam(team_id=team, display_name="Early", lead_id=ann)],
        employees=[
            RosterEmployee(employee_id=ann, display_name="Ann", team_id=team, position="lead"),
            RosterEmployee(employee_id=ben, display_name="Ben", team_id=team, position="agent", stars=1),
        ],
    )


async def test_a_plan_is_what_an_import_does(both: World) -> None:
    """The same changes in the same order; the plan makes none, the import makes them once."""
    roster, end = centre(), await both.end()
    plan = await both.directory.PlanRoster(PlanRosterRequest(roster=roster))
    assert await both.end() == end
    done = await import_(both, roster)
    assert list(done.changes) == list(plan.changes)
    kinds = [RosterChange.KIND_TEAM_CREATED, RosterChange.KIND_LEAD_APPOINTED] + 2 * [RosterChange.KIND_HIRED]
    assert [one.kind for one in plan.changes] == kinds
    team, (ann, ben) = roster.teams[0].team_id, roster.employees
    found = await both.directory.GetEmployee(GetEmployeeRequest(employee_id=ben.employee_id))
    assert (found.team_id, found.lead_id, found.stars, found.hire_date) == (team, ann.employee_id, 1, DAY)
    end = await both.end()
    again = await import_(both, roster)
    assert (again.unchanged, list(again.changes), again.log_position, await both.end()) == (3, [], 0, end)


async def test_one_wrong_entry_stops_all(world: World) -> None:
    """Every wrong entry is named with its place, and nothing is changed."""
    roster, end = centre(), await world.end()
    roster.employees.add(employee_id=new_id("e"), display_name="Lou", team_id="t-nowhere")
    roster.employees.add(employee_id=new_id("e"), team_id=roster.teams[0].team_id)
    roster.teams.add(team_id=new_id("t"), display_name="Late", lead_id="e-nobody")
    answer = await import_(world, roster)
    assert [(one.field, one.reason) for one in answer.problems] == [
        ("teams[1]", "EMPLOYEE_NOT_FOUND"),
        ("employees[2]", "TEAM_NOT_FOUND"),
        ("employees[3]", "ENTRY_INCOMPLETE"),
    ]
    assert (answer.log_position, await world.end()) == (0, end)


async def test_named_twice(world: World) -> None:
    """Of two entries about the same employee neither is taken."""
    roster = centre()
    roster.employees.add().CopyFrom(roster.employees[0])
    call = world.directory.PlanRoster(PlanRosterRequest(roster=roster))
    refusal = await refused(call, StatusCode.INVALID_ARGUMENT, "NAMED_TWICE")
    assert refusal.fields == ["roster.employees[0].employee_id", "roster.employees[2].employee_id"]


async def test_who_is_missing_from_a_complete_roster_leaves(world: World) -> None:
    """And only then; the next day they may come back, and their leaving is counted no more."""
    roster = centre()
    await import_(world, roster)
    ben = roster.employees.pop()
    assert not (await import_(world, roster)).changes
    roster.complete, roster.effective_date = True, "2020-04-01"
    gone = await import_(world, roster)
    assert [(one.kind, one.id, one.before) for one in gone.changes] == [
        (RosterChange.KIND_LEFT, ben.employee_id, "probation")
    ]
    found = await world.directory.GetEmployee(GetEmployeeRequest(employee_id=ben.employee_id))
    assert found.status == EMPLOYMENT_STATUS_LEFT
    assert await leavings(world, ben.employee_id, gone.log_position) == ["2020-03-31"]
    back = StaffRoster(
        effective_date="2020-04-02",
        employees=[RosterEmployee(employee_id=ben.employee_id, employed=True, status=EMPLOYMENT_STATUS_CONFIRMED)],
    )
    position = (await import_(world, back)).log_position
    found = await world.directory.GetEmployee(GetEmployeeRequest(employee_id=ben.employee_id))
    assert found.status == EMPLOYMENT_STATUS_CONFIRMED
    assert not await leavings(world, ben.employee_id, position)


async def test_a_complete_roster_of_nobody(world: World) -> None:
    """Is a mistake: it lets nobody leave."""
    nobody, end = StaffRoster(effective_date=DAY, complete=True), await world.end()
    await refused(import_(world, nobody), StatusCode.INVALID_ARGUMENT, "NAMES_NOBODY")
    await refused(
        world.directory.PlanRoster(PlanRosterRequest(roster=nobody)), StatusCode.INVALID_ARGUMENT, "NAMES_NOBODY"
    )
    assert await world.end() == end


async def test_user_names(world: World) -> None:
    """Somebody is found by theirs, whatever its case; nobody gets another's; two may change theirs round."""
    roster = centre()
    ann, ben = roster.employees
    ann.account.CopyFrom(Account(user_name="Ann@example.com", external_id="00u1"))
    ben.account.CopyFrom(Account(user_name="ben@example.com"))
    position = (await import_(world, roster)).log_position

    async def named(**by: str) -> list[str]:
        listed = await world.directory.ListEmployees(ListEmployeesRequest(at_least=position, **by))  # type: ignore[arg-type] # its fields
        return [one.employee_id for one in listed.employees]

    assert await named(user_name="ANN@EXAMPLE.COM") == [ann.employee_id]
    assert await named(external_id="00u1") == [ann.employee_id]
    assert await named(user_name="ann@example.com", external_id="00u2") == []
    other = StaffRoster(employees=[RosterEmployee(employee_id=ben.employee_id, account=ann.account)])
    answer = await import_(world, other)
    assert [one.reason for one in answer.problems] == ["USER_NAME_TAKEN"]
    ann.account.user_name, ben.account.user_name = ben.account.user_name, ann.account.user_name
    assert len((await import_(world, roster)).changes) == 2


async def test_an_entry_with_an_etag(world: World) -> None:
    """Is taken if it is the one that the caller has seen; of who is new, none."""
    roster = centre()
    roster.employees[0].etag = "0"
    await import_(world, roster)
    again = ImportRosterRequest(roster=roster)
    await refused(world.directory.ImportRoster(again), StatusCode.ABORTED, "ETAG_MISMATCH")
    ann = roster.employees[0].employee_id
    roster.employees[0].etag = (await world.directory.GetEmployee(GetEmployeeRequest(employee_id=ann))).etag
    roster.employees[0].display_name = "Anna"
    assert len((await import_(world, roster)).changes) == 1


async def test_a_team_given_up(world: World) -> None:
    """It stays for what happened in it."""
    roster = centre()
    await import_(world, roster)
    team = RosterTeam(team_id=roster.teams[0].team_id, lead_id="", external_id="g-1", given_up=True)
    await import_(world, StaffRoster(teams=[team], effective_date="2020-04-01"))
    found = await world.directory.GetTeam(GetTeamRequest(team_id=team.team_id))
    assert (found.external_id, found.given_up, found.lead_id) == ("g-1", True, "")


async def test_accounts_are_for_systems_of_the_directory(world: World) -> None:
    """Nobody else is told what somebody signs in with, nor who has a user name."""
    roster = centre()
    ann = roster.employees[0]
    ann.account.user_name = "ann@example.com"
    position = (await import_(world, roster)).log_position
    get, person = GetEmployeeRequest(employee_id=ann.employee_id), as_person(ann.employee_id)
    assert (await world.directory.GetEmployee(get)).account.user_name == "ann@example.com"
    assert not (await world.directory.GetEmployee(get, metadata=person)).HasField("account")
    by_name = ListEmployeesRequest(user_name="ann@example.com", at_least=position)
    await refused(world.directory.ListEmployees(by_name, metadata=person), StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")


async def test_who_may_plan_and_import(world: World) -> None:
    """Systems of the directory import; HR may look at what would change."""
    team, request = await world.team(), PlanRosterRequest(roster=centre())
    hr, agent = await world.employee(team, job_family="hr"), await world.employee(team)
    assert (await world.directory.PlanRoster(request, metadata=as_person(hr))).changes
    for who in (as_person(agent), as_system("facts")):
        with pytest.raises(aio.AioRpcError) as caught:
            await world.directory.PlanRoster(request, metadata=who)
        assert caught.value.code() is StatusCode.PERMISSION_DENIED
    call = world.directory.ImportRoster(ImportRosterRequest(roster=request.roster), metadata=as_person(hr))
    await refused(call, StatusCode.PERMISSION_DENIED, "NOT_FOR_PEOPLE")
