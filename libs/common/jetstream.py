"""Streams on NATS JetStream: the wire protocol of appends, replay and following (D2, D3, D7)."""

import asyncio
import base64
import itertools
import json
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from http.client import HTTPException
from ssl import SSLContext
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit
from urllib.request import urlopen
from uuid import uuid4

import nats
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from libs.common.streams import (
    EVENTS,
    LOG,
    STREAMS,
    Append,
    Copied,
    Entry,
    Feed,
    NoAnswer,
    NoResponders,
    Rejected,
    Stored,
    StreamState,
)

logger = structlog.get_logger()

ANSWER_SECONDS = 6.0
"""Patience for one answer; the longest gap seen while a cluster elected a new leader was 5.5 s."""
NOT_FOUND = 10037
SILENCE_SECONDS = 2.5
"""Without even a heartbeat (one a second) for so long, a consumer is given up and made anew."""
READ_BATCH = 1000
WRITTEN = "Stepladder-Written"
"""Header of an event that was restored from a backup: when it was first written."""
RESTORING = "a restore of it is under way, or was cut short: start `stepladder restore` again"
"""Describes the stream LOG until everything is there. No service starts on one that has a description."""
MOST_SUBJECTS = 500
"""Subjects asked about in one direct get (the server takes 1024)."""


def stream_configuration(name: str, replicas: int) -> dict[str, Any]:
    """The one right configuration of a stream. What is stored is never removed by it (D4)."""
    return {
        "name": name,
        "subjects": [f"{STREAMS[name]}.>"],
        "retention": "limits",
        "storage": "file",
        "num_replicas": replicas,
        "discard": "new",
        "max_consumers": -1,
        "max_msgs": -1,
        "max_msgs_per_subject": -1,
        "max_bytes": -1,
        "max_age": 0,
        "max_msg_size": -1,
        "duplicate_window": 120_000_000_000,
        "allow_direct": True,
        "allow_atomic": True,
        "deny_delete": True,
        "deny_purge": True,
        "allow_rollup_hdrs": False,
        "sealed": False,
        "no_ack": False,
        "compression": "none",
    }


T = TypeVar("T")

_Message = tuple[str, dict[str, str], bytes]
"""Subject, headers and payload."""


class WrongConfiguration(Exception):  # noqa: N818 - states what is the case
    """The server or a stream is not set up as the code demands; starting would risk acknowledged events."""


async def connect(url: str, name: str, tls: SSLContext | None = None) -> Client:
    """A connection that reconnects for ever. `name` is the user's: its permissions name the inbox `_INBOX_<name>`.

    `url` is a server's or, with commas between them, those of several of its cluster, each with the same user.
    """

    async def on_error(error: Exception) -> None:
        if is_refusal(error):
            logger.error("nats_refused", user=name, error=str(error), see="deploy/nats/accounts.conf")
        else:
            logger.warning("nats_error", error=str(error) or type(error).__name__)

    async def on_disconnect() -> None:
        if not client.is_closed:
            logger.warning("nats_disconnected")

    async def on_reconnect() -> None:
        logger.info("nats_reconnected")

    client, servers = Client(), url.split(",")
    user = urlsplit(servers[0])
    await client.connect(
        servers,
        name=name,
        # Said here, because it goes on to servers of which only the cluster tells: their addresses have no user.
        user=user.username,
        password=user.password,
        tls=tls,
        # Otherwise the server would say whether it wants TLS, and whoever stands in between that it does not.
        tls_handshake_first=tls is not None,
        inbox_prefix=f"_INBOX_{name}".encode(),
        allow_reconnect=True,
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.25,  # type: ignore[arg-type] # seconds to sleep, whatever its annotation says
        ping_interval=5,
        max_outstanding_pings=2,
        pending_size=64 * 1024 * 1024,
        error_cb=on_error,
        disconnected_cb=on_disconnect,
        reconnected_cb=on_reconnect,
    )
    return client


