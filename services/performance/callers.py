"""Whether the caller is what the call's rule names: to employees, to a team, or to some of those who are listed."""

from collections.abc import Collection
from dataclasses import dataclass

from libs.common.access import need_to_know
from libs.common.commands import Commands
from libs.common.eventsourcing import Context
from libs.facts.callers import caller_id
from libs.facts.reaching import Reaches, caller_to_team, callers_to


async def check_held(
    commands: Commands, context: Context, employee_ids: Collection[str], in_the_matter: Collection[str] = ()
) -> None:
    """Refuses whoever is not to each of these employees what the call's rule names: asked once in a call.

    An empty id is nobody's: of what does not exist. `in_the_matter`: what the caller is besides, while employed.
    Raises Forbidden `NEED_TO_KNOW`.
    """
    if context.admission.granted:
        return
    for caller in (await callers_to(commands, context, employee_ids)).values():
        context.admission.check(caller.held.union(in_the_matter if caller.employee_id else ()))


async def check_over(commands: Commands, context: Context, team_id: str) -> frozenset[str]:
    """Refuses whoever is not to a team, or for an empty id to the centre, what the call's rule names.

    Answers what they are. Raises Forbidden `NEED_TO_KNOW`, whether there is such a team or not.
    """
    held = (await caller_to_team(commands, context, team_id)).held
    context.admission.check(held)
    return held


def refuse_own(context: Context, employee_id: str) -> None:
    """Refuses who would decide about themself, whatever they are to the centre. Raises Forbidden `NEED_TO_KNOW`."""
    if caller_id(context) == employee_id:
        raise need_to_know()


@dataclass(frozen=True, slots=True)
class Seen:
    """Employees and teams by id, to whom the caller is what the call's rule names; None: all."""

    employees: Collection[str] | None = None
    teams: Collection[str] | None = None


async def seen_by_caller(reaches: Reaches, context: Context) -> Seen:
    """Whom a list is narrowed to. Raises Forbidden `NEED_TO_KNOW` for whoever is what the rule names to nobody."""
    admission = context.admission
    if admission.granted:
        return Seen()
    reach = await reaches.of(context)
    if admission.admits(reach.caller.held):
        return Seen()
    admission.check(reach.held)
    return Seen(
        employees=[one for one, caller in reach.callers.items() if admission.admits(caller.held)],
        teams=[one for one, caller in reach.teams.items() if admission.admits(caller.held)],
    )
