"""Rosters of the staff: what it takes for the directory to say what one says, and doing it.

What would change is what the aggregates decide; planning leaves out the writing, and nothing else.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, TypeVar

from google.protobuf.message import Message

from libs.common.commands import Standing, etag_mismatch
from libs.common.days import parse_day
from libs.common.errors import AlreadyExists, FieldViolation, Invalid, NotFound, Refused
from libs.common.eventsourcing import Aggregate, Context
from libs.common.projecting import Follower
from libs.common.service import AT_LEAST_SECONDS, Service
from libs.facts import employee as employees
from libs.facts import team as teams
from libs.facts.employee import Position
from libs.facts.people import People
from services.performance.employee import EMPLOYEE
from services.performance.team import TEAM
from stepladder.performance.v1.directory_pb2 import (
    EMPLOYMENT_STATUS_LEFT,
    EmploymentStatus,
    RosterChange,
    RosterEmployee,
    RosterProblem,
    RosterTeam,
    StaffRoster,
)
from stepladder.performance.v1.events_pb2 import (
    EmployeeAccountChanged,
    EmployeeHired,
    EmployeeRenamed,
    EmployeeTransferred,
    EmploymentStatusChanged,
    PositionChanged,
    TeamCreated,
    TeamLeadAppointed,
    TeamLinked,
    TeamRenamed,
)

AT_ONCE = 500
"""Aggregates that are written together."""

Entry = RosterTeam | RosterEmployee
E = TypeVar("E", RosterTeam, RosterEmployee)


@dataclass(slots=True)
class Plan:
    """What a roster takes: the changes, and the entries that make them; nothing while there are problems.

    `log_position` is that of the last change made; 0 before.
    """

    changes: list[RosterChange] = field(default_factory=list)
    unchanged: int = 0
    problems: list[RosterProblem] = field(default_factory=list)
    teams: list[RosterTeam] = field(default_factory=list)
    employees: list[RosterEmployee] = field(default_factory=list)
    log_position: int = 0


@dataclass(frozen=True, slots=True)
class _Known:
    """What the directory says of everything that a roster names."""

    teams: Mapping[str, Standing[teams.State]]
    employees: Mapping[str, Standing[employees.State]]
    team_ids: Set[str]
    """Those of the roster are among them, and likewise below."""
    employee_ids: Set[str]
    holders: Mapping[str, str]
    """By user name, in lower case: who has it once the roster is true."""


class Staffing:
    """Rosters against the directory."""

    def __init__(self, service: Service, people: People, follower: Follower) -> None:
        self._commands = service.commands
        self._engine = service.engine
        self._stream = service.stream
        self._people = people
        self._follower = follower
        self._naming = asyncio.Lock()
        """Two who come at once do not get the same user name from this process. From two processes they may: names are
        no key of anything, and whoever looks for one then finds both."""

    async def plan(self, roster: StaffRoster, context: Context) -> Plan:
        """Raises Invalid `NAMED_TWICE` and `NAMES_NOBODY`, and Conflict where an entry has an etag that is stale."""
        _refuse_doubles(roster)
        if roster.complete and not roster.employees:
            raise Invalid("NAMES_NOBODY", "everybody would leave: a roster that is complete names those who stay")
        day = roster.effective_date or context.today.isoformat()
        listed_teams = [_dated(entry, day) for entry in roster.teams]
        listed = [_dated(entry, day) for entry in roster.employees]
        if roster.complete:
            listed += await self._leavers({entry.employee_id for entry in listed}, day)
        known = await self._known(listed_teams, listed)
        plan = Plan()
        for number, team in enumerate(listed_teams):
            found = known.teams.get(team.team_id, Standing(TEAM.initial, 0))
            self._plan(plan, TEAM, team.team_id, team, found, f"teams[{number}]", known, context)
        for number, entry in enumerate(listed):
            place = f"employees[{number}]" if number < len(roster.employees) else "complete"
            one = known.employees.get(entry.employee_id, Standing(EMPLOYEE.initial, 0))
            self._plan(plan, EMPLOYEE, entry.employee_id, entry, one, place, known, context)
        return plan

    async def carry_out(self, roster: StaffRoster, context: Context) -> Plan:
        """Plans, and does it unless there are problems. Whatever was done before a crash, a second time goes on."""
        if any(entry.account.user_name for entry in roster.employees):
            async with self._naming:
                return await self._carry_out(roster, context)
        return await self._carry_out(roster, context)

    async def _carry_out(self, roster: StaffRoster, context: Context) -> Plan:
        plan = await self.plan(roster, context)
        if plan.problems:
            return plan
        unled = [RosterTeam() for _ in plan.teams]
        for bare, team in zip(unled, plan.teams, strict=True):
            bare.CopyFrom(team)
            bare.ClearField("lead_id")
        leads = [
            RosterTeam(team_id=team.team_id, lead_id=team.lead_id, effective_date=team.effective_date)
            for team in plan.teams
            if team.HasField("lead_id")
        ]
        await self._write(plan, TEAM, {team.team_id: team for team in unled}, context)
        await self._write(plan, EMPLOYEE, {entry.employee_id: entry for entry in plan.employees}, context)
        await self._write(plan, TEAM, {team.team_id: team for team in leads}, context)
        return plan

    async def with_account(self, user_name: str, external_id: str) -> list[str]:
        """Ids of those who have an account of this user name, whatever its case, and this id; empty ones do not matter.

        Names are in no table, so everybody is looked at: first as they are in memory, then as the log knows them.
        """
        for check in (False, True):
            found = await self._commands.known(EMPLOYEE, await self._people.everyone(self._engine), check=check)
            matching = [
                one
                for one, standing in found.items()
                if _is_called(standing.state, user_name) and external_id in ("", standing.state.account.external_id)
            ]
            if matching:
                break
        return sorted(matching)

    def _plan(
        self,
        plan: Plan,
        aggregate: Aggregate[Any],
        entry_id: str,
        entry: Entry,
        found: Standing[Any],
        place: str,
        known: _Known,
        context: Context,
    ) -> None:
        """Adds what an entry takes: its changes, or what is wrong with it."""
        if entry.etag and entry.etag != str(found.position):
            raise etag_mismatch()
        try:
            _check_names(entry, known)
            events = aggregate.decide(found.state, entry, context)
        except Refused as refusal:
            plan.problems.append(
                RosterProblem(field=place, id=entry_id, reason=refusal.reason, message=refusal.message)
            )
            return
        state = found.state
        for event in events:
            before, state = state, aggregate.evolve(state, event)
            plan.changes.append(_change(event, entry_id, before, state))
        if not events:
            plan.unchanged += 1
        elif isinstance(entry, RosterTeam):
            plan.teams.append(entry)
        else:
            plan.employees.append(entry)

    async def _write(
        self,
        plan: Plan,
        aggregate: Aggregate[Any],
        entries: Mapping[str, Entry],
        context: Context,
    ) -> None:
        jobs = [(entry_id, entry) for entry_id, entry in entries.items() if not entry.etag]
        for start in range(0, len(jobs), AT_ONCE):
            some = jobs[start : start + AT_ONCE]
            for (entry_id, _), outcome in zip(
                some, await self._commands.handle_all(aggregate, some, context), strict=True
            ):
                if isinstance(outcome, Refused):  # others were faster than the plan
                    problem = RosterProblem(id=entry_id, reason=outcome.reason, message=outcome.message)
                    plan.problems.append(problem)
                else:
                    plan.log_position = max(plan.log_position, outcome.position)
        for entry_id, entry in entries.items():
            if entry.etag:
                handled = await self._commands.handle(aggregate, entry_id, entry, replace(context, etag=entry.etag))
                plan.log_position = max(plan.log_position, handled.position)

    async def _leavers(self, named: set[str], day: str) -> list[RosterEmployee]:
        """Entries of everybody who is employed on a day and not named: they leave."""
        await self._catch_up()
        others = [one for one in await self._people.everyone(self._engine) if one not in named]
        on = parse_day(day, "effective_date")
        found = await self._commands.known(EMPLOYEE, others)
        return [
            RosterEmployee(employee_id=one, employed=False, effective_date=day)
            for one, standing in sorted(found.items())
            if standing.state.status_on(on) not in (0, EMPLOYMENT_STATUS_LEFT)
        ]

    async def _catch_up(self) -> None:
        await self._follower.wait_for((await self._stream.state()).last, AT_LEAST_SECONDS)

    async def _known(self, listed_teams: Sequence[RosterTeam], listed: Sequence[RosterEmployee]) -> _Known:
        named_teams = {team.team_id for team in listed_teams} | {entry.team_id for entry in listed} - {""}
        named = {entry.employee_id for entry in listed} | {team.lead_id for team in listed_teams} - {""}
        found_teams = await self._commands.known(TEAM, sorted(named_teams))
        found = await self._commands.known(EMPLOYEE, sorted(named))
        return _Known(
            found_teams,
            found,
            found_teams.keys() | {team.team_id for team in listed_teams},
            found.keys() | {entry.employee_id for entry in listed},
            await self._holders(listed, found),
        )

    async def _holders(
        self, listed: Sequence[RosterEmployee], found: Mapping[str, Standing[employees.State]]
    ) -> dict[str, str]:
        """By user name, in lower case: who has it once the roster is true; empty where no name is new."""
        new = {entry.employee_id: entry.account.user_name.lower() for entry in listed if entry.HasField("account")}
        if all(not name or (one in found and _is_called(found[one].state, name)) for one, name in new.items()):
            return {}
        await self._catch_up()
        everyone = await self._commands.known(EMPLOYEE, await self._people.everyone(self._engine))
        holders = {one.state.account.user_name.lower(): employee_id for employee_id, one in everyone.items()}
        freed = {name for name, employee_id in holders.items() if new.get(employee_id, name) != name}
        mine = {name: employee_id for employee_id, name in reversed(new.items())}  # of two, the first has it
        return mine | {name: employee_id for name, employee_id in holders.items() if name not in freed}


def _refuse_doubles(roster: StaffRoster) -> None:
    """Of two entries about the same thing, neither can be the right one."""
    places = [(f"roster.teams[{number}].team_id", entry.team_id) for number, entry in enumerate(roster.teams)]
    places += [
        (f"roster.employees[{number}].employee_id", entry.employee_id) for number, entry in enumerate(roster.employees)
    ]
    seen = Counter((place.partition("[")[0], one) for place, one in places)
    doubled = [(place, one) for place, one in places if seen[place.partition("[")[0], one] > 1]
    if doubled:
        violations = tuple(FieldViolation(place, f"{one} is named more than once") for place, one in doubled)
        raise Invalid("NAMED_TWICE", f"{doubled[0][1]} is named more than once; leave one entry of each", violations)


def _dated(entry: E, day: str) -> E:
    """An entry with the day from which on it holds."""
    dated = type(entry)()
    dated.CopyFrom(entry)
    dated.effective_date = parse_day(entry.effective_date or day, "effective_date").isoformat()
    return dated


def _check_names(entry: Entry, known: _Known) -> None:
    """Raises NotFound for a team or lead that is nowhere, AlreadyExists for a user name that somebody else has."""
    if isinstance(entry, RosterTeam):
        if entry.lead_id and entry.lead_id not in known.employee_ids:
            raise NotFound("EMPLOYEE_NOT_FOUND", f"there is no employee {entry.lead_id} to lead the team")
        return
    if entry.team_id and entry.team_id not in known.team_ids:
        raise NotFound("TEAM_NOT_FOUND", f"there is no team {entry.team_id}")
    if (name := entry.account.user_name.lower()) and known.holders.get(name, entry.employee_id) != entry.employee_id:
        raise AlreadyExists("USER_NAME_TAKEN", "another employee has this user name")


def _is_called(state: employees.State, user_name: str) -> bool:
    return user_name.lower() in ("", state.account.user_name.lower())


def _change(event: Message, entry_id: str, before: Any, after: Any) -> RosterChange:
    """What an event changes, from the state before it to the one after."""
    change = RosterChange(id=entry_id, display_name=after.display_name)
    change.effective_date = getattr(event, "effective_date", "")
    day = date.fromisoformat(change.effective_date) if change.effective_date else date.max
    match event:
        case TeamCreated():
            change.kind = RosterChange.KIND_TEAM_CREATED
        case TeamRenamed():
            change.kind, change.before = RosterChange.KIND_TEAM_RENAMED, before.display_name
            change.after = after.display_name
        case TeamLeadAppointed():
            change.kind, change.before = RosterChange.KIND_LEAD_APPOINTED, before.lead_on(day)
            change.after = after.lead_on(day)
        case TeamLinked():
            change.kind = RosterChange.KIND_TEAM_LINKED
        case EmployeeHired(hire_date=hire_date, team_id=team_id):
            change.kind, change.after, change.effective_date = RosterChange.KIND_HIRED, team_id, hire_date
        case EmployeeRenamed():
            change.kind, change.before = RosterChange.KIND_RENAMED, before.display_name
            change.after = after.display_name
        case EmployeeAccountChanged():
            change.kind = RosterChange.KIND_ACCOUNT_CHANGED
        case EmployeeTransferred():
            change.kind, change.before = RosterChange.KIND_TRANSFERRED, before.team_on(day)
            change.after = after.team_on(day)
        case PositionChanged():
            change.kind, change.before = RosterChange.KIND_POSITION_CHANGED, _in_words(before.position_on(day))
            change.after = _in_words(after.position_on(day))
        case EmploymentStatusChanged(status=status):
            left = status == EMPLOYMENT_STATUS_LEFT
            change.kind = RosterChange.KIND_LEFT if left else RosterChange.KIND_STATUS_CHANGED
            change.before, change.after = _status(before.status_on(day)), _status(status)
    return change


def _in_words(held: Position) -> str:
    """A position with its stars."""
    stars = f" {held.stars} stars" if held.stars else ""
    return f"{held.name}{stars}{' (acting)' if held.acting else ''}"


def _status(status: EmploymentStatus.ValueType) -> str:
    return EmploymentStatus.Name(status).removeprefix("EMPLOYMENT_STATUS_").lower().replace("_", " ")
