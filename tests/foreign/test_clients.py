"""Clients that others wrote, unchanged, against a running system."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.foreign.conftest import HERE, node

DESCRIPTORS = Path(__file__).parents[2] / "libs" / "gen" / "descriptors.binpb"
BUF = Path(sys.executable).parent / "buf"

pytestmark = pytest.mark.xdist_group("foreign")


def test_grpc_web(url: str, token: str) -> None:
    """connect-web calls, streams and gets refusals with their details over gRPC-Web."""
    found = json.loads(node(HERE / "web.mjs", url, token, str(DESCRIPTORS)))
    assert found == {"displayName": "夜班", "code": 5, "reason": "TEAM_NOT_FOUND", "rebuilt": True}


def test_buf_curl(tmp_path: Path, url: str, token: str) -> None:
    """`buf curl` knows nothing but the address: it finds the contract by reflection, calls, and shows a refusal."""

    def call(method: str, request: object) -> subprocess.CompletedProcess[str]:
        who, body = f"authorization: Bearer {token}", json.dumps(request)
        name = f"{url}/stepladder.performance.v1.DirectoryService/{method}"
        command = [str(BUF), "curl", "--protocol", "grpc", "--http2-prior-knowledge", "-H", who, "-d", body, name]
        environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    created = call("CreateTeam", {"team": {"team_id": "buf", "display_name": "夜班"}})
    assert json.loads(created.stdout)["displayName"] == "夜班"
    refused = call("GetTeam", {"team_id": "nobody"})
    assert refused.returncode
    assert [detail["type"] for detail in json.loads(refused.stderr)["details"]] == ["google.rpc.ErrorInfo"]
