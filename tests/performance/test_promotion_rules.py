"""Rules of promotion as policies: what contradicts itself, or leaves something open, is refused and named."""

from typing import Any, TypeAlias

import pytest

from libs.common.errors import Invalid
from services.performance.policy import POLICY, kpis_of, policies_of
from stepladder.performance.v1.facts_pb2 import RATING_EXCELLENT
from stepladder.performance.v1.policy_pb2 import Policy, SetPolicyRequest
from stepladder.performance.v1.promotion_rules_pb2 import (
    CompetitionRules,
    CycleRules,
    EligibilityRules,
    Ladder,
    QuestionBank,
)
from tests.deciding import given

Part: TypeAlias = CompetitionRules.Part
Tie: TypeAlias = CompetitionRules.Tie
Band: TypeAlias = CompetitionRules.Band
Rung: TypeAlias = Ladder.Rung
Criterion: TypeAlias = EligibilityRules.Criterion
Limit: TypeAlias = EligibilityRules.KpiLimit
Question: TypeAlias = QuestionBank.Question
FIRST = Tie(rule=CompetitionRules.RULE_APPLIED_FIRST)


def policy(**content: Any) -> Policy:
    return Policy(policy_id="p-1", effective_date="2026-01-01", **content)


def violations(one: Policy) -> list[tuple[str, str]]:
    refused = given(POLICY).when(SetPolicyRequest(policy=one)).refused(Invalid, "POLICY_INVALID")
    return [(violation.field, violation.message) for violation in refused.violations]


def stored(one: Policy) -> None:
    (event,) = POLICY.decide(POLICY.initial, SetPolicyRequest(policy=one), given(POLICY).when(one).context)
    assert event.policy.WhichOneof("content") == one.WhichOneof("content")  # type: ignore[attr-defined] # PolicySet


def rung(rung_id: str, position: str = "agent", stars: int = 0, eligibility: str = "e", competition: str = "c") -> Rung:
    return Rung(
        rung_id=rung_id,
        display_name=rung_id,
        position=position,
        stars=stars,
        eligibility_id=eligibility,
        competition_id=competition,
    )


BOTTOM = rung("one", stars=1, eligibility="", competition="")


def ladder(*rungs: Rung) -> Policy:
    return policy(ladder=Ladder(display_name="Titles", rungs=rungs))


@pytest.mark.parametrize(
    ("one", "field", "message"),
    [
        (ladder(BOTTOM, rung("one", stars=2)), "rungs[1].rung_id", "one is there twice"),
        (ladder(BOTTOM, rung("two", stars=1)), "rungs[1].position", "agent with 1 stars is on rung one already"),
        (ladder(BOTTOM, rung("two")), "rungs[1].position", "agent, whatever the stars, is on rung one already"),
        (ladder(BOTTOM, rung("two", stars=2, eligibility="")), "rungs[1].eligibility_id", "is needed"),
        (ladder(BOTTOM, rung("two", stars=2, competition="")), "rungs[1].competition_id", "is needed"),
        (
            ladder(rung("one", stars=1, competition=""), rung("two", stars=2)),
            "rungs[0].eligibility_id",
            "nobody steps onto the first rung",
        ),
    ],
)
def test_wrong_ladders(one: Policy, field: str, message: str) -> None:
    """A step leads from one rung to the next, by rules; nobody stands on two."""
    ((path, text),) = violations(one)
    assert path == f"policy.ladder.{field}"
    assert message in text


def test_ladders() -> None:
    """What it names: how people step onto each rung but the first."""
    one = ladder(BOTTOM, rung("two", stars=2), rung("lead", "lead", eligibility="x"))
    stored(one)
    assert policies_of(one) == [
        ("policy.ladder.rungs[1].eligibility_id", "eligibility", "e"),
        ("policy.ladder.rungs[1].competition_id", "competition", "c"),
        ("policy.ladder.rungs[2].eligibility_id", "eligibility", "x"),
        ("policy.ladder.rungs[2].competition_id", "competition", "c"),
    ]


def limit(minimum: str = "", maximum: str = "", kpi_id: str = "csat", months: int = 12) -> Criterion:
    return Criterion(
        criterion_id=f"{kpi_id}{minimum}{maximum}",
        display_name=kpi_id,
        kpi_limit=Limit(kpi_id=kpi_id, months=months, minimum=minimum, maximum=maximum),
    )


def eligibility(*criteria: Criterion) -> Policy:
    return policy(eligibility=EligibilityRules(criteria=criteria))


