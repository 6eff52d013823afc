"""A made-up contact centre, the same for the same arguments: to look at, to test with and to measure on.

Some agents have a story (`Story`), so that there is something to find; the others do what is expected of them. Counts
follow their rates closely, so that what is found are the stories, whatever the seed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
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
    lead,
    month_number,
    names,
)
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
from stepladder.performance.v1.facts_pb2 import (
    RATING_EXCELLENT,
    RATING_GOOD,
    RATING_NEEDS_IMPROVEMENT,
    RATING_QUALIFIED,
    RATING_UNQUALIFIED,
    Fact,
    RateMonthRequest,
    Rating,
)


@dataclass(frozen=True)
class SampleCentre:
    """Teams, people, ratings and facts up to `end`.

    Attributes:
        end: the last day with facts. Another end is another centre: the same people have other days.
        seed: another one gives other names and figures.
        months: full months before the month of `end`; facts start on the first day of the first of them.
        teams: 1 to 20.
        agents_per_team: 1 to 50. With fewer than 19 agents in all, some stories stay untold.
    """

    end: date
    seed: int = 1
    months: int = 6
    teams: int = 4
    agents_per_team: int = 12

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

    def struggling(self) -> dict[str, str]:
        """The KPI that shows the trouble, for each agent who has any, by employee id."""
        return {one.employee_id: STRUGGLES[one.story] for one in self._agents if one.story in STRUGGLES}

    def setup(self) -> list[SetupRequest]:
        """Teams, people, leads, and what changed for them; each after what it rests on."""
        teams = [
            Team(team_id=_team_id(team), display_name=f"Team {team + 1} · {team + 1}组") for team in range(self.teams)
        ]
        hired = [*self._leads, *self._agents]
        requests: list[SetupRequest] = [
            *(CreateTeamRequest(team=team) for team in teams),
            *(self._hire(person) for person in hired),
            *(self._appoint(person) for person in self._leads),
        ]
        for person in self._agents:
            requests += self._changes(person)
        return [identified(request) for request in requests]

    def ratings(self) -> list[RateMonthRequest]:
        """A rating for every agent and month that is over at `end` and was worked by half at least."""
        last = month_number(self.end + timedelta(days=1)) - 1
        requests = []
        for person in self._agents:
            own = chance(self.seed, "ratings", person.number)
            for month in range(month_number(self._calendar.start), last + 1):
                middle, luck = first_day(month) + timedelta(days=14), own.random()
                if person.hired <= middle <= person.last_day:
                    # Nobody but the stars ends in a row of excellent months by luck.
                    rating = _rating(person, middle, luck if month < month_number(self.end) - 1 else 0.8 * luck)
                    requests.append(
                        RateMonthRequest(employee_id=person.employee_id, month=middle.isoformat()[:7], rating=rating)
                    )
        return [identified(request) for request in requests]

    def facts(self) -> Iterator[Fact]:
        """Every agent's days, by employee, date and source."""
        for person in sorted(self._agents, key=lambda one: one.employee_id):
            yield from Days(self.seed, person).facts(max(self._calendar.start, person.hired), person.last_day)

    @property
    def _calendar(self) -> Calendar:
        return Calendar(self.end, self.months)

    @cached_property
    def _names(self) -> list[str]:
        """The agents' first, then the leads'."""
        return names(self.seed, self.teams * self.agents_per_team + self.teams + 1)

    @cached_property
    def _agents(self) -> list[Person]:
        count = self.teams * self.agents_per_team
        return [
            agent(self.seed, number, name, self.teams, self._calendar)
            for number, name in enumerate(self._names[:count])
        ]

    @cached_property
    def _leads(self) -> list[Person]:
        """One for each team; at half time another one for the second team, or the only one."""
        count = self.teams * self.agents_per_team
        changing = min(1, self.teams - 1)
        terms = [(team, date(self._calendar.start.year - 1, 1, 1)) for team in range(self.teams)]
        terms.append((changing, self._calendar.half_time))
        return [
            lead(count + place, name, team, since)
            for place, (name, (team, since)) in enumerate(zip(self._names[count:], terms, strict=True))
        ]

    def _hire(self, person: Person) -> HireEmployeeRequest:
        leads = person in self._leads
        new = person.story in {Story.NEWCOMER, Story.CONFIRMED_LATELY}
        return HireEmployeeRequest(
            employee=Employee(
                employee_id=person.employee_id,
                display_name=person.name,
                hire_date=person.hired.isoformat(),
                team_id=_team_id(person.team),
                job_family="customer-service",
                position="lead" if leads else "agent",
                stars=0 if leads else person.stars,
                position_since=person.since.isoformat(),
                status=EMPLOYMENT_STATUS_PROBATION if new else EMPLOYMENT_STATUS_CONFIRMED,
            )
        )

    def _appoint(self, person: Person) -> AppointTeamLeadRequest:
        return AppointTeamLeadRequest(
            team_id=_team_id(person.team), lead_id=person.employee_id, effective_date=person.since.isoformat()
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


def _rating(person: Person, day: date, luck: float) -> Rating.ValueType:
    """The rating of the month around that day; `luck` is from 0 to 1."""
    if person.story in {Story.STAR, Story.RISING}:
        return RATING_EXCELLENT
    if person.trouble(day) > 0.5:
        return RATING_UNQUALIFIED if luck < 0.3 else RATING_NEEDS_IMPROVEMENT
    if luck > 0.85:
        return RATING_EXCELLENT
    return RATING_GOOD if luck > 0.4 else RATING_QUALIFIED
