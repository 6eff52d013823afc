"""Backups and restores of a whole system that are cut short."""

import os
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from uuid import uuid4

import pytest

from libs.common.streams import LOG
from tests.e2e.centre import STEPLADDER, Centre, new_centre


@contextmanager
def somebody_writing(centre: Centre) -> Iterator[list[str]]:
    """Teams made one after the other, each while the context lasts; yields those that were acknowledged."""
    made: list[str] = []
    ended = threading.Event()

    def write() -> None:
        while not ended.is_set():
            team = f"t-{uuid4().hex}"
            try:
                centre.rest("/v1/teams", body={"team": {"teamId": team, "displayName": "T"}, "requestId": team})
            except URLError:
                continue
            made.append(team)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield made
    finally:
        ended.set()
        writer.join()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Centre]:
    """A system with a few thousand events."""
    centre = new_centre(tmp_path / "centre")
    with centre.up("--empty"):
        with somebody_writing(centre) as made:
            while len(made) < 300:
                time.sleep(0.05)
        yield centre


def start(centre: Centre, *arguments: str, most_bytes: int | None = None) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [str(STEPLADDER), *arguments, "--data", str(centre.folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(centre.environment),
        text=True,
    )
    if most_bytes is not None:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
    return process


def test_what_was_cut_short_looks_like_nothing_whole(running: Centre, tmp_path: Path) -> None:
    """A backup that is killed or for which there is no room, and a restore that is killed: it goes on."""
    # a full disk
    process = start(running, "backup", str(tmp_path / "full"), most_bytes=2000)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Error: " in said
    assert "Traceback" not in said
    other = new_centre(tmp_path / "other")
    refused = other.run("restore", str(tmp_path / "full"), status=1)
    assert "holds no backup, or one that was cut short" in refused
    # kills at any moment
    for number in range(6):
        folder = tmp_path / f"b{number}"
        process = start(running, "backup", str(folder))
        time.sleep(0.1)
        while process.poll() is None and not (folder / LOG).exists() and number % 2:
            time.sleep(0.001)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert not (folder / "manifest.json").exists()
    running.run("backup", str(tmp_path / "b"))
    # a restore
    process = start(other, "restore", str(tmp_path / "b"))
    assert process.stdout
    while "restoring" not in process.stdout.readline():
        assert process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    up = start(other, "up", "--empty")
    output, said = up.communicate(timeout=100)
    assert up.returncode == 1
    assert "a restore of it is under way, or was cut short" in output + said
    assert "Restored as of" in other.run("restore", str(tmp_path / "b"))
    with other.up("--empty"):
        assert len(other.rest("/v1/teams?pageSize=1000")["teams"]) == len(
            running.rest("/v1/teams?pageSize=1000")["teams"]
        )