EXCELLENT = Criterion(
    criterion_id="excellent",
    display_name="Excellent for six months",
    ratings=EligibilityRules.RatingStreak(at_least=RATING_EXCELLENT, months=6),
)


@pytest.mark.parametrize(
    ("one", "field", "message"),
    [
        (eligibility(EXCELLENT, EXCELLENT), "criteria[1].criterion_id", "excellent is there twice"),
        (eligibility(limit()), "criteria[0].kpi_limit", "everybody would meet it"),
        (eligibility(limit("95", "94.99")), "criteria[0].kpi_limit", "at least 95 and at most 94.99"),
        (eligibility(limit("95"), limit("", "90")), "criteria[1].kpi_limit", "at least 95 and at most 90"),
        (eligibility(limit("", "90"), limit("50"), limit("95")), "criteria[2].kpi_limit", "at least 95 and at most 90"),
        (
            eligibility(
                Criterion(criterion_id="employment", display_name="Confirmed", confirmed=EligibilityRules.Confirmed())
            ),
            "criteria[0].criterion_id",
            "without being said",
        ),
        (
            eligibility(
                Criterion(criterion_id="seat", display_name="A seat", waivable=True, vacancy=EligibilityRules.Vacancy())
            ),
            "criteria[0].waivable",
            "cannot be waived",
        ),
    ],
)
def test_criteria_that_cannot_be(one: Policy, field: str, message: str) -> None:
    """What nobody could meet, or everybody would, is no criterion."""
    ((path, text),) = violations(one)
    assert path == f"policy.eligibility.{field}"
    assert message in text


def test_eligibility() -> None:
    """One number only is a rule; so are bounds of the same KPI over other months. It names its KPIs."""
    one = eligibility(EXCELLENT, limit("95", "95"), limit("", "90", months=1))
    stored(one)
    assert kpis_of(one) == [
        ("policy.eligibility.criteria[1].kpi_limit.kpi_id", "csat"),
        ("policy.eligibility.criteria[2].kpi_limit.kpi_id", "csat"),
    ]


def part(part_id: str, weight: str, **source: Any) -> Part:
    return Part(
        part_id=part_id, display_name=part_id, weight=weight, **source or {"scorecards": CompetitionRules.Scorecards()}
    )


def interview(weight: str = "30", compulsory: int = 1, drawn: int = 2, harshness: str = "") -> Part:
    asked = CompetitionRules.Interview(
        question_bank_id="bank",
        compulsory_questions=compulsory,
        random_questions=drawn,
        minimum_interviewers=2,
        harshness=harshness,
    )
    return part("interview", weight, interview=asked)


def pm(*bands: Band, full: str = "10") -> Part:
    """A KPI in bands."""
    kpi = CompetitionRules.KpiValue(kpi_id="pm-score", months=6)
    return part("pm", "100", kpi=kpi, bands=CompetitionRules.Bands(full_points=full, bands=bands))


def band(lower: str, upper: str, points: str) -> Band:
    return Band(lower=lower, upper=upper, points=points)


def competition(*parts: Part, ties: tuple[Tie, ...] = (FIRST,), **fields: Any) -> Policy:
    rules = CompetitionRules(
        parts=parts,
        missing=CompetitionRules.MISSING_REFUSED,
        precision=2,
        rounding=CompetitionRules.ROUNDING_HALF_UP,
        ties=ties,
        notice_business_days=5,
        trial_months=1,
        **fields,
    )
    return policy(competition=rules)


WORK = part("work", "40", scorecards=CompetitionRules.Scorecards(months=6))
MANAGER = part("manager", "10", manager=CompetitionRules.Manager())
PEERS = part("peers", "10", peers=CompetitionRules.Peers(minimum=3))
EXAMPLE_A = (
    WORK,
    part("pm", "10", kpi=CompetitionRules.KpiValue(kpi_id="pm-score", months=6)),
    interview(),
    MANAGER,
    PEERS,
)
EXAMPLE_B = (WORK, interview(), MANAGER, PEERS)
PM_BANDS = (band("", "60", "0"), band("60", "70", "6"), band("70", "80", "8"), band("80", "", "10"))


def test_weights_of_example_b() -> None:
    """They add up to 90: refused with what to do about it, or taken in proportion where the rules say so."""
    ((path, message),) = violations(competition(*EXAMPLE_B))
    assert path == "policy.competition.parts"
    assert message == (
        "the weights add up to 90, not to 100: change them, or set `normalize` to take them in proportion"
        " (every score will say so)"
    )
    stored(competition(*EXAMPLE_B, normalize=True))
    stored(competition(*EXAMPLE_A))


