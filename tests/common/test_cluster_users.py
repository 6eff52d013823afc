"""What a service needs of a cluster of which nodes fail: who it is known to, and whom it asks."""

import asyncio
from collections.abc import Iterator

import pytest
from nats.aio.client import Client

from libs.cli.nats_server import NatsServer, new_passwords
from libs.common.jetstream import JetStreamStream, check_configuration, connect
from libs.common.streams import LOG, LOG_TROUBLES, StreamState
from tests.servers import running_nats


@pytest.fixture
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[NatsServer]]:
    with running_nats(tmp_path_factory.mktemp("nats"), 3, new_passwords()) as servers:
        yield servers


async def _state(client: Client) -> StreamState:
    """Asked until it is answered."""
    async with asyncio.timeout(45):
        while True:
            try:
                return await JetStreamStream(client).state()
            except LOG_TROUBLES:
                await asyncio.sleep(0.1)


async def test_a_user_is_known_to_nodes_of_which_only_the_cluster_tells(nodes: list[NatsServer]) -> None:
    """The node whose address a service was given is gone: it goes on at another, as the same user."""
    client = await connect(nodes[0].url_of("performance"), "performance")
    nodes[0].kill()
    assert (await _state(client)).last == 0
    await client.close()


async def test_a_service_starts_while_a_node_is_away(nodes: list[NatsServer]) -> None:
    """It is given all addresses; whichever nodes are there are connected to, and asked how they are configured."""
    nodes[0].kill()
    client = await connect(",".join(node.url_of("performance") for node in nodes), "performance")
    await _state(client)
    await check_configuration(client, 3, ",".join(node.monitor_url for node in nodes), streams=[LOG])
    with pytest.raises(OSError, match="refused"):
        await check_configuration(client, 3, nodes[0].monitor_url, streams=[LOG])
    await client.close()
