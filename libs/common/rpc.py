"""The shell around every gRPC method: decoding, field rules, context, span and the mapping of errors, in one place."""

import asyncio
import json
import time
import uuid
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Iterator,
)
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from inspect import isasyncgenfunction, iscoroutinefunction
from itertools import islice
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import grpc
import protovalidate
import structlog
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import code_pb2
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status
from grpc import aio
from grpc_status import rpc_status
from opentelemetry.trace import StatusCode
from protovalidate import FieldPathPb as FieldPath
from sqlalchemy.exc import DBAPIError

from libs.common import errors
from libs.common.access import admit
from libs.common.auth import AUTHORIZATION_KEY, Tokens
from libs.common.database import TROUBLES as DATABASE_TROUBLES
from libs.common.errors import FieldViolation, Forbidden, Invalid, Refused, TooLarge, Unauthenticated, Unavailable
from libs.common.eventsourcing import ANONYMOUS, Context
from libs.common.metrics import CALL_SECONDS, CALLS
from libs.common.streams import LOG_TROUBLES
from libs.common.telemetry import current_traceparent, remote_span
from libs.common.texts import unreadable_texts
from libs.common.wording import in_words

T = TypeVar("T")

Clock = Callable[[], datetime]
"""What time it is: aware, UTC."""

TRACEPARENT_KEY = "traceparent"
HOW_TO_AUTHENTICATE = ("www-authenticate", "Bearer")
"""What HTTP wants said with 401 (RFC 9110, 11.6.1; RFC 6750, 3); over REST it becomes a header."""
LAST_EVENT_ID_KEY = "last-event-id"

MAX_MESSAGE_BYTES = 4 * 1024 * 1024

CODES: dict[type[Refused], grpc.StatusCode] = {
    errors.Invalid: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.NotAllowed: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.Forbidden: grpc.StatusCode.PERMISSION_DENIED,
    errors.Conflict: grpc.StatusCode.ABORTED,
    errors.TooLarge: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
}

_DOMAIN = "stepladder"
_VALIDATOR = protovalidate.Validator()

# A status travels in HTTP/2 headers, of which a peer takes 8 KiB in all: the message up to four times (percent-encoded,
# and in the details), the violations in base64.
_MAX_MESSAGE_TEXT_BYTES = 600
_MAX_VIOLATIONS_BYTES = 3 * 1024

_ALL_VIOLATIONS_UP_TO_BYTES = 4 * 1024
"""Of a larger request only the first violation is looked for: 4 MB can hold a million of them, at 13 us each."""

logger = structlog.get_logger()


Standing = Callable[[Context], Awaitable[Collection[str]]]
"""What a caller is to the whole centre: words of `access.STANDING`."""


@dataclass(frozen=True, slots=True)
class Shell:
    """What every method of a service goes by: the time, the site's time zone, and how it is known who calls."""

    clock: Clock
    time_zone: ZoneInfo
    tokens: Tokens
    standing: Standing


def add_service(server: aio.Server, service: ServiceDescriptor, implementation: object, shell: Shell) -> None:
    """Lets `implementation` answer a service's calls. Its methods are named like the RPCs:

    - `async def GetPlan(self, request, context) -> Plan`
    - `async def Rebuild(self, request, context) -> AsyncIterator[Progress]`, with `yield`
    - `async def StreamFacts(self, requests: AsyncIterator[...], context) -> Summary`

    They get requests that keep the rules of their contract and a `Context`, of callers who are let on by the method's
    row in `access.toml`. Where that depends on whom a call is about, they find out what the caller is to them, and ask
    `context.admission`: whoever was not admitted when a method has answered gets no answer.
    They raise `errors.Refused`. Trouble with
    the log or the database is UNAVAILABLE. Anything else raised is a fault: logged, and INTERNAL with a number to quote
    for the caller.
    Raises TypeError when a method is missing or of another shape.
    """
    handlers = {m.name: _Method(m, implementation, shell).handler for m in service.methods}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.full_name, handlers),))


def open_channel(address: str, credentials: grpc.ChannelCredentials | None = None) -> aio.Channel:
    """A channel to a service, for one who passes calls on: with tokens of their callers, and without retries, which
    would multiply if there were some at every step. Of a name with several addresses each is called in turn. Who calls
    for themself uses the Python client (`clients/python`).
    """
    options = [
        ("grpc.enable_retries", 0),
        ("grpc.lb_policy_name", "round_robin"),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.max_reconnect_backoff_ms", 2_000),  # a service that was restarted is found again at once
    ]
    if credentials is None:
        return aio.insecure_channel(address, options=options)
    return aio.secure_channel(address, credentials, options=options)


def answered(error: aio.AioRpcError) -> Status | None:
    """What a service of ours said when it refused a call; None when it did not get to say anything."""
    call: Any = error  # the type stubs know synchronous calls only
    return rpc_status.from_call(call)


_Call = aio.ServicerContext[Any, bytes]


@dataclass(slots=True)
class _Outcome:
    """How a call ended: its gRPC code."""

    code: int = code_pb2.CANCELLED


