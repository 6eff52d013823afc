"""Tokens of an issuer that tests have for themselves: services that go by `TOKEN_KEYS` believe them."""

from urllib.parse import quote

from cryptography.hazmat.primitives.asymmetric import ec

from libs.cli.issuer import Issuer
from libs.common.auth import bearer
from libs.common.settings import Settings

ISSUER = Issuer(ec.generate_private_key(ec.SECP256R1()), Settings())
TOKEN_KEYS = f"data:application/json,{quote(ISSUER.keys)}"
"""A setting of services that believe the issuer."""
SYSTEM = ISSUER.system("tests")
"""A system that may do all that systems may."""

Metadata = tuple[tuple[str, str]]


def as_person(employee_id: str) -> Metadata:
    """A call's metadata: an employee calls."""
    return bearer(ISSUER.person(employee_id))


def as_system(*roles: str) -> Metadata:
    """A call's metadata: a system with some roles calls, or one with all."""
    return bearer(ISSUER.system("tests", roles) if roles else SYSTEM)
