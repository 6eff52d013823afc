"""Who should be found under a detection rule, worked out by hand by the comments of policy.proto."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from fractions import Fraction

from stepladder.performance.v1.detection_pb2 import Detection, MissedPeriod
from stepladder.performance.v1.kpi_pb2 import Kpi
from stepladder.performance.v1.policy_pb2 import DetectionRule, Policy
from tests.year.ledger import Key, Ledger, Samples
from tests.year.measures import conduct, measures
from tests.year.naive import WorkedDay, add_up, bare, bound, days_worked, shown

Place = tuple[str, str]
"""Employee and first day."""


@dataclass
class Missed:
    """A period that counts against somebody; `row` holds the first days of those around it that it belongs with."""

    period: MissedPeriod
    disputed: bool
    row: list[str] = field(default_factory=list)


def missed_under(ledger: Ledger, policy: Policy, since: str) -> dict[Place, Missed]:
    """Every period missed, or day on which a number was reached, that begins on a day or later."""
    rule = policy.detection
    found: dict[Place, Missed] = {}
    for employee_id in ledger.hires:
        facts: dict[Key, Samples] = {}
        for (one, _), readings in ledger.readings.items():
            if one == employee_id:
                facts |= readings
        facts |= {key: ((value,), ()) for key, value in measures(ledger, employee_id)}
        match rule.WhichOneof("trigger"):
            case "streak":
                missed = of_streak(ledger, rule.streak, facts)
            case "total":
                missed = of_total(ledger, rule.total, facts)
            case _:
                missed = of_points(ledger, rule.points, employee_id)
        for one_missed in missed:
            if one_missed.period.start_date >= since:
                found[employee_id, one_missed.period.start_date] = one_missed
    in_rows(rule, found)
    return found


def in_rows(rule: DetectionRule, found: Mapping[Place, Missed]) -> None:
    """Tells each period with which it stands in a row."""
    for employee_id, day in sorted(found):
        missed = found[employee_id, day]
        missed.row = missed.row or [day]
        after = date.fromisoformat(missed.period.end_date) + timedelta(days=1)
        following = found.get((employee_id, after.isoformat()))
        if rule.HasField("streak") and following is not None:
            missed.row.append(after.isoformat())
            following.row = missed.row


def found_in(ledger: Ledger, policy: Policy, missed: Mapping[Place, Missed]) -> dict[Place, Detection]:
    """What is found, by employee and first day: a row once, by the first of its periods that are enough."""
    rule = policy.detection
    enough = rule.streak.streak if rule.HasField("streak") else 1
    found: dict[Place, Detection] = {}
    seen: set[Place] = set()
    for employee_id, day in sorted(missed):
        row = sorted(missed[employee_id, day].row)
        first = row.index(day)
        needed = [missed[employee_id, start] for start in row[first : first + enough]]
        if (employee_id, row[0]) in seen or len(needed) < enough or any(one.disputed for one in needed):
            continue
        seen.add((employee_id, row[0]))
        last = date.fromisoformat(needed[-1].period.end_date)
        team_id = ledger.team_on(employee_id, last)
        found[employee_id, day] = Detection(
            policy_id=policy.policy_id,
            kpi_id=rule.streak.kpi_id or rule.total.kpi_id,
            employee_id=employee_id,
            team_id=team_id,
            lead_id=ledger.lead_on(team_id, last),
            periods=[one.period for one in needed],
            purpose=rule.purpose,
        )
    return found


def of_streak(ledger: Ledger, streak: DetectionRule.Streak, facts: Mapping[Key, Samples]) -> list[Missed]:
    kpi = ledger.kpis[streak.kpi_id]
    periods: dict[tuple[date, date], list[WorkedDay]] = {}
    for day in days_worked(ledger, streak.kpi_id, facts, len(ledger.rules)):
        if day.target is not None or streak.minimum or streak.maximum:
            periods.setdefault(period_of(streak, day.day), []).append(day)
    found = []
    for (start, end), days in periods.items():
        added = add_up(kpi, days)
        samples = len(days) if kpi.aggregation == Kpi.AGGREGATION_SUM else added.denominator
        if added.value is None or samples < streak.minimum_samples:
            continue
        if streak.minimum or streak.maximum:
            minimum = Fraction(streak.minimum) if streak.minimum else None
            maximum = Fraction(streak.maximum) if streak.maximum else None
        else:
            minimum, maximum = bound(ledger, kpi, days, "minimum"), bound(ledger, kpi, days, "maximum")
        below, above = minimum is not None and added.value < minimum, maximum is not None and added.value > maximum
        if below or above:
            period = MissedPeriod(
                start_date=start.isoformat(),
                end_date=end.isoformat(),
                numerator=added.numerator,
                denominator=added.denominator,
                value=shown(added.value, kpi.precision),
                minimum=bare(minimum),
                maximum=bare(maximum),
            )
            found.append(Missed(period, contested(ledger, days)))
    return found


def period_of(streak: DetectionRule.Streak, day: date) -> tuple[date, date]:
    """The first and the last day."""
    match streak.period:
        case DetectionRule.PERIOD_DAY:
            return day, day
        case DetectionRule.PERIOD_WEEK:
            monday = day - timedelta(days=day.weekday())
            return monday, monday + timedelta(days=6)
        case _:
            after = (day.replace(day=28) + timedelta(days=4)).replace(day=1)
            return day.replace(day=1), after - timedelta(days=1)


def of_total(ledger: Ledger, total: DetectionRule.Total, facts: Mapping[Key, Samples]) -> list[Missed]:
    kpi = ledger.kpis[total.kpi_id]
    worked = days_worked(ledger, total.kpi_id, facts, len(ledger.rules))

    def up_to(last: date) -> list[WorkedDay]:
        return [day for day in worked if last - timedelta(days=total.days) < day.day <= last]

    def reached(last: date) -> bool:
        value = add_up(kpi, up_to(last)).value
        return value is not None and value >= Fraction(total.at_least)

    found = []
    for day in worked:
        if reached(day.day) and not reached(day.day - timedelta(days=1)):
            added = add_up(kpi, up_to(day.day))
            assert added.value is not None
            period = MissedPeriod(
                start_date=day.day.isoformat(),
                end_date=day.day.isoformat(),
                numerator=added.numerator,
                value=shown(added.value, kpi.precision),
                maximum=total.at_least,
            )
            found.append(Missed(period, contested(ledger, up_to(day.day))))
    return found


def of_points(ledger: Ledger, points: DetectionRule.Points, employee_id: str) -> list[Missed]:
    days = {date.fromisoformat(one.date) for one in conduct(ledger, employee_id, date.max).violations}
    found = []
    for day in sorted(days):
        now, before = conduct(ledger, employee_id, day), conduct(ledger, employee_id, day - timedelta(days=1))
        if before.points < points.at_least <= now.points:
            period = MissedPeriod(start_date=day.isoformat(), end_date=day.isoformat(), numerator=now.points)
            period.value, period.maximum = str(now.points), str(points.at_least)
            standing = [one for one in now.violations if not one.lapsed]  # one may be a warning by another
            found.append(Missed(period, any(one.disputed for one in standing)))
    return found


def contested(ledger: Ledger, days: Sequence[WorkedDay]) -> bool:
    """Whether a dispute about one of the facts is open."""
    return any(
        key in ledger.disputed or (key[2] in ledger.subjects and ledger.paper(key[2]).appealed is not None)
        for day in days
        for key in day.keys
    )
