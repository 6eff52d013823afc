"""Cycles: what is decided of one, and which month is the next of some rules."""

from datetime import date

import pytest
from google.protobuf.message import Message
from hypothesis import strategies as st

from libs.common.errors import AlreadyExists, Invalid, NotFound
from services.promotion.cycle import CYCLE, regular_id
from services.promotion.cycles import next_month
from stepladder.performance.v1.policy_pb2 import Policy
from stepladder.performance.v1.promotion_rules_pb2 import CycleRules
from stepladder.promotion.v1.cycle_pb2 import CloseCycleRequest, OpenCycleRequest, OpenRegularCycle
from stepladder.promotion.v1.events_pb2 import CycleClosed, CycleOpened
from tests.deciding import given, twice_is_once

LATER = date(2026, 3, 24)
MARCH = OpenRegularCycle(
    cycle_id="c-1",
    policy_id="half-years",
    month="2026-03",
    rules_position=7,
    calendar_position=8,
    calendar_version="holidays 0.84, CN",
    open_days=30,
    applications_until="2026-03-27",
)
OWN = OpenCycleRequest(
    own=OpenCycleRequest.Own(
        cycle_id="c-1", display_name="A lead has left", end_date="2026-04-30", applications_until="2026-04-10"
    )
)
CLOSE = CloseCycleRequest(cycle_id="c-1")
REGULAR = CycleOpened(
    cycle_id="c-1",
    display_name="2026-03",
    opened_date="2026-03-16",
    end_date="2026-04-14",
    applications_until="2026-03-27",
    rules_position=7,
    calendar_position=8,
    calendar_version="holidays 0.84, CN",
    opened_by="user:u-1",
    policy_id="half-years",
    month="2026-03",
)
OF_ITS_OWN = CycleOpened(
    cycle_id="c-1",
    display_name="A lead has left",
    opened_date="2026-03-16",
    end_date="2026-04-30",
    applications_until="2026-04-10",
    opened_by="user:u-1",
)
CLOSED = CycleClosed(cycle_id="c-1", closed_date="2026-03-24", closed_by="user:u-1")


def other(**changes: str) -> OpenCycleRequest:
    """The same cycle of its own with something else in it."""
    request = OpenCycleRequest()
    request.CopyFrom(OWN)
    for name, value in changes.items():
        setattr(request.own, name, value)
    return request


@pytest.mark.parametrize(("opening", "opened"), [(MARCH, REGULAR), (OWN, OF_ITS_OWN)])
def test_to_its_end(opening: Message, opened: CycleOpened) -> None:
    """Opened, closed; each said again, on whatever day, changes nothing."""
    given(CYCLE).when(CLOSE).refused(NotFound, "CYCLE_NOT_FOUND")
    after = given(CYCLE).when(opening).then(opened)
    after.when(opening, LATER, actor="policy:cycle-clock").then()
    after = after.when(CLOSE, LATER).then(CLOSED)
    after.when(CLOSE).then()
    after.when(opening, LATER).then()


@pytest.mark.parametrize(
    ("today", "end"), [("2026-02-20", "2026-03-30"), ("2026-03-01", "2026-03-30"), ("2026-03-16", "2026-04-14")]
)
def test_days_of_a_regular_cycle(today: str, end: str) -> None:
    """Count from the first of its month, or from the day of its opening if that is later."""
    opened = given(CYCLE).when(MARCH, date.fromisoformat(today))._decide()[0]
    assert isinstance(opened, CycleOpened)
    assert (opened.opened_date, opened.end_date) == (today, end)


def test_another_cycle_of_the_same_id() -> None:
    """Is refused, while it is open and when it is closed, also where the one that there is is regular."""
    for before in ((OF_ITS_OWN,), (OF_ITS_OWN, CLOSED), (REGULAR,)):
        for changes in ({"display_name": "Another"}, {"end_date": "2026-04-29"}, {"applications_until": "2026-04-09"}):
            given(CYCLE, *before).when(other(**changes)).refused(AlreadyExists, "CYCLE_EXISTS")
    given(CYCLE, REGULAR).when(OWN).refused(AlreadyExists, "CYCLE_EXISTS")


