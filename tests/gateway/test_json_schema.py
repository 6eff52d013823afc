"""JSON Schemas of messages say what the services say."""

from typing import Any

import protovalidate
import pytest
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.struct_pb2 import Struct
from jsonschema import Draft202012Validator

from libs.common.contracts import load_contracts
from services.gateway.json_schema import JsonSchemas
from stepladder.coaching.v1.case_file_pb2 import CaseFile
from stepladder.gateway.v1.event_stream_pb2 import PublicEvent, WatchEventsResponse
from stepladder.performance.v1.directory_pb2 import Employee
from stepladder.performance.v1.kpi_pb2 import Kpi

CONTRACTS = load_contracts()
FACT = {
    "employeeId": "anna",
    "date": "2026-01-31",
    "source": "acd",
    "readings": [{"kpiId": "aht", "numerators": ["7"]}],
}
DAY = {name: FACT[name] for name in ("employeeId", "date", "source")}
KPI = {
    "kpiId": "aht",
    "displayName": "AHT",
    "unit": "UNIT_SECONDS",
    "direction": "DIRECTION_LOWER",
    "aggregation": "AGGREGATION_SUM",
    "scaleNumerator": 1,
    "scaleDenominator": "1",
}


def accepts(name: str, value: object, *, written: bool = True) -> bool:
    """Whether a message's schema takes a value."""
    schemas = JsonSchemas(CONTRACTS, "#/$defs/", written=written)
    schema = {**schemas.reference(CONTRACTS.message(name)), "$defs": schemas.definitions}
    Draft202012Validator.check_schema(schema)
    return bool(Draft202012Validator(schema).is_valid(value))


@pytest.mark.parametrize(
    ("name", "value", "fine"),
    [
        ("performance.v1.Fact", FACT, True),
        ("performance.v1.Fact", {**FACT, "employeeId": "Anna"}, False),  # a predefined rule
        ("performance.v1.Fact", {**FACT, "date": "2026-02-31"}, False),
        ("performance.v1.Fact", {**FACT, "readings": []}, False),
        ("performance.v1.Fact", {name: FACT[name] for name in FACT if name != "date"}, False),
        ("performance.v1.Kpi", KPI, True),
        ("performance.v1.Kpi", {**KPI, "displayName": ""}, False),
        ("performance.v1.Kpi", {**KPI, "displayName": "长" * 200}, True),
        ("performance.v1.Kpi", {**KPI, "displayName": "长" * 201}, False),
        ("performance.v1.Kpi", {**KPI, "unit": "UNIT_UNSPECIFIED"}, False),
        ("performance.v1.Kpi", {**KPI, "unit": "UNIT_OF_MEASURE"}, False),
        ("performance.v1.Kpi", {**KPI, "precision": 7}, False),
        ("performance.v1.Kpi", {**KPI, "scaleNumerator": 0}, False),
        ("performance.v1.Kpi", {**KPI, "retiredDate": ""}, True),  # a rule that lets nothing pass
        ("performance.v1.Kpi", {**KPI, "retiredDate": "soon"}, False),
        ("performance.v1.CreateKpiRequest", {}, False),
        ("performance.v1.ReadingsOfDay", {**DAY, "kpiIds": ["a", "b"]}, True),
        ("performance.v1.ReadingsOfDay", {**DAY, "kpiIds": ["a", "a"]}, False),
        ("performance.v1.ReadingsOfDay", {**DAY, "kpiIds": ["a", "B"]}, False),  # a rule of each item
        ("coaching.v1.ExportCaseFileRequest", {"planId": "p", "format": "pdf"}, True),
        ("coaching.v1.ExportCaseFileRequest", {"planId": "p", "format": "exe"}, False),
        ("promotion.v1.ReviewAsManagerRequest", {"candidacyId": "c", "report": "so", "approved": False}, True),
        ("promotion.v1.ReviewAsManagerRequest", {"candidacyId": "c", "report": "so"}, False),
    ],
)
def test_a_schema_refuses_what_the_service_refuses(name: str, value: dict[str, Any], fine: bool) -> None:
    """Each kind of rule is in the schema, as the validator of the services understands it."""
    full_name = f"stepladder.{name}"
    message = GetMessageClass(CONTRACTS.message(full_name))()
    try:
        taken = not protovalidate.collect_violations(ParseDict(value, message))
    except ParseError:
        taken = False
    assert (accepts(full_name, value), taken) == (fine, fine)


@pytest.mark.parametrize(
    "message", [Kpi(kpi_id="aht"), Kpi(), CaseFile(names={"e-1": "Anna"}), Employee(stars=2, log_position=2**60)]
)
def test_an_answer_fits_whatever_is_in_it(message: Any) -> None:
    """What is answered has every field without presence, and needs to keep no rule."""
    value = MessageToDict(message, always_print_fields_with_no_presence=True)
    assert accepts(message.DESCRIPTOR.full_name, value, written=False)
    assert not accepts(message.DESCRIPTOR.full_name, {}, written=False)


def test_any_json_fits_where_any_may_stand() -> None:
    """An event in an answer is an object of whatever fields."""
    event = ParseDict({"data": {"stars": 0}, "tags": ["a", None]}, Struct())
    answer = WatchEventsResponse(events=[PublicEvent(position=1, event=event)])
    value = MessageToDict(answer, always_print_fields_with_no_presence=True)
    assert accepts(answer.DESCRIPTOR.full_name, value, written=False)


def test_every_message_of_a_call_has_a_schema() -> None:
    """Schemas are valid, and say what the contracts' comments say."""
    for written in (True, False):
        schemas = JsonSchemas(CONTRACTS, "#/$defs/", written=written)
        for service in CONTRACTS.services:
            for method in service.methods:
                schemas.reference(method.input_type if written else method.output_type)
        Draft202012Validator.check_schema({"$defs": schemas.definitions})
        kpi = schemas.definitions["stepladder.performance.v1.Kpi" + ("Input" if written else "")]
        assert kpi["properties"]["description"]["description"].startswith("What numerator and denominator count")
