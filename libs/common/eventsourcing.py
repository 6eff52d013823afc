"""The vocabulary of event sourcing: an aggregate is a state, `evolve` and `decide`; all three are pure."""

import re
from base64 import b32encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from hashlib import sha256
from typing import Generic, TypeVar

from google.protobuf.message import Message

from libs.common.access import Admission
from libs.common.errors import Invalid
from libs.common.streams import LOG, LOG_RESTRICTED, PREFIXES
from stepladder.common.v1.envelope_pb2 import Envelope

S = TypeVar("S")

_ID = re.compile(r"[a-z0-9_-]{1,150}")
_NAME = re.compile(r"[A-Za-z0-9._@-]{1,100}")


ANONYMOUS = "anonymous"
"""Who calls without saying who; whoever has that id is not them."""


def is_id(text: str) -> bool:
    """Whether there can be an aggregate of that id."""
    return _ID.fullmatch(text) is not None


def is_name(text: str) -> bool:
    """Whether it can be the name of an actor: an employee's id, or what a system is called."""
    return _NAME.fullmatch(text) is not None


def opaque_id(prefix: str, *parts: str) -> str:
    """An aggregate's id made of what it is about, the same for the same. Whoever sees it only does not see what."""
    return f"{prefix}-{b32encode(sha256('/'.join(parts).encode()).digest())[:26].decode().lower()}"


@dataclass(frozen=True, slots=True)
class Context:
    """What the world adds to a command.

    Attributes:
        now: time of the command, aware, UTC.
        today: the site's calendar day at `now`.
        actor: who gives the command: `user:<id>`, `policy:<name>` or `system:<name>`.
        request_id: the actor's own id for idempotency; empty when none was given.
        request: what the actor sent, by which a repetition is told: the command may also hold what was looked up for
            it. None: nothing but the command.
        etag: the version of the aggregate that the caller has seen; empty when it does not matter.
        cause: id of the event that a policy reacts to; empty for a command from outside.
        traceparent: W3C trace context; empty when the command is not traced.
        admission: who may call this, and whether the caller was found to be one of them.
        authorization: the caller's token as it came, for who passes the call on.
        last_event_id: what a browser says that it has seen last of a stream of events (HTML, 9.2.3); empty otherwise.
    """

    now: datetime
    today: date
    actor: str
    request_id: str = ""
    request: Message | None = field(default=None, repr=False)
    etag: str = ""
    cause: str = ""
    traceparent: str = ""
    admission: Admission = field(default_factory=Admission, repr=False, compare=False)
    authorization: str = field(default="", repr=False, compare=False)
    last_event_id: str = ""


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event out of the log. `position` is its sequence in the stream; personal fields are readable or erased."""

    position: int
    subject: str
    event: Message
    envelope: Envelope


@dataclass(frozen=True, kw_only=True)
class Kind(Generic[S]):
    """A kind of aggregate, as whoever reads it has to know it.

    Attributes:
        name: `<service>.<aggregate>`; part of every subject, stored for ever.
        initial: the state before the first event.
        evolve: state and event to the state after it; never refuses.
        restricted: whether only few may read it; stored for ever, too: it says in which stream the events lie.
    """

    name: str
    initial: S
    evolve: Callable[[S, Message], S]
    restricted: bool = False

    @property
    def stream(self) -> str:
        """The name of the stream that its events lie in."""
        return LOG_RESTRICTED if self.restricted else LOG

    def subject(self, aggregate_id: str) -> str:
        """The one literal subject of an aggregate. Stored for ever.

        Raises Invalid `ID_INVALID` for an id that would be something else in a subject, such as a wildcard.
        """
        if not is_id(aggregate_id):
            raise Invalid("ID_INVALID", f"{aggregate_id[:80]!r} is not an id: lower-case letters, digits and hyphens")
        return f"{PREFIXES[self.stream]}.{self.name}.{aggregate_id}"

    def decided_by(self, decide: Callable[[S, Message, Context], Sequence[Message]]) -> "Aggregate[S]":
        """The same kind, for the service that owns it."""
        return Aggregate(
            name=self.name, initial=self.initial, evolve=self.evolve, restricted=self.restricted, decide=decide
        )


@dataclass(frozen=True, kw_only=True)
class Aggregate(Kind[S]):
    """A kind of aggregate, as the service has to know it that owns it.

    Attributes:
        decide: state, command and context to new events; refuses with an `errors.Refused`; no events: no change.
    """

    decide: Callable[[S, Message, Context], Sequence[Message]]
