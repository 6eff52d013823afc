"""The relay publishes each public event once, in the order of the log, whatever happens to it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import select

from libs.cli.nats_server import NatsServer
from libs.common.background import in_background
from libs.common.errors import NotAllowed, NotFound
from libs.common.eventsourcing import Context
from libs.common.operations import Operations
from libs.common.positions import SKIPPED
from libs.common.projecting import State
from services.gateway.relay import SKIPPED_TYPE, Relay
from stepladder.coaching.v1.events_pb2 import PlanDiagnosed, PlanObserved, PlanProposed, SessionHeld
from stepladder.common.v1 import operations_pb2 as pb
from stepladder.common.v1.envelope_pb2 import CommandNoted
from stepladder.performance.v1.events_pb2 import RatingProposed
from tests.gateway.publishing import NOON, Forgetful, Log, kill, open_log, start_relay
from tests.servers import running_nats

CONTEXT = Context(now=NOON, today=NOON.date(), actor="user:ops")


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    """A log of the test's own."""
    with running_nats(tmp_path / "nats", 1) as servers:
        yield servers[0]


@pytest.fixture
async def log(nats: NatsServer, tmp_path: Path) -> AsyncIterator[Log]:
    async with open_log(nats.url, tmp_path) as log:
        yield log


async def stopped(relay: Relay) -> None:
    """Returns when a relay has stopped."""
    async with asyncio.timeout(30):
        while relay.state is not State.STOPPED:
            await asyncio.sleep(0.01)


async def test_public_events_are_published_in_the_order_of_the_log(log: Log) -> None:
    """What was there before the relay and what comes while it runs; what is private is not."""
    await log.team("riga", "lea")
    await log.hire("anna", "riga")
    async with in_background(log.relay().run()):
        rating = RatingProposed(employee_id="anna", month="2026-02", reason="better than that", proposed_by="user:lea")
        await log.write("log.performance.rating.anna_2026-02", rating)
        await log.relayed(await log.fact("anna"))
    events = await log.cloud_events()
    assert [event["type"].split(".")[2] for event in events] == [
        "team-created",
        "team-lead-appointed",
        "employee-hired",
        "fact-recorded",
    ]
    assert [event["logposition"] for event in events] == ["1", "2", "3", "5"]
    assert [stored.event_id for stored in await log.published()] == [event["id"] for event in events]


async def test_no_name_and_no_word_is_published(log: Log) -> None:
    """What is sealed in the log is nowhere in EVENTS, be it the name or what was said."""
    held = SessionHeld(
        session_id="s-1",
        employee_id="anna",
        held_date="2026-03-02",
        observed="interrupts callers",
        feedback="let them finish",
        texts=["count to three"],
    )
    held.actions.add(number=1, owner_id="anna", due_date="2026-03-09")
    await log.hire("anna", "riga", name="Anna Liepa")
    end = await log.write("log.coaching.session.s-1", held)
    async with in_background(log.relay().run()):
        await log.relayed(end)
    stored = await log.published()
    assert len(stored) == 2
    everything = b"\n".join(one.subject.encode() + one.payload for one in stored)
    assert b"anna" in everything
    for word in (b"Liepa", b"interrupts", b"finish", b"three"):
        assert word not in everything


async def test_subjects_carry_team_and_employee(log: Log) -> None:
    """The team of the day, as it was known by then; of an event that names nobody, as its aggregate began."""
    plan = "log.coaching.plan.p-1"
    await log.hire("anna", "riga")
    await log.write(plan, PlanProposed(plan_id="p-1", employee_id="anna", lead_id="lea"))
    await log.fact("anna")
    await log.transfer("anna", "oslo", "2026-03-02")
    await log.write(plan, PlanDiagnosed(plan_id="p-1", employee_id="anna", cause_note="tired"))
    await log.transfer("anna", "bonn", "2026-04-01")
    end = await log.write(plan, PlanObserved(plan_id="p-1", observe_until="2026-03-31"))
    async with in_background(log.relay().run()):
        await log.relayed(end)
    assert [stored.subject for stored in await log.published()] == [
        "events.performance.employee-hired.v1.riga.anna",
        "events.coaching.plan-proposed.v1.riga.anna",
        "events.performance.fact-recorded.v1.riga.anna",
        "events.performance.employee-transferred.v1.oslo.anna",
        "events.coaching.plan-diagnosed.v1.oslo.anna",
        "events.performance.employee-transferred.v1.bonn.anna",
        "events.coaching.plan-observed.v1.oslo.anna",
    ]