def whole(**source: Any) -> Part:
    return part("all", "100", **source)


def scorecards(months: int, minimum: int) -> Part:
    return whole(scorecards=CompetitionRules.Scorecards(months=months, minimum_months=minimum))


def by(part_id: str = "", rule: CompetitionRules.Rule.ValueType = CompetitionRules.RULE_UNSPECIFIED) -> Tie:
    return Tie(part_id=part_id) if part_id else Tie(rule=rule)


TENURE, LOT = by(rule=CompetitionRules.RULE_TENURE), by(rule=CompetitionRules.RULE_LOT)


@pytest.mark.parametrize(
    ("one", "field", "message"),
    [
        (competition(part("a", "50"), part("a", "50")), "parts[1].part_id", "a is there twice"),
        (competition(part("a", "100"), part("b", "0")), "parts[1].weight", "more than 0"),
        (competition(part("a", "110"), part("b", "-10")), "parts[1].weight", "more than 0"),
        (competition(scorecards(6, 7)), "parts[0].scorecards.minimum_months", "only 6 months are looked at"),
        (competition(interview("100", 0, 0)), "parts[0].interview", "nothing is asked"),
        (competition(interview("100", harshness="0")), "parts[0].interview.harshness", "more than 0"),
        (competition(interview("100", harshness="100.1")), "parts[0].interview.harshness", "at most 100"),
        (
            competition(whole(peers=PEERS.peers), part("b", "20", peers=PEERS.peers), normalize=True),
            "parts[1].peers",
            "there is one peers score",
        ),
        (competition(part("a", "100"), pass_mark="100.5"), "pass_mark", "from 0 to 100"),
        (competition(part("a", "100"), pass_mark="-1"), "pass_mark", "from 0 to 100"),
        (competition(part("a", "100"), ties=(by("b"), FIRST)), "ties[0].part_id", "there is no part b"),
        (competition(part("a", "100"), ties=(by("a"), by("a"), LOT)), "ties[1]", "name it once"),
        (competition(part("a", "100"), ties=(TENURE, TENURE, LOT)), "ties[1]", "name it once"),
        (competition(part("a", "100"), ties=(by("a"),)), "ties[0]", "may leave a tie"),
        (competition(part("a", "100"), ties=(TENURE,)), "ties[0]", "may leave a tie"),
        (competition(part("a", "100"), ties=(FIRST, LOT)), "ties[0].rule", "nothing may follow it"),
    ],
)
def test_wrong_competitions(one: Policy, field: str, message: str) -> None:
    """Each is named with what is wrong."""
    ((path, text),) = violations(one)
    assert path == f"policy.competition.{field}"
    assert message in text


@pytest.mark.parametrize(
    ("one", "field", "message"),
    [
        (pm(band("0", "60", "0"), band("60", "", "10")), "bands[0].lower", "leave it empty"),
        (pm(band("", "60", "0"), band("", "", "10")), "bands[1].lower", "is needed for every band but the first"),
        (pm(band("", "60", "0"), band("60", "100", "10")), "bands[1].upper", "no upper end"),
        (pm(band("", "", "0"), band("60", "", "10")), "bands[0].upper", "is needed for every band but the last"),
        (pm(band("", "60", "0"), band("70", "", "10")), "bands[1].lower", "nothing is said of 60 up to 70"),
        (pm(band("", "70", "0"), band("60.5", "", "10")), "bands[1].lower", "60.5 up to 70 is in two bands"),
        (
            pm(band("", "60", "0"), band("60", "60.0", "5"), band("60", "", "10")),
            "bands[1].upper",
            "above the band's beginning, 60",
        ),
        (pm(band("", "60", "-1"), band("60", "", "10")), "bands[0].points", "from 0 to the full points, 10"),
        (pm(band("", "60", "0"), band("60", "", "10.1")), "bands[1].points", "from 0 to the full points, 10"),
        (pm(band("", "60", "0"), band("60", "", "0"), full="0"), "full_points", "more than 0"),
    ],
)
def test_wrong_bands(one: Part, field: str, message: str) -> None:
    """Gaps, overlaps and ends that are not ends are refused; 70 is in one band."""
    ((path, text),) = violations(competition(one))
    assert path == f"policy.competition.parts[0].bands.{field}"
    assert message in text


