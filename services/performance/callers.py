"""Whether the caller is what the call's rule names to those who are listed, and not whom it is about."""

from collections.abc import Collection
from dataclasses import dataclass

from libs.common.access import need_to_know
from libs.common.eventsourcing import Context
from libs.facts.callers import caller_id
from libs.facts.reaching import Reaches


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
    if admission.roles:  # a system sees whatever its rule lets it ask for
        return Seen()
    reach = await reaches.of(context)
    if admission.admits(reach.caller.held):
        return Seen()
    admission.check(reach.held)
    return Seen(
        employees=[one for one, caller in reach.callers.items() if admission.admits(caller.held)],
        teams=[one for one, caller in reach.teams.items() if admission.admits(caller.held)],
    )
