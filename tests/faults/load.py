"""Callers of the system: they record facts and read them, and repeat what is not answered."""

import asyncio
import json
import time
from dataclasses import dataclass, field
from datetime import date, timedelta
from random import Random

from grpc import aio

from stepladder.performance.v1.facts_pb2 import Fact, ListFactsRequest, Reading, RecordFactsRequest
from stepladder.performance.v1.facts_pb2_grpc import FactsServiceStub
from tests.faults.checker import FactKey, Numbers
from tests.tokens import as_system

EMPLOYEES = 30
FACTS_IN_A_REQUEST = 20
KPI_ID = "short-calls"
LEAST_READINGS = 400
"""Acknowledged before a storm ends, so that there is something to check."""
DEADLINE_SECONDS = 30.0
"""Of a call: as long as Envoy gives it."""
AGAIN = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED", "CANCELLED")
"""What a caller sends again, with the same request id."""
OPTIONS = (
    ("grpc.max_reconnect_backoff_ms", 200),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
)


@dataclass
class Load:
    """Callers that record facts and repeat what was not answered, with the same request id, until it is.

    `address` may name several instances: `ipv4:<host:port>,<host:port>`. One more caller reads what was acknowledged.
    """

    address: str
    rest_seconds: float = 0.0
    """What each caller rests between two requests."""
    acknowledged: dict[FactKey, Numbers] = field(default_factory=dict)
    misread: list[str] = field(default_factory=list)
    """Reads that did not show what had been acknowledged, at the position that was answered with it."""
    reads: int = 0
    longest_gap: float = 0.0
    """The longest time without an acknowledgement, in seconds, while callers were trying."""
    last_time: float = 0.0
    """When the last acknowledgement came, by the monotonic clock."""
    requests: int = 0
    repeated: int = 0
    refusal: str = ""
    going: bool = True
    _callers: list[asyncio.Task[None]] = field(default_factory=list)
    _latest: tuple[Fact, int] | None = None

    def start(self, callers: int, seed: int) -> None:
        """Sends that many callers to work."""
        self.last_time = time.monotonic()
        self._callers = [asyncio.create_task(self._call(number, seed)) for number in range(callers)]
        self._callers.append(asyncio.create_task(self._read(Random(f"{seed}-reader"))))

    async def too_little(self) -> str:
        """What is missing of the readings that a storm needs."""
        self._check()
        if len(self.acknowledged) >= LEAST_READINGS:
            return ""
        return f"{len(self.acknowledged)} of {LEAST_READINGS} readings are acknowledged {self._told()}"

    async def unanswered(self) -> str:
        """How many callers wait for their last answer."""
        self._check()
        waiting = sum(not caller.done() for caller in self._callers)
        return f"{waiting} callers wait for their last answer {self._told()}" if waiting else ""

    def _check(self) -> None:
        """Raises what ended a caller, if anything did."""
        for caller in self._callers:
            if caller.done():
                caller.result()

    def _told(self) -> str:
        return f"({self.requests} requests, {self.repeated} repetitions; the last refusal: {self.refusal or 'none'})"

    async def _call(self, number: int, seed: int) -> None:
        """One caller: its facts have a source of its own, so that nobody else records them."""
        chance = Random(f"{seed}-{number}")
        day = date(2001 + number, 1, 1)
        async with aio.insecure_channel(self.address, options=OPTIONS) as channel:
            stub = FactsServiceStub(channel)
            while self.going:
                facts = [_fact(chance, employee, day, f"caller-{number}") for employee in range(FACTS_IN_A_REQUEST)]
                day += timedelta(days=1)
                self.requests += 1
                await self._send(stub, RecordFactsRequest(request_id=f"{number}-{day}", facts=facts))
                await asyncio.sleep(self.rest_seconds)

    async def _send(self, stub: FactsServiceStub, request: RecordFactsRequest) -> None:
        while True:
            try:
                answer = await stub.RecordFacts(request, timeout=DEADLINE_SECONDS, metadata=as_system())
                break
            except aio.AioRpcError as error:
                if error.code().name not in AGAIN:
                    raise
                self.repeated += 1
                self.refusal = f"{error.code().name} {error.details()}"
                await asyncio.sleep(0.05)
        # A repeated request answers what the first one would have: everything recorded, nothing known before.
        if answer.recorded != len(request.facts):
            raise AssertionError(f"{request.request_id} was answered {answer}")
        now = time.monotonic()
        self.longest_gap, self.last_time = max(self.longest_gap, now - self.last_time), now
        for fact in request.facts:
            for reading in fact.readings:
                key = (fact.employee_id, fact.date, fact.source, reading.kpi_id)
                self.acknowledged[key] = (sum(reading.numerators), sum(reading.denominators))
        self._latest = (request.facts[0], answer.log_position)

    async def _read(self, chance: Random) -> None:
        """Reads what was acknowledged last, or something older, at the position that was answered."""
        kept: list[tuple[Fact, int]] = []
        async with aio.insecure_channel(self.address, options=OPTIONS) as channel:
            stub = FactsServiceStub(channel)
            while self.going:
                await asyncio.sleep(0.1)
                if self._latest is not None:
                    kept = [*kept[-50:], self._latest]
                    await self._read_one(stub, *chance.choice([kept[-1], chance.choice(kept)]))

    async def _read_one(self, stub: FactsServiceStub, fact: Fact, position: int) -> None:
        request = ListFactsRequest(
            employee_id=fact.employee_id, start_date=fact.date, end_date=fact.date, at_least=position
        )
        try:
            answer = await stub.ListFacts(request, timeout=DEADLINE_SECONDS, metadata=as_system())
        except aio.AioRpcError as error:
            if error.code().name not in AGAIN:
                raise
            return
        self.reads += 1
        found = [(one.source, one.numerator, one.denominator) for one in answer.readings]
        reading = fact.readings[0]
        if (fact.source, sum(reading.numerators), sum(reading.denominators)) not in found:
            self.misread.append(f"{fact.employee_id} on {fact.date} at {position} reads as {found}")


def _fact(chance: Random, employee: int, day: date, source: str) -> Fact:
    short = chance.randint(0, 30 if employee % 5 == 0 else 8)
    reading = Reading(kpi_id=KPI_ID, numerators=[short], denominators=[100])
    return Fact(employee_id=f"e-{employee}", date=day.isoformat(), source=source, readings=[reading])
