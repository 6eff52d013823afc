"""What a running system tells Prometheus."""

import os
import signal
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from libs.cli.embedded import SERVICES, metrics_address
from tests.observing.running import Observed, Scrape, wait_until
from tests.observing.story import IDS, MARK, Story

pytestmark = pytest.mark.xdist_group("observing")

DIRECTORY = "stepladder.performance.v1.DirectoryService"


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        (
            "stepladder_commands_total",
            {"aggregate": "performance.team", "command": "CreateTeamRequest", "result": "ok"},
        ),
        ("stepladder_commands_total", {"aggregate": "performance.team", "result": "already_exists"}),
        ("stepladder_commands_total", {"aggregate": "coaching.plan", "service": "coaching", "result": "ok"}),
        ("stepladder_append_seconds_count", {"service": "performance", "stream": "LOG"}),
        ("stepladder_append_seconds_bucket", {"service": "performance", "stream": "LOG", "le": "10.0"}),
        ("stepladder_grpc_calls_total", {"method": f"{DIRECTORY}/CreateTeam", "code": "OK"}),
        ("stepladder_grpc_calls_total", {"method": f"{DIRECTORY}/CreateTeam", "code": "INVALID_ARGUMENT"}),
        ("stepladder_grpc_calls_total", {"method": f"{DIRECTORY}/GetTeam", "code": "NOT_FOUND"}),
        ("stepladder_grpc_calls_total", {"method": f"{DIRECTORY}/GetEmployee", "code": "PERMISSION_DENIED"}),
        ("stepladder_grpc_call_seconds_count", {"method": f"{DIRECTORY}/CreateTeam"}),
        ("stepladder_follower_events_total", {"service": "coaching", "follower": "propose-plans", "partition": "0"}),
        ("stepladder_follower_state", {"service": "gateway", "follower": "relay", "state": "running"}),
        ("stepladder_deadlines_total", {"service": "performance", "result": "done"}),
        ("stepladder_webhooks", {"state": "failing"}),
        ("stepladder_webhook_attempts_total", {"taken": "false"}),
        ("stepladder_stream_events", {"stream": "LOG"}),
        ("stepladder_stream_bytes", {"stream": "EVENTS"}),
        ("stepladder_log_stored_bytes", {}),
        ("stepladder_info", {"service": "promotion", "replica": "embedded"}),
        ("process_resident_memory_bytes", {"service": "promotion"}),
    ],
)
def test_what_happens_is_counted(scrape: Scrape, name: str, labels: dict[str, str]) -> None:
    """Every metric has moved by what it counts."""
    assert scrape.total(name, **labels) > 0


@pytest.mark.usefixtures("story")
def test_a_system_that_is_well_says_so(observed: Observed) -> None:
    """Everything answers, every follower has one owner, nobody is behind, nothing is parked or overdue."""
    wait_until(lambda: not observed.scrape().total("stepladder_follower_lag_events"))
    scrape = observed.scrape()
    for name in ("log_reachable", "log_configuration_right", "database_reachable"):
        assert scrape.values(f"stepladder_{name}") == [1.0] * len(SERVICES)
    running = scrape.values("stepladder_follower_state", state="running")
    assert set(running) == {1.0}
    assert len(running) == len(scrape.values("stepladder_follower_lag_seconds"))
    for name in ("follower_parked_events", "deadlines_overdue", "append_conflicts_total", "append_failures_total"):
        assert scrape.total(f"stepladder_{name}") == 0
    assert scrape.values("stepladder_stream_replicas") == scrape.values("stepladder_stream_replicas_in_sync")


def test_nobody_and_nothing_of_theirs_is_named(scrape: Scrape, story: Story) -> None:
    """No label holds an id, a name or a text."""
    assert not [one for one in (MARK, *IDS, story.plan_id, story.trace_id) if one.lower() in scrape.text.lower()]


def test_each_series_is_told_once(scrape: Scrape) -> None:
    """Prometheus would refuse a scrape in which a series has two values."""
    told = [(sample.name, *sorted(sample.labels.items())) for sample in scrape.samples]
    assert len(told) == len(set(told))


@pytest.mark.usefixtures("story")
def test_what_nats_hides_is_left_out(observed: Observed) -> None:
    """While the log does not answer, that is said, and lags are left out rather than made up; then they come back."""
    server = observed.system.servers["nats-server"].process
    assert server is not None
    os.kill(server.pid, signal.SIGSTOP)
    try:
        scrape = wait_until(lambda: _away(observed))
    finally:
        os.kill(server.pid, signal.SIGCONT)
    assert scrape.values("stepladder_database_reachable") == [1.0]
    assert not scrape.values("stepladder_log_configuration_right")
    assert not scrape.values("stepladder_stream_events")
    assert not scrape.values("stepladder_follower_lag_events", follower="relay")
    wait_until(lambda: observed.scrape("gateway").values("stepladder_log_reachable") == [1.0])
    wait_until(lambda: observed.scrape("gateway").values("stepladder_follower_lag_events", follower="relay"))


def _away(observed: Observed) -> Scrape | None:
    scrape = observed.scrape("gateway")
    return scrape if scrape.values("stepladder_log_reachable") == [0.0] else None


def test_nothing_else_is_served_there(observed: Observed) -> None:
    """The port answers /metrics and nothing more."""
    address = metrics_address(observed.system.settings, "coaching")
    with pytest.raises(HTTPError, match="404"):
        urlopen(f"http://{address}/", timeout=10)
