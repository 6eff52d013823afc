"""Pages: every item once, to the end, and no token but our own for the same request."""

import base64
import json
from collections.abc import Sequence
from typing import Any

import hypothesis
import pytest
from google.protobuf.message import Message
from hypothesis import strategies as st

from libs.common.errors import Invalid
from libs.common.paging import DEFAULT_PAGE, cut_page, page_size, page_start
from stepladder.coaching.v1.plan_pb2 import ListPlansRequest
from stepladder.performance.v1.detection_pb2 import ListDetectionsRequest
from stepladder.performance.v1.directory_pb2 import ListEmployeesRequest, ListTeamsRequest
from stepladder.performance.v1.kpi_pb2 import ListKpisRequest

Item = tuple[str, int]


def fetch(items: Sequence[Item], request: Message) -> tuple[Sequence[Item], str]:
    """What a list call does: the items behind the token, one more than fit the page, cut."""
    start: Any = page_start(request)
    behind = [item for item in sorted(items) if start is None or list(item) > start]
    return cut_page(request, behind[: page_size(request) + 1], lambda item: [*item])


def token_of(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode()


def a_token(request: Message) -> str:
    """The token for the second page of a request."""
    token = cut_page(request, ["a"] * (page_size(request) + 1), lambda item: [item])[1]
    assert token
    return token


def refused(request: Message) -> Invalid:
    with pytest.raises(Invalid) as raised:
        page_start(request)
    assert raised.value.reason == "PAGE_TOKEN_INVALID"
    assert [violation.field for violation in raised.value.violations] == ["page_token"]
    return raised.value


@hypothesis.settings(derandomize=True, database=None, deadline=None)
@hypothesis.given(st.sets(st.tuples(st.text(), st.integers(-(2**63), 2**63 - 1))), st.integers(1, 7))
def test_pages_hold_every_item_once(items: set[Item], size: int) -> None:
    """Following the tokens visits everything in order; only the last page has none."""
    found: list[Item] = []
    token = ""
    while True:
        page, token = fetch(sorted(items), ListTeamsRequest(page_size=size, page_token=token))
        found += page
        if not token:
            break
        assert len(page) == size
    assert found == sorted(items)


def test_a_request_that_names_no_size_gets_the_default() -> None:
    """0 means 100."""
    assert page_size(ListTeamsRequest()) == DEFAULT_PAGE == 100
    assert page_size(ListTeamsRequest(page_size=7)) == 7


def test_the_first_page_starts_nowhere() -> None:
    """Without a token there is no key to start behind."""
    assert page_start(ListTeamsRequest()) is None


def test_a_page_that_is_exactly_full_is_the_last() -> None:
    """A token promises that there is more."""
    assert cut_page(ListTeamsRequest(page_size=2), ["a", "b"], lambda item: [item]) == (["a", "b"], "")


def test_size_and_position_may_change_from_page_to_page() -> None:
    """They say how to answer, not what was asked."""
    token = a_token(ListTeamsRequest(page_size=2, at_least=7))
    assert page_start(ListTeamsRequest(page_size=5, at_least=9, page_token=token)) == ["a"]


@pytest.mark.parametrize(
    "other",
    [
        ListEmployeesRequest(team_id="t-2"),
        ListEmployeesRequest(),
        ListEmployeesRequest(team_id="t-1", as_of="2026-01-01"),
    ],
)
def test_a_token_of_a_request_with_other_filters_is_refused(other: ListEmployeesRequest) -> None:
    """A page of another question would be a wrong answer."""
    other.page_token = a_token(ListEmployeesRequest(team_id="t-1"))
    refused(other)


@pytest.mark.parametrize("other", [ListKpisRequest(), ListPlansRequest(), ListDetectionsRequest()])
def test_a_token_of_another_list_is_refused(other: ListKpisRequest | ListPlansRequest | ListDetectionsRequest) -> None:
    """Even where both requests are empty: the keys of teams mean nothing among plans."""
    other.page_token = a_token(ListTeamsRequest())
    refused(other)


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "!!!!",
        "ünsinn",
        "a" * 10_000,
        token_of(1),
        token_of(None),
        token_of("ab"),
        token_of([]),
        token_of({}),
        token_of({"a": 1, "b": 2}),
        token_of(["", []]),
        token_of([1, 2, 3]),
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
        base64.urlsafe_b64encode(b"[" * 100_000).decode(),
    ],
    ids=lambda token: token[:20],
)
def test_what_is_no_token_is_refused(token: str) -> None:
    """Whatever it looks like inside."""
    refused(ListTeamsRequest(page_token=token))


@pytest.mark.parametrize("key", [[], ["b"], [2**70], [None], ["\x00"], ["\ud800"], {"a": 1}, "a", [["a"]]])
def test_a_token_with_another_key_is_refused(key: object) -> None:
    """Nobody makes a token of their own out of one of ours."""
    digest, _ = json.loads(base64.urlsafe_b64decode(a_token(ListTeamsRequest())))
    refused(ListTeamsRequest(page_token=token_of([digest, key])))
