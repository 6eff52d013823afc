"""Lines of the log and spans of traces."""

import io
import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from sqlalchemy import text

from libs.common.database import open_database
from libs.common.settings import Settings
from libs.common.telemetry import current_traceparent, instrument_engine, remote_span, start_logging, tracing

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
SPAN_ID = "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE_ID}-{SPAN_ID}-01"

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines(restored_logging: None) -> Lines:
    """Starts logging; answers what was logged so far."""
    del restored_logging
    out = io.StringIO()
    start_logging("coaching", Settings(), out)
    return lambda: [json.loads(line) for line in out.getvalue().splitlines()]


def test_line_has_its_fields_in_order(lines: Lines) -> None:
    """A line says when, how bad, what and who before what the event adds."""
    structlog.contextvars.bind_contextvars(method="Plans/GetPlan")
    structlog.get_logger().info("plan_closed", plan_id="p-1", note="走了", when=datetime(2026, 1, 1, tzinfo=UTC))
    (line,) = lines()
    assert list(line)[:4] == ["time", "level", "event", "service"]
    assert (line["level"], line["event"], line["service"]) == ("info", "plan_closed", "coaching")
    assert (line["method"], line["plan_id"], line["note"]) == ("Plans/GetPlan", "p-1", "走了")
    assert datetime.fromisoformat(line["time"]).utcoffset() == timedelta(0)


def test_line_names_the_trace(lines: Lines) -> None:
    """Inside a span a line carries its ids, and outside none."""
    exporter = InMemorySpanExporter()
    with tracing("coaching", Settings(trace_ratio=0), exporter), remote_span("close", TRACEPARENT):
        structlog.get_logger().info("inside")
    structlog.get_logger().info("outside")
    inside, outside = lines()
    (span,) = exporter.get_finished_spans()
    assert list(inside)[4:] == ["trace_id", "span_id"]
    assert inside["trace_id"] == TRACE_ID
    assert span.context
    assert inside["span_id"] == f"{span.context.span_id:016x}"
    assert "trace_id" not in outside


def test_exception_is_one_line_without_values(lines: Lines) -> None:
    """A traceback is a field of its line, and shows no variables."""
    employee = "Anna"

    try:
        _ = 1 / (len(employee) - 4)
    except ZeroDivisionError:
        structlog.get_logger().exception("it_broke")
    (line,) = lines()
    assert line["level"] == "error"
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ZeroDivisionError: division by zero")
    assert "Anna" not in line["exception"]


def test_libraries_use_the_same_pipe(lines: Lines) -> None:
    """What libraries log from WARNING on becomes lines of the same shape."""
    library = logging.getLogger("nats")
    library.info("connected")
    library.warning("slow %s", "consumer")
    library.error("lost", exc_info=ConnectionError("gone"))
    slow, lost = lines()
    assert list(slow)[:4] == ["time", "level", "event", "service"]
    assert (slow["level"], slow["event"], slow["service"], slow["logger"]) == (
        "warning",
        "slow consumer",
        "coaching",
        "nats",
    )
    assert lost["exception"].endswith("ConnectionError: gone")


@pytest.mark.usefixtures("restored_logging")
def test_level_and_format_are_settings() -> None:
    """Less severe events than the level are dropped; console lines are for people."""
    out = io.StringIO()
    start_logging("coaching", Settings(log_level="warning", log_format="console"), out)
    structlog.get_logger().info("too_quiet")
    structlog.get_logger().warning("loud_enough", plan_id="p-1")
    assert "too_quiet" not in out.getvalue()
    assert "loud_enough" in out.getvalue()
    assert "plan_id=p-1" in out.getvalue()


def test_remote_span_has_its_parent() -> None:
    """A span under a traceparent continues that trace; current_traceparent names it while it is active."""
    exporter = InMemorySpanExporter()
    with tracing("coaching", Settings(trace_ratio=0), exporter):
        with remote_span("follow plans", TRACEPARENT, SpanKind.CONSUMER):
            inside = current_traceparent()
        assert current_traceparent() == ""
    (span,) = exporter.get_finished_spans()
    assert span.parent
    assert span.context
    assert (span.name, span.kind, span.parent.is_remote) == ("follow plans", SpanKind.CONSUMER, True)
    assert f"{span.parent.trace_id:032x}-{span.parent.span_id:016x}" == f"{TRACE_ID}-{SPAN_ID}"
    assert inside == f"00-{TRACE_ID}-{span.context.span_id:016x}-01"
    assert span.resource.attributes["service.name"] == "coaching"


