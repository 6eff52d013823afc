"""Clients of others read the public events, and what is said of them."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

from libs.common.contracts import load_contracts
from services.gateway.__main__ import EVENTS
from services.gateway.event_schemas import asyncapi, event_schemas
from services.gateway.publication import publications
from tests.gateway.test_subscribers import running_server, two_events


def test_the_asyncapi_parser_finds_no_fault(node: Callable[..., str], tmp_path: Path) -> None:
    """AsyncAPI's own parser, unchanged."""
    file = tmp_path / "asyncapi.json"
    schemas = event_schemas(publications(EVENTS).values(), load_contracts())
    file.write_text(json.dumps(asyncapi(schemas)))
    assert node("asyncapi.mjs", str(file)) == ""
    file.write_text(json.dumps(asyncapi(schemas) | {"channels": []}))
    assert "channels" in node("asyncapi.mjs", str(file))


async def test_a_subscriber_in_node_reads(node: Callable[..., str], tmp_path: Path) -> None:
    """@nats-io/jetstream, unchanged, with the subscriber's user and nothing else."""
    kind = "stepladder.performance.employee-hired.v1"
    with running_server(tmp_path) as server:
        async with two_events(server, tmp_path):
            url = f"nats://127.0.0.1:{server.port}"
            told = await asyncio.to_thread(node, "jetstream.mjs", url, "hr-platform", "one", "2")
    assert told.splitlines() == [f"1 {kind}", f"2 {kind}"]
