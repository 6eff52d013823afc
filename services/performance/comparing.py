"""Leads compared: what each KPI brings to their totals, whose work and which days make it so, and who came and went.

Pure, and exact: rounded only to be shown.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

from libs.common.days import ONE_DAY, Span
from libs.facts.adding import Counted, combined
from libs.facts.employee import State
from libs.facts.leading import Led, TeamSpan
from libs.facts.values import decimal, format_value, kpi_value
from services.performance.scoring import HUNDRED
from stepladder.performance.v1.kpi_pb2 import Kpi
from stepladder.performance.v1.lead_comparison_pb2 import (
    Attrition,
    ComparedLead,
    ComparedLine,
    Contribution,
    LeadComparison,
    Movement,
)
from stepladder.performance.v1.scorecard_pb2 import Scorecard

DIGITS = 6


@dataclass(frozen=True, slots=True)
class Part:
    """What one KPI adds to a lead's total: its points of each month, and of a line also the score and the share."""

    points: tuple[Fraction, ...] = ()
    scores: tuple[Fraction, ...] = ()
    shares: tuple[Fraction, ...] = ()


@dataclass(frozen=True, slots=True)
class Parts:
    """What a lead's total is made of, by KPI, over so many months with a total."""

    total: Fraction
    months: int
    lines: Mapping[str, Part]
    adjustments: Mapping[str, Part]


def compare(cards: Mapping[str, Sequence[Scorecard]]) -> LeadComparison:
    """Leads by their scorecards: totals, and the difference of each from the leads' mean by KPI.

    What each line counts, and everything about people, is left to the caller.
    """
    leads = {lead_id: parts_of(of_lead) for lead_id, of_lead in cards.items()}
    scored = [parts for parts in leads.values() if parts is not None]
    if not scored:
        return LeadComparison(leads=[ComparedLead(lead_id=lead_id) for lead_id in leads])
    mean = _mean([parts.total for parts in scored])
    lines = _means([(parts.lines, parts.months) for parts in scored])
    adjustments = _means([(parts.adjustments, parts.months) for parts in scored])
    answer = LeadComparison(total=decimal(mean, DIGITS))
    for lead_id, parts in leads.items():
        lead = answer.leads.add(lead_id=lead_id)
        if parts is None:
            continue
        lead.total, lead.difference = decimal(parts.total, DIGITS), decimal(parts.total - mean, DIGITS)
        lead.lines.extend(_compared(parts.lines, parts.months, lines))
        lead.adjustments.extend(_compared(parts.adjustments, parts.months, adjustments))
        shown = sum((Fraction(line.difference) for line in (*lead.lines, *lead.adjustments)), Fraction())
        lead.rest = decimal(Fraction(lead.difference) - shown, DIGITS)
    return answer


def parts_of(cards: Iterable[Scorecard]) -> Parts | None:
    """What the mean of a lead's monthly totals is made of; None without a total."""
    scored = [card for card in cards if card.total]
    if not scored:
        return None
    lines: dict[str, Part] = {}
    adjustments: dict[str, Part] = {}
    for card in scored:
        for line in card.lines:
            part = lines.get(line.kpi_id, Part())
            if line.score:
                score, share = Fraction(line.score), Fraction(line.share)
                points = (*part.points, score * share / HUNDRED)
                part = Part(points, (*part.scores, score), (*part.shares, share))
            lines[line.kpi_id] = part
        for added in card.adjustments:
            part = adjustments.get(added.kpi_id, Part())
            adjustments[added.kpi_id] = Part((*part.points, Fraction(added.points)))
    return Parts(_mean([Fraction(card.total) for card in scored]), len(scored), lines, adjustments)


def _means(parts: Sequence[tuple[Mapping[str, Part], int]]) -> dict[str, Fraction]:
    """By KPI, the leads' mean of what it adds to their totals: nothing where it is not among them."""
    kpi_ids = dict.fromkeys(kpi_id for of_lead, _ in parts for kpi_id in of_lead)
    return {
        kpi_id: _mean([sum(of_lead.get(kpi_id, Part()).points, Fraction()) / months for of_lead, months in parts])
        for kpi_id in kpi_ids
    }


def _compared(parts: Mapping[str, Part], months: int, means: Mapping[str, Fraction]) -> list[ComparedLine]:
    lines: list[ComparedLine] = []
    for kpi_id, mean in means.items():
        part = parts.get(kpi_id, Part())
        points = sum(part.points, Fraction()) / months
        lines.append(
            ComparedLine(
                kpi_id=kpi_id,
                months=len(part.points),
                score=decimal(_mean(part.scores), DIGITS) if part.scores else "",
                share=decimal(_mean(part.shares), DIGITS) if part.shares else "",
                points=decimal(points, DIGITS),
                difference=decimal(points - mean, DIGITS),
            )
        )
    return lines


def count(line: ComparedLine, kpi: Kpi, readings: Sequence[Counted], most: int) -> None:
    """Fills in what a line counts, and the members and days to whom the value owes most."""
    if not readings:
        return
    whole = _Sums.of(kpi, readings)
    line.numerator, line.denominator = whole.numerator, whole.denominator
    value = kpi_value(kpi, whole.numerator, whole.denominator)
    line.value = "" if value is None else format_value(kpi, value)
    members = _contributions(kpi, readings, lambda one: one.employee_id)
    line.members.extend(_shown(kpi, one, Contribution(employee_id=name)) for name, one in members[:most])
    days = _contributions(kpi, readings, lambda one: one.date)
    line.days.extend(_shown(kpi, one, Contribution(date=day)) for day, one in days[:most])


