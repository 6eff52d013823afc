"""Business days: against the days that governments have published, and against the site's own."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.calendars import COUNTRIES, Days
from libs.common.errors import NotAllowed
from stepladder.performance.v1.policy_pb2 import Calendar


def day(text: str) -> date:
    """A day of 2026, or of the year that the text names."""
    return date.fromisoformat(text if len(text) > 5 else f"2026-{text}")


def off(days: Days, first: str, last: str) -> list[str]:
    """The days of a span, both ends in it, on which nobody works."""
    span = [day(first) + timedelta(days=n) for n in range((day(last) - day(first)).days + 1)]
    return [one.isoformat() for one in span if not days.is_business_day(one)]


def test_monday_to_friday() -> None:
    """A calendar that says nothing knows no public holidays: Christmas is worked, in every year."""
    days = Days(Calendar())
    assert off(days, "2026-12-21", "2026-12-27") == ["2026-12-26", "2026-12-27"]
    assert days.add(day("12-24"), 1) == day("12-25")
    assert off(days, "1900-01-01", "1900-01-07") == ["1900-01-06", "1900-01-07"]
    assert (days.version, days.known_until) == ("no public holidays", None)


def test_spring_festival_of_china() -> None:
    """Off from 15 to 23 February 2026; in place of the 20th and the 23rd, two Saturdays are worked (State Council)."""
    days = Days(Calendar(country="CN"))
    festival = [f"2026-02-{n}" for n in range(15, 24)]
    assert off(days, "2026-02-09", "2026-03-01") == [*festival, "2026-03-01"]
    assert days.is_business_day(day("02-14"))
    assert days.is_business_day(day("02-28"))
    # Notice of five business days given on Thursday the 12th: Friday, Saturday, and three after the festival.
    assert days.add(day("02-12"), 5) == day("02-26")
    assert days.between(day("02-12"), day("02-26")) == 5
    # Sunday 4 January is worked for Friday the 2nd.
    assert off(days, "2025-12-31", "2026-01-05") == ["2026-01-01", "2026-01-02", "2026-01-03"]


def test_year_that_is_not_announced() -> None:
    """The days of a year are moved by a notice shortly before it: until then they are reckoned by the law alone."""
    days = Days(Calendar(country="CN"))
    assert days.known_until is not None
    assert days.known_until >= date(2026, 12, 31)
    assert days.known_until < date(2090, 1, 1)
    assert off(days, "2090-05-01", "2090-05-03") == ["2090-05-01", "2090-05-02"]
    assert Days(Calendar(country="GB")).known_until is None


def test_latvia() -> None:
    """Of 2026: 2 January is moved to Saturday the 17th, 22 June to the 27th (Cabinet of Ministers)."""
    days = Days(Calendar(country="LV"))
    assert off(days, "2026-01-01", "2026-01-18") == [
        *("2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04", "2026-01-10", "2026-01-11", "2026-01-18"),
    ]
    assert off(days, "2026-06-20", "2026-06-28") == [
        *("2026-06-20", "2026-06-21", "2026-06-22", "2026-06-23", "2026-06-24", "2026-06-28"),
    ]
    assert off(days, "2026-04-01", "2026-04-07") == ["2026-04-03", "2026-04-04", "2026-04-05", "2026-04-06"]
    assert days.version.startswith("holidays 0.")
    assert ", LV, moved days until 20" in days.version


def test_holiday_on_a_weekend() -> None:
    """In Latvia 18 November and 4 May give the next Monday; the second day of Christmas does not."""
    days = Days(Calendar(country="LV"))
    assert off(days, "2028-11-17", "2028-11-21") == ["2028-11-18", "2028-11-19", "2028-11-20"]
    assert off(days, "2026-12-24", "2026-12-29") == ["2026-12-24", "2026-12-25", "2026-12-26", "2026-12-27"]


def test_turn_of_the_year() -> None:
    """The Friday before New Year's Day of 2028, a Saturday, is off in the United States; the year before it says so."""
    assert off(Days(Calendar(country="US")), "2027-12-29", "2028-01-03") == ["2027-12-31", "2028-01-01", "2028-01-02"]


