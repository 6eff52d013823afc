"""Business days of a site: what the law of its country says, as the `holidays` library knows it, and the site's own."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from importlib.metadata import version

import holidays

from libs.common.days import ONE_DAY, Span
from libs.common.errors import NotKnown
from stepladder.performance.v1.policy_pb2 import Calendar

COUNTRIES = dict(sorted(holidays.list_supported_countries(include_aliases=False).items()))
"""Known countries (ISO 3166-1 alpha-2), each with its known subdivisions (ISO 3166-2 without the country)."""

_SATURDAY_AND_SUNDAY = frozenset({6, 7})


@dataclass(frozen=True, slots=True)
class _Law:
    """A year in a country: its public holidays, its days of rest by the week, and those of them that are worked."""

    holidays: frozenset[date]
    weekends: frozenset[date]
    worked: frozenset[date]


class Days:
    """The business days of a calendar.

    A day of rest that the country moves is off where it is moved to and worked where it is moved from, also where the
    site's own week says otherwise; the site's own `days_off` and `days_worked` go before both.

    The methods raise NotKnown: `CALENDAR_UNKNOWN` for a country or subdivision that the library does not know, and
    `CALENDAR_ENDS` for a day of a year that it does not know of the country.
    """

    def __init__(self, calendar: Calendar) -> None:
        self._country, self._subdivision = calendar.country, calendar.subdivision
        self._weekend = frozenset(calendar.weekend)
        self._off = frozenset(map(date.fromisoformat, calendar.days_off))
        self._worked = frozenset(map(date.fromisoformat, calendar.days_worked))

    @property
    def version(self) -> str:
        """What the days rest on beside the calendar itself: the library's version, the place, and `known_until`.

        A date that a decision records behind the day named here is provisional.
        """
        if not self._country:
            return "no public holidays"
        moved = f", moved days until {self.known_until}" if self.known_until else ""
        return f"holidays {version('holidays')}, {self._place}{moved}"

    @property
    def known_until(self) -> date | None:
        """The last day up to which it is known where the country moves days of rest to; None: it has never moved any.

        China, for one, says in November how the next year's days are moved. Until the library knows that, later days
        are reckoned as if none were, and a date that rests on them is provisional. The dates of feasts that follow the
        moon are the library's estimates, and are not told apart.
        """
        return _moves_known_until(self._country)

    def is_business_day(self, day: date) -> bool:
        """Whether the site works on a day."""
        if day in self._worked or day in self._off:
            return day in self._worked
        if not self._country:
            return day.isoweekday() not in (self._weekend or _SATURDAY_AND_SUNDAY)
        law = self._law(day.year)
        if day in law.worked:
            return True
        rest = day.isoweekday() in self._weekend if self._weekend else day in law.weekends
        return not rest and day not in law.holidays

    def add(self, day: date, n: int) -> date:
        """The n-th business day after a day; for 0 the day itself, whatever it is. Raises ValueError below 0."""
        if n < 0:
            raise ValueError(f"business days are counted forwards, not {n}")
        while n:
            day += ONE_DAY
            n -= self.is_business_day(day)
        return day

    def between(self, first: date, last: date) -> int:
        """How many business days there are after one day, up to and with another; 0 where the other is not later."""
        return sum(map(self.is_business_day, _days_after(first, last)))

    @property
    def _place(self) -> str:
        return f"{self._country}-{self._subdivision}" if self._subdivision else self._country

    def _law(self, year: int) -> _Law:
        if not is_known(self._country, self._subdivision):
            raise NotKnown("CALENDAR_UNKNOWN", f"no public holidays are known of {self._place}")
        known = _years(self._country)
        if not known.start.year <= year <= known.end.year:
            message = f"public holidays of {self._place} are known from {known.start} to {known.end} only"
            raise NotKnown("CALENDAR_ENDS", message)
        return _law(self._country, self._subdivision, year)


def is_known(country: str, subdivision: str) -> bool:
    """Whether the public holidays of a country, and of a subdivision of it unless that is empty, are known."""
    return subdivision in ("", *COUNTRIES.get(country, ())) and country in COUNTRIES


@lru_cache(maxsize=1024)
def _law(country: str, subdivision: str, year: int) -> _Law:
    # Days move across the turn of a year, both ways.
    around = range(year - 1, year + 2)
    found = holidays.country_holidays(country, subdivision or None, years=around, expand=False)
    days = [date(year, 1, 1), *_days_after(date(year, 1, 1), date(year, 12, 31))]
    return _Law(
        holidays=frozenset(day for day in days if day in found),
        weekends=frozenset(day for day in days if found.is_weekend(day)),
        worked=frozenset(day for day in days if day in found.weekend_workdays),
    )


@lru_cache
def _years(country: str) -> Span:
    found = holidays.country_holidays(country)
    return Span(date(found.start_year, 1, 1), date(found.end_year, 12, 31))


@lru_cache
def _moves_known_until(country: str) -> date | None:
    if country not in COUNTRIES:
        return None
    special = getattr(holidays.country_holidays(country), "special_public_holidays", {})
    # Of a year: one entry or several; the month and day moved to, those moved from, or a month, a day and a name.
    moved = [
        year
        for year, given in special.items()
        for one in (given if isinstance(given[0], tuple) else (given,))
        if len(one) > 3
    ]
    return date(max(moved), 12, 31) if moved else None


def _days_after(first: date, last: date) -> Iterator[date]:
    return (date.fromordinal(number) for number in range(first.toordinal() + 1, last.toordinal() + 1))
