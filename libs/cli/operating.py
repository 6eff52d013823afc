"""What an operator does with a running system from the command line."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from string import Template

from nats.aio.client import Client
from rich.console import Console
from rich.table import Table

from libs.cli.embedded import DATABASES, CannotStart, migrate_all
from libs.cli.nats_server import USERS
from libs.cli.progress import progress
from libs.common.eventsourcing import is_id
from libs.common.jetstream import connect as connect_log
from libs.common.jetstream import create_consumer, create_streams, is_refusal
from libs.common.operations import troubles
from libs.common.settings import PREFIX, Settings, load_settings
from libs.common.streams import EVENTS, STREAMS, NoAnswer, NoResponders, Rejected
from libs.common.tls import channel_credentials, client_context
from stepladder.common.v1 import operations_pb2 as pb
from stepladder.common.v1.operations_pb2_grpc import OperationsServiceStub
from stepladder_client import connect

_ID = r"[a-z0-9][a-z0-9-]{0,39}"
_ACCOUNT = Path(__file__).parents[2] / "deploy" / "nats" / "subscriber.conf"

STREAMS_PART = "streams"
PARTS = (*DATABASES, STREAMS_PART)
"""What an installation is made of, as `stepladder migrate` names it."""

LOG_SECONDS = 60.0
"""How long a command waits for the log to come up."""


@asynccontextmanager
async def operations(token: str) -> AsyncIterator[OperationsServiceStub]:
    """The gateway's OperationsService, which answers for every service."""
    settings = load_settings()
    async with connect(settings.gateway_address, token, credentials=channel_credentials(settings)) as channel:
        yield OperationsServiceStub(channel)


async def status(token: str) -> int:
    """Prints each follower, how webhooks are, and what needs an operator; answers 1 when something does, else 0."""
    async with operations(token) as stub:
        answer = await stub.ListFollowers(pb.ListFollowersRequest(service="-"))
    followers, webhooks = answer.followers, answer.webhooks
    columns = ("service", "follower", "state", "stream", "position", "of", "behind", "seconds", "parked", "deadlines")
    rows = [
        (
            *(one.service, one.name, pb.Follower.State.Name(one.state).removeprefix("STATE_").lower(), one.stream),
            *map(str, (one.position, one.end, one.lag, round(one.lag_seconds, 1), one.parked_events, one.deadlines)),
        )
        for one in followers
    ]
    console = Console()
    if console.is_terminal:
        table = Table(*columns)
        for row in rows:
            table.add_row(*row)
        console.print(table)
    else:
        print("\n".join("\t".join(row) for row in (columns, *rows)))
    if webhooks.active or webhooks.paused:
        print(f"webhooks: {webhooks.active} active, {webhooks.failing} of them failing, {webhooks.paused} paused")
    if webhooks.waiting:
        since = webhooks.oldest_time.ToJsonString()
        print(f"events to be sent again to webhooks: {webhooks.waiting}, the first since {since}")
    found = troubles(followers)
    for trouble in found:
        print(trouble)
    return int(bool(found))


async def rebuild(token: str, service: str, follower: str) -> None:
    """Rebuilds a read model, showing how far it is."""
    async with operations(token) as stub:
        steps = aiter(stub.RebuildFollower(pb.RebuildFollowerRequest(service=service, follower=follower)))
        last = await anext(steps)
        with progress(f"rebuilding {service}/{follower}", last.end) as tell:
            async for last in steps:
                tell(last.position)
            tell(last.end)
    print(f"{service}/{follower} is rebuilt; {last.changed_rows} rows came out differently")


async def list_parked(token: str, service: str) -> None:
    """Prints the parked aggregates."""
    async with operations(token) as stub:
        parked = (await stub.ListParked(pb.ListParkedRequest(service=service))).parked
    if not parked:
        print("nothing is parked")
    for one in parked:
        print(
            f"{one.service}/{one.follower} {one.subject} at {one.position}: {one.events} events,"
            f" {one.attempts} attempts, since {one.parked_time.ToJsonString()}\n  {one.type}: {one.error}"
        )


async def retry_parked(token: str, service: str, follower: str, subject: str) -> None:
    """Applies parked events again."""
    async with operations(token) as stub:
        request = pb.RetryParkedRequest(service=service, follower=follower, subject=subject)
        print(f"{(await stub.RetryParked(request)).applied} events applied")


async def skip_parked(token: str, service: str, follower: str, subject: str, position: int, reason: str) -> None:
    """Gives up one parked event."""
    async with operations(token) as stub:
        request = pb.SkipParkedRequest(
            service=service, follower=follower, subject=subject, position=position, reason=reason
        )
        answer = await stub.SkipParked(request)
        print(f"the event at {position} is skipped; {answer.applied} events behind it applied")


async def add_subscriber(name: str, team: str) -> None:
    """Makes the consumer by which a system outside reads the public events; prints its account for nats-server."""
    if not re.fullmatch(_ID, name):
        raise CannotStart("a subscriber's name is 1 to 40 lower-case letters, digits or hyphens, such as hr-platform")
    if name in USERS:
        raise CannotStart(f"nats-server has a user {name} of its own: call the subscriber something else")
    if team and not is_id(team):
        raise CannotStart(f"{team} is no team's id")
    subject = f"{STREAMS[EVENTS]}.*.*.*.{team}.*" if team else f"{STREAMS[EVENTS]}.>"
    async with log_as("setup", load_settings()) as client:
        try:
            await create_consumer(client, name, subject)
        except Rejected as refused:
            raise CannotStart(f"the consumer {name} cannot be made: {refused}") from None
    print(subscriber_account(name), end="")


def subscriber_account(name: str) -> str:
    """What a subscriber may do, as nats-server is configured: an account of its own."""
    account = f"SUBSCRIBER_{name.upper().replace('-', '_')}"
    return Template(_ACCOUNT.read_text()).substitute(name=name, account=account)


@asynccontextmanager
async def log_as(user: str, settings: Settings) -> AsyncIterator[Client]:
    """A connection to the log as one of its users. Raises CannotStart where that is not possible, or ends."""
    address = settings.nats_url.rpartition("@")[2]  # in front of it may stand a password
    client: Client | None = None
    try:
        async with asyncio.timeout(LOG_SECONDS):
            client = await connect_log(settings.nats_url, user, client_context(settings))
        yield client
    except (TimeoutError, NoAnswer, NoResponders):
        if client and is_refusal(client.last_error):
            raise CannotStart(
                f"nats-server at {address} refuses it: {PREFIX}NATS_URL must be that of its user {user}"
                f" ({client.last_error}; see deploy/nats/accounts.conf)"
            ) from None
        raise CannotStart(
            f"no nats-server with JetStream answers at {address}: start it, or set {PREFIX}NATS_URL"
        ) from None
    finally:
        if client:
            await client.close()


async def set_up(parts: Sequence[str]) -> None:
    """Makes the tables and streams that are missing, in the order in which they are named."""
    settings = load_settings()
    for part in parts:
        if part == STREAMS_PART:
            async with log_as("setup", settings) as client:
                await create_streams(client, settings.replicas)
            print("streams: up to date")
        else:
            await migrate_all(settings, [part])
            print(f"database of {part}: up to date")
