"""Sharings: an example is chosen by a number and by words; then who took part."""

from datetime import date

import pytest
from hypothesis import strategies as st

from libs.common.errors import AlreadyExists, Invalid, NotAllowed, NotFound
from services.coaching.sharing import SHARING
from stepladder.coaching.v1.events_pb2 import SharingCancelled, SharingHeld, SharingPrepared
from stepladder.coaching.v1.measure_pb2 import Measure, Measured
from stepladder.coaching.v1.sharing_pb2 import (
    CancelSharingRequest,
    HoldSharingRequest,
    PrepareSharing,
    PrepareSharingRequest,
)
from tests.deciding import given, twice_is_once

LATER = date(2026, 3, 24)
HOLD = HoldSharingRequest(sharing_id="s-1", date="2026-03-23", participant_ids=["e-2", "e-3"])
CANCEL = CancelSharingRequest(sharing_id="s-1", reason="is on leave")


def measured(value: str = "97.0", end: str = "2026-02-28") -> Measured:
    return Measured(
        measure=Measure(kpi_id="csat"),
        start_date="2026-02-01",
        end_date=end,
        numerator=97,
        denominator=100,
        value=value,
        fact_positions=[4, 9],
        known_at=99,
    )


def preparing(what: Measured, attitude: str = "calm") -> PrepareSharing:
    request = PrepareSharingRequest(
        sharing_id="s-1",
        employee_id="e-1",
        measure=what.measure,
        start_date=what.start_date,
        end_date=what.end_date,
        attitude=attitude,
        helpfulness="asks who needs help",
        topic="how to listen",
    )
    return PrepareSharing(request=request, measured=what)


PREPARE = preparing(measured())
PREPARED = SharingPrepared(
    sharing_id="s-1",
    employee_id="e-1",
    measured=measured(),
    attitude="calm",
    helpfulness="asks who needs help",
    topic="how to listen",
    prepared_by="user:u-1",
    prepared_date="2026-03-16",
)
HELD = SharingHeld(sharing_id="s-1", date="2026-03-23", participant_ids=["e-2", "e-3"])
CANCELLED = SharingCancelled(sharing_id="s-1", employee_id="e-1", reason="is on leave")


def test_held() -> None:
    """Prepared with its number, then held; each said again changes nothing."""
    after = given(SHARING).when(PREPARE).then(PREPARED)
    after = after.when(HOLD, LATER).then(HELD)
    after.when(HOLD, LATER).then()
    after.when(PREPARE, LATER).then()
    after.when(CANCEL).refused(NotAllowed, "WRONG_STATE")
    other = HoldSharingRequest(sharing_id="s-1", date="2026-03-23", participant_ids=["e-2"])
    after.when(other, LATER).refused(NotAllowed, "WRONG_STATE")


def test_cancelled() -> None:
    after = given(SHARING, PREPARED).when(CANCEL).then(CANCELLED)
    after.when(CANCEL).then()
    after.when(HOLD, LATER).refused(NotAllowed, "WRONG_STATE")


def test_no_number() -> None:
    """Nobody is an example of something that was not recorded."""
    given(SHARING).when(preparing(measured(value=""))).refused(NotAllowed, "NO_FACTS")


def test_the_same_again() -> None:
    """Whatever is measured by then; other days or other words are something else."""
    before = given(SHARING, PREPARED)
    before.when(preparing(measured("12.0"))).then()
    before.when(preparing(measured(end="2026-02-27"))).refused(AlreadyExists, "SHARING_EXISTS")
    before.when(preparing(measured(), "loud")).refused(AlreadyExists, "SHARING_EXISTS")


@pytest.mark.parametrize("day", ["2026-03-15", "2026-03-25", "2026-02-29"])
def test_held_on_a_wrong_day(day: str) -> None:
    """Before it was prepared, to come, in no calendar."""
    hold = HoldSharingRequest(sharing_id="s-1", date=day, participant_ids=["e-2"])
    given(SHARING, PREPARED).when(hold, LATER).refused(Invalid, "DATE_INVALID")


def test_the_example_does_not_take_part() -> None:
    hold = HoldSharingRequest(sharing_id="s-1", date="2026-03-16", participant_ids=["e-2", "e-1"])
    given(SHARING, PREPARED).when(hold).refused(Invalid, "PARTICIPANT_INVALID")


def test_nothing_prepared() -> None:
    for command in (HOLD, CANCEL):
        given(SHARING).when(command).refused(NotFound, "SHARING_NOT_FOUND")


def test_twice_is_once() -> None:
    """Saying a command again changes nothing."""
    twice_is_once(SHARING, st.sampled_from([PREPARE, preparing(measured(), "loud"), HOLD, CANCEL]))
