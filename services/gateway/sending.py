"""One message to one receiver, by the Standard Webhooks specification 1.0: signed, sent, and what came of it."""

import asyncio
import base64
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from aiohttp import (
    ClientConnectorDNSError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientSSLError,
    ClientTimeout,
    DummyCookieJar,
    InvalidURL,
    TCPConnector,
)
from standardwebhooks import Webhook as Signature

from libs.common.errors import Invalid
from libs.common.metrics import WEBHOOK_ATTEMPTS
from services.gateway.addresses import Addresses, AddressForbidden
from services.gateway.retrying import LONGEST_WAIT, Answer

WHOLE_SECONDS, CONNECT_SECONDS, EXCERPT_SECONDS = 20.0, 10.0, 2.0
EXCERPT_BYTES, EXCERPT_CHARACTERS = 2048, 200
SECRET_BYTES = 32
CONTENT_TYPE = "application/cloudevents+json"
_ASKS_TO_WAIT = (429, 503)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A CloudEvent as it lies in the stream; its id, which is also the message's."""

    event_id: str
    body: bytes


def new_secret() -> bytes:
    """Of which nobody else knows."""
    return os.urandom(SECRET_BYTES)


def shown(secret: bytes) -> str:
    """A secret as receivers configure it."""
    return f"whsec_{base64.b64encode(secret).decode()}"


class Sender:
    """Sends messages; one for a process. The number of connections is bounded by who sends."""

    def __init__(
        self, addresses: Addresses, session: ClientSession, wall_clock: Callable[[], datetime], whole_seconds: float
    ) -> None:
        self._addresses = addresses
        self._session = session
        self._wall_clock = wall_clock
        self._timeout = ClientTimeout(total=whole_seconds, sock_connect=min(CONNECT_SECONDS, whole_seconds))

    async def send(self, url: str, secrets: Sequence[bytes], message: Outgoing) -> Answer:
        """Sends once, signed with each of the secrets. Raises nothing of what may come of it."""
        # Receivers compare the time with their own clock: it is the wall's, whatever clock the service goes by.
        sent, began = self._wall_clock(), time.monotonic()
        status, error, excerpt, wait = 0, "", "", timedelta()
        try:
            self._addresses.check_form(url, "url")  # names are checked as they are resolved, literals only here
            headers = _headers(secrets, message, sent)
            async with self._session.post(
                url, data=message.body, headers=headers, timeout=self._timeout, allow_redirects=False
            ) as response:
                status, wait = response.status, _wait(response, sent)
                excerpt = await _excerpt(response)
        except (Invalid, InvalidURL):
            error = "ADDRESS_FORBIDDEN"
        except TimeoutError:
            error = "TIMED_OUT"
        except ClientConnectorDNSError as unresolved:
            error = "ADDRESS_FORBIDDEN" if isinstance(unresolved.os_error, AddressForbidden) else "NAME_NOT_RESOLVED"
        except ClientSSLError:
            error = "TLS_FAILED"
        except (ClientError, OSError):
            error = "CONNECTION_FAILED"
        answer = Answer(sent, round((time.monotonic() - began) * 1000), status, "" if status else error, excerpt, wait)
        WEBHOOK_ATTEMPTS.labels("true" if answer.taken else "false").inc()
        return answer


@asynccontextmanager
async def open_sender(
    addresses: Addresses, wall_clock: Callable[[], datetime], *, whole_seconds: float = WHOLE_SECONDS
) -> AsyncIterator[Sender]:
    """A sender with connections of its own, while the context lasts."""
    # A name is resolved for each connection, and what the resolver let pass is what is connected to.
    connector = TCPConnector(resolver=addresses.resolver, use_dns_cache=False, limit=0)
    async with ClientSession(
        connector=connector,
        cookie_jar=DummyCookieJar(),
        auto_decompress=False,
        headers={"user-agent": "Stepladder", "accept-encoding": "identity"},
    ) as session:
        yield Sender(addresses, session, wall_clock, whole_seconds)


def _headers(secrets: Sequence[bytes], message: Outgoing, sent: datetime) -> dict[str, str]:
    body = message.body.decode()
    return {
        "content-type": CONTENT_TYPE,
        "webhook-id": message.event_id,
        "webhook-timestamp": str(int(sent.timestamp())),
        "webhook-signature": " ".join(Signature(one).sign(message.event_id, sent, body) for one in secrets),
    }


async def _excerpt(response: ClientResponse) -> str:
    """What the body begins with, on one line; the rest is not read, and the connection closed."""
    begin = b""
    with suppress(ClientError, OSError):  # a TimeoutError, too: the status code has been said
        async with asyncio.timeout(EXCERPT_SECONDS):
            begin = await response.content.read(EXCERPT_BYTES)
    text = begin.decode(errors="replace")
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())[:EXCERPT_CHARACTERS]


def _wait(response: ClientResponse, now: datetime) -> timedelta:
    """`Retry-After` (RFC 9110, 10.2.3): seconds, or a date."""
    text = response.headers.get("retry-after", "").strip()
    if response.status not in _ASKS_TO_WAIT or not text:
        return timedelta()
    if text.isascii() and text.isdigit():
        return min(timedelta(seconds=int(text[:9])), LONGEST_WAIT)
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return timedelta()
    return min(max(until.astimezone(UTC) - now, timedelta()), LONGEST_WAIT)
