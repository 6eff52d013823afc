"""The report on separation of duties over gRPC: planted wrongs are found in the log, by HR, again and again."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.message import Message
from grpc import StatusCode

from libs.common.envelope import chain_start
from libs.common.eventsourcing import Context
from libs.common.log import EventLog
from libs.common.streams import LOG, Append, Stream
from services.coaching import separation_api
from services.coaching.plan import PLAN
from services.coaching.separation import Reading
from services.coaching.separation_api import histories_of, pages_between
from stepladder.coaching.v1.plan_pb2 import CancelPlanRequest, ProposePlanRequest
from stepladder.coaching.v1.separation_pb2 import (
    CheckSeparationRequest,
    SeparationReport,
    SeparationViolation,
    StreamSeparationRequest,
)
from stepladder.performance.v1.events_pb2 import MonthRated, RatingDecided, RatingProposed
from tests.refusals import refused
from tests.services.test_case_files import by
from tests.services.world import World


def days(before: int = 1, after: int = 1) -> CheckSeparationRequest:
    """Around now, by the log's clock, which no test moves."""
    today = datetime.now(UTC).date()
    return CheckSeparationRequest(start_date=str(today - timedelta(before)), end_date=str(today + timedelta(after)))


def streamed(request: CheckSeparationRequest) -> StreamSeparationRequest:
    return StreamSeparationRequest(start_date=request.start_date, end_date=request.end_date)


async def say(world: World, plan_id: str, command: Message, actor: str) -> None:
    """A command about a plan past the API, which would not let everybody say it."""
    context = Context(now=world.clock[0], today=world.clock[0].date(), actor=actor)
    await world.services["coaching"].commands.handle(PLAN, plan_id, command, context)


async def propose(world: World, plan_id: str) -> None:
    request = ProposePlanRequest(plan_id=plan_id, employee_id="e-1", kpi_id="aht")
    await say(world, plan_id, request, "user:anonymous")


async def plant(world: World, employee_id: str, *said: tuple[Message, str]) -> list[int]:
    """Writes events into the log past every rule; answers their positions."""
    service = world.services["performance"]
    subject = f"log.performance.rating.{employee_id}_2026-01"
    last, position, positions = chain_start(subject), 0, list[int]()
    log = EventLog(service.streams[LOG])
    for number, (event, actor) in enumerate(said):
        encoded = await service.codec.encode(
            subject,
            [event],
            command_id=f"{employee_id}-{number}",
            command_digest=b"",
            context=Context(now=world.clock[0], today=world.clock[0].date(), actor=actor),
            previous_hash=last,
        )
        position = await log.append(Append(subject, position, encoded.entries))
        positions.append(position)
        last = encoded.last_hash
    return positions


async def test_what_was_planted_in_the_log_is_found(world: World) -> None:
    """A decision by whoever proposed it, and a plan closed by nobody; what was done rightly is shown and not blamed."""
    hr = await world.employee(await world.team(), job_family="hr")
    for plan_id, actor in (("p-1", "user:anna"), ("p-2", "user:anonymous")):
        await propose(world, plan_id)
        await say(world, plan_id, CancelPlanRequest(plan_id=plan_id, reason="moved away"), actor)
    rights = await plant(
        world,
        "e-1",
        (MonthRated(employee_id="e-1"), "system:import"),
        (RatingProposed(employee_id="e-1", proposed_by="user:anna"), "user:anna"),
        (RatingDecided(employee_id="e-1", decided_by="user:ben"), "user:ben"),
    )
    wrongs = await plant(
        world,
        "e-2",
        (MonthRated(employee_id="e-2"), "system:import"),
        (RatingProposed(employee_id="e-2", proposed_by="user:anna"), "user:anna"),
        (RatingDecided(employee_id="e-2", decided_by="user:anna"), "user:anna"),
    )
    report: SeparationReport = await world.separation.CheckSeparation(days(), metadata=by(hr))
    assert {(one.kind, one.subject, one.actor) for one in report.violations} == {
        (SeparationViolation.KIND_SAME_PERSON, "log.performance.rating.e-2_2026-01", "user:anna"),
        (SeparationViolation.KIND_NO_PERSON, "log.coaching.plan.p-2", "user:anonymous"),
    }
    (same,) = (one for one in report.violations if one.kind == SeparationViolation.KIND_SAME_PERSON)
    assert list(same.positions) == wrongs[1:]
    assert same.sentence == "user:anna was rating proposer, and rating decider of the same decision."
    assert [(case.subject.rpartition(".")[2], case.violated) for case in report.cases] == [
        ("p-2", True),
        ("e-2_2026-01", True),
        ("p-1", False),
        ("e-1_2026-01", False),
    ]
    assert [act.position for act in report.cases[-1].acts] == rights[1:]
    assert (report.cases_found, report.violations_found) == (4, 2)

    reading = next(one for one in report.readings if one.stream == LOG)
    assert (reading.after_position, reading.through_position, reading.events) == (0, await world.end(), 10)
    assert await world.separation.CheckSeparation(days(), metadata=by(hr)) == report
    await plant(world, "e-3", (MonthRated(employee_id="e-3"), "system:import"))
    again = await world.separation.CheckSeparation(days(), metadata=by(hr))
    later = next(one for one in again.readings if one.stream == LOG)
    assert (later.events, later.digest == reading.digest, again.cases) == (11, False, report.cases)


