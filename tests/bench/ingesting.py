"""How fast facts get on disk, from the request to its answer."""

import asyncio
from collections.abc import Sequence
from statistics import mean

from grpc import StatusCode, aio

from libs.common.jetstream import JetStreamStream
from services.performance.facts import FACTS, facts_id
from stepladder.performance.v1.facts_pb2 import Fact, ListFactsRequest, RecordFactsRequest, RecordFactsResponse
from stepladder.performance.v1.facts_pb2_grpc import FactsServiceStub
from tests.bench import bare
from tests.bench.centre import KPIS, Writer, employee_id, fact
from tests.bench.figures import Figure, Measured, Stopwatch, compare
from tests.bench.running import Performance, running_performance
from tests.tokens import as_system

AT_ONCE = 4
"""Requests, or bare batches, in flight."""
IN_REQUEST = 1000
SAMPLES_LIMIT = 500_000
SAMPLES = 96
"""Of each KPI in a fact: one for each quarter of an hour."""


async def ingest_bulk(quick: bool) -> Measured:
    """Each request holds a day of a thousand employees; the next ones are about others."""
    requests, groups = (4, 2) if quick else (40, 4)
    async with running_performance() as system:
        employees = groups * IN_REQUEST
        recorder = await _set_up(system, employees)
        facts = (
            [fact(e, day) for e in range(first, first + IN_REQUEST)]
            for day in range(700)
            for first in range(0, employees, IN_REQUEST)
        )

        async def value() -> float:
            seconds = await recorder.record([next(facts) for _ in range(requests)])
            return requests * IN_REQUEST / seconds

        await value()
        stored = await JetStreamStream(system.client).read(FACTS.subject(facts_id(employee_id(1), "2024-01")))
        payload = b"x" * round(mean(len(entry.payload) for entry in stored))

        async def limit() -> float:
            return await bare.publish_batches(system.client, requests, IN_REQUEST, AT_ONCE, payload)

        return await compare(1 if quick else 5, value, limit)


async def ingest_samples(quick: bool) -> Measured:
    """Each fact holds the quarters of an hour of a day for four KPIs."""
    requests, employees, rounds = (2, 50, 1) if quick else (20, 400, 5)
    async with running_performance() as system:
        recorder = await _set_up(system, employees)
        kpis = list(KPIS)[:4]
        facts = ([fact(e, day, SAMPLES, kpis) for e in range(employees)] for day in range(700))

        async def value() -> float:
            seconds = await recorder.record([next(facts) for _ in range(requests)])
            return requests * employees * len(kpis) * SAMPLES / seconds

        async def limit() -> float:
            return SAMPLES_LIMIT

        return await compare(rounds, value, limit)


async def _set_up(system: Performance, employees: int) -> "_Recorder":
    writer = Writer(system.client)
    await writer.create_kpis()
    await writer.hire(employees)
    return _Recorder(system.channel)


class _Recorder:
    """Sends requests made beforehand, so that the making of them is not measured."""

    def __init__(self, channel: aio.Channel) -> None:
        self._facts = FactsServiceStub(channel)
        self._record: aio.UnaryUnaryMultiCallable[bytes, RecordFactsResponse] = channel.unary_unary(
            "/stepladder.performance.v1.FactsService/RecordFacts",
            response_deserializer=RecordFactsResponse.FromString,
        )

    async def record(self, requests: Sequence[Sequence[Fact]]) -> float:
        """Seconds until the answer to the last request; then waits until the read model has caught up."""
        waiting = iter([RecordFactsRequest(facts=facts).SerializeToString() for facts in requests])
        answers: list[RecordFactsResponse] = []

        async def send() -> None:
            for request in waiting:
                answers.append(await self._record(request, metadata=as_system()))  # noqa: PERF401 - four senders fill one list

        watch = Stopwatch()
        await asyncio.gather(*(send() for _ in range(AT_ONCE)))
        seconds = watch.seconds
        if sum(answer.recorded for answer in answers) != sum(map(len, requests)):
            raise RuntimeError("not every fact was recorded")
        await self._caught_up(max(answer.log_position for answer in answers))
        return seconds

    async def _caught_up(self, position: int) -> None:
        request = ListFactsRequest(
            employee_id=employee_id(0), start_date="2024-01-01", end_date="2024-01-01", at_least=position
        )
        while True:
            try:
                await self._facts.ListFacts(request, metadata=as_system())
            except aio.AioRpcError as error:
                if error.code() is not StatusCode.UNAVAILABLE:
                    raise
            else:
                return


FIGURES = (
    Figure(
        "ingest_bulk",
        "events/s",
        "higher",
        0.8,
        "facts in requests of 1000, four at once, until they are on disk; against bare atomic batches of nats-py",
        ingest_bulk,
    ),
    Figure(
        "ingest_samples",
        "samples/s",
        "higher",
        1.0,
        "samples in facts of 4 KPIs with 96 samples each, until they are on disk",
        ingest_samples,
    ),
)
