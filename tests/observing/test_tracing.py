"""One trace through the whole system, as a receiver gets it from real processes."""

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.observing.running import Observed, wait_until
from tests.observing.story import Story

pytestmark = pytest.mark.xdist_group("observing")

FACTS = "stepladder.performance.v1.FactsService/RecordFacts"
FOLLOWERS = "stepladder.common.v1.OperationsService/ListFollowers"
APPOINT = "stepladder.performance.v1.DirectoryService/AppointTeamLead"


@pytest.mark.parametrize(
    "path",
    [
        [("performance", FACTS), ("performance", "command performance.facts"), ("performance", "follow results")],
        [("performance", FACTS), ("performance", "command performance.facts"), ("coaching", "follow facts")],
        [("performance", FACTS), ("performance", "command performance.facts"), ("promotion", "follow histories")],
        [("performance", APPOINT), ("performance", "command performance.team"), ("gateway", "publish")],
        [("gateway", FOLLOWERS), ("promotion", FOLLOWERS)],
    ],
    ids=lambda path: f"{path[0][1].rpartition('/')[2]} to {' '.join(path[-1])}",
)
def test_a_callers_trace_leads_through_the_system(
    observed: Observed, story: Story, path: list[tuple[str, str]]
) -> None:
    """Each step is a child of the one before or linked to it, the first of the caller; below the last lies SQL."""
    children = wait_until(lambda: _along(observed, story, path))
    assert [span for span in children if span.kind == Span.SPAN_KIND_CLIENT or path[-1][1] == "publish"]


def _along(observed: Observed, story: Story, path: list[tuple[str, str]]) -> list[Span]:
    """The children of the last span of a path, and itself; none while a step is not there."""
    spans, above = observed.spans.of(story.trace_id), {bytes.fromhex(story.span_id)}
    for service, name in path:
        above = {
            span.span_id
            for of, span in spans
            if (of, span.name) == (service, name)
            # What shares a batch with an earlier call of the same caller is linked to it.
            and not above.isdisjoint({span.parent_span_id, *(link.span_id for link in span.links)})
        }
    return [span for _, span in spans if span.parent_span_id in above or span.span_id in above]
