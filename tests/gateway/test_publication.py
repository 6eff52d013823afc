"""What of an event is published, and that nothing else is."""

import json
import re
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import Default

from libs.common.eventsourcing import Recorded
from services.gateway.__main__ import EVENTS
from services.gateway.publication import MOST_BYTES, About, cloud_event, paths, publications
from stepladder.common.v1 import rules_pb2
from stepladder.common.v1.envelope_pb2 import Envelope
from stepladder.common.v1.rules_pb2 import Audience
from stepladder.performance.v1.events_pb2 import EmployeeHired, FactRecorded, RecordCreated
from stepladder.performance.v1.facts_pb2 import Fact, Reading
from stepladder.performance.v1.record_pb2 import Leave

ROOT = Path(__file__).parents[2]
LISTED = Path(__file__).with_name("published.txt")
PUBLICATIONS = publications(EVENTS)
NUMBERS = count(1)


def listing() -> Iterator[str]:
    """Every public event: its type, who sees it, whom it names, and its fields."""
    for one in PUBLICATIONS.values():
        named = [".".join(field.name for field in path) or "-" for path in (one.employee, one.team)]
        audience = Audience.Name(one.audience).removeprefix("AUDIENCE_").lower()
        yield f"{one.type} | {audience} | employee {named[0]}, team {named[1]}"
        yield from (f"    {path}" for path in paths(one.fields))


def recorded(event: FactRecorded | EmployeeHired | RecordCreated) -> Recorded:
    envelope = Envelope(event_id="c1.0", type=event.DESCRIPTOR.full_name, schema_version=1)
    envelope.time.FromJsonString("2026-03-02T12:00:00Z")
    return Recorded(7, "log.performance.employee.anna", event, envelope)


def test_what_is_published_is_what_was_agreed() -> None:
    """Whoever publishes more, or less, changes the list beside this test, where it is seen."""
    assert "\n".join(listing()) + "\n" == LISTED.read_text(), f"if it is meant: python -m {__name__} > {LISTED}"


def test_restricted_events_are_private() -> None:
    """Nothing of an aggregate that lies in the restricted log has a declaration."""
    restricted = set[str]()
    for file in (ROOT / "proto").rglob("events.proto"):
        for section in re.split(r"^// Aggregate ", file.read_text(), flags=re.MULTILINE)[1:]:
            if section.split("\n")[0].partition(", restricted")[1]:
                package = file.relative_to(ROOT / "proto").parent.as_posix().replace("/", ".")
                restricted |= {f"{package}.{name}" for name in re.findall(r"^message (\w+)", section, re.MULTILINE)}
    assert len(restricted) > 30
    assert restricted.isdisjoint(PUBLICATIONS)


@pytest.mark.parametrize(
    "name",
    [
        "stepladder.coaching.v1.EmployeeStandingChanged",
        "stepladder.promotion.v1.ObjectionRaised",
        "stepladder.promotion.v1.PeersScored",
        "stepladder.promotion.v1.InterviewScored",
        "stepladder.performance.v1.AssessmentGiven",
    ],
)
def test_what_is_sensitive_is_private(name: str) -> None:
    """PIPs, objections, interviews, and what peers and teams gave, though they lie in the open log (D15)."""
    assert name not in PUBLICATIONS


def test_an_event_is_a_cloud_event() -> None:
    """With the event's own id, whom it is about, and the fields listed, those without a value among them."""
    hired = EmployeeHired(employee_id="anna", team_id="riga", hire_date="2026-03-02", display_name="Anna Liepa")
    publication = PUBLICATIONS[hired.DESCRIPTOR.full_name]
    about = publication.about(hired)
    event = json.loads(cloud_event(publication, recorded(hired), about))
    data = event.pop("data")
    assert event == {
        "specversion": "1.0",
        "id": "c1.0",
        "source": "/stepladder/performance",
        "type": "stepladder.performance.employee-hired.v1",
        "subject": "employee/anna",
        "time": "2026-03-02T12:00:00Z",
        "datacontenttype": "application/json",
        "dataschema": "stepladder:/v1/events/schemas/stepladder.performance.employee-hired.v1",
        "employeeid": "anna",
        "teamid": "riga",
        "logposition": "7",
    }
    assert data["employeeId"] == "anna"
    assert data["status"] == "EMPLOYMENT_STATUS_UNSPECIFIED"
    assert "displayName" not in data
    assert publication.subject(about) == "events.performance.employee-hired.v1.riga.anna"
    assert publication.subject(About()) == "events.performance.employee-hired.v1._._"


