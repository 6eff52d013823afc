"""Every setting of every process: environment variables that start with `STEPLADDER_`, typed, in one place."""

import base64
import binascii
import re
import socket
import sys
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal, Never
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "STEPLADDER_"
EMBEDDED = "embedded"
"""The instance of services that `stepladder up` runs."""


def _written(pattern: str, rule: str) -> AfterValidator:
    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(rule)
        return value

    return AfterValidator(check)


def _one_or_three(value: int) -> int:
    if value not in (1, 3):
        raise ValueError("must be 1 (embedded) or 3 (cluster)")
    return value


def _networks(value: str) -> str:
    parse_networks(value)
    return value


def parse_networks(text: str) -> list[IPv4Network | IPv6Network]:
    """Networks with commas between them. Raises ValueError."""
    try:
        return [ip_network(one.strip()) for one in text.split(",") if one.strip()]
    except ValueError:
        raise ValueError("must be networks with commas between them, such as 10.1.0.0/16,fd00::/8") from None


ADDRESS = r"([A-Za-z0-9_.-]+|\[[0-9a-fA-F:.]+\]):\d{1,5}"
Address = Annotated[str, _written(ADDRESS, "must be host:port, such as 127.0.0.1:7101")]
OptionalAddress = Annotated[str, _written(rf"({ADDRESS})?", "must be host:port, such as 127.0.0.1:9090, or be empty")]
DatabaseUrl = Annotated[
    str,
    _written(
        r"(sqlite\+aiosqlite|postgresql\+asyncpg)://.+", "must start with sqlite+aiosqlite:// or postgresql+asyncpg://"
    ),
]
HttpUrl = Annotated[str, _written(r"https?://.+", "must start with http:// or https://")]
OptionalHttpUrl = Annotated[str, _written(r"(https?://.+)?", "must start with http:// or https://, or be empty")]
Origins = Annotated[
    str,
    _written(r"(https?://[^\s/]+( https?://[^\s/]+)*)?", "must be such as https://hr.example, separated by spaces"),
]
NatsUrl = Annotated[str, _written(r"(nats|tls)://.+", "must start with nats:// or tls://")]


