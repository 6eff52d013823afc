"""The scorecards of a month worked out by hand: loops and fractions over a ledger, sharing nothing with the services.

It follows the comments of the contracts, one after the other.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from datetime import date
from fractions import Fraction
from math import floor

from stepladder.performance.v1.facts_pb2 import Rating
from stepladder.performance.v1.kpi_pb2 import Kpi, Target
from stepladder.performance.v1.policy_pb2 import Policy, Scope, ScorecardPolicy
from stepladder.performance.v1.scorecard_pb2 import AdjustmentLine, Rank, Scorecard, ScorecardLine
from tests.year.ledger import Key, Ledger, Samples, days_of, month_of
from tests.year.measures import measures


@dataclass(frozen=True)
class Result:
    """What an employee's month should be."""

    scorecard: Scorecard
    team_rank: Rank
    centre_rank: Rank


@dataclass
class Positions:
    """Where in the log things lie: readings, and rules by their index in the ledger."""

    readings: Mapping[Key, int] = field(default_factory=dict)
    rules: Mapping[int, int] = field(default_factory=dict)


@dataclass
class Facts:
    """A month's readings and measures, whose and whose lead's they are, and which of them are contested."""

    own: dict[str, dict[Key, Samples]]
    led: dict[str, dict[Key, Samples]]
    disputed: set[Key]


@dataclass(frozen=True)
class WorkedDay:
    """An employee's readings of one KPI on one day, and the target of that day."""

    employee_id: str
    day: date
    keys: list[Key]
    numerators: list[int]
    denominators: list[int]
    target: int | None
    """Its index in the rules."""


@dataclass(frozen=True)
class Sum:
    """Days of a KPI added up; `value` in its unit, None without facts or denominator."""

    numerator: int
    denominator: int
    value: Fraction | None
    minimum: Fraction | None = None
    maximum: Fraction | None = None


def month_results(ledger: Ledger, month: str, positions: Positions) -> dict[str, Result]:
    """Every employee's result of a closed month, those only who have one."""
    cards, facts, known = {}, facts_of(ledger, month), ledger.closed[month]
    for employee_id in ledger.hires:
        day = last_day(ledger, employee_id, month)
        if (employee_id, month) in ledger.rated_elsewhere or day is None:
            continue
        policy = policy_for(ledger, employee_id, day, known)
        if policy is not None:
            cards[employee_id] = scorecard(ledger, employee_id, month, day, policy, facts, known, positions)
    return {
        employee_id: Result(
            card,
            rank(ledger, card, [other for other in cards.values() if other.team_id == card.team_id]),
            rank(ledger, card, list(cards.values())),
        )
        for employee_id, card in cards.items()
    }


def rank(ledger: Ledger, card: Scorecard, others: list[Scorecard]) -> Rank:
    """Its place among those scored under the same policy."""
    if not card.total:
        return Rank()
    totals = [Fraction(other.total) for other in others if other.policy_id == card.policy_id and other.total]
    better = [total for total in totals if total > Fraction(card.total)]
    ties = next(
        rule.scorecard.ties for rule in ledger.rules if isinstance(rule, Policy) and rule.policy_id == card.policy_id
    )
    place = len(set(better)) if ties == ScorecardPolicy.TIES_DENSE else len(better)
    return Rank(rank=place + 1, of=len(totals))


def last_day(ledger: Ledger, employee_id: str, month: str) -> date | None:
    """The last day of the month on which they are employed."""
    employed = [day for day in days_of(month) if ledger.employed_on(employee_id, day)]
    return employed[-1] if employed else None


def fits(scope: Scope | Target, team_id: str, position: str, stars: int) -> bool:
    return (
        scope.team_id in {"", team_id}
        and scope.position in {"", position}
        and (not scope.stars or scope.stars == stars)
    )


def order(scope: Scope | Target) -> tuple[bool, bool, bool]:
    """One for the team goes before one for the stars, and that before one for the position."""
    return bool(scope.team_id), bool(scope.stars), bool(scope.position)


def policy_for(ledger: Ledger, employee_id: str, day: date, known: int) -> int | None:
    """Index of the version in force on the employee's last day, out of the first `known` rules."""
    versions: dict[str, int] = {}
    for index, rule in enumerate(ledger.rules[:known]):
        scoring = isinstance(rule, Policy) and rule.HasField("scorecard")
        if isinstance(rule, Policy) and scoring and date.fromisoformat(rule.effective_date) <= day:
            before = versions.get(rule.policy_id)
            if before is None or day_of(ledger, before) <= date.fromisoformat(rule.effective_date):
                versions[rule.policy_id] = index
    team_id, (position, stars) = ledger.team_on(employee_id, day), ledger.position_on(employee_id, day)
    found = None
    for index in versions.values():
        rule = ledger.rules[index]
        assert isinstance(rule, Policy)
        if fits(rule.scorecard.scope, team_id, position, stars) and (
            found is None or order(rule.scorecard.scope) > order(policy_at(ledger, found).scope)
        ):
            found = index
    return found


