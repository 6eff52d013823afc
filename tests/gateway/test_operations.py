"""The gateway's OperationsService: those of all services in one."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo
from grpc import StatusCode, aio

from libs.common.errors import NotAllowed
from libs.common.rpc import TRACEPARENT_KEY, answered
from stepladder.common.v1.operations_pb2 import (
    Follower,
    ListFollowersRequest,
    ListFollowersResponse,
    ListParkedRequest,
    ListParkedResponse,
    ParkedAggregate,
    RebuildFollowerRequest,
    RebuildFollowerResponse,
    RetryParkedRequest,
    SkipParkedRequest,
    SkipParkedResponse,
)
from stepladder.common.v1.operations_pb2_grpc import OperationsServiceStub
from stepladder_client import connect
from tests.gateway.world import World
from tests.tokens import SYSTEM, as_system

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
async def operations(world: World) -> AsyncIterator[OperationsServiceStub]:
    async with connect(f"127.0.0.1:{world.envoy.settings.public_port}", retry=False, token=SYSTEM) as channel:
        yield OperationsServiceStub(channel)


async def test_dash_asks_all_services(world: World, operations: OperationsServiceStub) -> None:
    """`-` stands for all services: their answers follow each other."""
    for name, backend in world.services.items():
        backend.answers["ListFollowers"] = [ListFollowersResponse(followers=[Follower(service=name, name="f")])]
        backend.answers["ListParked"] = [ListParkedResponse(parked=[ParkedAggregate(service=name)])]
    followers = (await operations.ListFollowers(ListFollowersRequest(service="-"))).followers
    assert {follower.service for follower in followers} == {"gateway", "performance", "coaching", "promotion"}
    assert world.coaching.heard["ListFollowers"].requests == [ListFollowersRequest(service="coaching")]
    parked = (await operations.ListParked(ListParkedRequest(service="-"))).parked
    assert [aggregate.service for aggregate in parked] == ["performance", "coaching", "promotion"]


@pytest.mark.parametrize(
    ("role", "service", "told"),
    [("operator", "-", True), ("operator", "gateway", True), ("operator", "coaching", False), ("events", "-", False)],
)
async def test_operators_are_told_of_webhooks(world: World, role: str, service: str, told: bool) -> None:
    """With what is the gateway's; nobody else is."""
    async with connect(f"127.0.0.1:{world.envoy.settings.public_port}", retry=False) as channel:
        call = OperationsServiceStub(channel).ListFollowers(
            ListFollowersRequest(service=service), metadata=as_system(role)
        )
        assert (await call).HasField("webhooks") is told


async def test_name_asks_one_service(world: World, operations: OperationsServiceStub) -> None:
    """A name asks that service and no other."""
    await operations.ListFollowers(ListFollowersRequest(service="coaching"))
    assert (world.performance.heard, list(world.coaching.heard)) == ({}, ["ListFollowers"])


async def test_commands_are_passed_on_with_who_gave_them(world: World, operations: OperationsServiceStub) -> None:
    """The service hears who skips an event, and under which trace."""
    world.coaching.answers["SkipParked"] = [SkipParkedResponse(applied=3)]
    skip = SkipParkedRequest(service="coaching", follower="plans", subject="log.x", position=7, reason="test data")
    metadata = (*as_system("operator"), (TRACEPARENT_KEY, TRACEPARENT))
    assert (await operations.SkipParked(skip, metadata=metadata)).applied == 3
    heard = world.coaching.heard["SkipParked"]
    assert heard.requests == [skip]
    assert (heard.context.actor, heard.context.traceparent) == ("system:tests", TRACEPARENT)


async def test_refusal_passes_unchanged(world: World, operations: OperationsServiceStub) -> None:
    """What a service refuses is refused here in its own words, for a single answer and for a stream."""
    world.coaching.answers["RetryParked"] = NotAllowed("STILL_POISONED", "it fails again — 不行")
    world.coaching.answers["RebuildFollower"] = NotAllowed("NOT_REBUILDABLE", "it keeps no rows")
    retry = RetryParkedRequest(service="coaching", follower="plans", subject="log.x")
    rebuild = RebuildFollowerRequest(service="coaching", follower="plans")
    with pytest.raises(aio.AioRpcError) as first:
        await operations.RetryParked(retry)
    with pytest.raises(aio.AioRpcError) as second:
        await anext(aiter(operations.RebuildFollower(rebuild)))
    for caught, reason, text in (
        (first, "STILL_POISONED", "it fails again — 不行"),
        (second, "NOT_REBUILDABLE", "it keeps no rows"),
    ):
        assert (caught.value.code(), caught.value.details()) == (StatusCode.FAILED_PRECONDITION, text)
        status, info = answered(caught.value), ErrorInfo()
        assert status is not None
        assert status.details[0].Unpack(info)
        assert info.reason == reason


async def test_service_that_is_away_is_named(world: World, operations: OperationsServiceStub) -> None:
    """Whoever asks all services learns which of them did not answer."""
    await world.promotion.serving.aclose()
    with pytest.raises(aio.AioRpcError) as caught:
        await operations.ListFollowers(ListFollowersRequest(service="-"))
    assert caught.value.code() == StatusCode.UNAVAILABLE
    assert caught.value.details() == "the promotion service does not answer; try again soon"


async def test_caller_who_hangs_up_is_not_answered_further(world: World, operations: OperationsServiceStub) -> None:
    """A rebuild that nobody watches any more is cancelled at its service, as it is without a gateway."""
    left = asyncio.Event()

    async def endless() -> AsyncIterator[Message]:
        try:
            yield RebuildFollowerResponse(position=1)
            await asyncio.Event().wait()
        finally:
            left.set()

    world.coaching.answers["RebuildFollower"] = endless
    call = operations.RebuildFollower(RebuildFollowerRequest(service="coaching", follower="plans"))
    assert (await anext(aiter(call))).position == 1
    call.cancel()
    await asyncio.wait_for(left.wait(), 10)
