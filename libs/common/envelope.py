"""Events to log payloads and back: envelope, hash chain, sealing of personal fields."""

import hashlib
import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor
from google.protobuf.message import DecodeError, Message

from libs.common.errors import LogCorrupted
from libs.common.eventsourcing import Context, Recorded
from libs.common.keys import DataKeys
from libs.common.streams import Entry, Stored
from stepladder.common.v1 import rules_pb2
from stepladder.common.v1.envelope_pb2 import CommandNoted, Envelope, Sealed

ERASED = "(erased)"
"""What stands in a personal field whose key is gone."""
NONCE = 12
"""Bytes of an AES-GCM nonce."""


class UnknownEventType(Exception):  # noqa: N818 - states what is the case
    """The log holds an event that this version of the code does not know."""

    def __init__(self, stored: Stored, kind: str, what: str) -> None:
        super().__init__(f"{stored.subject} at {stored.position}: {what}")
        self.type = kind


@dataclass(frozen=True)
class EventType:
    """What the contracts say about one kind of event."""

    message: type[Message]
    name: str
    version: int
    personal: tuple[str, ...]
    data_subject: str


def event_types(files: Iterable[FileDescriptor]) -> dict[str, EventType]:
    """The events marked in `files`, by full name. Raises ValueError for a contract that cannot be sealed."""
    descriptors = [message for file in files for message in file.message_types_by_name.values()]
    types = (_event_type(d) for d in descriptors if d.GetOptions().Extensions[rules_pb2.schema_version])
    return {CommandNoted.DESCRIPTOR.full_name: _event_type(CommandNoted.DESCRIPTOR)} | {t.name: t for t in types}


def _event_type(descriptor: Descriptor) -> EventType:
    personal = tuple(f.name for f in descriptor.fields if f.GetOptions().Extensions[rules_pb2.personal])
    subjects = [f.name for f in descriptor.fields if f.GetOptions().Extensions[rules_pb2.data_subject]]
    if bool(personal) != (len(subjects) == 1):
        raise ValueError(f"{descriptor.full_name}: personal fields need exactly one data_subject field, and it them")
    for name in personal:
        if descriptor.fields_by_name[name].type != FieldDescriptor.TYPE_STRING:
            raise ValueError(f"{descriptor.full_name}.{name}: only strings can be personal")
    _refuse_nested_marks(descriptor, {descriptor.full_name})
    return EventType(
        message=message_factory.GetMessageClass(descriptor),
        name=descriptor.full_name,
        version=descriptor.GetOptions().Extensions[rules_pb2.schema_version],
        personal=personal,
        data_subject=subjects[0] if subjects else "",
    )


def _refuse_nested_marks(descriptor: Descriptor, seen: set[str]) -> None:
    for field in descriptor.fields:
        nested = field.message_type
        if nested is None or nested.full_name in seen:
            continue
        seen.add(nested.full_name)
        if any(f.GetOptions().Extensions[rules_pb2.personal] for f in nested.fields):
            raise ValueError(f"{nested.full_name}: personal fields stand in the event itself, not in a message within")
        _refuse_nested_marks(nested, seen)


def chain_start(subject: str) -> bytes:
    """The hash that the first event of an aggregate names as its predecessor's."""
    return hashlib.sha256(subject.encode()).digest()


def payload_hash(payload: bytes) -> bytes:
    """The hash that an event's successor names: over the stored bytes, so over ciphertext."""
    return hashlib.sha256(payload).digest()


@dataclass(frozen=True, slots=True)
class Encoded:
    """A command's entries, the hash for the next one's predecessor, and whom the aggregate is about, if it tells."""

    entries: list[Entry]
    last_hash: bytes
    data_subject: str


