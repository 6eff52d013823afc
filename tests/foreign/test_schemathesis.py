"""schemathesis, which reads the OpenAPI document and tries whatever fits it, finds no fault.

    STEPLADDER_SCHEMATHESIS_EXAMPLES=50 .venv/bin/pytest tests/foreign/test_schemathesis.py

tries more of each operation, and what does not fit as well.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from grpc import insecure_channel

from libs.cli.embedded import Embedded
from libs.cli.issuer import Issuer
from libs.common.access import EVERYONE, RULES, SYSTEM
from libs.common.auth import bearer
from stepladder.performance.v1.directory_pb2 import CreateTeamRequest, Employee, HireEmployeeRequest, Team
from stepladder.performance.v1.directory_pb2_grpc import DirectoryServiceStub

EXAMPLES = int(os.environ.get("STEPLADDER_SCHEMATHESIS_EXAMPLES", "0"))
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
"""Not those by which every request that fits its schema has to succeed: others are refused for what is stored."""
ANYBODY = "0"
"""Ids that fit their rule begin with this one, so that things with it are often found."""
OF_SYSTEMS = {method for method, may in RULES.items() if any(word.startswith(SYSTEM) for word in may)}
"""Calls that systems may make."""
TRIED = {
    "hr": sorted(
        method for method in RULES if method not in OF_SYSTEMS or RULES[method] & {"hr", "employee", EVERYONE}
    ),
    "token": sorted(OF_SYSTEMS),
}
"""What each caller tries: that a call is not for them is tried for every one by the access matrix."""

pytestmark = pytest.mark.xdist_group("foreign")


@pytest.fixture(scope="module")
def hr(system: Embedded, url: str, token: str) -> str:
    """A token of somebody in HR, the only employee."""
    person = Employee(employee_id=ANYBODY, display_name="A", team_id=ANYBODY, job_family="hr", hire_date="2020-01-01")
    person.position, person.position_since = "hr", "2020-01-01"
    with insecure_channel(url.removeprefix("http://")) as channel:
        directory: Any = DirectoryServiceStub(channel)  # type: ignore[arg-type] # stubs are typed for asynchronous channels
        team = Team(team_id=ANYBODY, display_name="T")
        directory.CreateTeam(CreateTeamRequest(team=team), metadata=bearer(token), timeout=30)
        directory.HireEmployee(HireEmployeeRequest(employee=person), metadata=bearer(token), timeout=30)
    return Issuer.of(system.folder, system.settings).person(ANYBODY)


@pytest.mark.timeout(0 if EXAMPLES else 600)
@pytest.mark.parametrize("caller", ["hr", "token"])
def test_no_fault_is_found(caller: str, url: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Nothing fails inside; each answer has a status, type and schema that the document says."""
    long = ["--phases", "coverage,fuzzing", "--mode", "all", "--max-examples", str(EXAMPLES)]
    short = ["--phases", "fuzzing", "--mode", "positive", "--max-examples", "2"]
    names = "|".join(method.rpartition(".")[2].replace("/", "_") for method in TRIED[caller])
    command = [
        *(str(Path(sys.executable).parent / "schemathesis"), "run", f"{url}/v1/openapi.json"),
        *("--header", f"authorization: Bearer {request.getfixturevalue(caller)}"),
        *(long if EXAMPLES else short),
        *("--include-operation-id-regex", f"^({names})(_[0-9]+)?$"),
        *("--checks", CHECKS, "--seed", "1", "--generation-database", "none", "--continue-on-failure"),
        *("--exclude-path-regex", "^/v1/(eligibilities:watch|events:(stream|watch))$"),  # never end
        *("--suppress-health-check", "all", "--warnings", "off", "--no-color", "--request-timeout", "30"),
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "Errored:" not in done.stdout  # everything could be tried