def test_subdivision() -> None:
    """Epiphany is off in Bavaria, and worked in Berlin."""
    bavaria, berlin = (Days(Calendar(country="DE", subdivision=one)) for one in ("BY", "BE"))
    assert not bavaria.is_business_day(day("01-06"))
    assert berlin.is_business_day(day("01-06"))
    assert bavaria.version.endswith(", DE-BY")


def test_six_day_week() -> None:
    """A site that rests on Sundays works on Saturdays, but for holidays; where Friday is the country's, that holds."""
    days = Days(Calendar(country="LV", weekend=[7]))
    assert off(days, "2026-12-14", "2026-12-27") == [
        *("2026-12-20", "2026-12-24", "2026-12-25", "2026-12-26", "2026-12-27"),
    ]
    assert off(Days(Calendar(country="SA")), "2026-07-05", "2026-07-11") == ["2026-07-10", "2026-07-11"]


def test_days_of_the_site() -> None:
    """What the site has says goes before the law: a day off of its own, a holiday worked, a moved day not worked."""
    days = Days(Calendar(country="CN", days_off=["2026-02-14", "2026-03-02"], days_worked=["2026-02-23", "2026-03-01"]))
    assert off(days, "2026-02-13", "2026-03-03") == [
        *("2026-02-14", "2026-02-15", "2026-02-16", "2026-02-17", "2026-02-18", "2026-02-19", "2026-02-20"),
        *("2026-02-21", "2026-02-22", "2026-03-02"),
    ]


def test_none_after_today() -> None:
    """No business day after a day is that day, also a Sunday; they are not counted backwards."""
    days = Days(Calendar())
    assert days.add(day("03-01"), 0) == day("03-01")
    assert days.between(day("03-02"), day("03-02")) == days.between(day("03-03"), day("03-02")) == 0
    with pytest.raises(ValueError, match="forwards"):
        days.add(day("03-02"), -1)


@pytest.mark.parametrize(("country", "subdivision"), [("XX", ""), ("DE", "ZZ")])
def test_unknown_place(country: str, subdivision: str) -> None:
    """Refused, not taken for a place without holidays."""
    with pytest.raises(NotAllowed) as caught:
        Days(Calendar(country=country, subdivision=subdivision)).add(day("03-02"), 1)
    assert caught.value.reason == "CALENDAR_UNKNOWN"


@pytest.mark.parametrize("last", ["1949-06-01", "2101-01-01", "2190-01-01"])
def test_unknown_year(last: str) -> None:
    """The library would answer as if such a year had no holidays."""
    with pytest.raises(NotAllowed) as caught:
        Days(Calendar(country="CN")).is_business_day(day(last))
    assert caught.value.reason == "CALENDAR_ENDS"
    assert "1950-01-01 to 2100-12-31" in caught.value.message


@given(
    place=st.sampled_from(["CN", "LV", "SA", "US", "DE", ""]),
    weekend=st.sets(st.integers(1, 7), max_size=6),
    first=st.dates(date(1996, 1, 1), date(2090, 1, 1)),
    n=st.integers(1, 60),
)
def test_counting_there_and_back(place: str, weekend: set[int], first: date, n: int) -> None:
    """The n-th business day is one, and n of them lie between."""
    days = Days(Calendar(country=place, weekend=weekend))
    last = days.add(first, n)
    assert days.is_business_day(last)
    assert days.between(first, last) == n
    assert days.between(first, last - timedelta(days=1)) == n - 1


def test_every_country() -> None:
    """Each one known can be asked, and each subdivision."""
    for country, subdivisions in COUNTRIES.items():
        for subdivision in ["", *subdivisions[:2]]:
            days = Days(Calendar(country=country, subdivision=subdivision))
            assert 180 < days.between(day("2025-12-31"), day("12-31")) < 320, (country, subdivision)
