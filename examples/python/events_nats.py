"""The public events from NATS itself, as a subscriber with an account of its own (docs/events.md, Events out).

With its name and password, and `pip install nats-py` (done here):

    NATS_URL=nats://127.0.0.1:4222 SUBSCRIBER=hr-platform PASSWORD=... .venv/bin/python examples/python/events_nats.py
"""

import asyncio
import json
import os

import nats
from nats.errors import TimeoutError as NothingCame

NAME = os.environ["SUBSCRIBER"]


async def main() -> None:
    # Both prefixes belong to the account: it may hear and ask nothing else.
    client = await nats.connect(
        os.environ["NATS_URL"], user=NAME, password=os.environ["PASSWORD"], inbox_prefix=f"_INBOX_{NAME}"
    )
    consumer = await client.jetstream(prefix="STEPLADDER.API").pull_subscribe_bind(durable=NAME, stream="EVENTS")
    while True:
        try:
            messages = await consumer.fetch(100, timeout=30)
        except NothingCame:
            continue
        for message in messages:
            event = json.loads(message.data)
            print(message.metadata.sequence.stream, event["type"], event["subject"], flush=True)
            await message.ack()  # after the work: an event may come twice, and is never left out


asyncio.run(main())
