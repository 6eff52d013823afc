"""Webhooks go outside: whatever is written in their URL, and wherever a name leads."""

import asyncio
import socket
from collections.abc import Sequence
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from libs.common.errors import Invalid
from services.gateway.addresses import Addresses, AddressForbidden
from services.gateway.sending import Outgoing, open_sender

STRICT = Addresses(allow_http=False, allowed=())

INTERNAL = [
    "0.0.0.0",  # noqa: S104 - is refused
    "10.1.2.3",
    "100.64.0.1",  # shared by a provider's customers (RFC 6598)
    "100.100.100.200",  # metadata of a cloud
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",  # metadata of a cloud, at an address like any other
    "169.254.169.254",  # metadata of most clouds
    "172.16.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "2001:db8::1",
    "2001:0:7f00:1::1",  # Teredo
    "2002:7f00:1::1",  # 6to4 of 127.0.0.1
    "2002:a00:1::1",
    "fc00::1",
    "fd00:ec2::254",  # metadata of a cloud
    "fe80::1",
    "fec0::1",
    "ff02::1",
]


@pytest.mark.parametrize("address", INTERNAL)
def test_internal_addresses(address: str) -> None:
    """Refused as they are, and as the host of a URL."""
    assert not STRICT.allows(ip_address(address))
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(Invalid) as refused:
        STRICT.check_form(f"https://{host}/events", "url")
    assert refused.value.reason == "URL_FORBIDDEN"


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.215.14", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
)
def test_addresses_outside(address: str) -> None:
    """Negative control."""
    assert STRICT.allows(ip_address(address))


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "127.1",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "１２７.0.0.1",
        "ｌocalhost",
        "LOCALHOST",
    ],
)
async def test_names_that_lead_inside(host: str) -> None:
    """However they are written: when the webhook is made, and when a message is sent."""
    with pytest.raises(Invalid) as refused:
        await STRICT.check(f"https://{host}/events", "webhook.url")
    assert refused.value.reason == "URL_FORBIDDEN"
    assert refused.value.violations[0].field == "webhook.url"
    async with open_sender(STRICT, lambda: datetime.now(UTC)) as sender:
        answer = await sender.send(f"https://{host}/events", [b"k"], Outgoing("e-1", b"{}"))
    assert (answer.status, answer.error) == (0, "ADDRESS_FORBIDDEN")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://hr.example.com/", "begin with https://"),
        ("ftp://hr.example.com/", "begin with https://"),
        ("//hr.example.com/", "begin with https://"),
        ("hr.example.com", "begin with https://"),
        ("https:///events", "begin with https://"),
        ("https://me:pw@hr.example.com/", "user"),
        ("https://me@hr.example.com/", "user"),
        ("https://hr.example.com/#part", "#"),
        ("https://hr.example.com:22/", "port"),
        ("https://hr.example.com:0/", "port"),
        ("https://hr.example.com:99999/", "not a URL"),
        ("https://[::1/", "not a URL"),
        ("", "begin with https://"),
    ],
)
def test_wrong_urls(url: str, says: str) -> None:
    """Each refusal says what is wrong."""
    with pytest.raises(Invalid, match=says) as refused:
        STRICT.check_form(url, "webhook.url")
    assert refused.value.reason == "URL_INVALID"


def test_what_a_setting_allows() -> None:
    """http for development, and networks that are meant; no others."""
    lenient = Addresses(allow_http=True, allowed=[ip_network("10.1.0.0/16"), ip_network("fd00::/8")])
    lenient.check_form("http://10.1.2.3:8080/events", "url")
    lenient.check_form("http://[::ffff:10.1.2.3]/events", "url")
    lenient.check_form("http://[fd12::1]/events", "url")
    for url in ("http://10.2.0.1/", "http://[fe80::1]/"):
        with pytest.raises(Invalid):
            lenient.check_form(url, "url")


async def test_a_name_that_leads_nowhere_yet() -> None:
    """Is accepted when the webhook is made; a message to it fails."""
    await STRICT.check("https://hr.invalid/events", "url")
    async with open_sender(STRICT, lambda: datetime.now(UTC)) as sender:
        answer = await sender.send("https://hr.invalid/events", [b"k"], Outgoing("e-1", b"{}"))
    assert (answer.status, answer.error) == (0, "NAME_NOT_RESOLVED")


class Rebinding(AbstractResolver):
    """A name server that answers an address outside at first, and then one inside, or both at once."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=one, port=port, family=socket.AF_INET, proto=0, flags=0)
            for one in self._answers.pop(0)
        ]

    async def close(self) -> None:
        pass


async def test_a_name_that_changes_its_mind() -> None:
    """What is connected to is what was checked: the connection asks the same resolver, each time."""
    names = Rebinding(["1.1.1.1"], ["127.0.0.1"])
    addresses = Addresses(allow_http=False, allowed=(), names=lambda: names)
    await addresses.check("https://hr.example.com/events", "url")
    async with open_sender(addresses, lambda: datetime.now(UTC)) as sender:
        answer = await sender.send("https://hr.example.com/events", [b"k"], Outgoing("e-1", b"{}"))
    assert answer.error == "ADDRESS_FORBIDDEN"


class Slow(AbstractResolver):
    """A name server that takes its time; what it answers is inside."""

    def __init__(self) -> None:
        self.asked = 0
        self.answers = asyncio.Event()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        self.asked += 1
        await self.answers.wait()
        return [ResolveResult(hostname=host, host="10.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0)]

    async def close(self) -> None:
        pass


async def test_a_name_is_looked_up_once_at_a_time() -> None:
    """Lookups hold threads that others need: one for each name, however many wait for it, and whoever gives up."""
    names = Slow()
    addresses = Addresses(allow_http=False, allowed=(), names=lambda: names)
    waiting = [asyncio.create_task(addresses.resolver.resolve("hr.example.com", 443)) for _ in range(8)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    names.answers.set()
    for found in (await asyncio.gather(*waiting, return_exceptions=True))[1:]:
        assert isinstance(found, AddressForbidden)
    assert names.asked == 1
    with pytest.raises(AddressForbidden):
        await addresses.resolver.resolve("hr.example.com", 443)
    assert names.asked == 2


async def test_one_address_inside_is_enough() -> None:
    addresses = Addresses(allow_http=False, allowed=(), names=lambda: Rebinding(["1.1.1.1", "10.0.0.1"]))
    with pytest.raises(AddressForbidden):
        await addresses.resolver.resolve("hr.example.com")