def policy_at(ledger: Ledger, index: int) -> ScorecardPolicy:
    rule = ledger.rules[index]
    assert isinstance(rule, Policy)
    return rule.scorecard


def target_at(ledger: Ledger, index: int) -> Target:
    rule = ledger.rules[index]
    assert isinstance(rule, Target)
    return rule


def day_of(ledger: Ledger, index: int) -> date:
    return date.fromisoformat(ledger.rules[index].effective_date)


def target_for(ledger: Ledger, employee_id: str, kpi_id: str, day: date, known: int, lead_id: str) -> int | None:
    """Index of the target of an employee's day. A lead's scorecard has the lead's targets, by the work's team."""
    team_id, (position, stars) = ledger.team_on(employee_id, day), ledger.position_on(lead_id or employee_id, day)
    latest: dict[tuple[str, str, int], int] = {}
    for index, rule in enumerate(ledger.rules[:known]):
        if isinstance(rule, Target) and rule.kpi_id == kpi_id and date.fromisoformat(rule.effective_date) <= day:
            scope = (rule.team_id, rule.position, rule.stars)
            if scope not in latest or day_of(ledger, latest[scope]) <= date.fromisoformat(rule.effective_date):
                latest[scope] = index
    found = None
    for index in latest.values():
        target = target_at(ledger, index)
        if fits(target, team_id, position, stars) and (
            found is None or order(target) > order(target_at(ledger, found))
        ):
            found = index
    return found


def facts_of(ledger: Ledger, month: str) -> Facts:
    """Everything that a month rests on."""
    facts = Facts({}, {}, set(ledger.disputed))
    for employee_id in ledger.hires:
        own = facts.own[employee_id] = dict(ledger.of_month(employee_id, month))
        for key, value in measures(ledger, employee_id):
            if month_of(key[1]) == month:
                own[key] = (value,), ()
                if ledger.paper(key[2]).appealed is not None:
                    facts.disputed.add(key)
        leads = {day: ledger.lead_on(ledger.team_on(employee_id, day), day) for day in days_of(month)}
        for key, samples in own.items():
            facts.led.setdefault(leads[key[1]], {})[key] = samples
    return facts


def scorecard(
    ledger: Ledger,
    employee_id: str,
    month: str,
    day: date,
    index: int,
    facts: Facts,
    known: int,
    positions: Positions,
) -> Scorecard:
    """An employee's month under a policy and the first `known` rules; `day` is the last on which they are employed."""
    rule, policy = ledger.rules[index], policy_at(ledger, index)
    assert isinstance(rule, Policy)
    whose = facts.own if policy.basis == ScorecardPolicy.BASIS_OWN else facts.led
    readings = whose.get(employee_id, {})

    lead_id = employee_id if policy.basis == ScorecardPolicy.BASIS_TEAM else ""
    lines, scores = [], []
    for item in policy.items:
        line, score = line_of(ledger, item, readings, known, positions, lead_id, facts.disputed)
        if score is None and policy.missing == ScorecardPolicy.MISSING_ZERO:
            score = Fraction(0)
        lines.append(line)
        scores.append(score)
    weights = [Fraction(item.weight) for item in policy.items]
    scored = sum(weight for weight, score in zip(weights, scores, strict=True) if score is not None)
    for line, weight, score in zip(lines, weights, scores, strict=True):
        if score is not None:
            line.score, line.share = shown(score, 6), shown(weight / scored * 100, 6)

    adjustments, added = [], Fraction(0)
    for adjustment in policy.adjustments:
        shown_line, points = adjustment_of(ledger, adjustment, readings, known, positions, facts.disputed)
        if shown_line.value and scored:  # nothing to add, or nothing to add it to
            adjustments.append(shown_line)
            added += points

    card = Scorecard(
        employee_id=employee_id,
        month=month,
        policy_id=rule.policy_id,
        policy_position=positions.rules.get(index, 0),
        team_id=ledger.team_on(employee_id, day),
        lines=lines,
        adjustments=adjustments,
        normalized=sum(weights) != 100,
    )
    if scored:
        reached = sum(
            (weight * score for weight, score in zip(weights, scores, strict=True) if score is not None), Fraction(0)
        )
        total = reached / scored + added
        total = max(total, Fraction(policy.bands[0].lower))
        total = min(total, Fraction(policy.bands[-1].upper))
        card.total = shown(total, policy.precision)
        card.rating = rating_of(policy, Fraction(card.total))
    if policy.basis == ScorecardPolicy.BASIS_TEAM:
        kpi_ids = {item.kpi_id for item in policy.items} | {one.kpi_id for one in policy.adjustments}
        kpis = [ledger.kpis[kpi_id] for kpi_id in kpi_ids]
        made_of = {part for kpi in kpis for part in (kpi.kpi_id, kpi.derived.numerator, kpi.derived.denominator)}
        card.member_ids.extend(sorted({member for member, _, _, measure in readings if measure in made_of}))
    return card


