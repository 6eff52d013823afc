"""What an operator asks of a running service, over a real connection."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Any

import pytest
from grpc import StatusCode
from sqlalchemy import MetaData, select
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.common import rebuilding
from libs.common.envelope import Codec, event_types
from libs.common.eventsourcing import Context
from libs.common.keys import METADATA as KEYS
from libs.common.keys import SqlDataKeys
from libs.common.memory_stream import MemoryStream
from libs.common.operations import Operations
from libs.common.positions import METADATA, SKIPPED
from libs.common.projecting import Follower, State
from libs.common.reacting import Policy
from libs.common.reading import Reading
from libs.common.server import serve
from libs.common.settings import Settings
from stepladder.common.v1 import operations_pb2 as pb
from stepladder.common.v1.operations_pb2_grpc import OperationsServiceStub
from stepladder.performance.v1 import events_pb2
from stepladder_client import connect
from tests.common.test_projecting import EPOCH, Names, running, until
from tests.common.test_projecting import World as Log
from tests.refusals import refused
from tests.tokens import SYSTEM, TOKEN_KEYS, as_system

SETTINGS = Settings(performance_address="127.0.0.1:0", shutdown_grace_seconds=0, token_keys=TOKEN_KEYS)
OPERATIONS = pb.DESCRIPTOR.services_by_name["OperationsService"]
A, B = "log.performance.team.a", "log.performance.team.b"


class Idle(Policy):
    """Follows, does nothing, and keeps no rows."""

    name = "idle"
    subjects = ("log.performance.kpi.*",)

    async def react(self, event: object) -> None:
        raise AssertionError("there are no KPIs")


@dataclass
class World:
    """A service with two followers, and its operator's view."""

    log: Log
    names: Follower
    idle: Follower
    stub: OperationsServiceStub

    async def write(self, *pairs: tuple[str, str]) -> int:
        """Writes team names and waits until they are applied or parked."""
        last = await self.log.write(*pairs)
        await self.names.wait_for(last, 5)
        return last

    async def follower(self, name: str = "names") -> pb.Follower:
        answer = await self.stub.ListFollowers(pb.ListFollowersRequest(service="performance"))
        return next(follower for follower in answer.followers if follower.name == name)

    async def parked(self) -> list[pb.ParkedAggregate]:
        return list((await self.stub.ListParked(pb.ListParkedRequest(service="-"))).parked)


@pytest.fixture
async def world(engine: AsyncEngine) -> AsyncIterator[World]:
    Names(metadata := MetaData())
    async with engine.begin() as transaction:
        for tables in (metadata, METADATA, KEYS):
            await transaction.run_sync(tables.create_all)
    codec = Codec(event_types([events_pb2.DESCRIPTOR]), SqlDataKeys(engine, b"k" * 32))
    log = Log(engine, MemoryStream(EPOCH), codec)
    names = log.follower()
    idle = Follower(Idle(), Reading(log.stream, codec), engine, instance="one", now=log.now, pause=0.01)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(running(names))
        await stack.enter_async_context(running(idle))
        implementation = Operations("performance", [names, idle])
        serving = await stack.enter_async_context(
            serve(SETTINGS, "performance", {OPERATIONS: implementation}, clock=lambda: EPOCH)
        )
        channel = await stack.enter_async_context(connect(serving.address, retry=False, token=SYSTEM))
        await until(lambda: names.state is idle.state is State.RUNNING)
        yield World(log, names, idle, OperationsServiceStub(channel))


def retry(subject: str = A, *, service: str = "performance", follower: str = "names") -> pb.RetryParkedRequest:
    return pb.RetryParkedRequest(service=service, follower=follower, subject=subject)


def skip(position: int, subject: str = A) -> pb.SkipParkedRequest:
    return pb.SkipParkedRequest(
        service="performance", follower="names", subject=subject, position=position, reason="test data"
    )


async def test_followers_show_how_far_they_are(world: World) -> None:
    """Position, the log's end, lag, and when it last moved, in the order in which the service has them."""
    world.log.time += timedelta(minutes=5)
    last = await world.write(("a", "A"), ("b", "B"))
    answer = await world.stub.ListFollowers(pb.ListFollowersRequest(service="-"))
    assert [(one.service, one.name) for one in answer.followers] == [("performance", "names"), ("performance", "idle")]
    names = answer.followers[0]
    assert (names.position, names.end, names.lag, names.lag_seconds) == (last, last, 0, 0)
    assert (names.state, names.error, names.parked_events) == (pb.Follower.STATE_RUNNING, "", 0)
    assert names.moved_time.ToDatetime(UTC) == EPOCH + timedelta(minutes=5)
    assert (answer.followers[1].position, answer.followers[1].HasField("moved_time")) == (0, False)


