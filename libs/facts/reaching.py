"""What a caller is to the employees and teams that something is about, and whom they see."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Column, ColumnElement, true

from libs.common.access import need_to_know
from libs.common.commands import Commands
from libs.common.eventsourcing import Context
from libs.common.projecting import Follower
from libs.common.service import AT_LEAST_SECONDS, Service
from libs.facts.callers import caller_id, directory_around
from libs.facts.people import People
from libs.facts.relations import NEED_TO_KNOW, Relation, relations, relations_to_team, words

SEEING = NEED_TO_KNOW | {Relation.MANAGER}
"""Who sees that there is something of an employee, and what became of it."""
CARING = SEEING - {Relation.SELF}
"""Who cares for a team as a whole."""
IN_CHARGE = CARING - {Relation.MANAGER}
"""Who coaches, and hears what others decided."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls (empty: nobody who is employed today), and what they are to an employee, or a team, today."""

    employee_id: str
    relations: frozenset[Relation]

    @property
    def held(self) -> frozenset[str]:
        """What they are to them, as rules say who may: see `words`."""
        return words(self.relations, employed=bool(self.employee_id))

    @property
    def knows(self) -> bool:
        """Whether an answer shows them everything."""
        return not self.relations.isdisjoint(NEED_TO_KNOW)

    @property
    def sees(self) -> bool:
        """Whether an answer shows them that there is something."""
        return not self.relations.isdisjoint(SEEING)


_NOBODY = Caller("", frozenset())


async def callers_to(commands: Commands, context: Context, employee_ids: Collection[str]) -> dict[str, Caller]:
    """What the caller is to each of the employees; a system is nothing to anybody."""
    caller, today = caller_id(context), context.today
    if not caller:
        return dict.fromkeys(employee_ids, _NOBODY)
    around = await directory_around(commands, caller, today, employee_ids=[one for one in employee_ids if one])
    holder = caller if around.employed(caller, today) else ""
    return {one: Caller(holder, relations(around, caller, one, today)) for one in employee_ids}


async def caller_to_team(commands: Commands, context: Context, team_id: str) -> Caller:
    """What the caller is to every other member of a team, or to everybody where none is named; a system is nothing."""
    caller, today = caller_id(context), context.today
    if not caller:
        return _NOBODY
    around = await directory_around(commands, caller, today, team_ids=[team_id])
    return Caller(caller if around.employed(caller, today) else "", relations_to_team(around, caller, team_id, today))


async def check_hr(commands: Commands, context: Context) -> None:
    """Raises Forbidden `NEED_TO_KNOW` for whoever is not in HR."""
    (caller,) = (await callers_to(commands, context, [""])).values()
    if Relation.HR not in caller.relations:
        raise need_to_know()


async def check_related(
    commands: Commands, context: Context, employee_ids: Collection[str], in_the_matter: Collection[str] = ()
) -> dict[str, Caller]:
    """Refuses whoever is not to each of these employees what the call's rule names: asked once in a call.

    Answers what they are. An empty id is nobody's: of what does not exist. `in_the_matter`: what the caller is besides,
    while employed. Raises Forbidden `NEED_TO_KNOW`, whether there are such employees or not.
    """
    callers = await callers_to(commands, context, employee_ids)
    for caller in callers.values():
        context.admission.check(caller.held.union(in_the_matter if caller.employee_id else ()))
    return callers


async def check_over(commands: Commands, context: Context, team_id: str) -> Caller:
    """Refuses whoever is not to a team, or for an empty id to the centre, what the call's rule names.

    Answers what they are. Raises Forbidden `NEED_TO_KNOW`, whether there is such a team or not.
    """
    caller = await caller_to_team(commands, context, team_id)
    context.admission.check(caller.held)
    return caller


@dataclass(frozen=True, slots=True)
class Reach:
    """Whom a caller sees today, for lists: everybody, or those to whom they are something, and their teams."""

    everybody: bool
    caller: Caller
    callers: Mapping[str, Caller]
    """By employee: themself, whom they lead, and whom those lead."""
    own_team: str
    teams: Mapping[str, Caller]
    """By team: those that they lead, or whose lead they do."""

    @property
    def held(self) -> frozenset[str]:
        """All that they are to anybody, or to a team: of a list they get what they may see."""
        return self.caller.held.union(*(one.held for one in (*self.callers.values(), *self.teams.values())))

    def to(self, employee_id: str) -> Caller:
        """What they are to an employee."""
        return self.callers.get(employee_id, self.caller)

    def to_team(self, team_id: str) -> Caller:
        """What they are to a team."""
        return self.teams.get(team_id, self.caller)

    def of(self, column: Column[str]) -> ColumnElement[bool]:
        """Rows about employees whom they see, by the column that names them."""
        return true() if self.everybody else column.in_(self.callers)

    def cares_for(self, team_id: str) -> bool:
        """Whether they care for a team."""
        return self.everybody or team_id in self.teams


class Reaches:
    """Finds whom a caller sees. Costs what the caller leads, however much there is to be listed."""

    def __init__(self, service: Service, people: People, at_people: Follower) -> None:
        self._commands = service.commands
        self._engine = service.engine
        self._people = people
        self._at_people = at_people

    async def of(self, context: Context) -> Reach:
        """The read model, once it has everything, tells to whom they might be something; the log, whether they are.

        Raises Forbidden `NEED_TO_KNOW` for whoever never was an employee.
        """
        caller, today = caller_id(context), context.today
        await self._at_people.catch_up(AT_LEAST_SECONDS)
        members, teams = await self._people.under(self._engine, caller, today.isoformat())
        around = await directory_around(self._commands, caller, today, employee_ids=members, team_ids=teams)
        if caller not in around.employees:
            raise need_to_know()
        holder = caller if around.employed(caller, today) else ""
        plain = Caller(holder, relations(around, caller, "", today))
        to_teams = {one: Caller(holder, relations_to_team(around, caller, one, today)) for one in teams}
        callers = {one: Caller(holder, relations(around, caller, one, today)) for one in {caller, *members}}
        return Reach(
            everybody=Relation.HR in plain.relations,
            caller=plain,
            callers={one: to_them for one, to_them in callers.items() if to_them.sees},
            own_team=around.team_of(caller, today),
            teams={one: to_them for one, to_them in to_teams.items() if not to_them.relations.isdisjoint(CARING)},
        )

    async def in_charge(self, employee_id: str, day: date) -> bool:
        """Whether somebody is in HR, or leads a team: as the log has it, found as in `of`."""
        await self._at_people.catch_up(AT_LEAST_SECONDS)
        _, teams = await self._people.under(self._engine, employee_id, day.isoformat())
        around = await directory_around(self._commands, employee_id, day, team_ids=teams)
        to_teams = (relations_to_team(around, employee_id, one, day) for one in ["", *teams])
        return not frozenset[Relation]().union(*to_teams).isdisjoint(IN_CHARGE)
