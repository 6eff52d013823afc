"""What is true of a service at a moment, for Prometheus: how far followers are, and how the log and the database are.

What cannot be known, because the log or the database does not answer, is left out; a gauge says which of them it is.
"""

import asyncio
from collections.abc import Awaitable, Collection, Mapping, Sequence
from pathlib import Path
from ssl import SSLContext
from typing import TypeVar

import structlog
from cryptography.x509 import load_pem_x509_certificate
from nats.aio.client import Client
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.common.database import TROUBLES as DATABASE_TROUBLES
from libs.common.dividing import DividedFollower
from libs.common.inspecting import WrongConfiguration, inspect_servers, inspect_streams
from libs.common.metrics import Gauges
from libs.common.positions import FOLLOWERS, PARKED
from libs.common.projecting import Follower, State
from libs.common.reacting import Clock
from libs.common.settings import Settings
from libs.common.streams import LOG_TROUBLES

logger = structlog.get_logger()

PATIENCE_SECONDS = 3.0
"""For each question; Prometheus waits ten seconds for the answers to all of them."""

T = TypeVar("T")


async def known(question: Awaitable[T]) -> T | None:
    """The answer to a question; None when the log or the database does not give it soon."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await question
    except (*LOG_TROUBLES, *DATABASE_TROUBLES, WrongConfiguration, TimeoutError) as trouble:
        logger.debug("not_measured", error=type(trouble).__name__)
        return None


async def measure_process(settings: Settings, gauges: Gauges) -> None:
    """Which process this is, and until when its certificate is good."""
    gauges.add("stepladder_info", "One for each process of Stepladder.", 1, replica=settings.instance)
    if settings.tls_certificate:
        pem = await asyncio.to_thread(Path(settings.tls_certificate).read_bytes)
        gauges.add(
            "stepladder_certificate_expiry_timestamp_seconds",
            "When the certificate ends that this process shows, in Unix time.",
            load_pem_x509_certificate(pem).not_valid_after_utc.timestamp(),
        )


async def measure_log(
    client: Client, settings: Settings, tls: SSLContext | None, streams: Collection[str], gauges: Gauges
) -> None:
    """Whether the log answers, whether it is set up as the code demands, and how full it is."""
    servers, found = await asyncio.gather(
        known(inspect_servers(settings.nats_monitor_url, tls)),
        known(inspect_streams(client, settings.replicas, streams)),
    )
    gauges.add("stepladder_log_reachable", "Whether the log's streams answer: 1 or 0.", found is not None)
    conditions, problems = found or ({}, [])
    for name, one in conditions.items():
        gauges.add("stepladder_stream_events", "Events in a stream.", one.events, stream=name)
        gauges.add("stepladder_stream_bytes", "Bytes of a stream, in each of its copies.", one.bytes, stream=name)
        gauges.add(
            "stepladder_stream_replicas_in_sync", "Servers that have all of it now.", one.replicas_in_sync, stream=name
        )
        gauges.add("stepladder_stream_replicas", "How many should have it.", settings.replicas, stream=name)
    if servers is None:
        return
    for server in servers[0]:
        text = "What a server of the log stores."
        gauges.add("stepladder_log_stored_bytes", text, server.stored_bytes, server=server.name)
        gauges.add("stepladder_log_room_bytes", "How much it may store.", server.room_bytes, server=server.name)
    if found is not None:
        if problems := servers[1] + problems:
            logger.error("log_configuration_wrong", problems=problems)
        text = "Whether servers and streams are set up as the code demands: 1 or 0."
        gauges.add("stepladder_log_configuration_right", text, not problems)


async def measure_followers(
    engine: AsyncEngine, followers: Sequence[Follower | DividedFollower], clocks: Sequence[Clock], gauges: Gauges
) -> None:
    """How far the followers are that this process runs, what is parked, and which deadlines are overdue.

    It asks the log only of those who are behind; of those whom another process owns, nothing.
    """
    rows = await known(_rows(engine))
    text = "Whether the database of read models answers: 1 or 0."
    gauges.add("stepladder_database_reachable", text, rows is not None)
    parts = [part for one in followers for part in (one.parts if isinstance(one, DividedFollower) else [one])]
    for part in parts:
        add_state(gauges, part.labels, part.state)
    if rows is None:
        return
    positions, owners, parked = rows
    for part in parts:
        text = "Events that could not be applied, and those that wait behind them."
        gauges.add("stepladder_follower_parked_events", text, parked.get(part.name, 0), **part.labels)
    here = [one for one in parts if one.state is State.STOPPED or owners.get(one.name) == one.instance]
    lags = await asyncio.gather(*(known(one.lag(positions.get(one.name, 0))) for one in here))
    for part, lag in zip(here, lags, strict=True):
        if lag is not None:
            add_lag(gauges, part.labels, *lag)
    own = [clock for clock in clocks if clock.follower.state is State.RUNNING]
    for clock, overdue in zip(own, await asyncio.gather(*(known(one.overdue()) for one in own)), strict=True):
        if overdue is not None:
            _add_overdue(gauges, clock, overdue)


def add_state(gauges: Gauges, labels: Mapping[str, str], state: State) -> None:
    """Says what a follower is doing here: one of all states is 1."""
    text = "What a follower does in this process: running (it is the owner), standby or stopped."
    for one in State:
        gauges.add("stepladder_follower_state", text, one is state, **labels, state=one.value)


def add_lag(gauges: Gauges, labels: Mapping[str, str], events: int, seconds: float) -> None:
    """Says how far a follower is behind."""
    gauges.add("stepladder_follower_lag_events", "Events of the log that it has not applied yet.", events, **labels)
    gauges.add("stepladder_follower_lag_seconds", "Age of the oldest of these.", seconds, **labels)


def _add_overdue(gauges: Gauges, clock: Clock, overdue: Mapping[str, tuple[int, float]]) -> None:
    for kind, (count, seconds) in overdue.items():
        labels = {"follower": clock.follower.name, "kind": kind}
        gauges.add("stepladder_deadlines_overdue", "Deadlines that have come and are not done.", count, **labels)
        text = "By how much the oldest of them is late."
        gauges.add("stepladder_deadlines_overdue_seconds", text, seconds, **labels)


async def _rows(engine: AsyncEngine) -> tuple[Mapping[str, int], Mapping[str, str], Mapping[str, int]]:
    """By follower, its position, the instance that owns it, and how many events it has parked."""
    async with engine.connect() as connection:
        columns = FOLLOWERS.c
        rows = (await connection.execute(select(columns.name, columns.position, columns.owner))).all()
        count = select(PARKED.c.follower, func.count().label("events")).group_by(PARKED.c.follower)
        parked = {row.follower: row.events for row in await connection.execute(count)}
    return {row.name: row.position for row in rows}, {row.name: row.owner for row in rows}, parked
