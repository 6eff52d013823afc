"""Days, spans of them, and what holds from a day on."""

from datetime import date

import pytest

from libs.common.days import History, Span, holding_from, in_force, month_of, parse_day, week_of
from libs.common.errors import Invalid


@pytest.mark.parametrize("text", ["1900-01-01", "2026-03-16", "2028-02-29", "2199-12-31"])
def test_days(text: str) -> None:
    """A day of the calendar is read as it is written."""
    assert parse_day(text, "date").isoformat() == text


@pytest.mark.parametrize(
    "text",
    ["", "2026-02-29", "2026-02-30", "1899-12-31", "2200-01-01", "0001-01-01", "20260316", "2026-W12-1", "2026-3-16"],
)
def test_no_days(text: str) -> None:
    """Anything else is refused, with the field that holds it."""
    with pytest.raises(Invalid) as refused:
        parse_day(text, "facts[2].date")
    assert refused.value.reason == "DATE_INVALID"
    assert [violation.field for violation in refused.value.violations] == ["facts[2].date"]


def test_weeks_and_months() -> None:
    """Weeks run from Monday to Sunday, across years; months know leap years."""
    assert week_of(date(2026, 1, 1)) == week_of(date(2026, 1, 4)) == Span(date(2025, 12, 29), date(2026, 1, 4))
    assert month_of(date(2028, 2, 10)) == Span(date(2028, 2, 1), date(2028, 2, 29))
    assert month_of(date(2026, 12, 31)) == Span(date(2026, 12, 1), date(2026, 12, 31))


def test_histories() -> None:
    """A value holds from its day until the next; a later word about the same day supersedes."""
    history: History[str] = ()
    for month, value in ((3, "c"), (1, "a"), (2, "x"), (2, "b")):
        history = holding_from(history, date(2026, month, 1), value)
    assert [day.month for day, _ in history] == [1, 2, 3]
    assert in_force(history, date(2025, 12, 31)) is None
    assert [in_force(history, date(2026, month, 15)) for month in (1, 2, 3, 4)] == ["a", "b", "c", "c"]
