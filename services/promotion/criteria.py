"""Eligibility of one employee on one day: each criterion of a policy, with what it rests on. Pure."""

from dataclasses import dataclass
from datetime import date

from libs.common.days import months_later
from stepladder.performance.v1.directory_pb2 import (
    EMPLOYMENT_STATUS_CONFIRMED,
    EMPLOYMENT_STATUS_LEFT,
    EmploymentStatus,
)
from stepladder.performance.v1.facts_pb2 import Rating
from stepladder.promotion.v1.eligibility_pb2 import Criterion, EligibilityPolicy

_CONFIRMED, _LEFT = (
    EmploymentStatus.Name(status).removeprefix("EMPLOYMENT_STATUS_")
    for status in (EMPLOYMENT_STATUS_CONFIRMED, EMPLOYMENT_STATUS_LEFT)
)


@dataclass(frozen=True, slots=True)
class Since:
    """A value that holds from a day on, and the position of the event that says so."""

    day: date
    value: str
    position: int


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of an employee: positions, employment statuses and months' ratings, the earliest first.

    Statuses are names of performance.v1.EmploymentStatus without prefix; a rating's day is the first of its month
    and its value the name of a performance.v1.Rating without prefix.
    """

    positions: tuple[Since, ...]
    statuses: tuple[Since, ...]
    ratings: tuple[Since, ...]


def judge(record: Record, policy: EligibilityPolicy, day: date) -> list[Criterion]:
    """Every criterion that the policy asks for, as of a day, and in any case that the employee is employed then."""
    criteria: list[Criterion] = []
    if policy.tenure_months:
        criteria.append(_tenure(record, policy.tenure_months, day))
    criteria.append(_status(record, day, confirmed=policy.confirmed_required))
    if policy.rating_months:
        criteria.append(_rating_streak(record, policy.rating_months, policy.minimum_rating, day))
    return criteria


def _tenure(record: Record, required: int, day: date) -> Criterion:
    held = _position_since(record, day)
    months = full_months(held.day, day) if held else 0
    return Criterion(
        name="tenure",
        required=f"{required} full months in the position",
        actual=f"{months} full months as {held.value}" if held else "no position",
        met=months >= required,
        evidence_positions=[held.position] if held else [],
        met_from=months_later(held.day, required).isoformat() if held and months < required else "",
    )


def _status(record: Record, day: date, *, confirmed: bool) -> Criterion:
    held = _in_force(record.statuses, day)
    status = held.value if held else "not employed"
    return Criterion(
        name="employment_status",
        required=_CONFIRMED if confirmed else "employed",
        actual=status,
        met=status == _CONFIRMED if confirmed else status not in ("not employed", _LEFT),
        evidence_positions=[held.position] if held else [],
    )


def _rating_streak(record: Record, required: int, minimum: str, day: date) -> Criterion:
    """Counts back from the last full month; a month without a rating ends the row."""
    ratings = {rating.day: rating for rating in record.ratings}
    streak: list[Since] = []
    month = months_later(day.replace(day=1), -1)
    while (rating := ratings.get(month)) is not None and _rank(rating.value) >= _rank(minimum):
        streak.append(rating)
        month = months_later(month, -1)
    last = months_later(day.replace(day=1), -1)
    return Criterion(
        name="rating_streak",
        required=f"{required} months in a row rated {minimum} or better, up to {last:%Y-%m}",
        actual=f"{len(streak)} months in a row",
        met=len(streak) >= required,
        evidence_positions=sorted(rating.position for rating in streak[:required]),
    )


def full_months(start: date, end: date) -> int:
    """Whole months from one day to another: from 31 January to 28 February is one."""
    months = (end.year - start.year) * 12 + end.month - start.month
    return max(0, months - (months_later(start, months) > end))


def _position_since(record: Record, day: date) -> Since | None:
    """When the position of a day began: changes of stars within it do not interrupt it. None without a position."""
    began: Since | None = None
    for since in record.positions:
        if since.day <= day and (began is None or since.value != began.value):
            began = since
    return began if began and began.value else None


def _in_force(history: tuple[Since, ...], day: date) -> Since | None:
    return next((since for since in reversed(history) if since.day <= day), None)


def _rank(rating: str) -> int:
    return Rating.Value(f"RATING_{rating}")
