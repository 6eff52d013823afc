"""nats-server as a child process: the embedded run's log, and the tests'."""

import json
import os
import secrets
import shutil
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from libs.cli.child import ChildProcess

_ACCOUNTS = Path(__file__).parents[2] / "deploy" / "nats" / "accounts.conf"
USERS = ("performance", "coaching", "promotion", "gateway", "setup", "backup", "restore")
"""Those of accounts.conf: the services, and who sets up, backs up and restores."""


def new_passwords() -> Mapping[str, str]:
    """One for each user. They begin with a letter: nats-server would take others for numbers."""
    return {user: f"p{secrets.token_hex(24)}" for user in USERS}


ENABLED = "?js-enabled-only=true"
"""Asks for no more than whether it has its store: nothing of other nodes."""


@dataclass(frozen=True)
class Cluster:
    """How one node of a cluster finds the others: its own route port, and everybody's as host:port."""

    name: str
    port: int
    routes: Sequence[str]


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
        host: str = "127.0.0.1",
        cluster: Cluster | None = None,
        passwords: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.log = folder / "nats.log"
        self.port = port
        self.monitor_port = monitor_port
        self.name = name
        self.host = host
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
            if (not (self.port and self.monitor_port) and not self._learn_ports()) or self._health(ENABLED)[
                0
            ] != HTTPStatus.OK:
                time.sleep(0.01)
                continue
            return
        raise TimeoutError(f"nats-server was not ready after {seconds:.0f} s: {self.last_words()}")

    def has_given_up(self) -> bool:
        """Whether it takes no more events until it is started again: that is what it does where it could not write."""
        if not self._listens():  # it begins with that when it has opened its store
            return False
        status, _ = self._health(ENABLED)
        return status == HTTPStatus.SERVICE_UNAVAILABLE or "write error" in self._health()[1]  # it has no code for that

    @property
    def url(self) -> str:
        return f"nats://{self.host}:{self.port}"

    def url_of(self, user: str) -> str:
        """Where a user connects, with the password."""
        return f"nats://{user}:{self.passwords[user]}@{self.host}:{self.port}"

    @property
    def monitor_url(self) -> str:
        return f"http://{self.host}:{self.monitor_port}"

    def _configuration(self, ports: Path) -> str:
        lines = [
            f"server_name: {self.name}",
            f"listen: {self.host}:{self.port or -1}",
            f"http: {self.host}:{self.monitor_port or -1}",
            f'ports_file_dir: "{ports}"',
            "max_payload: 1MB",
            # Of its own accord it would keep to three quarters of what is free now: to nothing, if the disk is full.
            f'jetstream {{ store_dir: "{self.folder / "store"}", sync_interval: always, max_file_store: 1TB }}',
        ]
        if self.cluster is not None:
            routes = ", ".join(f"nats://{route}" for route in self.cluster.routes)
            lines.append(
                f"cluster {{ name: {self.cluster.name}, listen: {self.host}:{self.cluster.port}, routes: [{routes}] }}"
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

    def _listens(self) -> bool:
        """Whether clients can connect."""
        try:
            with socket.create_connection((self.host, self.port), timeout=1):
                return True
        except OSError:
            return False

    def _health(self, of: str = "") -> tuple[int, str]:
        """What it says of itself, and as which status of HTTP; 0 where it says nothing."""
        try:
            with urlopen(f"{self.monitor_url}/healthz{of}", timeout=1) as answer:  # noqa: S310 - own address
                return answer.status, ""
        except HTTPError as error:
            return error.code, error.read().decode(errors="replace")
        except OSError:
            return 0, ""
