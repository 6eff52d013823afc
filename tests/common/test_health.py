"""What probes are told of a process: whether it answers at all, and whether it takes calls."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from structlog.testing import capture_logs

from libs.cli.embedded import make_key
from libs.cli.nats_server import NatsServer
from libs.common.server import LIVE, probed, serve
from libs.common.service import open_service
from libs.common.settings import Settings
from tests.certificates import Authority
from tests.common.test_rpc import FACTS, LATE, Facts
from tests.servers import free_port, in_a_loop_of_its_own

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


async def told(settings: Settings, service: str = "") -> int:
    """What a probe of the kubelet is told, in plain text; waits for somebody to answer."""
    async with aio.insecure_channel(settings.health_address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)  # its type stubs do not know its methods
        return int((await stub.Check(HealthCheckRequest(service=service), wait_for_ready=True, timeout=60)).status)


async def test_a_process_is_live_before_it_takes_calls_and_until_it_stops() -> None:
    """Liveness holds from the first moment; readiness from when the server takes calls until it is asked to stop."""
    settings = Settings(performance_address="127.0.0.1:0", health_address=f"127.0.0.1:{free_port()}")
    async with probed(settings) as checks:
        assert (await told(settings, LIVE), await told(settings)) == (SERVING, NOT_SERVING)
        async with serve(settings, "performance", {FACTS: Facts()}, clock=lambda: LATE, checks=checks):
            assert (await told(settings, LIVE), await told(settings)) == (SERVING, SERVING)
        assert await told(settings) == NOT_SERVING


async def test_probes_show_no_certificate(tmp_path: Path) -> None:
    """The kubelet has none: where the service itself wants one, the probes' address does not."""
    settings = Authority("ours").issue(tmp_path).model_copy(update={"health_address": f"127.0.0.1:{free_port()}"})
    async with (
        probed(settings) as checks,
        serve(settings, "performance", {FACTS: Facts()}, clock=lambda: LATE, checks=checks),
    ):
        assert await told(settings) == SERVING


@pytest.mark.parametrize("away", ["log", "database"])
async def test_who_waits_for_its_stores_is_live(away: str, nats_one: NatsServer, tmp_path: Path) -> None:
    """A service whose log or database is away is not to be started again for it, and takes no calls."""
    make_key(tmp_path / "kek")
    nowhere = f"127.0.0.1:{free_port()}"
    settings = Settings(
        health_address=f"127.0.0.1:{free_port()}",
        nats_url=f"nats://{nowhere}" if away == "log" else nats_one.url,
        nats_monitor_url=nats_one.monitor_url,
        database_url=f"postgresql+asyncpg://performance@{nowhere}/{{service}}",
        kek_file=tmp_path / "kek",
    )

    async def starting() -> None:
        async with open_service("performance", settings, ()):
            pass

    with capture_logs() as logged:
        start = asyncio.create_task(starting())
        assert (await told(settings, LIVE), await told(settings)) == (SERVING, NOT_SERVING)
        while not any(line["event"] in (f"{away}_away", "nats_error") for line in logged):
            assert not start.done(), start.exception()
            await asyncio.sleep(0.02)
        start.cancel()
        await asyncio.wait([start])


def test_the_first_process_of_a_container_stops_while_it_waits() -> None:
    """Linux lets such a process not hear SIGTERM unless it listens: it does so from the beginning."""
    unshare = ["unshare", "--pid", "--fork", "--kill-child"]
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no process namespaces can be made here")
    settings = Settings(health_address=f"127.0.0.1:{free_port()}")
    nowhere = f"nats://127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        [*unshare, sys.executable, "-m", "services.performance"],
        env={**os.environ, "STEPLADDER_HEALTH_ADDRESS": settings.health_address, "STEPLADDER_NATS_URL": nowhere},
        stderr=subprocess.DEVNULL,
    )
    try:
        assert in_a_loop_of_its_own(told(settings, LIVE)) == SERVING
        (first,) = psutil.Process(process.pid).children()
        first.terminate()
        process.wait(timeout=20)
    finally:
        process.kill()
        process.wait()
