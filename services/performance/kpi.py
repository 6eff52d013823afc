"""A KPI's definition, and its arithmetic: exact, rounded only to be shown."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import assert_never, cast

from google.protobuf.message import Message

from libs.common.days import parse_day
from libs.common.errors import AlreadyExists, FieldViolation, Invalid, NotFound
from libs.common.eventsourcing import Aggregate, Context
from libs.common.updates import updated
from stepladder.performance.v1.events_pb2 import KpiCreated, KpiUpdated
from stepladder.performance.v1.kpi_pb2 import CreateKpiRequest, Kpi, UpdateKpiRequest

Command = CreateKpiRequest | UpdateKpiRequest
Event = KpiCreated | KpiUpdated

UPDATABLE = ("display_name", "display_name_zh", "description", "precision", "retired_date")


@dataclass(frozen=True, slots=True)
class State:
    """The definition as created and as it is now, without output-only fields; empty before it is created."""

    created: Kpi = field(default_factory=Kpi)
    kpi: Kpi = field(default_factory=Kpi)


def evolve(state: State, event: Message) -> State:
    match cast(Event, event):
        case KpiCreated(kpi=kpi):
            return State(created=kpi, kpi=kpi)
        case KpiUpdated(kpi=kpi):
            return replace(state, kpi=kpi)
        case unknown:
            assert_never(unknown)


def decide(state: State, command: Message, _: Context) -> Sequence[Message]:
    match state, cast(Command, command):
        case State(kpi=Kpi(kpi_id="")), CreateKpiRequest(kpi=given):
            _refuse_wrong_derivation(given)
            return [KpiCreated(kpi=_stored(given))]
        case _, CreateKpiRequest(kpi=given):
            if _stored(given) != state.created:
                raise AlreadyExists("KPI_EXISTS", f"KPI {given.kpi_id} was created with other content")
            return []
        case State(kpi=Kpi(kpi_id="")), UpdateKpiRequest():
            raise NotFound("KPI_NOT_FOUND", "there is no such KPI")
        case _, UpdateKpiRequest(kpi=given, update_mask=mask):
            kpi = updated(state.kpi, given, mask, UPDATABLE)
            if kpi.retired_date:
                parse_day(kpi.retired_date, "kpi.retired_date")
            _refuse_wrong_fields(kpi)
            return [] if kpi == state.kpi else [KpiUpdated(kpi=kpi)]
        case _, unknown:
            assert_never(unknown)


KPI = Aggregate(name="performance.kpi", initial=State(), evolve=evolve, decide=decide)


def _stored(kpi: Kpi) -> Kpi:
    stored = Kpi()
    stored.CopyFrom(kpi)
    stored.ClearField("etag")
    stored.ClearField("log_position")
    return stored


def _refuse_wrong_derivation(kpi: Kpi) -> None:
    """Only sums of measures, and ratios of two of them."""
    if not kpi.HasField("derived"):
        return
    numerator, denominator = kpi.derived.numerator, kpi.derived.denominator
    wrong = {
        "aggregation": kpi.aggregation not in (Kpi.AGGREGATION_SUM, Kpi.AGGREGATION_RATIO)
        and "must be a sum or a ratio: measures are added up",
        "derived.denominator": (kpi.aggregation == Kpi.AGGREGATION_RATIO) != bool(denominator)
        and "is needed for a ratio, and for nothing else",
        "derived.numerator": numerator in (denominator, kpi.kpi_id) and "must be another measure",
    }
    if violations := tuple(FieldViolation(f"kpi.{name}", message) for name, message in wrong.items() if message):
        raise Invalid("DERIVATION_INVALID", f"{violations[0].field} {violations[0].message}", violations)


def _refuse_wrong_fields(kpi: Kpi) -> None:
    """Checks what an update may have changed: its request holds a part of a KPI, so the contract's rules pass it by."""
    wrong = {
        "display_name": "must have 1 to 200 characters" if not 1 <= len(kpi.display_name) <= 200 else "",
        "display_name_zh": "must have at most 200 characters" if len(kpi.display_name_zh) > 200 else "",
        "description": "must have at most 1000 characters" if len(kpi.description) > 1000 else "",
        "precision": "must be from 0 to 6" if not 0 <= kpi.precision <= 6 else "",
    }
    if violations := tuple(FieldViolation(f"kpi.{name}", message) for name, message in wrong.items() if message):
        raise Invalid("KPI_INVALID", f"{violations[0].field} {violations[0].message}", violations)


def to_resource(state: State, position: int) -> Kpi:
    kpi = Kpi(etag=str(position), log_position=position)
    kpi.MergeFrom(state.kpi)
    return kpi
