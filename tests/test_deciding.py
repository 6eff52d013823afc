"""The checks of aggregates find what they are for, and every event of the contracts has its aggregate."""

from dataclasses import replace
from itertools import count
from types import ModuleType
from typing import get_args

import pytest
from google.protobuf.descriptor import FileDescriptor
from hypothesis import strategies as st

from libs.facts import employee, reads, team
from services.coaching import mastery, pip, plan, session, sharing, standing, suggestion, training
from services.gateway import webhook
from services.performance import (
    assessment,
    calibration,
    check_in,
    detection,
    facts,
    kpi,
    policy,
    rating,
    record,
    risk_review,
    target,
)
from services.performance.team import TEAM
from services.promotion import candidacy_state, career, competition, cycle, groups, peer_scores, post
from stepladder.coaching.v1 import events_pb2 as coaching_events
from stepladder.common.v1 import audit_pb2
from stepladder.common.v1.rules_pb2 import schema_version
from stepladder.gateway.v1 import events_pb2 as gateway_events
from stepladder.performance.v1 import events_pb2 as performance_events
from stepladder.performance.v1.directory_pb2 import CreateTeamRequest, Team
from stepladder.performance.v1.events_pb2 import TeamRenamed
from stepladder.promotion.v1 import events_pb2 as promotion_events
from tests.deciding import twice_is_once

ONLY_READ = {"DetectionPolicyCreated", "EligibilityPolicyCreated"}
"""Events of earlier logs, which read models still understand and nothing writes any more."""

create = st.just(CreateTeamRequest(team=Team(team_id="t-1", display_name="早班")))


@pytest.mark.parametrize(
    ("contract", "aggregates"),
    [
        (
            performance_events.DESCRIPTOR,
            [
                team,
                employee,
                kpi,
                target,
                facts,
                rating,
                record,
                assessment,
                calibration,
                policy,
                detection,
                check_in,
                risk_review,
            ],
        ),
        (
            coaching_events.DESCRIPTOR,
            [plan, mastery, pip, session, sharing, standing, suggestion, training],
        ),
        (
            promotion_events.DESCRIPTOR,
            [candidacy_state, career, competition, cycle, groups, peer_scores, post],
        ),
        (gateway_events.DESCRIPTOR, [webhook]),
        (audit_pb2.DESCRIPTOR, [reads]),
    ],
    ids=["performance", "coaching", "promotion", "gateway", "audit"],
)
def test_every_event_belongs_to_one_aggregate(contract: FileDescriptor, aggregates: list[ModuleType]) -> None:
    """An event that no aggregate names in its `Event` would escape the type check of `evolve`."""
    named = [event.DESCRIPTOR.name for module in aggregates for event in get_args(module.Event) or [module.Event]]
    marked = [m.name for m in contract.message_types_by_name.values() if m.GetOptions().Extensions[schema_version]]
    assert sorted(named) == sorted(name for name in marked if name not in ONLY_READ)


def test_an_aggregate_that_acts_again_is_found() -> None:
    """Negative control: a repeated command that yields an event fails the property."""
    names = count()
    restless = replace(TEAM, decide=lambda *_: [TeamRenamed(team_id="t-1", display_name=str(next(names)))])
    with pytest.raises(AssertionError):
        twice_is_once(restless, create)


def test_an_aggregate_that_breaks_is_found() -> None:
    """Negative control: anything raised but a refusal fails the property."""

    def broken(*_: object) -> list[TeamRenamed]:
        raise KeyError("t-1")

    with pytest.raises(KeyError):
        twice_is_once(replace(TEAM, decide=broken), create)
