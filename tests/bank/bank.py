"""The bank as the services know it: who works there, by which rules, what calls they take, and what is said by whom."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from libs.cli.call_mapping import load_mapping
from libs.cli.calls import employee_id, read_calls
from libs.cli.importing import import_centre, import_facts, preset_requests, staff_requests
from libs.cli.presets import PRESETS
from stepladder.performance.v1.directory_pb2 import (
    AppointTeamLeadRequest,
    CreateTeamRequest,
    Employee,
    HireEmployeeRequest,
    Team,
)
from stepladder.performance.v1.facts_pb2 import CorrectFactRequest, Fact
from stepladder.performance.v1.policy_pb2 import Calendar, CoachingRules, PipRules, Policy, SetPolicyRequest
from tests.bank.reckoning import AHT, SHORT, Days, Reckoning
from tests.policies import WEEK, rule
from tests.services.world import World
from tests.tokens import as_person

LEAST_CALLS = 40
MOST_SHORT = 3
"""Per cent of a week's calls: what the bank lets pass is less than the target that it came with."""
LEAST_MINUTES, MOST_MINUTES = 2, 4
"""The target of the presets."""
MENTOR_LIMIT = 2

PIP_RULES = PipRules(
    coaching_within_days=30,
    evidence_days=90,
    minimum_business_days=5,
    maximum_business_days=60,
    review_business_days=5,
    acknowledgement_business_days=2,
    appeal_business_days=5,
    decision_business_days=3,
)

MORNING, AFTERNOON = time(9), time(13)
"""Noon is when the day before has ended everywhere."""


@dataclass(frozen=True)
class Office:
    """Who is who."""

    lead: str
    manager: str = "e-manager"
    hr: tuple[str, str, str] = ("e-hr-1", "e-hr-2", "e-hr-3")
    trainer: str = "e-trainer"


@dataclass
class Said:
    """A command, and how it was answered the first time."""

    method: Callable[..., Awaitable[Any]]
    request: Any
    caller: str
    answer: Any


