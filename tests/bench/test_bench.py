"""Every figure can be measured: its short form gives a line with all that is promised of it."""

import json
import math
import subprocess
import sys

import pytest

from tests.bench.__main__ import FIGURES

GOALS = {
    "ingest_bulk": 0.8,
    "ingest_samples": 1.0,
    "command_p50": 1.3,
    "command_rate": 0.8,
    "load_flatness": 1.2,
    "follow_rate": 0.7,
    "rebuild_rate": 0.7,
    "visible_p99": 1.0,
    "correction_ms": 1.0,
    "peer_append": 5,
    "ready_seconds": 1.0,
    "rss_mb": 1.0,
    "subscriber_p99": 1.0,
    "sse_subscribers": 1.0,
    "dry_run": 1.0,
    "rest_p50": 1.8,
    "rest_rate": 0.5,
}


def test_every_figure_has_its_goal() -> None:
    """What is to be measured is measured, against the goals set for it."""
    assert {name: figure.goal for name, figure in FIGURES.items() if name in GOALS} == GOALS


@pytest.mark.timeout(120)
@pytest.mark.xdist_group("bench")
@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_one_line_of_json(name: str) -> None:
    """The line names value, limit and their ratio, all finite and above nothing."""
    command = [sys.executable, "-m", "tests.bench", "--quick", "--only", name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    found = json.loads(line)
    assert found["name"] == name
    assert found["better"] in ("higher", "lower")
    assert all(math.isfinite(found[key]) and found[key] > 0 for key in ("value", "limit", "ratio"))
    assert found["ratio"] == pytest.approx(found["value"] / found["limit"], rel=0.01)
