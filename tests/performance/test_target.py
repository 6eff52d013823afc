"""Targets, in force by day."""

from datetime import date

import pytest
from hypothesis import strategies as st

from libs.common.errors import Invalid
from services.performance.target import TARGET, target_id, to_resource
from stepladder.performance.v1.events_pb2 import TargetSet
from stepladder.performance.v1.kpi_pb2 import SetTargetRequest, Target
from tests.deciding import days, given, twice_is_once


def target(day: str, minimum: str, maximum: str = "") -> Target:
    return Target(kpi_id="csat", team_id="t-1", effective_date=day, minimum=minimum, maximum=maximum)


def test_ids() -> None:
    """Every scope is another aggregate; the ids are stored for ever."""
    scopes = [
        Target(),
        Target(team_id="t-1"),
        Target(position="agent"),
        Target(stars=3),
        Target(team_id="t-1", stars=3),
    ]
    for scope in scopes:
        scope.kpi_id = "csat"
    ids = [target_id(scope) for scope in scopes]
    assert ids[:2] == ["csat", "csat_t-1"]
    assert ids[2] == "csat_scope_a30e51c6f77437d3ded925528f0a6fd9"
    assert len(set(ids)) == len(ids)


def test_set() -> None:
    """A target is set; the same again changes nothing, also when it comes back as it was shown."""
    shown = target("2026-01-01", "95")
    shown.log_position = 7
    after = given(TARGET).when(SetTargetRequest(target=shown)).then(TargetSet(target=target("2026-01-01", "95")))
    after.when(SetTargetRequest(target=shown)).then()


def test_targets_hold_until_the_next() -> None:
    """Targets may be set in any order; one for the same day supersedes."""
    targets = [("2026-03-01", "96"), ("2026-01-01", "95"), ("2026-03-01", "97")]
    state = given(TARGET, *(TargetSet(target=target(day, minimum)) for day, minimum in targets)).state
    in_force = [state.target_on(date(2026, month, 1)) for month in (1, 2, 3, 4)]
    assert [one.minimum for one in in_force if one] == ["95", "95", "97", "97"]
    assert state.target_on(date(2025, 12, 31)) is None
    assert to_resource(state, 42, date(2026, 2, 1)).effective_date == "2026-01-01"
    assert to_resource(state, 42, date(2026, 2, 1)).log_position == 42


def test_the_same_bounds_from_a_later_day() -> None:
    """They are set: an earlier target may still be superseded, and must not carry these with it."""
    later = target("2026-03-01", "95")
    given(TARGET, TargetSet(target=target("2026-01-01", "95"))).when(SetTargetRequest(target=later)).then(
        TargetSet(target=later)
    )


@pytest.mark.parametrize(("minimum", "maximum"), [("3.5", "2.5"), ("10", "9.9"), ("-1", "-2")])
def test_bounds_the_wrong_way_round(minimum: str, maximum: str) -> None:
    """No value could be on target."""
    command = SetTargetRequest(target=target("2026-01-01", minimum, maximum))
    given(TARGET).when(command).refused(Invalid, "TARGET_BOUNDS")


def test_no_day() -> None:
    """29 February passes the contract every year, and the calendar only in leap years."""
    refused = given(TARGET).when(SetTargetRequest(target=target("2026-02-29", "95"))).refused(Invalid, "DATE_INVALID")
    assert refused.violations[0].field == "target.effective_date"


def test_twice_is_once() -> None:
    """Setting any target twice changes nothing."""
    bounds = st.sampled_from(["1", "2.0", "95"])
    twice_is_once(TARGET, st.builds(lambda *of: SetTargetRequest(target=target(*of)), days, bounds, bounds))
