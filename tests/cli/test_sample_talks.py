"""Sessions of the sample centre: the same every time, valid, most in time, and something left for a worklist."""

from collections import Counter
from datetime import date

import protovalidate
import pytest

from libs.cli.sample import SampleCentre
from libs.cli.sample_people import Story
from libs.cli.sample_talks import Talk
from stepladder.coaching.v1.session_pb2 import (
    AcknowledgeSessionRequest,
    FollowUpActionRequest,
    HoldSessionRequest,
    MissSessionRequest,
    Session,
)
from stepladder.performance.v1.directory_pb2 import HireEmployeeRequest

END = date(2026, 3, 10)


@pytest.fixture(scope="module")
def talks() -> list[Talk]:
    return list(SampleCentre(END).talks())


def test_sessions_can_be_told_as_they_are(talks: list[Talk]) -> None:
    """Every request keeps the contract, once it has its session; nothing is told of days to come."""
    assert list(SampleCentre(END).talks()) == talks
    for talk in talks:
        protovalidate.validate(talk.schedule)
        for _, request in talk.told:
            request.session_id = talk.schedule.session_id or "i-made-of-both"
            protovalidate.validate(request)
            if isinstance(request, HoldSessionRequest):
                assert request.held_date <= END.isoformat()
                assert all(one.due_date > request.held_date for one in request.actions)
            if isinstance(request, FollowUpActionRequest):
                assert request.date <= END.isoformat()
    names = [talk.schedule.session_id or f"{talk.schedule.employee_id} {talk.schedule.month}" for talk in talks]
    assert len(set(names)) == len(names)


def test_most_is_done_and_something_is_left(talks: list[Talk]) -> None:
    """Held and missed, acknowledged or not; some are ahead; three months of interviews with everybody, also
    with leads, the office and the manager, who check in as everybody does."""
    centre = SampleCentre(END)
    told = Counter(type(request) for talk in talks for _, request in talk.told)
    interviews = [talk for talk in talks if talk.schedule.kind == Session.KIND_INTERVIEW]
    assert {talk.schedule.month for talk in interviews} == {"2025-12", "2026-01", "2026-02"}
    assert told[HoldSessionRequest] > 0.8 * len(talks)
    assert told[MissSessionRequest] > 2
    assert told[HoldSessionRequest] > told[AcknowledgeSessionRequest] > 0.6 * told[HoldSessionRequest]
    assert any(talk.schedule.date > END.isoformat() for talk in talks)
    assert not {talk.schedule.employee_id for talk in talks} & set(centre.told(Story.LEFT))
    hired = {one.employee.employee_id for one in centre.setup() if isinstance(one, HireEmployeeRequest)}
    there = hired - set(centre.told(Story.LEFT))
    assert {talk.schedule.employee_id for talk in interviews} == there
    assert {one.employee_id for one in centre.check_ins()} == there
    shadowed = {talk.schedule.employee_id for talk in talks if talk.schedule.kind == Session.KIND_SHADOWING}
    assert shadowed == {*centre.struggling(), *centre.told(Story.NEWCOMER)}
