"""Clients of others read the public events, and what is said of them."""

import json
from pathlib import Path

import pytest

from libs.common.contracts import load_contracts
from services.gateway.__main__ import EVENTS
from services.gateway.event_schemas import asyncapi, event_schemas
from services.gateway.publication import publications
from tests.foreign.conftest import HERE, Call, node, running

pytestmark = pytest.mark.xdist_group("foreign")


def test_the_asyncapi_parser_finds_no_fault(tmp_path: Path) -> None:
    """AsyncAPI's own parser, unchanged."""
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    document = asyncapi(event_schemas(publications(EVENTS).values(), load_contracts()))
    good.write_text(json.dumps(document))
    bad.write_text(json.dumps(document | {"channels": []}))
    found = node(HERE / "asyncapi.mjs", str(good), str(bad)).splitlines()
    assert not any(line.startswith(f"{good}: ") for line in found), found
    assert any(line.startswith(f"{bad}: ") and "channels" in line for line in found)


async def test_curl_reads_on(call: Call, url: str, token: str) -> None:
    """`curl -N` on server-sent events, and again with `Last-Event-ID`: nothing is lost, nothing comes twice."""
    for number in range(20):
        await call("POST", "teams", {"team": {"teamId": f"curl-{number}", "displayName": "A team"}})
    told: list[tuple[str, str]] = []

    async def read(count: int, *options: str) -> None:
        """Reads up to so many events in all, and is killed with others under way."""
        block: dict[str, str] = {}
        header = f"authorization: Bearer {token}"
        async with running("curl", "-sN", "-H", header, *options, f"{url}/v1/events:stream?after=0") as curl:
            while len(told) < count:
                field, _, value = (await curl.line()).partition(": ")
                block[field] = value
                if field:
                    continue
                if "/curl-" in (subject := json.loads(block.get("data", "{}")).get("subject", "")):
                    told.append((block["id"], subject))
                block = {}

    await read(7)
    await read(15, "-H", f"Last-Event-ID: {told[-1][0]}")
    await read(20, "-H", f"Last-Event-ID: {told[-1][0]}")
    assert [subject for _, subject in told] == [f"team/curl-{number}" for number in range(20)]
    assert len({position for position, _ in told}) == 20
