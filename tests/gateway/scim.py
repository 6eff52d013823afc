"""SCIM as it runs: Envoy, the gateway, the performance service and the log, and clients that come over the wire."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

from libs.cli.envoy import Envoy
from libs.common.service import Service, open_service
from services.gateway.__main__ import open_gateway
from services.performance import __main__ as performance
from stepladder.performance.v1.directory_pb2_grpc import DirectoryServiceStub
from stepladder_client import connect
from tests.tokens import ISSUER, SYSTEM

PROVIDER_TOKEN = ISSUER.system("identity-provider", ["directory"])
MEDIA = "application/scim+json"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Scim:
    """The SCIM service behind the front door, and the directory behind it."""

    port: int
    service: Service
    directory: DirectoryServiceStub

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str = PROVIDER_TOKEN,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """A request for a path under /scim/v2; a body that is not bytes is sent as JSON."""
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        own = {"authorization": f"Bearer {token}"} if token else {}
        sent = {"content-type": MEDIA, **own, **(headers or {})}
        return await asyncio.to_thread(fetch, self.port, method, f"/scim/v2{path}", content, sent)

    async def end(self) -> int:
        """The last position in the log."""
        return (await self.service.stream.state()).last


def fetch(port: int, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, names, response.read())
    finally:
        connection.close()


def over_the_wire(port: int) -> Callable[..., Iterable[bytes]]:
    """What a client that expects a WSGI application takes for one: every request goes to the front door."""

    def application(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
        headers = {
            key.removeprefix("HTTP_").replace("_", "-").lower(): value
            for key, value in environ.items()
            if key.startswith("HTTP_")
        }
        if environ.get("CONTENT_TYPE"):
            headers["content-type"] = environ["CONTENT_TYPE"]
        path, query = environ["PATH_INFO"], environ["QUERY_STRING"]
        body = environ["wsgi.input"].read()
        answer = fetch(port, environ["REQUEST_METHOD"], f"{path}?{query}" if query else path, body or None, headers)
        start_response(f"{answer.status} -", list(answer.headers.items()))
        return [answer.body]

    return application


@asynccontextmanager
async def running_gateway(envoy: Envoy) -> AsyncIterator[None]:
    """What SCIM is served by, whether or not there is a directory behind it."""
    async with open_gateway(envoy.settings):
        yield


@asynccontextmanager
async def running_scim(envoy: Envoy) -> AsyncIterator[Scim]:
    async with AsyncExitStack() as stack:
        settings = envoy.settings
        service = await stack.enter_async_context(open_service("performance", settings, performance.EVENTS))
        await stack.enter_async_context(service.serving(performance.build(service)))
        await stack.enter_async_context(running_gateway(envoy))
        channel = await stack.enter_async_context(connect(settings.performance_address, token=SYSTEM))
        yield Scim(settings.public_port, service, DirectoryServiceStub(channel))
