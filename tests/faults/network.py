"""A network for the nodes of a cluster, and disks of a size, made for one run and gone with it however it ends.

Everything is in Linux namespaces of the run's own: hosts on a bridge, mounts, and processes. The kernel ends them.
"""

import os
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

INSIDE = "STEPLADDER_TEST_INSIDE"
CALLERS = "callers"
"""Where services and callers are: the bridge's own address."""
NEVER_SECONDS = 900
"""Longer than any run without a sync."""
NOBODY = "02:00:00:00:00:00"
"""An Ethernet address that no host has."""


def namespaces() -> list[str]:
    """A command that runs another in namespaces of its own. When it is killed, so is all in there."""
    return ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]


def can_be_made() -> bool:
    """Whether we may have namespaces, bridges and disks: as root, on most machines."""
    trial = ["sh", "-c", "ip link add trial type bridge && mount -t tmpfs t /run && losetup --find && mkfs.ext4 -V"]
    try:
        return not subprocess.run([*namespaces(), *trial], capture_output=True, check=False).returncode
    except FileNotFoundError:
        return False


def go_inside(module: str) -> None:
    """Runs a module again in namespaces and ends with its status, unless this is it already."""
    if INSIDE in os.environ:
        _run("ip", "link", "set", "lo", "up")
        return
    os.environ[INSIDE] = "1"
    os.execvp("unshare", [*namespaces(), sys.executable, "-m", module, *sys.argv[1:]])  # noqa: S606 - as in a shell


class Network:
    """Hosts on a bridge. What one sends to another can be lost, in one direction or in both."""

    def __init__(self, hosts: Sequence[str]) -> None:
        self.addresses = {name: f"10.88.0.{number}" for number, name in enumerate([*hosts, CALLERS], 1)}
        self._hosts = hosts
        self._cut: set[tuple[str, str]] = set()

    @contextmanager
    def up(self) -> Iterator["Network"]:
        _run("mount", "-t", "tmpfs", "run", "/run")  # where `ip netns` notes its namespaces
        _run("ip", "link", "add", "bridge", "type", "bridge")
        _run("ip", "addr", "add", f"{self.addresses[CALLERS]}/24", "dev", "bridge")
        _run("ip", "link", "set", "bridge", "up")
        try:
            for host in self._hosts:
                _run("ip", "netns", "add", host)
                _run("ip", "link", "add", f"to-{host}", "type", "veth", "peer", "name", "bridge", "netns", host)
                _run("ip", "link", "set", f"to-{host}", "master", "bridge", "up")
                _run("ip", "-n", host, "addr", "add", f"{self.addresses[host]}/24", "dev", "bridge")
                _run("ip", "-n", host, "link", "set", "bridge", "up")
                _run("ip", "-n", host, "link", "set", "lo", "up")
            yield self
        finally:
            for host in self._hosts:
                _run("ip", "netns", "del", host)
            _run("ip", "link", "del", "bridge")
            _run("umount", "--lazy", "/run")

    def command(self, host: str) -> list[str]:
        """What runs a command on a host."""
        return ["/usr/bin/nsenter", f"--net=/run/netns/{host}"]

    def cut(self, some: Collection[str], others: Collection[str], *, both_ways: bool = True) -> None:
        """Loses everything that some hosts send to others, and the other way round unless told not to."""
        for one in some:
            for other in others:
                self._lose(one, other)
                if both_ways:
                    self._lose(other, one)

    def heal(self) -> None:
        """Loses nothing any more."""
        for sender, receiver in self._cut:
            _run(*_at(sender), "neigh", "del", self.addresses[receiver], "dev", "bridge")
        self._cut.clear()

    def _lose(self, sender: str, receiver: str) -> None:
        """Frames go to an address that nobody has: no error tells the sender, and what comes the other way arrives."""
        address = self.addresses[receiver]
        _run(*_at(sender), "neigh", "replace", address, "lladdr", NOBODY, "dev", "bridge", "nud", "permanent")
        self._cut.add((sender, receiver))


class Disk:
    """A disk of a size at a folder. A power cut leaves on it what was synced; no more is written in its own time."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._image = folder.with_suffix(".image")
        self._ballast = folder / "ballast"
        with self._image.open("wb") as image:
            image.truncate(megabytes << 20)
        _run("mkfs.ext4", "-q", "-m", "0", str(self._image))
        self._mount()

    def fill(self) -> None:
        """Leaves no room."""
        with self._ballast.open("wb") as ballast:
            free = os.statvfs(self._folder)
            with suppress(OSError):  # what is left is less than it takes to say what is where
                os.posix_fallocate(ballast.fileno(), 0, free.f_bavail * free.f_frsize)

    def make_room(self) -> None:
        """What filled it is gone."""
        self._ballast.unlink()

    def keep(self) -> None:
        """Notes what is on the disk at this moment, whatever was written and is yet to arrive there."""
        _run("cp", "--sparse=always", str(self._image), str(self._image.with_suffix(".kept")))

    def come_back(self) -> None:
        """The power was cut when it was noted, and is back. Whoever used the disk must be gone."""
        self.remove()
        self._image.with_suffix(".kept").replace(self._image)
        self._mount()

    def remove(self) -> None:
        """Takes it away with what is on it."""
        _run("umount", str(self._folder))

    def _mount(self) -> None:
        _run("mount", "-o", f"loop,commit={NEVER_SECONDS}", str(self._image), str(self._folder))


def _at(host: str) -> list[str]:
    return ["ip"] if host == CALLERS else ["ip", "-n", host]


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