async def test_a_standby_and_a_stopped_follower_say_so(world: World) -> None:
    """With the reason, where there is one."""
    other = world.log.follower("two")
    async with running(other):
        operations = Operations("performance", [other])
        context = Context(EPOCH, EPOCH.date(), "user:anonymous")
        answer = await operations.ListFollowers(pb.ListFollowersRequest(service="performance"), context)
        assert answer.followers[0].state == pb.Follower.STATE_STANDBY
    world.names.state, world.names.error = State.STOPPED, "rebuild it"
    shown = await world.follower()
    assert (shown.state, shown.error) == (pb.Follower.STATE_STOPPED, "rebuild it")


async def test_parked_aggregates_are_listed_with_the_first_error(world: World) -> None:
    """One line an aggregate: what could not be applied, and how many wait there."""
    await world.write(("a", "poison"), ("a", "A2"), ("b", "B"), ("a", "A3"))
    (parked,) = await world.parked()
    assert (parked.service, parked.follower, parked.subject) == ("performance", "names", A)
    assert (parked.position, parked.type) == (1, "stepladder.performance.v1.TeamCreated")
    assert "poison" in parked.error
    assert (parked.attempts, parked.events) == (1, 3)
    assert parked.parked_time.ToDatetime(UTC) == EPOCH
    assert (await world.follower()).parked_events == 3


async def test_a_retry_applies_what_was_parked(world: World) -> None:
    """Once the cause is mended; before that, it says what is still wrong, and counts."""
    await world.write(("a", "poison"), ("a", "A2"))
    sentence, _ = await refused(world.stub.RetryParked(retry()), StatusCode.FAILED_PRECONDITION, "STILL_POISONED")
    assert "the event at 1 fails" in sentence
    assert [(one.attempts, one.events) for one in await world.parked()] == [(2, 2)]
    assert isinstance(world.names.handler, Names)
    world.names.handler.poison = "something else"
    assert (await world.stub.RetryParked(retry())).applied == 2
    assert await world.parked() == []
    assert await world.log.rows() == [("a", "poison"), ("a", "A2")]


async def test_a_skip_keeps_who_gave_up_what_and_why(world: World) -> None:
    """The events behind the skipped one are applied."""
    await world.write(("a", "poison"), ("a", "A2"))
    answer = await world.stub.SkipParked(skip(1), metadata=as_system("operator"))
    assert answer.applied == 1
    assert await world.log.rows() == [("a", "A2")]
    async with world.log.engine.connect() as connection:
        row = (await connection.execute(select(SKIPPED))).one()
    assert (row.follower, row.position, row.subject, row.reason, row.actor) == (
        "names",
        1,
        A,
        "test data",
        "system:tests",
    )


async def test_only_what_was_seen_is_skipped(world: World) -> None:
    """The position must be that of the first parked event."""
    await world.write(("a", "poison"), ("a", "A2"))
    await refused(world.stub.SkipParked(skip(2)), StatusCode.FAILED_PRECONDITION, "NOT_THE_FIRST")
    assert [one.events for one in await world.parked()] == [2]


async def test_a_skip_that_meets_the_next_poison_says_so(world: World) -> None:
    """The first is given up, the next one is parked in its place."""
    await world.write(("a", "poison"), ("a", "poison"), ("a", "A3"))
    await refused(world.stub.SkipParked(skip(1)), StatusCode.FAILED_PRECONDITION, "STILL_POISONED")
    assert [(one.position, one.events) for one in await world.parked()] == [(2, 2)]


async def test_what_is_not_there_is_not_found(world: World) -> None:
    """Services, followers and parked aggregates by their own names."""
    await world.write(("a", "A"))
    stub, missing = world.stub, StatusCode.NOT_FOUND
    await refused(stub.RetryParked(retry()), missing, "NOTHING_PARKED")
    await refused(stub.SkipParked(skip(1)), missing, "NOTHING_PARKED")
    await refused(stub.RetryParked(retry(follower="nobody")), missing, "FOLLOWER_NOT_FOUND")
    await refused(stub.RetryParked(retry(service="coaching")), missing, "SERVICE_NOT_FOUND")
    await refused(stub.ListFollowers(pb.ListFollowersRequest(service="coaching")), missing, "SERVICE_NOT_FOUND")
    await refused(stub.ListParked(pb.ListParkedRequest(service="promotion")), missing, "SERVICE_NOT_FOUND")


