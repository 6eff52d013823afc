"""The page that a browser sees first."""

import re
from base64 import b64encode
from hashlib import sha256
from html import unescape
from html.parser import HTMLParser

from stepladder.common.v1.operations_pb2 import Follower, ListFollowersResponse
from stepladder.performance.v1.kpi_pb2 import ListKpisResponse
from tests.gateway.world import World

HOSTILE = """<script>alert("x")</script><img src=x onerror='y'>"""


class Text(HTMLParser):
    """The words of a page, and the tags it has."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, _attributes: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.words += [data.strip()] if data.strip() else []


async def test_page_shows_followers(world: World) -> None:
    """Each follower of each service is shown with where it stands."""
    follower = Follower(
        service="coaching",
        name="plans",
        position=1234567,
        end=1234599,
        lag=3,
        lag_seconds=2.4,
        parked_events=2,
        state=Follower.STATE_STOPPED,
        error="the disk is full",
    )
    world.coaching.answers["ListFollowers"] = [ListFollowersResponse(followers=[follower])]
    answer = await world.http("GET", "/")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    words = Text(answer.body.decode()).words
    first = words.index("plans")
    assert words[first : first + 7] == [
        "plans",
        "stopped",
        "3 (2 s)",
        "2",
        "1,234,567",
        "1,234,599",
        "the disk is full",
    ]
    assert not any("away" in word for word in words)


async def test_page_shows_who_is_away(world: World) -> None:
    """The page comes whether or not the services are there."""
    for backend in world.services.values():
        await backend.serving.aclose()
    answer = await world.http("GET", "/")
    assert answer.status == 200
    assert Text(answer.body.decode()).words.count("away") == 3


async def test_page_escapes_what_it_shows(world: World) -> None:
    """Whatever a follower calls itself, or dies of, is text; and the page forbids all scripts but its own."""
    follower = Follower(name=HOSTILE, error=HOSTILE, state=99)  # type: ignore[arg-type] # of a later version
    world.coaching.answers["ListFollowers"] = [ListFollowersResponse(followers=[follower])]
    page = (await world.http("GET", "/")).body.decode()
    text = Text(page)
    assert text.words.count(HOSTILE) == 2
    assert "unknown" in text.words
    assert not text.tags & {"img", "iframe", "form"}
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = b64encode(sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in page
    assert "default-src 'none'" in page


async def test_page_is_self_contained(world: World) -> None:
    """The page loads nothing, fits a phone and follows the reader's choice of dark or light."""
    page = (await world.http("GET", "/")).body.decode()
    assert not re.search(r"src=|@import|url\(|<link", page)
    assert 'name="viewport"' in page
    assert "prefers-color-scheme" in page


async def test_links_of_the_page_lead_somewhere(world: World) -> None:
    """Every link is a request that the services take."""
    world.performance.answers["ListKpis"] = [ListKpisResponse()]
    page = (await world.http("GET", "/")).body.decode()
    links = [unescape(link) for link in re.findall(r'href="(/[^"]*)"', page)]
    assert len(links) >= 8
    for link in links:
        assert (await world.http("GET", link)).status == 200, link


async def test_examples_name_the_public_port(world: World) -> None:
    """What the page says to type goes to this very port."""
    page = (await world.http("GET", "/")).body.decode()
    assert f"curl localhost:{world.envoy.settings.public_port}/v1/" in page
    assert "$" not in page.replace("$TOKEN", "").replace("$(", "")
