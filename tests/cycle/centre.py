"""The centre in which a cycle is run: its people, its rules, and three months of their work."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256

from stepladder.performance.v1.directory_pb2 import EMPLOYMENT_STATUS_CONFIRMED, Employee
from stepladder.performance.v1.facts_pb2 import Fact, Rating, Reading
from stepladder.performance.v1.kpi_pb2 import Kpi, Target
from stepladder.performance.v1.policy_pb2 import Calendar, Policy, ScorecardPolicy
from stepladder.performance.v1.promotion_rules_pb2 import (
    CompetitionRules,
    CycleRules,
    EligibilityRules,
    Ladder,
    QuestionBank,
)

RULES_DAY = "2025-01-01"
HIRED = "2020-03-02"
FRESH = "2026-01-05"
"""Since then those hold their position whose tenure is too short."""
MONTHS = ("2026-03", "2026-04", "2026-05")
QUALITY, PM = "quality", "pm-score"
LADDER, RUNG, ELIGIBILITY, COMPETITION = "position-steps", "senior", "who-may-be-senior", "how-seniors-are-chosen"
COURSE = "first-days-as-a-senior"
LEAST_QUALITY = 50
"""Of quality, in per cent over the three months, to be eligible."""
TENURE_MONTHS = 12
BYSTANDERS = 3
PANEL = ("panel-1", "panel-2", "panel-3")
HR = ("hr-1", "hr-2", "hr-3")
EXECUTIVE, MANAGER = "chair", "manager"


def pick(most: int, *key: object) -> int:
    """A number from 0 to `most`, the same for the same key for ever."""
    digest = sha256("/".join(map(str, key)).encode()).digest()
    return int.from_bytes(digest[:8], "big") % (most + 1)


@dataclass(frozen=True)
class Size:
    """How much of it there is: candidates and seats of each competition."""

    competitions: int
    candidates: int
    seats: int


@dataclass
class Centre:
    """Everybody who is there. In each department, behind the candidates, one works too badly, one is too new, and some
    do not want to step up.
    """

    size: Size
    hired: list[Employee] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.hire("office", EXECUTIVE, "executive", "executive")
        self.hire("office", MANAGER, "manager", "management")
        for one in HR:
            self.hire("office", one, "specialist", "hr")
        for one in PANEL:
            self.hire("panel", one, "manager", "management")
        for department in self.departments:
            self.hire("leads", f"{department}-lead", "lead")
            for number in range(self.size.candidates + 2 + BYSTANDERS):
                position = "junior" if (department, number) == (self.departments[0], 0) else "agent"
                since = FRESH if number == self.size.candidates + 1 else HIRED
                self.hire(department, f"{department}-{number:02}", position, since=since)

    def hire(self, team: str, employee: str, position: str, family: str = "service", *, since: str = HIRED) -> None:
        self.hired.append(
            Employee(
                employee_id=employee,
                display_name=f"{employee.replace('-', ' ').title()}",
                hire_date=HIRED,
                team_id=team,
                job_family=family,
                position=position,
                position_since=since,
                status=EMPLOYMENT_STATUS_CONFIRMED,
            )
        )

    @cached_property
    def departments(self) -> Sequence[str]:
        return [f"d{number}" for number in range(1, self.size.competitions + 1)]

    @property
    def teams(self) -> dict[str, str]:
        """By team, who leads it."""
        return {
            "office": EXECUTIVE,
            "leads": MANAGER,
            "panel": PANEL[0],
            **{department: f"{department}-lead" for department in self.departments},
        }

    def agents(self, department: str) -> list[str]:
        return [one.employee_id for one in self.hired if one.team_id == department]

    def candidates(self, department: str) -> list[str]:
        """Those who may apply."""
        return self.agents(department)[: self.size.candidates]

    def bad(self, department: str) -> str:
        return self.agents(department)[self.size.candidates]

    def new(self, department: str) -> str:
        return self.agents(department)[self.size.candidates + 1]

    def peers(self, department: str) -> list[str]:
        """Those who do not compete."""
        return [self.bad(department), *self.agents(department)[-BYSTANDERS:]]

    def quality(self, employee: str, month: str) -> int:
        """In per cent: nobody who may apply is below 60, and one of each department is far below."""
        if employee == self.bad(employee.rpartition("-")[0]):
            return 20
        return 60 + pick(40, "quality", employee, month)

    def pm(self, employee: str) -> int:
        """The score of each month: around the edges of the bands, some right on them."""
        return (55, 60, 65, 70, 75, 80, 90)[pick(6, "pm", employee)]

    def facts(self) -> Iterator[Fact]:
        for department in self.departments:
            for employee in self.agents(department):
                for month in MONTHS:
                    yield Fact(
                        employee_id=employee,
                        date=f"{month}-10",
                        source="work",
                        readings=[
                            Reading(kpi_id=QUALITY, numerators=[self.quality(employee, month)], denominators=[100]),
                            Reading(kpi_id=PM, numerators=[self.pm(employee)], denominators=[1]),
                        ],
                    )


def kpis() -> list[Kpi]:
    quality = Kpi(
        kpi_id=QUALITY,
        display_name="Quality",
        unit=Kpi.UNIT_PERCENT,
        direction=Kpi.DIRECTION_HIGHER,
        aggregation=Kpi.AGGREGATION_RATIO,
        scale_numerator=100,
        scale_denominator=1,
        precision=2,
    )
    pm = Kpi(
        kpi_id=PM,
        display_name="PM score",
        unit=Kpi.UNIT_POINTS,
        direction=Kpi.DIRECTION_HIGHER,
        aggregation=Kpi.AGGREGATION_RATIO,
        scale_numerator=1,
        scale_denominator=1,
        precision=2,
    )
    return [quality, pm]


def targets() -> list[Target]:
    return [Target(kpi_id=QUALITY, effective_date=RULES_DAY, minimum="100")]


def policies() -> list[Policy]:
    """In an order in which each finds what it names."""
    card = ScorecardPolicy(
        basis=ScorecardPolicy.BASIS_OWN,
        items=[ScorecardPolicy.Item(kpi_id=QUALITY, weight="100", attainment=ScorecardPolicy.Attainment())],
        missing=ScorecardPolicy.MISSING_SPREAD,
        bands=[
            ScorecardPolicy.Band(rating=Rating.RATING_UNQUALIFIED, lower="0", upper="60"),
            ScorecardPolicy.Band(rating=Rating.RATING_GOOD, lower="60", upper="100"),
        ],
        precision=2,
        ties=ScorecardPolicy.TIES_STANDARD,
    )
    return [
        Policy(policy_id="site-days", calendar=Calendar(country="LV")),
        Policy(policy_id="cards", scorecard=card),
        Policy(policy_id="questions", question_bank=bank()),
        Policy(policy_id=ELIGIBILITY, eligibility=eligibility()),
        Policy(policy_id=COMPETITION, competition=competition()),
        Policy(policy_id=LADDER, ladder=ladder()),
        Policy(
            policy_id="regular",
            cycles=CycleRules(months=[6, 12], calendar_id="site-days", applications_business_days=5, open_days=150),
        ),
    ]


def ladder() -> Ladder:
    first = Ladder.Rung(rung_id="junior", display_name="Junior", position="junior")
    others = [
        Ladder.Rung(
            rung_id=position,
            display_name=position.title(),
            position=position,
            eligibility_id=ELIGIBILITY,
            competition_id=COMPETITION,
        )
        for position in ("agent", "senior", "lead")
    ]
    return Ladder(display_name="Positions", rungs=[first, *others])


def eligibility() -> EligibilityRules:
    criterion = EligibilityRules.Criterion
    return EligibilityRules(
        criteria=[
            criterion(
                criterion_id="tenure",
                display_name="A year in the position",
                waivable=True,
                tenure=EligibilityRules.Tenure(months=TENURE_MONTHS),
            ),
            criterion(criterion_id="confirmed", display_name="Confirmed", confirmed=EligibilityRules.Confirmed()),
            criterion(
                criterion_id="quality",
                display_name="Quality",
                kpi_limit=EligibilityRules.KpiLimit(kpi_id=QUALITY, months=3, minimum=str(LEAST_QUALITY)),
            ),
            criterion(
                criterion_id="conduct",
                display_name="No punishment",
                conduct=EligibilityRules.Conduct(points=3, years=2),
            ),
            criterion(criterion_id="vacancy", display_name="A vacancy", vacancy=EligibilityRules.Vacancy()),
        ]
    )


def competition() -> CompetitionRules:
    """Example A of the trade: 40 for work, 10 for the PM score by bands, 30, 10 and 10."""
    part, band = CompetitionRules.Part, CompetitionRules.Band
    bands = CompetitionRules.Bands(
        full_points="10",
        bands=[
            band(upper="60", points="0"),
            band(lower="60", upper="70", points="6"),
            band(lower="70", upper="80", points="8"),
            band(lower="80", points="10"),
        ],
    )
    interview = CompetitionRules.Interview(
        question_bank_id="questions",
        compulsory_questions=1,
        random_questions=2,
        minimum_interviewers=2,
        harshness="5",
    )
    return CompetitionRules(
        parts=[
            part(
                part_id="work",
                display_name="Work",
                weight="40",
                scorecards=CompetitionRules.Scorecards(months=3),
            ),
            part(
                part_id="pm",
                display_name="PM score",
                weight="10",
                kpi=CompetitionRules.KpiValue(kpi_id=PM, months=3),
                bands=bands,
            ),
            part(part_id="interview", display_name="Interview", weight="30", interview=interview),
            part(part_id="manager", display_name="Manager", weight="10", manager=CompetitionRules.Manager()),
            part(part_id="peers", display_name="Peers", weight="10", peers=CompetitionRules.Peers(minimum=3)),
        ],
        missing=CompetitionRules.MISSING_SPREAD,
        precision=2,
        rounding=CompetitionRules.ROUNDING_HALF_UP,
        ties=[
            CompetitionRules.Tie(part_id="interview"),
            CompetitionRules.Tie(rule=CompetitionRules.RULE_TENURE),
            CompetitionRules.Tie(rule=CompetitionRules.RULE_APPLIED_FIRST),
        ],
        calendar_id="site-days",
        notice_business_days=5,
        objections_pause_notice=True,
        course_ids=[COURSE],
        trial_weeks=2,
    )


def bank() -> QuestionBank:
    """One question with bands, three with key points."""

    def text(words: str) -> list[QuestionBank.Text]:
        return [QuestionBank.Text(language="en", text=words)]

    rubric = [
        QuestionBank.RubricBand(band_id=name, lower=lower, upper=upper, texts=text(name))
        for name, lower, upper in (("poor", 0, 3), ("fair", 4, 7), ("good", 8, 15), ("very-good", 16, 20))
    ]
    why = QuestionBank.Question(
        question_id="why",
        kind=QuestionBank.KIND_PERSONAL,
        compulsory=True,
        texts=text("Why do you want this post?"),
        bands=rubric,
    )
    points = [QuestionBank.KeyPoint(key_point_id=f"point-{i}", points=5, texts=text(f"Point {i}")) for i in (1, 2)]
    over = QuestionBank.ZeroRule(rule_id="over-the-head", texts=text("Goes over their lead's head"))
    cases = [
        QuestionBank.Question(
            question_id=f"case-{number}",
            kind=QuestionBank.KIND_SITUATIONAL,
            texts=text(f"Case {number}: what would you do?"),
            key_points=points,
            zero_rules=[over],
        )
        for number in range(3)
    ]
    return QuestionBank(questions=[why, *cases])
