"""What every service is made of: log, keys, database, commands, followers; and how they start and stop together."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import partial
from ssl import SSLContext

import structlog
from google.protobuf.descriptor import FileDescriptor, ServiceDescriptor
from grpc_health.v1.health import aio as health
from nats.aio.client import Client
from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.common.background import in_background
from libs.common.commands import Commands
from libs.common.database import open_database
from libs.common.dividing import DividedFollower
from libs.common.envelope import Codec, event_types
from libs.common.eventsourcing import Recorded
from libs.common.inspecting import WrongConfiguration, check_configuration
from libs.common.jetstream import JetStreamStream, connect
from libs.common.keys import SqlDataKeys, WrongKey
from libs.common.log import EventLog
from libs.common.metrics import Measure, serving_metrics
from libs.common.migrating import NotMigrated, check_migrated
from libs.common.observing import measure_followers, measure_log, measure_process
from libs.common.operations import Operations
from libs.common.projecting import Awaited, Divisible, Follower, Handler
from libs.common.reacting import Clock
from libs.common.reading import Reading
from libs.common.replicas import Replicas
from libs.common.rpc import Standing
from libs.common.server import Serving, nothing_to_anybody, probed, serve, until_stopped
from libs.common.settings import Settings, load_settings
from libs.common.streams import LOG, PREFIXES, NoAnswer, NoResponders, Stream, stream_of
from libs.common.telemetry import instrument_engine, start_logging, tracing
from libs.common.tls import client_context
from stepladder.common.v1 import operations_pb2

logger = structlog.get_logger()

AT_LEAST_SECONDS = 5.0
"""How long a read waits for the position it asks for."""


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


def clock_of(settings: Settings) -> Callable[[], datetime]:
    """The wall clock, or one that is ahead of it for trying what takes days."""
    ahead = timedelta(days=settings.days_ahead)
    return lambda: utc_now() + ahead


class Together:
    """Read models that are read together."""

    def __init__(self, stream: Stream, followers: Sequence[Awaited]) -> None:
        self._stream = stream
        self._followers = followers
        self.included = 0
        """Position up to which everything is in the read models for certain."""

    async def wait_for(self, position: int) -> None:
        """Waits until everything up to a position is in all of them. Raises as `Follower.wait_for`."""
        if position > self.included:
            await asyncio.gather(*(follower.wait_for(position, AT_LEAST_SECONDS) for follower in self._followers))

    async def catch_up(self) -> int:
        """Waits until everything in the log is in all of them; answers up to which position."""
        end = (await self._stream.state()).last
        await self.wait_for(end)
        self.included = max(self.included, end)
        return end


@dataclass
class Service:
    """One service's parts. Followers and clocks that are added run while the service does."""

    name: str
    settings: Settings
    commands: Commands
    engine: AsyncEngine
    readings: Mapping[str, Reading[Recorded]]
    codec: Codec
    client: Client
    """The connection to nats-server."""
    now: Callable[[], datetime] = utc_now
    tls: SSLContext | None = None
    watched: Collection[str] = tuple(PREFIXES)
    """Streams whose condition is measured."""
    standing: Standing = nothing_to_anybody
    checks: health.HealthServicer | None = None
    """What it says of its health."""
    followers: list[Follower | DividedFollower] = field(default_factory=list)
    clocks: list[Clock] = field(default_factory=list)
    measures: list[Measure] = field(default_factory=list)
    """What is to be seen of it at /metrics, beside what is of every service."""

    @property
    def streams(self) -> Mapping[str, Stream]:
        """The log's streams that it may read, by name."""
        return {name: reading.stream for name, reading in self.readings.items()}

    @property
    def stream(self) -> Stream:
        """LOG, where everything lies that is not restricted."""
        return self.readings[LOG].stream

    def today(self) -> date:
        """The calendar day at the site."""
        return self.day(self.now())

    def day(self, moment: datetime) -> date:
        """The calendar day at the site at a moment."""
        return moment.astimezone(self.settings.site_time_zone).date()

    def site_clock(self) -> datetime:
        """What the clock on the wall says at the site, written as if it were UTC: for days that begin there."""
        return self.now().astimezone(self.settings.site_time_zone).replace(tzinfo=UTC)

    def follow(self, handler: Handler) -> Follower:
        """Adds a follower for a read model or policy, of the stream in which its subjects lie."""
        reading = self.readings[stream_of(*handler.subjects)]
        follower = Follower(handler, reading, self.engine, instance=self.settings.instance, now=self.now)
        self.followers.append(follower)
        return follower

    def divide(self, handler: Divisible) -> DividedFollower:
        """Adds a follower that the replicas of the service may share by partitions of its events."""
        divided = DividedFollower(
            handler,
            self.readings[stream_of(*handler.subjects)],
            self.engine,
            instance=self.settings.instance,
            now=self.now,
            partitions=self.settings.partitions,
        )
        self.followers.append(divided)
        return divided

    def together(self, *followers: Follower | DividedFollower) -> Together:
        """Followers of one stream whose read models are read together."""
        return Together(followers[0].stream, followers)

    def tick(
        self,
        follower: Follower,
        table: Table,
        commands: Mapping[str, Callable[[str], Awaitable[None]]],
        together: Mapping[str, Callable[[Sequence[str]], Awaitable[None]]] | None = None,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        """Adds a clock for the deadlines of some kinds that a read model keeps, by the service's `now`; see `Clock`."""
        self.clocks.append(Clock(follower, table, self.engine, now or self.now, commands, together))

    @asynccontextmanager
    async def serving(
        self,
        implementations: Mapping[ServiceDescriptor, object],
        *,
        operations: object | None = None,
        behind: Iterable[ServiceDescriptor] = (),
    ) -> AsyncIterator[Serving]:
        """Serves and follows while the context lasts; then answers running calls, and lets go of the followers.

        `operations` implements OperationsService, unless it is to be that of the followers that were added; `behind`:
        see `server.serve`.
        """
        for_operators = operations_pb2.DESCRIPTOR.services_by_name["OperationsService"]
        replica = Replicas(self.engine, self.followers, instance=self.settings.instance, now=self.now)
        running = [replica.run(), *(clock.run() for clock in self.clocks)]
        async with (
            in_background(*running),
            serving_metrics(self.name, self.settings, *self._measures()) as metrics,
            serve(
                self.settings,
                self.name,
                {for_operators: operations or Operations(self.name, self.followers), **implementations},
                clock=self.now,
                standing=self.standing,
                behind=behind,
                checks=self.checks,
            ) as serving,
        ):
            logger.info("service_ready", address=serving.address, metrics=metrics)
            yield serving

    def _measures(self) -> Sequence[Measure]:
        return (
            partial(measure_process, self.settings),
            partial(measure_log, self.client, self.settings, self.tls, self.watched),
            partial(measure_followers, self.engine, self.followers, self.clocks),
            *self.measures,
        )


async def run_service(
    name: str, events: Sequence[FileDescriptor], build: Callable[[Service], Mapping[ServiceDescriptor, object]]
) -> None:
    """Runs a service as a process, until it is asked to stop. `build` makes its own parts out of the common ones."""
    settings = load_settings()
    start_logging(name, settings)
    with tracing(name, settings):
        opened = open_service(name, settings, events, now=clock_of(settings))
        async with opened as service, service.serving(build(service)) as serving:
            await until_stopped()
            await serving.drain(settings.drain_seconds)


@asynccontextmanager
async def open_service(
    name: str,
    settings: Settings,
    events: Sequence[FileDescriptor],
    *,
    streams: Collection[str] = tuple(PREFIXES),
    now: Callable[[], datetime] = utc_now,
) -> AsyncIterator[Service]:
    """Opens what a service works with; `events` are the contracts of the events that it writes or follows.

    `streams` are those that it may read; a service's user in nats-server has its name.
    Ends the process with status 3 and a sentence when the log, the database or the key is not as it must be.
    """
    async with AsyncExitStack() as stack:
        checks = await stack.enter_async_context(probed(settings))
        tls = client_context(settings)
        client = await connect(settings.nats_url, name, tls)
        stack.push_async_callback(_close, client)
        engine = open_database(settings.database_for(name), disposable=True)
        stack.push_async_callback(engine.dispose)
        instrument_engine(engine)
        keys_engine = open_database(settings.keys_url, pool_size=2)
        stack.push_async_callback(keys_engine.dispose)
        instrument_engine(keys_engine)
        keys = SqlDataKeys(keys_engine, settings.key_encryption_key())
        try:
            await _once_there(
                "log_away",
                lambda: check_configuration(client, settings.replicas, settings.nats_monitor_url, tls, streams),
            )
            await _once_there("database_away", lambda: check_migrated(engine, name))
            await _once_there("database_away", lambda: check_migrated(keys_engine, "keys"))
            await keys.check()
        except (WrongConfiguration, NotMigrated, WrongKey) as wrong:
            sys.stderr.write(f"{name} does not start: {wrong}\n")
            raise SystemExit(3) from None
        codec = Codec(event_types(events), keys)
        readings = {name: Reading(JetStreamStream(client, name), codec) for name in PREFIXES if name in streams}
        logs = [EventLog(reading.stream) for reading in readings.values()]
        for log in logs:
            stack.push_async_callback(log.close)
        commands = Commands(logs, codec)
        yield Service(name, settings, commands, engine, readings, codec, client, now, tls, streams, checks=checks)


async def _once_there(away: str, check: Callable[[], Awaitable[None]]) -> None:
    """Checks a store as soon as it is there: one that is away comes back, and starting again would not help it."""
    while True:
        try:
            return await check()
        except (OSError, NoAnswer, NoResponders) as trouble:
            logger.warning(away, error=type(trouble).__name__)
            await asyncio.sleep(0.5)


async def _close(client: Client) -> None:
    with suppress(OSError):  # the log went away before us
        await client.close()
