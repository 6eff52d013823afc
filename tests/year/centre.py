"""A made-up centre and its year: everything that it says, in the order in which it says it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from random import Random

from stepladder.performance.v1.directory_pb2 import (
    EMPLOYMENT_STATUS_LEFT,
    EMPLOYMENT_STATUS_ON_LEAVE,
    EMPLOYMENT_STATUS_PROBATION,
    Employee,
)
from stepladder.performance.v1.facts_pb2 import (
    RATING_EXCELLENT,
    RATING_GOOD,
    RATING_NEEDS_IMPROVEMENT,
    RATING_QUALIFIED,
    RATING_UNQUALIFIED,
)
from stepladder.performance.v1.kpi_pb2 import Kpi, Target
from stepladder.performance.v1.policy_pb2 import DetectionRule, Policy, Scope, ScorecardPolicy
from tests.year.ledger import (
    Change,
    Close,
    Correct,
    Dispute,
    Found,
    Lead,
    Promotion,
    RateElsewhere,
    Record,
    Retire,
    Retract,
    Samples,
    Settle,
    Status,
    Step,
    Transfer,
    Write,
    days_of,
    month_of,
)
from tests.year.papers import Papers

MONTHS = [f"2025-{number:02}" for number in range(1, 13)]
LONG_AGO = "2024-01-01"
RETIRED = date(2025, 8, 18)
OWN, OF_TEAM = ScorecardPolicy.BASIS_OWN, ScorecardPolicy.BASIS_TEAM
SPREAD, ZERO = ScorecardPolicy.MISSING_SPREAD, ScorecardPolicy.MISSING_ZERO
STANDARD, DENSE = ScorecardPolicy.TIES_STANDARD, ScorecardPolicy.TIES_DENSE
RATINGS = [RATING_UNQUALIFIED, RATING_NEEDS_IMPROVEMENT, RATING_QUALIFIED, RATING_GOOD, RATING_EXCELLENT]


@dataclass(frozen=True)
class Shape:
    """How a KPI's day looks: from which sources it comes, and between which numbers."""

    sources: Sequence[str]
    numerators: tuple[int, int]
    denominators: tuple[int, int] | None = None
    chance: float = 0.8


NAMES = [
    "王小明",
    "Jānis Bērziņš",
    "محمد علي",
    "שירה כהן",
    "欧阳娜娜",
    "Ņina Šķēle",
    "Somebody",
    "فاطمة الزهراء",
    "Łucja d’Œuvre",
]

KPIS = {
    "csat": Shape(["survey"], (0, 20), (0, 20)),
    "complaints": Shape(["calls"], (0, 2), (0, 60)),
    "aht": Shape(["calls", "chat"], (400, 6000), (1, 20)),
    "qa": Shape(["calls", "chat"], (0, 10), (0, 10), 0.4),
    "volume": Shape(["calls", "chat"], (5, 40)),
    "busy": Shape(["calls"], (0, 3000)),
    "first-reply": Shape(["chat"], (5, 90)),
    "longest": Shape(["calls"], (100, 900)),
    "mood": Shape(["survey"], (0, 5), (1, 1), 0.2),
    "conduct": Shape(["conduct"], (0, 3), None, 0.1),
    "praise": Shape(["conduct"], (0, 2), None, 0.1),
}


