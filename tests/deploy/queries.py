"""What scalers ask Prometheus is told by our processes. (Alerts and dashboards: tests/observing.)"""

import re
from collections.abc import Iterator
from functools import cache
from urllib.parse import urlsplit

from tests.deploy.connections import service_at
from tests.deploy.finding import Finding
from tests.deploy.objects import ROOT, at, called, find, namespace_of
from tests.deploy.world import World

_OF_COUNTERS = ("", "_total", "_bucket", "_sum", "_count")
_LABELLED = re.compile(r'(\w+)="([^"]*)"')


@cache
def metrics() -> frozenset[str]:
    """The names of metrics in the code, with what Prometheus appends to those of counters and histograms."""
    files = [*(ROOT / "libs" / "common").glob("*.py"), *(ROOT / "services").glob("*/*.py")]
    named = {name for file in files for name in re.findall(r'"(stepladder_[a-z_]+)"', file.read_text())}
    return frozenset(f"{name}{suffix}" for name in named for suffix in _OF_COUNTERS)


def queries_name_metrics(world: World) -> Iterator[Finding]:
    """A scaler goes by metrics that there are, of the service that it scales."""
    for _, one in world.own("ScaledObject"):
        for place, query in find(one, ("spec", "triggers", "*", "metadata", "query")):
            where = f"{called(one)}, {'.'.join(map(str, place))}"
            for name in re.findall(r"\bstepladder_[a-z_]+\b", str(query)):
                if name not in metrics():
                    yield Finding(where, f"no process tells {name}", "see libs/common/metrics.py and observing.py")
            for label, value in _LABELLED.findall(str(query)):
                wanted = {"namespace": namespace_of(one), "service": at(one, ("spec", "scaleTargetRef", "name"))}
                if value != wanted.get(label, value):
                    yield Finding(where, f'{label}="{value}" is another', f"it should be {wanted[label]}")
        for place, address in find(one, ("spec", "triggers", "*", "metadata", "serverAddress")):
            url = urlsplit(str(address))
            service = service_at(world, str(url.hostname), namespace_of(one)) or {}
            if url.port not in [port["port"] for port in at(service, ("spec", "ports")) or []]:
                where = f"{called(one)}, {'.'.join(map(str, place))}"
                yield Finding(where, f"no Service is at {address}", "correct it, or say in elsewhere.yaml who makes it")