async def rebuild(world: World, follower: str = "names") -> list[pb.RebuildFollowerResponse]:
    request = pb.RebuildFollowerRequest(service="performance", follower=follower)
    return [progress async for progress in world.stub.RebuildFollower(request)]


async def test_a_rebuild_shows_its_progress_and_what_differs(world: World) -> None:
    """The last answer is done, at the end, and counts the rows that came out differently."""
    last = await world.write(("a", "A"), ("b", "B"))
    names = Names(MetaData()).names
    async with world.log.engine.begin() as transaction:
        await transaction.execute(names.update().where(names.c.position == 1).values(name="tampered"))
    steps = await rebuild(world)
    assert [step.done for step in steps] == [*[False] * (len(steps) - 1), True]
    assert (steps[-1].position, steps[-1].end, steps[-1].changed_rows) == (last, last, 2)
    assert (await rebuild(world))[-1].changed_rows == 0
    assert await world.log.rows() == [("a", "A"), ("b", "B")]


async def test_what_cannot_be_rebuilt_says_so(world: World) -> None:
    """An unknown follower, and one that is being rebuilt already."""
    await refused(rebuild(world, "nobody"), StatusCode.NOT_FOUND, "FOLLOWER_NOT_FOUND")
    world.names.rebuilding = True
    await refused(rebuild(world), StatusCode.FAILED_PRECONDITION, "REBUILDING")


async def test_whoever_is_asked_does_it(world: World) -> None:
    """An operator need not know where a follower runs: it is taken over for so long."""
    await world.write(("a", "poison"), ("a", "A2"), ("b", "B"))
    other = world.log.follower("other")
    assert await other.skip("log.performance.team.a", 1, "typed by mistake", "user:op") == 1
    assert [step async for step in rebuilding.rebuild(other)][-1].changed_rows == 0
    await world.write(("a", "A3"))
    assert await world.log.rows() == [("a", "A2"), ("b", "B"), ("a", "A3")]


async def test_nobody_touches_what_has_stopped(world: World) -> None:
    """Its rows are of another log or version: only a rebuild does."""
    await world.write(("a", "poison"))
    world.names.state = State.STOPPED
    await refused(world.stub.RetryParked(retry()), StatusCode.FAILED_PRECONDITION, "NOT_OWNER")
    await refused(world.stub.SkipParked(skip(1)), StatusCode.FAILED_PRECONDITION, "NOT_OWNER")


@pytest.mark.parametrize("call", ["list", "retry", "rebuild"])
async def test_while_the_log_is_away_an_operator_hears_so(world: World, call: str) -> None:
    """Trouble of the moment is UNAVAILABLE, not a fault of ours."""
    await world.write(("a", "poison"))
    calls: dict[str, Callable[[], Any]] = {
        "list": lambda: world.stub.ListFollowers(pb.ListFollowersRequest(service="performance")),
        "retry": lambda: world.stub.RetryParked(retry()),
        "rebuild": lambda: rebuild(world),
    }
    world.log.stream.away = True
    await refused(calls[call](), StatusCode.UNAVAILABLE, "LOG_UNAVAILABLE")
    world.log.stream.away = False
    assert [one.events for one in await world.parked()] == [1]
    assert (await world.follower()).parked_events == 1


@pytest.mark.parametrize(
    "request_",
    [
        pb.SkipParkedRequest(service="performance", follower="names", subject=A, position=0, reason="test data"),
        pb.SkipParkedRequest(service="performance", follower="names", subject=A, position=1, reason="x"),
        pb.SkipParkedRequest(service="-", follower="names", subject=A, position=1, reason="test data"),
        pb.SkipParkedRequest(service="performance", follower="", subject=A, position=1, reason="test data"),
    ],
    ids=["position", "reason", "service", "follower"],
)
async def test_a_skip_without_its_parts_is_invalid(world: World, request_: pb.SkipParkedRequest) -> None:
    """A skip names one event and says why."""
    await world.write(("a", "poison"))
    await refused(world.stub.SkipParked(request_), StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")
    assert [one.events for one in await world.parked()] == [1]
