"""The embedded run, as far as it comes where it cannot start."""

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from libs.cli.embedded import CannotStart, running
from libs.common.settings import Settings
from tests.servers import free_port


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
