"""Webhooks on streams in memory and a real database, with a clock that tests move, and receivers that really listen."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from random import Random
from typing import Any

from aiohttp import web
from nats.aio.client import Client
from sqlalchemy import MetaData
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from libs.common.access import Caller, admit
from libs.common.background import in_background
from libs.common.commands import Commands
from libs.common.database import open_database
from libs.common.envelope import Codec, event_types
from libs.common.eventsourcing import Context
from libs.common.keys import Sealer, SqlDataKeys
from libs.common.log import EventLog
from libs.common.memory_stream import MemoryStream
from libs.common.migrating import migrate
from libs.common.projecting import Follower
from libs.common.reading import Reading
from libs.common.service import Service
from libs.common.settings import Settings
from libs.common.streams import EVENTS, LOG, Entry
from services.gateway.addresses import Addresses
from services.gateway.deliveries import Deliveries
from services.gateway.delivering import Delivering, Tools
from services.gateway.sending import open_sender
from services.gateway.webhook_api import WebhookApi
from services.gateway.webhooks import Webhooks
from stepladder.gateway.v1 import events_pb2
from stepladder.gateway.v1 import webhook_pb2 as pb

START = datetime(2026, 3, 16, 9, tzinfo=UTC)
KEK = b"k" * 32
OWNER = "system:hr-platform"
LOOPBACK = (ip_network("127.0.0.0/8"),)
TYPES = {"stepladder.coaching.plan-closed.v1"}
SECONDS = 60.0
"""How long a test waits for what must come, on a machine however loaded."""


async def until(there: Callable[[], bool | Awaitable[bool]]) -> None:
    """Waits until something is so."""
    async with asyncio.timeout(SECONDS):
        while True:
            found = there()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.01)


@dataclass(frozen=True)
class Received:
    """A request as the receiver got it."""

    event_id: str
    body: bytes
    headers: Mapping[str, str]

    @property
    def number(self) -> int:
        """Of the event, as `World.happen` numbers them."""
        return int(json.loads(self.body)["data"]["number"])


Behaviour = Callable[[Received], Awaitable[web.StreamResponse] | web.StreamResponse]


@dataclass
class Receiver:
    """A subscriber's web server: verifies every request with the standardwebhooks library, then behaves as told."""

    url: str = ""
    secret: str = ""
    behaviour: Behaviour = lambda _: web.Response(status=204)
    heard: list[Received] = field(default_factory=list)
    taken: list[Received] = field(default_factory=list)
    """Those that it answered 200 to 299."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        received = Received(request.headers["webhook-id"], body, dict(request.headers))
        self.heard.append(received)
        try:
            Verifier(self.secret).verify(body, dict(request.headers))
        except WebhookVerificationError:
            return web.Response(status=401)
        answer = self.behaviour(received)
        response = answer if isinstance(answer, web.StreamResponse) else await answer
        if 200 <= response.status < 300:
            self.taken.append(received)
        return response

    @property
    def numbers(self) -> list[int]:
        return [one.number for one in self.taken]


@asynccontextmanager
async def running_receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/events", receiver.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    receiver.url = f"http://{host}:{port}/events"
    try:
        yield receiver
    finally:
        await runner.cleanup()


@dataclass
class World:
    """The gateway's webhooks, and what they stand on."""

    service: Service
    events: MemoryStream
    tools: Tools
    follower: Follower
    api: WebhookApi
    clock: list[datetime]
    happened: int = 0
    running: Delivering | None = None

    async def call(self, method: str, request: Any, actor: str = OWNER, role: str = "events") -> Any:
        """What the API answers a system; what it changed is heeded then."""
        admission = admit(f"stepladder.gateway.v1.WebhookService/{method}", Caller(actor, frozenset({role})))
        context = Context(
            now=self.clock[0],
            today=self.clock[0].date(),
            actor=actor,
            request_id=getattr(request, "request_id", ""),
            request=request,
            admission=admission,
        )
        answer = await getattr(self.api, method)(request, context)
        if position := getattr(answer, "log_position", 0):
            await self.follower.wait_for(position, SECONDS)
            if (running := self.running) is not None:
                await until(lambda: running.heeded >= position)
        return answer

    async def create(self, receiver: Receiver, webhook_id: str = "hr", **of: Any) -> pb.Webhook:
        """A webhook that goes to a receiver, which learns the secret."""
        request = pb.CreateWebhookRequest(webhook=pb.Webhook(webhook_id=webhook_id, url=receiver.url, **of))
        made: pb.Webhook = await self.call("CreateWebhook", request)
        receiver.secret = made.secret
        return made

    async def get(self, webhook_id: str = "hr") -> pb.Webhook:
        found: pb.Webhook = await self.call("GetWebhook", pb.GetWebhookRequest(webhook_id=webhook_id))
        return found

    async def attempts(self, webhook_id: str = "hr", **of: Any) -> list[pb.Attempt]:
        """The oldest first."""
        request = pb.ListAttemptsRequest(webhook_id=webhook_id, page_size=1000, **of)
        return list(reversed((await self.call("ListAttempts", request)).attempts))

    async def happen(self, count: int = 1, employee: str = "", team: str = "t-1", kind: str = "plan-closed") -> None:
        """Publishes events, numbered from 1, each about an employee of its own unless one is named."""
        entries = []
        for _ in range(count):
            self.happened += 1
            about, type_ = employee or f"e-{self.happened}", f"stepladder.coaching.{kind}.v1"
            event_id = f"event-{self.happened}"
            event = {"specversion": "1.0", "id": event_id, "type": type_, "data": {"number": self.happened, "ü": "早"}}
            body = json.dumps(event, ensure_ascii=False).encode()
            entries.append((f"events.coaching.{kind}.v1.{team}.{about}", Entry(event_id, type_, body)))
        await self.events.publish_behind(self.happened - count, entries)

    async def later(self, span: timedelta) -> None:
        """Lets time pass."""
        self.clock[0] += span

    @asynccontextmanager
    async def delivering(self) -> AsyncIterator[None]:
        """Delivers while the context lasts."""
        self.running = Delivering(self.tools, self.follower)
        async with in_background(self.running.run()):
            yield
        self.running = None