class Settings(BaseSettings):
    """What may differ from one installation to the next. The variable of `nats_url` is `STEPLADDER_NATS_URL`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    performance_address: Address = Field(default="127.0.0.1:7101", description="gRPC of the performance service")
    coaching_address: Address = Field(default="127.0.0.1:7102", description="gRPC of the coaching service")
    promotion_address: Address = Field(default="127.0.0.1:7103", description="gRPC of the promotion service")
    gateway_address: Address = Field(
        default="127.0.0.1:7104", description="gRPC of the gateway's own services, behind Envoy"
    )
    gateway_http_address: Address = Field(
        default="127.0.0.1:7105", description="HTTP of the gateway, for SCIM, behind Envoy: nothing else may reach it"
    )
    health_address: OptionalAddress = Field(
        default="",
        description="gRPC health checks in plain text, for who has no certificate, such as the kubelet; empty: none",
    )
    public_port: int = Field(default=8080, ge=1, le=65535, description="where Envoy takes REST, gRPC and gRPC-Web")
    allowed_origins: Origins = Field(
        default="", description="origins of web pages whose scripts may call (CORS), separated by spaces; empty: none"
    )
    calls_per_second: int = Field(
        default=1000,
        ge=1,
        le=1_000_000,
        description="what one caller may keep up; ten seconds of it at once. Each Envoy counts for itself",
    )

    nats_url: NatsUrl = Field(
        default="nats://127.0.0.1:4222", repr=False, description="the NATS server, or several of a cluster with commas"
    )
    nats_monitor_url: HttpUrl = Field(
        default="http://127.0.0.1:8222",
        description="its monitoring, or theirs: asked whether it syncs to disk",
    )
    replicas: Annotated[int, AfterValidator(_one_or_three)] = Field(
        default=1, description="copies of the log's streams"
    )

    database_url: DatabaseUrl = Field(
        default="sqlite+aiosqlite:///.stepladder/{service}.db",
        repr=False,
        description="read models; `{service}` stands for the service's name",
    )
    keys_url: DatabaseUrl = Field(
        default="sqlite+aiosqlite:///.stepladder/keys.db",
        repr=False,
        description="data keys of employees, for all services",
    )
    kek_file: Path = Field(
        default=Path(".stepladder/kek"), description="the key-encryption key: 32 bytes in base64, wraps the data keys"
    )

    token_issuer: str = Field(
        default="stepladder-embedded", min_length=1, description="who issues callers' tokens: their claim `iss`"
    )
    token_audience: str = Field(
        default="stepladder", min_length=1, description="whom tokens are for: their claim `aud`"
    )
    token_keys: str = Field(
        default=".stepladder/jwks.json",
        min_length=1,
        description="the issuer's public keys (JWKS): an https address or a file",
    )
    token_employee_claim: str = Field(
        default="sub", min_length=1, description="the claim that holds a person's employee id"
    )
    token_roles_claim: str = Field(
        default="roles", min_length=1, description="the claim that holds a system's roles, such as stepladder.facts"
    )

    token: str = Field(
        default="", repr=False, description="what `stepladder` calls with; empty: a token of the embedded issuer"
    )

    tls_certificate: str = Field(
        default="",
        description="file with this process's certificate (PEM, with its chain); empty: plain text inside the system",
    )
    tls_key: str = Field(default="", description="file with the certificate's key (PEM)")
    tls_authority: str = Field(
        default="",
        validate_default=True,
        description="file with the authority (PEM) of which everybody inside the system shows a certificate",
    )

    public_certificate: str = Field(
        default="", description="file with the certificate that Envoy shows callers (PEM); empty: tls_certificate"
    )
    public_key: str = Field(
        default="", validate_default=True, description="file with the key of public_certificate (PEM)"
    )

    instance: str = Field(
        default_factory=socket.gethostname,
        min_length=1,
        description="name of this process among its replicas; a restart under the same name takes its followers back",
    )

    partitions: int = Field(
        default=1,
        ge=1,
        le=64,
        description="into how many each follower is divided whose events replicas can share; grows by multiples, less"
        " or others by `stepladder rebuild`",
    )

    site_time_zone: ZoneInfo = Field(default=ZoneInfo("UTC"), description="IANA name; decides which day it is")

    days_ahead: int = Field(
        default=0, ge=0, le=3650, description="by how many days the clock of `stepladder up --days-ahead` is ahead"
    )

    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(str.lower)] = Field(
        default="info", description="least severe level that is logged"
    )
    log_format: Literal["json", "console"] = Field(
        default="json", description="json: one object a line; console: for people"
    )
    otlp_endpoint: OptionalHttpUrl = Field(
        default="", description="OTLP over gRPC for traces; empty: nothing is traced"
    )
    trace_ratio: float = Field(
        default=0.1, ge=0, le=1, description="share traced of the calls whose caller does not say; needs otlp_endpoint"
    )

    webhook_http: bool = Field(default=False, description="webhooks may go to http://, too: for development")
    webhook_networks: Annotated[str, AfterValidator(_networks)] = Field(
        default="", description="internal networks to which webhooks may go, such as 10.1.0.0/16,fd00::/8"
    )

    shutdown_grace_seconds: float = Field(
        default=10.0, ge=0, description="how long running calls may go on after a stop"
    )

    @field_validator("days_ahead")
    @classmethod
    def _for_trying_only(cls, days: int, others: ValidationInfo) -> int:
        if days and others.data.get("instance") != EMBEDDED:
            raise ValueError("a clock that is ahead is for trying: only `stepladder up --days-ahead` sets it")
        return days

    @field_validator("tls_authority")
    @classmethod
    def _whole(cls, authority: str, others: ValidationInfo) -> str:
        if len({bool(authority), bool(others.data.get("tls_certificate")), bool(others.data.get("tls_key"))}) > 1:
            raise ValueError("TLS needs all three: TLS_CERTIFICATE, TLS_KEY and TLS_AUTHORITY")
        if not authority and str(others.data.get("nats_url")).startswith("tls://"):
            raise ValueError("NATS_URL at tls:// needs TLS_CERTIFICATE, TLS_KEY and TLS_AUTHORITY")
        host = str(others.data.get("gateway_http_address")).rpartition(":")[0]
        if authority and host not in ("127.0.0.1", "[::1]", "localhost"):
            raise ValueError("GATEWAY_HTTP_ADDRESS is never encrypted: with TLS it must be on this machine: 127.0.0.1")
        return authority

    @field_validator("public_key")
    @classmethod
    def _both(cls, key: str, others: ValidationInfo) -> str:
        certificate = others.data.get("public_certificate")
        if bool(key) != bool(certificate) or (key and not others.data.get("tls_authority")):
            raise ValueError(
                "needs PUBLIC_CERTIFICATE beside it, and TLS inside: TLS_CERTIFICATE, TLS_KEY, TLS_AUTHORITY"
            )
        return key

    def database_for(self, service: str) -> str:
        """The URL of one service's read models."""
        return self.database_url.replace("{service}", service)

    def address_of(self, service: str) -> str:
        """Where a service listens, by its name."""
        address: str = getattr(self, f"{service}_address")
        return address

    def allowed_networks(self) -> list[IPv4Network | IPv6Network]:
        """Those of `webhook_networks`."""
        return parse_networks(self.webhook_networks)

    def key_encryption_key(self) -> bytes:
        """The 32 bytes in `kek_file`. Without them there is nothing to do: ends the process as `load_settings` does."""
        try:
            key = base64.b64decode(self.kek_file.read_text(encoding="ascii").strip(), validate=True)
        except OSError as error:
            _stop([f"{PREFIX}KEK_FILE: {self.kek_file}: {error.strerror}"])
        except (binascii.Error, UnicodeDecodeError):
            key = b""
        if len(key) != 32:
            _stop([f"{PREFIX}KEK_FILE: {self.kek_file} must hold 32 bytes in base64"])
        return key


def load_settings() -> Settings:
    """The settings of this process. A wrong one ends it: status 2, and a line on stderr that names the variable."""
    try:
        return Settings()
    except ValidationError as error:
        # The values stay out of it: a URL may hold a password.
        problems = error.errors(include_input=False, include_url=False)
        _stop([f"{PREFIX}{str(p['loc'][0]).upper()}: {p['msg'].removeprefix('Value error, ')}" for p in problems])


def _stop(problems: list[str]) -> Never:
    sys.stderr.writelines(f"{problem}\n" for problem in problems)
    raise SystemExit(2) from None
