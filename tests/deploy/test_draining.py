"""The gateway's pod goes without an error to callers: Envoy, run as its manifest says, drains when the hook is run."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import yaml

from libs.cli.child import ChildProcess
from libs.cli.envoy import envoy_configuration
from libs.common.settings import Settings
from tests.deploy.images import ROOT
from tests.servers import free_port
from tests.tokens import TOKEN_KEYS

BASE = ROOT / "deploy" / "k8s" / "base"
DEPLOYMENT: dict[str, Any] = next(
    one for one in yaml.safe_load_all((BASE / "gateway.yaml").read_text()) if one["kind"] == "Deployment"
)
CONTAINERS = {one["name"]: one for one in DEPLOYMENT["spec"]["template"]["spec"]["containers"]}
ADMIN_PORT = "9901"
DRAIN_SECONDS = 3


@dataclass
class InPod(ChildProcess):
    """Envoy with its manifest's arguments, at ports of its own, and in a hurry."""

    folder: Path
    port: int
    admin_port: int

    def __post_init__(self) -> None:
        self.log = self.folder / "envoy.log"

    def start(self) -> None:
        settings = Settings(public_port=self.port, token_keys=TOKEN_KEYS)
        (self.folder / "envoy.yaml").write_text(envoy_configuration(settings, admin_port=self.admin_port))
        whole = "\n".join(CONTAINERS["envoy"]["args"])
        assert "--drain-time-s\n20" in whole
        whole = whole.replace("/etc/envoy", str(self.folder)).replace("-s\n20", f"-s\n{DRAIN_SECONDS}")
        self.spawn([Path(sys.executable).parent / "envoy", *whole.split("\n")])

    def connection(self) -> HTTPConnection:
        return HTTPConnection("127.0.0.1", self.port, timeout=20)

    def hook(self) -> None:
        """Runs the gateway's preStop, without the wait at its end."""
        _, option, program = CONTAINERS["service"]["lifecycle"]["preStop"]["exec"]["command"]
        assert ADMIN_PORT in program
        assert "time.sleep(25)" in program
        own = program.replace(ADMIN_PORT, str(self.admin_port)).replace("time.sleep(25)", "")
        subprocess.run([sys.executable, option, own], check=True, env={"PATH": os.environ["PATH"]}, timeout=60)


@pytest.fixture
def envoy(tmp_path: Path) -> Iterator[InPod]:
    envoy = InPod(tmp_path, free_port(), free_port())
    envoy.start()
    try:
        until(lambda: asked(envoy.connection()))
        yield envoy
    finally:
        envoy.stop()


def until(held: Any) -> None:
    """Waits for something to hold."""
    deadline = time.monotonic() + 60
    while not held():
        assert time.monotonic() < deadline, "it never came to hold"
        time.sleep(0.05)


def asked(connection: HTTPConnection) -> str:
    """What Envoy answers of the connection, on it; empty when it cannot be reached."""
    try:
        connection.request("GET", "/nothing")
        answer = connection.getresponse()
        answer.read()
    except OSError:
        return ""
    return answer.headers.get("connection", "stays")


def test_callers_are_sent_elsewhere_before_it_stops(envoy: InPod) -> None:
    """Who has a connection is answered and asked to close it, who comes late as well; then nobody is let in."""
    kept = envoy.connection()
    assert asked(kept) == "stays"
    envoy.hook()
    assert asked(kept) == "close"
    assert asked(envoy.connection()) == "close"
    until(lambda: not asked(envoy.connection()))
    assert not envoy.ended()


def test_envoy_is_the_last_to_stop() -> None:
    """Its hook lasts as long as the gateway's and the calls that run then; the pod has longer than that."""
    patch = yaml.safe_load((BASE / "service.yaml").read_text())["spec"]["template"]["spec"]
    settings = dict(line.split("=", 1) for line in (BASE / "settings.env").read_text().split())
    drain = Settings.model_fields["drain_seconds"].default  # unless a setting says so
    calls = float(settings.get("STEPLADDER_DRAIN_SECONDS", drain)) + int(settings["STEPLADDER_SHUTDOWN_GRACE_SECONDS"])
    envoy = CONTAINERS["envoy"]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert 25 + calls < envoy < patch["terminationGracePeriodSeconds"]
