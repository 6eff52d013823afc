"""Versions of policies, as they are found again by what has pinned them."""

import pytest

from libs.facts.catalogue import Rules
from libs.facts.people import FOR_EVER
from stepladder.performance.v1.policy_pb2 import Calendar, Policy


def test_a_pinned_version_is_found_for_ever() -> None:
    """Also when another one for the same day has taken its place."""
    first, second = (
        Policy(policy_id="riga", effective_date="2026-01-01", log_position=position, calendar=Calendar(country="LV"))
        for position in (7, 9)
    )
    rules = Rules(9, {}, {}, policies=[second], replaced=[first])
    assert rules.version(7) is first
    assert rules.version(9) is second
    with pytest.raises(StopIteration):
        rules.version(8)


def test_versions_of_a_policy() -> None:
    """By day, each up to the next; none of a policy that there is not."""
    later, earlier = (
        Policy(policy_id="riga", effective_date=day, log_position=position, calendar=Calendar(country="LV"))
        for day, position in (("2026-06-01", 7), ("2026-01-01", 9))
    )
    rules = Rules(9, {}, {}, policies=[later, earlier])
    assert rules.versions_of("riga") == [(earlier, "2026-06-01"), (later, FOR_EVER)]
    assert not rules.versions_of("")
