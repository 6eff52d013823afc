"""Page tokens: opaque to callers, bound to the request they came from."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from google.protobuf.message import Message

from libs.common.errors import FieldViolation, Invalid

T = TypeVar("T")

DEFAULT_PAGE = 100


def page_size(request: Message) -> int:
    """How many items the caller wants on a page."""
    return int(getattr(request, "page_size")) or DEFAULT_PAGE  # noqa: B009 - every list request has it, Message does not


def page_start(request: Message) -> list[str | int] | None:
    """The sort key behind which the page starts, None for the first page.

    Raises Invalid `PAGE_TOKEN_INVALID` for a token that is none of ours or came from another request.
    """
    token = str(getattr(request, "page_token"))  # noqa: B009 - see page_size
    if not token:
        return None
    try:
        digest, key = json.loads(base64.urlsafe_b64decode(token))
        ours = digest == _digest(request, key)
    except (ValueError, TypeError, RecursionError):  # whatever it is
        ours = False
    if not ours:
        message = "page_token belongs to another request; repeat the request that it came from, changing nothing else"
        raise Invalid("PAGE_TOKEN_INVALID", message, (FieldViolation("page_token", message),))
    start: list[str | int] = key
    return start


def cut_page(request: Message, items: Sequence[T], key: Callable[[T], Sequence[str | int]]) -> tuple[Sequence[T], str]:
    """The page out of up to page_size + 1 items, and the token for the next one, empty on the last page."""
    size = page_size(request)
    if len(items) <= size:
        return items, ""
    return items[:size], page_token(request, key(items[size - 1]))


def page_token(request: Message, key: Sequence[str | int]) -> str:
    """The token for the page that starts behind a sort key."""
    last = list(key)
    content = json.dumps([_digest(request, last), last])
    return base64.urlsafe_b64encode(content.encode()).decode()


def page_of(request: Message, items: Iterable[T], key: Callable[[T], Sequence[str | int]]) -> tuple[Sequence[T], str]:
    """A page out of all items in the order of their sort keys, and the token for the next one, as `cut_page`.

    Raises as `page_start`.
    """
    start = page_start(request)
    keyed = [(list(key(one)), one) for one in items]
    behind = sorted((one for one in keyed if start is None or one[0] > start), key=lambda one: one[0])
    return cut_page(request, [one for _, one in behind], key)


def _digest(request: Message, key: object) -> str:
    """Ties a sort key to what the request asks for apart from the page, so that only tokens of ours are believed."""
    same = type(request)()
    same.CopyFrom(request)
    for name in ("page_size", "page_token", "at_least"):
        if name in same.DESCRIPTOR.fields_by_name:
            same.ClearField(name)
    parts = [same.DESCRIPTOR.full_name.encode(), same.SerializeToString(deterministic=True), json.dumps(key).encode()]
    return hashlib.sha256(b"\n".join(parts)).hexdigest()[:16]
