"""What a process counts, and where Prometheus reads it. Labels are bounded: they never hold an id.

Counters are added to where things happen. What is true at a moment (lags, parked events, backlogs) is looked at when
somebody asks, and left out while it cannot be known.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from libs.common.settings import Settings

disable_created_metrics()  # type: ignore[no-untyped-call] # it has no annotations; when each series began: twice the series, for nothing that Prometheus asks
REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

COMMANDS = Counter(
    "stepladder_commands",
    "Commands, by what came of them: ok, the kind of refusal, or error.",
    ("aggregate", "command", "result"),
    registry=REGISTRY,
)
CONFLICTS = Counter(
    "stepladder_append_conflicts",
    "Appends that came too late, since others had written to the same aggregate; the command is decided anew.",
    ("aggregate",),
    registry=REGISTRY,
)
APPEND_SECONDS = Histogram(
    "stepladder_append_seconds",
    "From an append to its acknowledgement, which means on disk; with what it waited for a batch and for retries.",
    ("stream",),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    registry=REGISTRY,
)
APPEND_FAILURES = Counter(
    "stepladder_append_failures",
    "Appends given up: the log did not answer in time, or refused.",
    ("stream",),
    registry=REGISTRY,
)
APPEND_RETRIES = Counter(
    "stepladder_append_retries",
    "Batches of appends sent again, or looked for at the leader, by cause: rejected, silent or absent.",
    ("stream", "cause"),
    registry=REGISTRY,
)
CALLS = Counter(
    "stepladder_grpc_calls",
    "Calls answered, by gRPC's status code.",
    ("method", "code"),
    registry=REGISTRY,
)
CALL_SECONDS = Histogram(
    "stepladder_grpc_call_seconds",
    "How long calls took that have one answer.",
    ("method",),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    registry=REGISTRY,
)
FOLLOWED = Counter(
    "stepladder_follower_events",
    "Events that a follower has applied or parked.",
    ("follower", "partition"),
    registry=REGISTRY,
)
DEADLINES = Counter(
    "stepladder_deadlines",
    "Deadlines whose command was given, by what came of it: done, refused, or failed, which is tried again.",
    ("kind", "result"),
    registry=REGISTRY,
)
WEBHOOK_ATTEMPTS = Counter(
    "stepladder_webhook_attempts",
    "Attempts to send an event to a webhook, by whether it was taken.",
    ("taken",),
    registry=REGISTRY,
)


class Gauges:
    """What is true at a moment, by name; each name with the same labels in every sample."""

    def __init__(self) -> None:
        self._families: dict[str, GaugeMetricFamily] = {}

    def add(self, name: str, text: str, value: float, /, **labels: str) -> None:
        """Adds a sample."""
        if name not in self._families:
            self._families[name] = GaugeMetricFamily(name, text, labels=list(labels))
        self._families[name].add_metric(list(labels.values()), value)

    def families(self) -> list[Metric]:
        """All of them."""
        return list(self._families.values())


Measure = Callable[[Gauges], Awaitable[None]]
"""Adds what is true now."""


@asynccontextmanager
async def serving_metrics(service: str, settings: Settings, *measures: Measure) -> AsyncIterator[str]:
    """Answers Prometheus at `/metrics` of `metrics_address` while the context lasts; every sample names the service.

    The context's value is the address, with the port chosen where the settings say 0; empty where they have none.
    Raises OSError when the address is taken.
    """
    if not settings.metrics_address:
        yield ""
        return
    from aiohttp import web  # noqa: PLC0415 - it takes a while, and only who is measured needs it

    async def answer(_: web.Request) -> web.Response:
        gauges = Gauges()
        await asyncio.gather(*(measure(gauges) for measure in measures))
        text = generate_latest(_Exposed(service, gauges.families()))
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/metrics", answer)
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    try:
        host, _, port = settings.metrics_address.rpartition(":")
        await web.TCPSite(runner, host.strip("[]"), int(port)).start()
        yield f"{host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


class _Exposed(Collector):
    """What was counted and measured, each sample with the label `service`."""

    def __init__(self, service: str, measured: Iterable[Metric]) -> None:
        self._service = service
        self._measured = measured

    def collect(self) -> Iterator[Metric]:
        for metric in (*REGISTRY.collect(), *self._measured):
            named = Metric(metric.name, metric.documentation, metric.type)
            for sample in metric.samples:
                labels = {"service": self._service, **sample.labels}
                named.add_sample(sample.name, labels, sample.value)
            yield named
