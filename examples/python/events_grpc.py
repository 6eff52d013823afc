"""The public events by gRPC, from the first one on, for ever: `watch_events` goes on by itself when the stream breaks.

After `make up`:

    TOKEN=$(.venv/bin/stepladder token bi --role events) .venv/bin/python examples/python/events_grpc.py
"""

import asyncio
import os

from stepladder.gateway.v1.event_stream_pb2 import EventFilter, WatchEventsRequest
from stepladder_client import connect, watch_events

ADDRESS = os.environ.get("STEPLADDER", "127.0.0.1:8080")


async def main() -> None:
    teams = EventFilter(types=["stepladder.performance.team-created.v1"])
    async with connect(ADDRESS, os.environ["TOKEN"]) as channel:
        async for position, event in watch_events(channel, WatchEventsRequest(filter=teams, after=0)):
            print(position, event["type"], event["subject"], flush=True)


asyncio.run(main())
