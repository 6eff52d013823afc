"""What Envoy refuses by itself, in the shape in which services refuse: google.rpc.Status with a reason."""

import base64
from dataclasses import dataclass
from typing import Any, Literal

from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode

RETRY_SECONDS = 1
"""When a caller who was too quick may go on."""


@dataclass(frozen=True)
class EnvoyRefusal:
    """`http` is the status that Envoy refuses with; `say` helps a person, over REST with Envoy's commands in it.

    `cause` is a part of Envoy's details of the response, where refusals with the same status differ.
    """

    http: int
    code: StatusCode
    reason: str
    say: str
    over: Literal["REST", "gRPC", "both"] = "both"
    retry: bool = False
    cause: str = ""

    @property
    def status(self) -> Status:
        status = Status(code=self.code.value[0], message=self.say)
        status.details.add().Pack(ErrorInfo(reason=self.reason, domain="stepladder"))
        if self.retry:
            status.details.add().Pack(RetryInfo(retry_delay=Duration(seconds=RETRY_SECONDS)))
        return status


REFUSALS = (
    EnvoyRefusal(
        400, StatusCode.INVALID_ARGUMENT, "MALFORMED_REQUEST", "the request is malformed: %LOCAL_REPLY_BODY%", "REST"
    ),
    # In the words of libs/common/auth.py, which verifies tokens for every service.
    EnvoyRefusal(
        401,
        StatusCode.UNAUTHENTICATED,
        "TOKEN_EXPIRED",
        "the token has expired; get a new one",
        cause="Jwt_is_expired",
    ),
    EnvoyRefusal(
        403,
        StatusCode.UNAUTHENTICATED,
        "TOKEN_AUDIENCE",
        "the token is for others: its audience is wrong",
        cause="Audiences_in_Jwt",
    ),
    EnvoyRefusal(
        401,
        StatusCode.UNAUTHENTICATED,
        "TOKEN_ISSUER",
        "the token is of another issuer",
        cause="Jwt_issuer",
    ),
    EnvoyRefusal(
        401, StatusCode.UNAUTHENTICATED, "TOKEN_INVALID", "the token is not valid: its signature or form is wrong"
    ),
    EnvoyRefusal(404, StatusCode.NOT_FOUND, "UNKNOWN_PATH", "nothing answers %REQ(:METHOD)% %PATH(NQ:PATH)%", "REST"),
    EnvoyRefusal(404, StatusCode.UNIMPLEMENTED, "UNKNOWN_METHOD", "no service has this method", "gRPC"),
    EnvoyRefusal(408, StatusCode.DEADLINE_EXCEEDED, "REQUEST_TOO_SLOW", "the request did not arrive in time"),
    EnvoyRefusal(
        413,
        StatusCode.RESOURCE_EXHAUSTED,  # as gRPC says of a message that is too large
        "REQUEST_TOO_LARGE",
        "the request is larger than 4 MiB; send it in parts",
    ),
    EnvoyRefusal(
        429,
        StatusCode.RESOURCE_EXHAUSTED,
        "RATE_LIMITED",
        "too many requests in a short time; send the same again after a second",
        retry=True,
    ),
    EnvoyRefusal(
        431, StatusCode.RESOURCE_EXHAUSTED, "HEADERS_TOO_LARGE", "the headers are larger than 60 KiB; send fewer"
    ),
    EnvoyRefusal(
        503, StatusCode.UNAVAILABLE, "SERVICE_AWAY", "the service is away; the same request may be sent again"
    ),
    EnvoyRefusal(
        504,
        StatusCode.DEADLINE_EXCEEDED,
        "TOO_SLOW",
        "the service did not answer in time; send the same request again",
    ),
)
_OTHER = EnvoyRefusal(500, StatusCode.UNKNOWN, "FRONT_DOOR", "%LOCAL_REPLY_BODY%", "REST")

_HTTP = {StatusCode.UNAUTHENTICATED: 401}
"""Where Envoy refuses with a status that is not the one of the gRPC code (google/rpc/code.proto)."""

_Filter = dict[str, Any]

_CALLS_GRPC: list[_Filter] = [
    {"header_filter": {"header": {"name": "content-type", "string_match": {"prefix": "application/grpc"}}}},
    # What became gRPC here has an original path.
    {"header_filter": {"header": {"name": "x-envoy-original-path", "present_match": False}}},
]


def local_replies() -> dict[str, Any]:
    """Envoy's `local_reply_config`."""
    return {
        "mappers": [
            *(_grpc_mapper(one) for one in REFUSALS if one.over != "REST"),
            # A refusal that has no reason, in Envoy's own words.
            {"filter": _all(_CALLS_GRPC), "body_format_override": _text("%LOCAL_REPLY_BODY%")},
            *(_rest_mapper(one) for one in REFUSALS if one.over != "gRPC"),
        ],
        "body_format": _json(_OTHER),
    }


def _grpc_mapper(refusal: EnvoyRefusal) -> dict[str, Any]:
    details = base64.b64encode(refusal.status.SerializeToString()).decode()
    return {
        "filter": _all([*_CALLS_GRPC, *_filters(refusal)]),
        "headers_to_add": [_code_header(refusal), _header("grpc-status-details-bin", details)],
        "body_format_override": _text(refusal.say),
    }


def _rest_mapper(refusal: EnvoyRefusal) -> dict[str, Any]:
    return {
        "filter": _all(_filters(refusal)),
        "status_code": _HTTP.get(refusal.code, refusal.http),
        "headers_to_add": [
            _code_header(refusal),  # for the log, and as answers have it
            *([_header("www-authenticate", "Bearer")] if refusal.code is StatusCode.UNAUTHENTICATED else []),
        ],
        "body_format_override": _json(refusal),
    }


def _filters(refusal: EnvoyRefusal) -> list[_Filter]:
    compared: _Filter = {"default_value": refusal.http, "runtime_key": "none"}
    cause = {
        "@type": "type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
        "expression": f"response.code_details.contains('{refusal.cause}')",
    }
    by_cause: _Filter = {
        "extension_filter": {"name": "envoy.access_loggers.extension_filters.cel", "typed_config": cause}
    }
    by_status: _Filter = {"status_code_filter": {"comparison": {"op": "EQ", "value": compared}}}
    return [by_status, by_cause] if refusal.cause else [by_status]


def _all(filters: list[_Filter]) -> _Filter:
    return {"and_filter": {"filters": filters}} if len(filters) > 1 else filters[0]  # an "and" takes two at least


def _code_header(refusal: EnvoyRefusal) -> dict[str, Any]:
    return _header("grpc-status", str(refusal.code.value[0]))


def _header(name: str, value: str) -> dict[str, Any]:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def _text(text: str) -> dict[str, Any]:
    return {"text_format_source": {"inline_string": text}}


def _json(refusal: EnvoyRefusal) -> dict[str, Any]:
    return {"json_format": MessageToDict(refusal.status)}