@dataclass(frozen=True, slots=True)
class _Sums:
    """What some readings come to, and by how much the value is higher with them; None: there is none without them."""

    numerator: int
    denominator: int
    readings: Sequence[Counted]
    effect: Fraction | None = None

    @staticmethod
    def of(kpi: Kpi, readings: Sequence[Counted]) -> "_Sums":
        numerator = combined(kpi, [one.numerator for one in readings])
        return _Sums(numerator, sum(one.denominator for one in readings), readings)


def _contributions(kpi: Kpi, readings: Sequence[Counted], key: Callable[[Counted], str]) -> list[tuple[str, _Sums]]:
    """What each part of the readings comes to; the one without which the value would differ most first."""
    groups: dict[str, list[Counted]] = {}
    for reading in readings:
        groups.setdefault(key(reading), []).append(reading)
    parts = {name: _Sums.of(kpi, group) for name, group in groups.items()}
    whole = _Sums.of(kpi, readings)
    value = kpi_value(kpi, whole.numerator, whole.denominator)
    adds_up = kpi.aggregation in (Kpi.AGGREGATION_SUM, Kpi.AGGREGATION_RATIO)
    found: list[tuple[str, _Sums]] = []
    for name, part in parts.items():
        if adds_up:
            numerator = whole.numerator - part.numerator
        else:
            numerator = combined(kpi, [other.numerator for one, other in parts.items() if one != name])
        without = kpi_value(kpi, numerator, whole.denominator - part.denominator) if len(parts) > 1 else None
        effect = None if value is None or without is None else value - without
        found.append((name, _Sums(part.numerator, part.denominator, part.readings, effect)))
    return sorted(found, key=lambda one: (one[1].effect is not None, -abs(one[1].effect or 0), one[0]))


def _shown(kpi: Kpi, one: _Sums, contribution: Contribution) -> Contribution:
    value = kpi_value(kpi, one.numerator, one.denominator)
    contribution.numerator, contribution.denominator = one.numerator, one.denominator
    contribution.value = "" if value is None else format_value(kpi, value)
    contribution.effect = "" if one.effect is None else decimal(one.effect, DIGITS)
    contribution.fact_positions.extend(sorted({reading.log_position for reading in one.readings}))
    return contribution


def attrition(led: Led, states: Mapping[str, State], span: Span) -> Attrition:
    """Who left while the lead led them, over the members of the average day on which the lead led a team.

    Args:
        states: of every member.
    """
    days = _days(span)
    leading = [day for day in days if any(one.includes(day) for one in led.leading)]
    member_days = sum(1 for member in led.members for day in leading if _member_on(led, member, states[member], day))
    leavers = len(_leavers(led, states, span))
    answer = Attrition(leavers=leavers, days=len(leading), member_days=member_days)
    if member_days:
        headcount = Fraction(member_days, len(leading))
        answer.headcount, answer.rate = decimal(headcount, 2), decimal(leavers / headcount * HUNDRED, 2)
    return answer


def movements(led: Led, spans: Sequence[TeamSpan], states: Mapping[str, State], span: Span) -> list[Movement]:
    """Who came to the teams that a lead led and who went, by day. Between two teams of the lead's own nobody moves.

    Args:
        spans: everyone's time in teams, that of the day before the span included.
        states: of every member.
    """
    start, end = span.start.isoformat(), span.end.isoformat()
    found: list[Movement] = []

    def note(kind: Movement.Kind.ValueType, one: TeamSpan, day: str, other: str) -> None:
        found.append(
            Movement(kind=kind, employee_id=one.employee_id, date=day, team_id=one.team_id, other_team_id=other)
        )

    for one in (each for of_member in led.members.values() for each in of_member):
        state, day, until = states[one.employee_id], one.from_date, one.until_date
        theirs = [each for each in spans if each.employee_id == one.employee_id]
        if start <= day <= end and _member_on(led, one.employee_id, state, day):
            before = next((each for each in theirs if each.until_date == day), None)
            if before is None:
                note(Movement.KIND_HIRED, one, day, "")
            elif not led.leads(before.team_id, _before(day)):
                note(Movement.KIND_TRANSFERRED_IN, one, day, before.team_id)
        if start < until <= end and _member_on(led, one.employee_id, state, _before(until)):
            after = next(each for each in theirs if each.from_date == until)
            if not led.leads(after.team_id, until) and _employed_on(state, until):
                note(Movement.KIND_TRANSFERRED_OUT, one, until, after.team_id)
    for employee_id, last in _leavers(led, states, span).items():
        one = next(each for each in led.members[employee_id] if each.includes(last))
        note(Movement.KIND_LEFT, one, last, "")
    return sorted(found, key=lambda each: (each.date, each.employee_id, each.kind))


def _leavers(led: Led, states: Mapping[str, State], span: Span) -> dict[str, str]:
    """The last day of each member who left on a day on which the lead led them."""
    last_days = {member: states[member].last_day for member in led.members}
    return {
        member: day.isoformat()
        for member, day in last_days.items()
        if day is not None
        and span.start <= day <= span.end
        and _member_on(led, member, states[member], day.isoformat())
    }


def _member_on(led: Led, employee_id: str, state: State, day: str) -> bool:
    return led.team_of(employee_id, day) is not None and _employed_on(state, day)


def _employed_on(state: State, day: str) -> bool:
    last = state.last_day
    return state.hired.hire_date <= day and (last is None or day <= last.isoformat())


def _before(day: str) -> str:
    return (date.fromisoformat(day) - ONE_DAY).isoformat()


def _days(span: Span) -> list[str]:
    return [(span.start + index * ONE_DAY).isoformat() for index in range((span.end - span.start).days + 1)]


def _mean(numbers: Sequence[Fraction]) -> Fraction:
    return sum(numbers, Fraction()) / len(numbers)
