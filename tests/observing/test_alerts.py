"""Alerts: that they are right by themselves, and that each has its page."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.observing.queries import unknown_in
from tests.observing.running import Scrape

pytestmark = pytest.mark.xdist_group("observing")

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
RUNBOOK = ROOT / "docs" / "runbook.md"


def rules() -> list[dict[str, Any]]:
    """The alerts as they are written."""
    written = yaml.safe_load((PROMETHEUS / "alerts.yaml").read_text(encoding="utf-8"))
    return [rule for group in written["groups"] for rule in group["rules"]]


def promtool(*arguments: str) -> None:
    """Runs promtool of Debian's package `prometheus`; skips where it is absent."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not here (Debian's package prometheus): alerts are not tried")
    done = subprocess.run(
        [program, *arguments], cwd=PROMETHEUS, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_are_rules() -> None:
    """Prometheus takes the file."""
    promtool("check", "rules", "alerts.yaml")


def test_alerts_fire_when_they_must_and_only_then() -> None:
    """The unit tests beside the alerts hold."""
    promtool("test", "rules", "alerts_test.yaml")


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_is_whole(rule: dict[str, Any]) -> None:
    """It says how grave it is, what is wrong, and where that is explained; and it is tried both ways."""
    assert rule["labels"]["severity"] in ("critical", "warning")
    said = rule["annotations"]
    assert said["runbook_url"] == f"docs/runbook.md#{rule['alert'].lower()}"
    assert said["summary"]
    assert said["description"].endswith(".")
    tests = (PROMETHEUS / "alerts_test.yaml").read_text(encoding="utf-8")
    pattern = re.escape(rule["alert"])
    assert re.search(f'labels: \'ALERTS{{alertname="{pattern}"', tests), "no test in which it fires"


def test_each_alert_has_its_section_and_no_section_is_left_over() -> None:
    """Headings of the runbook are the names of the alerts, in their order."""
    headings = re.findall(r"^## (Stepladder\w+)$", RUNBOOK.read_text(encoding="utf-8"), re.MULTILINE)
    assert headings == [rule["alert"] for rule in rules()]


def test_alerts_ask_for_what_there_is(scrape: Scrape) -> None:
    """Each metric and label that an alert names is told by a running system."""
    assert {rule["alert"]: unknown_in(rule["expr"], scrape) for rule in rules()} == {
        rule["alert"]: set() for rule in rules()
    }
