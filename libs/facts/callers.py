"""Who calls, and what they are to those whom they ask about: as the directory has it now."""

from collections.abc import Collection, Iterable
from datetime import date

from libs.common.commands import Commands
from libs.common.errors import NotFound
from libs.common.eventsourcing import ANONYMOUS, Context, is_id
from libs.common.rpc import Standing
from libs.facts import employee, team
from libs.facts.employee import EMPLOYEE
from libs.facts.relations import Directory, relations, words
from libs.facts.team import TEAM


def caller_id(context: Context) -> str:
    """The id of the employee who calls; empty for whoever cannot be one."""
    kind, _, name = context.actor.partition(":")
    return name if kind == "user" and name != ANONYMOUS and is_id(name) else ""


async def directory_around(
    commands: Commands, caller: str, day: date, *, employee_ids: Iterable[str] = (), team_ids: Iterable[str] = ()
) -> Directory:
    """The part of the directory that says what a caller is to employees, and to teams, on a day.

    Out of the aggregates, asked of the log's leader: read models and replicas may be behind, and a right that is
    lost is lost at once.
    """
    employees = await _employees(commands, {caller, *employee_ids} - {""})
    found = Directory(employees, {})
    teams = await _teams(commands, {*team_ids, *(found.team_of(one, day) for one in employees)} - {""})
    found = Directory(employees, teams)
    employees |= await _employees(commands, {found.lead_of(one, day) for one in teams} - {"", *employees})
    teams |= await _teams(commands, {found.team_of(one, day) for one in employees} - {"", *teams})
    return found


def standing_in(commands: Commands) -> Standing:
    """Tells what callers are to the whole centre, by the directory as the log's leader knows it."""

    async def standing(context: Context) -> frozenset[str]:
        caller = caller_id(context)
        directory = await directory_around(commands, caller, context.today)
        if not directory.employed(caller, context.today):
            return frozenset()
        return words(relations(directory, caller, "", context.today), employed=True)

    return standing


async def check_employees(commands: Commands, employee_ids: Collection[str]) -> None:
    """Raises NotFound `EMPLOYEE_NOT_FOUND` for those whom there never were: to be asked once the caller may know."""
    known = await commands.known(EMPLOYEE, employee_ids, check=False)
    if unknown := [one for one in employee_ids if one not in known]:
        raise NotFound("EMPLOYEE_NOT_FOUND", f"there is no employee {', '.join(unknown)}")


async def _employees(commands: Commands, ids: Iterable[str]) -> dict[str, employee.State]:
    return {one: standing.state for one, standing in (await commands.known(EMPLOYEE, ids, latest=True)).items()}


async def _teams(commands: Commands, ids: Iterable[str]) -> dict[str, team.State]:
    return {one: standing.state for one, standing in (await commands.known(TEAM, ids, latest=True)).items()}
