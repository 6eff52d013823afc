"""The report on separation of duties over gRPC: planted wrongs are found in the log, by HR, again and again."""

from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.message import Message
from grpc import StatusCode

from libs.common.envelope import chain_start
from libs.common.eventsourcing import Context
from libs.common.log import EventLog
from libs.common.streams import LOG, Append
from services.coaching import separation_api
from services.coaching.separation_api import events_between, histories_of
from stepladder.coaching.v1.plan_pb2 import CancelPlanRequest, ProposePlanRequest
from stepladder.coaching.v1.separation_pb2 import CheckSeparationRequest, SeparationReport, SeparationViolation
from stepladder.performance.v1.events_pb2 import MonthRated, RatingDecided, RatingProposed
from tests.refusals import refused
from tests.services.test_case_files import by
from tests.services.world import World


def days(before: int = 1, after: int = 1) -> CheckSeparationRequest:
    """Around now, by the log's clock, which no test moves."""
    today = datetime.now(UTC).date()
    return CheckSeparationRequest(start_date=str(today - timedelta(before)), end_date=str(today + timedelta(after)))


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
    for plan_id, metadata in (("p-1", by("anna")), ("p-2", ())):
        await world.plans.ProposePlan(ProposePlanRequest(plan_id=plan_id, employee_id="e-1", kpi_id="aht"))
        await world.plans.CancelPlan(CancelPlanRequest(plan_id=plan_id, reason="moved away"), metadata=metadata)
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

    on_the_days = await events_between(stream, ratings, mine[0], mine[1])
    assert [entry.position for entry in on_the_days] == mine[1:2]
    (history,) = await histories_of(stream, on_the_days, mine[0])
    assert [entry.position for entry in history] == mine[:2]

    everything = await events_between(stream, ratings, 0, mine[2] + 9)
    assert [entry.position for entry in everything] == early + mine
    assert [one[0].position for one in await histories_of(stream, everything, 0)] == [early[0], mine[0]]
    assert await events_between(stream, ratings, mine[2], mine[2] + 9) == []


async def test_days_with_too_much_are_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before all of it is read."""
    hr = await world.employee(await world.team(), job_family="hr")
    said = [(MonthRated(employee_id="e-1"), "system:import")] * 3
    await plant(world, "e-1", *said)
    monkeypatch.setattr(separation_api, "MOST_EVENTS", 2)
    call = world.separation.CheckSeparation(days(), metadata=by(hr))
    await refused(call, StatusCode.INVALID_ARGUMENT, "TOO_MANY_EVENTS")


async def test_days_without_events_have_an_empty_report(world: World) -> None:
    """Before there was anything, and after it."""
    hr = await world.employee(await world.team(), job_family="hr")
    await world.plans.ProposePlan(ProposePlanRequest(plan_id="p-1", employee_id="e-1", kpi_id="aht"))
    for request in (days(9, -5), days(-5, 9)):
        report = await world.separation.CheckSeparation(request, metadata=by(hr))
        assert (report.cases_found, [one.events for one in report.readings]) == (0, [0, 0])


async def test_only_hr_asks(world: World) -> None:
    """And for days in their order, of a year at most."""
    team = await world.team()
    hr, agent = await world.employee(team, job_family="hr"), await world.employee(team)
    for metadata in (by(agent), by("nobody"), ()):
        await refused(
            world.separation.CheckSeparation(days(), metadata=metadata), StatusCode.PERMISSION_DENIED, "NEED_TO_KNOW"
        )
    for request in (days(1, -2), days(300, 66)):
        call = world.separation.CheckSeparation(request, metadata=by(hr))
        await refused(call, StatusCode.INVALID_ARGUMENT, "DATE_INVALID")
    await world.separation.CheckSeparation(days(300, 65), metadata=by(hr))
