"""The front door as it runs, with services behind it that answer what a test lays out for them."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import FileDescriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc import aio

from libs.cli.embedded import make_key, migrate_all, stored_in
from libs.cli.envoy import Envoy
from libs.cli.nats_server import NatsServer
from libs.common.access import STANDING
from libs.common.eventsourcing import Context
from libs.common.server import serve
from libs.common.settings import Settings
from libs.common.tls import channel_credentials, client_context
from services.gateway.__main__ import open_gateway
from stepladder.coaching.v1 import (
    case_file_pb2,
    comparison_pb2,
    effect_pb2,
    mastery_pb2,
    pip_pb2,
    plan_pb2,
    rhythm_pb2,
    separation_pb2,
    session_pb2,
    sharing_pb2,
    suggestion_pb2,
    training_pb2,
    worklist_pb2,
)
from stepladder.common.v1 import operations_pb2
from stepladder.performance.v1 import (
    assessment_pb2,
    calibration_pb2,
    check_in_pb2,
    detection_pb2,
    directory_pb2,
    facts_pb2,
    kpi_pb2,
    lead_comparison_pb2,
    policy_pb2,
    record_pb2,
    report_pb2,
    roster_pb2,
    scorecard_pb2,
)
from stepladder.performance.v1.facts_pb2 import Fact, Reading
from stepladder.promotion.v1 import (
    candidacy_pb2,
    career_pb2,
    competition_pb2,
    cycle_pb2,
    document_pb2,
    eligibility_pb2,
    fairness_pb2,
    peer_score_pb2,
    post_pb2,
    scoring_pb2,
)
from stepladder_client import connect
from tests.servers import free_port, in_a_loop_of_its_own
from tests.tokens import ISSUER, TOKEN_KEYS, as_person

CONTRACTS: Mapping[str, Sequence[FileDescriptor]] = {
    "performance": [
        file.DESCRIPTOR
        for file in (
            assessment_pb2,
            calibration_pb2,
            directory_pb2,
            facts_pb2,
            kpi_pb2,
            lead_comparison_pb2,
            detection_pb2,
            policy_pb2,
            record_pb2,
            report_pb2,
            scorecard_pb2,
            check_in_pb2,
            roster_pb2,
        )
    ],
    "coaching": [
        mastery_pb2.DESCRIPTOR,
        plan_pb2.DESCRIPTOR,
        pip_pb2.DESCRIPTOR,
        case_file_pb2.DESCRIPTOR,
        effect_pb2.DESCRIPTOR,
        comparison_pb2.DESCRIPTOR,
        separation_pb2.DESCRIPTOR,
        session_pb2.DESCRIPTOR,
        worklist_pb2.DESCRIPTOR,
        rhythm_pb2.DESCRIPTOR,
        sharing_pb2.DESCRIPTOR,
        suggestion_pb2.DESCRIPTOR,
        training_pb2.DESCRIPTOR,
    ],
    "promotion": [
        competition_pb2.DESCRIPTOR,
        cycle_pb2.DESCRIPTOR,
        document_pb2.DESCRIPTOR,
        eligibility_pb2.DESCRIPTOR,
        fairness_pb2.DESCRIPTOR,
        post_pb2.DESCRIPTOR,
        career_pb2.DESCRIPTOR,
        candidacy_pb2.DESCRIPTOR,
        peer_score_pb2.DESCRIPTOR,
        scoring_pb2.DESCRIPTOR,
    ],
}


async def _everything(_: Context) -> frozenset[str]:
    return STANDING


Stream = Callable[[], AsyncIterator[Message]]


@dataclass(frozen=True)
class Heard:
    """A call that reached a service."""

    requests: list[Any]
    context: Context


class Backend:
    """A service: each of its RPCs, by name, answers with the messages in `answers`, by default an empty one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.answers: dict[str, Sequence[Message] | Exception | Stream] = {}
        self.heard: dict[str, Heard] = {}
        self.serving = AsyncExitStack()

    async def start(self, settings: Settings) -> None:
        files = [*CONTRACTS[self.name], operations_pb2.DESCRIPTOR]
        services = [service for file in files for service in file.services_by_name.values()]
        implementations = {service: self._implementation(service) for service in services}
        await self.serving.enter_async_context(
            serve(settings, self.name, implementations, clock=lambda: datetime.now(UTC), standing=_everything)
        )

    def _implementation(self, service: ServiceDescriptor) -> object:
        return type(service.name, (), {method.name: self._method(method) for method in service.methods})()

    def _method(self, method: MethodDescriptor) -> object:
        def hear(requests: list[Any], context: Context) -> Any:
            self.heard[method.name] = Heard(requests, context)
            context.admission.check(context.admission.may)  # whoever got so far may
            answer = self.answers.get(method.name, [GetMessageClass(method.output_type)()])
            if isinstance(answer, Exception):
                raise answer
            return answer

        async def unary(_self: object, request: Any, context: Context) -> Any:
            return hear([request], context)[0]

        async def client_stream(_self: object, requests: AsyncIterator[Any], context: Context) -> Any:
            return hear([request async for request in requests], context)[0]

        async def server_stream(_self: object, request: Any, context: Context) -> AsyncIterator[Any]:
            answer = hear([request], context)
            if callable(answer):
                async for reply in answer():
                    yield reply
            else:
                for reply in answer:
                    yield reply

        if method.server_streaming:
            return server_stream
        return client_stream if method.client_streaming else unary


