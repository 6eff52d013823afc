"""Rules of competitions as the tests say them."""

from collections.abc import Sequence

from stepladder.performance.v1.promotion_rules_pb2 import CompetitionRules

Part = CompetitionRules.Part
Tie = CompetitionRules.Tie

PM_BANDS = CompetitionRules.Bands(
    full_points="10",
    bands=[
        CompetitionRules.Band(upper="60", points="0"),
        CompetitionRules.Band(lower="60", upper="70", points="6"),
        CompetitionRules.Band(lower="70", upper="80", points="8"),
        CompetitionRules.Band(lower="80", points="10"),
    ],
)


def work(weight: str = "40", months: int = 6, minimum_months: int = 0) -> Part:
    source = CompetitionRules.Scorecards(months=months, minimum_months=minimum_months)
    return Part(part_id="work", display_name="Work", weight=weight, scorecards=source)


def pm(weight: str = "10", *, bands: bool = True) -> Part:
    source = CompetitionRules.KpiValue(kpi_id="pm", months=6)
    part = Part(part_id="pm", display_name="PM score", weight=weight, kpi=source)
    if bands:
        part.bands.CopyFrom(PM_BANDS)
    return part


def part_of_kpi(kpi_id: str, weight: str) -> Part:
    """Of a month."""
    source = CompetitionRules.KpiValue(kpi_id=kpi_id, months=1)
    return Part(part_id="kpi", display_name="KPI", weight=weight, kpi=source)


def interview(weight: str = "30") -> Part:
    source = CompetitionRules.Interview(
        question_bank_id="bank", compulsory_questions=1, random_questions=2, minimum_interviewers=2
    )
    return Part(part_id="interview", display_name="Interview", weight=weight, interview=source)


def manager(weight: str = "10") -> Part:
    return Part(part_id="manager", display_name="Manager", weight=weight, manager=CompetitionRules.Manager())


def peers(weight: str = "10", minimum: int = 3) -> Part:
    return Part(part_id="peers", display_name="Peers", weight=weight, peers=CompetitionRules.Peers(minimum=minimum))


APPLIED_FIRST = Tie(rule=CompetitionRules.RULE_APPLIED_FIRST)


def rules(
    *parts: Part,
    normalize: bool = False,
    missing: CompetitionRules.Missing.ValueType = CompetitionRules.MISSING_REFUSED,
    precision: int = 2,
    rounding: CompetitionRules.Rounding.ValueType = CompetitionRules.ROUNDING_HALF_UP,
    ties: Sequence[Tie] = (APPLIED_FIRST,),
    passing: str = "",
) -> CompetitionRules:
    """Without parts those of example A: 40, 10 in bands, 30, 10 and 10."""
    return CompetitionRules(
        parts=parts or EXAMPLE_A,
        normalize=normalize,
        missing=missing,
        precision=precision,
        rounding=rounding,
        ties=ties,
        pass_mark=passing,
        notice_business_days=5,
        trial_weeks=2,
    )


EXAMPLE_A = (work(), pm(), interview(), manager(), peers())
EXAMPLE_B = (work(), interview(), manager(), peers())
"""Its weights add up to 90."""
