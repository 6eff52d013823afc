"""Envoy, the front door: its configuration out of the contracts and the settings, and the embedded run's process."""

import base64
import json
import socket
import sys
import time
from pathlib import Path
from string import Template

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from libs.cli.child import ChildProcess
from libs.common.settings import Settings

_ROOT = Path(__file__).parents[2]
_TEMPLATE = _ROOT / "deploy" / "envoy" / "envoy.yaml"
_DESCRIPTORS = _ROOT / "libs" / "gen" / "descriptors.binpb"


def envoy_configuration(settings: Settings, *, host: str = "127.0.0.1") -> str:
    """Envoy's whole configuration as YAML: it listens at `host` and needs no other file.

    Every service in the contracts is reachable by REST; a package that is new needs a route in the template.
    """
    contracts = FileDescriptorSet.FromString(_DESCRIPTORS.read_bytes())
    for file in contracts.file:
        file.ClearField("source_code_info")  # comments: two thirds of it
    values = {
        "listen": {"address": host, "port_value": settings.public_port},
        "descriptors": base64.b64encode(contracts.SerializeToString()).decode(),
        "services": [f"{file.package}.{service.name}" for file in contracts.file for service in file.service],
        "performance": _socket(settings.performance_address),
        "coaching": _socket(settings.coaching_address),
        "promotion": _socket(settings.promotion_address),
        "gateway": _socket(settings.gateway_address),
        "gateway_http": _socket(settings.gateway_http_address),
    }
    # JSON is YAML: whatever a value holds stays a value.
    return Template(_TEMPLATE.read_text()).substitute({name: json.dumps(value) for name, value in values.items()})


def _socket(address: str) -> dict[str, str | int]:
    host, _, port = address.rpartition(":")
    return {"address": host.strip("[]"), "port_value": int(port)}


class Envoy(ChildProcess):
    """The front door at 127.0.0.1 and the settings' public port.

    `folder` is where its configuration and its output (`envoy.log`, with a line for each request) lie.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.folder = folder
        self.log = folder / "envoy.log"

    def start(self) -> None:
        """Starts it without waiting for it. Raises FileNotFoundError when it is not installed."""
        binary = Path(sys.executable).parent / "envoy"
        if not binary.exists():
            raise FileNotFoundError(f"{binary} is missing: install the project with its `embedded` extra")
        self.folder.mkdir(parents=True, exist_ok=True)
        configuration = self.folder / "envoy.yaml"
        configuration.write_text(envoy_configuration(self.settings))
        options = "--concurrency 1 --disable-hot-restart --log-level warning --file-flush-interval-msec 1000"
        self.spawn([binary, "--config-path", configuration, *options.split()])

    def wait_ready(self, seconds: float = 20.0) -> None:
        """Returns when it takes calls. Raises TimeoutError or RuntimeError with what it last said."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.ended():
                raise RuntimeError(f"Envoy ended: {self.last_words()}")
            try:
                socket.create_connection(("127.0.0.1", self.settings.public_port), timeout=1).close()
            except OSError:
                time.sleep(0.01)
                continue
            return
        raise TimeoutError(f"Envoy was not ready after {seconds:.0f} s: {self.last_words()}")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.settings.public_port}"