def is_refusal(error: Exception | None) -> bool:
    """Whether nats-server has said that this user may not do something. It has no code for that."""
    said = str(error).lower()
    return "permissions violation" in said or "authorization violation" in said


async def create_streams(client: Client, replicas: int) -> None:
    """Creates the streams that are missing. For set-up jobs only: services never change streams."""
    for name in STREAMS:
        await _create_stream(client, name, stream_configuration(name, replicas))


async def _create_stream(client: Client, name: str, configuration: dict[str, Any]) -> None:
    answer = await _request(client, f"$JS.API.STREAM.CREATE.{name}", configuration)
    if "error" in answer and answer["error"]["err_code"] != 10058:  # a stream of that name exists: checked next
        raise Rejected(answer["error"]["err_code"], answer["error"]["description"])


async def begin_restoring(client: Client, replicas: int) -> bool:
    """Makes the streams that are missing, LOG with a mark that keeps services from starting; answers whether it has it.

    It has not where all three were there and something lies in one: nothing is to be restored there.
    """
    marked = {**stream_configuration(LOG, replicas), "description": RESTORING}
    await _create_stream(client, LOG, marked)
    await create_streams(client, replicas)
    found = [await _request(client, f"$JS.API.STREAM.INFO.{name}", {}) for name in STREAMS]
    for answer in found:
        if "error" in answer:
            raise Rejected(answer["error"]["err_code"], answer["error"]["description"])
    if any(answer["config"].get("description") == RESTORING for answer in found):
        return True
    if any(answer["state"]["last_seq"] for answer in found):
        return False
    await _update_log(client, marked)
    return True


async def end_restoring(client: Client, replicas: int) -> None:
    """Takes the mark away: services may start."""
    await _update_log(client, stream_configuration(LOG, replicas))


async def _update_log(client: Client, configuration: dict[str, Any]) -> None:
    answer = await _request(client, f"$JS.API.STREAM.UPDATE.{LOG}", configuration)
    if "error" in answer:
        raise Rejected(answer["error"]["err_code"], answer["error"]["description"])


async def create_consumer(client: Client, name: str, subject: str) -> None:
    """Creates the durable consumer by which a subscriber reads EVENTS, unless it is there and the same.

    `subject` is a pattern of what it reads. For set-up jobs only. Raises Rejected where one of that name reads others.
    """
    config = {
        "name": name,
        "durable_name": name,
        "deliver_policy": "all",
        "ack_policy": "explicit",
        "filter_subject": subject,
    }
    answer = await _request(
        client,
        f"$JS.API.CONSUMER.CREATE.{EVENTS}.{name}.{subject}",
        {"stream_name": EVENTS, "config": config, "action": "create"},
    )
    if "error" in answer:
        raise Rejected(answer["error"]["err_code"], answer["error"]["description"])


def _read_varz(monitor_url: str, tls: SSLContext | None) -> dict[str, Any]:
    try:
        with urlopen(f"{monitor_url}/varz", timeout=5, context=tls) as answer:  # noqa: S310 - the address is the operator's setting
            varz: dict[str, Any] = json.load(answer)
            return varz
    except HTTPException as broken:
        raise OSError(f"the answer of {monitor_url} broke off") from broken


