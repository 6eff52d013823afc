"""One running system for all tests of this folder: its metrics, its traces and its logs, and a story told to it."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from tests.observing.running import Observed, Scrape, Spans, wait_until
from tests.observing.story import Story, tell
from tests.servers import free_ports, own_ports, running_system


class _Receiver(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self, spans: Spans) -> None:
        self._spans = spans

    def Export(self, request: trace_service_pb2.ExportTraceServiceRequest, context: object) -> object:  # noqa: N802 - as its contract has it
        self._spans.take(request)
        return trace_service_pb2.ExportTraceServiceResponse()


@pytest.fixture(scope="package")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    """The whole system as `stepladder up` runs it, with a receiver of traces."""
    spans = Spans()
    server = grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(_Receiver(spans), server)  # type: ignore[no-untyped-call] # it is generated
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    settings = own_ports().model_copy(
        update={
            "metrics_address": f"127.0.0.1:{free_ports(4)}",
            "otlp_endpoint": f"http://127.0.0.1:{port}",
            "trace_ratio": 0.0,
            "log_level": "debug",
        }
    )
    try:
        with running_system(tmp_path_factory.mktemp("observed"), settings) as system:
            yield Observed(system, spans)
    finally:
        server.stop(None)


@pytest.fixture(scope="package")
def story(observed: Observed) -> Story:
    """What happened in it, once for all tests."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, tell(observed)).result()


@pytest.fixture(scope="package")
def scrape(observed: Observed, story: Story) -> Scrape:  # noqa: ARG001 - it is what has happened before
    """What all services tell once the story has been told, and the webhook's first event has failed."""
    wait_until(lambda: observed.scrape("gateway").total("stepladder_webhook_waiting_events"))
    return observed.scrape()