@pytest.mark.parametrize("day", ["2026-03-15", "2026-02-29"])
@pytest.mark.parametrize("name", ["end_date", "applications_until"])
def test_days_that_are_over_or_none(name: str, day: str) -> None:
    """Are refused with the field; today is not over."""
    refusal = given(CYCLE).when(other(**{name: day})).refused(Invalid, "DATE_INVALID")
    assert [one.field for one in refusal.violations] == [f"own.{name}"]
    assert given(CYCLE).when(other(**{"applications_until": "2026-03-16", name: "2026-03-16"}))._decide()


def test_applications_end_with_the_cycle_at_the_latest() -> None:
    refusal = given(CYCLE).when(other(applications_until="2026-05-01")).refused(Invalid, "DATE_INVALID")
    assert [one.field for one in refusal.violations] == ["own.applications_until"]
    assert "2026-04-30" in refusal.message
    assert given(CYCLE).when(other(applications_until="2026-04-30"))._decide()


def test_takes_competitions_up_to_its_last_day() -> None:
    """Also where the clock that closes it is late; none before it is opened or after it is closed."""
    opened = given(CYCLE, OF_ITS_OWN).state
    assert opened.takes_competitions(date(2026, 4, 30))
    assert not opened.takes_competitions(date(2026, 5, 1))
    assert not given(CYCLE).state.takes_competitions(LATER)
    assert not given(CYCLE, OF_ITS_OWN, CLOSED).state.takes_competitions(LATER)


def test_twice_is_once() -> None:
    """Saying a command again changes nothing."""
    commands = st.sampled_from([MARCH, OWN, other(display_name="Another"), CLOSE])
    twice_is_once(CYCLE, commands)
    twice_is_once(CYCLE, commands, REGULAR)


def test_the_id_of_a_regular_cycle_is_for_ever() -> None:
    """Made of its rules and month; a change would open every cycle of the log once more."""
    assert regular_id("half-years", "2026-06") == "cycle-u7a3mlhelhdwfui4dr5sygfkcs"
    assert len({regular_id(rules, month) for rules in ("a", "b") for month in ("2026-06", "2026-12")}) == 4


def version(position: int, effective: str, recorded: str, *months: int) -> Policy:
    return Policy(
        policy_id="p",
        effective_date=effective,
        recorded_date=recorded,
        log_position=position,
        cycles=CycleRules(months=months, applications_business_days=10, open_days=30),
    )


FIRST = version(1, "2026-01-01", "2026-03-16", 6, 12)


@pytest.mark.parametrize(
    ("versions", "opened", "expected"),
    [
        ([FIRST], [], "2026-06-01"),
        ([FIRST], ["2026-06"], "2026-12-01"),
        # By hand, before its turn: June is still to come.
        ([FIRST], ["2026-12"], "2026-06-01"),
        ([FIRST], ["2026-06", "2026-12"], "2027-06-01"),
        # Stored on the first day of a month: that day is not over.
        ([version(1, "2026-01-01", "2026-06-01", 6)], [], "2026-06-01"),
        ([version(1, "2026-01-01", "2026-06-02", 6)], [], "2027-06-01"),
        # In force later.
        ([version(1, "2026-06-02", "2026-03-16", 6, 12)], [], "2026-12-01"),
        # Rules that change: before June, for later days only, and too late for June.
        ([FIRST, version(2, "2026-01-01", "2026-05-31", 9)], [], "2026-09-01"),
        ([FIRST, version(2, "2026-07-01", "2026-05-31", 9)], [], "2026-06-01"),
        ([FIRST, version(2, "2026-07-01", "2026-05-31", 9)], ["2026-06"], "2026-09-01"),
        ([FIRST, version(2, "2026-01-01", "2026-06-02", 9)], [], "2026-06-01"),
        ([FIRST, version(2, "2026-01-01", "2026-06-02", 9)], ["2026-06"], "2026-09-01"),
    ],
)
def test_the_next_month(versions: list[Policy], opened: list[str], expected: str) -> None:
    """The earliest that was not opened, by the rules as they were known and in force on its first day."""
    assert next_month(versions, frozenset(opened)).isoformat() == expected
