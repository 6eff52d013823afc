"""What limits a figure: the same work by nats-py or grpc.aio alone, without any code of ours in the way."""

import asyncio
import itertools
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from subprocess import Popen
from uuid import uuid4

from grpc import aio
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig

from libs.common.streams import LOG
from tests.bench.echo import METHOD
from tests.bench.figures import Stopwatch
from tests.servers import free_port

_UNIQUE = itertools.count()


async def publish_batches(client: Client, batches: int, size: int, at_once: int, payload: bytes) -> float:
    """Events a second that `at_once` writers put on disk in atomic batches of `size`, each of a subject of its own.

    Headers are those that the log's events carry.
    """
    waiting = iter(range(batches))

    async def write() -> None:
        for _ in waiting:
            await _publish_batch(client, size, payload)

    watch = Stopwatch()
    await asyncio.gather(*(write() for _ in range(at_once)))
    return batches * size / watch.seconds


async def _publish_batch(client: Client, size: int, payload: bytes) -> None:
    batch = uuid4().hex
    for number in range(1, size + 1):
        unique = f"{batch}.{number}"
        headers = {
            "Nats-Msg-Id": unique,
            "Stepladder-Type": "stepladder.performance.v1.FactRecorded",
            "Nats-Expected-Last-Subject-Sequence": "0",
            "Nats-Batch-Id": batch,
            "Nats-Batch-Sequence": str(number),
        }
        subject = f"log.bench.bare.{next(_UNIQUE)}"
        if number < size:
            await client.publish(subject, payload, headers=headers)
        else:
            headers["Nats-Batch-Commit"] = "1"
            _check(await client.request(subject, payload, timeout=30, headers=headers))


async def publish_one(client: Client, payload: bytes) -> float:
    """Seconds until a single event is on disk."""
    watch = Stopwatch()
    _check(await client.request(f"log.bench.bare.{next(_UNIQUE)}", payload, timeout=30))
    return watch.seconds


async def publish_rate(client: Client, events: int, at_once: int, payload: bytes) -> float:
    """Events a second that `at_once` writers put on disk one by one."""
    waiting = iter(range(events))

    async def write() -> None:
        for _ in waiting:
            await publish_one(client, payload)

    watch = Stopwatch()
    await asyncio.gather(*(write() for _ in range(at_once)))
    return events / watch.seconds


async def fetch_rate(client: Client, events: int) -> float:
    """Events a second that a pull consumer without acks fetches from the start of the log, a thousand at a time."""
    jetstream = client.jetstream()
    config = ConsumerConfig(ack_policy=AckPolicy.NONE, filter_subject="log.performance.>", mem_storage=True)
    watch = Stopwatch()
    subscription = await jetstream.pull_subscribe("log.performance.>", stream=LOG, config=config)
    fetched = 0
    while fetched < events:
        fetched += len(await subscription.fetch(1000, timeout=10))
    seconds = watch.seconds
    await subscription.unsubscribe()
    return fetched / seconds


def _check(answer: Msg) -> None:
    if "error" in json.loads(answer.data):
        raise RuntimeError(answer.data.decode())


@asynccontextmanager
async def echoing() -> AsyncIterator[aio.UnaryUnaryMultiCallable[bytes, bytes]]:
    """A grpc.aio server in a process of its own that answers with what it was sent; yields the call."""
    address = f"127.0.0.1:{free_port()}"
    process = Popen([sys.executable, "-m", "tests.bench.echo", address])  # noqa: ASYNC220 - a moment, before anything runs
    try:
        async with aio.insecure_channel(address, options=[("grpc.max_reconnect_backoff_ms", 50)]) as channel:
            call: aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHOD)
            await call(b"", wait_for_ready=True, timeout=60)
            yield call
    finally:
        process.terminate()
        process.wait()