async def check_configuration(
    client: Client, replicas: int, monitor_url: str, tls: SSLContext | None = None, streams: Iterable[str] = STREAMS
) -> None:
    """Raises WrongConfiguration unless acknowledged means on disk and nothing stored in these streams can vanish (D4).

    It is raised, too, when the user may not even ask. `monitor_url` is where the server's monitoring tells how it is
    configured; with commas between them, those of a cluster: all that answer must be. Raises OSError when none does,
    NoAnswer or NoResponders when the streams do not, the latter also while a server has yet to open its store.
    """
    reading = (asyncio.to_thread(_read_varz, url, tls) for url in monitor_url.split(","))
    answers = await asyncio.gather(*reading, return_exceptions=True)
    problems: list[str] = []
    for varz in (told := [answer for answer in answers if not isinstance(answer, BaseException)]):
        config = varz.get("jetstream", {}).get("config")
        if config is None:  # monitoring begins before; a server without a store would not answer for streams either
            raise NoResponders
        if not config.get("sync_always"):
            problems.append(f"server {varz.get('server_name')} does not sync every write (sync_interval: always)")
        version = tuple(int(part) for part in varz.get("version", "0").split("-")[0].split("."))
        if version < (2, 15, 1):
            problems.append(f"nats-server is {varz.get('version')}, 2.15.1 or newer is needed")
    if not told:
        raise next(answer for answer in answers if isinstance(answer, BaseException))
    for name in streams:
        try:
            answer = await _request(client, f"$JS.API.STREAM.INFO.{name}", {})
        except NoAnswer:
            if is_refusal(client.last_error):
                raise WrongConfiguration(f"{client.last_error}; see deploy/nats/accounts.conf") from None
            raise
        if "error" in answer:
            problems.append(f"stream {name}: {answer['error']['description']}")
            continue
        found, defaults = answer["config"], {"allow_rollup_hdrs": False, "sealed": False, "no_ack": False, "max_age": 0}
        for key, wanted in stream_configuration(name, replicas).items():
            if found.get(key, defaults.get(key)) != wanted:
                problems.append(f"stream {name}: {key} is {found.get(key)!r}, must be {wanted!r}")
        if description := found.get("description"):
            problems.append(f"stream {name}: {description}")
        unwanted = ("mirror", "sources", "republish", "subject_transform", "allow_msg_ttl", "persist_mode")
        problems += [f"stream {name}: {key} must not be set" for key in unwanted if found.get(key)]
    if problems:
        raise WrongConfiguration("; ".join(problems))