async def test_the_team_is_that_of_the_day(log: Log) -> None:
    """Who moves next month is in the old team until then, whenever that is published."""
    await log.hire("anna", "riga")
    await log.transfer("anna", "oslo", "2026-04-01")
    await log.fact("anna")
    later = datetime(2026, 4, 2, 12, tzinfo=UTC)
    end = await log.write("log.coaching.plan.p-1", PlanProposed(plan_id="p-1", employee_id="anna"), time=later)
    async with in_background(log.relay().run()):
        await log.relayed(end)
    assert [event["teamid"] for event in await log.cloud_events()] == ["riga", "oslo", "riga", "oslo"]


async def test_a_command_that_changed_nothing_holds_up_nothing(log: Log) -> None:
    """Somebody said again what an employee is already: before the relay knew of them, and behind that."""
    await log.team("t-1")
    await log.hire("e-1", "t-1")
    await log.write("log.performance.employee.e-1", CommandNoted())
    async with in_background(log.relay().run()):
        await log.relayed(await log.fact("e-1"))
        await log.write("log.performance.employee.e-1", CommandNoted())
        await log.relayed(await log.fact("e-1", "2026-03-02"))


async def test_two_relays_with_lost_answers_double_nothing(log: Log) -> None:
    """However many relays run, and whatever answers and appends are lost, each event is there once, in order."""
    await log.hire("anna", "riga")
    relays = [log.relay(Forgetful(log.events, seed)) for seed in (1, 2)]
    async with in_background(*(relay.run() for relay in relays)):
        for number in range(60):
            end = await log.fact("anna", source=f"s{number}")
        await log.relayed(end)
    positions = [int(event["logposition"]) for event in await log.cloud_events()]
    assert positions == list(range(1, end + 1))


async def test_a_relay_that_is_killed_doubles_and_loses_nothing(log: Log) -> None:
    """Killed again and again while facts are written, beside a second one; EVENTS holds each fact once, in order."""
    chance, end = Random(7), await log.hire("anna", "riga")

    async def write(first: int) -> None:
        for number in range(first, first + 100):
            await log.fact("anna", source=f"s{number}")

    for first in range(0, 400, 100):
        relays = await asyncio.gather(start_relay(log), start_relay(log))
        await log.relayed(end)
        writing = asyncio.create_task(write(first))
        await log.relayed(end + chance.randint(1, 90))  # in the middle of the work
        await asyncio.gather(*map(kill, relays))
        await writing
        end = log.positions["log.performance.facts.anna_2026-03"]
    async with in_background(log.relay().run()):
        await log.relayed(end)
    positions = [int(event["logposition"]) for event in await log.cloud_events()]
    assert positions == list(range(1, end + 1))


