"""Every RPC of every contract can be reached from outside, by REST and by gRPC."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.api import annotations_pb2
from google.protobuf.descriptor import MethodDescriptor

from libs.cli.envoy import envoy_configuration
from libs.common.access import RULES, SYSTEM
from libs.common.settings import Settings
from stepladder.common.v1 import operations_pb2
from stepladder.gateway.v1 import docs_pb2, event_stream_pb2, home_pb2, webhook_pb2
from tests.gateway.world import CONTRACTS, World
from tests.tokens import TOKEN_KEYS, as_system

ROOT = Path(__file__).parents[2]
GATEWAY = [docs_pb2.DESCRIPTOR, home_pb2.DESCRIPTOR, event_stream_pb2.DESCRIPTOR, webhook_pb2.DESCRIPTOR]
FILES = [*(file for files in CONTRACTS.values() for file in files), operations_pb2.DESCRIPTOR, *GATEWAY]
CONFIGURATION = envoy_configuration(Settings(token_keys=TOKEN_KEYS))
METHODS = [method for file in FILES for service in file.services_by_name.values() for method in service.methods]
NAMES = {method.containing_service.full_name for method in METHODS}


def rest(method: MethodDescriptor) -> tuple[str, str]:
    """An RPC's HTTP method and path template."""
    rule: Any = method.GetOptions().Extensions[annotations_pb2.http]
    verb = rule.WhichOneof("pattern") or ""
    return verb.upper(), getattr(rule, verb) if verb else ""


def test_contracts_are_all_here() -> None:
    """These tests know every contract that has a service."""
    contracts = (file for file in (ROOT / "proto").rglob("*.proto") if "\nservice " in file.read_text())
    assert {str(file.relative_to(ROOT / "proto")) for file in contracts} == {file.name for file in FILES}


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.full_name)
def test_every_rpc_has_a_path(method: MethodDescriptor) -> None:
    """Every RPC has an HTTP method and a path; one without a body is a GET."""
    verb, path = rest(method)
    assert verb in {"GET", "POST", "PATCH", "DELETE"}
    assert path.startswith("/")
    assert bool(method.GetOptions().Extensions[annotations_pb2.http].body) == (verb not in {"GET", "DELETE"})


def full_name(method: MethodDescriptor) -> str:
    return f"{method.containing_service.full_name}/{method.name}"


def test_every_rpc_has_a_rule_that_says_who_may() -> None:
    """And there is no rule for what does not exist."""
    assert set(RULES) == {full_name(method) for method in METHODS}


def test_no_two_rpcs_share_a_path() -> None:
    """Names of variables aside, no two RPCs have the same HTTP method and path."""
    paths = [(verb, re.sub(r"{[^}]*}", "*", path)) for verb, path in map(rest, METHODS)]
    assert len(set(paths)) == len(paths)


async def test_every_path_leads_to_its_service(world: World) -> None:
    """The front door takes every path and passes the call on; what is wrong in the request, the service says.

    Streams of events have no end, and tests of their own.
    """
    for method in METHODS:
        if method.name in {"WatchEvents", "StreamEvents"}:
            continue
        verb, path = rest(method)
        body = None if verb in {"GET", "DELETE"} else b"[]" if method.client_streaming else b"{}"
        by_system = any(word.startswith(SYSTEM) for word in RULES[full_name(method)])
        headers = dict(as_system()) if by_system else {}
        answer = await world.http(verb, re.sub(r"{[^}]*}", "1", path), body, headers)
        own = method.containing_service.file in GATEWAY
        reached = own or any(method.name in backend.heard for backend in world.services.values())
        refused = answer.status != 200 and answer.reasons[0] in {
            "INVALID_FIELDS",
            "UNKNOWN_EVENT_TYPE",
            "WEBHOOK_NOT_FOUND",
        }
        assert (answer.status, reached) == (200, True) or refused, method.full_name


def test_every_service_is_transcoded() -> None:
    """The configuration names every service."""
    (line,) = re.findall(r"services: (\[.*\])", CONFIGURATION)
    assert set(json.loads(line)) == NAMES


@pytest.mark.parametrize("method", [m for m in METHODS if m.client_streaming or m.server_streaming])
def test_streams_have_no_time_limit(method: MethodDescriptor) -> None:
    """A stream is not cut off after the time that a single call may take."""
    path = re.escape(f"/{method.containing_service.full_name}/{method.name}")
    assert re.search(
        path + r"}\s+route: {cluster: \w+, timeout: 0s", envoy_configuration(Settings(token_keys=TOKEN_KEYS))
    )


def test_configuration_of_a_cluster_is_valid(tmp_path: Path) -> None:
    """The same template serves a cluster, with names for addresses and another host."""
    settings = Settings(
        performance_address="performance.stepladder.svc.cluster.local:7100",
        coaching_address="[::1]:7100",
        public_port=80,
        token_keys="https://login.example/keys",
        allowed_origins="https://hr.example https://wall.example:8443",
    )
    file = tmp_path / "envoy.yaml"
    file.write_text(envoy_configuration(settings, host="0.0.0.0"))  # noqa: S104 - as in a container
    checked = subprocess.run(
        [Path(sys.executable).parent / "envoy", "--mode", "validate", "--config-path", file, "--disable-hot-restart"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