class JetStreamStream:
    """Fulfils `streams.OneWriterStream` on one JetStream stream. One instance a process and stream."""

    def __init__(self, client: Client, name: str = LOG, *, answer_seconds: float = ANSWER_SECONDS) -> None:
        self.name = name
        self._client = client
        self._answer_seconds = answer_seconds
        self._inbox = client.new_inbox()
        self._tokens = itertools.count()
        self._waiting: dict[str, Callable[[Msg], None]] = {}
        self._subscribed: asyncio.Task[None] | None = None

    async def publish(self, batch: Sequence[Append]) -> int:
        return await self._send([*_messages(batch)])

    async def publish_behind(self, position: int, entries: Sequence[tuple[str, Entry]]) -> int:
        messages = [(subject, _headers(entry), entry.payload) for subject, entry in entries]
        messages[0][1]["Nats-Expected-Last-Sequence"] = str(position)
        return await self._send(messages)

    async def _send(self, messages: list[_Message]) -> int:
        """Writes all messages or none, in one atomic batch."""
        if not self._client.is_connected:  # and nothing is kept for when it is: whoever asks again has it still
            raise NoResponders
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[int] = loop.create_future()
        messages[0][1]["Nats-Expected-Stream"] = self.name
        if atomic := len(messages) > 1:
            batch_id = uuid4().hex
            for number, (_, headers, _) in enumerate(messages, 1):
                headers["Nats-Batch-Id"] = batch_id
                headers["Nats-Batch-Sequence"] = str(number)
            messages[-1][1]["Nats-Batch-Commit"] = "1"

        def on_answer(message: Msg) -> None:
            if not answered.done():
                _take_answer(message, answered, last=not atomic or message.data != b"")

        async with self._answers(on_answer) as reply:
            try:
                async with asyncio.timeout(self._answer_seconds):
                    subject, headers, payload = messages.pop()
                    if messages:
                        await _write(self._client, messages, reply)
                    await self._client.publish(subject, payload, reply, headers)
                    return await answered
            except TimeoutError as error:
                raise NoAnswer from error
            except nats.errors.Error as error:  # connection closed or its buffer full: it may have left or not
                raise NoAnswer from error

    async def read(self, subject: str, after: int = 0) -> list[Stored]:
        found: list[Stored] = []
        while True:
            request = {
                "seq": (found[-1].position if found else after) + 1,
                "next_by_subj": subject,
                "batch": READ_BATCH,
            }
            page, pending = await self._direct_get(request, _stored)
            found += page
            if not page or not pending:
                return found

    async def read_from_leader(self, subject: str, after: int = 0) -> list[Stored]:
        found: list[Stored] = []
        while True:
            request = {"seq": (found[-1].position if found else after) + 1, "next_by_subj": subject}
            answer = await self._api(f"STREAM.MSG.GET.{self.name}", request)
            if "error" in answer:
                if answer["error"]["err_code"] == NOT_FOUND:
                    return found
                raise Rejected(answer["error"]["err_code"], answer["error"]["description"])
            found.append(_stored_at_leader(answer["message"]))

    async def read_at(self, position: int) -> Stored | None:
        if position < 1:  # the server would refuse to look
            return None
        answer = await self._api(f"STREAM.MSG.GET.{self.name}", {"seq": position})
        if "error" in answer:
            if answer["error"]["err_code"] == NOT_FOUND:
                return None
            raise Rejected(answer["error"]["err_code"], answer["error"]["description"])
        return _stored_at_leader(answer["message"])

    async def copy(self, after: int, through: int) -> AsyncGenerator[Copied]:
        """All that lies behind a position, up to another. Raises NoAnswer when a lagging replica does not catch up."""
        position, told = after, asyncio.get_running_loop().time()
        while position < through:
            request = {"seq": position + 1, "next_by_subj": ">", "batch": min(READ_BATCH, through - position)}
            page, _ = await self._direct_get(request, _copied)
            for one in page:
                position = one.position
                yield one
            if page:
                told = asyncio.get_running_loop().time()
            elif asyncio.get_running_loop().time() > told + self._answer_seconds:
                raise NoAnswer
            else:
                await asyncio.sleep(0.05)

    async def last_positions(self, subjects: Sequence[str]) -> dict[str, int]:
        positions: dict[str, int] = {}
        for start in range(0, len(subjects), MOST_SUBJECTS):
            some = list(subjects[start : start + MOST_SUBJECTS])
            page, _ = await self._direct_get({"multi_last": some, "batch": MOST_SUBJECTS}, _stored)
            positions |= {stored.subject: stored.position for stored in page}
        return positions

    async def last_position(self, subject: str) -> int:
        answer = await self._api(f"STREAM.MSG.GET.{self.name}", {"last_by_subj": subject, "no_hdr": True})
        if "error" in answer:
            if answer["error"]["err_code"] == NOT_FOUND:
                return 0
            raise Rejected(answer["error"]["err_code"], answer["error"]["description"])
        position: int = answer["message"]["seq"]
        return position

    async def position_before(self, moment: datetime) -> int:
        request = {"start_time": moment.astimezone(UTC).isoformat(), "next_by_subj": ">"}
        answer = await self._api(f"STREAM.MSG.GET.{self.name}", request)
        if "error" in answer:
            if answer["error"]["err_code"] == NOT_FOUND:
                return (await self.state()).last
            raise Rejected(answer["error"]["err_code"], answer["error"]["description"])
        message = answer["message"]
        if not _header(message, WRITTEN):
            return int(message["seq"]) - 1
        # The server knows of what was restored only when that was: it lies in the order in which it was first written.
        before, behind = 0, (await self.state()).last + 1
        while behind - before > 1:
            middle = (before + behind) // 2
            message = (await self._api(f"STREAM.MSG.GET.{self.name}", {"seq": middle}))["message"]
            written = datetime.fromisoformat(_header(message, WRITTEN) or message["time"])
            before, behind = (middle, behind) if written < moment else (before, middle)
        return before

    @asynccontextmanager
    async def feed(self, subjects: Sequence[str], after: int) -> AsyncIterator[Feed]:
        feed = _PullFeed(self._client, self._api, self.name, subjects, after)
        try:
            yield feed
        finally:
            await feed.close()

    async def state(self) -> StreamState:
        answer = await self._api(f"STREAM.INFO.{self.name}", {})
        if "error" in answer:
            raise Rejected(answer["error"]["err_code"], answer["error"]["description"])
        state = answer["state"]
        created = datetime.fromisoformat(answer["created"][:19] + "+00:00")
        return StreamState(first=state["first_seq"], last=state["last_seq"], created=created)

    async def _api(self, method: str, request: dict[str, Any]) -> dict[str, Any]:
        return await _request(self._client, f"$JS.API.{method}", request, self._answer_seconds)

    async def _direct_get(
        self, request: dict[str, Any], make: Callable[[Msg, dict[str, str]], T]
    ) -> tuple[list[T], int]:
        """One page of a batched direct get, and how many entries wait behind it."""
        page: list[T] = []
        pending = 0
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def on_answer(message: Msg) -> None:
            nonlocal pending
            headers = message.headers or {}
            status = headers.get("Status")
            if status is None:
                page.append(make(message, headers))
                pending = int(headers.get("Nats-Num-Pending", 0))
            elif not ended.done():
                if status in ("204", "404"):  # end of batch, nothing found
                    ended.set_result(None)
                elif status == "503":
                    ended.set_exception(NoResponders())
                else:
                    ended.set_exception(Rejected(int(status), headers.get("Description", "")))

        async with self._answers(on_answer) as reply:
            try:
                async with asyncio.timeout(self._answer_seconds):
                    await self._client.publish(f"$JS.API.DIRECT.GET.{self.name}", json.dumps(request).encode(), reply)
                    await ended
            except (TimeoutError, nats.errors.Error) as error:
                raise NoAnswer from error
        return page, pending

    @asynccontextmanager
    async def _answers(self, on_answer: Callable[[Msg], None]) -> AsyncIterator[str]:
        """A reply subject whose messages go to `on_answer`; one subscription serves them all."""
        if self._subscribed is None:
            self._subscribed = asyncio.ensure_future(self._subscribe())
        await asyncio.shield(self._subscribed)
        token = str(next(self._tokens))
        self._waiting[token] = on_answer
        try:
            yield f"{self._inbox}.{token}"
        finally:
            del self._waiting[token]

    async def _subscribe(self) -> None:
        async def dispatch(message: Msg) -> None:
            on_answer = self._waiting.get(message.subject.rpartition(".")[2])
            if on_answer is not None:
                on_answer(message)

        await self._client.subscribe(f"{self._inbox}.*", cb=dispatch)


