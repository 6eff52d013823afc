"""EventService: the public events, as streams and as pages."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from itertools import islice
from typing import Any

from google.api.httpbody_pb2 import HttpBody

from libs.common.contracts import load_contracts
from libs.common.errors import FieldViolation, Invalid, NotFound
from libs.common.eventsourcing import Context
from libs.common.paging import page_size, page_start, page_token
from libs.common.reading import Listener, Reading
from libs.common.service import Service
from libs.common.streams import EVENTS, STREAMS, Stream
from libs.facts.reaching import Reaches
from services.gateway.event_schemas import asyncapi, event_schemas
from services.gateway.public_events import (
    PublicCodec,
    PublicEvent,
    Sight,
    Wanted,
    public_event,
    types_of,
    wanted,
)
from services.gateway.publication import Publication
from stepladder.gateway.v1 import event_stream_pb2 as pb

BATCH = 500
BATCH_BYTES = 1_000_000
"""Most that is sent at once: less than callers take in a message, also where gRPC needs more room for it than JSON."""
HEARTBEAT_SECONDS = 15.0
"""After so long without an event browsers and proxies hear that the stream is there still."""
RETRY_MILLISECONDS = 2000
"""When a browser connects again after a stream has ended."""
LOOKED_AT = 20_000
"""Events gone through for one page at most: who sees little of much gets it in more pages."""
EVENT_STREAM = "text/event-stream"


class Stopped(Exception):  # noqa: N818 - states what is the case
    """The service stops: streams end, and whoever reads them goes on elsewhere."""


class EventApi:
    """Implements stepladder.gateway.v1.EventService. All its streams share one reading of EVENTS."""

    def __init__(
        self, service: Service, stream: Stream, reaches: Reaches, publications: Mapping[str, Publication]
    ) -> None:
        """`stream` is EVENTS."""
        self._service = service
        self._stream = stream
        self._reaches = reaches
        self._types = types_of(publications.values())
        self._audiences = {one.type: one.audience for one in publications.values()}
        self._reading = Reading(stream, PublicCodec())
        self._reading.add([f"{STREAMS[EVENTS]}.>"])
        self._listeners: set[Listener[PublicEvent]] = set()
        self._stopping = False
        self._schemas = event_schemas(publications.values(), load_contracts())

    async def WatchEvents(
        self, request: pb.WatchEventsRequest, context: Context
    ) -> AsyncIterator[pb.WatchEventsResponse]:
        after = request.after if request.HasField("after") else None
        async with aclosing(self._follow(wanted(request.filter, self._types), after, context)) as batches:
            async for position, events in batches:
                yield pb.WatchEventsResponse(events=[one.answer for one in events], position=position)

    async def StreamEvents(self, request: pb.StreamEventsRequest, context: Context) -> AsyncIterator[HttpBody]:
        after = request.after if request.HasField("after") else None
        if context.last_event_id:
            after = _position_in(context.last_event_id)
        beginning = b"retry: %d\n" % RETRY_MILLISECONDS
        async with aclosing(self._follow(wanted(request.filter, self._types), after, context)) as batches:
            async for position, events in batches:
                # Without an event, an id alone: whoever connects again goes on behind it.
                frames = b"".join(one.frame for one in events) or b": here\nid: %d\n\n" % position
                yield HttpBody(content_type=EVENT_STREAM, data=beginning + frames)
                beginning = b""

    async def ListEvents(self, request: pb.ListEventsRequest, context: Context) -> pb.ListEventsResponse:
        asked, sight = wanted(request.filter, self._types), self._sight(context)
        start = page_start(request)
        position = int(start[0]) if start else request.after
        end = (await self._stream.state()).last
        last = min(end, request.until) if request.HasField("until") else end
        _check_reached(position, end, "after")
        if position >= last:
            return pb.ListEventsResponse(position=position)
        if sight and asked.types and asked.employee_id:
            # What is not looked for does not show by the time that it takes to find.
            asked = await sight.narrowed(asked)
            if not asked.types:
                return pb.ListEventsResponse(position=last)
        found: list[PublicEvent] = []
        async with self._stream.feed(asked.subjects(), position) as feed:
            relevant = min(last, max([await self._stream.last_position(one) for one in asked.subjects()]))
            looked_at = 0
            while position < relevant and len(found) < page_size(request) and looked_at < LOOKED_AT:
                entries = await feed.next(BATCH, HEARTBEAT_SECONDS)
                if not entries:
                    break
                looked_at += len(entries)
                position = min(entries[-1].position, relevant)
                events = [public_event(one) for one in entries if one.position <= position]
                found += await sight.shown(events) if sight else events
        page = _first(found, page_size(request))
        if len(page) < len(found):
            position = page[-1].position
        more = position < relevant
        return pb.ListEventsResponse(
            events=[one.answer for one in page],
            next_page_token=page_token(request, [position]) if more else "",
            position=position if more else last,
        )

    async def GetEventSchema(self, request: pb.GetEventSchemaRequest, _: Context) -> HttpBody:
        if request.type not in self._schemas:
            message = f"there is no public event {request.type}; /v1/asyncapi.json names all"
            raise NotFound("UNKNOWN_EVENT_TYPE", message)
        return _json("application/schema+json", self._schemas[request.type])

    async def GetAsyncApi(self, _: pb.GetAsyncApiRequest, __: Context) -> HttpBody:
        return _json("application/vnd.aai.asyncapi+json;version=3.0.0", asyncapi(self._schemas))

    def stop(self) -> None:
        """Ends the streams that run, each behind what was handed to it."""
        self._stopping = True
        for listener in self._listeners:
            listener.fail(Stopped())

    async def _follow(
        self, asked: Wanted, after: int | None, context: Context
    ) -> AsyncGenerator[tuple[int, Sequence[PublicEvent]], None]:
        """What comes behind a position, and up to where that is; at first, and after a while without any, no events."""
        sight = self._sight(context)
        end = (await self._stream.state()).last
        position = end if after is None else after
        _check_reached(position, end, "after")
        yield position, ()
        # People see little of all, and every change of the directory may change what.
        subjects = [f"{STREAMS[EVENTS]}.>"] if sight else asked.subjects(of_anybody=True)
        async with self._reading.feed(subjects, position) as listener:
            self._listeners.add(listener)
            try:
                while not self._stopping:
                    heard = await listener.next(BATCH, HEARTBEAT_SECONDS)
                    came = [one.outcome for one in heard if isinstance(one.outcome, PublicEvent)]
                    events = [one for one in (await sight.shown(came) if sight else came) if asked.takes(one)]
                    position = heard[-1].position if heard else position
                    if not heard:
                        yield position, ()
                    while events:
                        batch = _first(events, BATCH)
                        events = events[len(batch) :]
                        yield (batch[-1].position if events else position), batch
            except Stopped:
                pass
            finally:
                self._listeners.remove(listener)

    def _sight(self, context: Context) -> Sight | None:
        """Whom the caller sees; None: everybody, for a system that may read events."""
        if context.admission.roles:
            return None
        return Sight(self._service, self._stream, self._reaches, self._audiences, context)


def _first(events: Sequence[PublicEvent], most: int) -> Sequence[PublicEvent]:
    """As many as go into one answer, and at least one."""
    size, count = 0, 0
    for one in islice(events, most):
        size += len(one.payload)
        if count and size > BATCH_BYTES:
            break
        count += 1
    return events[:count]


def _position_in(last_event_id: str) -> int:
    if not (last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) < 19):
        raise Invalid("POSITION_INVALID", "Last-Event-ID must be the position of an event, such as 1042")
    return int(last_event_id)


def _json(content_type: str, content: Mapping[str, Any]) -> HttpBody:
    return HttpBody(content_type=content_type, data=json.dumps(content, ensure_ascii=False, indent=1).encode())


def _check_reached(position: int, end: int, field: str) -> None:
    if position > end:
        message = f"the last event lies at {end}, before {position}: the position is of another stream, or was restored"
        raise Invalid("POSITION_NOT_REACHED", message, (FieldViolation(field, message),))