def test_competitions() -> None:
    """What tells ties apart, in order; what it names."""
    one = competition(
        WORK,
        pm(*PM_BANDS),
        interview(harshness="15"),
        normalize=True,
        ties=(by("work"), TENURE, by("interview"), LOT),
        pass_mark="100",
        calendar_id="site-days",
    )
    stored(one)
    assert kpis_of(one) == [("policy.competition.parts[1].kpi.kpi_id", "pm-score")]
    assert policies_of(one) == [
        ("policy.competition.parts[2].interview.question_bank_id", "question_bank", "bank"),
        ("policy.competition.calendar_id", "calendar", "site-days"),
    ]


ENGLISH, CHINESE = QuestionBank.Text(language="en", text="Why?"), QuestionBank.Text(language="zh", text="为什么？")
POINTS = [
    QuestionBank.KeyPoint(key_point_id=one, points=5, texts=[ENGLISH, CHINESE]) for one in ("situation", "result")
]


def rubric(*ends: tuple[int, int]) -> list[QuestionBank.RubricBand]:
    return [
        QuestionBank.RubricBand(band_id=f"b-{i}", lower=lower, upper=upper, texts=[ENGLISH])
        for i, (lower, upper) in enumerate(ends)
    ]


def question(question_id: str = "why", **fields: Any) -> Question:
    return Question(
        question_id=question_id, kind=QuestionBank.KIND_BEHAVIOURAL, **{"texts": [ENGLISH, CHINESE], **fields}
    )


def bank(*questions: Question) -> Policy:
    return policy(question_bank=QuestionBank(questions=questions))


@pytest.mark.parametrize(
    ("one", "field", "message"),
    [
        (bank(question(key_points=POINTS), question(key_points=POINTS)), "[1].question_id", "why is there twice"),
        (bank(question()), "[0]", "nothing says how it is scored"),
        (bank(question(key_points=POINTS, bands=rubric((0, 20)))), "[0].bands", "not both"),
        (bank(question(key_points=[POINTS[0]] * 2)), "[0].key_points[1].key_point_id", "situation is there twice"),
        (bank(question(bands=rubric((1, 20)))), "[0].bands[0].lower", "0 to 0 points are in no band: begin at 0"),
        (bank(question(bands=rubric((0, 3), (5, 20)))), "[0].bands[1].lower", "4 to 4 points are in no band"),
        (bank(question(bands=rubric((0, 3), (3, 20)))), "[0].bands[1].lower", "3 to 3 points are in two bands"),
        (bank(question(bands=rubric((0, 3), (4, 3)))), "[0].bands[1].upper", "below the band's beginning, 4"),
        (bank(question(bands=rubric((0, 0)))), "[0].bands[0].upper", "every answer would score 0"),
        (bank(question(key_points=POINTS, texts=[ENGLISH, ENGLISH])), "[0].texts[1].language", "en is there twice"),
        (
            bank(
                question(
                    key_points=[QuestionBank.KeyPoint(key_point_id="k", points=5, texts=[CHINESE, ENGLISH, CHINESE])]
                )
            ),
            "[0].key_points[0].texts[2].language",
            "zh is there twice",
        ),
        (
            bank(
                question(
                    key_points=POINTS,
                    zero_rules=[QuestionBank.ZeroRule(rule_id="refuses", texts=[ENGLISH]) for _ in range(2)],
                )
            ),
            "[0].zero_rules[1].rule_id",
            "refuses is there twice",
        ),
    ],
)
def test_wrong_questions(one: Policy, field: str, message: str) -> None:
    """Every whole number of points is in one band, and every language said once."""
    ((path, text),) = violations(one)
    assert path == f"policy.question_bank.questions{field}"
    assert message in text


def test_questions() -> None:
    """The rubric of the trade; key points, and answers that score 0 at once."""
    zero = QuestionBank.ZeroRule(rule_id="refuses", texts=[ENGLISH, CHINESE])
    stored(
        bank(
            question("rubric", bands=rubric((0, 3), (4, 7), (8, 15), (16, 20)), compulsory=True),
            question("points", key_points=POINTS, zero_rules=[zero]),
        )
    )


def test_cycles() -> None:
    """Applications close while the cycle is open. It names its calendar."""

    def rules(business_days: int) -> Policy:
        return policy(
            cycles=CycleRules(
                months=[6, 12], calendar_id="site", applications_business_days=business_days, open_days=20
            )
        )

    ((path, text),) = violations(rules(21))
    assert path == "policy.cycles.applications_business_days"
    assert "longer than the 20 days" in text
    stored(rules(20))
    assert policies_of(rules(10)) == [("policy.cycles.calendar_id", "calendar", "site")]