@dataclass(frozen=True)
class Answer:
    """An HTTP response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def reasons(self) -> list[str]:
        """The stable reasons in an error's details."""
        return [detail["reason"] for detail in self.json["details"] if "reason" in detail]


@dataclass
class World:
    """Envoy, the gateway, three services, and a channel through the front door."""

    envoy: Envoy
    channel: aio.Channel
    services: Mapping[str, Backend] = field(default_factory=lambda: {name: Backend(name) for name in CONTRACTS})

    @property
    def performance(self) -> Backend:
        return self.services["performance"]

    @property
    def coaching(self) -> Backend:
        return self.services["coaching"]

    @property
    def promotion(self) -> Backend:
        return self.services["promotion"]

    async def http(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """A request through the front door, of a person; a body that is not bytes is sent as JSON."""
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        headers = {**dict(as_person("li")), **(headers or {})}
        return await asyncio.to_thread(self._http, method, path, content, headers)

    def _http(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        at, tls = ("127.0.0.1", self.envoy.settings.public_port), client_context(self.envoy.settings)
        connection = HTTPSConnection(*at, timeout=20, context=tls) if tls else HTTPConnection(*at, timeout=20)
        try:
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, names, response.read())
        finally:
            connection.close()


def fact(samples: int = 1) -> Fact:
    """A fact of so many large samples."""
    readings = [Reading(kpi_id="calls", numerators=[10**12] * samples)]
    return Fact(employee_id="anna", date="2026-01-31", source="acd", readings=readings)


@contextmanager
def running_envoy(folder: Path, nats: NatsServer, **others: Any) -> Iterator[Envoy]:
    """Envoy on ports of its own, with nothing behind it; its settings name a log and databases for the gateway.

    `others` are settings besides.
    """
    settings = stored_in(
        folder,
        Settings(
            nats_url=nats.url,
            nats_monitor_url=nats.monitor_url,
            public_port=free_port(),
            gateway_address=f"127.0.0.1:{free_port()}",
            gateway_http_address=f"127.0.0.1:{free_port()}",
            performance_address=f"127.0.0.1:{free_port()}",
            coaching_address=f"127.0.0.1:{free_port()}",
            promotion_address=f"127.0.0.1:{free_port()}",
            shutdown_grace_seconds=0,
        ),
    ).model_copy(update={"token_keys": TOKEN_KEYS, **others})
    make_key(settings.kek_file)
    in_a_loop_of_its_own(migrate_all(settings))
    envoy = Envoy(settings, folder)
    envoy.start()
    try:
        envoy.wait_ready()
        yield envoy
    finally:
        envoy.stop()


@asynccontextmanager
async def running_world(envoy: Envoy) -> AsyncIterator[World]:
    """Everything behind Envoy, and a channel to it."""
    async with AsyncExitStack() as stack:
        channel = await stack.enter_async_context(
            connect(
                f"127.0.0.1:{envoy.settings.public_port}",
                ISSUER.person("li"),
                retry=False,
                credentials=channel_credentials(envoy.settings),
            )
        )
        world = World(envoy, channel)
        for backend in world.services.values():
            await backend.start(envoy.settings)
            stack.push_async_exit(backend.serving)
        await stack.enter_async_context(open_gateway(envoy.settings))
        yield world
