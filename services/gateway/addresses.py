"""Where webhooks may be sent: never to an address of an internal network, whatever name leads there."""

import asyncio
import socket
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from libs.common.errors import FieldViolation, Invalid

Network = IPv4Network | IPv6Network

RESOLVE_SECONDS = 5.0

_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: stands for the IPv4 address in its last 32 bits
_SPECIAL = (  # what Python's own tables, by its version, take for addresses like any other
    IPv4Network("168.63.129.16/32"),  # metadata of a cloud; those of others are link-local, private or shared
    IPv4Network("192.0.0.0/24"),  # RFC 6890
    IPv4Network("192.88.99.0/24"),  # RFC 7526
    IPv6Network("3fff::/20"),  # RFC 9637
)


class AddressForbidden(OSError):  # noqa: N818 - states what is the case
    """A name leads to an address that webhooks are not sent to."""


class Addresses:
    """What may be called.

    `allow_http`: not only https. `allowed`: networks that are called although they are internal.
    """

    def __init__(
        self,
        *,
        allow_http: bool,
        allowed: Sequence[Network],
        names: Callable[[], AbstractResolver] = ThreadedResolver,
    ) -> None:
        self._schemes = ("https", "http") if allow_http else ("https",)
        self._allowed = allowed
        self.resolver = CheckedResolver(self, names)

    def check_form(self, url: str, field: str) -> URL:
        """The URL. Raises Invalid `URL_INVALID` or, where it names an internal address itself, `URL_FORBIDDEN`."""
        try:
            parsed = URL(url)
            port, host = parsed.port, parsed.host
        except ValueError:
            raise _invalid("URL_INVALID", field, "is not a URL, such as https://hr.example.com/events") from None
        if parsed.scheme not in self._schemes or not host:
            raise _invalid("URL_INVALID", field, f"must begin with {' or '.join(f'{one}://' for one in self._schemes)}")
        if parsed.raw_user is not None or parsed.raw_password is not None:
            raise _invalid("URL_INVALID", field, "must not name a user: messages are signed instead")
        if parsed.raw_fragment:
            raise _invalid("URL_INVALID", field, "must not have a part behind #: it is never sent")
        if port not in (80, 443) and not (port and port >= 1024):
            raise _invalid("URL_INVALID", field, "must have port 80, 443, or one from 1024 on")
        if (literal := _literal(host)) is not None and not self.allows(literal):
            raise _forbidden(field, host)
        return parsed

    async def check(self, url: str, field: str) -> None:
        """The same, and where the host has a name, where that leads now; a name that leads nowhere yet is accepted."""
        parsed = self.check_form(url, field)
        host = parsed.host or ""
        try:
            async with asyncio.timeout(RESOLVE_SECONDS):
                await self.resolver.resolve(host, parsed.port or 0)
        except AddressForbidden:
            raise _forbidden(field, host) from None
        except OSError:  # TimeoutError is one
            return

    def allows(self, address: IPv4Address | IPv6Address) -> bool:
        """Whether an address may be called: one that is reached all over the internet, or of a network that is allowed.

        An IPv6 address that stands for one of IPv4 is judged as that.
        """
        if isinstance(address, IPv6Address):
            address = _embedded(address) or address
        if any(address in network for network in self._allowed):
            return True
        site_local = isinstance(address, IPv6Address) and address.is_site_local
        special = any(address in network for network in _SPECIAL)
        return address.is_global and not (address.is_multicast or address.is_reserved or site_local or special)


class CheckedResolver(AbstractResolver):
    """Resolves names for the connections themselves, so that what was checked is what is called.

    A name that takes long holds up one thread, however many wait for it: others need the threads for theirs.
    """

    def __init__(self, addresses: Addresses, names: Callable[[], AbstractResolver]) -> None:
        self._addresses = addresses
        self._names = names
        self._under_way: dict[tuple[str, int, socket.AddressFamily], asyncio.Task[list[ResolveResult]]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Raises AddressForbidden when one of the addresses is forbidden, another OSError when there is none."""
        asked = (host, port, family)
        if asked not in self._under_way:
            self._under_way[asked] = asyncio.create_task(self._look_up(*asked))
        found = await asyncio.shield(self._under_way[asked])
        if not all(self._addresses.allows(ip_address(one["host"])) for one in found):
            raise AddressForbidden(f"{host} leads to an internal address")
        return found

    async def _look_up(self, host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
        try:
            return await self._names().resolve(host, port, family)
        finally:
            del self._under_way[host, port, family]

    async def close(self) -> None:
        """Has nothing to close."""


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _embedded(address: IPv6Address) -> IPv4Address | None:
    if address.ipv4_mapped or address.sixtofour:
        return address.ipv4_mapped or address.sixtofour
    return IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None


def _forbidden(field: str, host: str) -> Invalid:
    return _invalid(
        "URL_FORBIDDEN",
        field,
        f"{host[:100]} is in an internal network: webhooks go outside, or where the operator allows it",
    )


def _invalid(reason: str, field: str, message: str) -> Invalid:
    return Invalid(reason, f"{field}: {message}", (FieldViolation(field, message),))
