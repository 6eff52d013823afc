"""Days and moments as the contracts write them, spans of days, and values that hold from a day on."""

from calendar import monthrange
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TypeAlias, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from libs.common.errors import FieldViolation, Invalid

T = TypeVar("T")

ONE_DAY = timedelta(days=1)

History: TypeAlias = tuple[tuple[date, T], ...]
"""Values with the first day for which each holds, until the next; the earliest first, a day at most once."""


def timestamp(moment: datetime) -> Timestamp:
    """An aware moment, in whole or parts of seconds."""
    written = Timestamp()
    written.FromDatetime(moment)
    return written


def parse_day(text: str, field: str) -> date:
    """The day that `text` (YYYY-MM-DD, years 1900 to 2199) names.

    Raises Invalid `DATE_INVALID` on `field` for any other text: the contracts' pattern lets 29 February of every year
    pass.
    """
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = date.min
    # Python also reads 20260105 and 2026-W02-1.
    if not 1900 <= day.year <= 2199 or day.isoformat() != text:
        message = f"{text!r} is not a day of the calendar written YYYY-MM-DD"
        raise Invalid("DATE_INVALID", message, (FieldViolation(field, message),))
    return day


@dataclass(frozen=True, slots=True)
class Span:
    """Days from `start` to `end`, both inclusive."""

    start: date
    end: date


def week_of(day: date) -> Span:
    """The week of a day, Monday to Sunday (ISO 8601)."""
    monday = day - timedelta(days=day.weekday())
    return Span(monday, monday + timedelta(days=6))


def month_of(day: date) -> Span:
    """The calendar month of a day."""
    return Span(day.replace(day=1), day.replace(day=monthrange(day.year, day.month)[1]))


def months_later(day: date, months: int) -> date:
    """The same day of another month, or that month's last day."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def months_between(first: str, last: str) -> list[str]:
    """Every month (YYYY-MM) from one to another, both inclusive."""
    (year, month), (until_year, until_month) = (map(int, text.split("-")) for text in (first, last))
    numbers = range(year * 12 + month - 1, until_year * 12 + until_month)
    return [f"{number // 12:04}-{number % 12 + 1:02}" for number in numbers]


def in_force(history: History[T], day: date) -> T | None:
    """The value that holds on a day; None before the first one."""
    return next((value for since, value in reversed(history) if since <= day), None)


def holding_from(history: History[T], day: date, value: T) -> History[T]:
    """The history with a value that holds from a day on, in place of one that began on the same day."""
    return (
        *(entry for entry in history if entry[0] < day),
        (day, value),
        *(entry for entry in history if entry[0] > day),
    )
