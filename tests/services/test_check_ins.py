"""Check-ins as callers see them: few may, the others hear the same whatever is there, and nothing leaks elsewhere."""

import io
import json
import sqlite3
from collections.abc import Awaitable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import pytest
from grpc import StatusCode, aio
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from libs.common.log import EventLog, StaleExpectation
from libs.common.rebuilding import rebuild
from libs.common.settings import Settings
from libs.common.streams import LOG, LOG_RESTRICTED, PREFIXES, Append, NoAnswer
from libs.common.telemetry import instrument_engine, start_logging, tracing
from libs.facts.check_ins import CheckIns
from stepladder.common.v1.audit_pb2 import Read
from stepladder.common.v1.operations_pb2 import ListFollowersRequest, ListParkedRequest
from stepladder.common.v1.operations_pb2_grpc import OperationsServiceStub
from stepladder.performance.v1.check_in_pb2 import (
    CheckIn,
    CorrectCheckInRequest,
    CreateCheckInRequest,
    ListCheckInReadsRequest,
    ListCheckInsRequest,
    RetractCheckInRequest,
)
from stepladder.performance.v1.directory_pb2 import (
    EMPLOYMENT_STATUS_LEFT,
    AppointTeamLeadRequest,
    ChangeEmploymentStatusRequest,
    TransferEmployeeRequest,
)
from tests.refusals import refused
from tests.services.world import World, new_id
from tests.tokens import as_person

NOTE = "cannot sleep since the merger"


@dataclass
class Centre:
    """A team with its lead, whose own lead is the manager; HR and a colleague."""

    world: World
    team: str
    agent: str
    lead: str
    manager: str
    hr: str
    colleague: str
    other_team: str
    other_lead: str

    async def give(self, caller: str, check_in: CheckIn, request_id: str = "") -> CheckIn:
        request = CreateCheckInRequest(request_id=request_id, check_in=check_in)
        answer: CheckIn = await self.world.check_ins.CreateCheckIn(request, metadata=by(caller))
        return answer

    async def list(self, caller: str, employee: str = "", at_least: int = 0) -> list[CheckIn]:
        request = ListCheckInsRequest(employee_id=employee or self.agent, at_least=at_least)
        return list((await self.world.check_ins.ListCheckIns(request, metadata=by(caller))).check_ins)


def by(caller: str) -> tuple[tuple[str, str]]:
    return as_person(caller)


def check_in(employee: str, mood: int = 2, stress: int = 4, *, day: str = "2020-01-07", note: str = NOTE) -> CheckIn:
    return CheckIn(check_in_id=new_id("c"), employee_id=employee, date=day, mood=mood, stress=stress, note=note)


@pytest.fixture
async def centre(world: World) -> Centre:
    return await founded(world)


async def founded(world: World) -> Centre:
    team, other_team, leads = await world.team(), await world.team(), await world.team()
    lead, other_lead = await world.employee(leads), await world.employee(leads)
    manager = await world.employee(await world.team())
    for led, who in ((team, lead), (other_team, other_lead), (leads, manager)):
        await appoint(world, led, who)
    hr = await world.employee(leads, job_family="hr")
    agent, colleague = await world.employee(team), await world.employee(team)
    return Centre(world, team, agent, lead, manager, hr, colleague, other_team, other_lead)


async def appoint(world: World, team: str, lead: str, day: str = "2019-01-01") -> None:
    await world.directory.AppointTeamLead(AppointTeamLeadRequest(team_id=team, lead_id=lead, effective_date=day))


async def test_who_may_gives_corrects_lists_and_takes_back(both: World) -> None:
    """The employee, their lead and HR; who gave it, and who corrected it, is kept."""
    centre = await founded(both)
    own = await centre.give(centre.agent, check_in(centre.agent), "r-1")
    assert (own.state, own.given_by, own.corrected_by) == (CheckIn.STATE_GIVEN, f"user:{centre.agent}", "")
    told = await centre.give(centre.lead, check_in(centre.agent, day="2020-01-06", note=""))
    third = await centre.give(centre.hr, check_in(centre.agent, day="2020-01-08"))
    assert (told.given_by, third.given_by) == (f"user:{centre.lead}", f"user:{centre.hr}")
    for caller in (centre.agent, centre.lead, centre.hr):
        assert await centre.list(caller, at_least=third.log_position) == [told, own, third]
    better = CheckIn(check_in_id=own.check_in_id, employee_id=centre.agent, date="2020-01-09", mood=4, stress=1)
    request = CorrectCheckInRequest(check_in=better)
    mended: CheckIn = await both.check_ins.CorrectCheckIn(request, metadata=by(centre.lead))
    assert (mended.note, mended.given_by, mended.corrected_by) == ("", own.given_by, f"user:{centre.lead}")
    taken = await both.check_ins.RetractCheckIn(
        RetractCheckInRequest(employee_id=centre.agent, check_in_id=told.check_in_id), metadata=by(centre.agent)
    )
    assert taken.state == CheckIn.STATE_RETRACTED
    assert await centre.list(centre.hr, at_least=taken.log_position) == [third, mended]
    for model in (one for one in both.services["performance"].followers if one.handler.name == "check_ins"):
        assert [step async for step in rebuild(model)][-1].changed_rows == 0


