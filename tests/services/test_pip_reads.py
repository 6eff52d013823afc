"""Who reads a PIP is noted before they get it, and told to the employee and HR."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC
from typing import Any

import pytest
from grpc import StatusCode, aio

from libs.common.log import EventLog, StaleExpectation
from libs.common.streams import Append, NoAnswer
from stepladder.coaching.v1.case_file_pb2 import ExportCaseFileRequest, GetCaseFileRequest
from stepladder.coaching.v1.pip_pb2 import (
    DraftPipRequest,
    GetPipRequest,
    ListPipReadsRequest,
    ListPipsRequest,
    WithdrawPipRequest,
)
from stepladder.coaching.v1.separation_pb2 import CheckSeparationRequest, StreamSeparationRequest
from stepladder.coaching.v1.worklist_pb2 import ExportWorklistRequest, GetWorklistRequest
from stepladder.common.v1.audit_pb2 import Read
from tests.refusals import refused
from tests.services.test_check_ins import by
from tests.services.test_pips import Desk, opened
from tests.services.world import World

DAYS: Mapping[str, Any] = {"start_date": "2026-01-01", "end_date": "2099-12-31"}
"""By the log's own clock, which tests do not move."""


@pytest.fixture
async def desk(world: World) -> Desk:
    return await opened(world)


def ways(desk: Desk, at_least: int) -> dict[str, Callable[[str], Awaitable[Any]]]:
    """Every call that shows a PIP, by its name; each takes who calls. `at_least`: a position of LOG_RESTRICTED."""
    world = desk.world
    about: dict[str, Any] = {"employee_id": desk.agent, "pip_id": "pip-1"}
    worklist = GetWorklistRequest(lead_id=desk.lead)

    async def stream(caller: str) -> Any:
        calls = world.separation.StreamSeparation(StreamSeparationRequest(**DAYS), metadata=by(caller))
        return [one async for one in calls]

    return {
        "GetPip": lambda caller: world.pips.GetPip(GetPipRequest(**about), metadata=by(caller)),
        "ListPips": lambda caller: world.pips.ListPips(ListPipsRequest(at_least=at_least), metadata=by(caller)),
        "GetCaseFile": lambda caller: world.case_files.GetCaseFile(GetCaseFileRequest(**about), metadata=by(caller)),
        "ExportCaseFile": lambda caller: world.case_files.ExportCaseFile(
            ExportCaseFileRequest(**about, format="json"), metadata=by(caller)
        ),
        "GetWorklist": lambda caller: world.worklists.GetWorklist(worklist, metadata=by(caller)),
        "ExportWorklist": lambda caller: world.worklists.ExportWorklist(
            ExportWorklistRequest(worklist=worklist, format="csv"), metadata=by(caller)
        ),
        "CheckSeparation": lambda caller: world.separation.CheckSeparation(
            CheckSeparationRequest(**DAYS), metadata=by(caller)
        ),
        "StreamSeparation": stream,
    }


async def reads(desk: Desk, caller: str, pip_id: str = "pip-1") -> list[Read]:
    """All pages of who read the agent's PIP."""
    request = ListPipReadsRequest(employee_id=desk.agent, pip_id=pip_id, page_size=4)
    found: list[Read] = []
    while True:
        answer = await desk.world.pips.ListPipReads(request, metadata=by(caller))
        found += answer.reads
        if not answer.next_page_token:
            return found
        request.page_token = answer.next_page_token


def told(found: Sequence[Read]) -> list[tuple[str, str]]:
    assert all(list(one.ids) == ["pip-1"] for one in found)
    return [(one.reader.removeprefix("user:"), one.method) for one in found]


async def test_every_way_to_read_a_pip_is_noted(desk: Desk) -> None:
    """Who, when and by which call; not what is done about it, nor what the employee reads of their own."""
    drafted = await desk.say(desk.lead, DraftPipRequest, content=desk.content())
    assert await reads(desk, desk.hr) == []
    every = ways(desk, drafted.log_position)
    for way in every.values():
        await way(desk.hr)
    await desk.get(desk.lead)
    await desk.get(desk.lead)
    found = await reads(desk, desk.hr)
    assert told(found) == [*((desk.hr, name) for name in every), (desk.lead, "GetPip"), (desk.lead, "GetPip")]
    assert {one.time.ToDatetime(UTC) for one in found} == {desk.world.clock[0]}


async def test_who_is_told_who_read(desk: Desk) -> None:
    """HR, and the employee once it was delivered, from its first day on; of no other PIP, and nobody else."""
    denied = (StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
    await desk.issue()
    before = told(await reads(desk, desk.hr))  # HR looked before they approved
    await desk.get(desk.agent)
    assert told(await reads(desk, desk.agent)) == before == [(desk.hr, "GetPip")]
    for caller in (desk.lead, desk.manager, desk.colleague):
        await refused(reads(desk, caller), *denied)
    await desk.say(desk.hr, WithdrawPipRequest, reason="another is needed")
    drafted = await desk.say(desk.lead, DraftPipRequest, "pip-2", content=desk.content())
    listed = ListPipsRequest(employee_id=desk.agent, at_least=drafted.log_position)
    assert len((await desk.world.pips.ListPips(listed, metadata=by(desk.hr2))).pips) == 2
    assert told(await reads(desk, desk.agent)) == [*before, (desk.hr2, "ListPips")]
    await refused(reads(desk, desk.agent, "pip-2"), *denied)
    desk.world.clock[0] = desk.world.clock[0].replace(month=5)
    await desk.get(desk.hr)
    assert len(await reads(desk, desk.agent)) == 3


async def test_a_read_that_cannot_be_noted_is_not_answered(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log is away for what is to be written, not for what is read."""
    issued = await desk.issue()
    append_all = EventLog.append_all

    async def away(self: EventLog, appends: Sequence[Append]) -> list[int | StaleExpectation]:
        if any(".pipread." in append.subject for append in appends):
            raise NoAnswer
        return await append_all(self, appends)

    with monkeypatch.context() as broken:
        broken.setattr(EventLog, "append_all", away)
        for name, way in ways(desk, issued.log_position).items():
            with pytest.raises(aio.AioRpcError) as refusal:
                await way(desk.hr)
            assert refusal.value.code() is StatusCode.UNAVAILABLE, name
        assert (await desk.get(desk.agent)).content.consequence == "another post"
    assert told(await reads(desk, desk.hr)) == [(desk.hr, "GetPip")]
