"""Logs and traces: JSON lines on stderr, OpenTelemetry spans from caller to gRPC to log to follower to SQL."""

import json
import logging
import sys
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TextIO

import structlog
from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, SamplingResult, TraceIdRatioBased
from opentelemetry.trace import Link, Span, SpanKind, StatusCode, Tracer, TraceState
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import Attributes
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.typing import Processor, WrappedLogger

from libs.common.settings import Settings

Fields = MutableMapping[str, Any]

_PROPAGATOR = TraceContextTextMapPropagator()
_TRACE = len("00-") + 32
"""So many characters of a traceparent name its trace (W3C Trace Context, 3.2)."""
MOST_LINKS = 32
"""To so many other traces one span is linked."""
_NO_SPAN = nullcontext(trace.INVALID_SPAN)


class _Process:
    """What is traced is a matter of the whole process, as with logs."""

    tracer: Tracer | None = None


def start_logging(service: str, settings: Settings, out: TextIO | None = None) -> None:
    """Sends what structlog and the libraries (these from WARNING on) log to `out`, by default stderr, one event a line.

    A line is a JSON object: `time` (UTC, ISO), `level`, `event`, `service`, `trace_id` and `span_id` inside a span,
    then the event's own fields; `exception` is a traceback without the values of variables.
    """
    out = out or sys.stderr
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    collect: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.format_exc_info,
    ]

    def ordered(_logger: WrappedLogger, _method: str, fields: Fields) -> Fields:
        first = {"time": fields["time"], "level": fields["level"], "event": fields["event"], "service": service}
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            first |= {"trace_id": f"{span.trace_id:032x}", "span_id": f"{span.span_id:016x}"}
        return first | {name: value for name, value in fields.items() if name not in first}

    render = [ordered, _renderer(settings, out)]
    structlog.configure(
        processors=[*collect, *render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(out),
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *collect],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)


def _renderer(settings: Settings, out: TextIO) -> Processor:
    if settings.log_format == "json":
        return structlog.processors.JSONRenderer(json.dumps, ensure_ascii=False)
    return structlog.dev.ConsoleRenderer(
        colors=out.isatty(),
        timestamp_key="time",
        exception_formatter=structlog.dev.plain_traceback,  # the other one shows the values of variables
    )


@contextmanager
def tracing(service: str, settings: Settings, exporter: SpanExporter | None = None) -> Iterator[None]:
    """Exports spans to `otlp_endpoint` (or to the given exporter) until the context ends; then sends what is left.

    Work is traced when whoever asked for it traces it, or by `trace_ratio`. Without an endpoint there are no spans.
    Spans hold neither parameters nor what exceptions say, which may be personal; only a failed SQL statement's span
    has the database's own words.
    """
    if exporter is None and settings.otlp_endpoint:
        # Imported here: it takes a while, and few processes need it.
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

        # Seconds: at the end of the process, that long at most is waited for an endpoint that is away.
        exporter = OTLPSpanExporter(endpoint=settings.otlp_endpoint, timeout=3)
    if exporter is None:
        yield
        return
    provider = TracerProvider(
        resource=Resource.create({"service.name": service}),
        sampler=ParentBased(_RemoteSpansByRatio(settings.trace_ratio)),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(BatchSpanProcessor(exporter))
    _Process.tracer = provider.get_tracer("stepladder")
    try:
        yield
    finally:
        _Process.tracer = None
        provider.shutdown()


class _RemoteSpansByRatio(TraceIdRatioBased):
    """Starts traces by the ratio, but none for the SQL that a follower runs while nobody asks for anything."""

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        if kind is SpanKind.CLIENT:
            return SamplingResult(Decision.DROP)
        return super().should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)


def instrument_engine(engine: AsyncEngine) -> None:
    """Makes a span of every SQL statement (its text, without parameters), if `tracing` is on."""
    if _Process.tracer is None:
        return
    from opentelemetry.instrumentation.sqlalchemy.engine import EngineTracer  # noqa: PLC0415 - only where traced

    # SQLAlchemyInstrumentor takes one engine a process and refuses SQLAlchemy 2.1; this is what it does for an engine.
    pool = metrics.get_meter("stepladder").create_up_down_counter("db.client.connections.usage")
    EngineTracer(_Process.tracer, engine.sync_engine, pool)  # type: ignore[no-untyped-call]


def current_traceparent() -> str:
    """The W3C traceparent of the active span; empty when there is none or its trace is not sampled."""
    span = trace.get_current_span().get_span_context()
    if not (span.is_valid and span.trace_flags.sampled):
        return ""
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-01"


def continuing(traceparent: str) -> str:
    """The active span where it is of the same trace as `traceparent`, which otherwise stays as it is."""
    current = current_traceparent()
    return current if current[:_TRACE] == traceparent[:_TRACE] else traceparent


def remote_span(
    name: str, traceparent: str, kind: SpanKind = SpanKind.SERVER, others: Iterable[str] = ()
) -> AbstractContextManager[Span]:
    """A span for work asked for elsewhere, active inside the context.

    `traceparent` is what came with the work; empty or malformed starts a trace of its own, by the ratio. To `others`,
    whose work is done together with it, the span is linked. While nothing is exported, the caller's span is the active
    one, so that logs and events still name its trace.
    """
    tracer = _Process.tracer
    if tracer is None and not traceparent:
        return _NO_SPAN
    parent = _PROPAGATOR.extract({"traceparent": traceparent}, Context())
    if tracer is None:
        return trace.use_span(trace.get_current_span(parent))
    links = [
        Link(trace.get_current_span(_PROPAGATOR.extract({"traceparent": one})).get_span_context()) for one in others
    ]
    return _own_span(tracer, name, parent, kind, links)


def inner_span(name: str, traceparent: str) -> AbstractContextManager[Span]:
    """A span for a part of traced work, active inside the context; none where nothing is traced or exported."""
    if _Process.tracer is None or not traceparent:
        return _NO_SPAN
    return remote_span(name, traceparent, SpanKind.INTERNAL)


def batch_span(name: str, traceparents: Iterable[str]) -> AbstractContextManager[Span]:
    """A span for a batch of what was asked for elsewhere: in the trace of the first that is traced, linked to others.

    Empty traceparents are of work that is not traced; without any other there is no span.
    """
    traced = list(dict.fromkeys(one for one in traceparents if one))
    if not traced:
        return _NO_SPAN
    return remote_span(name, traced[0], SpanKind.CONSUMER, traced[1 : 1 + MOST_LINKS])


@contextmanager
def _own_span(tracer: Tracer, name: str, parent: Context, kind: SpanKind, links: Sequence[Link]) -> Iterator[Span]:
    with tracer.start_as_current_span(
        name, parent, kind, links=links, record_exception=False, set_status_on_exception=False
    ) as span:
        try:
            yield span
        except Exception as error:
            span.set_status(StatusCode.ERROR, type(error).__name__)
            raise