@asynccontextmanager
async def open_world(folder: Path, url: str = "", *, whole_seconds: float = 5.0) -> AsyncIterator[World]:
    """Everything but the process around it; deliveries begin with `World.delivering`."""
    async with AsyncExitStack() as stack:
        engine = open_database(url or f"sqlite+aiosqlite:///{folder / 'gateway.db'}")
        stack.push_async_callback(engine.dispose)
        await migrate(engine, "gateway")
        log, events = MemoryStream(START), MemoryStream(START, name=EVENTS)
        codec = Codec(event_types([events_pb2.DESCRIPTOR]), SqlDataKeys(engine, KEK))
        clock = [START]
        reading = Reading(log, codec)
        commands = Commands([EventLog(log)], codec)
        service = Service(
            "gateway", Settings(instance="test"), commands, engine, {LOG: reading}, codec, Client(), lambda: clock[0]
        )
        metadata = MetaData()
        webhooks, deliveries = Webhooks(metadata), Deliveries(metadata, engine)
        follower = service.follow(webhooks)
        addresses = Addresses(allow_http=True, allowed=LOOPBACK)
        sender = await stack.enter_async_context(
            open_sender(addresses, lambda: datetime.now(UTC), whole_seconds=whole_seconds)
        )
        tools = Tools(service, events, webhooks, deliveries, sender, Sealer(KEK), Random(7))
        api = WebhookApi(tools, follower, addresses, TYPES)
        await stack.enter_async_context(in_background(follower.run()))
        yield World(service, events, tools, follower, api, clock)