class Codec:
    """Encodes and decodes events of the given types, sealing personal fields with the employees' data keys."""

    def __init__(self, types: dict[str, EventType], keys: DataKeys) -> None:
        self._types = types
        self._keys = keys

    async def encode(
        self,
        subject: str,
        events: Sequence[Message],
        *,
        command_id: str,
        command_digest: bytes,
        context: Context,
        previous_hash: bytes,
        data_subject: str = "",
    ) -> Encoded:
        """Events of one command to log entries.

        `data_subject` is the employee whose personal fields the aggregate holds already: then the command may name them
        too, and its digest is sealed. Raises KeyErased for personal fields of an employee whose key is erased.
        """
        entries: list[Entry] = []
        envelope = Envelope(
            command_id=command_id,
            actor=context.actor,
            cause=context.cause,
            time=context.now,  # type: ignore[arg-type] # protobuf takes a datetime for a Timestamp; its stubs do not say so
            traceparent=context.traceparent,
        )
        for index, event in enumerate(events):
            kind = self._types[event.DESCRIPTOR.full_name]
            envelope.event_id = f"{command_id}.{index}"
            envelope.type = kind.name
            envelope.schema_version = kind.version
            envelope.previous_hash = previous_hash
            envelope.command_digest = command_digest
            envelope.ClearField("personal")
            if kind.personal or data_subject:
                event = await self._seal(kind, subject, event, envelope, data_subject)  # noqa: PLW2901 - from here on only the clear rest
                data_subject = envelope.personal.data_subject or data_subject
            envelope.event = event.SerializeToString(deterministic=True)
            payload = envelope.SerializeToString(deterministic=True)
            previous_hash = payload_hash(payload)
            entries.append(Entry(envelope.event_id, kind.name, payload))
        return Encoded(entries, previous_hash, data_subject)

    async def decode(self, stored: Stored) -> Recorded:
        """A stored entry to its event. Raises UnknownEventType, or LogCorrupted for bytes that are no event."""
        try:
            envelope = Envelope.FromString(stored.payload)
            kind = self._types.get(envelope.type)
            if kind is None:
                raise UnknownEventType(stored, envelope.type, f"unknown event type {envelope.type!r}")
            if envelope.schema_version > kind.version:
                versions = f"{envelope.schema_version}, this version knows up to {kind.version}"
                raise UnknownEventType(stored, envelope.type, f"{envelope.type} has schema version {versions}")
            event = kind.message.FromString(envelope.event)
        except DecodeError as error:
            raise LogCorrupted(f"{stored.subject} at {stored.position}: not an event: {error}") from error
        if envelope.HasField("personal"):
            await self._unseal(kind, stored.subject, event, envelope)
        return Recorded(stored.position, stored.subject, event, envelope)

    async def erased(self, employee_ids: Collection[str]) -> frozenset[str]:
        """Those of these employees of whom nothing can be read any more."""
        return await self._keys.gone(employee_ids)

    async def _seal(
        self, kind: EventType, subject: str, event: Message, envelope: Envelope, data_subject: str
    ) -> Message:
        """Moves what is personal to the envelope's sealed part; answers what is left of the event."""
        clear, digest = event, envelope.command_digest
        envelope.ClearField("command_digest")
        present = [name for name in kind.personal if getattr(event, name)]
        if present:
            data_subject = getattr(event, kind.data_subject)
            key: bytes | None = await self._keys.get_or_create(data_subject)
        elif data_subject and digest:
            key = await self._keys.get(data_subject)
        else:
            envelope.command_digest = digest
            return clear
        if key is None:  # erased: nobody is to know the digest
            return clear
        cipher, bound_to = AESGCM(key), _associated_data(subject, envelope)
        sealed = Sealed(data_subject=data_subject, fields=present)
        if present:
            clear, secret = kind.message(), kind.message()
            clear.CopyFrom(event)
            for name in present:
                clear.ClearField(name)
                if kind.message.DESCRIPTOR.fields_by_name[name].is_repeated:
                    getattr(secret, name).extend(getattr(event, name))
                else:
                    setattr(secret, name, getattr(event, name))
            sealed.nonce = os.urandom(NONCE)
            sealed.ciphertext = cipher.encrypt(sealed.nonce, secret.SerializeToString(), bound_to)
        if digest:
            nonce = os.urandom(NONCE)
            sealed.command_digest = nonce + cipher.encrypt(nonce, digest, bound_to)
        envelope.personal.CopyFrom(sealed)
        return clear

    async def _unseal(self, kind: EventType, subject: str, event: Message, envelope: Envelope) -> None:
        sealed = envelope.personal
        key = await self._keys.get(sealed.data_subject)
        if key is None:
            for name in sealed.fields:
                if kind.message.DESCRIPTOR.fields_by_name[name].is_repeated:
                    getattr(event, name).append(ERASED)
                else:
                    setattr(event, name, ERASED)
            return
        cipher, bound_to = AESGCM(key), _associated_data(subject, envelope)
        try:
            secret = cipher.decrypt(sealed.nonce, sealed.ciphertext, bound_to) if sealed.fields else b""
            if digest := sealed.command_digest:
                envelope.command_digest = cipher.decrypt(digest[:NONCE], digest[NONCE:], bound_to)
        except InvalidTag as error:
            raise LogCorrupted(f"{subject}, event {envelope.event_id}: sealed fields do not match the event") from error
        event.MergeFromString(secret)


def person_in(recorded: Recorded) -> str:
    """Whose personal fields an event holds so that they can be read; empty where there are none, or they are erased."""
    sealed = recorded.envelope.personal
    held = [getattr(recorded.event, name) for name in sealed.fields]
    return sealed.data_subject if any(one not in (ERASED, [ERASED]) for one in held) else ""


def _associated_data(subject: str, envelope: Envelope) -> bytes:
    return "\n".join((subject, envelope.event_id, envelope.type, str(envelope.schema_version))).encode()
