"""The short form of `make capacity`."""

import pytest

from tests.capacity.growing import Growing
from tests.capacity.table import table


@pytest.mark.xdist_group("bench")
@pytest.mark.timeout(120)
async def test_what_a_log_takes_is_measured() -> None:
    """With each size, and by the same system when it was started again."""
    told: list[str] = []
    taken = [one async for one in Growing(employees=30, tell=told.append).run([60, 300])]
    small, large, again = taken
    assert (small.recorded, large.recorded, again.recorded) == (60, 240, 0)
    assert large.events - small.events >= 240
    assert again.events == large.events
    assert {"LOG", "LOG_RESTRICTED", "EVENTS", "performance.db"} <= large.disk.keys()
    assert large.disk["LOG"] > small.disk["LOG"] > 0
    assert {"nats-server", "performance", "coaching", "promotion", "gateway", "envoy"} == large.memory.keys()
    assert min(large.memory.values()) > 1
    assert told[-1].startswith("performance/results was rebuilt in ")
    lines = table(taken).splitlines()
    assert {line.count("|") for line in lines} == {lines[0].count("|")}
