"""What becomes of events that cannot be applied: each is parked, and what comes behind it in its aggregate."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from traceback import format_tb
from typing import TypeAlias

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.database import TROUBLES as DATABASE_TROUBLES
from libs.common.envelope import UnknownEventType
from libs.common.errors import Conflict, LogCorrupted, Unavailable
from libs.common.eventsourcing import Recorded
from libs.common.reading import Heard
from libs.common.streams import LOG_RESTRICTED, LOG_TROUBLES, stream_of

logger = structlog.get_logger()

Apply: TypeAlias = Callable[[AsyncConnection, Sequence[Recorded]], Awaitable[None]]
"""What a handler does to rows."""

RETRY = (*DATABASE_TROUBLES, *LOG_TROUBLES, Unavailable, Conflict)
"""Troubles of the moment: the same batch is tried again. Everything else is the event's own fault."""


@dataclass(frozen=True)
class ParkedAggregate:
    """The first parked event of an aggregate and how many wait there, itself included."""

    follower: str
    subject: str
    position: int
    type: str
    error: str
    attempts: int
    events: int
    parked: datetime


@dataclass(frozen=True, slots=True)
class Parking:
    """An event to be parked: the poison one with its error, or one that waits behind it."""

    position: int
    subject: str
    type: str
    error: str = ""


def sort(entries: Sequence[Heard[Recorded]], poisoned: set[str]) -> tuple[list[Recorded], list[Parking]]:
    """The events of entries; aside those that are none, and those behind `poisoned` ones, which grow by them.

    Raises what else kept an entry from being decoded: trouble with its key.
    """
    events: list[Recorded] = []
    parkings: list[Parking] = []
    for entry in entries:
        match entry.outcome:
            case UnknownEventType() | LogCorrupted() as fault:
                error = "" if entry.subject in poisoned else describe(fault)
                kind = fault.type if isinstance(fault, UnknownEventType) else ""
                parkings.append(Parking(entry.position, entry.subject, kind, error))
                poisoned.add(entry.subject)
            case Exception() as trouble:
                raise trouble
            case event if entry.subject in poisoned:
                parkings.append(Parking(entry.position, entry.subject, event.envelope.type))
            case event:
                events.append(event)
    return events, parkings


async def apply_each(
    apply: Apply, transaction: AsyncConnection, events: Sequence[Recorded], poisoned: set[str]
) -> list[Parking]:
    """Applies events one by one, each whole or not at all; answers those to be parked."""

    async def apply_alone(event: Recorded) -> None:
        async with transaction.begin_nested():
            await apply(transaction, [event])

    attempts = [await try_alone(event, poisoned, apply_alone) for event in events]
    return [parking for parking in attempts if parking is not None]


async def try_alone(
    event: Recorded, poisoned: set[str], attempt: Callable[[Recorded], Awaitable[None]]
) -> Parking | None:
    """Tries one event unless its aggregate is poisoned; answers how it is to be parked, if it is."""
    kind = event.envelope.type
    if event.subject in poisoned:
        return Parking(event.position, event.subject, kind)
    try:
        await attempt(event)
    except RETRY:
        raise
    except Exception as fault:
        error = describe(fault, event.subject)
        at = format_tb(fault.__traceback__)
        logger.error("event_is_poison", position=event.position, type=kind, error=error, at=at)  # noqa: TRY400 - a traceback repeats the words that may be left out of `error`
        poisoned.add(event.subject)
        return Parking(event.position, event.subject, kind, error)
    return None


def describe(error: BaseException, *subjects: str) -> str:
    """An error for operators, without what it was about.

    Of restricted subjects only its kind: its words may hold what few may read.
    """
    original = getattr(error, "orig", None) or error
    kind = type(original).__name__
    return kind if subjects and stream_of(*subjects) == LOG_RESTRICTED else f"{kind}: {original}"[:500]
