"""What services log: that people can find things in it, and nothing of themselves."""

import json
from datetime import datetime

import pytest

from tests.observing.running import Observed, Scrape, events_of, wait_until
from tests.observing.story import AGENT, MARK, Story

pytestmark = pytest.mark.xdist_group("observing")


@pytest.mark.usefixtures("story")
def test_every_line_is_an_object_with_its_first_fields(observed: Observed) -> None:
    """Time, level, event and service come first, in this order, of services and of their libraries."""
    for service, lines in observed.lines().items():
        assert lines
        for line in events_of(lines):
            assert list(line)[:4] == ["time", "level", "event", "service"]
            assert line["service"] == service
            assert line["level"] in ("debug", "info", "warning", "error", "critical")
            assert datetime.fromisoformat(line["time"]).tzinfo


def test_a_refusal_is_found_by_its_event_and_its_trace(observed: Observed, story: Story) -> None:
    """A line says which method was refused, to whom and why; it and Envoy's line name the caller's trace."""
    (refused,) = [line for line in events_of(observed.lines()["performance"]) if line["event"] == "call_refused"]
    assert (refused["actor"], refused["reason"], refused["trace_id"]) == (
        f"user:{AGENT}",
        "NEED_TO_KNOW",
        story.trace_id,
    )
    assert refused["method"] == "stepladder.performance.v1.DirectoryService/GetEmployee"
    assert list(refused)[4:6] == ["trace_id", "span_id"]
    envoy = observed.system.folder / "logs" / "envoy.log"
    wait_until(lambda: story.trace_id in envoy.read_text(encoding="utf-8"))


def test_nothing_personal_leaves_by_way_of_what_is_watched(observed: Observed, story: Story, scrape: Scrape) -> None:
    """Names and free texts are in no line of any log, in no metric and in no span."""
    wait_until(lambda: {"performance", "coaching"} <= {service for service, _ in observed.spans.of(story.trace_id)})
    logs = {path.name: path.read_text(encoding="utf-8") for path in (observed.system.folder / "logs").glob("*.log")}
    assert {f"{service}.log" for service in observed.lines()} < set(logs)
    assert [name for name, text in logs.items() if MARK.lower() in text.lower()] == []
    assert MARK.lower() not in scrape.text.lower()
    spans = json.dumps([[service, str(span)] for service, span in observed.spans.all()])
    assert story.trace_id
    assert MARK.lower() not in spans.lower()
