"""Whom a list is narrowed to: those to whom the caller is what the call's rule names, today."""

from collections.abc import Collection
from dataclasses import dataclass

from libs.common.eventsourcing import Context
from libs.common.projecting import Follower
from libs.common.service import AT_LEAST_SECONDS, Service
from libs.facts.callers import caller_id, directory_around
from libs.facts.people import People
from libs.facts.relations import relations, relations_to_team, words


@dataclass(frozen=True, slots=True)
class Narrow:
    """Employees and teams by id; None: all."""

    employees: Collection[str] | None = None
    teams: Collection[str] | None = None


class Narrowing:
    """Finds whom a caller may be told of. Costs what the caller leads, however much there is to be listed."""

    def __init__(self, service: Service, people: People, at_people: Follower) -> None:
        self._commands = service.commands
        self._engine = service.engine
        self._people = people
        self._at_people = at_people

    async def of(self, context: Context) -> Narrow:
        """The read model, once it has everything, tells to whom they might be something; the log, whether they are.

        Raises Forbidden `NEED_TO_KNOW` for whoever is what the rule names to nobody.
        """
        admission, caller, today = context.admission, caller_id(context), context.today
        if admission.granted:
            return Narrow()
        await self._at_people.catch_up(AT_LEAST_SECONDS)
        members, teams = await self._people.under(self._engine, caller, today.isoformat())
        around = await directory_around(self._commands, caller, today, employee_ids=members, team_ids=teams)
        employed = around.employed(caller, today)
        if admission.admits(words(relations(around, caller, "", today), employed=employed)):
            return Narrow()
        to_employees = {one: words(relations(around, caller, one, today), employed=employed) for one in members}
        if caller in around.employees:
            to_employees[caller] = frozenset({"self"})
        to_teams = {one: words(relations_to_team(around, caller, one, today), employed=employed) for one in teams}
        admission.check(frozenset().union(*to_employees.values(), *to_teams.values()))
        return Narrow(
            employees=[one for one, held in to_employees.items() if admission.admits(held)],
            teams=[one for one, held in to_teams.items() if admission.admits(held)],
        )