async def test_an_event_that_cannot_be_read_holds_up_what_is_behind_it(log: Log) -> None:
    """Nothing is left out and nothing overtakes; operators see what it is, and skipping it publishes a mark."""
    relay = log.relay()
    operations = Operations("gateway", [relay])
    await log.hire("anna", "riga")
    unknown = await log.write_unknown("log.coaching.plan.p-1")
    end = await log.fact("anna")
    async with in_background(relay.run()):
        await stopped(relay)
        assert len(await log.cloud_events()) == 1
        assert (await relay.standing()).lag == 2
        (parked,) = (await operations.ListParked(pb.ListParkedRequest(service="gateway"), CONTEXT)).parked
        assert (parked.subject, parked.position) == ("log.coaching.plan.p-1", unknown)
        assert "does not know the event stepladder.coaching.v1.PlanSung" in parked.error
        with pytest.raises(NotFound):
            await relay.skip("log.coaching.plan.p-2", unknown, "of a version that never was", "user:ops")
        with pytest.raises(NotAllowed):
            await relay.skip(parked.subject, unknown + 1, "of a version that never was", "user:ops")
        with pytest.raises(NotAllowed):
            await relay.retry(parked.subject)
        await relay.skip(parked.subject, unknown, "of a version that never was", "user:ops")
        await log.relayed(end)
        while relay.state is not State.RUNNING:
            await asyncio.sleep(0.01)
    events = await log.cloud_events()
    assert [event["logposition"] for event in events] == ["1", "2", "3"]
    assert (events[1]["type"], events[1]["subject"]) == (SKIPPED_TYPE, "plan/p-1")
    async with log.engine.connect() as connection:
        (row,) = (await connection.execute(select(SKIPPED))).all()
    assert (row.position, row.reason, row.actor) == (unknown, "of a version that never was", "user:ops")


async def test_what_was_skipped_stays_so(log: Log) -> None:
    """Also where the relay ends before it has published the mark, and where EVENTS is made anew."""
    unknown = await log.write_unknown("log.coaching.plan.p-1")
    end = await log.hire("anna", "riga")
    relay = log.relay()
    async with in_background(relay.run()):
        await stopped(relay)
    await relay.skip("log.coaching.plan.p-1", unknown, "of a version that never was", "user:ops")
    async with in_background(log.relay().run()):
        await log.relayed(end)
    assert [event["type"].split(".")[2] for event in await log.cloud_events()] == ["event-skipped", "employee-hired"]


async def test_what_follows_a_skipped_beginning_is_about_nobody(log: Log) -> None:
    """Of an aggregate whose first event was skipped, nobody can tell whom it is about: only systems are shown it."""
    unknown = await log.write_unknown("log.coaching.plan.p-1")
    end = await log.write("log.coaching.plan.p-1", PlanObserved(plan_id="p-1", observe_until="2026-03-31"))
    relay = log.relay()
    async with in_background(relay.run()):
        await stopped(relay)
        await relay.skip("log.coaching.plan.p-1", unknown, "of a version that never was", "user:ops")
        await log.relayed(end)
    assert [stored.subject for stored in await log.published()] == [
        "events.gateway.event-skipped.v1._._",
        "events.coaching.plan-observed.v1._._",
    ]


async def test_another_log_is_refused(log: Log, tmp_path: Path) -> None:
    """EVENTS beside a log that was made anew: going on would publish what does not follow."""
    await log.hire("anna", "riga")
    async with in_background(log.relay().run()):
        await log.relayed(1)
    with running_nats(tmp_path / "other", 1) as (other,):
        async with AsyncExitStack() as stack:
            (tmp_path / "db").mkdir()
            new = await stack.enter_async_context(open_log(other.url, tmp_path / "db"))
            await new.hire("bert", "riga")
            relay = new.relay(log.events)
            async with in_background(relay.run()):
                await stopped(relay)
            assert "was restored or made anew" in (await relay.standing()).error
    assert len(await log.published()) == 1


async def test_how_far_it_is_shows(log: Log) -> None:
    """A relay that has yet to begin is behind; one that has done everything is not, private events among it."""
    relay = log.relay()
    await log.hire("anna", "riga")
    await log.write("log.performance.rating.anna_2026-02", RatingProposed(employee_id="anna", month="2026-02"))
    assert (await relay.standing()).lag == 2
    async with in_background(relay.run()):
        await log.relayed(1)
        async with asyncio.timeout(30):
            while (standing := await relay.standing()).lag:
                await asyncio.sleep(0.01)
    assert (standing.state, standing.position, standing.end) == (State.RUNNING, 2, 2)