def test_of_a_message_within_only_what_is_listed_is_published() -> None:
    """A leave is published with its days, not with its kind: that somebody is sick is nobody's business."""
    created = RecordCreated(note="has a cold")
    created.record.record_id, created.record.employee_id, created.record.note = "r-1", "anna", "has a cold"
    created.record.leave.kind, created.record.leave.end_date = Leave.KIND_SICK, "2026-03-05"
    shown = PUBLICATIONS[created.DESCRIPTOR.full_name].shown(created)
    assert shown["record"] == {"recordId": "r-1", "employeeId": "anna", "date": "", "leave": {"endDate": "2026-03-05"}}
    assert "cold" not in json.dumps(shown)


def test_an_event_too_large_is_published_without_its_data() -> None:
    """Whoever is interested reads it at the service; the stream does not stop for it."""
    readings = [Reading(kpi_id=f"k{number}", numerators=[10**12] * 10_000) for number in range(10)]
    event = FactRecorded(fact=Fact(employee_id="anna", readings=readings))
    whole = cloud_event(PUBLICATIONS[event.DESCRIPTOR.full_name], recorded(event), About("anna", "riga"))
    assert len(whole) < MOST_BYTES
    assert json.loads(whole)["dataomitted"] is True
    assert "data" not in json.loads(whole)


def declared(**declaration: Any) -> FileDescriptor:
    """A contract with one event that is declared to be published so."""
    number = next(NUMBERS)
    file = FileDescriptorProto(name=f"tried{number}.proto", package=f"stepladder.tried{number}.v1", syntax="proto3")
    file.dependency.append(rules_pb2.DESCRIPTOR.name)
    event = file.message_type.add(name="Tried")
    text, message = FieldDescriptorProto.TYPE_STRING, FieldDescriptorProto.TYPE_MESSAGE
    about = event.field.add(name="employee_id", number=1, type=text)
    about.options.Extensions[rules_pb2.data_subject] = True
    words = event.field.add(name="words", number=2, type=text)
    words.options.Extensions[rules_pb2.personal] = True
    event.field.add(name="within", number=3, type=message, type_name=f".{file.package}.Within")
    file.message_type.add(name="Within").field.add(name="id", number=1, type=text)
    event.options.Extensions[rules_pb2.schema_version] = 1
    event.options.Extensions[rules_pb2.publication].CopyFrom(rules_pb2.Publication(**declaration))
    return Default().AddSerializedFile(file.SerializeToString())


SEEING = rules_pb2.AUDIENCE_SEEING


def test_a_declaration_lists_what_there_is() -> None:
    """A value within a message can be listed."""
    (one,) = publications([declared(fields=["employee_id", "within.id"], audience=SEEING)]).values()
    assert list(paths(one.fields)) == ["employee_id", "within.id"]


@pytest.mark.parametrize(
    ("declaration", "problem"),
    [
        ({"fields": ["words"], "audience": SEEING}, "personal fields are never published"),
        ({"fields": ["within"], "audience": SEEING}, "lists a message as a whole"),
        ({"fields": ["employees"], "audience": SEEING}, "there is no field employees"),
        ({"fields": ["within.id.more"], "audience": SEEING}, "there is no field within.id.more"),
        ({"fields": ["employee_id"]}, "needs an audience"),
        ({"employee": "within", "audience": SEEING}, "does not hold one id"),
    ],
)
def test_a_wrong_declaration_is_found_at_start(declaration: dict[str, Any], problem: str) -> None:
    """Nothing is published by a declaration that names what it must not, or what there is not."""
    with pytest.raises(ValueError, match=problem):
        publications([declared(**declaration)])


if __name__ == "__main__":
    sys.stdout.write("\n".join(listing()) + "\n")