class _Method:
    """One RPC. Decodes and encodes by itself: grpc would answer a fault in that with UNKNOWN and the fault's text."""

    def __init__(self, method: MethodDescriptor, implementation: object, shell: Shell) -> None:
        self._name = f"{method.containing_service.full_name}/{method.name}"
        self._function: Any = getattr(implementation, method.name, None)
        fits = isasyncgenfunction if method.server_streaming else iscoroutinefunction
        if not fits(self._function) or (method.client_streaming and method.server_streaming):
            raise TypeError(f"{type(implementation).__name__} has no method that can answer {self._name}")
        self._decode = GetMessageClass(method.input_type).FromString
        self._reply = GetMessageClass(method.output_type)
        self._has_request_id = "request_id" in method.input_type.fields_by_name
        self._shell = shell
        self._run: Callable[[Any, _Call, Context], Awaitable[bytes | None]]
        self.handler: grpc.RpcMethodHandler[bytes, bytes]
        if method.client_streaming:
            self._run, self.handler = self._client_stream, grpc.stream_unary_rpc_method_handler(self._answer)
        elif method.server_streaming:
            self._run, self.handler = self._server_stream, grpc.unary_stream_rpc_method_handler(self._answer)
        else:
            self._run, self.handler = self._unary, grpc.unary_unary_rpc_method_handler(self._answer)

    async def _answer(self, incoming: Any, call: _Call) -> bytes | None:
        tokens, traceparent, last_event_id = list[str](), "", ""
        for key, value in call.invocation_metadata() or ():
            if key == AUTHORIZATION_KEY:
                tokens.append(str(value))
            elif key == TRACEPARENT_KEY:
                traceparent = str(value)
            elif key == LAST_EVENT_ID_KEY:
                last_event_id = str(value)
        structlog.contextvars.bind_contextvars(method=self._name)  # each call has a context of its own
        with self._counted() as outcome, remote_span(self._name, traceparent) as span:
            try:
                context = replace(await self._admitted(", ".join(tokens)), last_event_id=last_event_id)
                answer = await self._run(incoming, call, context)
            except (Unauthenticated, Forbidden) as error:
                logger.info("call_refused", reason=error.reason)
                status = _status_of(error)
            except Exception as error:
                status = _status_of(error)
            else:
                outcome.code = code_pb2.OK
                return answer
            outcome.code = status.code
            span.set_attribute("rpc.grpc.status_code", status.code)
            if status.code == code_pb2.INTERNAL:
                span.set_status(StatusCode.ERROR)
        ended: Any = rpc_status.to_status(status)  # a named tuple, which its type does not say
        if status.code == code_pb2.UNAUTHENTICATED:
            ended = ended._replace(trailing_metadata=(*ended.trailing_metadata, HOW_TO_AUTHENTICATE))  # noqa: SLF001 - as above
        return await call.abort_with_status(ended)

    @contextmanager
    def _counted(self) -> Iterator["_Outcome"]:
        """Counts a call by its outcome; one that ends without is one whose caller hung up."""
        outcome, began = _Outcome(), time.perf_counter()
        try:
            yield outcome
        finally:
            CALLS.labels(self._name, code_pb2.Code.Name(outcome.code)).inc()
            if self._run == self._unary:
                CALL_SECONDS.labels(self._name).observe(time.perf_counter() - began)

    async def _admitted(self, authorization: str) -> Context:
        """What a caller's call comes with, as far as can be told without its request."""
        caller = await self._shell.tokens.caller(authorization) if authorization else None
        if caller is not None:
            structlog.contextvars.bind_contextvars(actor=caller.actor)
        admission = admit(self._name, caller)
        now = self._shell.clock()
        context = Context(
            now=now,
            today=now.astimezone(self._shell.time_zone).date(),
            actor=caller.actor if caller else f"user:{ANONYMOUS}",
            traceparent=current_traceparent(),
            admission=admission,
            authorization=authorization,
        )
        if admission.by_standing:
            admission.check(await self._shell.standing(context))
        return context

    async def _unary(self, raw: bytes, _call: _Call, context: Context) -> bytes:
        request = self._valid(raw)
        return self._encoded(await self._function(request, self._of(request, context)), context)

    async def _server_stream(self, raw: bytes, call: _Call, context: Context) -> None:
        request = self._valid(raw)
        async with (
            aclosing(self._function(request, self._of(request, context))) as coming,
            aclosing(self._while_good(coming, context)) as responses,
        ):
            async for response in responses:
                await call.write(self._encoded(response, context))

    async def _client_stream(self, raws: AsyncIterable[bytes], _call: _Call, context: Context) -> bytes:
        return self._encoded(await self._function(self._all_valid(raws, context), context), context)

    def _of(self, request: Any, context: Context) -> Context:
        return replace(context, request_id=request.request_id if self._has_request_id else "", request=request)

    async def _while_good(self, coming: AsyncIterable[T], context: Context) -> AsyncGenerator[T, None]:
        """What comes, as long as the caller's token is good: who was let on may have lost the right.

        Only waiting for the next one is cut short. What has come in may be on its way into the log; and after a
        cancelled write grpc sends nothing more, not even how the call ended. Raises Unauthenticated.
        """
        each = aiter(coming)
        while True:
            try:
                async with asyncio.timeout(context.admission.until - time.time()) as limit:
                    one = await anext(each, None)
            except TimeoutError:
                if not limit.expired():
                    raise
                raise Unauthenticated(
                    "TOKEN_EXPIRED",
                    "the token has expired; get a new one and call again: from the last position that you have, or "
                    "with what was not confirmed",
                ) from None
            if one is None:
                return
            await self._shell.tokens.caller(context.authorization)  # its key may have been withdrawn meanwhile
            yield one

    async def _all_valid(self, raws: AsyncIterable[bytes], context: Context) -> AsyncIterator[Message]:
        number = 0
        async for raw in self._while_good(raws, context):
            number += 1
            try:
                request = self._valid(raw)
            except (Invalid, TooLarge) as error:
                text = f"message {number} of the stream: {error.message}"
                raise type(error)(error.reason, text, error.violations) from error
            yield request

    def _valid(self, raw: bytes) -> Message:
        if len(raw) > MAX_MESSAGE_BYTES:
            raise TooLarge(
                "REQUEST_TOO_LARGE", f"the request is larger than {MAX_MESSAGE_BYTES >> 20} MiB; send it in parts"
            )
        try:
            request = self._decode(raw)
        except DecodeError as error:
            raise Invalid("MALFORMED_REQUEST", f"the request's bytes cannot be decoded: {error}") from error
        most = None if len(raw) <= _ALL_VIOLATIONS_UP_TO_BYTES else 1
        found = _VALIDATOR.collect_violations(request, fail_fast=most == 1)
        violations = tuple(FieldViolation(field_path(v.proto.field), in_words(v.proto, request)) for v in found)
        if violations := violations or tuple(islice(unreadable_texts(request), most)):
            text = "; ".join(f"{v.field}: {v.message}".removeprefix(": ") for v in violations[:3])
            more = f"; and {len(violations) - 3} more" if len(violations) > 3 else ""
            raise Invalid("INVALID_FIELDS", text + more, violations)
        return request

    def _encoded(self, reply: Message, context: Context) -> bytes:
        if not isinstance(reply, self._reply):  # protobuf would encode it all the same
            raise TypeError(f"{self._name} was answered with {type(reply).__name__}")
        if not context.admission.granted:  # somebody forgot to ask
            raise RuntimeError(f"{self._name} was answered without asking whether the caller may")
        return reply.SerializeToString()


