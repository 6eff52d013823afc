"""`stepladder up` as a newcomer runs it: a whole system from nothing, used, killed, stopped and started again."""

import os
import re
import signal
import sqlite3
import time
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.call_records import write_calls
from tests.e2e.centre import Centre, new_centre

BANK = Path(__file__).parents[3] / "shared" / "data" / "bank-calls-1999-02-first-half.tsv"


@pytest.fixture
def centre(tmp_path: Path) -> Centre:
    """A system of its own ports and folder."""
    return new_centre(tmp_path / "centre")


@pytest.mark.timeout(300)
def test_the_sample_centre_from_nothing(centre: Centre) -> None:
    """Up with the sample: facts, detections and plans come of it, calls answer, and the next start keeps all."""
    with centre.up():
        people = centre.rest("/v1/employees?pageSize=1000")["employees"]
        hr = str(next(one["employeeId"] for one in people if one["jobFamily"] == "hr"))
        plans = centre.rest("/v1/plans?state=STATE_PROPOSED&pageSize=100", hr)["plans"]
        assert len(plans) == 7
        assert all(plan["leadId"] and plan["evidence"] for plan in plans)
        assert centre.rest("/v1/eligibilities?ladderId=titles&eligibleOnly=true", hr)["eligibilities"]
        with urlopen(f"http://127.0.0.1:{centre.port}/", timeout=20) as page:
            assert "results" in page.read().decode()
    assert "8 detections" in centre.output  # one is a finding of the watch
    with centre.up():
        assert centre.rest("/v1/plans?pageSize=100", hr)["plans"] == plans
    assert "was imported before" in centre.output


def test_what_has_stopped_is_said_and_days_can_pass(centre: Centre) -> None:
    """At the start, by the status, on the page and at the end; the others go on, by the clock that is set."""
    with centre.up("--empty"):
        with urlopen(f"http://127.0.0.1:{centre.port}/", timeout=20) as page:
            assert "none yet" in page.read().decode()  # position 0 would look like an event
        assert centre.run("status").count("\trunning\t") > 40
    assert "Everything is healthy" in centre.output
    with closing(sqlite3.connect(centre.folder / "coaching.db")) as rows, rows:
        rows.execute("UPDATE followers SET position = 1000000000 WHERE name = 'plans'")
    with centre.up("--empty", "--days-ahead", "40", status=1):
        assert "coaching/plans has stopped: " in centre.run("status", status=1)
        with urlopen(f"http://127.0.0.1:{centre.port}/", timeout=20) as page:
            assert '<td class="bad" data-name="state">stopped' in page.read().decode()
        centre.rest("/v1/teams", body={"team": {"teamId": "t", "displayName": "T"}})
        day = datetime.now(UTC).date() + timedelta(days=40)
        told = {"employeeId": "e-hr", "displayName": "H", "teamId": "t", "jobFamily": "hr", "position": "hr"}
        dates = {"hireDate": "2020-01-01", "positionSince": "2020-01-01"}
        centre.rest("/v1/employees", body={"employee": {**told, **dates}})
        later = {"endDate": str(day + timedelta(days=20)), "applicationsUntil": str(day + timedelta(days=10))}
        opened = centre.rest("/v1/cycles", "e-hr", {"own": {"cycleId": "c", "displayName": "C", **later}})
        assert str(opened["openedDate"]) == str(day)
    assert "healthy" not in centre.output
    assert centre.output.count("To be looked at: coaching/plans has stopped: ") == 2


@pytest.mark.timeout(300)
def test_a_call_log_from_nothing_with_a_kill(centre: Centre, tmp_path: Path) -> None:
    """A call log imported, imported again, a service killed, read models rebuilt: nothing doubled, nothing lost."""
    calls = tmp_path / "calls.tsv"
    rows = write_calls(calls, start=date(2020, 3, 2))
    with centre.up("--calls", str(calls)) as process:
        results = "/v1/kpiResults?startDate=2020-01-01&endDate=2020-12-31&groupBy=GROUP_BY_CENTRE&kpiId=calls-handled"
        assert centre.rest(results)["results"][0]["value"] == str(rows["used"])
        again = centre.run("import", "calls", str(calls), "--centre", "centre")
        assert re.search(r"\b0 rejected", again)
        service = next(pid for pid in _children(process.pid) if "services.performance" in _command(pid))
        os.kill(service, signal.SIGKILL)
        deadline = time.monotonic() + 30
        while "performance\tresults\trunning" not in centre.run("status", status=None):
            assert time.monotonic() < deadline
            time.sleep(0.3)
        assert centre.rest(results)["results"][0]["value"] == str(rows["used"])
        assert "0 rows came out differently" in centre.run("rebuild", "performance", "results")
        assert "nothing is parked" in centre.run("parked", "list")
        assert "there is no one method" in centre.run("call", "Nothing.Nowhere", status=1)
        assert "no follower 'x'" in centre.run("rebuild", "performance", "x", status=1)
        assert "running on" in centre.run("up", status=1)
    assert "ended (by SIGKILL)" in centre.output
    assert "is `make up` running" in centre.run("status", status=1)
    with centre.up():  # without naming the log again
        assert centre.rest(results)["results"][0]["value"] == str(rows["used"])
        assert len(centre.rest("/v1/teams")["teams"]) == 1
    assert "Everything is as it was" in centre.output


@pytest.mark.timeout(300)
@pytest.mark.skipif(
    not BANK.exists(), reason="the bank's call log lies beside the project on developers' machines only"
)
def test_the_banks_two_weeks(centre: Centre) -> None:
    """The real log: 24 agents, and exactly ANAT, MIKI and MORIAH flagged, each with one plan that names the facts."""
    with centre.up("--calls", str(BANK)):
        team = centre.rest("/v1/teams")["teams"][0]["teamId"]
        hr = {"employeeId": "e-hr", "displayName": "Of HR", "hireDate": "1998-01-01", "teamId": team, "jobFamily": "hr"}
        centre.rest("/v1/employees", body={"employee": hr | {"position": "hr", "positionSince": "1998-01-01"}})
        plans = centre.rest("/v1/plans?pageSize=100", "e-hr")["plans"]
        names = {centre.rest(f"/v1/employees/{plan['employeeId']}")["displayName"]: plan["evidence"] for plan in plans}
        agents = centre.rest("/v1/employees?pageSize=100")["employees"]
    assert len([agent for agent in agents if agent["position"] == "agent"]) == 24
    assert sorted(map(str, names)) == ["ANAT", "MIKI", "MORIAH"]
    for evidence in names.values():
        assert isinstance(evidence, dict)
        (period,) = evidence["periods"]
        assert 15 <= float(period["value"]) < 17
        assert period["factPositions"]


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode()