@dataclass
class Bank:
    """Everything is told and asked over gRPC; `found` holds what is not as it must be."""

    world: World
    path: Path
    reckoning: Reckoning = field(init=False)
    office: Office = field(init=False)
    said: list[Said] = field(default_factory=list)
    found: list[str] = field(default_factory=list)
    checks: int = 0
    corrections: int = 0
    facts: int = 0

    def __post_init__(self) -> None:
        self.reckoning = Reckoning(self.path)
        self.calls = read_calls(self.path, load_mapping(PRESETS / "brown-calls.toml"), centre="bank")
        self.office = Office(lead=self.employee("Lead of bank"))

    @property
    def weeks(self) -> tuple[Days, Days]:
        day = self.reckoning.day
        return (day(0), day(6)), (day(7), day(13))

    @property
    def day_off(self) -> date:
        """The bank's own; of 1999, it is Purim."""
        return self.reckoning.day(29)

    def employee(self, name: str) -> str:
        return employee_id("bank", name)

    def go(self, day: date, hour: time = AFTERNOON) -> None:
        """Sets the clock."""
        self.world.clock[0] = datetime.combine(day, hour, UTC)

    def expect(self, what: str, answered: object, reckoned: object) -> None:
        self.checks += 1
        if answered != reckoned:
            self.found.append(f"{what}: answered {answered}, reckoned {reckoned}")

    async def say(self, caller: str, method: Callable[..., Awaitable[Any]], request: Any) -> Any:
        """A command of somebody's with an id of its own; every third is said twice."""
        request.request_id = f"bank-{len(self.said)}"
        answer = await method(request, metadata=by(caller))
        self.said.append(Said(method, request, caller, answer))
        if len(self.said) % 3 == 0:
            again = await method(request, metadata=by(caller))
            self.expect(f"{request.DESCRIPTOR.name} said twice", again == answer, True)
        return answer

    async def say_everything_again(self) -> None:
        """The same answers, but for what the clock makes of them (whether a session is overdue, who is on leave)."""
        for said in self.said:
            again = await said.method(said.request, metadata=by(said.caller))
            what = f"{said.request.DESCRIPTOR.name} said again"
            self.expect(what, again.log_position, said.answer.log_position)

    async def ends(self) -> dict[str, int]:
        """The last position of every stream."""
        streams = self.world.services["coaching"].streams
        return {name: (await stream.state()).last for name, stream in streams.items()}

    async def settled(self) -> None:
        """Returns when everybody has done what is in the log and due by the clock, and nothing came of it any more."""
        followers = [one for service in self.world.services.values() for one in service.followers]
        clocked = [one for one in followers if any(table.info.get("delivery") for table in one.handler.tables)]
        async with asyncio.timeout(120):
            ends: dict[str, int] = {}
            while ends != (ends := await self.ends()):
                for follower in followers:
                    await follower.wait_for(ends[follower.stream.name], 60)
                for follower in clocked:
                    while due := (await follower.standing()).next_deadline:
                        if due.replace(tzinfo=UTC) > self.world.clock[0]:
                            break
                        await asyncio.sleep(0.02)

    async def found_bank(self) -> None:
        """The presets, who works there, and by which rules."""
        day = str(self.reckoning.monday)
        requests = [*preset_requests(), *staff_requests(self.calls)]
        await import_centre(self.world.channels["performance"], requests)
        directory, office = self.world.directory, self.office
        await directory.CreateTeam(CreateTeamRequest(team=Team(team_id="t-office", display_name="Office")))
        for employee, name, family in (
            (office.manager, "Manager", "management"),
            *((one, f"Human resources {number}", "hr") for number, one in enumerate(office.hr, start=1)),
            (office.trainer, "Trainer", "training"),
        ):
            hired = Employee(
                employee_id=employee,
                display_name=name,
                hire_date="1997-01-01",
                team_id="t-office",
                job_family=family,
                position=family,
                position_since="1997-01-01",
            )
            await directory.HireEmployee(HireEmployeeRequest(employee=hired))
        appoint = AppointTeamLeadRequest(team_id="t-office", lead_id=office.manager, effective_date="1997-01-01")
        await directory.AppointTeamLead(appoint)
        calendar = Calendar(weekend=[5, 6], days_off=[str(self.day_off)])
        coaching = CoachingRules(calendar_id="bank-days", mentor_limit=MENTOR_LIMIT, session_days=7, pip=PIP_RULES)
        short, long = (rule(kpi_id, WEEK, minimum_samples=LEAST_CALLS) for kpi_id in (SHORT, AHT))
        short.streak.maximum = str(MOST_SHORT)
        for policy in (
            Policy(policy_id="bank-days", effective_date=day, calendar=calendar),
            Policy(policy_id="bank-coaching", effective_date=day, coaching=coaching),
            Policy(policy_id="bank-short-calls", effective_date=day, detection=short),
            Policy(policy_id="bank-long-calls", effective_date=day, detection=long),
        ):
            await self.world.policies.SetPolicy(SetPolicyRequest(policy=policy))

    async def tell_days(self, days: Days) -> None:
        """The calls of these days become known."""
        of_days = [one for one in self.calls if str(days[0]) <= one.date <= str(days[1])]
        told = await import_facts(self.world.facts, of_days, file_digest=f"{self.calls.digest}-{days[0]}")
        self.expect(f"facts of {days[0]} to {days[1]}", (told.recorded, told.rejected), (len(of_days), ()))
        self.facts += told.recorded

    async def correct_short(self, agent: str, day: date, *, half: bool = False) -> None:
        """Of the short calls of each hour of a day none was one, or only half of them were."""
        employee = self.employee(agent)
        (fact,) = (one for one in self.calls if (one.employee_id, one.date) == (employee, str(day)))
        (reading,) = (one for one in fact.readings if one.kpi_id == SHORT)
        reading.numerators[:] = [one // 2 if half else 0 for one in reading.numerators]
        corrected = Fact(employee_id=employee, date=fact.date, source=fact.source, readings=[reading])
        request = CorrectFactRequest(fact=corrected, reason="test calls were counted as short ones")
        answer = await self.say(self.office.hr[0], self.world.facts.CorrectFact, request)
        self.expect(f"readings of {agent} corrected", answer.changed, 1)
        self.reckoning.of(agent, day).short = sum(reading.numerators)
        self.corrections += 1
        await self.settled()

    def worst_day(self, agent: str, days: Days) -> date:
        """With the most short calls."""
        return max(self.reckoning.dates(agent, days), key=lambda day: self.reckoning.of(agent, day).short)


def by(caller: str) -> tuple[tuple[str, str]]:
    return as_person(caller)


def later(day: date, days: int) -> date:
    return day + timedelta(days=days)
