"""The embedded run, as far as it comes where it cannot start."""

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from libs.cli import embedded
from libs.cli.embedded import CannotStart, running
from libs.cli.nats_server import NatsServer, new_passwords
from libs.common.jetstream import JetStreamStream, connect
from libs.common.settings import Settings
from libs.common.streams import LOG, Append, Entry
from tests.certificates import Authority
from tests.servers import free_port, running_nats


async def test_every_port_that_is_taken_is_named(tmp_path: Path) -> None:
    """All at once, each with its variable as it is set now; those that are free are not."""
    with ExitStack() as bound:
        taken = [bound.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(3)]
        settings = Settings(
            performance_address=f"127.0.0.1:{taken[0]}",
            coaching_address=f"127.0.0.1:{free_port()}",
            promotion_address=f"localhost:{taken[1]}",
            gateway_address=f"127.0.0.1:{free_port()}",
            gateway_http_address=f"127.0.0.1:{free_port()}",
            public_port=taken[2],
        )
        with pytest.raises(CannotStart) as caught:
            async with running(tmp_path, settings):
                pass
    assert str(caught.value).partition(": ")[2] == (
        f"STEPLADDER_PERFORMANCE_ADDRESS=127.0.0.1:{taken[0]}, STEPLADDER_PROMOTION_ADDRESS=localhost:{taken[1]}, "
        f"STEPLADDER_PUBLIC_PORT={taken[2]}"
    )


async def test_tls_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    """Its services would not be found by what calls them in plain text."""
    settings = Authority("ours").issue(tmp_path / "tls")
    with pytest.raises(CannotStart, match="STEPLADDER_TLS"):
        async with running(tmp_path / "folder", settings):
            pass
    assert not (tmp_path / "folder").exists()


async def test_a_folder_from_before_there_were_accounts_keeps_its_events(tmp_path: Path) -> None:
    """Its streams are where nats-server looks for them, also when it was killed on the way; nothing is done twice."""
    with running_nats(tmp_path, 1) as (before,):
        client = await connect(before.url, "test")
        await JetStreamStream(client, LOG).publish([Append("log.performance.kpi.1", 0, [Entry("a", "test", b"x")])])
        await client.close()
    (before.folder / "store" / "jetstream" / LOG / "streams").mkdir(parents=True)  # a move that was cut short
    for _ in range(2):
        embedded._move_streams(before.folder / "store" / "jetstream")
        server = NatsServer(before.folder, passwords=new_passwords())
        server.start()
        try:
            server.wait_ready()
            client = await connect(server.url_of("coaching"), "coaching")
            assert len(await JetStreamStream(client, LOG).read("log.performance.kpi.1")) == 1
            await client.close()
        finally:
            server.stop()
