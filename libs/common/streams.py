"""What the log needs of a stream: the port that JetStream and the memory implementation fulfil."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

LOG = "LOG"
LOG_RESTRICTED = "LOG_RESTRICTED"
"""What only few people may read. Its positions say nothing about those of LOG: neither is before the other."""

PREFIXES = {LOG: "log", LOG_RESTRICTED: "restricted"}
"""What the subjects of each stream of the log begin with. Stored for ever."""

EVENTS = "EVENTS"
"""What the world outside is shown of LOG, in its order: written by the relay only, and no part of the log."""
STREAMS = {**PREFIXES, EVENTS: "events"}
"""What the subjects of every stream begin with."""

MAX_BATCH = 1000
"""Most entries of one atomic batch (JetStream's limit)."""

# JetStream's error codes, matched by number because texts change.
WRONG_LAST_SEQUENCE = 10071
WRONG_LAST_SEQUENCE_CONSTANT = 10164
BATCH_DUPLICATE = 10201
DUPLICATE_IN_FLIGHT = 10158
OTHER_STREAM = 10060
TOO_MANY_BATCHES = 10210
INCOMPLETE_BATCH = 10176
OVERLAPPING_SUBJECTS = 10138

DOUBTFUL = frozenset({WRONG_LAST_SEQUENCE, WRONG_LAST_SEQUENCE_CONSTANT, BATCH_DUPLICATE, DUPLICATE_IN_FLIGHT})
"""Refusals that may hide an earlier success of the same append: only a look at the leader tells (D3)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One event on its way into the log."""

    event_id: str
    type: str
    payload: bytes
    written: str = ""
    """When it was first written, of one out of a backup: RFC 3339, as the server had said. Empty: it is written now."""


@dataclass(frozen=True, slots=True)
class Append:
    """Events for one aggregate, to be written together iff the last sequence of its subject is `expected`."""

    subject: str
    expected: int
    entries: Sequence[Entry]


@dataclass(frozen=True, slots=True)
class Stored:
    """One event out of the log; `position` is its sequence in the stream."""

    position: int
    subject: str
    payload: bytes
    event_id: str


@dataclass(frozen=True, slots=True)
class Copied:
    """One event with all that a backup keeps. With `more`, what comes behind was written together with it."""

    position: int
    subject: str
    entry: Entry
    more: bool


@dataclass(frozen=True, slots=True)
class StreamState:
    """Where a stream stands. `created` tells a recreated stream from the one known before."""

    first: int
    last: int
    created: datetime


class NoAnswer(Exception):  # noqa: N818 - states what is the case
    """The server did not answer in time: the append may have happened or not, now or a little later."""


class NoResponders(Exception):  # noqa: N818 - states what is the case
    """Nobody listens there right now: the append has not happened."""


class Rejected(Exception):  # noqa: N818 - states what is the case
    """The server refused, by one of its error codes."""

    def __init__(self, code: int, description: str) -> None:
        super().__init__(f"{description} ({code})")
        self.code = code


LOG_TROUBLES = (NoAnswer, NoResponders, Rejected)
"""Of the moment, not of what was asked: the log is away, electing a leader, or full."""


def stream_of(*subjects: str) -> str:
    """The name of the stream in which subjects lie. Raises ValueError unless all lie in the same one."""
    prefixes = {subject.partition(".")[0] for subject in subjects}
    names = [name for name, prefix in PREFIXES.items() if {prefix} == prefixes]
    if not names:
        raise ValueError(f"{', '.join(subjects)} lie in no one stream")
    return names[0]


def matches(subject: str, pattern: str) -> bool:
    """Whether a subject is one of a pattern's, in which `*` stands for a token and `>` for all that are left.

    A pattern is one of another's when all its subjects are.
    """
    tokens, wanted = subject.split("."), pattern.split(".")
    if wanted[-1] == ">":
        wanted.pop()
        if len(tokens) <= len(wanted):
            return False
        tokens = tokens[: len(wanted)]
    return len(tokens) == len(wanted) and all(
        one == said or (one == "*" and said != ">") for said, one in zip(tokens, wanted, strict=True)
    )


class Feed(Protocol):
    """Entries of a stream from a position on, in order, each once."""

    async def next(self, most: int, wait_seconds: float) -> list[Stored]:
        """Up to `most` entries as soon as there is one; none when `wait_seconds` have passed."""

    @property
    def pending(self) -> int:
        """Entries known to wait behind the last one delivered."""


class Stream(Protocol):
    """An append-only stream with one subject per aggregate."""

    name: str

    async def publish(self, batch: Sequence[Append]) -> int:
        """Writes all entries or none and answers the position of the last one; they lie next to each other in order.

        At most MAX_BATCH entries, each subject once.
        Raises Rejected, NoAnswer (it may have been written) or NoResponders (it has not).
        """

    async def read(self, subject: str, after: int = 0) -> list[Stored]:
        """An aggregate's entries behind a position. May lag behind an acknowledged append when replicated."""

    async def read_from_leader(self, subject: str, after: int = 0) -> list[Stored]:
        """The same, never behind, slower."""

    async def read_at(self, position: int) -> Stored | None:
        """The entry at a position, asked of the leader; None where there is none."""

    async def last_positions(self, subjects: Sequence[str]) -> dict[str, int]:
        """The last position of each subject that has one. May lag like `read`."""

    async def last_position(self, subject: str) -> int:
        """The last position that matches a subject (wildcards allowed), asked of the leader; 0 for none."""

    async def position_before(self, moment: datetime) -> int:
        """The last position written before a moment, by the server's clock, asked of the leader; 0 for none."""

    def feed(self, subjects: Sequence[str], after: int) -> AbstractAsyncContextManager[Feed]:
        """Follows subjects (wildcards allowed, none covered by another) behind a position."""

    async def state(self) -> StreamState:
        """Where the stream stands, asked of the leader."""


class OneWriterStream(Stream, Protocol):
    """A stream that is written as a whole: whoever writes knows where it ends."""

    async def publish_behind(self, position: int, entries: Sequence[tuple[str, Entry]]) -> int:
        """Writes entries, each under its subject, iff the stream ends at a position; otherwise as `publish`."""
