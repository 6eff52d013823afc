"""A service is replaced, process by process, while it is called: nobody notices."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen
from uuid import uuid4

import pytest
from grpc import aio
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from libs.cli.embedded import ServiceProcess, make_key, stored_in
from libs.cli.envoy import Envoy
from libs.common.background import in_background
from libs.common.database import open_database
from libs.common.jetstream import JetStreamStream, connect
from libs.common.migrating import migrate
from libs.common.settings import Settings
from libs.common.streams import LOG
from stepladder.performance.v1.directory_pb2 import CreateTeamRequest, ListTeamsRequest, Team
from stepladder.performance.v1.directory_pb2_grpc import DirectoryServiceStub
from stepladder_client import connect as connect_caller
from tests.servers import free_port, new_database, running_nats
from tests.tokens import SYSTEM, TOKEN_KEYS, as_system


class Balancing(Envoy):
    """Envoy before several processes of performance, as where a name stands for all of them."""

    def __init__(self, settings: Settings, folder: Path, ports: list[int]) -> None:
        super().__init__(settings, folder)
        self._ports = ports

    def configured(self) -> str:
        def endpoint(port: int) -> str:
            return f'{{endpoint: {{address: {{socket_address: {{"address": "127.0.0.1", "port_value": {port}}}}}}}}}'

        one = endpoint(self._ports[0])
        text = super().configured()
        assert text.count(one) == 1
        return text.replace(one, ", ".join(map(endpoint, self._ports)))


class Callers:
    """Call all the time; `errors` are what came back in place of an answer."""

    def __init__(self, envoy: Envoy) -> None:
        self._url = envoy.url
        self._address = f"127.0.0.1:{envoy.settings.public_port}"
        self.made: list[str] = []
        self.calls = Counter[str]()
        self.errors: list[str] = []

    @asynccontextmanager
    async def calling(self) -> AsyncIterator[None]:
        async with connect_caller(self._address, SYSTEM) as channel:
            stub = DirectoryServiceStub(channel)

            async def write() -> None:
                team = f"g-{uuid4().hex}"
                answer = await stub.CreateTeam(CreateTeamRequest(team=Team(team_id=team, display_name="T")))
                self.made.append(team)
                # Whichever process follows the log now, and has followed it before.
                await stub.ListTeams(ListTeamsRequest(page_size=10, at_least=answer.log_position))

            async def read() -> None:
                await stub.ListTeams(ListTeamsRequest(page_size=10))

            async def write_by_rest() -> None:
                team = f"r-{uuid4().hex}"
                await asyncio.to_thread(self._rest, {"team": {"teamId": team, "displayName": "T"}})
                self.made.append(team)

            async def read_by_rest() -> None:
                await asyncio.to_thread(self._rest, None)

            work = (write, read, write_by_rest, read_by_rest)
            async with in_background(*(self._again(one) for one in work for _ in range(3))):
                yield

    async def _again(self, call: Callable[[], Coroutine[Any, Any, None]]) -> None:
        while True:
            try:
                await call()
                self.calls[call.__name__] += 1
            except Exception as error:  # whatever it is, a caller would not have it
                self.errors.append(f"{call.__name__}: {_said(error)}")
            await asyncio.sleep(0.01)

    def _rest(self, body: object) -> None:
        data = json.dumps(body).encode() if body else None
        request = Request(f"{self._url}/v1/teams", data, dict(as_system()))  # noqa: S310 - our own address
        with urlopen(request, timeout=30) as answer:  # noqa: S310 - our own address
            answer.read()

    async def go_on(self, calls: int) -> None:
        """Waits until each kind of call was answered so many times more."""
        kinds = ("write", "read", "write_by_rest", "read_by_rest")
        enough = {kind: self.calls[kind] + calls for kind in kinds}
        while any(self.calls[kind] < enough[kind] for kind in kinds):
            await asyncio.sleep(0.05)


def _said(error: Exception) -> str:
    return f"{error!r} {error.read().decode()}" if isinstance(error, HTTPError) else repr(error)


async def databases(postgres: str, folder: Path) -> Settings:
    """Settings with ports, databases and a key of their own."""
    names = ("performance", "coaching", "promotion", "gateway", "gateway_http")
    own = {f"{name}_address": f"127.0.0.1:{free_port()}" for name in names}
    settings = stored_in(folder, Settings(**own, public_port=free_port()))  # type: ignore[arg-type] # addresses are strings
    urls = {"database_url": await new_database(postgres), "keys_url": await new_database(postgres)}
    make_key(settings.kek_file)
    for name, url in zip(("performance", "keys"), urls.values(), strict=True):
        engine = open_database(url)
        await migrate(engine, name)
        await engine.dispose()
    usual = Settings().drain_seconds  # `stepladder up` has none
    return settings.model_copy(update={**urls, "token_keys": TOKEN_KEYS, "drain_seconds": usual})


async def serving(process: ServiceProcess) -> None:
    """Returns when a process takes calls."""
    async with aio.insecure_channel(process.settings.performance_address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)  # its type stubs do not know its methods
        async with asyncio.timeout(60):
            while True:
                assert not process.ended(), process.last_words()
                with suppress(aio.AioRpcError):
                    if (await stub.Check(HealthCheckRequest(), timeout=1)).status == HealthCheckResponse.SERVING:
                        return
                await asyncio.sleep(0.05)


@pytest.mark.timeout(300)
async def test_a_rolling_upgrade_is_not_noticed(postgres: str, tmp_path: Path) -> None:
    """Two processes of performance are stopped and started one after the other, under all kinds of calls."""
    settings = await databases(postgres, tmp_path)
    with running_nats(tmp_path, 1) as (nats,):
        settings = settings.model_copy(update={"nats_url": nats.url, "nats_monitor_url": nats.monitor_url})
        ports = [int(settings.performance_address.rpartition(":")[2]), free_port()]
        replicas = []
        for number, port in enumerate(ports):
            own = {"performance_address": f"127.0.0.1:{port}", "instance": f"performance-{number}"}
            log = tmp_path / f"performance-{number}.log"
            replicas.append(ServiceProcess("performance", settings.model_copy(update=own), log))
        envoy = Balancing(settings, tmp_path, ports)
        try:
            for server in (*replicas, envoy):
                server.start()
            await asyncio.gather(*map(serving, replicas))
            await asyncio.to_thread(envoy.wait_ready)
            callers = Callers(envoy)
            async with callers.calling():
                await callers.go_on(10)
                for replica in replicas:
                    # when
                    await asyncio.to_thread(replica.stop)
                    await callers.go_on(10)
                    replica.start()
                    await serving(replica)
                    await callers.go_on(10)
            # then
            assert Counter(callers.errors) == {}
            client = await connect(nats.url, "tests")
            stream = JetStreamStream(client, LOG)
            subjects = Counter([one.subject async for one in stream.copy(0, (await stream.state()).last)])
            await client.close()
            assert {team for team in callers.made if subjects[f"log.performance.team.{team}"] != 1} == set()
        finally:
            for server in (envoy, *replicas):
                server.stop()