def days_worked(
    ledger: Ledger, kpi_id: str, readings: Mapping[Key, Samples], known: int, lead_id: str = ""
) -> list[WorkedDay]:
    """The employees' days with readings of a KPI."""
    found: dict[tuple[str, date], WorkedDay] = {}
    derived = ledger.kpis[kpi_id].derived
    for key, samples in readings.items():
        employee_id, day, _, name = key
        if name not in {kpi_id, derived.numerator, derived.denominator}:
            continue
        if (employee_id, day) not in found:
            target = target_for(ledger, employee_id, kpi_id, day, known, lead_id)
            found[employee_id, day] = WorkedDay(employee_id, day, [], [], [], target)
        worked = found[employee_id, day]
        worked.keys.append(key)
        if name == derived.denominator:  # what is a sum of its own is the denominator here
            worked.denominators.extend(samples[0])
        else:
            worked.numerators.extend(samples[0])
            worked.denominators.extend(samples[1])
    return list(found.values())


def add_up(kpi: Kpi, days: list[WorkedDay]) -> Sum:
    """Readings added up, without bounds."""
    numerators = [number for day in days for number in day.numerators]
    scale = Fraction(kpi.scale_numerator, kpi.scale_denominator)
    if not days:
        return Sum(0, 0, None)
    if kpi.aggregation == Kpi.AGGREGATION_RATIO:
        numerator, denominator = sum(numerators), sum(number for day in days for number in day.denominators)
        return Sum(numerator, denominator, Fraction(numerator, denominator) * scale if denominator else None)
    if kpi.aggregation == Kpi.AGGREGATION_SUM:
        number = sum(numerators)
    elif kpi.aggregation == Kpi.AGGREGATION_MINIMUM:
        number = min(numerators)
    else:
        number = max(numerators)
    return Sum(number, 0, number * scale)


def bound(ledger: Ledger, kpi: Kpi, days: list[WorkedDay], side: str) -> Fraction | None:
    """What the days' bounds of one side add up to; None is open.

    A ratio's is the mean weighted by denominators, that of a sum per day the sum, any other the last day's.
    """
    targets = [target_at(ledger, day.target) for day in days if day.target is not None]
    if not targets or kpi.direction == Kpi.DIRECTION_NONE:
        return None
    last = max(day.day for day in days)
    first_of_last = min((day for day in days if day.day == last), key=lambda day: day.employee_id)
    assert first_of_last.target is not None
    latest = target_at(ledger, first_of_last.target)
    weights = [Fraction(1) for _ in days]
    if kpi.aggregation == Kpi.AGGREGATION_RATIO:
        weights = [Fraction(sum(day.denominators)) for day in days]
    elif kpi.aggregation != Kpi.AGGREGATION_SUM or not latest.per_day:
        return Fraction(end_of(latest, side)) if end_of(latest, side) else None
    elif not all(target.per_day for target in targets):
        return None
    if not sum(weights):
        return Fraction(end_of(latest, side)) if end_of(latest, side) else None
    added = Fraction(0)
    for target, weight in zip(targets, weights, strict=True):
        if weight and not end_of(target, side):
            return None
        added += weight * Fraction(end_of(target, side) or "0")
    return added / sum(weights) if kpi.aggregation == Kpi.AGGREGATION_RATIO else added


def end_of(target: Target, side: str) -> str:
    return target.minimum if side == "minimum" else target.maximum


