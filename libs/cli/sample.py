"""A made-up contact centre, the same for the same arguments: to look at, to test with and to measure on.

Some agents have a story (`Story`), so that there is something to find; the others do what is expected of them. Counts
follow their rates closely, so that what is found are the stories, whatever the seed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, timedelta, tzinfo
from functools import cached_property

from libs.cli.importing import SetupRequest, identified
from libs.cli.sample_days import Days
from libs.cli.sample_people import (
    CENTRE,
    STRUGGLES,
    Calendar,
    Person,
    Story,
    agent,
    chance,
    first_day,
    month_number,
    names,
    staff,
)
from libs.cli.sample_records import Recording
from libs.cli.sample_talks import Talk, Talks
from stepladder.performance.v1.check_in_pb2 import CheckIn
from stepladder.performance.v1.directory_pb2 import (
    EMPLOYMENT_STATUS_CONFIRMED,
    EMPLOYMENT_STATUS_LEFT,
    EMPLOYMENT_STATUS_ON_LEAVE,
    EMPLOYMENT_STATUS_PROBATION,
    AppointTeamLeadRequest,
    ChangeEmploymentStatusRequest,
    CreateTeamRequest,
    Employee,
    EmploymentStatus,
    HireEmployeeRequest,
    Team,
    TransferEmployeeRequest,
)
from stepladder.performance.v1.facts_pb2 import Fact
from stepladder.performance.v1.record_pb2 import Record
from stepladder.performance.v1.scorecard_pb2 import CloseMonthRequest

OFFICE = f"t-{CENTRE}-office"
"""The team of those who serve no customers, led by the manager."""

JOB_FAMILIES = {"qa-reviewer": "qa", "hr-specialist": "hr", "executive": "executive"}
"""Of positions outside customer service."""


@dataclass(frozen=True)
class SampleCentre:
    """Teams, people, facts and records up to `end`.

    Attributes:
        end: the last day with facts. Another end is another centre: the same people have other days.
        seed: another one gives other names and figures.
        months: full months before the month of `end`; facts start on the first day of the first of them.
        teams: 1 to 20.
        agents_per_team: 1 to 50. With fewer than 19 agents in all, some stories stay untold.
        zone: of the clocks at the site.
    """

    end: date
    seed: int = 1
    months: int = 6
    teams: int = 4
    agents_per_team: int = 12
    zone: tzinfo = UTC

    def __post_init__(self) -> None:
        """Raises ValueError for sizes that are not meant."""
        if not (1 <= self.months <= 60 and 1 <= self.teams <= 20 and 1 <= self.agents_per_team <= 50):
            raise ValueError("a sample centre has 1 to 60 months, 1 to 20 teams and 1 to 50 agents in each")

    @property
    def digest(self) -> str:
        """Names the arguments; for `import_facts`."""
        return f"{CENTRE}-{self.seed}-{self.end}-{self.months}-{self.teams}-{self.agents_per_team}"

    def told(self, story: Story) -> list[str]:
        """Ids of the agents with that story."""
        return [person.employee_id for person in self._agents if person.story is story]

    def somebody(self, position: str) -> str:
        """The id of the first of the staff in a position."""
        return next(person.employee_id for person in self._staff if person.position == position)

    def struggling(self) -> dict[str, str]:
        """The KPI that shows the trouble, for each agent who has any, by employee id."""
        return {one.employee_id: STRUGGLES[one.story] for one in self._agents if one.story in STRUGGLES}

    def setup(self) -> list[SetupRequest]:
        """Teams, people, leads, and what changed for them; each after what it rests on."""
        teams = [
            Team(team_id=OFFICE, display_name="Office · 管理部"),
            *(
                Team(team_id=_team_id(team), display_name=f"Team {team + 1} · {team + 1}组")
                for team in range(self.teams)
            ),
        ]
        requests: list[SetupRequest] = [
            *(CreateTeamRequest(team=team) for team in teams),
            *(self._hire(person) for person in (*self._staff, *self._agents)),
            *(self._appoint(person) for person in self._staff if person.position in {"lead", "manager"}),
        ]
        for person in self._agents:
            requests += self._changes(person)
        return [identified(request) for request in requests]

    def closings(self) -> list[CloseMonthRequest]:
        """One for every month that is over at `end`, the first month first."""
        last = month_number(self.end + timedelta(days=1)) - 1
        months = range(month_number(self._calendar.start), last + 1)
        return [identified(CloseMonthRequest(month=first_day(month).isoformat()[:7])) for month in months]

    def facts(self) -> Iterator[Fact]:
        """Every agent's days as systems measure them, by employee and date."""
        return (one for one in self._said() if isinstance(one, Fact))

    def records(self) -> Iterator[Record]:
        """What people write down about every agent, by employee."""
        return (one for one in self._said() if isinstance(one, Record))

    def check_ins(self) -> Iterator[CheckIn]:
        """What everybody says of themself on the Mondays of the last six weeks."""
        monday = self.end - timedelta(days=self.end.weekday())
        for person in (*self._agents, *self._staff):
            own = chance(self.seed, "check-ins", person.number)
            for week in range(5, -1, -1):
                day = monday - timedelta(weeks=week)
                strained = person.trouble(day) > 0.5 and person.story is Story.UNKIND
                mood, stress = (1, 5) if strained else (own.choice((3, 4, 4, 5)), own.choice((1, 2, 2, 3)))
                if max(self._calendar.start, person.hired) <= day <= person.last_day:
                    yield CheckIn(
                        check_in_id=f"week-{day:%Y%m%d}",
                        employee_id=person.employee_id,
                        date=day.isoformat(),
                        mood=mood,
                        stress=stress,
                        note="I do not sleep before early shifts." if strained else "",
                    )

    def talks(self) -> Iterator[Talk]:
        """Sessions of everybody who is still there, by person, with who leads them at `end`, or HR."""
        for person in (*self._agents, *self._staff):
            if person.story is not Story.LEFT:
                yield from Talks(self.seed, person, self._holder(person).employee_id, self._calendar).told()

    def _holder(self, person: Person) -> Person:
        """Who talks with somebody: their lead at `end`; with the office the manager, with the manager HR."""
        if person.position != "agent":
            position = "hr-specialist" if person.position == "manager" else "manager"
            return next(one for one in self._staff if one.position == position)
        team = (person.team + 1) % self.teams if person.story is Story.MOVED else person.team
        leads = [one for one in self._staff if one.position == "lead" and one.team == team]
        return max(leads, key=lambda one: one.since)

    def _said(self) -> Iterator[Fact | Record]:
        reviewers = [person.employee_id for person in self._staff if person.position == "qa-reviewer"]
        for person in sorted(self._agents, key=lambda one: one.employee_id):
            recording = Recording(self.seed, person, self.zone, reviewers)
            days = Days(self.seed, person, recording)
            yield from days.said(max(self._calendar.start, person.hired), person.last_day)

    @property
    def _calendar(self) -> Calendar:
        return Calendar(self.end, self.months)

    @cached_property
    def _names(self) -> list[str]:
        """The agents' first, then the others'."""
        return names(self.seed, self.teams * self.agents_per_team + self.teams + 7)

    @cached_property
    def _agents(self) -> list[Person]:
        count = self.teams * self.agents_per_team
        return [
            agent(self.seed, number, name, self.teams, self._calendar)
            for number, name in enumerate(self._names[:count])
        ]

    @cached_property
    def _staff(self) -> list[Person]:
        """A lead for each team, at half time another one for the second team, or the only one; and the office."""
        long_ago = date(self._calendar.start.year - 1, 1, 1)
        posts = [("lead", long_ago, team) for team in range(self.teams)]
        posts.append(("lead", self._calendar.half_time, min(1, self.teams - 1)))
        office = ("manager", "qa-reviewer", "qa-reviewer", "hr-specialist", "hr-specialist", "executive")
        posts += [(position, long_ago, 0) for position in office]
        count = self.teams * self.agents_per_team
        return [
            staff(count + place, name, *post, last_day=self.end)
            for place, (name, post) in enumerate(zip(self._names[count:], posts, strict=True))
        ]

    def _hire(self, person: Person) -> HireEmployeeRequest:
        serves = person.position == "agent"
        new = person.story in {Story.NEWCOMER, Story.CONFIRMED_LATELY}
        return HireEmployeeRequest(
            employee=Employee(
                employee_id=person.employee_id,
                display_name=person.name,
                hire_date=person.hired.isoformat(),
                team_id=_team_id(person.team) if serves else OFFICE,
                job_family=JOB_FAMILIES.get(person.position, "customer-service"),
                position=person.position,
                stars=person.stars if serves else 0,
                position_since=person.since.isoformat(),
                status=EMPLOYMENT_STATUS_PROBATION if new else EMPLOYMENT_STATUS_CONFIRMED,
            )
        )

    def _appoint(self, person: Person) -> AppointTeamLeadRequest:
        return AppointTeamLeadRequest(
            team_id=_team_id(person.team) if person.position == "lead" else OFFICE,
            lead_id=person.employee_id,
            effective_date=person.since.isoformat(),
        )

    def _changes(self, person: Person) -> Iterator[SetupRequest]:
        match person.story:
            case Story.MOVED:
                yield TransferEmployeeRequest(
                    employee_id=person.employee_id,
                    team_id=_team_id((person.team + 1) % self.teams),
                    effective_date=self._calendar.half_time.isoformat(),
                )
            case Story.CONFIRMED_LATELY:
                yield _status(person, EMPLOYMENT_STATUS_CONFIRMED, person.hired + timedelta(days=91))
            case Story.LEFT:
                yield _status(person, EMPLOYMENT_STATUS_LEFT, person.last_day + timedelta(days=1))
            case Story.AWAY:
                yield _status(person, EMPLOYMENT_STATUS_ON_LEAVE, person.last_day + timedelta(days=1))
            case _:
                pass


def _team_id(team: int) -> str:
    return f"t-{CENTRE}-{team + 1}"


def _status(person: Person, status: EmploymentStatus.ValueType, day: date) -> ChangeEmploymentStatusRequest:
    return ChangeEmploymentStatusRequest(employee_id=person.employee_id, status=status, effective_date=day.isoformat())