@dataclass
class Centre:
    """Its people and ids; `prefix` tells it from others in the same log."""

    seed: int
    people: int
    months: Sequence[str] = field(default_factory=lambda: MONTHS)
    prefix: str = ""
    workdays: float = 0.35
    """The chance that somebody has readings on a Monday to Friday."""
    mistakes: float = 1
    """With 1, one in a hundred readings and four records are at first wrong, late or contested; 0: none."""

    def __post_init__(self) -> None:
        self.chance = Random(self.seed)
        self.teams = [self.named(f"t-{number:02}") for number in range(max(2, self.people // 12))]
        self.first_day = date.fromisoformat(f"{self.months[0]}-01")
        self.employees: dict[str, Employee] = {}
        self.home: dict[str, list[tuple[date, str]]] = {}
        self.gone: dict[str, date] = {}
        self.away: dict[str, tuple[date, date]] = {}
        self.papers = Papers(self.seed, self.prefix, self.works, self.mistakes)

    def named(self, name: str) -> str:
        return f"{self.prefix}{name}"

    def kpi(
        self,
        name: str,
        unit: "Kpi.Unit.ValueType",
        direction: "Kpi.Direction.ValueType",
        aggregation: "Kpi.Aggregation.ValueType",
        scale: tuple[int, int] = (1, 1),
        precision: int = 0,
    ) -> Kpi:
        return Kpi(
            kpi_id=self.named(name),
            display_name=name,
            unit=unit,
            direction=direction,
            aggregation=aggregation,
            scale_numerator=scale[0],
            scale_denominator=scale[1],
            precision=precision,
        )

    def kpis(self) -> list[Kpi]:
        """One of every kind."""
        higher, lower = Kpi.DIRECTION_HIGHER, Kpi.DIRECTION_LOWER
        band, none = Kpi.DIRECTION_BAND, Kpi.DIRECTION_NONE
        ratio, added = Kpi.AGGREGATION_RATIO, Kpi.AGGREGATION_SUM
        smallest, largest = Kpi.AGGREGATION_MINIMUM, Kpi.AGGREGATION_MAXIMUM
        return [
            self.kpi("csat", Kpi.UNIT_PERCENT, higher, ratio, (100, 1), 2),
            self.kpi("complaints", Kpi.UNIT_PER_MILLE, lower, ratio, (1000, 1), 3),
            self.kpi("aht", Kpi.UNIT_MINUTES, band, ratio, (1, 60), 2),
            self.kpi("qa", Kpi.UNIT_PERCENT, higher, ratio, (100, 1), 1),
            self.kpi("volume", Kpi.UNIT_COUNT, higher, added),
            self.kpi("busy", Kpi.UNIT_MINUTES, lower, added, (1, 60), 1),
            self.kpi("first-reply", Kpi.UNIT_SECONDS, lower, smallest),
            self.kpi("longest", Kpi.UNIT_SECONDS, band, largest, (1, 7), 3),
            self.kpi("mood", Kpi.UNIT_POINTS, none, ratio, (1, 1), 2),
            self.kpi("conduct", Kpi.UNIT_POINTS, none, added),
            self.kpi("praise", Kpi.UNIT_POINTS, none, added, (1, 3), 2),
            self.made("fatal-rate", lower, "evaluation.fatal", "evaluation.count", (100, 1), 2),
            self.made("miss-rate", lower, "evaluation.misses", "evaluation.items", (100, 1), 2),
            self.made("quality", higher, "evaluation.score", "evaluation.count", (1, 100), 2),
            self.made("present", higher, "attendance.worked", "attendance.scheduled", (100, 1), 2),
            self.made("late", lower, "attendance.late"),
            self.made("per-mille", lower, "complaint.justified", self.named("volume"), (1000, 1), 3),
            self.made("received", lower, "complaint.received"),
            self.made("exams", higher, "exam.score", "exam.taken", (1, 100), 1),
            self.made("courses", higher, "training.attended", "training.assigned", (100, 1), 1),
            self.made("points", none, "conduct.points"),
            self.made("thanks", none, "commendation.count", scale=(1, 2), precision=1),
            self.made("leave", none, "leave.days"),
        ]

    def made(
        self,
        name: str,
        direction: "Kpi.Direction.ValueType",
        numerator: str,
        denominator: str = "",
        scale: tuple[int, int] = (1, 1),
        precision: int = 0,
    ) -> Kpi:
        """One derived from measures."""
        aggregation = Kpi.AGGREGATION_RATIO if denominator else Kpi.AGGREGATION_SUM
        kpi = self.kpi(name, Kpi.UNIT_POINTS, direction, aggregation, scale, precision)
        kpi.derived.CopyFrom(Kpi.Derivation(numerator=numerator, denominator=denominator))
        return kpi

    def target(
        self,
        name: str,
        since: str,
        minimum: str = "",
        maximum: str = "",
        *,
        team: str = "",
        position: str = "",
        stars: int = 0,
        per_day: bool = False,
    ) -> Target:
        return Target(
            kpi_id=self.named(name),
            effective_date=since,
            minimum=minimum,
            maximum=maximum,
            team_id=team,
            position=position,
            stars=stars,
            per_day=per_day,
        )

    def policy(
        self,
        name: str,
        since: str,
        items: Sequence[ScorecardPolicy.Item],
        *,
        scope: Scope | None = None,
        basis: "ScorecardPolicy.Basis.ValueType" = OWN,
        missing: "ScorecardPolicy.Missing.ValueType" = SPREAD,
        ties: "ScorecardPolicy.Ties.ValueType" = STANDARD,
        adjustments: Sequence[tuple[str, str]] = (),
        bands: Sequence[str] = ("0", "60", "70", "80", "90", "100"),
        precision: int = 2,
        normalize: bool = False,
    ) -> Policy:
        content = ScorecardPolicy(
            scope=scope,
            basis=basis,
            items=items,
            normalize=normalize,
            missing=missing,
            adjustments=[
                ScorecardPolicy.Adjustment(kpi_id=self.named(kpi), factor=factor) for kpi, factor in adjustments
            ],
            bands=[
                ScorecardPolicy.Band(rating=rating, lower=lower, upper=upper)
                for rating, lower, upper in zip(RATINGS, bands[:-1], bands[1:], strict=True)
            ],
            precision=precision,
            ties=ties,
        )
        return Policy(policy_id=self.named(name), effective_date=since, scorecard=content)

    def attained(self, name: str, weight: str, cap: str = "") -> ScorecardPolicy.Item:
        return ScorecardPolicy.Item(
            kpi_id=self.named(name), weight=weight, attainment=ScorecardPolicy.Attainment(cap=cap)
        )

    def stepped(self, name: str, weight: str, *steps: tuple[str, str]) -> ScorecardPolicy.Item:
        found = [ScorecardPolicy.Step(lower=lower, score=score) for lower, score in steps]
        return ScorecardPolicy.Item(kpi_id=self.named(name), weight=weight, steps=ScorecardPolicy.Steps(steps=found))

    def rules(self) -> Iterator[tuple[str, Target | Policy]]:
        """Each with the month in which it is said: before that month is closed, after the one before it was."""
        jan, first, second = self.months[0], self.teams[0], self.teams[1]
        yield from ((jan, target) for target in self.first_targets(first, second))
        yield "2025-03", self.target("csat", "2025-03-12", "90", team=second)
        yield "2025-04", self.target("csat", "2025-04-14", "62.5")
        yield "2025-05", self.target("volume", "2025-05-09", "33.25", per_day=True)
        yield "2025-06", self.target("first-reply", "2025-06-16", "", "7")
        yield "2025-06", self.target("longest", "2025-06-16", "75", "115")
        yield "2025-07", self.target("csat", "2025-02-15", "95")  # the months closed before keep the other one
        yield "2025-09", self.target("busy", "2025-09-10", "", "24", per_day=True)
        yield "2025-10", self.target("aht", "2025-10-15", "", "6.5")  # open at one end from then on
        yield "2025-10", self.target("aht", "2025-10-15", "", "5.5")  # takes its place
        yield from ((jan, policy) for policy in self.first_policies(first, second))
        yield from self.papers.policies(jan)
        yield from ((jan, policy) for policy in self.detecting())
        yield "2025-04", self.target("fatal-rate", "2025-04-08", "", "30")
        yield "2025-06", self.target("late", "2025-06-03", "", "0.25", per_day=True)
        yield "2025-09", self.target("present", "2025-09-15", "97.5", team=first)
        yield (
            "2025-02",
            self.policy(
                "centre",
                "2025-02-01",
                [
                    self.attained("csat", "20"),
                    self.attained("complaints", "10"),
                    self.attained("aht", "15"),
                    self.attained("volume", "15"),
                    self.attained("fatal-rate", "10"),
                    self.attained("miss-rate", "7.5", "115"),
                    self.attained("present", "12.5"),
                    self.attained("per-mille", "10"),
                ],
                adjustments=[("conduct", "-1"), ("praise", "0.5"), ("points", "-1"), ("thanks", "2")],
            ),
        )
        yield (
            "2025-04",
            self.policy(
                "second",
                "2025-04-16",
                [self.attained("busy", "50", "120"), self.attained("qa", "50", "150")],
                scope=Scope(team_id=second),
                missing=ZERO,
                ties=DENSE,
                precision=0,
            ),
        )
        yield (
            "2025-06",
            self.policy(  # said when March to May are closed
                "seniors",
                "2025-03-01",
                [self.attained("first-reply", "30"), self.attained("longest", "30"), self.attained("volume", "40")],
                scope=Scope(position="senior"),
                missing=ZERO,
                precision=4,
            ),
        )
        yield (
            "2025-07",
            self.policy(
                "centre",
                "2025-07-10",
                [
                    self.attained("csat", "15", "110"),
                    self.attained("complaints", "15", "110"),
                    self.stepped("mood", "10", ("", "0"), ("2.5", "60"), ("4", "100")),
                    self.attained("aht", "15"),
                    self.attained("quality", "15", "130"),
                    self.attained("late", "10"),
                    self.stepped("leave", "5", ("", "100"), ("3", "80"), ("10", "60")),
                    self.attained("courses", "5"),
                    self.stepped("exams", "10", ("", "0"), ("80", "50"), ("90", "100")),
                ],
                adjustments=[("conduct", "-2.5"), ("praise", "1.25"), ("points", "-0.5"), ("received", "-0.25")],
                bands=("0", "50", "65", "77.5", "90", "105"),
            ),
        )
        yield (
            "2025-08",
            self.policy(
                "threes",
                "2025-08-05",
                [self.attained("qa", "100"), self.attained("aht", "20"), self.attained("csat", "11.5")],
                scope=Scope(stars=3),
                normalize=True,
                precision=3,
            ),
        )
        yield (
            "2025-08",
            self.policy(  # takes its place
                "threes",
                "2025-08-05",
                [self.attained("qa", "100"), self.attained("aht", "20"), self.attained("csat", "7.5")],
                scope=Scope(stars=3),
                normalize=True,
                precision=3,
            ),
        )

    def first_targets(self, first: str, second: str) -> list[Target]:
        return [
            self.target("csat", LONG_AGO, "55"),
            self.target("complaints", LONG_AGO, "", "12.5"),
            self.target("aht", LONG_AGO, "3", "6.25"),
            self.target("aht", "2025-02-20", "2.5", "5.5", position="senior"),
            self.target("volume", LONG_AGO, "30", per_day=True),
            self.target("volume", LONG_AGO, "25", team=first, position="agent", per_day=True),
            self.target("volume", "2025-02-11", "40", stars=3, per_day=True),
            self.target("volume", "2025-02-11", "41.125", position="agent", stars=4, per_day=True),
            self.target("busy", LONG_AGO, "", "300"),
            self.target("busy", "2025-03-19", "", "250", team=second),
            self.target("first-reply", LONG_AGO, "", "9"),
            self.target("longest", LONG_AGO, "60", "125"),
            self.target("qa", "2025-02-10", "50"),
            self.target("fatal-rate", LONG_AGO, "", "22"),
            self.target("miss-rate", LONG_AGO, "", "17.5"),
            self.target("miss-rate", "2025-03-12", "", "12", stars=4),
            self.target("quality", LONG_AGO, "80.5"),
            self.target("present", LONG_AGO, "90"),
            self.target("present", "2025-02-18", "92", position="senior"),
            self.target("late", LONG_AGO, "", "0.5", per_day=True),
            self.target("per-mille", LONG_AGO, "", "4"),
            self.target("courses", LONG_AGO, "75"),
        ]

    def first_policies(self, first: str, second: str) -> list[Policy]:
        return [
            self.policy(
                "second",
                LONG_AGO,
                [
                    self.attained("busy", "60", "120"),
                    self.attained("qa", "40", "120"),
                    self.stepped("volume", "30", ("", "10"), ("200", "50"), ("300", "75.5"), ("400", "115")),
                ],
                scope=Scope(team_id=second),
                missing=ZERO,
                ties=DENSE,
                precision=0,
                normalize=True,
                bands=("0", "60", "70", "80", "90", "120"),
            ),
            self.policy(
                "seniors",
                LONG_AGO,
                [self.attained("first-reply", "33.3"), self.attained("longest", "33.3"), self.attained("busy", "33.4")],
                scope=Scope(position="senior"),
                adjustments=[("conduct", "-3")],
                precision=4,
            ),
            self.policy(
                "threes",
                LONG_AGO,
                [self.attained("csat", "50"), self.attained("qa", "50")],
                scope=Scope(stars=3),
                precision=3,
            ),
            self.policy(
                "leads",
                LONG_AGO,
                [
                    self.attained("csat", "25"),
                    self.attained("complaints", "25"),
                    self.attained("volume", "20"),
                    self.attained("busy", "10", "130"),
                    self.attained("first-reply", "5"),
                    self.attained("longest", "5"),
                    self.attained("present", "5"),
                    self.attained("fatal-rate", "2.5"),
                    self.attained("per-mille", "2.5"),
                ],
                scope=Scope(position="lead"),
                basis=OF_TEAM,
                adjustments=[("conduct", "-0.05"), ("points", "-0.05")],
            ),
            self.policy(
                "second-leads",
                LONG_AGO,
                [self.attained("csat", "60"), self.attained("busy", "30"), self.attained("aht", "10")],
                scope=Scope(team_id=second, position="lead"),
                basis=OF_TEAM,
                adjustments=[("conduct", "-0.1"), ("praise", "0.1")],
            ),
            self.policy(
                "first-leads",
                LONG_AGO,
                [self.attained("aht", "60"), self.stepped("qa", "40", ("", "5"), ("40", "55"), ("60", "90.5"))],
                scope=Scope(team_id=first, position="lead"),
                basis=OWN,
            ),
        ]

    def detecting(self) -> Iterator[Policy]:
        """A rule of every trigger that is about days, weeks, months and points."""
        day, week, month = DetectionRule.PERIOD_DAY, DetectionRule.PERIOD_WEEK, DetectionRule.PERIOD_MONTH
        streak, total = DetectionRule.Streak, DetectionRule.Total
        for name, since, rule in [
            ("miss-days", "2025-12-01", self.streak("miss-rate", day, 2, 0)),
            ("quality-weeks", "2025-11-03", self.streak("quality", week, 2, 1)),
            ("late-weeks", "2025-11-20", self.streak("late", week, 3, 1)),
            ("fatal-months", "2025-10-01", self.streak("fatal-rate", month, 2, 3, maximum="30")),
            ("present-months", "2025-10-01", self.streak("present", month, 3, 0)),
            ("received", LONG_AGO, total(kpi_id=self.named("received"), days=45, at_least="3")),
            ("praise", "2025-09-10", total(kpi_id=self.named("praise"), days=20, at_least="1.5")),
            ("points", LONG_AGO, DetectionRule.Points(at_least=12)),
        ]:
            content = DetectionRule(settle_seconds=60, purpose=DetectionRule.PURPOSE_FINDING)
            match rule:
                case streak():
                    content.streak.CopyFrom(rule)
                case total():
                    content.total.CopyFrom(rule)
                case DetectionRule.Points():
                    content.points.CopyFrom(rule)
            yield Policy(policy_id=self.named(f"find-{name}"), effective_date=since, detection=content)

    def streak(
        self, name: str, period: "DetectionRule.Period.ValueType", streak: int, samples: int, *, maximum: str = ""
    ) -> DetectionRule.Streak:
        return DetectionRule.Streak(
            kpi_id=self.named(name), period=period, streak=streak, minimum_samples=samples, maximum=maximum
        )

    def people_and_changes(self) -> tuple[list[Employee], list[Change]]:
        """Who is hired when, and what becomes of them."""
        changes: list[Change] = []
        for number in range(self.people):
            employee_id, team = self.named(f"e-{number:04}"), self.teams[number % len(self.teams)]
            hire = LONG_AGO if number % 9 != 5 or number < len(self.teams) else self.some_day().isoformat()
            lead = number < len(self.teams)
            position, stars = ("lead", 0) if lead else (("senior", 2) if number % 5 == 0 else ("agent", number % 6))
            self.employees[employee_id] = Employee(
                employee_id=employee_id,
                display_name=NAMES[number % len(NAMES)],
                hire_date=hire,
                team_id=team,
                position=position,
                stars=stars,
                position_since=hire,
                status=EMPLOYMENT_STATUS_PROBATION,
            )
            self.home[employee_id] = [(date.fromisoformat(hire), team)]
            if not lead:
                changes.extend(self.life_of(employee_id, number))
        for number, team in enumerate(self.teams):
            leads_two = number % 3 == 2
            changes.append(Lead(team, date(2024, 1, 1), self.named(f"e-{number - 1 if leads_two else number:04}")))
            if leads_two:
                changes.append(Lead(team, date(2025, 6, 11), self.named(f"e-{number:04}")))
        return list(self.employees.values()), changes

    def some_day(self) -> date:
        days = [day for month in self.months for day in days_of(month)]
        return self.chance.choice(days)

    def life_of(self, employee_id: str, number: int) -> Iterator[Change]:
        hired = date.fromisoformat(self.employees[employee_id].hire_date)
        if number % 8 == 6:
            self.gone[employee_id] = max(self.some_day(), hired)
            yield Status(employee_id, self.gone[employee_id], EMPLOYMENT_STATUS_LEFT)
            return
        for _ in range(self.chance.choice([0, 0, 1, 2])):
            day, team = max(self.some_day(), hired), self.chance.choice(self.teams)
            self.home[employee_id].append((day, team))
            yield Transfer(employee_id, day, team)
        for _ in range(self.chance.choice([0, 0, 1, 2])):
            position, stars = self.chance.choice(
                [("agent", 3), ("agent", 4), ("senior", 3), ("senior", 1), ("agent", 0)]
            )
            yield Promotion(employee_id, max(self.some_day(), hired), position, stars)
        if number % 8 == 3:
            start = max(self.some_day(), hired)
            self.away[employee_id] = (start, start + timedelta(days=self.chance.randint(5, 70)))
            yield Status(employee_id, start, EMPLOYMENT_STATUS_ON_LEAVE)
            yield Status(employee_id, self.away[employee_id][1], EMPLOYMENT_STATUS_PROBATION)

    def samples(self, name: str) -> Samples:
        shape, chance = KPIS[name], self.chance
        several = chance.choice([1, 1, 1, 3])
        if shape.denominators is None:
            return tuple(chance.randint(*shape.numerators) for _ in range(several)), ()
        denominators = tuple(
            0 if shape.denominators[0] == 0 and chance.random() < 0.1 else chance.randint(*shape.denominators)
            for _ in range(several)
        )
        if name in {"csat", "qa"}:
            return tuple(chance.randint(number // 3, number) for number in denominators), denominators
        numerators = tuple(chance.randint(*shape.numerators) if number else 0 for number in denominators)
        return numerators, denominators

    def works(self, employee_id: str, day: date) -> bool:
        away = self.away.get(employee_id)
        return (
            day >= date.fromisoformat(self.employees[employee_id].hire_date)
            and (employee_id not in self.gone or day < self.gone[employee_id])
            and (away is None or not away[0] <= day < away[1])
        )

    def readings(self, month: str) -> Iterator[Record]:
        """A month's, employee by employee; some of them have a KPI or a week left out, or the whole month."""
        for employee_id in self.employees:
            left_out = {name for name in KPIS if self.chance.random() < 0.08}
            no_survey = self.chance.random() < 0.08
            week = self.chance.randint(1, 60)
            whole = self.chance.random() < 0.04
            for day in days_of(month):
                if whole or day.isocalendar().week == week or not self.works(employee_id, day):
                    continue
                if day.weekday() > 4 or self.chance.random() > self.workdays:
                    continue
                yield from self.readings_of_day(employee_id, day, left_out, no_survey=no_survey)

    def readings_of_day(self, employee_id: str, day: date, left_out: set[str], *, no_survey: bool) -> Iterator[Record]:
        for name, shape in KPIS.items():
            if name in left_out or (name == "qa" and day >= RETIRED):
                continue
            for source in shape.sources:
                if self.chance.random() < shape.chance:
                    samples = self.samples(name)
                    if name == "csat" and no_survey:  # asked, and nobody answered
                        samples = (0,), (0,)
                    yield Record((employee_id, day, source, self.named(name)), samples)

    def year(self) -> Iterator[Step]:
        """Everything said, month by month."""
        employees, changes = self.people_and_changes()
        yield from self.kpis()
        yield from (Found(team) for team in self.teams)
        rules, late = list(self.rules()), dict[str, list[Step]]()
        for month in self.months:
            first = month == self.months[0]
            yield from (person for person in employees if first and person.hire_date < month)
            yield from (person for person in employees if person.hire_date.startswith(month))
            yield from (
                change
                for change in sorted(changes, key=_day)
                if month_of(change.day) == month or (first and change.day < self.first_day)
            )
            for said, rule in rules:
                if said == month:
                    if isinstance(rule, Policy):
                        self.papers.hear(rule)
                    yield rule
            if month_of(RETIRED) == month:
                yield Retire(self.named("qa"), RETIRED)
            yield from late.pop(month, [])
            # Much at a time: what is written first, then what is measured, then what becomes of it.
            kinds = [Write, Record]
            yield from sorted(self.facts(month, late), key=lambda step: [type(step) is not kind for kind in kinds])
            if month == "2025-05":
                yield RateElsewhere(self.named("e-0007"), month)
            yield Close(month)
        for steps in late.values():
            yield from steps

    def facts(self, month: str, late: dict[str, list[Step]]) -> Iterator[Step]:
        """The month's readings; `late` gets what becomes of some of them, by the month in which it is said."""
        index = self.months.index(month)
        reviewer = self.named("e-0000")

        def say_later(step: Step) -> None:
            later = self.papers.chance.choice([*self.months[index + 1 :], "after"])
            late.setdefault(later, []).append(step)

        for paper in list(self.papers.of_month(month, list(self.employees))):
            yield from self.papers.steps(paper, reviewer, say_later)
        for record in list(self.readings(month)):
            later = self.chance.choice([*self.months[index + 1 :], "after"])
            name = record.key[3].removeprefix(self.prefix)
            what = self.chance.random() / self.mistakes if self.mistakes else 1
            if what < 0.002:
                late.setdefault(later, []).append(record)
            elif what < 0.004:
                yield record
                late.setdefault(later, []).append(Correct(record.key, self.samples(name)))
            elif what < 0.006:
                yield record
                late.setdefault(later, []).append(Retract(record.key))
            elif what < 0.01 and record.key[0] != reviewer:
                yield record
                yield Dispute(record.key, reviewer)
                overturned = self.chance.random() < 0.6
                corrected = self.samples(name) if overturned and self.chance.random() < 0.6 else None
                late.setdefault(later, []).append(Settle(record.key, reviewer, overturned, corrected))
            else:
                yield record


def _day(change: Change) -> date:
    return change.day
