"""OperationsService for one service: its followers, what they parked, and rebuilds."""

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from typing import Protocol

from libs.common.access import OPERATOR
from libs.common.days import timestamp
from libs.common.dividing import DividedFollower
from libs.common.errors import NotAllowed, NotFound
from libs.common.eventsourcing import Context
from libs.common.parking import ParkedAggregate
from libs.common.projecting import Follower, Standing, State
from libs.common.rebuilding import rebuild
from libs.common.streams import Stream
from stepladder.common.v1 import operations_pb2 as pb

STATES = {
    State.RUNNING: pb.Follower.STATE_RUNNING,
    State.STANDBY: pb.Follower.STATE_STANDBY,
    State.STOPPED: pb.Follower.STATE_STOPPED,
}


def troubles(followers: Iterable[pb.Follower]) -> list[str]:
    """What an operator has to look at, a sentence each: whatever has stopped, and what events were parked by."""
    found = []
    for one in followers:
        name = f"{one.service}/{one.name}"
        if one.state == pb.Follower.STATE_STOPPED:
            found.append(f"{name} has stopped: {one.error or 'an operator is told why'}")
        if one.parked_events:
            found.append(f"{name} has parked {one.parked_events} {'event' if one.parked_events == 1 else 'events'}")
    return found


class Following(Protocol):
    """Whatever follows a stream, as operators see it. See `Follower` for what each does."""

    @property
    def name(self) -> str: ...

    @property
    def stream(self) -> Stream: ...

    async def standing(self) -> Standing: ...

    async def parked(self) -> list[ParkedAggregate]: ...

    async def retry(self, subject: str) -> int: ...

    async def skip(self, subject: str, position: int, reason: str, actor: str) -> int: ...


class Operations:
    """Implements stepladder.common.v1.OperationsService."""

    def __init__(self, service: str, followers: Sequence[Following]) -> None:
        self._service = service
        self._followers = {follower.name: follower for follower in followers}

    async def ListFollowers(self, request: pb.ListFollowersRequest, context: Context) -> pb.ListFollowersResponse:
        self._check(request.service)
        for_operator = OPERATOR in context.admission.roles
        answers = []
        for follower in self._followers.values():
            standing = await follower.standing()
            answers.append(
                pb.Follower(
                    service=self._service,
                    name=standing.name,
                    position=standing.position,
                    end=standing.end,
                    lag=standing.lag,
                    lag_seconds=standing.lag_seconds,
                    parked_events=standing.parked,
                    state=STATES[standing.state],
                    moved_time=timestamp(standing.moved) if standing.moved else None,
                    error=standing.error if for_operator else "",
                    deadlines=standing.deadlines,
                    next_deadline_time=timestamp(standing.next_deadline) if standing.next_deadline else None,
                    stream=follower.stream.name,
                )
            )
        return pb.ListFollowersResponse(followers=answers)

    async def ListParked(self, request: pb.ListParkedRequest, _: Context) -> pb.ListParkedResponse:
        self._check(request.service)
        return pb.ListParkedResponse(
            parked=[
                pb.ParkedAggregate(
                    service=self._service,
                    follower=parked.follower,
                    subject=parked.subject,
                    position=parked.position,
                    type=parked.type,
                    error=parked.error,
                    attempts=parked.attempts,
                    events=parked.events,
                    parked_time=timestamp(parked.parked),
                )
                for follower in self._followers.values()
                for parked in await follower.parked()
            ]
        )

    async def RetryParked(self, request: pb.RetryParkedRequest, _: Context) -> pb.RetryParkedResponse:
        follower = self._follower(request.service, request.follower)
        return pb.RetryParkedResponse(applied=await follower.retry(request.subject))

    async def SkipParked(self, request: pb.SkipParkedRequest, context: Context) -> pb.SkipParkedResponse:
        follower = self._follower(request.service, request.follower)
        applied = await follower.skip(request.subject, request.position, request.reason, context.actor)
        return pb.SkipParkedResponse(applied=applied)

    async def RebuildFollower(
        self, request: pb.RebuildFollowerRequest, _: Context
    ) -> AsyncGenerator[pb.RebuildFollowerResponse, None]:
        follower = self._follower(request.service, request.follower)
        if not isinstance(follower, Follower | DividedFollower):
            raise NotAllowed("NOT_REBUILDABLE", f"{follower.name} keeps no rows that could be built anew")
        async with aclosing(rebuild(follower)) as steps:
            async for step in steps:
                yield pb.RebuildFollowerResponse(
                    position=step.position, end=step.end, done=step.done, changed_rows=step.changed_rows
                )

    def _follower(self, service: str, name: str) -> Following:
        self._check(service)
        if name not in self._followers:
            known = ", ".join(sorted(self._followers))
            raise NotFound("FOLLOWER_NOT_FOUND", f"{self._service} has no follower {name!r}; it has {known}")
        return self._followers[name]

    def _check(self, service: str) -> None:
        if service not in ("-", self._service):
            raise NotFound("SERVICE_NOT_FOUND", f"this is {self._service}, not {service}")