async def test_saying_it_again_is_safe(centre: Centre) -> None:
    """With a request id or without; other content under the id is refused, another employee's id is free."""
    given = check_in(centre.agent)
    first = await centre.give(centre.agent, given, "r-1")
    assert await centre.give(centre.agent, given, "r-1") == first
    assert await centre.give(centre.lead, given) == first
    given.mood = 3
    again = CreateCheckInRequest(check_in=given)
    stub = centre.world.check_ins
    await refused(stub.CreateCheckIn(again, metadata=by(centre.agent)), StatusCode.ALREADY_EXISTS, "CHECK_IN_EXISTS")
    given.employee_id = centre.colleague
    assert (await centre.give(centre.colleague, given)).given_by == f"user:{centre.colleague}"


async def test_nobody_else_learns_anything(centre: Centre) -> None:
    """Colleagues, managers, other leads: the same words whether there are check-ins, such people, or not."""
    there = await centre.give(centre.agent, check_in(centre.agent))
    outsiders = [centre.colleague, centre.manager, centre.other_lead, "nobody", "Somebody.Else@x", "anonymous"]
    actors = [*outsiders, "a..b"]
    heard: set[str] = set()
    stub = centre.world.check_ins
    for actor in actors:
        for employee, check_in_id in ((centre.agent, there.check_in_id), (centre.agent, "none"), ("ghost", "none")):
            if actor == employee:
                continue
            given = CheckIn(check_in_id=check_in_id, employee_id=employee, date="2020-01-07", mood=1, stress=1)
            ahead = CheckIn(check_in_id=check_in_id, employee_id=employee, date="2199-01-07", mood=1, stress=1)
            taken = RetractCheckInRequest(employee_id=employee, check_in_id=check_in_id)
            who = as_person(actor)
            listed = ListCheckInsRequest(employee_id=employee)
            calls: list[Awaitable[object]] = [
                stub.CreateCheckIn(CreateCheckInRequest(check_in=given), metadata=who),
                stub.CreateCheckIn(CreateCheckInRequest(check_in=ahead), metadata=who),
                stub.CorrectCheckIn(CorrectCheckInRequest(check_in=given), metadata=who),
                stub.RetractCheckIn(taken, metadata=who),
                stub.ListCheckIns(listed, metadata=who),
            ]
            for call in calls:
                sentence, _ = await refused(call, StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
                heard.add(sentence)
    assert len(heard) == 1
    assert await centre.list(centre.agent) == [there]


async def test_hr_hears_that_there_is_no_such_employee(centre: Centre) -> None:
    """Who may know of everybody is told what is wrong."""
    calls = centre.world.check_ins
    ghost = CreateCheckInRequest(check_in=check_in("ghost"))
    await refused(calls.CreateCheckIn(ghost, metadata=by(centre.hr)), StatusCode.NOT_FOUND, "EMPLOYEE_NOT_FOUND")
    listed = calls.ListCheckIns(ListCheckInsRequest(employee_id="ghost"), metadata=by(centre.hr))
    await refused(listed, StatusCode.NOT_FOUND, "EMPLOYEE_NOT_FOUND")
    ahead = CreateCheckInRequest(check_in=check_in(centre.agent, day="2199-01-01"))
    answer = calls.CreateCheckIn(ahead, metadata=by(centre.hr))
    await refused(answer, StatusCode.INVALID_ARGUMENT, "DATE_INVALID")
    missing = RetractCheckInRequest(employee_id=centre.agent, check_in_id="none")
    await refused(calls.RetractCheckIn(missing, metadata=by(centre.agent)), StatusCode.NOT_FOUND, "CHECK_IN_NOT_FOUND")


async def test_a_right_that_is_lost_is_lost_at_once(centre: Centre) -> None:
    """Who moves takes their check-ins to the new lead; who is replaced, or leaves, sees nothing any more."""
    world, yesterday = centre.world, (centre.world.clock[0].date() - timedelta(days=1)).isoformat()
    there = await centre.give(centre.lead, check_in(centre.agent))

    async def may(caller: str) -> bool:
        try:
            return await centre.list(caller, at_least=there.log_position) == [there]
        except aio.AioRpcError as error:
            if error.code() is not StatusCode.PERMISSION_DENIED:
                raise
            return False

    async def who() -> list[bool]:
        return [await may(one) for one in (centre.agent, centre.lead, centre.other_lead, centre.manager, centre.hr)]

    assert await who() == [True, True, False, False, True]
    await world.directory.TransferEmployee(
        TransferEmployeeRequest(employee_id=centre.agent, team_id=centre.other_team, effective_date=yesterday)
    )
    assert await who() == [True, False, True, False, True]
    await appoint(world, centre.other_team, centre.lead, yesterday)
    assert await who() == [True, True, False, False, True]
    for one in (centre.hr, centre.agent):
        await world.directory.ChangeEmploymentStatus(
            ChangeEmploymentStatusRequest(employee_id=one, status=EMPLOYMENT_STATUS_LEFT, effective_date=yesterday)
        )
    assert await who() == [True, False, False, False, False]


async def test_pages_go_by_day(centre: Centre) -> None:
    """Of a span of days, each check-in once."""
    given = [await centre.give(centre.agent, check_in(centre.agent, day=f"2020-01-{day:02}")) for day in range(1, 8)]
    request = ListCheckInsRequest(
        employee_id=centre.agent,
        page_size=2,
        start_date="2020-01-02",
        end_date="2020-01-06",
        at_least=given[-1].log_position,
    )
    found: list[CheckIn] = []
    while True:
        answer = await centre.world.check_ins.ListCheckIns(request, metadata=by(centre.hr))
        found += answer.check_ins
        if not answer.next_page_token:
            break
        request.page_token = answer.next_page_token
    assert found == given[1:6]


async def test_content_is_nowhere_but_in_the_restricted_stream(
    centre: Centre, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, restored_logging: None
) -> None:
    """Neither in LOG, read models, parked rows and what operators see of them, nor in logs and traces; notes in clear
    not even there."""
    del restored_logging
    world, out, exporter = centre.world, io.StringIO(), InMemorySpanExporter()
    service = world.services["performance"]
    start_logging("performance", Settings(), out)
    apply = CheckIns.apply

    async def fragile(self: CheckIns, rows: object, events: object) -> None:
        for recorded in events:  # type: ignore[attr-defined] # as the method that it stands for
            if getattr(recorded.event, "note", "").endswith("poison"):
                raise ValueError(f"cannot take {recorded.event}")
        await apply(self, rows, events)  # type: ignore[arg-type] # see above

    monkeypatch.setattr(CheckIns, "apply", fragile)
    with tracing("performance", Settings(), exporter):
        instrument_engine(service.engine)
        traced = (*by(centre.agent), ("traceparent", f"00-{'ab' * 16}-{'cd' * 8}-01"))
        for given in (check_in(centre.agent), check_in(centre.agent, note=f"{NOTE} poison")):
            request = CreateCheckInRequest(check_in=given)
            last = await world.check_ins.CreateCheckIn(request, metadata=traced)
        stub = world.check_ins
        wrong = CreateCheckInRequest(check_in=check_in(centre.agent, mood=9))
        await refused(stub.CreateCheckIn(wrong, metadata=traced), StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")
        denied = stub.ListCheckIns(ListCheckInsRequest(employee_id=centre.agent), metadata=by(centre.colleague))
        await refused(denied, StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
        assert len(await centre.list(centre.agent, at_least=last.log_position)) == 1
    operations = OperationsServiceStub(world.channels["performance"])
    (parked,) = (await operations.ListParked(ListParkedRequest(service="performance"))).parked
    assert (parked.follower, parked.error, parked.position) == ("check_ins", "ValueError", last.log_position)
    assert centre.agent not in parked.subject
    standing = (await operations.ListFollowers(ListFollowersRequest(service="performance"))).followers
    assert {one.name for one in standing if one.stream == LOG_RESTRICTED} == {"check_ins"}
    (model,) = [one for one in standing if one.name == "check_ins"]
    assert (model.position, model.end, model.lag) == (last.log_position, last.log_position, 0)

    payloads: dict[str, bytes] = {}
    for name, stream in service.streams.items():
        async with stream.feed([f"{PREFIXES[name]}.>"], 0) as feed:
            left, payloads[name] = (await stream.state()).last, b""
            while left:
                entries = await feed.next(1000, wait_seconds=5)
                left -= len(entries)
                payloads[name] += b"".join(entry.payload for entry in entries)
    assert b"CheckIn" in payloads[LOG_RESTRICTED]
    assert b"CheckIn" not in payloads[LOG]
    with closing(sqlite3.connect(tmp_path / "performance.db")) as database:
        rows = "\n".join(database.iterdump())
        columns = [name for _, name, *_ in database.execute("PRAGMA table_info(check_ins)")]
    assert columns == ["employee_id", "check_in_id", "date"]
    assert centre.agent in rows
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert {"batch_is_poisoned", "event_is_poison"} <= {line["event"] for line in lines}
    spans = "".join(span.to_json() for span in exporter.get_finished_spans())
    assert "INSERT INTO check_ins" in spans
    shown = (out.getvalue(), spans, rows, str(parked), *(payload.decode("latin-1") for payload in payloads.values()))
    for text in shown:
        assert "cannot sleep" not in text


async def reads(centre: Centre, caller: str, employee: str = "", **asked: Any) -> list[Read]:
    """All pages of who read an employee's check-ins this month."""
    month = centre.world.clock[0].date().isoformat()[:7]
    request = ListCheckInReadsRequest(employee_id=employee or centre.agent, start_month=month, end_month=month, **asked)
    found: list[Read] = []
    while True:
        answer = await centre.world.check_ins.ListCheckInReads(request, metadata=by(caller))
        found += answer.reads
        if not answer.next_page_token:
            return found
        request.page_token = answer.next_page_token


async def test_who_reads_check_ins_is_noted(centre: Centre) -> None:
    """Who, when, which and by which call; also that there are none, and what is taken back; not what is one's own."""
    world = centre.world
    assert await centre.list(centre.hr) == []
    given = await centre.give(centre.lead, check_in(centre.agent))
    for caller in (centre.agent, centre.lead, centre.lead, centre.hr):
        assert await centre.list(caller, at_least=given.log_position) == [given]
    retract = RetractCheckInRequest(request_id="r", employee_id=centre.agent, check_in_id=given.check_in_id)
    for _ in range(2):
        await world.check_ins.RetractCheckIn(retract, metadata=by(centre.hr))
    for caller in (centre.agent, centre.hr):
        found = await reads(centre, caller, page_size=2)
        assert [(one.reader.removeprefix("user:"), one.method, list(one.ids)) for one in found] == [
            (centre.hr, "ListCheckIns", []),
            (centre.lead, "ListCheckIns", [given.check_in_id]),
            (centre.lead, "ListCheckIns", [given.check_in_id]),
            (centre.hr, "ListCheckIns", [given.check_in_id]),
            (centre.hr, "RetractCheckIn", [given.check_in_id]),
            (centre.hr, "RetractCheckIn", [given.check_in_id]),
        ]
        assert {one.time.ToDatetime(UTC) for one in found} == {world.clock[0]}
    refusal = world.check_ins.ListCheckInReads(
        ListCheckInReadsRequest(employee_id=centre.agent, start_month="2020-01", end_month="2022-01"),
        metadata=by(centre.agent),
    )
    await refused(refusal, StatusCode.INVALID_ARGUMENT, "MONTHS_INVALID")


async def test_reads_are_the_employees_business_and_hrs(centre: Centre) -> None:
    """Not even those who may read check-ins learn who else did."""
    for caller in (centre.lead, centre.manager, centre.colleague):
        with pytest.raises(aio.AioRpcError) as refusal:
            await reads(centre, caller)
        assert refusal.value.code() is StatusCode.PERMISSION_DENIED


async def test_a_read_that_cannot_be_noted_is_not_answered(centre: Centre, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log is away for what is to be written, not for what is read."""
    given = await centre.give(centre.agent, check_in(centre.agent))
    assert await centre.list(centre.lead, at_least=given.log_position) == [given]
    append_all = EventLog.append_all

    async def away(self: EventLog, appends: Sequence[Append]) -> list[int | StaleExpectation]:
        if any(".checkinread." in append.subject for append in appends):
            raise NoAnswer
        return await append_all(self, appends)

    with monkeypatch.context() as broken:
        broken.setattr(EventLog, "append_all", away)
        listed = ListCheckInsRequest(employee_id=centre.agent)
        refusal = centre.world.check_ins.ListCheckIns(listed, metadata=by(centre.lead))
        await refused(refusal, StatusCode.UNAVAILABLE, "LOG_UNAVAILABLE")
        assert await centre.list(centre.agent) == [given]
    assert len(await reads(centre, centre.hr)) == 1
