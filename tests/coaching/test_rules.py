"""Coaching rules in force: of several, the narrowest; with the calendar that they name, of that day."""

from datetime import date

import pytest

from libs.common.errors import NotAllowed
from libs.facts.catalogue import Rules
from libs.facts.employee import Position, State
from services.coaching.rules import rules_in_force, rules_of_team
from stepladder.performance.v1.policy_pb2 import Calendar, CoachingRules, PipRules, Policy, Scope

DAY = date(2026, 5, 4)  # off in Latvia
DAY_BEFORE = date(2026, 4, 30)
AGENT = State(
    employee_id="e-1", teams=((date(2020, 1, 1), "t-1"),), positions=((date(2020, 1, 1), Position("agent", 2)),)
)


def coaching(policy_id: str, position: int, day: str = "2026-01-01", **rules: object) -> Policy:
    given = CoachingRules(**rules)  # type: ignore[arg-type] # names and values of fields
    return Policy(policy_id=policy_id, effective_date=day, log_position=position, coaching=given)


def calendar(position: int, day: str, **content: object) -> Policy:
    given = Calendar(**content)  # type: ignore[arg-type] # names and values of fields
    return Policy(policy_id="days", effective_date=day, log_position=position, calendar=given)


def book(*policies: Policy) -> Rules:
    return Rules(99, {}, {}, policies)


def test_the_narrowest() -> None:
    """One for the team goes before one for the position, that before everyone's; of another team it is none."""
    everyone = coaching("everyone", 1, answer_business_days=1)
    position = coaching("position", 2, scope=Scope(position="agent"), answer_business_days=2)
    other = coaching("other", 3, scope=Scope(team_id="t-2"), answer_business_days=3)
    own = coaching("own", 4, "2026-05-05", scope=Scope(team_id="t-1"), answer_business_days=4)
    rules = book(own, other, position, everyone)
    assert rules_in_force(rules, AGENT, DAY).rules_position == 2
    assert rules_in_force(rules, AGENT, date(2026, 5, 5)).rules.answer_business_days == 4
    assert rules_in_force(book(everyone, other), AGENT, DAY).rules_position == 1


def test_of_several_for_the_same() -> None:
    """That whose version begins later holds, whenever it was stored."""
    first = coaching("first", 1, "2026-01-01")
    second, third = coaching("second", 2, "2026-05-01"), coaching("third", 3, "2026-03-01")
    found = {day: rules_in_force(book(first, second, third), AGENT, day).rules_position for day in (DAY, DAY_BEFORE)}
    assert found == {DAY: 2, DAY_BEFORE: 3}


def test_of_a_team() -> None:
    """What holds for a position in it is not for the team as a whole."""
    everyone = coaching("everyone", 1)
    own = coaching("own", 4, scope=Scope(team_id="t-1"))
    position = coaching("position", 2, scope=Scope(team_id="t-1", position="agent"))
    assert rules_of_team(book(position, own, everyone), "t-1", DAY).rules_position == 4
    assert rules_of_team(book(position, own, everyone), "t-2", DAY).rules_position == 1


def test_the_calendar_of_the_day() -> None:
    """Its version in force on the day counts, and is pinned."""
    rules = book(
        coaching("everyone", 7, calendar_id="days"),
        calendar(3, "2020-01-01"),
        calendar(5, "2026-05-01", country="LV"),
        calendar(6, "2026-06-01", country="DE", subdivision="BY"),
    )
    found = rules_in_force(rules, AGENT, DAY)
    assert (found.calendar_position, found.rules_position) == (5, 7)
    assert found.calendar_version.startswith("holidays 0.")
    assert not found.days.is_business_day(DAY)
    earlier = rules_in_force(rules, AGENT, date(2026, 4, 30))
    assert (earlier.calendar_position, earlier.days.is_business_day(DAY)) == (3, True)


def test_no_rules() -> None:
    """Then there are none but the numbers that hold for everyone, and the week from Monday to Friday."""
    found = rules_in_force(book(coaching("later", 1, "2027-01-01")), AGENT, DAY)
    assert (found.rules_position, found.calendar_position, found.calendar_version) == (0, 0, "no public holidays")
    assert found.rules == CoachingRules(mastery_repetitions=3, smallest_group=5)
    assert found.days.is_business_day(DAY)


def test_numbers_that_stand_for_0() -> None:
    """A number that is given stays; in place of 0 stands what the contract says. The policy itself is not touched."""
    policy = coaching("everyone", 1, mastery_repetitions=2, pip=PipRules(appeal_business_days=7))
    stored = Policy()
    stored.CopyFrom(policy)
    found = rules_in_force(book(policy), AGENT, DAY).rules
    assert (found.mastery_repetitions, found.smallest_group) == (2, 5)
    before = [rules_in_force(book(coaching("everyone", 1, smallest_group=few)), AGENT, DAY) for few in (1, 2, 3, 7)]
    assert [one.rules.smallest_group for one in before] == [3, 3, 3, 7]
    assert found.pip == PipRules(evidence_days=365, appeal_business_days=7)
    assert policy == stored


def test_a_place_that_is_not_known_any_more() -> None:
    """A calendar was right when it was stored: nothing is reckoned as if the place had no holidays."""
    rules = book(coaching("everyone", 2, calendar_id="days"), calendar(1, "2020-01-01", country="XX"))
    found = rules_in_force(rules, AGENT, DAY)
    assert found.rules.calendar_id == "days"
    with pytest.raises(NotAllowed) as caught:
        found.days.add(DAY, 1)
    assert caught.value.reason == "CALENDAR_UNKNOWN"
