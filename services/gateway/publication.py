"""What of an event is published: declared beside its contract (`publication` in common/v1/rules.proto). Pure.

Deny by default: an event without a declaration is private, and so is every field that it does not list.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from libs.common.envelope import EventType, event_types
from libs.common.eventsourcing import Recorded
from libs.common.streams import EVENTS, STREAMS
from stepladder.common.v1 import rules_pb2
from stepladder.common.v1.rules_pb2 import Audience

MOST_BYTES = 900_000
"""Largest CloudEvent; the server's limit is 1 MiB with headers. A larger one is published without its data."""

NOBODY = "_"
"""Stands in a subject for the team or employee that there is none of."""

Tree = dict[FieldDescriptor, "Tree"]
"""Fields of a message, each with those within it; a value has none."""


@dataclass(frozen=True)
class About:
    """Whom an event is about: ids, empty where it is about none or does not say."""

    employee_id: str = ""
    team_id: str = ""


@dataclass(frozen=True)
class Publication:
    """What is published of one type of event.

    `type` is that of the CloudEvent, `tokens` are those by which its subjects begin; `employee` and `team` are paths.
    """

    kind: EventType
    type: str
    tokens: str
    fields: Tree
    employee: Sequence[FieldDescriptor]
    team: Sequence[FieldDescriptor]
    audience: Audience.ValueType

    def about(self, event: Message) -> About:
        """Whom an event says that it is about."""
        return About(_value(event, self.employee), _value(event, self.team))

    def shown(self, event: Message) -> dict[str, Any]:
        """The fields listed, in protobuf's JSON mapping, those without a value included."""
        return _pruned(MessageToDict(event, always_print_fields_with_no_presence=True), self.fields)

    def subject(self, about: About) -> str:
        """Under which an event about somebody lies in EVENTS."""
        return f"{self.tokens}.{about.team_id or NOBODY}.{about.employee_id or NOBODY}"


def publications(files: Iterable[FileDescriptor]) -> dict[str, Publication]:
    """Of the public events of some contracts, by full name of the message.

    Raises ValueError for a declaration that names what it must not, or what there is not.
    """
    return {
        kind.name: _publication(kind)
        for kind in event_types(files).values()
        if kind.message.DESCRIPTOR.GetOptions().HasExtension(rules_pb2.publication)
    }


def cloud_event(publication: Publication, recorded: Recorded, about: About) -> bytes:
    """An event as CloudEvents 1.0 has it in JSON, structured mode."""
    envelope = recorded.envelope
    service = publication.type.split(".")[1]
    event = {
        "specversion": "1.0",
        "id": envelope.event_id,
        "source": f"/stepladder/{service}",
        "type": publication.type,
        "subject": "/".join(recorded.subject.split(".", 3)[2:]),
        "time": envelope.time.ToJsonString(),
        "datacontenttype": "application/json",
        "dataschema": schema_address(publication.type),
        **({"employeeid": about.employee_id} if about.employee_id else {}),
        **({"teamid": about.team_id} if about.team_id else {}),
        "logposition": str(recorded.position),
        "data": publication.shown(recorded.event),
    }
    whole = encoded(event)
    if len(whole) <= MOST_BYTES:
        return whole
    return encoded({name: value for name, value in event.items() if name != "data"} | {"dataomitted": True})


def schema_address(event_type: str) -> str:
    """Names a type's schema: behind `stepladder:` is its path at the front door."""
    return f"stepladder:/v1/events/schemas/{event_type}"


def encoded(event: Mapping[str, Any]) -> bytes:
    """A CloudEvent's bytes: one line."""
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()


def paths(fields: Tree) -> Iterator[str]:
    """Every path listed, in the order of the contract."""
    for field, within in fields.items():
        yield from (f"{field.name}.{path}" for path in paths(within)) if within else [field.name]


def is_value(field: FieldDescriptor) -> bool:
    """Whether a field holds a value, and no message with fields of ours."""
    return field.message_type is None or field.message_type.full_name == "google.protobuf.Timestamp"


def _publication(kind: EventType) -> Publication:
    descriptor = cast(Descriptor, kind.message.DESCRIPTOR)
    said = descriptor.GetOptions().Extensions[rules_pb2.publication]
    if said.audience == rules_pb2.AUDIENCE_UNSPECIFIED:
        raise ValueError(f"{kind.name}: a public event needs an audience")
    fields: Tree = {}
    for path in said.fields:
        within = fields
        for field in _path(descriptor, path):
            within = within.setdefault(field, {})
        if path.partition(".")[0] in kind.personal:
            raise ValueError(f"{kind.name}.{path}: personal fields are never published")
        if not is_value(field):
            raise ValueError(f"{kind.name}.{path}: lists a message as a whole; list the fields in it")
    service, name = kind.name.split(".")[1], re.sub(r"(?<!^)(?=[A-Z])", "-", descriptor.name).lower()
    version = f"v{kind.version}"
    return Publication(
        kind=kind,
        type=f"stepladder.{service}.{name}.{version}",
        tokens=f"{STREAMS[EVENTS]}.{service}.{name}.{version}",
        fields=fields,
        employee=_id_path(descriptor, said.employee),
        team=_id_path(descriptor, said.team),
        audience=said.audience,
    )


def _path(descriptor: Descriptor, path: str) -> Iterator[FieldDescriptor]:
    place: Descriptor | None = descriptor
    for name in path.split("."):
        if place is None or name not in place.fields_by_name:
            raise ValueError(f"{descriptor.full_name}: there is no field {path}")
        field = place.fields_by_name[name]
        yield field
        place = field.message_type


def _id_path(descriptor: Descriptor, path: str) -> Sequence[FieldDescriptor]:
    found = tuple(_path(descriptor, path)) if path else ()
    if any(field.is_repeated for field in found) or (found and found[-1].type != FieldDescriptor.TYPE_STRING):
        raise ValueError(f"{descriptor.full_name}.{path}: does not hold one id")
    return found


def _value(event: Message, path: Sequence[FieldDescriptor]) -> str:
    value: Any = event if path else ""
    for field in path:
        value = getattr(value, field.name)
    return str(value)


def _pruned(values: Mapping[str, Any], fields: Tree) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for field, within in fields.items():
        if field.json_name not in values:
            continue
        value = values[field.json_name]
        if not within:
            shown[field.json_name] = value
        elif field.is_repeated:
            shown[field.json_name] = [_pruned(one, within) for one in value]
        else:
            shown[field.json_name] = _pruned(value, within)
    return shown
