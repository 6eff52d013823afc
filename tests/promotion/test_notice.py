"""The notice of a list: whole business days, by the law of the place, as the site changes it."""

from collections.abc import Sequence
from datetime import date

import pytest

from libs.common.days import Span
from libs.common.errors import NotKnown
from services.promotion.notice import notice
from stepladder.performance.v1.policy_pb2 import Calendar
from stepladder.promotion.v1.candidacy_pb2 import CountedBy
from tests.promotion.candidacies import counted_by

CHINA, LATVIA = Calendar(country="CN"), Calendar(country="LV")


def day(text: str) -> date:
    return date.fromisoformat(text)


def last_day(
    listed: str, business_days: int, calendar: Calendar, paused: Sequence[Span] = (), promised: str = "0001-01-01"
) -> str:
    return notice(day(listed), business_days, counted_by(calendar), paused, day(promised)).until.isoformat()


@pytest.mark.parametrize(
    ("listed", "business_days", "last"),
    [
        # The State Council's notice of 2025-11-04 for 2026: spring festival from Sunday 15 to Monday 23 February,
        # worked on Saturday 14 and Saturday 28 February.
        ("2026-02-10", 5, "2026-02-24"),  # 11 12 13 14(Sat) | 15-23 off | 24
        ("2026-02-13", 1, "2026-02-14"),  # the Saturday is worked
        ("2026-02-14", 1, "2026-02-24"),
        ("2026-02-13", 5, "2026-02-27"),  # 14, 24, 25, 26, 27
        ("2026-02-13", 6, "2026-02-28"),  # and the other Saturday
        ("2026-02-24", 5, "2026-03-02"),  # 25 26 27 28(Sat) | Sunday 1 March | 2
        # National day: 1 to 7 October off, worked on Sunday 20 September and Saturday 10 October.
        ("2026-09-18", 5, "2026-09-24"),  # 20(Sun) 21 22 23 24; the moon festival is on Friday 25
        ("2026-09-30", 3, "2026-10-10"),  # 8 9 10(Sat)
    ],
)
def test_china_moves_its_days(listed: str, business_days: int, last: str) -> None:
    """Weekends that are worked count, and the feast does not; counted by hand."""
    assert last_day(listed, business_days, CHINA) == last


@pytest.mark.parametrize(
    ("listed", "business_days", "last"),
    [
        # 18 November, the proclamation of the republic, is a Wednesday in 2026.
        ("2026-11-13", 5, "2026-11-23"),  # 16 17 19 20 23
        ("2026-11-17", 1, "2026-11-19"),
        # Good Friday is 3 April 2026, Easter Monday the 6th.
        ("2026-04-01", 5, "2026-04-10"),  # 2 7 8 9 10
        # 1 May is a Friday; 4 May is a Monday.
        ("2026-04-30", 1, "2026-05-05"),
        # 18 November 2028 is a Saturday: the next working day is off in its place.
        ("2028-11-17", 5, "2028-11-27"),  # Mon 20 off; 21 22 23 24 27
    ],
)
def test_latvia(listed: str, business_days: int, last: str) -> None:
    assert last_day(listed, business_days, LATVIA) == last


def test_the_day_of_the_list_does_not_count() -> None:
    """A list of Monday is public for five days after it; a list of Sunday, from Monday on."""
    assert last_day("2026-03-16", 5, Calendar()) == "2026-03-23"
    assert last_day("2026-03-15", 5, Calendar()) == "2026-03-20"


@pytest.mark.parametrize(
    ("paused", "last"),
    [
        ([Span(day("2026-03-18"), day("2026-03-18"))], "2026-03-24"),  # raised and settled on a day: it is touched
        ([Span(day("2026-03-20"), day("2026-03-23"))], "2026-03-25"),  # Friday to Monday: two business days
        ([Span(day("2026-03-21"), day("2026-03-22"))], "2026-03-23"),  # a weekend would not have counted
        ([Span(day("2026-03-17"), day("2026-03-19")), Span(day("2026-03-19"), day("2026-03-20"))], "2026-03-27"),
        ([Span(day("2026-03-24"), day("2026-03-25"))], "2026-03-23"),  # after the notice
        ([Span(day("2026-03-16"), day("2026-03-16"))], "2026-03-23"),  # on the day of the list
    ],
    ids=["one day", "over a weekend", "a weekend", "two that meet", "too late", "the day itself"],
)
def test_what_pauses_it(paused: list[Span], last: str) -> None:
    """Days that an objection touches do not count, each once."""
    assert last_day("2026-03-16", 5, Calendar(), paused) == last


def test_a_calendar_changed_in_mid_notice() -> None:
    """A day off more moves the end; a day worked more never takes away what was promised."""
    promised = last_day("2026-03-16", 5, Calendar())
    more_off = Calendar(days_off=["2026-03-19", "2026-03-20"])
    assert last_day("2026-03-16", 5, more_off, promised=promised) == "2026-03-25"
    more_work = Calendar(days_worked=["2026-03-21", "2026-03-22"])
    assert last_day("2026-03-16", 5, more_work) == "2026-03-21"
    assert last_day("2026-03-16", 5, more_work, promised=promised) == promised


def test_each_day_by_the_calendar_in_force_on_it() -> None:
    """A version that begins in mid-notice counts from its day on; the one on the last day is told."""
    summer = Calendar(days_off=["2026-03-17", "2026-03-20"])
    both = CountedBy(
        versions=[*counted_by(Calendar(), 7).versions, *counted_by(summer, 9, since="2026-03-19").versions]
    )
    found = notice(day("2026-03-16"), 5, both)
    assert (found.until, found.calendar_position) == (day("2026-03-24"), 9)  # 17 18 19 23 24
    assert notice(day("2026-03-16"), 2, both).calendar_position == 7
    assert notice(day("2025-12-29"), 2, both).until == day("2025-12-31")  # Monday to Friday before the first


def test_where_the_law_is_not_known() -> None:
    """Nothing is guessed."""
    with pytest.raises(NotKnown) as refused:
        last_day("2026-03-16", 5, Calendar(country="XX"))
    assert refused.value.reason == "CALENDAR_UNKNOWN"
