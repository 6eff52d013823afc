"""Who calls: bearer tokens (JWT, RFC 7519) of an OpenID Connect issuer, verified in every service by its keys."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import jwt
import structlog

from libs.common.access import Caller, token_missing
from libs.common.errors import Unauthenticated, Unavailable
from libs.common.eventsourcing import is_name
from libs.common.settings import Settings

AUTHORIZATION_KEY = "authorization"
"""Metadata, over REST the header, that carries a caller's token: `Bearer <token>`."""
ALGORITHMS = ("RS256", "ES256")
"""What a token may be signed with, whatever its header or the keys say: never `none`, never a shared secret."""
ROLE_PREFIX = "stepladder."
"""Roles of ours begin so in a token's claim: a company's tokens may speak of other operators."""
LEEWAY_SECONDS = 30
"""How far the issuer's clock may be from ours."""
KEYS_LAST_SECONDS = 300.0
"""After so long the issuer's keys are asked for anew: a key that it has withdrawn is good for no longer."""
ASK_AGAIN_SECONDS = 10.0
"""Least time between two questions: callers with made-up key ids cannot make us ask more often."""
KEYS_TIMEOUT_SECONDS = 5.0
MOST_REMEMBERED = 10_000
MOST_TOKEN_CHARACTERS = 8_000
MOST_KEYS_BYTES = 1_000_000

logger = structlog.get_logger()


def bearer(token: str) -> tuple[tuple[str, str]]:
    """A call's metadata with a token."""
    return ((AUTHORIZATION_KEY, f"Bearer {token}"),)


class Tokens:
    """Verifies tokens. Remembers those that were good, until they expire or the issuer's keys change."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._text = ""
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._asked = self._got = float("-inf")
        self._asking = asyncio.Lock()
        self._known: OrderedDict[str, Caller] = OrderedDict()

    async def caller(self, authorization: str) -> Caller:
        """Who calls, by what the call has under `authorization`.

        Raises Unauthenticated with a reason that begins with `TOKEN_`; Unavailable `ISSUER_AWAY`.
        """
        scheme, _, token = authorization.strip().partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise token_missing()
        if len(token) > MOST_TOKEN_CHARACTERS:
            raise Unauthenticated("TOKEN_INVALID", f"the token is longer than {MOST_TOKEN_CHARACTERS} characters")
        await self._refresh()
        known = self._known.get(token)
        if known is not None and known.until > time.time():
            return known
        found = self._caller_of(await self._verified(token))
        self._known[token] = found
        if len(self._known) > MOST_REMEMBERED:
            self._known.popitem(last=False)
        return found

    async def _verified(self, token: str) -> Mapping[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in ALGORITHMS:
                raise Unauthenticated("TOKEN_INVALID", f"the token must be signed by {' or '.join(ALGORITHMS)}")
            claims: Mapping[str, Any] = jwt.decode(
                token,
                await self._key(header.get("kid")),
                algorithms=list(ALGORITHMS),
                issuer=self._settings.token_issuer,
                audience=self._settings.token_audience,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("TOKEN_EXPIRED", "the token has expired; get a new one") from None
        except jwt.InvalidAudienceError:
            audience = self._settings.token_audience
            raise Unauthenticated(
                "TOKEN_AUDIENCE", f"the token is for others; its audience must be {audience}"
            ) from None
        except jwt.InvalidIssuerError:
            issuer = self._settings.token_issuer
            raise Unauthenticated("TOKEN_ISSUER", f"the token is of another issuer; it must be of {issuer}") from None
        except jwt.MissingRequiredClaimError as error:
            raise Unauthenticated("TOKEN_INVALID", f"the token has no claim {error.claim}") from None
        except jwt.PyJWTError:  # what else is wrong with a forged one is nothing that helps its bearer
            raise Unauthenticated("TOKEN_INVALID", "the token is not valid: its signature or form is wrong") from None
        return claims

    async def _key(self, key_id: object) -> jwt.PyJWK:
        if not isinstance(key_id, str) or not key_id:
            raise Unauthenticated("TOKEN_INVALID", "the token does not name its key (kid)")
        if key_id not in self._keys:
            await self._refresh(unknown=key_id)
        if key_id not in self._keys:
            raise Unauthenticated("TOKEN_INVALID", "the token is signed with a key that its issuer does not have")
        return self._keys[key_id]

    async def _refresh(self, unknown: str = "") -> None:
        """Asks for the issuer's keys when it is time, or for a key that is not known.

        An issuer that is away or slow locks nobody out: its last keys are good until it answers. Raises Unavailable
        when there never were any.
        """
        fresh = time.monotonic() - self._got < KEYS_LAST_SECONDS
        if not unknown and (fresh or (self._keys and self._asking.locked())):
            return
        async with self._asking:
            now = time.monotonic()
            if now - self._asked < ASK_AGAIN_SECONDS or unknown in self._keys:
                if not self._keys:
                    raise _away()
                return
            self._asked = now
            try:
                text = await asyncio.to_thread(fetch_keys, self._settings.token_keys)
                keys = _keys_in(text)
            except (OSError, ValueError, jwt.PyJWTError) as error:
                logger.warning("issuer_away", error=type(error).__name__)
                if not self._keys:
                    raise _away() from error
                return
            if text != self._text:
                self._known.clear()
            self._text, self._keys, self._got = text, keys, now

    def _caller_of(self, claims: Mapping[str, Any]) -> Caller:
        held = claims.get(self._settings.token_roles_claim, [])
        held = held.split() if isinstance(held, str) else held if isinstance(held, list) else []
        roles = frozenset(r.removeprefix(ROLE_PREFIX) for r in held if isinstance(r, str) and r.startswith(ROLE_PREFIX))
        claim = "sub" if roles else self._settings.token_employee_claim
        name = claims.get(claim)
        if not isinstance(name, str) or not is_name(name):
            what = "name of the system" if roles else "id of the employee"
            raise Unauthenticated(
                "TOKEN_SUBJECT",
                f"the token's claim {claim} must be the {what}: up to 100 letters, digits and . _ @ -",
            )
        # Ids of employees have no capital letters; the personnel numbers that they are made of may.
        actor = f"system:{name}" if roles else f"user:{name.lower()}"
        return Caller(actor, roles, float(claims["exp"]) + LEEWAY_SECONDS)


def _away() -> Unavailable:
    return Unavailable("ISSUER_AWAY", "the issuer of tokens does not answer; send the same request again in a moment")


def fetch_keys(address: str) -> str:
    """What lies at an address, or in a file."""
    url = address if ":" in address else Path(address).absolute().as_uri()
    with urlopen(url, timeout=KEYS_TIMEOUT_SECONDS) as answer:  # noqa: S310 - of the settings
        text: str = answer.read(MOST_KEYS_BYTES).decode()
        return text


def _keys_in(text: str) -> Mapping[str, jwt.PyJWK]:
    """The keys of a JWKS (RFC 7517), by id, that may verify tokens."""
    found = jwt.PyJWKSet.from_json(text)
    return {key.key_id: key for key in found.keys if key.key_id and key.key_type in ("RSA", "EC")}
