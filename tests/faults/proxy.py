"""A TCP proxy before nats-server that loses answers: what was sent arrives, what comes back is swallowed, then cut."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from random import Random


class LossyProxy:
    """Forwards to a port; now and then (seeded) it swallows what the server says for a moment and drops the line.

    Attributes:
        lost: how often it has done so.
        calm: while true, it only forwards.
    """

    def __init__(self, target: int, seed: int, every_seconds: float) -> None:
        self.port = 0
        self.lost = 0
        self.calm = True
        self._target = target
        self._random = Random(seed)
        self._every = every_seconds

    @asynccontextmanager
    async def running(self) -> AsyncIterator["LossyProxy"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        swallowing = asyncio.Event()
        tasks = {
            asyncio.create_task(_forward(reader, up_writer)),
            asyncio.create_task(_forward(up_reader, writer, swallowing)),
            asyncio.create_task(self._lose(swallowing)),
        }
        with suppress(asyncio.CancelledError):  # the proxy ends: so does every line
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        for end in (writer, up_writer):
            with suppress(OSError):
                end.close()

    async def _lose(self, swallowing: asyncio.Event) -> None:
        """Ends after having swallowed answers for a moment."""
        await asyncio.sleep(self._random.expovariate(1 / self._every))
        while self.calm:
            await asyncio.sleep(0.1)
        swallowing.set()
        self.lost += 1
        await asyncio.sleep(0.3)


async def _forward(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, swallowing: asyncio.Event | None = None
) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            if swallowing is None or not swallowing.is_set():
                writer.write(data)
                await writer.drain()
