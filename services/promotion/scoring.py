"""From what is known of a candidate to the composite score: exact, each part with what it is made of. Pure."""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from math import floor

from libs.common.days import months_later
from libs.facts.values import decimal
from stepladder.performance.v1.promotion_rules_pb2 import CompetitionRules
from stepladder.promotion.v1.score_pb2 import Exact, PartScore, Score

HUNDRED = Fraction(100)

DIGITS = 6
"""Behind the point of numbers that are only to be read."""

WEIGHT_DIGITS = 9
"""As many as a decimal of the contracts has, so that none falls away."""

NO_SCORECARDS, NO_FACTS, NO_INTERVIEWS, NO_REVIEW, TOO_FEW_PEERS, PEERS_NOT_CLOSED = (
    "NO_SCORECARDS",
    "NO_FACTS",
    "NO_INTERVIEWS",
    "NO_REVIEW",
    "TOO_FEW_PEERS",
    "PEERS_NOT_CLOSED",
)
"""Why a part has no score."""

ROUNDED: Mapping[CompetitionRules.Rounding.ValueType, Callable[[Fraction], int]] = {
    CompetitionRules.ROUNDING_HALF_UP: lambda value: floor(value + Fraction(1, 2)),
    CompetitionRules.ROUNDING_HALF_EVEN: round,
    CompetitionRules.ROUNDING_DOWN: floor,
}
"""To a whole number. None is below 0."""


@dataclass(frozen=True, slots=True)
class Given:
    """A number that goes into a part: its name (such as a month, or who gave it), and what it rests on."""

    name: str
    value: Fraction
    positions: tuple[int, ...] = ()
    disputed: bool = False


@dataclass(frozen=True, slots=True)
class Inputs:
    """What is known of a candidate, in any order.

    Attributes:
        closed: the day on which applications closed.
        totals: of closed months' scorecards, named `YYYY-MM`; those that the rules do not ask for are left.
        kpis: values in the KPI's unit, by KPI and how many full months before `closed` they are of.
        interviews: by interviewer, in per cent of the full points.
        not_counted: interviews by those who must not judge the candidate.
        manager: out of 100.
        peers: how many gave a score, and their mean, out of 100, unless they were too few; None before they are closed.
    """

    closed: date
    totals: Sequence[Given] = ()
    kpis: Mapping[tuple[str, int], Given] = field(default_factory=dict)
    interviews: Sequence[Given] = ()
    not_counted: Sequence[Given] = ()
    manager: Given | None = None
    peers: tuple[int, Given | None] | None = None


def score(rules: CompetitionRules, inputs: Inputs) -> Score:
    """A candidate's score under the rules; what identifies it is left to the caller."""
    return _add_up(rules, [_part(rules, part, inputs) for part in rules.parts])


def with_part(rules: CompetitionRules, before: Score, part_id: str, value: Fraction) -> Score:
    """The score as it would be if one part's had been another."""
    parts = []
    for part in before.parts:
        changed = PartScore()
        changed.CopyFrom(part)
        if part.part_id == part_id:
            changed.missing = ""
            changed.score.CopyFrom(exact(value))
        parts.append(changed)
    return _add_up(rules, parts)


def smallest(
    rules: CompetitionRules, part: CompetitionRules.Part, enough: Callable[[Fraction], bool]
) -> Fraction | None:
    """The smallest score that a part can have and that is enough, where any larger one is, too; None: there is none.

    One of the bands', or a number of as many digits behind the point as the part is rounded to, `DIGITS` if it is not.
    """
    if part.HasField("bands"):
        scores = sorted({_precise(rules, part, _in_band(part.bands, band)) for band in part.bands.bands})
        return next((one for one in scores if enough(one)), None)
    steps = 10 ** (part.precision if part.HasField("precision") else DIGITS)
    found = bisect_left(range(100 * steps + 1), True, key=lambda step: enough(Fraction(step, steps)))
    return Fraction(found, steps) if found <= 100 * steps else None


def months_before(closed: date, months: int) -> list[str]:
    """So many full months before the one of a day, as `YYYY-MM`, the earliest first."""
    first = closed.replace(day=1)
    return [f"{months_later(first, -back):%Y-%m}" for back in range(months, 0, -1)]


def exact(value: Fraction) -> Exact:
    """A number as the contract writes it."""
    return Exact(numerator=str(value.numerator), denominator=str(value.denominator), value=shown(value))


def fraction(number: Exact) -> Fraction:
    """The number that `exact` wrote."""
    return Fraction(int(number.numerator), int(number.denominator))


def shown(value: Fraction, digits: int = DIGITS) -> str:
    """A number to be read: rounded half up to at most so many digits behind the point, without needless zeros."""
    return decimal(value, digits).rstrip("0").rstrip(".")


