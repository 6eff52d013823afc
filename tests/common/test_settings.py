"""Settings from environment variables."""

import base64
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from libs.common.service import clock_of, utc_now
from libs.common.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"STEPLADDER_{name.upper()}", raising=False)


def test_defaults_are_the_embedded_run() -> None:
    """Without any variable, settings describe one machine."""
    settings = load_settings()
    assert settings.address_of("coaching") == "127.0.0.1:7102"
    assert settings.database_for("coaching") == "sqlite+aiosqlite:///.stepladder/coaching.db"
    assert settings.replicas == 1
    assert not settings.otlp_endpoint


def test_every_setting_is_described() -> None:
    """Each setting says what it is for."""
    assert all(field.description for field in Settings.model_fields.values())


def test_variables_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable with the prefix sets its field, typed."""
    monkeypatch.setenv("STEPLADDER_REPLICAS", "3")
    monkeypatch.setenv("STEPLADDER_SITE_TIME_ZONE", "Asia/Shanghai")
    monkeypatch.setenv("STEPLADDER_LOG_LEVEL", "WARNING")
    monkeypatch.setenv("STEPLADDER_GATEWAY_ADDRESS", "[::1]:7104")
    monkeypatch.setenv("STEPLADDER_DATABASE_URL", "postgresql+asyncpg://app:a{b}c@db/{service}")
    settings = load_settings()
    assert settings.replicas == 3
    assert settings.site_time_zone == ZoneInfo("Asia/Shanghai")
    assert settings.log_level == "warning"
    assert settings.address_of("gateway") == "[::1]:7104"
    assert settings.database_for("promotion") == "postgresql+asyncpg://app:a{b}c@db/promotion"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("COACHING_ADDRESS", "7102", "must be host:port"),
        ("PUBLIC_PORT", "80800", "less than or equal to 65535"),
        ("NATS_URL", "127.0.0.1:4222", "must start with nats:// or tls://"),
        ("HEALTH_ADDRESS", "7100", "must be host:port"),
        ("PUBLIC_KEY", "public.key", "needs PUBLIC_CERTIFICATE beside it"),
        ("REPLICAS", "2", "must be 1 (embedded) or 3 (cluster)"),
        ("DATABASE_URL", "postgresql://app:secret@db/{service}", "must start with sqlite+aiosqlite:// or"),
        ("SITE_TIME_ZONE", "Mars/Olympus", "invalid timezone"),
        ("LOG_FORMAT", "xml", "'json' or 'console'"),
        ("OTLP_ENDPOINT", "collector:4317", "must start with http:// or https://"),
        ("DAYS_AHEAD", "9", "only `stepladder up --days-ahead` sets it"),
        ("TRACE_RATIO", "1.5", "less than or equal to 1"),
    ],
)
def test_wrong_value_stops_with_its_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str, said: str
) -> None:
    """A wrong value ends the process with status 2 and one line that names the variable, but no password."""
    monkeypatch.setenv(f"STEPLADDER_{name}", value)
    with pytest.raises(SystemExit) as caught:
        load_settings()
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"STEPLADDER_{name}: ")
    assert said in line
    assert "secret" not in line


def test_every_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Who made two mistakes hears of both at once."""
    monkeypatch.setenv("STEPLADDER_REPLICAS", "many")
    monkeypatch.setenv("STEPLADDER_PUBLIC_PORT", "-1")
    with pytest.raises(SystemExit):
        load_settings()
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_a_clock_that_is_ahead_is_for_trying(monkeypatch: pytest.MonkeyPatch) -> None:
    """Services of the embedded run take so many days later for now."""
    monkeypatch.setenv("STEPLADDER_INSTANCE", "embedded")
    for days in (0, 9):
        monkeypatch.setenv("STEPLADDER_DAYS_AHEAD", str(days))
        ahead = clock_of(load_settings())() - utc_now()
        assert abs(ahead - timedelta(days=days)) < timedelta(minutes=1)


def test_passwords_are_not_shown() -> None:
    """Settings can be printed."""
    settings = Settings(
        database_url="postgresql+asyncpg://app:secret@db/{service}",
        keys_url="postgresql+asyncpg://app:secret@db/keys",
        nats_url="nats://app:secret@nats",
    )
    assert "secret" not in repr(settings)


def test_key_is_read_from_its_file(tmp_path: Path) -> None:
    """The key-encryption key is what the file holds, in base64, with or without a line's end."""
    key = bytes(range(32))
    file = tmp_path / "kek"
    file.write_bytes(base64.b64encode(key) + b"\n")
    assert Settings(kek_file=file).key_encryption_key() == key


@pytest.mark.parametrize("content", [None, b"", b"c2hvcnQ=", b"not base64!", b"\xff"])
def test_wrong_key_stops(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None) -> None:
    """A key file that is missing or holds no key ends the process with status 2 and its variable's name."""
    file = tmp_path / "kek"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SystemExit) as caught:
        Settings(kek_file=file).key_encryption_key()
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith(f"STEPLADDER_KEK_FILE: {file}")