def line_of(
    ledger: Ledger,
    item: ScorecardPolicy.Item,
    readings: Mapping[Key, Samples],
    known: int,
    positions: Positions,
    lead_id: str,
    disputed: Set[Key],
) -> tuple[ScorecardLine, Fraction | None]:
    """One KPI of a scorecard, and its exact score if it has one."""
    kpi = ledger.kpis[item.kpi_id]
    every_day = days_worked(ledger, item.kpi_id, readings, known, lead_id)
    # Each day is judged by its own target, or not at all; unless no day is, and by steps, which need none.
    judged = [day for day in every_day if day.target is not None]
    days = judged if judged and item.HasField("attainment") else every_day
    added = add_up(kpi, days)
    added = replace(added, minimum=bound(ledger, kpi, judged, "minimum"), maximum=bound(ledger, kpi, judged, "maximum"))
    line = ScorecardLine(
        kpi_id=item.kpi_id,
        numerator=added.numerator,
        denominator=added.denominator,
        value="" if added.value is None else shown(added.value, kpi.precision),
        minimum=bare(added.minimum),
        maximum=bare(added.maximum),
        weight=item.weight,
        days=len({day.day for day in days}),
        fact_positions=sorted({positions.readings.get(key, 0) for day in days for key in day.keys}),
        target_positions=sorted({positions.rules.get(day.target, 0) for day in judged if day.target is not None}),
        disputed_positions=sorted(
            {positions.readings.get(key, 0) for day in days for key in day.keys if key in disputed}
        ),
    )
    score = None
    if not days:
        line.unscored = ScorecardLine.UNSCORED_NO_FACTS
    elif added.value is None:
        line.unscored = ScorecardLine.UNSCORED_ZERO_DENOMINATOR
    elif item.HasField("steps"):
        for step in item.steps.steps:
            if not step.lower or Fraction(step.lower) <= added.value:
                score = Fraction(step.score)
    else:
        score = attained(kpi, added.value, added.minimum, added.maximum)
        if score is None:
            line.unscored = ScorecardLine.UNSCORED_NO_TARGET
        else:
            score = min(max(score, Fraction(0)), Fraction(item.attainment.cap or "100"))
    return line, score


def attained(kpi: Kpi, value: Fraction, minimum: Fraction | None, maximum: Fraction | None) -> Fraction | None:
    """How much of the target is attained, in per cent, before it is capped; None without one."""
    judged_by_minimum = kpi.direction in {Kpi.DIRECTION_HIGHER, Kpi.DIRECTION_BAND}
    judged_by_maximum = kpi.direction in {Kpi.DIRECTION_LOWER, Kpi.DIRECTION_BAND}
    minimum = minimum if judged_by_minimum else None
    maximum = maximum if judged_by_maximum else None
    if minimum is None and maximum is None:
        return None
    if kpi.direction == Kpi.DIRECTION_HIGHER and minimum is not None:
        return value / minimum * 100
    if kpi.direction == Kpi.DIRECTION_LOWER and maximum is not None:
        return maximum / value * 100 if value else Fraction(10**30)
    if minimum is not None and value < minimum:
        return value / minimum * 100
    if maximum is not None and value > maximum:
        return maximum / value * 100
    return Fraction(100)


def adjustment_of(
    ledger: Ledger,
    adjustment: ScorecardPolicy.Adjustment,
    readings: Mapping[Key, Samples],
    known: int,
    positions: Positions,
    disputed: Set[Key],
) -> tuple[AdjustmentLine, Fraction]:
    """One adjustment, and the exact points that it adds."""
    kpi = ledger.kpis[adjustment.kpi_id]
    days = days_worked(ledger, adjustment.kpi_id, readings, known)
    value = add_up(kpi, days).value
    points = Fraction(0) if value is None else value * Fraction(adjustment.factor)
    line = AdjustmentLine(
        kpi_id=adjustment.kpi_id,
        value="" if value is None else shown(value, kpi.precision),
        factor=adjustment.factor,
        points=shown(points, 6),
        fact_positions=sorted({positions.readings.get(key, 0) for day in days for key in day.keys}),
        disputed_positions=sorted(
            {positions.readings.get(key, 0) for day in days for key in day.keys if key in disputed}
        ),
    )
    return line, points


def bare(bound: Fraction | None) -> str:
    """A bound to nine digits, without needless zeros; empty for an open one."""
    if bound is None:
        return ""
    text = shown(bound, 9)
    while text.endswith("0"):
        text = text[:-1]
    return text.removesuffix(".")


def rating_of(policy: ScorecardPolicy, total: Fraction) -> "Rating.ValueType":
    """The lower end belongs to a band; the last band has both."""
    found = policy.bands[0].rating
    for band in policy.bands:
        if Fraction(band.lower) <= total:
            found = band.rating
    return found


def shown(value: Fraction, digits: int) -> str:
    """Rounded half up, with so many digits."""
    whole = floor(value * 10**digits + Fraction(1, 2))
    sign, whole = ("-", -whole) if whole < 0 else ("", whole)
    if not digits:
        return f"{sign}{whole}"
    return f"{sign}{whole // 10**digits}.{whole % 10**digits:0{digits}}"
