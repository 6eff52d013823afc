"""`stepladder migrate`: everything, or only what is named."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from libs.cli.embedded import DATABASES
from libs.cli.main import main
from libs.cli.nats_server import NatsServer
from tests.servers import free_port


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where databases lie; the log is away."""
    monkeypatch.setenv("STEPLADDER_DATABASE_URL", f"sqlite+aiosqlite:///{tmp_path}/{{service}}.db")
    monkeypatch.setenv("STEPLADDER_KEYS_URL", f"sqlite+aiosqlite:///{tmp_path}/keys.db")
    monkeypatch.setenv("STEPLADDER_NATS_URL", f"nats://127.0.0.1:{free_port()}")
    return tmp_path


@pytest.mark.parametrize("named", DATABASES)
def test_one_database_needs_nothing_else(folder: Path, named: str) -> None:
    """Each database can be brought to this version with its own password only, as often as wanted."""
    for _ in range(2):
        done = CliRunner().invoke(main, ["migrate", named])
        assert (done.exit_code, done.output) == (0, f"database of {named}: up to date\n")
    assert [file.name for file in folder.glob("*.db")] == [f"{named}.db"]


def test_streams_need_no_database(folder: Path, nats_one: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams are made by who may, without the databases."""
    monkeypatch.setenv("STEPLADDER_NATS_URL", nats_one.url)
    done = CliRunner().invoke(main, ["migrate", "streams"])
    assert (done.exit_code, done.output) == (0, "streams: up to date\n")
    assert not [*folder.iterdir()]


def test_unnamed_everything_is_brought_to_this_version(
    folder: Path, nats_one: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a name, it is all of them and the streams."""
    monkeypatch.setenv("STEPLADDER_NATS_URL", nats_one.url)
    done = CliRunner().invoke(main, ["migrate"])
    assert done.exit_code == 0
    assert {file.stem for file in folder.glob("*.db")} == set(DATABASES)
    assert done.output.splitlines()[-1] == "streams: up to date"


def test_a_name_that_is_none_is_refused() -> None:
    """A mistake is said, with what there is."""
    done = CliRunner().invoke(main, ["migrate", "coachin"])
    assert done.exit_code == 2
    assert "'coaching'" in done.output
