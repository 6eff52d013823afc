"""What is due of employees, by the coaching rules in force: sessions of their plans, interviews, check-ins."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Row

from libs.common.days import month_of
from libs.common.errors import NotKnown
from libs.common.projecting import Follower
from libs.common.service import AT_LEAST_SECONDS, Service, Together
from libs.facts import employee
from libs.facts.catalogue import Catalogue, Rules
from libs.facts.check_ins import CheckIns
from libs.facts.employee import EMPLOYEE
from libs.facts.leading import TeamSpan
from libs.facts.people import People
from services.coaching.plans import Plans
from services.coaching.rhythm import Due, check_in_due, sessions_due
from services.coaching.rules import KIND, CoachingRulesInForce, lookups
from services.coaching.sessions import Sessions
from stepladder.performance.v1.directory_pb2 import EMPLOYMENT_STATUS_LEFT, EMPLOYMENT_STATUS_ON_LEAVE

States = Mapping[str, employee.State]
"""Employees by id."""


@dataclass(frozen=True, slots=True)
class PlanSession:
    """A session of a plan that fell due, `every` so many days; `ahead` is the day of one scheduled, or empty."""

    plan_id: str
    employee_id: str
    due: Due
    every: int
    ahead: str


@dataclass(frozen=True, slots=True)
class Interview:
    """An interview about a month: by which rules it falls due, if it does, and the session's row, if there is one.

    `problem` says why it cannot be told when it falls due; else it is empty.
    """

    employee_id: str
    month: str
    rules: CoachingRulesInForce
    due: Due | None
    session: Row[Any] | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class CheckIn:
    """The next check-in of an employee: by when, and since when it is waited for: the last one, if there was any."""

    employee_id: str
    last: str
    since: date
    due: date


@dataclass(frozen=True, slots=True)
class Leads:
    """Who led which team when, and what is known of them."""

    by_team: Mapping[str, Sequence[TeamSpan]]
    states: States

    def of(self, state: employee.State, day: date) -> str:
        """Who led an employee on a day; empty: nobody who was employed then, or they would have led themself."""
        lead = self.of_team(state.team_on(day), day)
        return lead if lead != state.employee_id else ""

    def of_team(self, team_id: str, day: date) -> str:
        """Who led a team on a day; empty: nobody who was employed then."""
        text = day.isoformat()
        lead = next((one.employee_id for one in self.by_team.get(team_id, ()) if one.includes(text)), "")
        return lead if lead in self.states and is_employed(self.states[lead], day) else ""

    def lead(self, employee_id: str, day: date) -> bool:
        """Whether somebody led any team on a day."""
        return any(self.of_team(one, day) == employee_id for one in self.by_team)


class Duties:
    """Finds it, in a few statements for however many employees; changes nothing."""

    def __init__(
        self,
        service: Service,
        people: People,
        catalogue: Catalogue,
        plans: Plans,
        sessions: Sessions,
        together: Together,
        check_ins: CheckIns,
        at_check_ins: Follower,
    ) -> None:
        self._commands = service.commands
        self._engine = service.engine
        self._people = people
        self._catalogue = catalogue
        self._plans = plans
        self._sessions = sessions
        self._together = together
        self._check_ins = check_ins
        self._at_check_ins = at_check_ins

    async def catch_up(self) -> None:
        """Waits until everything that was said is in the read models."""
        await self._together.catch_up()
        restricted = await self._at_check_ins.stream.state()
        await self._at_check_ins.wait_for(restricted.last, AT_LEAST_SECONDS)

    async def members(self, team_id: str, start: date, end: date) -> States:
        """Everyone who was in a team, or in any for an empty id, on days from one to another, both inclusive."""
        spans = await self._people.memberships_between(self._engine, start.isoformat(), end.isoformat())
        return await self.states({one.employee_id for one in spans if team_id in ("", one.team_id)})

    async def led_by(self, lead_id: str, start: date, end: date) -> States:
        """Everyone whose team somebody led on days from one to another, both inclusive."""
        led = await self._people.led_by(self._engine, lead_id, start.isoformat(), end.isoformat())
        return await self.states(led.members.keys() - {lead_id})

    async def unled(self, leads: Leads, day: date) -> States:
        """Everyone whom nobody leads on a day."""
        members = await self._people.memberships_between(self._engine, day.isoformat(), day.isoformat())
        return await self.states(
            {one.employee_id for one in members if leads.of_team(one.team_id, day) in ("", one.employee_id)}
        )

    async def leads(self, start: date, end: date) -> Leads:
        spans = await self._people.leads_between(self._engine, start.isoformat(), end.isoformat())
        by_team: dict[str, list[TeamSpan]] = {}
        for one in spans:
            by_team.setdefault(one.team_id, []).append(one)
        return Leads(by_team, await self.states({one.employee_id for one in spans}))

    async def states(self, employee_ids: Collection[str]) -> States:
        known = await self._commands.known(EMPLOYEE, sorted(employee_ids))
        return {employee_id: standing.state for employee_id, standing in known.items()}

    async def rules(self) -> Rules:
        """What was laid down, as it is known now."""
        return await self._catalogue.rules(self._engine)

    async def sessions_of_plans(self, states: States, rules: Rules, since: date, today: date) -> list[PlanSession]:
        """Every session that fell due of plans that were not closed before a day, by plan and day."""
        plans = await self._plans.running(self._engine, states, since.isoformat())
        sessions = await self._sessions.of_plans(self._engine, [one.plan_id for one in plans])
        found: list[PlanSession] = []
        known_on = lookups(rules)
        for plan in plans:
            begun, ended = date.fromisoformat(plan.activated_date), _day(plan.closed_date)
            every = known_on(begun)(states[plan.employee_id], begun).rules.session_days
            if not every:
                continue
            own = [one for one in sessions if one.plan_id == plan.plan_id]
            held = [date.fromisoformat(one.held_date) for one in own if one.held_date]
            ahead = next((one.date for one in own if not one.held_date), "")
            dues = sessions_due(begun, ended, held, every, today)
            found += [PlanSession(plan.plan_id, plan.employee_id, due, every, ahead) for due in dues]
        return found

    async def interviews(self, states: States, rules: Rules, months: Collection[str]) -> list[Interview]:
        """The interviews about months with whoever was employed on their last day, and still is when they fall due.

        They fall due by the rules in force on that last day as they were known then, or else as they were known first:
        what is laid down after that changes nothing. None falls due before both the employee and the rules were known,
        unless there is a session.
        """
        rows = await self._sessions.interviews(self._engine, states, months)
        sessions = {(row.employee_id, row.month): row for row in rows}
        found: list[Interview] = []
        changes, known_on = rules.changes_of(KIND), lookups(rules)
        for month in months:
            last = month_of(date.fromisoformat(f"{month}-01")).end
            later = sorted(day for day in changes if day > last)
            for employee_id, state in states.items():
                if not is_employed(state, last):
                    continue
                in_force = known_on(last)(state, last)
                for known_day in later:
                    if in_force.rules_position:
                        break
                    in_force = known_on(known_day)(state, last)
                session = sessions.get((employee_id, month))
                number = in_force.rules.interview_business_day
                try:
                    day = in_force.days.add(last, number) if number else None
                except NotKnown as error:
                    problem = in_force.calendar_problem(error)
                    found.append(Interview(employee_id, month, in_force, None, session, problem))
                    continue
                if day and not is_employed(state, day):
                    continue
                if day and not session and day < max(state.known_since, in_force.known_since):
                    day = None
                held = _day(session.held_date) if session else None
                due = Due(day, held) if day and not is_on_leave(state, day) else None
                found.append(Interview(employee_id, month, in_force, due, session))
        return found

    async def check_ins(self, states: States, rules: Rules, today: date) -> list[CheckIn]:
        """The next check-in of each of those who work today, as far as the rules ask for any."""
        last = await self._check_ins.last_dates(self._engine, states)
        changes, known_on = rules.changes_of(KIND), lookups(rules)
        found: list[CheckIn] = []
        for employee_id, state in states.items():
            if not is_employed(state, today) or is_on_leave(state, today):
                continue
            given = last.get(employee_id, "")
            days = changes.union(*([day for day, _ in history] for history in (state.teams, state.positions)))
            begun = _day(given) or state.known_since
            asked = {
                day: known_on(day)(state, day).rules.check_in_days
                for day in sorted({begun, *(day for day in days if begun < day <= today)})
            }
            if due := check_in_due(_day(given), asked):
                found.append(CheckIn(employee_id, given, *due))
        return found


def is_employed(state: employee.State, day: date) -> bool:
    return state.team_on(day) != "" and state.status_on(day) != EMPLOYMENT_STATUS_LEFT


def is_on_leave(state: employee.State, day: date) -> bool:
    return state.status_on(day) == EMPLOYMENT_STATUS_ON_LEAVE


def _day(text: str) -> date | None:
    return date.fromisoformat(text) if text else None