@pytest.mark.parametrize("traceparent", ["", "junk", f"00-{TRACE_ID}-{SPAN_ID}-00"])
def test_untraced_work_has_no_span(traceparent: str) -> None:
    """Work that nobody traces, or whose trace is malformed or not sampled, leaves no span and no traceparent."""
    exporter = InMemorySpanExporter()
    with tracing("coaching", Settings(trace_ratio=0), exporter), remote_span("follow", traceparent):
        assert current_traceparent() == ""
    assert not exporter.get_finished_spans()


def test_ratio_starts_traces() -> None:
    """Work without a trace starts one by the ratio, even inside another span."""
    exporter = InMemorySpanExporter()
    with tracing("coaching", Settings(trace_ratio=1), exporter), remote_span("a", TRACEPARENT), remote_span("b", ""):
        pass
    inner, outer = exporter.get_finished_spans()
    assert inner.parent is None
    assert outer.parent


def test_failed_work_is_an_error_without_text() -> None:
    """A span that an exception leaves is marked by the exception's type; its text may be personal."""
    exporter = InMemorySpanExporter()
    with tracing("coaching", Settings(), exporter), pytest.raises(ValueError, match="Anna"):  # noqa: SIM117
        with remote_span("follow", TRACEPARENT):
            raise ValueError("Anna")
    (span,) = exporter.get_finished_spans()
    assert span.status.description == "ValueError"
    assert "Anna" not in span.to_json()


def test_without_exporter_the_trace_is_only_passed_on() -> None:
    """A process that exports nothing makes no spans, and still names the caller's trace."""
    with tracing("coaching", Settings(trace_ratio=1)):
        with remote_span("close", "") as span:
            assert span is trace.INVALID_SPAN
            assert current_traceparent() == ""
        with remote_span("close", TRACEPARENT):
            assert current_traceparent() == TRACEPARENT
        with remote_span("close", "junk"):
            assert current_traceparent() == ""


async def test_sql_is_a_span_under_the_remote_parent(tmp_path: Path) -> None:
    """Statements on every engine of the process appear under the span they run in, without their parameters."""
    exporter = InMemorySpanExporter()
    with tracing("coaching", Settings(trace_ratio=0), exporter):
        for name in ("models", "keys"):
            engine = open_database(f"sqlite+aiosqlite:///{tmp_path / name}.db")
            instrument_engine(engine)
            with remote_span(name, TRACEPARENT):
                async with engine.connect() as connection:
                    await connection.execute(text("SELECT :name"), {"name": "Anna"})
            await engine.dispose()
    spans = {span.context.span_id: span for span in exporter.get_finished_spans() if span.context}
    selects = [span for span in spans.values() if (span.attributes or {}).get("db.statement") == "SELECT ?"]
    assert [spans[span.parent.span_id].name for span in selects if span.parent] == ["models", "keys"]
    assert {f"{span.context.trace_id:032x}" for span in selects if span.context} == {TRACE_ID}
    assert not any("Anna" in span.to_json() for span in spans.values())


async def test_sql_of_its_own_starts_no_trace(tmp_path: Path) -> None:
    """Statements outside of any work asked for are not traced, whatever the ratio."""
    exporter = InMemorySpanExporter()
    engine = open_database(f"sqlite+aiosqlite:///{tmp_path / 'models.db'}")
    with tracing("coaching", Settings(trace_ratio=1), exporter):
        instrument_engine(engine)
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
    await engine.dispose()
    assert not exporter.get_finished_spans()


async def test_engine_is_left_alone_without_tracing(tmp_path: Path) -> None:
    """Without tracing an engine gets no listeners, so that statements cost nothing more."""
    engine = open_database(f"sqlite+aiosqlite:///{tmp_path / 'models.db'}")
    instrument_engine(engine)
    assert not engine.sync_engine.dispatch.before_cursor_execute
    await engine.dispose()
