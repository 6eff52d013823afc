"""OperationsService of the whole system: a request goes to the service that it names, with `-` to all of them."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from typing import TypeVar

from grpc import StatusCode
from grpc.aio import AioRpcError, UnaryUnaryMultiCallable

from libs.common.access import OPERATOR
from libs.common.auth import AUTHORIZATION_KEY
from libs.common.errors import Unavailable
from libs.common.eventsourcing import Context
from libs.common.operations import Operations
from libs.common.rpc import TRACEPARENT_KEY, answered
from stepladder.common.v1 import operations_pb2 as pb
from stepladder.common.v1.operations_pb2_grpc import OperationsServiceStub

CALL_SECONDS = 25.0
"""A little less than Envoy waits, so that its callers get our sentence."""

_AWAY = (StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED, StatusCode.CANCELLED)

Q = TypeVar("Q")
R = TypeVar("R")


class Elsewhere:
    """OperationsService of another service, asked in the name of our caller."""

    def __init__(self, service: str, stub: OperationsServiceStub) -> None:
        self._service = service
        self._stub = stub

    async def ListFollowers(self, request: pb.ListFollowersRequest, context: Context) -> pb.ListFollowersResponse:
        return await self._ask(self._stub.ListFollowers, request, context)

    async def ListParked(self, request: pb.ListParkedRequest, context: Context) -> pb.ListParkedResponse:
        return await self._ask(self._stub.ListParked, request, context)

    async def RetryParked(self, request: pb.RetryParkedRequest, context: Context) -> pb.RetryParkedResponse:
        return await self._ask(self._stub.RetryParked, request, context)

    async def SkipParked(self, request: pb.SkipParkedRequest, context: Context) -> pb.SkipParkedResponse:
        return await self._ask(self._stub.SkipParked, request, context)

    async def RebuildFollower(
        self, request: pb.RebuildFollowerRequest, context: Context
    ) -> AsyncGenerator[pb.RebuildFollowerResponse, None]:
        call = self._stub.RebuildFollower(request, metadata=_metadata(context))
        try:
            with _unless_away(self._service):
                async for progress in call:
                    yield progress
        finally:
            call.cancel()  # our caller may have hung up

    async def _ask(self, method: UnaryUnaryMultiCallable[Q, R], request: Q, context: Context) -> R:
        with _unless_away(self._service):
            return await method(request, metadata=_metadata(context), timeout=CALL_SECONDS)


class OperationsApi:
    """Implements stepladder.common.v1.OperationsService with that of each service, by name."""

    def __init__(
        self,
        services: Mapping[str, Operations | Elsewhere],
        backlog: Callable[[], Awaitable[pb.WebhookBacklog]],
    ) -> None:
        """`backlog` tells that of the gateway's webhooks."""
        self._services = services
        self._backlog = backlog

    async def ListFollowers(self, request: pb.ListFollowersRequest, context: Context) -> pb.ListFollowersResponse:
        asked = [
            self._services[name].ListFollowers(pb.ListFollowersRequest(service=name), context)
            for name in self._named(request.service)
        ]
        for_operator = OPERATOR in context.admission.roles and request.service in ("-", "gateway")
        return pb.ListFollowersResponse(
            followers=[one for answer in await asyncio.gather(*asked) for one in answer.followers],
            webhooks=await self._backlog() if for_operator else None,
        )

    async def ListParked(self, request: pb.ListParkedRequest, context: Context) -> pb.ListParkedResponse:
        asked = [
            self._services[name].ListParked(pb.ListParkedRequest(service=name), context)
            for name in self._named(request.service)
        ]
        return pb.ListParkedResponse(parked=[one for answer in await asyncio.gather(*asked) for one in answer.parked])

    async def RetryParked(self, request: pb.RetryParkedRequest, context: Context) -> pb.RetryParkedResponse:
        return await self._services[request.service].RetryParked(request, context)

    async def SkipParked(self, request: pb.SkipParkedRequest, context: Context) -> pb.SkipParkedResponse:
        return await self._services[request.service].SkipParked(request, context)

    async def RebuildFollower(
        self, request: pb.RebuildFollowerRequest, context: Context
    ) -> AsyncGenerator[pb.RebuildFollowerResponse, None]:
        async with aclosing(self._services[request.service].RebuildFollower(request, context)) as steps:
            async for step in steps:
                yield step

    def _named(self, service: str) -> Sequence[str]:
        return list(self._services) if service == "-" else [service]


def _metadata(context: Context) -> tuple[tuple[str, str], ...]:
    trace = ((TRACEPARENT_KEY, context.traceparent),) if context.traceparent else ()
    own = ((AUTHORIZATION_KEY, context.authorization),) if context.authorization else ()
    return (*own, *trace)


@contextmanager
def _unless_away(service: str) -> Iterator[None]:
    """What a service answers goes on to our caller as it is; that it does not answer is our own refusal."""
    try:
        yield
    except AioRpcError as error:
        if error.code() in _AWAY and answered(error) is None:
            raise Unavailable("SERVICE_AWAY", f"the {service} service does not answer; try again soon") from error
        raise