def field_path(field: FieldPath | None) -> str:
    """A field as callers write it: `facts[2].date`; empty for a rule about the whole request."""
    elements = field.elements if field else ()
    return ".".join(
        e.field_name if e.subscript is None else f"{e.field_name}[{json.dumps(e.subscript.value)}]" for e in elements
    )


def _status_of(error: Exception) -> Status:
    code = next((code for kind, code in CODES.items() if isinstance(error, kind)), None)
    if isinstance(error, Refused) and code is not None:
        return _status(code, error.reason, error.message, error.violations)
    if isinstance(error, aio.AioRpcError) and (answer := answered(error)) is not None:
        return answer  # of a service behind this one, to which the call was passed on
    if (trouble := _trouble(error)) is not None:
        logger.warning("call_troubled", reason=trouble.reason, error=f"{type(error).__name__}: {error}"[:500])
        return _status(CODES[Unavailable], trouble.reason, trouble.message)
    number = uuid.uuid4().hex
    logger.error("call_failed", correlation_id=number, exc_info=error)
    return _status(
        grpc.StatusCode.INTERNAL, "INTERNAL", f"something is wrong on our side; when you report it, name {number}"
    )


def _trouble(error: Exception) -> Unavailable | None:
    """What a caller should wait for, where neither they nor we are to blame."""
    if isinstance(error, LOG_TROUBLES):
        return Unavailable("LOG_UNAVAILABLE", "the event log does not answer; send the same request again in a moment")
    if isinstance(error, DATABASE_TROUBLES) or (isinstance(error, DBAPIError) and error.connection_invalidated):
        return Unavailable(
            "DATABASE_UNAVAILABLE", "the database is in trouble; send the same request again in a moment"
        )
    return None


def _status(code: grpc.StatusCode, reason: str, message: str, violations: Iterable[FieldViolation] = ()) -> Status:
    message = message.encode()[:_MAX_MESSAGE_TEXT_BYTES].decode(errors="ignore")
    status = Status(code=code.value[0], message=message)
    status.details.add().Pack(ErrorInfo(reason=reason, domain=_DOMAIN))
    bad = BadRequest()
    for violation in violations:
        bad.field_violations.add(field=violation.field, description=violation.message)
        if bad.ByteSize() > _MAX_VIOLATIONS_BYTES:
            del bad.field_violations[-1]
            break
    if bad.field_violations:
        status.details.add().Pack(bad)
    return status
