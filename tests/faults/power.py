"""Events published to a node whose power is then cut, and how many of them are there when it is back.

`python -m tests.faults.power` prints how many were acknowledged and how many of those are lost. The negative control is
`python -m tests.faults.power 2m`: the node syncs as often as nats-server does unless told otherwise.
"""

import asyncio
import os
import signal
import sys
import tempfile
from pathlib import Path

from libs.cli.nats_server import NatsServer
from libs.common.jetstream import JetStreamStream, connect, create_streams
from libs.common.streams import Append, Entry
from tests.faults.network import Disk, go_inside

EVENTS = 200


class Syncing(NatsServer):
    """A node that syncs every so often."""

    def __init__(self, folder: Path, interval: str) -> None:
        super().__init__(folder)
        self.log = folder.parent / "nats.log"
        self._interval = interval

    def _configuration(self, ports: Path) -> str:
        return super()._configuration(ports).replace("sync_interval: always", f"sync_interval: {self._interval}")


async def lost(folder: Path, interval: str) -> int:
    """How many acknowledged events a power cut loses."""
    disk = Disk(folder / "disk", 128)
    node = Syncing(folder / "disk", interval)
    try:
        node.start()
        await asyncio.to_thread(node.wait_ready)
        client = await connect(node.url, "publisher")
        await create_streams(client, replicas=1)
        stream = JetStreamStream(client)
        for number in range(EVENTS):
            await stream.publish([Append(f"log.test.thing.{number}", 0, [Entry(str(number), "test", b"x")])])
        assert node.process is not None
        os.kill(node.process.pid, signal.SIGSTOP)
        disk.keep()
        node.kill()
        await client.close()
        disk.come_back()
        node.port = node.monitor_port = 0
        node.start()
        await asyncio.to_thread(node.wait_ready)
        client = await connect(node.url, "publisher")
        await create_streams(client, replicas=1)  # where even the stream is lost
        last = (await JetStreamStream(client).state()).last
        await client.close()
        return EVENTS - last
    finally:
        node.stop()
        disk.remove()


def main() -> None:
    go_inside("tests.faults.power")
    with tempfile.TemporaryDirectory(prefix="stepladder-power-") as folder:
        missing = asyncio.run(lost(Path(folder), sys.argv[1] if len(sys.argv) > 1 else "always"))
    sys.stdout.write(f"{EVENTS} acknowledged, {missing} lost\n")


if __name__ == "__main__":
    main()
