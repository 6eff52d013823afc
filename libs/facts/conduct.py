"""Conduct points of one employee: what each violation counts, given those before it. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from libs.common.days import months_later
from stepladder.performance.v1.policy_pb2 import Offence
from stepladder.performance.v1.record_pb2 import CountedViolation


@dataclass(frozen=True, slots=True)
class Offending:
    """A violation that stands, with the offence as its rule book had it."""

    record_id: str
    date: str
    rule_book_id: str
    offence: Offence
    position: int
    disputed: bool = False


def counted(violations: Iterable[Offending], as_of: date) -> list[CountedViolation]:
    """What each violation up to a day counts, the earliest first.

    An offence is only warned of as often as its rule book says, within the months before it; then it counts.
    """
    ordered = sorted((one for one in violations if one.date <= as_of.isoformat()), key=_order)
    found: list[CountedViolation] = []
    for index, one in enumerate(ordered):
        offence, day = one.offence, date.fromisoformat(one.date)
        warning = _before(ordered[:index], one) < offence.warnings
        lapse = months_later(day, offence.lapse_months) if offence.lapse_months else None
        found.append(
            CountedViolation(
                record_id=one.record_id,
                date=one.date,
                offence_id=offence.offence_id,
                points=0 if warning else offence.points,
                warning=warning,
                lapse_date=lapse.isoformat() if lapse else "",
                lapsed=lapse is not None and lapse <= as_of,
                dismissal_grade=offence.dismissal_grade and not warning,
                disputed=one.disputed,
                log_position=one.position,
            )
        )
    return found


def _before(earlier: Sequence[Offending], one: Offending) -> int:
    """How often the same offence was committed in the months before."""
    since = "" if not one.offence.warning_months else _months_before(one.date, one.offence.warning_months)
    return sum(_what(other) == _what(one) and other.date >= since for other in earlier)


def _what(one: Offending) -> tuple[str, str]:
    # Another rule book's offence of this id is another offence.
    return one.rule_book_id, one.offence.offence_id


def _months_before(day: str, months: int) -> str:
    return months_later(date.fromisoformat(day), -months).isoformat()


def _order(one: Offending) -> tuple[str, str]:
    return one.date, one.record_id
