"""Dashboards: that they are those of their source, and that each panel shows what there is."""

import itertools
import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from tests.observing.queries import unknown_in
from tests.observing.running import Scrape

pytestmark = pytest.mark.xdist_group("observing")

GRAFANA = Path(__file__).parents[2] / "deploy" / "grafana"
NAMES = [path.stem for path in sorted(GRAFANA.glob("*.json"))]
UNITS = {"short", "percentunit", "s", "bytes", "ops", "reqps"}


def panels(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((GRAFANA / f"{name}.json").read_text(encoding="utf-8"))["panels"]
    return found


def test_dashboards_are_those_of_their_source() -> None:
    """Nobody has changed one by hand, and none is left over."""
    source = runpy.run_path(str(GRAFANA / "generate.py"))
    assert sorted(source["DASHBOARDS"]) == NAMES
    assert [(GRAFANA / f"{name}.json").read_text(encoding="utf-8") for name in NAMES] == [
        source["dashboard"](name) for name in NAMES
    ]


@pytest.mark.parametrize("name", NAMES)
def test_panels_say_what_they_show(name: str) -> None:
    """Each has a title of its own, a description, a unit and a query."""
    titles = [panel["title"] for panel in panels(name)]
    assert len(titles) == len(set(titles))
    for panel in panels(name):
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
        assert panel["targets"]
    assert [panel["id"] for panel in panels(name)] == list(range(1, len(titles) + 1))


@pytest.mark.parametrize("name", NAMES)
def test_panels_lie_beside_each_other(name: str) -> None:
    """None covers another or stands over the edge."""
    cells = [
        (x, y)
        for at in (panel["gridPos"] for panel in panels(name))
        for x, y in itertools.product(range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"]))
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


@pytest.mark.parametrize("name", NAMES)
def test_panels_ask_for_what_there_is(name: str, scrape: Scrape) -> None:
    """Each metric and label of a query is told by a running system."""
    queries = [target["expr"] for panel in panels(name) for target in panel["targets"]]
    assert {query: unknown for query in queries if (unknown := unknown_in(query, scrape))} == {}


def test_a_metric_that_nobody_tells_is_found(scrape: Scrape) -> None:
    """The checks of queries find a wrong metric, a wrong label and a wrong value."""
    assert unknown_in("sum(stepladder_lag)", scrape) == {"stepladder_lag"}
    assert unknown_in("sum by (person) (stepladder_info)", scrape) == {"person"}
    assert unknown_in('stepladder_info{service="sales"}', scrape) == {'stepladder_info{service="sales"}'}
    assert unknown_in('stepladder_info{name="x"}', scrape) == {'stepladder_info{name="x"}'}
