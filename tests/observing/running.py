"""A running system as those see it who watch it."""

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any
from urllib.request import urlopen

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from libs.cli.embedded import SERVICES, Embedded, metrics_address


class Spans:
    """What a receiver of traces got, with the name of the service that sent it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._taken: list[tuple[str, Span]] = []

    def take(self, request: ExportTraceServiceRequest) -> None:
        """Keeps what was sent."""
        with self._lock:
            for resource in request.resource_spans:
                names = {one.key: one.value.string_value for one in resource.resource.attributes}
                self._taken += [(names["service.name"], span) for scope in resource.scope_spans for span in scope.spans]

    def all(self) -> list[tuple[str, Span]]:
        """Every span so far."""
        with self._lock:
            return list(self._taken)

    def of(self, trace_id: str) -> list[tuple[str, Span]]:
        """Those of a trace."""
        return [(service, span) for service, span in self.all() if span.trace_id.hex() == trace_id]


@dataclass(frozen=True)
class Scrape:
    """What processes answered at /metrics."""

    text: str

    @property
    def samples(self) -> list[Sample]:
        """All samples."""
        return [sample for family in text_string_to_metric_families(self.text) for sample in family.samples]

    @property
    def names(self) -> set[str]:
        """Of metrics, those among them that nothing was counted of."""
        return {line.split()[2] for line in self.text.splitlines() if line.startswith("# TYPE ")}

    def values(self, name: str, **labels: str) -> list[float]:
        """The values of a metric's samples with some labels."""
        return [
            sample.value for sample in self.samples if sample.name == name and labels.items() <= sample.labels.items()
        ]

    def total(self, name: str, **labels: str) -> float:
        """Their sum; 0 where there are none."""
        return sum(self.values(name, **labels))


@dataclass(frozen=True)
class Observed:
    """A running system, and the spans that it sent."""

    system: Embedded
    spans: Spans

    def scrape(self, *services: str) -> Scrape:
        """What some services tell now, or all."""
        return Scrape("".join(self._text(service) for service in services or SERVICES))

    def lines(self) -> Mapping[str, Iterable[str]]:
        """What each service has logged so far."""
        logs = self.system.folder / "logs"
        return {name: (logs / f"{name}.log").read_text(encoding="utf-8").splitlines() for name in SERVICES}

    def _text(self, service: str) -> str:
        with urlopen(f"http://{metrics_address(self.system.settings, service)}/metrics", timeout=20) as answer:
            assert answer.headers.get_content_type() == "text/plain"
            text: str = answer.read().decode()
            return text


def events_of(lines: Iterable[str]) -> list[dict[str, Any]]:
    """Lines of a log as objects."""
    return [json.loads(line) for line in lines]


def wait_until(question: Any, seconds: float = 60.0) -> Any:
    """Asks again until the answer is true, and answers it; fails when that takes too long."""
    deadline = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.1)
    return answer
