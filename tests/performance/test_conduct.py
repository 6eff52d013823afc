"""Conduct points: warnings, repetition, lapse, dismissal grade."""

from datetime import date

import pytest

from libs.facts.conduct import Offending, counted
from stepladder.performance.v1.policy_pb2 import Offence

SEAT = Offence(offence_id="seat", points=1, lapse_months=6)
PHONE = Offence(offence_id="phone", points=3, warnings=1, warning_months=3, lapse_months=12)
LEAK = Offence(offence_id="leak", points=100, dismissal_grade=True)


def offending(day: str, offence: Offence, record_id: str = "", *, book: str = "house") -> Offending:
    return Offending(record_id or f"v-{day}", day, book, offence, position=7)


def points(*violations: Offending, as_of: str = "2026-12-31") -> list[int]:
    return [one.points for one in counted(violations, date.fromisoformat(as_of))]


def test_points_count_from_the_day_of_the_offence() -> None:
    """The earliest first, whatever the order in which they became known."""
    found = counted([offending("2026-03-05", SEAT), offending("2026-03-02", SEAT)], date(2026, 3, 4))
    assert [(one.date, one.points) for one in found] == [("2026-03-02", 1)]


@pytest.mark.parametrize(("as_of", "lapsed"), [("2026-08-31", False), ("2026-09-01", False), ("2026-09-02", True)])
def test_points_lapse(as_of: str, lapsed: bool) -> None:
    """After their months, on the same day of the month."""
    (one,) = counted([offending("2026-03-02", SEAT)], date.fromisoformat(as_of))
    assert (one.lapse_date, one.lapsed) == ("2026-09-02", lapsed)


def test_on_the_last_day_of_a_month() -> None:
    """Six months after 31 August is the end of February, of a leap year, too."""
    (one,) = counted([offending("2027-08-31", SEAT)], date(2028, 2, 29))
    assert (one.lapse_date, one.lapsed) == ("2028-02-29", True)


def test_some_offences_count_only_when_repeated_after_a_warning() -> None:
    """The first is a warning, the next within three months counts; much later one is a warning again."""
    assert points(offending("2026-01-10", PHONE)) == [0]
    assert points(offending("2026-01-10", PHONE), offending("2026-04-10", PHONE)) == [0, 3]
    assert points(offending("2026-01-10", PHONE), offending("2026-04-11", PHONE)) == [0, 0]
    assert points(offending("2026-01-10", PHONE), offending("2026-01-11", SEAT)) == [0, 1]


def test_the_same_id_in_another_rule_book_is_another_offence() -> None:
    """What was warned of under one book is still warned of under another."""
    assert points(offending("2026-01-10", PHONE), offending("2026-01-11", PHONE, book="floor")) == [0, 0]


def test_a_warning_taken_back_makes_the_next_one_the_warning() -> None:
    """What counts is counted from what stands."""
    assert points(offending("2026-01-10", PHONE), offending("2026-02-10", PHONE)) == [0, 3]
    assert points(offending("2026-02-10", PHONE)) == [0]


def test_two_on_one_day() -> None:
    """Count one after the other, by their ids."""
    assert points(offending("2026-01-10", PHONE, "v-2"), offending("2026-01-10", PHONE, "v-1")) == [0, 3]


def test_dismissal_grade() -> None:
    """Is said, never acted on; it does not lapse unless the rule book says so."""
    (one,) = counted([offending("2020-01-10", LEAK)], date(2026, 1, 1))
    assert (one.dismissal_grade, one.lapse_date, one.points) == (True, "", 100)
