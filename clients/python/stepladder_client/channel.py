"""A channel that adds tokens and idempotency keys, sends again what was not answered, and raises typed errors."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from inspect import isawaitable
from typing import Any
from uuid import uuid4

import grpc
from google.protobuf.message import Message
from grpc import aio

from stepladder_client.errors import typed

Token = str | Callable[[], str | Awaitable[str]]
"""A bearer token, or what gives the one that is good now: it is asked with every call."""

_MAX_MESSAGE_BYTES = 4 * 1024 * 1024
_RETRIES = {
    "maxAttempts": 5,
    "initialBackoff": "0.1s",
    "maxBackoff": "5s",
    "backoffMultiplier": 3,
    "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"],
}
"""gRPC sends the same bytes again, with jitter: the same idempotency key."""


def connect(
    address: str, token: Token = "", *, credentials: grpc.ChannelCredentials | None = None, retry: bool = True
) -> aio.Channel:
    """A channel to Stepladder at host:port, for the stubs of its contracts.

    - `token` goes with every call that brings no `authorization` of its own.
    - A command without a `request_id` gets one, so that it has one effect however often it is sent. Give your own to
      repeat a command after your program was restarted, and to the batches of a stream.
    - A call answered UNAVAILABLE or RESOURCE_EXHAUSTED is sent up to five times within seconds.
    - Errors are raised as the classes of `stepladder_client`.

    Without `retry` calls are sent once and as they are: for one who repeats them with keys of their own.

    Plain text unless there are `credentials`, such as `grpc.ssl_channel_credentials()`.
    """
    options = [
        ("grpc.service_config", json.dumps({"methodConfig": [{"name": [{}], "retryPolicy": _RETRIES}]})),
        ("grpc.enable_retries", int(retry)),
        # What is larger is not sent again: by default 256 KiB.
        ("grpc.per_rpc_retry_buffer_size", 2 * _MAX_MESSAGE_BYTES),
        ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.max_reconnect_backoff_ms", 2_000),
    ]
    calls: list[aio.ClientInterceptor] = [kind(token, retry) for kind in (_Unary, _ServerStream, _ClientStream)]
    if credentials is None:
        return aio.insecure_channel(address, options=options, interceptors=calls)
    return aio.secure_channel(address, credentials, options=options, interceptors=calls)


class _Calls:
    def __init__(self, token: Token, identifying: bool) -> None:
        self._token = token
        self._identifying = identifying

    async def _details(self, given: Any) -> Any:
        """A call's details, with a token where there was none."""
        metadata = tuple(given.metadata or ())
        if not self._token or any(key == "authorization" for key, _ in metadata):
            return given
        token = self._token() if callable(self._token) else self._token
        if isawaitable(token):
            token = await token
        return given._replace(metadata=aio.Metadata(*metadata, ("authorization", f"Bearer {token}")))  # noqa: SLF001 - a named tuple's

    def _identified(self, request: Any) -> Any:
        """A command with an idempotency key; the caller's own message, and what is none, is left as it is."""
        fields = request.DESCRIPTOR.fields_by_name if isinstance(request, Message) else ()
        if not self._identifying or "request_id" not in fields or request.request_id:
            return request
        identified = type(request)()
        identified.CopyFrom(request)
        identified.request_id = uuid4().hex
        return identified


class _Unary(_Calls, aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        try:
            return await (await continuation(await self._details(client_call_details), self._identified(request)))
        except aio.AioRpcError as error:
            raise typed(error) from error


class _ServerStream(_Calls, aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return _answers(await continuation(await self._details(client_call_details), self._identified(request)))


class _ClientStream(_Calls, aio.StreamUnaryClientInterceptor):
    async def intercept_stream_unary(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return _TypedCall(await continuation(await self._details(client_call_details), request_iterator))


class _TypedCall:
    """A call whose end is a typed error; in all else it is the call itself."""

    def __init__(self, call: Any) -> None:
        self._call = call

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)

    def __await__(self) -> Generator[Any, None, Any]:
        try:
            return (yield from self._call.__await__())
        except aio.AioRpcError as error:
            raise typed(error) from error


async def _answers(call: Any) -> AsyncIterator[Any]:
    try:
        async for answer in call:
            yield answer
    except aio.AioRpcError as error:
        raise typed(error) from error
    finally:
        call.cancel()  # nobody reads on