def _headers(entry: Entry) -> dict[str, str]:
    headers = {"Nats-Msg-Id": entry.event_id, "Stepladder-Type": entry.type}
    return {**headers, WRITTEN: entry.written} if entry.written else headers


def _messages(batch: Sequence[Append]) -> Iterator[_Message]:
    """Subject, headers and payload of every entry."""
    for append in batch:
        expected = str(append.expected)
        for entry in append.entries:
            headers = _headers(entry)
            if expected:
                headers["Nats-Expected-Last-Subject-Sequence"] = expected
                expected = ""
            yield append.subject, headers, entry.payload


async def _write(client: Client, messages: Sequence[_Message], reply: str) -> None:
    """Hands messages to the connection; what is published next takes them along.

    The first is a request, answered to `reply`: a refusal of the batch comes at once, not when it times out.
    """
    frames: list[bytes] = []
    for subject, headers, payload in messages:
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        head = f"NATS/1.0\r\n{lines}\r\n".encode()
        frames += (
            f"HPUB {subject} {reply} {len(head)} {len(head) + len(payload)}\r\n".encode(),
            head,
            payload,
            b"\r\n",
        )
        reply = ""
    # Private, because the public `publish` takes 7 us a message, and this 1.5: a third of the time of a bulk append.
    await client._send_command(b"".join(frames))  # noqa: SLF001


