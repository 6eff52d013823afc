"""Who calls, and what they are to those whom they ask about: as the directory has it now."""

from collections.abc import Collection, Iterable
from datetime import date

from libs.common.access import need_to_know
from libs.common.commands import Commands
from libs.common.errors import NotFound
from libs.common.eventsourcing import ANONYMOUS, Context, is_id
from libs.common.rpc import Standing
from libs.facts import employee, team
from libs.facts.employee import EMPLOYEE
from libs.facts.relations import Directory, relations, relations_to_team, words
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


async def check_related(commands: Commands, context: Context, employee_id: str) -> None:
    """Refuses whoever is not to an employee what the call's rule names, whatever there is to be known.

    Raises Forbidden `NEED_TO_KNOW`; NotFound `EMPLOYEE_NOT_FOUND` to those who may know that of anybody.
    """
    await check_held(commands, context, [employee_id])
    if not await commands.known(EMPLOYEE, [employee_id], check=False):
        raise NotFound("EMPLOYEE_NOT_FOUND", f"there is no employee {employee_id}")


async def check_held(
    commands: Commands, context: Context, employee_ids: Collection[str], in_the_matter: Collection[str] = ()
) -> None:
    """Refuses whoever is not to each of these employees what the call's rule names: asked once in a call.

    An empty id is nobody's: of what does not exist. `in_the_matter`: what the caller is besides, while employed.
    Raises Forbidden `NEED_TO_KNOW`.
    """
    if context.admission.granted:
        return
    caller, today = caller_id(context), context.today
    directory = await directory_around(commands, caller, today, employee_ids=[one for one in employee_ids if one])
    employed = directory.employed(caller, today)
    for employee_id in employee_ids:
        held = words(relations(directory, caller, employee_id, today), employed=employed)
        context.admission.check(held.union(in_the_matter if employed else ()))


async def check_over(commands: Commands, context: Context, team_id: str) -> frozenset[str]:
    """Refuses whoever is not to a team, or for an empty id to the centre, what the call's rule names.

    Answers what they are: nothing for systems. Raises Forbidden `NEED_TO_KNOW`, whether there is such a team or not.
    """
    if context.admission.granted:
        return frozenset()
    caller, today = caller_id(context), context.today
    directory = await directory_around(commands, caller, today, team_ids=[team_id])
    found = relations_to_team(directory, caller, team_id, today)
    held = words(found, employed=directory.employed(caller, today))
    context.admission.check(held)
    return held


def refuse_own(context: Context, employee_id: str) -> None:
    """Refuses who would decide about themself, whatever they are to the centre. Raises Forbidden `NEED_TO_KNOW`."""
    if caller_id(context) == employee_id:
        raise need_to_know()


async def _employees(commands: Commands, ids: Iterable[str]) -> dict[str, employee.State]:
    return {one: standing.state for one, standing in (await commands.known(EMPLOYEE, ids, latest=True)).items()}


async def _teams(commands: Commands, ids: Iterable[str]) -> dict[str, team.State]:
    return {one: standing.state for one, standing in (await commands.known(TEAM, ids, latest=True)).items()}
