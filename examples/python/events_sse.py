"""The public events as server-sent events, without a gap: what was done is kept in a file, and gone on behind.

After `make up` and `pip install aiohttp` (done here):

    TOKEN=$(.venv/bin/stepladder token bi --role events) .venv/bin/python examples/python/events_sse.py position.txt
"""

import asyncio
import json
import os
import sys
from pathlib import Path

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout

URL = f"http://{os.environ.get('STEPLADDER', '127.0.0.1:8080')}/v1/events:stream"
QUERY = {"filter.types": "stepladder.performance.team-created.v1"}


async def read(answer: ClientResponse, kept: Path) -> None:
    """Blocks of `name: value`, each ended by an empty line; one without data only says how far the stream has come."""
    block: dict[str, str] = {}
    async for line in answer.content:
        name, _, value = line.decode().rstrip("\n").partition(": ")
        block[name] = value
        if line != b"\n":
            continue
        if "data" in block:
            event = json.loads(block["data"])
            print(block["id"], event["type"], event["subject"], flush=True)
        if "id" in block:
            keep(block["id"], kept)  # after the work: an event may come twice, and is never left out
        block = {}


def keep(position: str, kept: Path) -> None:
    new = kept.with_suffix(".new")
    new.write_text(position)
    new.replace(kept)  # at once: there is never half a position


async def main(kept: Path) -> None:
    # The stream says at least every 15 s that it is there.
    timeout = ClientTimeout(total=None, sock_connect=10, sock_read=60)
    async with ClientSession(timeout=timeout, read_bufsize=2**19) as session:  # an event is one line of up to 900 kB
        while True:
            position = kept.read_text() if kept.exists() else "0"
            headers = {"authorization": f"Bearer {os.environ['TOKEN']}", "last-event-id": position}
            try:
                async with session.get(URL, params=QUERY, headers=headers) as answer:
                    if answer.status in {400, 401, 403}:
                        raise SystemExit(await answer.text())  # the next attempt would say the same
                    if answer.ok:
                        await read(answer, kept)
            except (ClientError, TimeoutError) as error:
                print(f"connecting again: {error}", file=sys.stderr)
            await asyncio.sleep(2)


asyncio.run(main(Path(sys.argv[1])))
