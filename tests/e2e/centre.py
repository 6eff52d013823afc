"""`stepladder up` as a newcomer runs it, and the command line beside it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

from libs.cli.issuer import Issuer
from libs.common.auth import bearer
from libs.common.settings import Settings
from tests.servers import free_port

STEPLADDER = Path(sys.executable).parent / "stepladder"


class Centre:
    """A running `stepladder up` and the command line beside it."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.environment = environment
        self.port = environment["STEPLADDER_PUBLIC_PORT"]
        self.output = ""

    @contextmanager
    def up(self, *arguments: str, seconds: float = 120, status: int = 0) -> Iterator[subprocess.Popen[str]]:
        """Runs it until it says what to try next; at the end stops it by Ctrl-C and checks that nothing is left."""
        command = [str(STEPLADDER), "up", "--data", str(self.folder), *arguments]
        log = self.folder.with_suffix(".out")
        with log.open("w") as out:
            process = subprocess.Popen(command, stdout=out, stderr=out, env=dict(self.environment), text=True)
        try:
            deadline = time.monotonic() + seconds
            while "Ctrl-C stops" not in log.read_text():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(40)
            self.output = log.read_text()
        assert process.returncode == status, self.output
        assert "Stopped." in self.output
        assert self.processes() == []

    def run(self, *arguments: str, status: int | None = 0) -> str:
        """Runs another command of the command line, which must end with a status if one is named."""
        done = subprocess.run(
            [str(STEPLADDER), *arguments, "--data", str(self.folder)],
            capture_output=True,
            env=dict(self.environment),
            text=True,
            timeout=60,
            check=False,
            cwd=self.folder,
        )
        assert status in (None, done.returncode), done.stdout + done.stderr
        return done.stdout + done.stderr

    def rest(self, path: str, caller: str = "", body: object = None) -> dict[str, list[dict[str, object]]]:
        data = json.dumps(body).encode() if body else None
        issuer = Issuer.of(self.folder, Settings())
        headers = dict(bearer(issuer.person(caller) if caller else issuer.system("tests")))
        with urlopen(Request(f"http://127.0.0.1:{self.port}{path}", data, headers), timeout=20) as answer:
            found: dict[str, list[dict[str, object]]] = json.load(answer)
            return found

    def processes(self) -> list[str]:
        """Commands of processes that belong to this system."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    environment = (entry / "environ").read_bytes()
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                except OSError:
                    continue
                if f"STEPLADDER_PUBLIC_PORT={self.port}".encode() in environment and "pytest" not in command:
                    found.append(command)
        return found


def new_centre(folder: Path) -> Centre:
    """A system of its own ports, in a folder that is made."""
    names = ("PERFORMANCE", "COACHING", "PROMOTION", "GATEWAY", "GATEWAY_HTTP")
    addresses = {f"STEPLADDER_{name}_ADDRESS": f"127.0.0.1:{free_port()}" for name in names}
    own = {**addresses, "STEPLADDER_PUBLIC_PORT": str(free_port()), "PYTHONPATH": str(Path(__file__).parents[2])}
    folder.mkdir()
    return Centre(folder, {**os.environ, **own})
