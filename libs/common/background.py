"""Work that goes on beside other work, and ends with it."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Set
from contextlib import asynccontextmanager
from typing import Any

AGAIN_SECONDS = 3.0


@asynccontextmanager
async def in_background(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Runs `work` while the context lasts; at its end, cancels what still runs and waits until it has ended."""
    tasks = {asyncio.create_task(one) for one in work}
    try:
        yield
    finally:
        await ended(tasks)


async def ended(tasks: Set[asyncio.Task[None]]) -> None:
    """Cancels what still runs of some tasks and waits until it has ended, however it does."""
    running = {task for task in tasks if not task.done()}
    while running:
        # Once need not do: before Python 3.12, asyncio.wait_for (where nats-py connects) swallows
        # a cancellation that comes together with what it waits for.
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=AGAIN_SECONDS)
