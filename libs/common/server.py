"""Runs the gRPC server of a service: health and reflection beside its own services, and a graceful stop."""

import asyncio
import gc
import os
import signal
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import uvloop
from google.protobuf.descriptor import ServiceDescriptor
from grpc import aio
from grpc_health.v1 import health, health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckResponse
from grpc_reflection.v1alpha import reflection

from libs.common.auth import Tokens
from libs.common.eventsourcing import Context
from libs.common.rpc import MAX_MESSAGE_BYTES, Clock, Shell, Standing, add_service
from libs.common.settings import Settings
from libs.common.tls import server_credentials

_OPTIONS = [
    ("grpc.max_receive_message_length", 2 * MAX_MESSAGE_BYTES),  # with a reason, which gRPC itself would not give
    ("grpc.keepalive_time_ms", 30_000),  # finds callers that are gone without a word
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),  # lets callers find out the same of us
    ("grpc.so_reuseport", 0),  # a second process on the same port fails instead of getting every other call
]


LIVE = "live"
"""The health service's name for whether the process answers at all. The empty name is for whether it takes calls."""

COLLECT_AFTER = (100_000, 20, 100)
"""When garbage is looked for. A request of a thousand facts makes tens of thousands of objects that live until its
answer: with the usual thresholds (700, 10, 10), going through them again and again took a quarter of its time."""


def run(main: Coroutine[Any, Any, None]) -> None:
    """Runs a process's main coroutine on uvloop: its commands take two thirds of the time that asyncio's own takes."""
    collect_seldom()
    # Until it waits for signals: the first process of a container does not hear one for which it has no handler.
    signal.signal(signal.SIGTERM, lambda number, _frame: os._exit(128 + number))
    uvloop.run(main)


def collect_seldom() -> None:
    """Sets the garbage collector as every process of ours wants it, once everything is imported."""
    gc.set_threshold(*COLLECT_AFTER)
    gc.freeze()


async def nothing_to_anybody(_: Context) -> frozenset[str]:
    """What callers are to the centre where there is no directory to tell."""
    return frozenset()


@dataclass(frozen=True)
class Serving:
    """A server at work at `address` (host:port, with the port chosen where the settings say 0)."""

    address: str
    _names: tuple[str, ...]
    _health: health.aio.HealthServicer

    async def set_serving(self, serving: bool) -> None:
        """Says by way of the health service whether this process wants calls."""
        status = HealthCheckResponse.SERVING if serving else HealthCheckResponse.NOT_SERVING
        for name in self._names:
            await self._health.set(name, status)


@asynccontextmanager
async def probed(settings: Settings) -> AsyncIterator[health.aio.HealthServicer]:
    """What a process says of its health, at `health_address` too, while the context lasts.

    It is live from the first moment, whatever it waits for, and takes calls once it is given to `serve`.
    Raises RuntimeError for an address that is taken.
    """
    checks = health.aio.HealthServicer()
    await checks.set(LIVE, HealthCheckResponse.SERVING)
    await checks.set(health.OVERALL_HEALTH, HealthCheckResponse.NOT_SERVING)
    if not settings.health_address:
        yield checks
        return
    server = aio.server(options=_OPTIONS)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    server.add_insecure_port(settings.health_address)
    await server.start()
    try:
        yield checks
    finally:
        await server.stop(0)


@asynccontextmanager
async def serve(
    settings: Settings,
    service: str,
    implementations: Mapping[ServiceDescriptor, object],
    *,
    clock: Clock,
    standing: Standing = nothing_to_anybody,
    behind: Iterable[ServiceDescriptor] = (),
    checks: health.aio.HealthServicer | None = None,
) -> AsyncIterator[Serving]:
    """Serves `implementations` (see `rpc.add_service`) at the service's address while the context lasts.

    Its health is said by `checks`, which others may answer with as well.
    Reflection shows those and the services `behind`, which callers reach at the same address by way of a proxy.
    At its end health says NOT_SERVING, new calls are refused, and running ones get `shutdown_grace_seconds`.
    Raises TypeError for a method that is missing, RuntimeError for an address that is taken.
    """
    server = aio.server(options=_OPTIONS)
    shell = Shell(clock, settings.site_time_zone, Tokens(settings), standing)
    for descriptor, implementation in implementations.items():
        add_service(server, descriptor, implementation, shell)
    names = [descriptor.full_name for descriptor in implementations]
    checks = checks or health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    shown = [*names, *(descriptor.full_name for descriptor in behind), health.SERVICE_NAME, reflection.SERVICE_NAME]
    reflection.enable_server_reflection(shown, server)
    host, _, _ = settings.address_of(service).rpartition(":")
    credentials = server_credentials(settings)
    if credentials is None:
        port = server.add_insecure_port(settings.address_of(service))
    else:
        port = server.add_secure_port(settings.address_of(service), credentials)
    await server.start()
    serving = Serving(f"{host}:{port}", (health.OVERALL_HEALTH, *names), checks)
    await serving.set_serving(True)
    try:
        yield serving
    finally:
        await checks.enter_graceful_shutdown()
        await server.stop(settings.shutdown_grace_seconds)


async def until_stopped() -> None:
    """Returns when the process is asked to stop (SIGTERM, SIGINT, or SIGHUP: its terminal was closed).

    Asked once more, it stops at once.
    """
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    signals = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # by nohup
        signals.append(signal.SIGHUP)
    for number in signals:
        loop.add_signal_handler(number, asked.set)
    try:
        await asked.wait()
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