async def test_what_lies_before_the_days_belongs_to_a_decision(world: World) -> None:
    """What lies behind them does not, and neither do aggregates of which nothing lies on them."""
    said = [
        (MonthRated(employee_id="e-1"), "system:import"),
        (RatingProposed(employee_id="e-1", proposed_by="user:anna"), "user:anna"),
        (RatingDecided(employee_id="e-1", decided_by="user:ben"), "user:ben"),
    ]
    early = await plant(world, "e-0", *said)
    mine, stream = await plant(world, "e-1", *said), world.services["coaching"].streams[LOG]
    ratings = ["log.performance.rating.*"]

    reading = await read(stream, ratings, mine[0], mine[1])
    assert (reading.events, set(reading.decided.values())) == (1, {mine[1]})
    assert await told(stream, reading) == [mine[:2]]

    reading = await read(stream, ratings, 0, mine[2] + 9)
    assert reading.events == 6
    assert await told(stream, reading) == [early, mine]
    assert (await read(stream, ratings, mine[2], mine[2] + 9)).events == 0


async def read(stream: Stream, subjects: Sequence[str], after: int, through: int) -> Reading:
    reading = Reading()
    async for page, _ in pages_between(stream, subjects, after, through):
        for entry in page:
            reading.add(entry)
    return reading


async def told(stream: Stream, reading: Reading) -> list[list[int]]:
    """The positions of what is judged, by aggregate."""
    return [
        [entry.position for entry in history]
        async for histories in histories_of(stream, reading.decided)
        for history in histories
    ]


async def test_any_span_is_read_in_pages(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many events and decisions there are: the report is the same, and says how far it is on the way."""
    hr = await world.employee(await world.team(), job_family="hr")
    said = [(MonthRated(employee_id="e-1"), "system:import")] * 4
    for employee_id in ("e-1", "e-2", "e-3"):
        proposal = (RatingProposed(employee_id=employee_id, proposed_by="user:anna"), "user:anna")
        await plant(world, employee_id, *said, proposal)
    century = CheckSeparationRequest(start_date="1999-01-01", end_date="2099-12-31")
    report = await world.separation.CheckSeparation(century, metadata=by(hr))
    assert (report.cases_found, report.readings[0].events) == (3, 15)
    monkeypatch.setattr(separation_api, "PAGE", 2)
    monkeypatch.setattr(separation_api, "AT_ONCE", 1)
    monkeypatch.setattr(separation_api, "TELL_SECONDS", 0.0)
    *steps, last = [step async for step in world.separation.StreamSeparation(streamed(century), metadata=by(hr))]
    assert last.report == report
    of_log = [step for step in steps if step.stream == LOG]
    assert [step.events for step in of_log] == sorted(step.events for step in of_log)
    assert of_log[0].events < 15
    assert [(step.events, step.decisions, step.left) for step in of_log[-3:]] == [(15, 1, 2), (15, 2, 1), (15, 3, 0)]
    assert not any(step.HasField("report") for step in steps)


async def test_days_without_events_have_an_empty_report(world: World) -> None:
    """Before there was anything, and after it."""
    hr = await world.employee(await world.team(), job_family="hr")
    await propose(world, "p-1")
    for request in (days(9, -5), days(-5, 9)):
        report = await world.separation.CheckSeparation(request, metadata=by(hr))
        assert (report.cases_found, [one.events for one in report.readings]) == (0, [0, 0])


async def test_only_hr_asks(world: World) -> None:
    """And for days in their order."""
    team = await world.team()
    hr, agent = await world.employee(team, job_family="hr"), await world.employee(team)
    for metadata in (by(agent), by("nobody")):
        await refused(
            world.separation.CheckSeparation(days(), metadata=metadata), StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW"
        )
        stream = world.separation.StreamSeparation(streamed(days()), metadata=metadata)
        await refused(anext(aiter(stream)), StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW")
    call = world.separation.CheckSeparation(days(1, -2), metadata=by(hr))
    await refused(call, StatusCode.INVALID_ARGUMENT, "DATE_INVALID")


async def test_nobody_of_hr_is_told_about_themself(world: World) -> None:
    """Nor by a number; the others of HR are."""
    team = await world.team()
    hr, other = await world.employee(team, job_family="hr"), await world.employee(team, job_family="hr")
    for employee_id in (hr, "e-1"):
        proposed = (RatingProposed(employee_id=employee_id, proposed_by="user:anna"), "user:anna")
        await plant(
            world, employee_id, proposed, (RatingDecided(employee_id=employee_id, decided_by="user:e"), "user:e")
        )
    own = (RatingDecided(employee_id=other, decided_by=f"user:{hr}"), f"user:{hr}")
    await plant(world, other, (MonthRated(employee_id=other), "system:import"), own)
    told_hr, told_other = [
        await world.separation.CheckSeparation(days(), metadata=by(caller)) for caller in (hr, other)
    ]
    assert {case.employee_id for case in told_hr.cases} == {other, "e-1"}
    assert {case.employee_id for case in told_other.cases} == {hr, "e-1"}
    assert (told_hr.cases_found, told_other.cases_found) == (2, 2)
    assert told_hr.readings == told_other.readings
