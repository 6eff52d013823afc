"""One running system a session, as `stepladder up --empty` has it, and the clients of others."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from libs.cli.embedded import Embedded
from libs.cli.issuer import Issuer
from tests.servers import own_ports, running_system

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    with running_system(tmp_path_factory.mktemp("system"), own_ports()) as running:
        yield running


@pytest.fixture(scope="session")
def url(system: Embedded) -> str:
    """Where Envoy takes everything."""
    return f"http://127.0.0.1:{system.settings.public_port}"


@pytest.fixture(scope="session")
def token(system: Embedded) -> str:
    """Of a system that may do all that systems may."""
    return Issuer.of(system.folder, system.settings).system("tests")


@pytest.fixture(scope="session")
def node() -> Callable[..., str]:
    """Runs a script of this folder and answers what it prints; its packages are installed first, as they are locked."""
    if shutil.which("npm") is None:
        pytest.skip("node is not installed here: clients in JavaScript are not tried")
    lock, installed = HERE / "package-lock.json", HERE / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        install = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
        subprocess.run(install, cwd=HERE, check=True, timeout=100)

    def run(*arguments: str) -> str:
        done = subprocess.run(["node", *arguments], cwd=HERE, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
