"""Where a log and its keys are: nats-server with its users and databases, and nothing that runs on them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from nats.aio.client import Client

from libs.cli.embedded import make_key, migrate_all, stored_in
from libs.cli.nats_server import NatsServer, new_passwords
from libs.common.database import open_database
from libs.common.envelope import chain_start, payload_hash
from libs.common.jetstream import JetStreamStream, connect, create_streams
from libs.common.keys import SqlDataKeys
from libs.common.settings import Settings
from libs.common.streams import EVENTS, STREAMS, Append, Copied, Entry
from stepladder.common.v1.envelope_pb2 import Envelope
from tests.servers import running_nats

WRITERS = {"log.performance.": "performance", "restricted.coaching.": "coaching", "events.": "gateway"}


@dataclass
class Place:
    """`servers` is one with users, or a cluster of three without."""

    settings: Settings
    servers: Sequence[NatsServer]
    hashes: dict[str, bytes] = field(default_factory=dict)
    """Of the last event of each subject."""
    ends: dict[str, int] = field(default_factory=dict)

    def as_user(self, name: str) -> Settings:
        """Settings of a process that connects as a user of the log."""
        (*_, server) = self.servers
        url = server.url_of(name) if server.passwords else server.url
        return self.settings.model_copy(update={"nats_url": url})

    @asynccontextmanager
    async def connected(self, user: str) -> AsyncIterator[Client]:
        client = await connect(self.as_user(user).nats_url, user)
        try:
            yield client
        finally:
            await client.close()

    async def write(self, subject: str, *texts: str, person: str = "") -> int:
        """Appends events to an aggregate, each behind the one before; answers the last position."""
        (user,) = (user for prefix, user in WRITERS.items() if subject.startswith(prefix))
        async with self.connected(user) as client:
            return await self.append(client, subject, *texts, person=person)

    async def append(self, client: Client, subject: str, *texts: str, person: str = "") -> int:
        (name,) = (name for name, prefix in STREAMS.items() if subject.startswith(f"{prefix}."))
        before = self.hashes.get(subject, chain_start(subject))
        entries = []
        for number, text in enumerate(texts):
            event_id = f"{sha256(subject.encode() + before).hexdigest()[:20]}.{number}"
            envelope = Envelope(event_id=event_id, type="test", previous_hash=before, event=text.encode())
            if person:
                envelope.personal.data_subject = person
            payload = envelope.SerializeToString()
            before = payload_hash(payload)
            entries.append(Entry(event_id, "test", payload))
        stream = JetStreamStream(client, name)
        if name == EVENTS:
            return await stream.publish_behind((await stream.state()).last, [(subject, entry) for entry in entries])
        position = await stream.publish([Append(subject, self.ends.get(subject, 0), entries)])
        self.hashes[subject], self.ends[subject] = before, position
        return position

    async def contents(self) -> dict[str, list[Copied]]:
        """Everything in every stream."""
        found = {}
        async with self.connected("backup") as client:
            for name in STREAMS:
                stream = JetStreamStream(client, name)
                found[name] = [one async for one in stream.copy(0, (await stream.state()).last)]
        return found

    @asynccontextmanager
    async def keys(self) -> AsyncIterator[SqlDataKeys]:
        engine = open_database(self.settings.keys_url)
        yield SqlDataKeys(engine, self.settings.key_encryption_key())
        await engine.dispose()


@asynccontextmanager
async def running_place(
    folder: Path, *, nodes: int = 1, streams: bool = False, kek: bytes = b""
) -> AsyncIterator[Place]:
    """A place, empty, with its streams made if asked to. A key that wraps keys is brought along, or a new one."""
    with ExitStack() as stack:
        if nodes == 1:
            server = NatsServer(folder / "nats", passwords=new_passwords())
            server.start()
            stack.callback(server.stop)
            server.wait_ready()
            servers = [server]
        else:
            servers = stack.enter_context(running_nats(folder, nodes))
        settings = stored_in(folder, Settings()).model_copy(
            update={"nats_monitor_url": servers[0].monitor_url, "replicas": nodes}
        )
        if kek:
            settings.kek_file.write_bytes(kek)
        make_key(settings.kek_file)
        await migrate_all(settings)
        place = Place(settings, servers)
        if streams:
            async with place.connected("setup") as client:
                await create_streams(client, nodes)
        yield place
