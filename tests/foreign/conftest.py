"""One running system for all tests of this folder, as `stepladder up --empty` has it, and the clients of others."""

import asyncio
import os
import shutil
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, ClientTimeout

from libs.cli.embedded import Embedded
from libs.cli.issuer import Issuer
from libs.common.auth import bearer
from tests.servers import own_ports, running_system

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "examples"

Call = Callable[..., Awaitable[Any]]
"""Method, path, body: a call over REST that has to succeed, and its answer."""


@pytest.fixture(scope="package")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    with running_system(tmp_path_factory.mktemp("system"), own_ports()) as running:
        yield running


@pytest.fixture(scope="package")
def address(system: Embedded) -> str:
    """Where Envoy takes everything."""
    return f"127.0.0.1:{system.settings.public_port}"


@pytest.fixture(scope="package")
def url(address: str) -> str:
    return f"http://{address}"


@pytest.fixture(scope="package")
def token(system: Embedded) -> str:
    """Of a system that may do all that systems may."""
    return Issuer.of(system.folder, system.settings).system("tests")


@pytest.fixture
async def call(url: str, token: str) -> AsyncIterator[Call]:
    async with ClientSession(headers=dict(bearer(token)), timeout=ClientTimeout(total=40)) as session:

        async def call(method: str, path: str, body: object = None) -> Any:
            async with session.request(method, f"{url}/v1/{path}", json=body) as answer:
                content = await answer.json()
                assert answer.ok, content
                return content

        yield call


def node(script: Path, *arguments: str) -> str:
    """Runs a script and answers what it prints."""
    installed(script.parent)
    done = subprocess.run(["node", script, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def installed(folder: Path) -> None:
    """Installs what the scripts of a folder need, as it is locked; skips where node is absent."""
    if shutil.which("npm") is None:
        pytest.skip("node is not installed here: clients in JavaScript are not tried")
    lock, there = folder / "package-lock.json", folder / "node_modules" / ".package-lock.json"
    if not there.exists() or there.stat().st_mtime < lock.stat().st_mtime:
        install = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
        subprocess.run(install, cwd=folder, check=True, timeout=100)


@dataclass
class Running:
    """A program that prints a line for whatever it is told."""

    process: Process

    async def line(self) -> str:
        """The next one. Raises EOFError when the program has ended."""
        assert self.process.stdout is not None
        async with asyncio.timeout(60):
            line = (await self.process.stdout.readline()).decode()
        if not line:
            raise EOFError
        return line.rstrip("\n")

    async def lines(self, count: int) -> list[str]:
        return [await self.line() for _ in range(count)]


@asynccontextmanager
async def running(*command: str | Path, **environment: str) -> AsyncIterator[Running]:
    """A program at work; it is killed at the end."""
    process = await asyncio.create_subprocess_exec(*command, env={**os.environ, **environment}, stdout=PIPE)
    try:
        yield Running(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def example(name: str) -> list[str | Path]:
    """The command that runs an example; what it needs is installed."""
    file = EXAMPLES / name
    if file.suffix == ".py":
        return [sys.executable, file]
    installed(file.parent)
    return ["node", file]