def _take_answer(message: Msg, answered: asyncio.Future[int], *, last: bool) -> None:
    if (message.headers or {}).get("Status") == "503":
        answered.set_exception(NoResponders())
    elif message.data:
        answer = json.loads(message.data)
        if "error" in answer:
            answered.set_exception(Rejected(answer["error"]["err_code"], answer["error"]["description"]))
        elif answer.get("duplicate"):
            # Three replicas say so of a single message sent before; where it lies, the leader knows.
            answered.set_exception(Rejected(10201, "duplicate message id"))
        elif last:
            answered.set_result(answer["seq"])


def _stored(message: Msg, headers: dict[str, str]) -> Stored:
    return Stored(int(headers["Nats-Sequence"]), headers["Nats-Subject"], message.data, headers.get("Nats-Msg-Id", ""))


def _copied(message: Msg, headers: dict[str, str]) -> Copied:
    written = headers.get(WRITTEN) or headers["Nats-Time-Stamp"]
    entry = Entry(headers.get("Nats-Msg-Id", ""), headers.get("Stepladder-Type", ""), message.data, written)
    more = "Nats-Batch-Id" in headers and "Nats-Batch-Commit" not in headers
    return Copied(int(headers["Nats-Sequence"]), headers["Nats-Subject"], entry, more)


def _stored_at_leader(message: dict[str, Any]) -> Stored:
    event_id = _header(message, "Nats-Msg-Id")
    return Stored(message["seq"], message["subject"], base64.b64decode(message["data"]), event_id)


def _header(message: dict[str, Any], name: str) -> str:
    """A header of what the leader answered; empty where it has none."""
    headers = base64.b64decode(message.get("hdrs", "")).decode()
    return headers.partition(f"\r\n{name}: ")[2].partition("\r\n")[0]


async def _request(
    client: Client, subject: str, request: dict[str, Any], seconds: float = ANSWER_SECONDS
) -> dict[str, Any]:
    try:
        async with asyncio.timeout(seconds):
            # Without a timeout of its own, for which it would use asyncio.wait_for: before Python 3.12, that swallows a
            # cancellation that comes together with the answer.
            endless = cast(float, None)
            message = await client.request(subject, json.dumps(request).encode(), timeout=endless)
    except nats.errors.NoRespondersError as error:
        raise NoResponders from error
    except (nats.errors.Error, TimeoutError) as error:
        raise NoAnswer from error
    answer: dict[str, Any] = json.loads(message.data)
    return answer


