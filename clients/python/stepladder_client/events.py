"""The public events, read without a gap however often the way to them breaks."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from random import uniform
from typing import Any

from google.protobuf.json_format import MessageToDict
from grpc import StatusCode, aio

from stepladder.gateway.v1.event_stream_pb2 import WatchEventsRequest
from stepladder.gateway.v1.event_stream_pb2_grpc import EventServiceStub
from stepladder_client.errors import Failed, Unauthenticated, typed

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 30.0
"""How long the first pause before connecting again is at most, and any; they double, with jitter."""

logger = logging.getLogger(__name__)


async def watch_events(
    channel: aio.Channel, request: WatchEventsRequest | None = None
) -> AsyncGenerator[tuple[int, dict[str, Any]], None]:
    """Positions and CloudEvents (as in JSON) as they happen, in order and each once; it never ends by itself.

    `request` says which (its `filter`) and behind which position (`after`; left out: the next to come).
    Where the stream ends or cannot be had for the moment, it is opened again behind the last event, after a pause.
    With the token that opened it, it ends: give `connect` a function that gets a new one.
    Keep the position of what you have done, and begin `after` it when your program starts again.

    Raises what would come of every attempt, among others: `PermissionDenied`; `Unauthenticated`; `InvalidArgument` with
    the reason `UNKNOWN_EVENT_TYPE`, `INVALID_FIELDS`, or `POSITION_NOT_REACHED` for a position behind the last event.
    """
    asked = WatchEventsRequest()
    if request is not None:
        asked.CopyFrom(request)
    pause = FIRST_PAUSE_SECONDS
    while True:
        opened = False
        call = EventServiceStub(channel).WatchEvents(asked)
        try:
            async for answer in call:
                opened, pause = True, FIRST_PAUSE_SECONDS
                for one in answer.events:
                    yield one.position, MessageToDict(one.event)
                asked.after = answer.position
            cause = "it ended"
        except aio.AioRpcError as error:
            failed = typed(error)
            token_ended = opened and isinstance(failed, Unauthenticated)
            if not (token_ended or _may_pass(failed)):
                raise failed from error
            cause = str(failed)
        finally:
            call.cancel()  # nobody reads on
        logger.warning("The stream of events is opened again: %s", cause)
        await asyncio.sleep(uniform(pause / 2, pause))  # noqa: S311 - jitter, nothing secret
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def _may_pass(failed: Failed) -> bool:
    """Whether it may be different in a moment. What broke on the way has no reason: no service got to say one."""
    broken = {StatusCode.CANCELLED, StatusCode.DEADLINE_EXCEEDED, StatusCode.INTERNAL, StatusCode.UNKNOWN}
    return failed.code() in {StatusCode.UNAVAILABLE, StatusCode.RESOURCE_EXHAUSTED} or (
        failed.code() in broken and not failed.reason
    )