def mean(values: Sequence[Fraction]) -> Fraction:
    """Of at least one number."""
    return sum(values, Fraction()) / len(values)


def _part(rules: CompetitionRules, part: CompetitionRules.Part, inputs: Inputs) -> PartScore:
    given, source, missing = _source(part, inputs)
    made = PartScore(
        part_id=part.part_id,
        display_name=part.display_name,
        weight=part.weight,
        missing=missing,
        inputs=[_input(one) for one in given],
        not_counted=[_input(one) for one in inputs.not_counted if part.HasField("interview")],
    )
    if source is None:
        if rules.missing == CompetitionRules.MISSING_ZERO:
            made.score.CopyFrom(exact(Fraction()))
        return made
    made.source.CopyFrom(exact(source))
    if part.HasField("bands"):
        band = _band_of(part.bands, source)
        made.band_points, made.full_points = band.points, part.bands.full_points
        source = _in_band(part.bands, band)
    made.score.CopyFrom(exact(_precise(rules, part, source)))
    return made


def _input(one: Given) -> PartScore.Input:
    positions = sorted(set(one.positions))
    return PartScore.Input(name=one.name, value=exact(one.value), positions=positions, disputed=one.disputed)


def _source(part: CompetitionRules.Part, inputs: Inputs) -> tuple[Sequence[Given], Fraction | None, str]:
    """What a part is made of, what that comes to, and why there is nothing."""
    match part.WhichOneof("source"):
        case "scorecards":
            months = months_before(inputs.closed, part.scorecards.months)
            totals = sorted((one for one in inputs.totals if one.name in months), key=lambda one: one.name)
            fewest = part.scorecards.minimum_months or part.scorecards.months
            return totals, *_mean_of(totals, fewest, NO_SCORECARDS)
        case "kpi":
            found = inputs.kpis.get((part.kpi.kpi_id, part.kpi.months))
            return ([found], found.value, "") if found else ((), None, NO_FACTS)
        case "interview":
            interviews = sorted(inputs.interviews, key=lambda one: one.name)
            return interviews, *_mean_of(interviews, part.interview.minimum_interviewers, NO_INTERVIEWS)
        case "manager":
            return ([inputs.manager], inputs.manager.value, "") if inputs.manager else ((), None, NO_REVIEW)
        case _:
            if inputs.peers is None:
                return (), None, PEERS_NOT_CLOSED
            peers, together = inputs.peers
            if together is None or peers < part.peers.minimum:
                return (), None, TOO_FEW_PEERS
            return [together], together.value, ""


def _mean_of(given: Sequence[Given], fewest: int, missing: str) -> tuple[Fraction | None, str]:
    if len(given) < max(1, fewest):
        return None, missing
    return mean([one.value for one in given]), ""


def _band_of(bands: CompetitionRules.Bands, value: Fraction) -> CompetitionRules.Band:
    """The last band that begins at or below a value: a lower end belongs to its band."""
    return [band for band in bands.bands if not band.lower or Fraction(band.lower) <= value][-1]


def _in_band(bands: CompetitionRules.Bands, band: CompetitionRules.Band) -> Fraction:
    return Fraction(band.points) / Fraction(bands.full_points) * HUNDRED


def _precise(rules: CompetitionRules, part: CompetitionRules.Part, value: Fraction) -> Fraction:
    """A score held within 0 and 100, and rounded if the part says so."""
    held = min(max(value, Fraction()), HUNDRED)
    if not part.HasField("precision"):
        return held
    return Fraction(rounded(held, part.precision, rules.rounding))


def rounded(value: Fraction, digits: int, rounding: CompetitionRules.Rounding.ValueType) -> str:
    """A number that is not below 0, to so many digits behind the point, all of them written."""
    return decimal(Fraction(ROUNDED[rounding](value * 10**digits), 10**digits), digits)


def _add_up(rules: CompetitionRules, parts: Sequence[PartScore]) -> Score:
    """The total of parts that have their scores; none while one is missing that must not, or all are."""
    counting = [part for part in parts if part.HasField("score")]
    made = Score(parts=parts, in_proportion=rules.normalize or len(counting) < len(parts))
    weights = sum((Fraction(part.weight) for part in counting), Fraction())
    made.weights = shown(weights, WEIGHT_DIGITS)
    if not counting or (rules.missing == CompetitionRules.MISSING_REFUSED and len(counting) < len(parts)):
        return made
    total = Fraction()
    for part in made.parts:
        if part.HasField("score"):
            weighted = fraction(part.score) * Fraction(part.weight) / weights
            part.weighted.CopyFrom(exact(weighted))
            total += weighted
    made.exact_total.CopyFrom(exact(total))
    made.total = rounded(total, rules.precision, rules.rounding)
    return made