class _PullFeed:
    """A consumer without acks that starts behind a position and is made anew whenever a delivery is missing.

    The position is the follower's own; the consumer's delivery numbers must be contiguous, which is how a lost
    message shows, and the last one is that of which heartbeats tell. While the follower works on some entries, the
    next ones arrive.
    """

    def __init__(
        self,
        client: Client,
        api: Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]],
        stream: str,
        subjects: Sequence[str],
        after: int,
    ) -> None:
        self._client = client
        self._api = api
        self._stream = stream
        self._subjects = list(subjects)
        self._after = after
        self._consumer = ""
        self._subscription: Subscription | None = None
        self._inbox = ""
        self._ready: deque[Stored] = deque()
        self._news = asyncio.Event()
        self._broken = False
        self._delivered = 0
        self._asked = 0
        self._pending = 0
        self._heard = 0.0

    @property
    def pending(self) -> int:
        return len(self._ready) + self._pending

    async def next(self, most: int, wait_seconds: float) -> list[Stored]:
        deadline = asyncio.get_running_loop().time() + wait_seconds
        try:
            while not self._ready:
                if self._broken:
                    await self.close()
                    await asyncio.sleep(0.1)
                if not self._consumer:
                    await self._start()
                await self._ask(most)
                self._news.clear()
                async with asyncio.timeout_at(deadline):
                    await self._news.wait()
        except TimeoutError:
            if asyncio.get_running_loop().time() - self._heard > SILENCE_SECONDS:
                await self.close()  # not even heartbeats: the consumer went with its server
            return []
        entries = [self._ready.popleft() for _ in range(min(most, len(self._ready)))]
        if not self._broken:
            await self._ask(most)
        return entries

    async def close(self) -> None:
        subscription, consumer = self._subscription, self._consumer
        self._subscription, self._consumer = None, ""
        # What cannot be said to the server now, it finds out itself once the consumer has been inactive for a while.
        with suppress(nats.errors.Error, TimeoutError):
            if subscription is not None:
                await subscription.unsubscribe()
            if consumer and self._client.is_connected:
                await self._client.publish(f"$JS.API.CONSUMER.DELETE.{self._stream}.{consumer}", b"")

    async def _start(self) -> None:
        self._broken = False
        self._delivered = self._asked = 0
        self._heard = asyncio.get_running_loop().time()
        self._inbox = inbox = self._client.new_inbox()

        async def arrive(message: Msg) -> None:
            if inbox == self._inbox and not self._broken:
                self._take(message)

        self._subscription = await self._client.subscribe(inbox, cb=arrive)
        name = f"follow-{uuid4().hex}"
        config = {
            "name": name,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": self._after + 1,
            "ack_policy": "none",
            "max_deliver": -1,
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": 60_000_000_000,
            "filter_subjects": self._subjects,
        }
        answer = await self._api(
            f"CONSUMER.CREATE.{self._stream}.{name}",
            {"stream_name": self._stream, "config": config, "action": "create"},
        )
        if "error" in answer:
            await self._subscription.unsubscribe()
            raise Rejected(answer["error"]["err_code"], answer["error"]["description"])
        self._consumer = name
        self._pending = answer.get("num_pending", 0)

    async def _ask(self, most: int) -> None:
        """Keeps a pull request waiting at the server, so that a new entry comes at once."""
        if self._asked + len(self._ready) > most // 2:
            return
        self._asked += most
        request = {"batch": most, "expires": 30_000_000_000, "idle_heartbeat": 1_000_000_000}
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._consumer}"
        await self._client.publish(subject, json.dumps(request).encode(), self._inbox)

    def _take(self, message: Msg) -> None:
        """Adds a delivered entry to those that are ready; a gap or a refusal breaks the consumer."""
        self._heard = asyncio.get_running_loop().time()
        headers = message.headers or {}
        status = headers.get("Status")
        if status is None:
            # $JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<time>.<pending>
            tokens = message.reply.split(".")
            position, delivery = int(tokens[-4]), int(tokens[-3])
            if delivery == self._delivered + 1:
                self._pending = int(tokens[-1])
                self._delivered = delivery
                self._asked -= 1
                self._after = position
                self._ready.append(Stored(position, message.subject, message.data, headers.get("Nats-Msg-Id", "")))
            else:
                self._break_at(delivery)
        elif status in ("408", "404"):  # a request expired
            self._asked -= int(headers.get("Nats-Pending-Messages", self._asked))
        elif status == "100":  # a heartbeat: it tells of the last delivery, which may be lost with none behind it
            if (last := int(headers["Nats-Last-Consumer"])) > self._delivered:
                self._break_at(last)
        else:  # 409 consumer deleted, 503 nobody there, and whatever else: start anew
            self._broken = True
        self._news.set()

    def _break_at(self, delivery: int) -> None:
        """What lies between the last delivery that came and this one is lost."""
        logger.warning("follow_gap", stream=self._stream, expected=self._delivered + 1, found=delivery)
        self._broken = True
