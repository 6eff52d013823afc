"""Versions of policies, as they are found again by what has pinned them."""

import pytest

from libs.facts.catalogue import Rules
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
