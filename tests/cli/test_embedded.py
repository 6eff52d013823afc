"""The embedded run, as far as it comes where it cannot start."""

import asyncio
import os
import socket
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from libs.cli import embedded
from libs.cli.embedded import CannotStart, Embedded, make_key, running
from libs.cli.issuer import Issuer
from libs.cli.nats_server import NatsServer, new_passwords
from libs.common.background import in_background
from libs.common.jetstream import JetStreamStream, connect, create_streams
from libs.common.settings import Settings
from libs.common.streams import LOG, LOG_TROUBLES, Append, Entry
from tests.certificates import Authority
from tests.faults.network import can_be_made
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


class SmallDisk(NatsServer):
    """With a disk of 8 MB that no other process sees and that is gone with it."""

    def spawn(self, command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> None:
        store = self.folder / "store"
        store.mkdir(exist_ok=True)
        mounted = f'mount -t tmpfs -o size=8m disk {store} && exec "$@"'
        super().spawn(["/usr/bin/unshare", "--mount", "/bin/sh", "-c", mounted, "sh", *command], environment)

    def fill(self) -> None:
        assert self.process is not None
        with Path(f"/proc/{self.process.pid}/root/{self.folder}/store/ballast").open("wb") as ballast:
            free = os.statvfs(ballast.fileno())
            os.posix_fallocate(ballast.fileno(), 0, free.f_bavail * free.f_frsize)


@pytest.mark.skipif(not can_be_made(), reason="mounts a disk of its own, which takes root")
async def test_a_log_that_has_let_go_of_its_store_is_started_again(tmp_path: Path) -> None:
    """Where nats-server cannot write, it runs on and takes no more events, also when there is room again."""
    server = SmallDisk(tmp_path, port=free_port(), monitor_port=free_port())
    told: list[str] = []
    server.start()
    try:
        await asyncio.to_thread(server.wait_ready)
        async with in_background(Embedded(tmp_path, Settings(), {"nats-server": server}).watch(told.append)):
            client = await connect(server.url, "test")
            await create_streams(client, 1)
            stream = JetStreamStream(client, answer_seconds=0.5)
            server.fill()
            async with asyncio.timeout(40):
                while not told:
                    try:
                        await stream.publish(
                            [Append("log.test.thing.1", 0, [Entry(os.urandom(8).hex(), "test", b"x")])]
                        )
                    except LOG_TROUBLES:
                        await asyncio.sleep(0.1)
            assert told[0].startswith("nats-server ended (by SIGKILL); starting it again")
            await asyncio.to_thread(server.wait_ready)
            await client.close()
    finally:
        server.stop()


@pytest.mark.parametrize("file", ["kek", "issuer.pem"])
def test_a_key_that_was_not_written_to_its_end_is_none(
    tmp_path: Path, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start that is killed while it makes a key leaves no half of one; the next start makes it, and keeps it."""

    def make() -> None:
        make_key(tmp_path / "kek")
        Issuer.of(tmp_path, Settings())

    def killed(*_: object) -> None:
        raise SystemExit("killed before anything is on disk")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", killed)
        with pytest.raises(SystemExit):
            make() if file == "kek" else Issuer.of(tmp_path, Settings())
    assert not (tmp_path / file).exists()
    make()
    kept = (tmp_path / file).read_bytes()
    make()
    assert kept
    assert (tmp_path / file).read_bytes() == kept
    assert (tmp_path / file).stat().st_mode & 0o777 == 0o600
