"""SCIM 2.0 (RFC 7643, RFC 7644) over HTTP: identity providers say who is there, the directory is changed accordingly.

A WSGI application for threads of its own, behind Envoy; the protocol is scim2-server's.
"""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import structlog
from pydantic import ValidationError
from scim2_models import (
    Extension,
    ForbiddenException,
    PayloadTooLargeException,
    Resource,
    SCIMException,
    UnauthorizedException,
)
from scim2_server.applications.wsgi import ForwardedHeaders, WSGIApplication
from scim2_server.conditions import Conditions
from scim2_server.requests import ScimRequest
from scim2_server.responses import ScimResponse
from scim2_server.service import ScimService, scim_exception_of
from waitress import wasyncore
from waitress.server import create_server

from libs.common.access import admit
from libs.common.auth import Tokens
from libs.common.errors import Forbidden, Refused, Unauthenticated
from libs.common.rpc import MAX_MESSAGE_BYTES
from services.gateway.scim_directory import Away, Directory, Latest
from services.gateway.scim_models import PROVIDER
from services.gateway.scim_storage import DirectoryStorage
from stepladder.performance.v1.directory_pb2_grpc import DirectoryServiceStub

PATH = "/scim"
RULE = "stepladder.performance.v1.DirectoryService/ImportRoster"
"""Whoever may call this may use SCIM, which tells of accounts even where it only reads."""
THREADS = 8

logger = structlog.get_logger()


class LenientService(ScimService):
    """What a PUT leaves out stays as it is (RFC 7644, section 3.5.1, lets a server choose): an identity provider that
    does not know of teams must not put people out of them. An explicit null removes.
    """

    def max_body_size(self, request: ScimRequest) -> int | None:  # noqa: ARG002 - the same for all
        return MAX_MESSAGE_BYTES

    def apply_replacement(
        self, current: Resource[Any], replacement: Resource[Any], conditions: Conditions
    ) -> Resource[Any] | None:
        _fill_in(replacement, current)
        return super().apply_replacement(current, replacement, conditions)


def _fill_in(given: Any, current: Any) -> None:
    for name in type(given).model_fields:
        if name not in given.model_fields_set:
            setattr(given, name, getattr(current, name))
        elif isinstance(getattr(given, name), Extension) and getattr(current, name) is not None:
            _fill_in(getattr(given, name), getattr(current, name))


class OneRequest(WSGIApplication):
    """Serves one request, with the rights of its token."""

    def __init__(self, front: "Scim", authorization: str) -> None:
        directory = Directory(front.stub, front.loop, front.latest, authorization)
        super().__init__(DirectoryStorage(directory), PROVIDER, front.service)
        self._front = front
        self._authorization = authorization

    def dispatch_request(self, request: ScimRequest) -> ScimResponse:
        if len(request.body) > MAX_MESSAGE_BYTES:
            raise PayloadTooLargeException(detail=f"the request is larger than {MAX_MESSAGE_BYTES >> 20} MiB")
        return super().dispatch_request(request)

    def check_auth(self, request: ScimRequest) -> None:  # noqa: ARG002 - the token came with it
        """The token is verified here, and by the performance service again."""
        asked = asyncio.run_coroutine_threadsafe(self._front.tokens.caller(self._authorization), self._front.loop)
        try:
            admission = admit(RULE, asked.result())
        except Unauthenticated as error:
            raise UnauthorizedException(detail=_said(error)) from error
        except Forbidden as error:
            raise ForbiddenException(detail=_said(error)) from error
        except Refused as error:
            raise Away(detail=_said(error)) from error
        if not admission.granted:
            raise ForbiddenException(detail="SCIM is for systems with the role stepladder.directory (ROLE_MISSING)")

    def handle_exception(self, request: ScimRequest, exception: Exception) -> ScimResponse:
        """Says what was wrong to the caller; the log has no texts, which may be personal."""
        if isinstance(exception.__cause__, ValidationError):  # a PATCH tells all of what the models say of it
            exception = scim_exception_of(exception.__cause__)
        if isinstance(exception, SCIMException):
            logger.info("scim_refused", method=request.method, status=exception.status, scim_type=exception.scim_type)
        else:
            logger.error("scim_failed", exc_info=exception)
        return self.service.error_response(exception)


class Scim:
    """The WSGI application. Its calls of the performance service run in the event loop that it is made in."""

    def __init__(self, stub: DirectoryServiceStub, tokens: Tokens) -> None:
        self.stub = stub
        self.tokens = tokens
        self.loop = asyncio.get_running_loop()
        self.latest = Latest()
        self.service = LenientService(PROVIDER)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        return OneRequest(self, environ.get("HTTP_AUTHORIZATION", ""))(environ, start_response)


def _said(error: Refused) -> str:
    return f"{error.message} ({error.reason})"


@asynccontextmanager
async def serving_scim(address: str, stub: DirectoryServiceStub, tokens: Tokens) -> AsyncIterator[None]:
    """Listens at `host:port` while the context lasts. Only Envoy is to reach it: it says by what URL it was called."""
    host, _, port = address.rpartition(":")
    listening = socket.create_server((host.strip("[]"), int(port)))
    connections: dict[int, Any] = {}
    server: Any = create_server(
        ForwardedHeaders(Scim(stub, tokens)),
        map=connections,
        sockets=[listening],
        threads=THREADS,
        url_prefix=PATH,
        ident=None,
        clear_untrusted_proxy_headers=False,
        max_request_body_size=2 * MAX_MESSAGE_BYTES,
    )
    stopping = threading.Event()

    def run() -> None:
        while not stopping.is_set():
            wasyncore.loop(map=connections, count=1, use_poll=True)
        server.task_dispatcher.shutdown()
        wasyncore.close_all(connections, ignore_all=True)

    thread = threading.Thread(target=run, name="scim", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        server.trigger.pull_trigger()
        await asyncio.to_thread(thread.join)
